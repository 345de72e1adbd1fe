"""Activations beyond their samples: in place, at extremes, and drawn at random."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F

X = [-4.0, -1.25, -0.4, 0.0, 0.3, 1.5, 7.0]
IN_PLACE: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[float, ...]]] = {
    "relu": (F.relu, F.relu_, ()),
    "leaky_relu": (F.leaky_relu, F.leaky_relu_, (0.25,)),
    "hardtanh": (F.hardtanh, F.hardtanh_, (-0.5, 2.0)),
    "threshold": (F.threshold, F.threshold_, (0.5, -3.0)),
    "elu": (F.elu, F.elu_, (2.0,)),
    "celu": (F.celu, F.celu_, (2.0,)),
    "selu": (F.selu, F.selu_, ()),
    "rrelu": (F.rrelu, F.rrelu_, (0.25, 0.5)),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms(name: str) -> None:
    function, in_place, numbers = IN_PLACE[name]
    x = tg.tensor(X, requires_grad=True)
    expected = function(x * 1.0, *numbers)
    (right,) = tg.autograd.grad(expected.sum(), x)
    for write in (lambda y: in_place(y, *numbers), lambda y: function(y, *numbers, inplace=True)):
        y = x * 1.0
        version = y._version
        assert write(y) is y
        assert y._version == version + 1
        np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
        np.testing.assert_array_equal(tg.autograd.grad(y.sum(), x)[0].numpy(), right.numpy())


@pytest.mark.parametrize("function", [F.relu6, F.silu, F.mish, F.hardsigmoid, F.hardswish])
def test_keyword_inplace(function: Callable[..., Any]) -> None:
    x = tg.tensor(X)
    expected = function(x.clone())
    assert function(x, inplace=True) is x
    assert x.tolist() == expected.tolist()


def test_a_leaf_that_requires_grad_is_not_written() -> None:
    with pytest.raises(RuntimeError, match="leaky_relu_: a leaf tensor that requires grad"):
        F.leaky_relu_(tg.ones(2, requires_grad=True))


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize(
    ("function", "values", "slopes"),
    [
        (F.softplus, [0.0, 0.0, 1e4, math.inf], [0.0, 0.0, 1.0, 1.0]),
        (F.logsigmoid, [-math.inf, -1e4, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]),
        (lambda x: F.softplus(x, 1.0, 1e9), [0.0, 0.0, 1e4, math.inf], [0.0, 0.0, 1.0, 1.0]),
        (F.elu, [-1.0, -1.0, 1e4, math.inf], [0.0, 0.0, 1.0, 1.0]),
        (F.hardswish, [0.0, 0.0, 1e4, math.inf], [0.0, 0.0, 1.0, 1.0]),
    ],
)
def test_extremes_are_exact(function: Callable[..., Any], values: list[float], slopes: list[float], dtype: Any) -> None:
    x = tg.tensor([-math.inf, -1e4, 1e4, math.inf], dtype=dtype, requires_grad=True)
    y = function(x)
    assert y.tolist() == values
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == slopes


@pytest.mark.parametrize("function", [F.relu, F.leaky_relu, F.hardtanh, F.softshrink, F.hardshrink, F.elu, F.hardsigmoid, F.softplus])
def test_nan_stays_nan(function: Callable[..., Any]) -> None:
    assert math.isnan(function(tg.tensor(math.nan)).item())


def test_rrelu_draws_a_slope_for_each_negative_element() -> None:
    tg.manual_seed(0)
    x = tg.full((10_000,), -2.0, requires_grad=True)
    y = F.rrelu(x, 0.1, 0.3, training=True)
    slopes = y.detach().numpy() / -2
    assert 0.1 <= slopes.min() < 0.101
    assert 0.299 < slopes.max() <= 0.3
    assert abs(slopes.mean() - 0.2) < 4 * 0.2 / math.sqrt(12 * 10_000)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-6)
    assert F.rrelu(tg.tensor([3.0]), training=True).item() == 3.0


def test_gumbel_softmax_samples_by_probability() -> None:
    tg.manual_seed(0)
    p = np.array([0.1, 0.2, 0.7])
    logits = tg.tensor(np.log(np.tile(p, (20_000, 1))), requires_grad=True)
    hard = F.gumbel_softmax(logits, tau=0.5, hard=True)
    rows = hard.detach().numpy()
    np.testing.assert_allclose(np.sort(rows, axis=1), np.tile([0.0, 0.0, 1.0], (20_000, 1)), atol=1e-12)
    assert np.all(np.abs(rows.mean(0) - p) < 4 * np.sqrt(p * (1 - p) / 20_000))
    (hard * tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64)).sum().backward()
    assert logits.grad is not None
    assert (logits.grad != 0).any()
    np.testing.assert_allclose(logits.grad.numpy().sum(1), 0, atol=1e-12)
    soft = F.gumbel_softmax(logits.detach(), dim=0)
    np.testing.assert_allclose(soft.numpy().sum(0), 1, rtol=1e-12)
    with pytest.raises(RuntimeError, match="gumbel_softmax: logits must be floating-point"):
        F.gumbel_softmax(tg.arange(3))


def test_integer_bounds_keep_the_dtype() -> None:
    x = tg.tensor([-3, 0, 9])
    assert F.relu6(x).tolist() == [0, 0, 6]
    assert F.relu6(x).dtype is tg.int64
    assert F.threshold(x, 0, 5).tolist() == [5, 5, 9]
