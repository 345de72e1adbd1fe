"""Reductions, scans and order statistics: zeros, NaNs, infinities, ranges, and the tuples they return."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd
from tapegrad.testing import check_grads

NAN, INF = math.nan, math.inf

ZEROS = [[2.0, 3.0, -1.0], [2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [5.0], []]


def product_gradients(x: list[float]) -> tuple[Any, Any]:
    """Gradient and Hessian of the product, one product of the others at a time."""
    n = len(x)
    first = np.array([math.prod(x[:i] + x[i + 1 :]) for i in range(n)])
    second = np.array([[0.0 if i == j else math.prod(v for k, v in enumerate(x) if k not in (i, j)) for j in range(n)] for i in range(n)])
    return first, second.reshape(n, n)


@pytest.mark.parametrize("values", ZEROS, ids=str)
@pytest.mark.parametrize("function", [lambda x: x.prod(), lambda x: x.prod(0), lambda x: x.reshape(1, -1).prod(1).sum()])
def test_products_have_exact_derivatives_with_zeros(function: Any, values: list[float]) -> None:
    first, second = product_gradients(values)
    x = tg.tensor(values, dtype=tg.float64, requires_grad=True)
    (g,) = autograd.grad(function(x), x, create_graph=True)
    assert g.detach().numpy().tolist() == first.tolist()
    for i, row in enumerate(second):
        assert autograd.grad(g[i], x, retain_graph=True)[0].numpy().tolist() == row.tolist()


@pytest.mark.parametrize("values", ZEROS[:5], ids=str)
def test_running_products_have_exact_derivatives_with_zeros(values: list[float]) -> None:
    x = tg.tensor(values, dtype=tg.float64, requires_grad=True)
    for i in range(len(values)):
        expected = np.r_[product_gradients(values[: i + 1])[0], np.zeros(len(values) - i - 1)]
        assert autograd.grad(x.cumprod(0)[i], x)[0].numpy().tolist() == expected.tolist()
    check_grads(lambda x: x.cumprod(0), (x,), order=3)


def test_long_products_do_not_overflow_on_the_way() -> None:
    x = tg.tensor([1e30, 1e-30] * 40 + [2.0])
    assert x.prod().item() == pytest.approx(2.0, rel=1e-6)
    ones = tg.ones(100_000, requires_grad=True)
    assert autograd.grad(ones.prod(), ones)[0].numpy().tolist() == [1.0] * 100_000


def test_sums_and_products_take_the_dtype_asked_for() -> None:
    x = tg.tensor([100, 100, 100], dtype=tg.uint8)
    assert (x.sum().dtype, x.prod().dtype, x.cumsum(0).dtype, x.cumprod(0).dtype) == (tg.int64,) * 4
    assert (x.sum(dtype=tg.uint8).item(), x.sum(dtype=tg.uint8).dtype) == (44, tg.uint8)
    assert x.cumsum(0, dtype=tg.int32).dtype is tg.int32
    assert x.prod(dtype=tg.float32).dtype is tg.float32
    assert x.mean(dtype=tg.float64).item() == 100.0
    assert tg.tensor([0.7, 0.7]).sum(dtype=tg.int64).item() == 0  # converted first
    y = tg.tensor([1, 2, 3])
    assert y.cumsum_(0) is y
    assert y.tolist() == [1, 3, 6]
    assert y.cumprod_(0).tolist() == [1, 3, 18]


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1.0, 1e30, 1e200, 1e300])
@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0, INF])
def test_norms_of_tiny_and_huge_numbers(p: float, size: float) -> None:
    values = np.array([3.0, -4.0, 1.0])
    for dtype in (tg.float64, tg.float32):
        if dtype is tg.float32 and not 1e-31 < size < 1e31:
            continue
        x = tg.tensor((values * size).tolist(), dtype=dtype, requires_grad=True)
        expected = np.max(np.abs(values)) if math.isinf(p) else np.sum(np.abs(values) ** p) ** (1 / p)
        out = x.norm(p)
        assert out.item() == pytest.approx(expected * size, rel=1e-6)
        unit = tg.tensor(values.tolist(), dtype=tg.float64, requires_grad=True)
        np.testing.assert_allclose(autograd.grad(out, x)[0].numpy(), autograd.grad(unit.norm(p), unit)[0].numpy(), rtol=1e-5)


def test_norms_of_infinities_and_nan() -> None:
    assert tg.tensor([INF, 1.0]).norm().item() == INF
    assert math.isnan(tg.tensor([NAN, 1.0]).norm().item())
    assert tg.tensor([[0.0, 0.0], [3.0, 4.0]]).norm(dim=1).tolist() == [0.0, 5.0]
    assert tg.zeros(0).norm().item() == 0.0


def test_reductions_that_pass_over_nan() -> None:
    x = tg.tensor([[1.0, NAN, 3.0], [NAN, NAN, NAN]])
    assert x.nansum(1).tolist() == [4.0, 0.0]
    assert x.nanmean(1)[0].item() == 2.0
    assert math.isnan(x.nanmean(1)[1].item())
    assert x.nanmean().item() == 2.0
    values, indices = x.nanmedian(1)
    assert (values[0].item(), indices[0].item()) == (1.0, 0)
    assert math.isnan(values[1].item())
    assert x.nanmedian().item() == 1.0
    assert x.nanquantile(0.5, dim=1)[0].item() == 2.0
    assert math.isnan(x.nanquantile(0.5, dim=1)[1].item())
    assert np.isnan(x.quantile(0.5, dim=1).numpy()).all()


def test_nan_wins_where_nothing_says_otherwise() -> None:
    x = tg.tensor([[1.0, NAN, 3.0, NAN], [4.0, 2.0, 9.0, 3.0]])
    values, indices = x.median(1)
    assert math.isnan(values[0].item())
    assert indices.tolist() == [1, 3]
    assert values[1].item() == 3.0
    assert math.isnan(x.median().item())
    assert np.isnan(x.cummax(1).values[0].numpy()).tolist() == [False, True, True, True]
    assert x.cummax(1).indices.tolist() == [[0, 1, 1, 3], [0, 0, 2, 2]]
    assert x.kthvalue(1, 1).values.tolist() == [1.0, 2.0]
    assert x.any(1).tolist() == [True, True]
    assert tg.tensor([NAN, 0.0]).all().item() is False


def test_running_extremes_name_the_last_of_equal_elements() -> None:
    x = tg.tensor([2, 1, 2, 1, 3, 3])
    assert x.cummax(0).indices.tolist() == [0, 0, 2, 2, 4, 5]
    assert x.cummin(0).indices.tolist() == [0, 1, 1, 3, 3, 3]


def test_the_most_frequent_element_is_the_smallest_of_several() -> None:
    found = tg.tensor([[3, 1, 3, 1, 2], [5, 4, 5, 5, 4]]).mode(1)
    assert found.values.tolist() == [1, 5]
    assert found.indices.tolist() == [3, 3]


def test_quantiles_of_infinities_and_of_equal_elements() -> None:
    assert tg.tensor([-INF, -INF, 1.0, INF, INF]).quantile(tg.tensor([0.1, 0.5, 0.9])).tolist() == [-INF, 1.0, INF]
    x = tg.tensor([1.0, 1.0, 5.0], requires_grad=True)
    assert autograd.grad(x.quantile(0.25), x)[0].tolist() == [0.5, 0.5, 0.0]
    q = tg.tensor([0.1, 0.6], requires_grad=True)
    assert autograd.grad(tg.tensor([0.0, 1.0, 3.0]).quantile(q).sum(), q)[0].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_log_of_running_sums_does_not_overflow(dtype: tg.dtype) -> None:
    x = tg.tensor([-INF, -1e4, 1e4, 1e4, -1e4], dtype=dtype, requires_grad=True)
    out = x.logcumsumexp(0)
    np.testing.assert_allclose(out.detach().numpy(), [-INF, -1e4, 1e4, 1e4 + math.log(2), 1e4 + math.log(2)], rtol=1e-7)
    g = autograd.grad(out.sum(), x)[0].numpy()
    # 1e4 is a float32 step of 1e-3, and exponentials of differences as far off
    np.testing.assert_allclose(g, [0.0, 1.0, 2.0, 1.0, 0.0], rtol=1e-3 if dtype is tg.float32 else 1e-9)


def test_second_derivatives_of_log_of_running_sums_where_the_cotangent_is_zero() -> None:
    x = tg.tensor([0.3, -0.2, 0.5], dtype=tg.float64, requires_grad=True)
    v = tg.zeros(3, dtype=tg.float64, requires_grad=True)
    (g,) = autograd.grad(x.logcumsumexp(0), x, v, create_graph=True)
    (jvp,) = autograd.grad(g, v, tg.ones(3, dtype=tg.float64))
    np.testing.assert_allclose(jvp.numpy(), np.ones(3), rtol=1e-12)  # every row of softmax weights adds up to 1


def test_long_scans_walk_any_layout() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.9, 1.1, (3, 2000, 5)).astype(np.float32)
    for axis, order in itertools.product(range(3), [(0, 1, 2), (2, 0, 1)]):
        given = x.transpose(order)
        t = tg.from_numpy(given).requires_grad_()
        np.testing.assert_allclose(t.cumprod(axis).detach().numpy(), np.cumprod(given.astype(np.float64), axis), rtol=1e-5)
        (g,) = autograd.grad(t.cumprod(axis).sum(), t)
        exact = np.flip(np.cumsum(np.flip(np.cumprod(given.astype(np.float64), axis), axis), axis), axis) / given
        np.testing.assert_allclose(g.numpy(), exact, rtol=1e-4)


def test_tuples_have_names() -> None:
    x = tg.tensor([[1.0, 3.0], [2.0, 0.0]])
    for name in ("max", "min", "median", "nanmedian", "mode", "cummax", "cummin"):
        found = getattr(x, name)(1)
        values, indices = found
        assert found.values is values
        assert found.indices is indices
        assert repr(found).startswith(f"tapegrad.return_types.{name}(\nvalues=tensor(")
        assert isinstance(found, tuple)
        with pytest.raises(AttributeError, match="has values, indices"):
            _ = found.value
    low, high = x.aminmax()
    assert (low.item(), high.item()) == (0.0, 3.0)
    assert x.aminmax(dim=0).max.tolist() == [2.0, 3.0]


def test_uint8_truth_is_uint8() -> None:
    x = tg.tensor([[1, 0], [2, 3]], dtype=tg.uint8)
    assert (x.any(0).dtype, x.all(0).dtype) == (tg.uint8, tg.uint8)
    assert x.all(0).tolist() == [1, 0]
    assert tg.tensor([1.0]).all().dtype is tg.bool


def test_differences_of_bools_are_exclusive_or() -> None:
    assert tg.tensor([True, False, False]).diff().tolist() == [True, False]
    x = tg.tensor([1.0, 2.0])
    assert not np.shares_memory(x.diff(0).numpy(), x.numpy())


def test_trapezoids() -> None:
    assert tg.trapz(tg.tensor([1.0, 2.0, 4.0])).item() == 4.5
    assert tg.trapezoid(tg.tensor([1.0, 2.0, 4.0]), tg.tensor([0.0, 1.0, 3.0])).item() == 7.5
