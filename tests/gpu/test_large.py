"""More elements than 32 bits can count. The simulator has a few thousand, and takes fewer to be as many."""

from __future__ import annotations

from typing import Any

import pytest

import tapegrad as tg
from tapegrad.kernels.cuda.drivers import ON_CPU

N = 4097 if ON_CPU else 2**31 + 1


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the simulator, what counts as too many for 32 bits."""
    if ON_CPU:
        import sys

        monkeypatch.setattr(sys.modules["tapegrad.kernels.cuda.elementwise"], "_SMALL", 1000)


def ends(t: Any) -> list[int]:
    return [int(t[0].item()), int(t[t.numel() // 2].item()), int(t[-1].item())]


def test_elementwise_copies_and_sums_of_two_to_the_31_and_one() -> None:
    x = tg.zeros(N, dtype=tg.uint8, device="cuda")
    x[-1] = 3
    assert ends(x + 1) == [1, 1, 4]
    assert ends(x.clone()) == [0, 0, 3]
    assert ends(tg.where(x > 2, x, x + 7)) == [7, 7, 3]
    assert (x + 1).sum().item() == N + 3
    assert x.argmax().item() == N - 1
    del x
    tg.cuda.empty_cache()


def test_strided_places_of_two_to_the_31_and_one() -> None:
    rows = 3 if ON_CPU else 3 * 2**15
    x = tg.ones(rows, N // rows, dtype=tg.uint8, device="cuda")
    x[-1, -1] = 5
    y = x.t().contiguous()
    assert y[-1, -1].item() == 5
    assert y[0, 0].item() == 1
    assert (x[:, ::2] + x[:, ::2])[0, 0].item() == 2
