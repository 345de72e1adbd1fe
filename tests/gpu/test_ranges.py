"""Ranges and places made on the GPU: the same bits as on the CPU, and no copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels.cuda.context import context

RANGES = [(7,), (2, 9), (9, -5, -3), (0,), (3, 3), (0.1, 2.3, 0.1), (1.5, -4.0, -0.37), (0, 1, 0.3), (1e3, 1040, 0.7), (-3, 300), (5.5,), (1, 1.1), (2, 3.7, 1)]


@pytest.fixture(autouse=True)
def without_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = context.driver.copy

    def copy(device: int, stream: int, to: int, source: int, size: int, kind: str) -> None:
        assert kind != "to device"
        whole(device, stream, to, source, size, kind)

    monkeypatch.setattr(context.driver, "copy", copy)


@pytest.mark.parametrize("dtype", [None, tg.float32, tg.float64, tg.bfloat16, tg.int64, tg.int32, tg.uint8], ids=str)
@pytest.mark.parametrize("bounds", RANGES, ids=str)
def test_arange(bounds: tuple[Any, ...], dtype: Any, cuda: Any) -> None:
    if dtype is tg.int64 and abs(bounds[-1]) < 1:  # that would be a step of 0
        bounds = tuple([10 * b for b in bounds])
    here, there = tg.arange(*bounds, dtype=dtype), tg.arange(*bounds, dtype=dtype, device=cuda)
    assert there.device == cuda and there.dtype is here.dtype
    np.testing.assert_array_equal(there.cpu().numpy(), here.numpy())


@pytest.mark.parametrize("dtype", [None, tg.float64], ids=str)
@pytest.mark.parametrize("bounds", [(0, 1, 50), (-1.5, 2.7, 33), (3, 3, 4), (5, -5, 11), (1, 2, 1), (0.1, 0.7, 2), (0, 1, 0), (1e-3, 1e3, 257)], ids=str)
def test_linspace(bounds: tuple[Any, ...], dtype: Any, cuda: Any) -> None:
    here, there = tg.linspace(*bounds, dtype=dtype), tg.linspace(*bounds, dtype=dtype, device=cuda, requires_grad=True)
    assert there.device == cuda and there.dtype is here.dtype and there.requires_grad
    np.testing.assert_array_equal(there.detach().cpu().numpy(), here.numpy())


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (1, 6), (6, 1), (0, 3), (3, 0)], ids=str)
@pytest.mark.parametrize("make", [tg.tril_indices, tg.triu_indices])
def test_places_of_triangles(make: Any, shape: tuple[int, int], cuda: Any) -> None:
    for offset in (-9, -5, -3, -2, -1, 0, 1, 2, 4, 5, 9):
        here, there = make(*shape, offset), make(*shape, offset, device=cuda)
        assert there.dtype is here.dtype and there.tolist() == here.tolist(), offset
    assert make(3, 3, dtype=tg.int32, device=cuda).dtype is tg.int32
