"""Views of every kind: shared memory, writes to overlapping parts, bits as another dtype, forms in place, and what samples can't say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.testing import check_grads

D = tg.float64
VIEWS: dict[str, Any] = {
    "view": lambda t: t.view(4, 3),
    "view_as": lambda t: t.view_as(tg.ones(2, 6)),
    "reshape_as": lambda t: t.reshape_as(tg.ones(2, 6)),
    "ravel": lambda t: t.ravel(),
    "unflatten": lambda t: t.unflatten(1, (2, 2)),
    "swapaxes": lambda t: t.swapaxes(0, 1),
    "swapdims": lambda t: t.swapdims(0, 1),
    "adjoint": lambda t: t.adjoint(),
    "mH": lambda t: t.mH,
    "H": lambda t: t.H,
    "movedim": lambda t: t.movedim(0, 1),
    "expand": lambda t: t.unsqueeze(0).expand(1, 3, 4),
    "expand_as": lambda t: t.expand_as(tg.ones(2, 3, 4)),
    "broadcast_to": lambda t: t.broadcast_to((2, 3, 4)),
    "broadcast_tensors": lambda t: tg.broadcast_tensors(t, tg.ones(2, 1, 1))[0],
    "diagonal": lambda t: t.diagonal(),
    "select": lambda t: t.select(1, 2),
    "narrow": lambda t: t.narrow(1, 1, 2),
    "split": lambda t: t.split(2)[1],
    "split_with_sizes": lambda t: t.split_with_sizes([1, 2])[1],
    "tensor_split": lambda t: t.tensor_split(2, 1)[1],
    "hsplit": lambda t: t.hsplit(2)[1],
    "vsplit": lambda t: t.vsplit(3)[1],
    "chunk": lambda t: t.chunk(2)[1],
    "unbind": lambda t: t.unbind()[1],
    "unfold": lambda t: t.unfold(1, 2, 1),
    "as_strided": lambda t: t.as_strided((2, 2), (1, 4), 1),
    "meshgrid": lambda t: tg.meshgrid(t[0], tg.ones(2), indexing="xy")[0],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory_version_and_gradients(name: str) -> None:
    x = tg.arange(12.0, dtype=D).reshape(3, 4).clone().requires_grad_()
    y = x * 1
    v = VIEWS[name](y)
    assert np.may_share_memory(v._array, y._array)
    before = v.detach().numpy().copy()
    y.mul_(2)
    np.testing.assert_array_equal(v.detach().numpy(), 2 * before)
    assert v._version == y._version == 1
    (v * v).sum().backward()
    counts = np.zeros(12)
    np.add.at(counts, before.astype(int).ravel(), 1)
    np.testing.assert_array_equal(x.grad.numpy(), (8 * np.arange(12.0) * counts).reshape(3, 4))


COPIES: dict[str, Any] = {
    "flip": lambda t: t.flip(0),
    "rot90 0": lambda t: t.rot90(0),
    "rot90": lambda t: t.rot90(),
    "roll 0": lambda t: t.roll(0),
    "roll": lambda t: t.roll(1, 0),
    "repeat": lambda t: t.repeat(1, 1),
    "repeat to a row": lambda t: t.repeat(1, 1, 1),
    "tile": lambda t: t.tile(1),
    "repeat_interleave": lambda t: t.repeat_interleave(1, 0),
    "diag": lambda t: t.diag(),
    "tril": lambda t: t.tril(5),
    "triu": lambda t: t.triu(-5),
    "cat": lambda t: tg.cat([t]),
    "stack": lambda t: tg.stack([t]),
    "block_diag": lambda t: tg.block_diag(t),
    "index_select": lambda t: t.index_select(0, tg.tensor([0])),
    "take": lambda t: t.take(tg.tensor([0])),
    "masked_select": lambda t: t.masked_select(t > -1),
    "masked_fill": lambda t: t.masked_fill(t > 100, 0),
    "scatter": lambda t: t.scatter(0, tg.zeros(0, 4, dtype=tg.int64), tg.zeros(0, 4, dtype=D)),
    "sort": lambda t: t.sort()[0],
    "topk": lambda t: t.topk(4)[0],
    "unique": lambda t: t.unique(),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_share_nothing(name: str) -> None:
    t = tg.arange(12.0, dtype=D).reshape(3, 4).clone()
    made = COPIES[name](t)
    assert not np.may_share_memory(made._array, t._array)
    assert made._storage is not t._storage


def test_transposes_of_matrices_and_complex_numbers() -> None:
    z = tg.tensor([[1 + 2j, 3j]])
    assert z.H.tolist() == z.mH.tolist() == z.adjoint().tolist() == [[1 - 2j], [-3j]]
    assert tg.tensor(1 + 2j).H.item() == 1 - 2j
    assert tg.ones(2, 3, 4).mH.shape == (2, 4, 3)
    for name, shape in (("H", (2, 3, 4)), ("H", (3,)), ("mH", (3,)), ("mT", (3,))):
        with pytest.raises(RuntimeError, match="dimensions, got shape"):
            getattr(tg.ones(*shape), name)


def test_writes_to_overlapping_parts_are_refused() -> None:
    x = tg.zeros(6)
    for v in (x.unfold(0, 3, 1), x.as_strided((2, 3), (1, 1)), x.as_strided((2, 3), (2, 1))):
        with pytest.raises(RuntimeError, match="is a view of overlapping parts, several elements share one place in memory"):
            v.add_(1)
        with pytest.raises(RuntimeError, match="share one place"):
            v[:2] = 1.0
    assert x.tolist() == [0.0] * 6
    for apart in (x.unfold(0, 3, 3), x.as_strided((2, 3), (3, 1)), x.as_strided((3, 2), (2, 1))):
        apart.add_(1)  # no element twice
    assert tg.zeros(8).as_strided((2, 3), (3, 2)).add_(1).sum().item() == 6.0  # interleaved, but apart


def test_as_strided_counts_in_the_memory_of_the_root() -> None:
    x = tg.arange(12.0, dtype=D).reshape(3, 4).clone().requires_grad_()
    row = (x * 1)[1]
    assert row.as_strided((2, 2), (1, 1)).tolist() == [[4.0, 5.0], [5.0, 6.0]]
    assert row.as_strided((2,), (4,), 0).tolist() == [0.0, 4.0]
    row.as_strided((2,), (4,), 0).sum().backward()
    assert x.grad.sum(1).tolist() == [1.0, 1.0, 0.0]
    turned = tg.from_numpy(np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    assert turned.as_strided((6,), (1,)).tolist() == [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    with pytest.raises(RuntimeError, match=r"as_strided: the memory of shape \(3,\) with strides \(2,\) has gaps"):
        tg.from_numpy(np.arange(6.0)[::2]).as_strided((1,), (1,))


def test_bits_as_another_dtype() -> None:
    x = tg.tensor([1.0, -2.0])
    bits = x.view(tg.int32)
    assert bits.tolist() == [0x3F800000, -0x40000000]
    bits.fill_(0)
    assert x.tolist() == [0.0, 0.0]
    assert x._version == 1  # the same memory
    assert x.view(tg.uint8).shape == (8,)
    assert x.view(tg.float64).shape == (1,)
    assert x.view(tg.float32)._base is not None


def test_forms_in_place() -> None:
    x = tg.tensor([[1.0, 2.0, 3.0]], dtype=D, requires_grad=True)
    y = x * 2
    y.retain_grad()
    assert y.squeeze_() is y
    assert y.shape == (3,)
    y.unsqueeze_(1).t_().transpose_(0, 1)
    assert y.shape == (3, 1)
    y.mul_(tg.tensor([[1.0], [2.0], [3.0]], dtype=D))
    y.sum().backward()
    assert x.grad.tolist() == [[2.0, 4.0, 6.0]]
    assert y.grad.shape == (3, 1)
    z = x * 1
    row = z[0]
    row.unsqueeze_(0)  # a view may change: its root keeps its shape
    row.mul_(5)
    assert (z.shape, row.shape, z.tolist()) == ((1, 3), (1, 3), [[5.0, 10.0, 15.0]])
    with pytest.raises(RuntimeError, match=r"t_: other tensors are views of this one.*use t\(\)"):
        z.t_()
    with pytest.raises(RuntimeError, match=r"unsqueeze_: the shape of a leaf tensor that requires grad can't change; use unsqueeze\(\)"):
        x.unsqueeze_(0)


def test_functions_of_shapes() -> None:
    assert tg.broadcast_shapes((2, 1), (3,), 1) == (2, 3)
    assert isinstance(tg.broadcast_shapes((2, 1)), tg.Size)
    assert tg.broadcast_shapes() == ()
    assert tg.numel(tg.ones(2, 3)) == 6
    assert tg.tril_indices(3, 3).tolist() == [[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]]
    assert tg.triu_indices(2, 3, 1, dtype=tg.int32).tolist() == [[0, 0, 1], [1, 2, 2]]
    with pytest.raises(RuntimeError, match="broadcast_shapes: shapes"):
        tg.broadcast_shapes((2,), (3,))
    with pytest.raises(RuntimeError, match="tril_indices: row -1"):
        tg.tril_indices(-1, 2)


def test_positional_and_keyword_forms() -> None:
    x = tg.arange(12.0).reshape(3, 4)
    assert tg.reshape(x, (4, 3)).shape == x.reshape(4, 3).shape == x.reshape(shape=(4, 3)).shape == (4, 3)
    assert tg.permute(x, (1, 0)).shape == x.permute(1, 0).shape == x.permute(dims=(1, 0)).shape == (4, 3)
    assert tg.flip(x, [0]).tolist() == x.flip(0).tolist() == x.flip(dims=(0,)).tolist()
    assert tg.tile(x, (2,)).shape == x.tile(2).shape == (3, 8)
    assert x.repeat(2, 1).shape == x.repeat((2, 1)).shape == (6, 4)
    assert [p.shape for p in x.tensor_split((3, 1), dim=1)] == [(3, 3), (3, 0), (3, 3)]
    assert [p.shape for p in x.tensor_split(tg.tensor([1]))] == [(1, 4), (2, 4)]
    assert tg.concat((x, x), axis=1).shape == (3, 8)
    assert tg.narrow(x, 0, tg.tensor(1), 2).shape == (2, 4)
    assert tg.meshgrid([tg.ones(2), tg.ones(3)], indexing="ij")[0].shape == (2, 3)
    assert tg.tensor([0, 2]).repeat_interleave().tolist() == [1, 1]
    assert tg.cat([tg.ones(2, dtype=tg.int64), tg.ones(1)]).dtype is tg.float32


# ------------------------------------------------------------------------------------------------------------------ joining


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_stack_has_gradients_of_any_order(count: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    parts = [tg.tensor(rng.uniform(0.5, 1.5, (2, 3)), requires_grad=True) for _ in range(count)]
    assert np.array_equal(tg.stack(parts, dim).detach().numpy(), np.stack([p.detach().numpy() for p in parts], dim))
    check_grads(lambda *xs: tg.stack(xs, dim) ** 3, parts, order=2)


def test_joining_takes_what_is_alike_and_what_is_not() -> None:
    a, b = tg.ones(2, 3), tg.full((2, 3), 2.0, dtype=D)
    assert tg.stack([a, b]).dtype is D and tg.cat((a, b)).dtype is D
    assert tg.cat([a.t(), a.t()], 1).tolist() == [[1.0] * 4] * 3
    assert tg.cat([tg.ones(0, 3), tg.ones(0, 3)]).shape == (0, 3)
    assert tg.cat([tg.ones(2, 0), tg.ones(2, 0)], 1).shape == (2, 0)
    assert tg.stack([tg.tensor(1), tg.tensor(2)]).tolist() == [1, 2]


def test_sizes_that_fit_only_by_their_product_are_refused() -> None:
    x = tg.ones(4, 5)
    for wrong in [(-2, -10), (-1, -2, -10), (-2, 10), (-1, -1)]:
        for reshape in (x.view, x.reshape):
            with pytest.raises(RuntimeError, match="at most one size may be -1"):
                reshape(*wrong)
    for wrong in [(4.0, 5), (None, 20), ("a",)]:
        with pytest.raises(TypeError):
            x.reshape(*wrong)
    assert x.view(-1, 10).shape == x.view((2, -1)).shape == x.view(size=(2, 10)).shape == (2, 10)
    assert x.view(np.int64(4), tg.tensor(5)).shape == (4, 5)
    with pytest.raises(RuntimeError, match="needs a copy"):
        x.t().view(-1)
