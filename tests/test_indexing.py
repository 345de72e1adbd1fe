"""Indexing, gathering and scattering: values against NumPy, gradients against an explicit scatter, and PyTorch's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg

X = np.arange(2 * 3 * 4, dtype=np.float64).reshape(2, 3, 4) + 1
BASIC = [
    0, -1, (1, 2), (1, 2, 3), (-2, -3, -4), slice(None), slice(0, 0), slice(1, None), slice(None, None, 2), slice(None, None, -1), slice(5, 1, -1),
    slice(-100, 100), (slice(None), 1), (slice(None), slice(2, 0, -1), slice(0, 4, 3)), ..., (..., 0), (0, ..., 1), None, (None, 0, None, ..., None),
    (), (slice(1, 1), 0), (np.int64(1), np.uint8(2)), (slice(np.int64(0), np.int32(1)), 1),
]  # fmt: skip
ADVANCED = [
    [0, 1, 1], ([0, 1], [2, 0]), (slice(None), [0, 2, 2]), (slice(None), [0, 2], slice(None)), (..., [0, 3]), ([[0, 1], [1, 0]],), ([1], None, [2]),
    ([0, 1], slice(None), [3, 0]), (np.array([0, 1]), np.array([[2], [0]])), [], (slice(None), []), np.array([], np.int32), np.zeros((0, 3), np.int64),
    np.array([-1, 0]), np.array(1), True, False, (True, 0), np.array(True), X > 5, X[..., 0] > 5, X[:, 0, 0] > 500, (slice(None), X[0] > 3),
    ([True, False],), (slice(None), [True, False, True]), (None, [1, 0], slice(None), None, slice(1, 3)), range(2), (slice(None, None, -1), [0, 0]),
    (slice(1, 2), slice(None), [1, 1, 1]), (np.array([0, 1], np.uint8),),
]  # fmt: skip


def scattered(index: Any, g: Any) -> np.ndarray[Any, Any]:
    out = np.zeros_like(X)
    np.add.at(out, index, g)
    return out


def named(index: Any) -> str:
    return str(index).replace("\n", "")[:40]


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=named)
def test_getitem(index: Any) -> None:
    x = tg.tensor(X, requires_grad=True)
    key = list(index) if isinstance(index, range) else index
    result, expected = x[index], X[key]
    assert np.array_equal(result.detach().numpy(), expected)
    assert result.shape == expected.shape
    basic = any(index is b for b in BASIC) or (isinstance(index, np.ndarray) and index.ndim == 0 and index.dtype != bool)
    assert (result._base is not None) == basic  # a view, or a copy
    weights = np.arange(expected.size, dtype=np.float64).reshape(expected.shape) + 1
    result.backward(tg.tensor(weights))
    assert np.array_equal(x.grad.numpy(), scattered(key, weights))


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=named)
def test_setitem(index: Any) -> None:
    key = list(index) if isinstance(index, range) else index
    shape = X[key].shape
    for value_shape in {shape, (), shape[-1:], (1, *shape)}:
        value = np.random.default_rng(0).random(value_shape)
        expected = X.copy()
        expected[key] = value.reshape(shape) if value_shape == (1, *shape) else value
        leaf, v = tg.tensor(X, requires_grad=True), tg.tensor(value, requires_grad=True)
        x = leaf * 1.0
        x[index] = v
        assert np.array_equal(x.detach().numpy(), expected)
        weights = np.arange(1.0, X.size + 1).reshape(X.shape)
        x.backward(tg.tensor(weights))
        if X[key].size == 0:
            assert np.array_equal(leaf.grad.numpy(), weights)
            continue
        numbers = np.full(X.shape, -1)  # which element of the value each place got
        numbers[key] = np.broadcast_to(np.arange(value.size).reshape(value_shape), (1, *shape) if value_shape == (1, *shape) else shape).reshape(shape)
        assert np.array_equal(leaf.grad.numpy(), np.where(numbers < 0, weights, 0))
        expected_v = np.array([weights[numbers == i].sum() for i in range(value.size)]).reshape(value_shape)
        np.testing.assert_allclose(v.grad.numpy(), expected_v)


def test_index_tensors() -> None:
    x = tg.tensor(X)
    for index in [tg.tensor([1, 0, 1]), tg.tensor([[0], [1]]), tg.tensor(1), tg.tensor([-1]), tg.tensor([1, 0], dtype=tg.int32)]:
        assert np.array_equal(x[index].numpy(), X[index.numpy()])
    assert np.array_equal(x[tg.tensor([0, 1]), :, tg.tensor([1, 3])].numpy(), X[[0, 1], :, [1, 3]])
    assert np.array_equal(x[x > 4].numpy(), X[X > 4])
    assert np.array_equal(x[[tg.tensor(0), tg.tensor(1)]].numpy(), X[[0, 1]])
    assert np.array_equal(x[tg.tensor(0) : tg.tensor(1)].numpy(), X[0:1])
    assert np.array_equal(x[:, (0, 1)].numpy(), X[:, [0, 1]])
    assert x[tg.tensor(1)]._base is not None  # a 0-d integer tensor selects, and gives a view


@pytest.mark.parametrize(("index", "shape"), [((0, slice(None), [0, 1]), (3, 2)), (([0, 1], slice(None), 2), (2, 3)), ((slice(None), 1, [3, 0]), (2, 2))])
def test_integers_beside_arrays_select_first_as_in_pytorch(index: Any, shape: Any) -> None:
    x = tg.tensor(X, requires_grad=True)
    expected = X
    integers = [i for i in index if isinstance(i, int)]
    (axis,) = [d for d, i in enumerate(index) if isinstance(i, int)]
    expected = np.take(X, integers[0], axis)[tuple(i for i in index if not isinstance(i, int))]
    assert x[index].shape == expected.shape == shape
    assert np.array_equal(x[index].detach().numpy(), expected)
    x[index].sum().backward()
    assert float(x.grad.sum()) == expected.size
    y = tg.tensor(X)
    y[index] = tg.tensor(-expected)
    assert np.array_equal(y[index].numpy(), -expected)
    assert (y.numpy() < 0).sum() == expected.size


@pytest.mark.compare
def test_indexing_equals_pytorch(torch: Any) -> None:
    negative_step = [i for i in BASIC + ADVANCED if any(isinstance(p, slice) and (p.step or 1) < 0 for p in (i if isinstance(i, tuple) else (i,)))]
    more = [(0, slice(None), [0, 1]), ([0, 1], slice(None), 2), (slice(None), 1, [3, 0]), (1, [0, 2], None), (None, 1, ..., [0]), (1, X[0] > 3)]
    for index in BASIC + ADVANCED + more:
        if any(index is n for n in negative_step) or (isinstance(index, tuple) and any(isinstance(p, np.ndarray) and p.dtype == np.uint8 for p in index)):
            continue  # PyTorch has no negative steps, and takes uint8 for a mask
        there = tuple(torch.tensor(p) if isinstance(p, np.ndarray) else p for p in (index if isinstance(index, tuple) else (index,)))
        there = tuple(list(p) if isinstance(p, range) else p for p in there)
        expected = torch.tensor(X)[there if isinstance(index, tuple) else there[0]]
        result = tg.tensor(X)[index]
        assert tuple(result.shape) == tuple(expected.shape), index
        assert np.array_equal(result.numpy(), expected.numpy()), index
        mine, theirs = tg.tensor(X), torch.tensor(X)
        mine[index] = -1.5
        theirs[there if isinstance(index, tuple) else there[0]] = -1.5
        assert np.array_equal(mine.numpy(), theirs.numpy()), index


@given(st.data())
def test_generated_indices(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    kind = data.draw(st.sampled_from(["basic", "integers", "mask"]))
    if kind == "basic":
        index: Any = data.draw(hnp.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True))
    elif kind == "mask":
        rank = data.draw(st.integers(0, len(shape)))
        index = data.draw(hnp.arrays(np.bool_, shape[:rank]))
    else:
        if 0 in shape or not shape:
            return
        index = data.draw(hnp.integer_array_indices(shape))
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    x = tg.tensor(values, requires_grad=True)
    expected = np.asarray(values[index])
    result = x[index]
    assert np.array_equal(result.detach().numpy(), expected)
    weights = np.random.default_rng(0).random(expected.shape)
    result.backward(tg.tensor(weights))
    reference = np.zeros(shape)
    np.add.at(reference, index, weights)
    np.testing.assert_allclose(x.grad.numpy(), reference, rtol=1e-14)
    y, written = tg.tensor(values), values.copy()
    y[index] = 7
    written[index] = 7
    assert np.array_equal(y.numpy(), written)


def test_the_tape_keeps_its_own_index() -> None:
    """Changing an index between forward and backward must not send gradients elsewhere."""
    for make in (tg.tensor, np.array):
        index, x = make([0, 1]), tg.ones(4, requires_grad=True)
        y = x[index]
        index[...] = make([2, 3])
        y.sum().backward()
        assert x.grad.tolist() == [1, 1, 0, 0]
        mask, x = make([True, False, False, True]), tg.ones(4, requires_grad=True)
        z = x * 1.0
        z[mask] = 5.0
        mask[...] = make([False, True, True, False])
        z.sum().backward()
        assert x.grad.tolist() == [0, 1, 1, 0]


def test_the_last_of_repeated_writes_gets_the_gradient() -> None:
    v = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = tg.zeros(2)
    x[[0, 1, 0]] = v
    assert x.tolist() == [3, 2]
    (x * tg.tensor([10.0, 100.0])).sum().backward()
    assert v.grad.tolist() == [0, 100, 10]


def test_second_order() -> None:
    x = tg.tensor(X, requires_grad=True)
    y = (x[:, [0, 0, 2]] ** 3.0).sum()
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    (h,) = tg.autograd.grad((g * g).sum(), x)
    counts = np.zeros_like(X)
    np.add.at(counts, (slice(None), [0, 0, 2]), 1)
    np.testing.assert_allclose(h.numpy(), 2 * (3 * X**2) * counts**2 * 6 * X, rtol=1e-12)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (2, IndexError), (-3, IndexError), ((0, 3), IndexError), ((0, 0, 0, 0), IndexError), ((..., ...), IndexError), ([0, 2], IndexError),
        (np.array([True, False, True]), IndexError), (X[:, :2] > 0, IndexError), (([0, 1], [0, 1, 2]), IndexError), (1.5, (TypeError, IndexError)),
        ("a", (TypeError, IndexError)), ([0.5], IndexError), (tg.tensor([0.5]), IndexError), (slice(0.5, 1), (TypeError, AttributeError)), ({}, (TypeError, IndexError)),
        (tg.tensor([1], dtype=tg.uint8), IndexError), (slice(None, None, 0), ValueError), ([[0], [0, 1]], (ValueError, IndexError)),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_indices(index: Any, error: Any) -> None:
    x = tg.tensor(X)
    with pytest.raises(error):
        x[index]
    with pytest.raises(error):
        x[index] = 1.0
    assert np.array_equal(x.numpy(), X)


def test_setitem_casts_and_checks_the_value() -> None:
    x = tg.zeros(2, 3, dtype=tg.int32)
    x[0] = 2.7
    x[1] = tg.tensor([1.2, -1.7, 3.0])
    x[0, 0] = True
    assert x.tolist() == [[1, 2, 2], [1, -1, 3]]
    u = tg.zeros(3, dtype=tg.uint8)
    u[0] = -1
    assert u.tolist() == [255, 0, 0]
    for target, value, error in [(x, 2**40, RuntimeError), (x, float("nan"), RuntimeError), (u, 300, RuntimeError), (tg.zeros(2), 1j, RuntimeError)]:
        with pytest.raises(error, match="converted"):
            target[0] = value
    for index in (slice(None), [0, 1], x > 100):
        with pytest.raises(RuntimeError, match="broadcast|written"):
            x[index] = tg.ones(5)
    with pytest.raises(TypeError, match="Tensor"):
        x[0] = "text"
    for bad in ([1, 2, 3], None):
        with pytest.raises(TypeError):
            x[0] = bad
    x[0] = np.array([7, 8, 9])
    assert x[0].tolist() == [7, 8, 9]
    x[[0, 1], [1, 2]] = np.float32(4)
    assert x.tolist() == [[7, 4, 9], [1, -1, 4]]
    x[:] = x.clone().flip(0)[:, :1]
    assert x.tolist() == [[1, 1, 1], [7, 7, 7]]
    y = tg.tensor([1.0, 2.0, 3.0, 4.0])
    y[1:] = y[:-1]  # overlapping
    assert y.tolist() == [1, 1, 2, 3]
    leaf = tg.ones(3, requires_grad=True)
    for index in (0, [0], leaf > 0):
        with pytest.raises(RuntimeError, match="leaf"):
            leaf[index] = 1.0
    with tg.no_grad():
        leaf[0] = 5.0
    assert leaf.tolist() == [5, 1, 1]
    for index in ([0], slice(None)):
        with pytest.raises(RuntimeError, match="expanded"):
            tg.ones(1).expand(3)[index] = 2.0
    expanded = tg.ones(1).expand(3)
    expanded[0] = 2.0  # one element, at the place that all three share
    assert expanded.tolist() == [2, 2, 2]
    zero_d = tg.tensor(1.0)
    zero_d[...] = 3.0
    zero_d[()] += 1.0
    assert zero_d.item() == 4


# --------------------------------------------------------------------------------------------------- gather and scatter


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gather_and_scatter_add(dim: int) -> None:
    rng = np.random.default_rng(0)
    a = rng.random((3, 4))
    index = rng.integers(0, a.shape[dim], (2, 3))
    x = tg.tensor(a, requires_grad=True)
    picked = x.gather(dim, tg.tensor(index))
    at = [np.arange(2)[:, None], np.arange(3)[None, :]]
    at[dim] = index
    assert np.array_equal(picked.detach().numpy(), a[tuple(at)])
    g = rng.random((2, 3))
    picked.backward(tg.tensor(g))
    reference = np.zeros_like(a)
    np.add.at(reference, tuple(at), g)
    np.testing.assert_allclose(x.grad.numpy(), reference)
    base, src = tg.tensor(a, requires_grad=True), tg.tensor(rng.random((3, 4)), requires_grad=True)
    total = base.scatter_add(dim, tg.tensor(index), src)
    expected = a.copy()
    np.add.at(expected, tuple(at), src.detach().numpy()[:2, :3])
    np.testing.assert_allclose(total.detach().numpy(), expected)
    w = rng.random((3, 4))
    total.backward(tg.tensor(w))
    assert np.array_equal(base.grad.numpy(), w)
    wanted = np.zeros((3, 4))
    wanted[:2, :3] = w[tuple(at)]
    assert np.array_equal(src.grad.numpy(), wanted)
    inplace = tg.tensor(a)
    assert inplace.scatter_add_(dim, tg.tensor(index), src.detach()) is inplace
    np.testing.assert_allclose(inplace.numpy(), expected)


def test_wrong_gathers() -> None:
    x, i = tg.ones(3, 4), tg.zeros(2, 3, dtype=tg.int64)
    for bad in (tg.tensor([[3]]), tg.tensor([[-1]]), tg.tensor([[2**62]])):
        for call in (lambda bad=bad: x.gather(0, bad), lambda bad=bad: x.scatter_add(0, bad, x), lambda bad=bad: x.scatter_add_(0, bad, x)):
            with pytest.raises(IndexError, match="out of range"):
                call()
    for call in (
        lambda: x.gather(0, i.float()),
        lambda: x.gather(0, tg.tensor([0])),
        lambda: x.gather(0, tg.zeros(2, 5, dtype=tg.int64)),
        lambda: x.scatter_add(0, i, tg.ones(1, 3)),
        lambda: x.scatter_add_(0, i, tg.ones(1, 3)),
        lambda: x.scatter_add_(0, i, tg.ones(3)),
        lambda: x.scatter_add(0, i, tg.ones(2, 3, dtype=tg.float64)),
        lambda: x.scatter_add_(0, i, tg.ones(2, 3, dtype=tg.float64)),
    ):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(IndexError, match="dimension 2"):
        x.gather(2, i)
    assert x.tolist() == tg.ones(3, 4).tolist()
    index, leaf = tg.tensor([[0, 1]]), tg.ones(2, 2, requires_grad=True)
    y = leaf.gather(0, index)
    index.add_(1 - index)
    with pytest.raises(RuntimeError, match="modified in place"):
        y.sum().backward()


def test_masked_fill() -> None:
    x, mask = tg.tensor(X, requires_grad=True), tg.tensor(X[0] > 5)
    y = x.masked_fill(mask, -1)
    assert np.array_equal(y.detach().numpy(), np.where(X[0] > 5, -1, X))
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), np.broadcast_to(X[0] <= 5, X.shape).astype(float))
    assert tg.ones(2, dtype=tg.int64).masked_fill(tg.tensor([True, False]), True).tolist() == [1, 1]
    assert tg.ones(2).masked_fill(tg.tensor([True, False]), tg.tensor(5)).tolist() == [5, 1]
    assert tg.zeros(2, dtype=tg.int64).masked_fill(tg.tensor([True, False]), 1.5).tolist() == [1, 0]
    z = tg.ones(2)
    assert z.masked_fill_(tg.tensor([True, False]), float("inf")) is z
    assert z.tolist() == [float("inf"), 1]
    for call in (
        lambda: tg.ones(2).masked_fill(tg.tensor([1, 0]), 0),
        lambda: tg.ones(2, dtype=tg.int64).masked_fill(tg.tensor([True, False]), 1e30),
        lambda: tg.ones(2).masked_fill(tg.tensor([True, False]), tg.ones(2)),
        lambda: tg.ones(2).masked_fill(tg.tensor([True, False, True]), 0),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_embedding() -> None:
    embedding = tg.nn.functional.embedding
    w, i = tg.tensor(X[0], requires_grad=True), tg.tensor([[0, 2], [2, 2]])
    y = embedding(i, w, padding_idx=-3)
    assert np.array_equal(y.detach().numpy(), X[0][i.numpy()])
    y.sum().backward()
    assert w.grad.tolist() == [[0] * 4, [0] * 4, [3] * 4]
    assert embedding(tg.tensor(1), w).shape == (4,)
    assert embedding(tg.zeros(0, dtype=tg.int64), w).shape == (0, 4)
    for bad in ([3], [-1]):
        with pytest.raises(IndexError, match="out of range"):
            embedding(tg.tensor(bad), w)
    with pytest.raises(RuntimeError, match="integer"):
        embedding(tg.tensor([0.0]), w)
    with pytest.raises(IndexError):
        embedding(i, w, padding_idx=3)
