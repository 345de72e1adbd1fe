"""Indexing and scattering: forms in place, repeated places, bounds, and corners of the functions that samples don't reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_matrix import case_of_function

import tapegrad as tg
from tapegrad import autograd
from tapegrad.public import FUNCTIONS, METHODS

D = tg.float64
IN_PLACE = ("put", "index_add", "index_copy", "index_fill", "scatter", "scatter_add", "scatter_reduce", "masked_fill", "masked_scatter", "tril", "triu")
CALLS = [(name, k) for name in IN_PLACE for k in range(len(FUNCTIONS[name].samples))]


@pytest.mark.parametrize(("name", "k"), CALLS)
def test_in_place_forms_equal_the_functions(name: str, k: int) -> None:
    f = FUNCTIONS[name]
    sample, case = f.samples[k], case_of_function(f, f.samples[k], k)
    arrays = case.arrays(np.float64)
    results = []

    def call_in_place(input: Any, *rest: Any, **keywords: Any) -> Any:
        return METHODS[f"{name}_"](input, *rest, **keywords)

    for in_place in (False, True):
        inputs = case.tensors([a.copy() for a in arrays])
        first = inputs[0] * 1.0
        if in_place:
            expected_shape = sample.call(f.call, [first, *inputs[1:]]).shape
            if first.shape != expected_shape:  # the function broadcasts its input, which a write can't
                with pytest.raises(RuntimeError, match=f"{name}_: .*can't be broadcast"):
                    sample.call(call_in_place, [first, *inputs[1:]])
                return
            made = sample.call(call_in_place, [first, *inputs[1:]])
            assert made is first
            assert first._version >= 1
        else:
            made = sample.call(f.call, [first, *inputs[1:]])
            assert first._version == 0
        seed = tg.tensor(np.linspace(0.5, 1.5, made.numel()).reshape(made.shape))
        wanted = [x for x in inputs if x.requires_grad]
        results.append((made.detach().numpy(), *(g.numpy() for g in autograd.grad(made, wanted, seed))))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


OUT_OF_RANGE: dict[str, Any] = {
    "index_put_": lambda t, i: t.index_put_((i,), tg.tensor(1.0)),
    "put_": lambda t, i: t.put_(i * 5, tg.ones(2)),
    "index_add_": lambda t, i: t.index_add_(0, i, tg.ones(2, 2)),
    "index_copy_": lambda t, i: t.index_copy_(0, i, tg.ones(2, 2)),
    "index_fill_": lambda t, i: t.index_fill_(0, i, 1.0),
    "scatter_": lambda t, i: t.scatter_(0, i.unsqueeze(1), tg.ones(2, 1)),
    "scatter_add_": lambda t, i: t.scatter_add_(0, i.unsqueeze(1), tg.ones(2, 1)),
    "scatter_reduce_": lambda t, i: t.scatter_reduce_(0, i.unsqueeze(1), tg.ones(2, 1), "amax"),
    "setitem": lambda t, i: t.__setitem__(i, 1.0),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_an_index_out_of_range_is_found_before_anything_is_written(name: str) -> None:
    t = tg.zeros(3, 2)
    with pytest.raises(IndexError, match=r"3|15"):
        OUT_OF_RANGE[name](t, tg.tensor([0, 3]))
    assert t.tolist() == [[0.0, 0.0]] * 3
    assert t._version == 0


REPEATED: dict[str, Any] = {
    "index_put": lambda x, v: x.index_put((tg.tensor([1, 0, 1]),), v),
    "put": lambda x, v: x.put(tg.tensor([1, 0, 1]), v),
    "index_copy": lambda x, v: x.index_copy(0, tg.tensor([1, 0, 1]), v),
    "scatter": lambda x, v: x.scatter(0, tg.tensor([1, 0, 1]), v),
}


@pytest.mark.parametrize("name", REPEATED)
def test_of_values_for_one_place_the_last_wins_and_gets_the_gradient(name: str) -> None:
    x, v = tg.tensor([1.0, 2.0, 3.0], requires_grad=True), tg.tensor([10.0, 20.0, 30.0], requires_grad=True)
    y = REPEATED[name](x, v)
    assert y.tolist() == [20.0, 30.0, 3.0]
    y.backward(tg.tensor([1.0, 2.0, 4.0]))
    assert (x.grad.tolist(), v.grad.tolist()) == ([0.0, 0.0, 4.0], [0.0, 1.0, 2.0])


def test_the_last_is_the_last_in_row_major_order_whatever_the_memory_order() -> None:
    """NumPy goes through index arrays in the order of their memory."""
    index = np.zeros((2, 3), np.int64)
    values = np.arange(6.0).reshape(2, 3)
    for order in (np.asarray, np.asfortranarray):
        x = tg.zeros(4, dtype=D)
        v = tg.from_numpy(order(values)).requires_grad_()
        y = x.index_put((tg.from_numpy(order(index)),), v)
        assert y.tolist() == [5.0, 0.0, 0.0, 0.0]
        y.sum().backward()
        assert v.grad.tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    z = tg.zeros(3, 4, dtype=D).scatter(0, tg.from_numpy(np.asfortranarray(np.zeros((3, 2), np.int64))), tg.from_numpy(np.asfortranarray(values.T)))
    assert z[0].tolist() == [2.0, 5.0, 0.0, 0.0]


def test_index_put_of_masks_and_broadcast_indices() -> None:
    x = tg.arange(6.0).reshape(2, 3).requires_grad_()
    assert x.index_put((x > 3,), tg.tensor(-1.0)).tolist() == [[0.0, 1.0, 2.0], [3.0, -1.0, -1.0]]
    assert x.index_put((tg.tensor([[0], [1]]), tg.tensor([2, -3])), tg.tensor(9.0)).tolist() == [[9.0, 1.0, 9.0], [9.0, 4.0, 9.0]]
    y = x.index_put((tg.tensor([0, 0]),), tg.ones(3), accumulate=True)
    assert y.tolist() == [[2.0, 3.0, 4.0], [3.0, 4.0, 5.0]]


def test_a_scatter_takes_the_part_of_src_that_the_index_covers() -> None:
    src = tg.arange(1.0, 13.0).reshape(3, 4).requires_grad_()
    y = tg.zeros(3, 4).scatter(0, tg.tensor([[2, 0]]), src)
    assert y.tolist() == [[0.0, 2.0, 0.0, 0.0], [0.0] * 4, [1.0, 0.0, 0.0, 0.0]]
    y.sum().backward()
    assert src.grad.tolist() == [[1.0, 1.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4]
    assert tg.zeros(3).scatter_reduce(0, tg.tensor([1, 1]), tg.tensor([2.0, 3.0, 9.0]), "sum").tolist() == [0.0, 5.0, 0.0]


def test_scatter_with_a_reduction() -> None:
    x = tg.tensor([2.0, 3.0])
    index = tg.tensor([0, 0])
    assert x.scatter(0, index, tg.tensor([5.0, 7.0]), reduce="add").tolist() == [14.0, 3.0]
    assert x.scatter(0, index, tg.tensor([5.0, 7.0]), reduce="multiply").tolist() == [70.0, 3.0]
    assert x.scatter(0, index, 3, reduce="multiply").tolist() == [18.0, 3.0]
    assert x.scatter_(0, index, 1.5).tolist() == [1.5, 3.0]


def test_products_with_zeros_have_exact_gradients_and_refuse_second_ones() -> None:
    x, v = tg.tensor([2.0, 3.0], requires_grad=True), tg.tensor([0.0, 5.0], requires_grad=True)
    y = x.scatter_reduce(0, tg.tensor([0, 0]), v, "prod")
    gx, gv = autograd.grad(y.sum(), (x, v), create_graph=True)
    assert (gx.tolist(), gv.tolist()) == ([0.0, 1.0], [10.0, 0.0])
    with pytest.raises(RuntimeError, match="second derivative of a product with zeros"):
        gv.sum().backward()
    assert x.grad is None


def test_the_mean_and_extremes_of_integers() -> None:
    x, src, index = tg.tensor([1, -5]), tg.tensor([4, -2]), tg.tensor([0, 1])
    assert x.scatter_reduce(0, index, src, "mean").tolist() == [2, -4]
    assert x.scatter_reduce(0, index, src, "amax", include_self=False).tolist() == [4, -2]
    assert x.scatter_reduce(0, index, src, "amin", include_self=False).tolist() == [4, -2]
    assert tg.tensor([True]).scatter_reduce(0, tg.tensor([0]), tg.tensor([False]), "amax", include_self=False).tolist() == [False]


def test_sums_of_16_bit_floats_are_rounded_once() -> None:
    x, ones = tg.zeros(1, dtype=tg.float16), tg.ones(4096, dtype=tg.float16)
    assert x.index_add(0, tg.zeros(4096, dtype=tg.int64), ones).item() == 4096.0


def test_weights_of_bincount_and_values_of_unique_have_gradients() -> None:
    w = tg.tensor([0.5, 1.5, 2.5], requires_grad=True)
    counts = tg.tensor([1, 0, 1]).bincount(w)
    assert counts.tolist() == [1.5, 3.0]
    counts.backward(tg.tensor([1.0, 10.0]))
    assert w.grad.tolist() == [10.0, 1.0, 10.0]
    x = tg.tensor([3.0, 1.0, 3.0], requires_grad=True)
    x.unique().backward(tg.tensor([1.0, 2.0]))
    assert x.grad.tolist() == [2.0, 1.0, 0.0]  # the first of equal ones gets it


def test_sorting_keeps_the_order_of_equal_ones_and_puts_nan_last() -> None:
    x = tg.tensor([2.0, float("nan"), 1.0, 2.0, 1.0])
    assert x.sort().indices.tolist() == [2, 4, 0, 3, 1]
    assert x.sort(descending=True).indices.tolist() == [1, 0, 3, 2, 4]
    assert x.topk(3, largest=False).indices.tolist() == [2, 4, 0]
    assert repr(tg.tensor([1.0]).sort()).startswith("tapegrad.return_types.sort(\nvalues=")
    values, _ = tg.tensor([3, 1], dtype=tg.uint8).sort()
    assert values.dtype is tg.uint8


def test_searching_numbers_sorters_and_nan() -> None:
    seq = tg.tensor([1.0, 3.0, 5.0])
    assert tg.searchsorted(seq, 3.0).item() == 1
    assert tg.searchsorted(seq, 3.0, side="right").item() == 2
    assert tg.searchsorted(tg.tensor([5.0, 1.0, 3.0]), tg.tensor([4.0]), sorter=tg.tensor([1, 2, 0])).tolist() == [2]
    rows = tg.stack([seq, seq + 1])
    assert tg.searchsorted(rows, tg.tensor([[3.0, float("nan")], [3.0, 9.0]])).tolist() == [[1, 3], [1, 3]]
    assert tg.isin(2, tg.tensor([1, 2])).item() is True
    assert tg.isin(tg.tensor([1, 2]), 2).tolist() == [False, True]


def test_nonzero_of_a_number_and_bounds_of_take_along_dim() -> None:
    assert [i.tolist() for i in tg.tensor(3.0).nonzero(as_tuple=True)] == [[0]]
    assert tg.tensor(3.0).nonzero().shape == (1, 0)
    with pytest.raises(IndexError, match="gather: index -1 is out of range"):
        tg.ones(3).gather(0, tg.tensor([-1]))


@pytest.mark.compare
def test_random_scatters_equal_pytorch(torch: Any) -> None:
    rng = np.random.default_rng(3)
    for how in ("sum", "mean", "prod", "amax", "amin"):
        for include in (True, False) if how not in ("amax", "amin") else (True,):  # PyTorch lets what it excluded share the gradient of ties
            x, src = rng.integers(-2, 3, (3, 4)).astype(float), rng.integers(-2, 3, (2, 4)).astype(float)
            index = rng.integers(0, 3, (2, 4))
            a, b = (tg.tensor(v, requires_grad=True) for v in (x, src))
            c, d = (torch.tensor(v, requires_grad=True) for v in (x, src))
            y = a.scatter_reduce(0, tg.tensor(index), b, how, include_self=include)
            z = c.scatter_reduce(0, torch.tensor(index), d, how, include_self=include)
            np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-15)
            (y * y).sum().backward()
            (z * z).sum().backward()
            for p, q in ((a, c), (b, d)):
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-14, atol=1e-14, err_msg=f"{how} {include}")
