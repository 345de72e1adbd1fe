"""When the host waits for the GPU: for values that shapes depend on, as in PyTorch, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.kernels.cuda.context import context

F = nn.functional


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the host has waited for, and what was copied to it."""
    found: list[str] = []
    copy, synchronize = context.driver.copy, context.driver.synchronize

    def copied(device: int, stream: int, to: int, source: int, size: int, kind: str) -> None:
        if kind == "to host":
            found.append(kind)
        copy(device, stream, to, source, size, kind)

    def waited(device: int, stream: int | None) -> None:
        found.append("synchronize")
        synchronize(device, stream)

    with monkeypatch.context() as patch:
        patch.setattr(context.driver, "copy", copied)
        patch.setattr(context.driver, "synchronize", waited)
        yield found


ASYNCHRONOUS: list[Callable[[Any, Any, Any], Any]] = [
    lambda x, i, mask: tg.tensor([1.0, 2.0], device=x.device),
    lambda x, i, mask: x.repeat_interleave(i, 0, output_size=6),
    lambda x, i, mask: i.repeat_interleave(tg.arange(3, device=x.device), output_size=3),
    lambda x, i, mask: x.masked_scatter(mask, x * 2),
    lambda x, i, mask: x.masked_fill(mask, 3.0),
    lambda x, i, mask: x.detach().clone().__setitem__(mask, 4.0),
    lambda x, i, mask: F.one_hot(i, 4),
    lambda x, i, mask: x.nan_to_num(),
    lambda x, i, mask: x[[0, 2]],
    lambda x, i, mask: x.quantile(0.5),
    lambda x, i, mask: x.bernoulli(0.5),
    lambda x, i, mask: tg.multinomial(x.detach().abs() + 1, 2),
    lambda x, i, mask: F.binary_cross_entropy(x.sigmoid(), mask.float()),
    lambda x, i, mask: F.interpolate(x[None], 7),
    lambda x, i, mask: F.avg_pool1d(x, 3),
    lambda x, i, mask: F.max_pool1d(x, 2),
    lambda x, i, mask: F.conv1d(x[None], x[:1, None, :2].expand(2, 3, 2)),
    lambda x, i, mask: tg.tril_indices(5, 5, device=x.device),
    lambda x, i, mask: nn.utils.clip_grad_norm_([nn.Parameter(x)], 1.0),
]


@pytest.mark.parametrize("call", ASYNCHRONOUS)
def test_the_host_goes_on(call: Callable[[Any, Any, Any], Any], waits: list[str], cuda: Any) -> None:
    x = tg.arange(12.0, device=cuda, requires_grad=True).reshape(3, 4)
    i = tg.tensor([1, 2, 3], device=cuda)
    mask = x.detach() > 5
    call(x, i, mask)  # once, for words and tables that are made for all calls
    waits.clear()
    made = call(x, i, mask)
    if isinstance(made, tg.Tensor) and made.requires_grad:
        made.sum().backward()
    assert not waits


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("given", [False, True])
def test_repeats_on_the_gpu(given: bool, dim: int | None, cuda: Any) -> None:
    x = tg.arange(6.0).reshape(2, 3)
    repeats = tg.tensor({0: [2, 0], 1: [0, 3, 1], None: [1, 0, 2, 0, 0, 3]}[dim])
    size = int(repeats.sum()) if given else None
    results = []
    for where in ("cpu", cuda):
        a = x.detach().to(where).requires_grad_()
        y = a.repeat_interleave(repeats.to(where), dim, output_size=size)
        (y * y).sum().backward()
        results.append((y.tolist(), a.grad.tolist(), tg.repeat_interleave(repeats.to(where), output_size=size).tolist()))
    assert results[0] == results[1]
    with pytest.raises(RuntimeError, match="repeats must not be negative"):
        tg.repeat_interleave(tg.tensor([2, -1], device=cuda)).tolist()


def test_scattering_where_a_mask_holds(cuda: Any) -> None:
    results = []
    for where in ("cpu", cuda):
        x, source = tg.arange(6.0, device=where, requires_grad=True), tg.arange(10.0, 14.0, device=where, requires_grad=True)
        mask = tg.tensor([True, False, True, True, False, False], device=where)
        y = x.masked_scatter(mask, source)
        z = (x * 1).masked_scatter_(mask, source)
        (y * y + z).sum().backward()
        results.append((y.tolist(), z.tolist(), x.grad.tolist(), source.grad.tolist()))
    assert results[0] == results[1]
    with pytest.raises(IndexError, match="out of range for size 2"):
        tg.zeros(4, device=cuda).masked_scatter(tg.ones(4, device=cuda) > 0, tg.ones(2, device=cuda)).cpu()
