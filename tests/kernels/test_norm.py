"""Normalisation kernels against wide references: layouts, strides, large means, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tapegrad.kernels.cpu.nn.norm import standardize, standardize_backward
from tapegrad.kernels.native import runtime
from tapegrad.ops.nn.standardize import Layout, by_channels, by_groups, by_rows

FLOATS = [np.dtype("float32"), np.dtype("float64")]
EPS = 1e-5
CASES = {
    "rows": ((5, 37), by_rows((5, 37), (37,))),
    "long rows": ((3, 2, 1500), by_rows((3, 2, 1500), (2, 1500))),
    "many rows": ((700, 40), by_rows((700, 40), (40,))),
    "not centered": ((9, 130), by_rows((9, 130), (130,), False)),
    "groups": ((4, 6, 5, 7), by_groups((4, 6, 5, 7), 3)),
    "one sample": ((1, 4, 2000), by_groups((1, 4, 2000), 2)),
    "channels": ((3, 5, 4, 9), by_channels((3, 5, 4, 9))),
    "long channels": ((2, 3, 2100), by_channels((2, 3, 2100))),
    "short channels": ((33, 4, 3), by_channels((33, 4, 3))),
    "features": ((40, 6), by_channels((40, 6))),
}
rng = np.random.default_rng(5)


def reference(x: Any, g: Any, weight: Any, bias: Any, layout: Layout) -> list[Any]:
    """[result, mean, variance, the gradients of x, weight and bias] in long double."""
    view, axes, affine, size, centered = layout
    x, g, weight, bias = (a.astype(np.longdouble) for a in (x, g, weight, bias))
    v, u = x.reshape(view), (g.reshape(view) * weight.reshape(affine))
    mean = v.mean(axis=axes, keepdims=True) * centered
    var = ((v - mean) ** 2).mean(axis=axes, keepdims=True)
    y = (v - mean) / np.sqrt(var + EPS)
    of_x = (u - centered * u.mean(axis=axes, keepdims=True) - y * (u * y).mean(axis=axes, keepdims=True)) / np.sqrt(var + EPS)
    over = tuple(d for d, n in enumerate(affine) if n == 1)
    of_weight, of_bias = (g.reshape(view) * y).sum(axis=over).reshape(size), g.reshape(view).sum(axis=over).reshape(size)
    return [(y * weight.reshape(affine) + bias.reshape(affine)).reshape(x.shape), mean, var, of_x.reshape(x.shape), of_weight, of_bias]


def drawn(shape: tuple[int, ...], layout: Layout, dtype: Any) -> tuple[Any, ...]:
    return tuple(rng.standard_normal(s).astype(dtype) for s in (shape, shape, layout.size, layout.size))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case: str, dtype: Any) -> None:
    shape, layout = CASES[case]
    x, g, weight, bias = drawn(shape, layout, dtype)
    expected = reference(x, g, weight, bias, layout)
    tolerance = 40 * float(np.finfo(dtype).eps)
    for a, b in ((x, g), (np.asfortranarray(x), np.flip(np.flip(g).copy()))):
        *found, kept = standardize(a, weight, bias, layout, EPS, True)
        found += standardize_backward(b, a, weight, kept, layout, True)
        for one, wide in zip(found, expected, strict=True):
            assert one.dtype == dtype
            np.testing.assert_allclose(one, wide.astype(np.float64), rtol=tolerance, atol=tolerance * float(np.abs(wide).max()))


@pytest.mark.parametrize("case", ["rows", "groups", "channels", "features"])
@pytest.mark.parametrize(("weighted", "biased"), [(True, False), (False, True), (False, False)])
def test_without_weight_or_bias(case: str, weighted: bool, biased: bool) -> None:
    shape, layout = CASES[case]
    x, g, weight, bias = drawn(shape, layout, np.float64)
    one, none = np.ones(layout.size), np.zeros(layout.size)
    expected = reference(x, g, weight if weighted else one, bias if biased else none, layout)
    y, kept = standardize(x, weight if weighted else None, bias if biased else None, layout, EPS, False)
    of_x, of_weight, of_bias = standardize_backward(g, x, weight if weighted else None, kept, layout, biased)
    np.testing.assert_allclose(y, expected[0].astype(float), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(of_x, expected[3].astype(float), rtol=1e-10, atol=1e-11)
    if weighted:
        np.testing.assert_allclose(of_weight, expected[4].astype(float), rtol=1e-10, atol=1e-11)
    if biased:
        np.testing.assert_allclose(of_bias, expected[5].astype(float), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("case", ["long rows", "groups", "channels", "features"])
def test_a_large_mean_costs_no_digits_and_a_constant_has_no_variance(case: str) -> None:
    shape, layout = CASES[case]
    x, g, weight, bias = drawn(shape, layout, np.float32)
    x = (x + np.float32(3e4)).astype(np.float32)
    y, kept = standardize(x, weight, bias, layout, EPS, False)
    expected = reference(x, g, weight, bias, layout)
    np.testing.assert_allclose(y, expected[0].astype(float), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(standardize_backward(g, x, weight, kept, layout, True)[0], expected[3].astype(float), rtol=1e-4, atol=1e-4)
    y, _, var, _ = standardize(np.full(shape, 0.1, np.float32), None, None, layout, EPS, True)
    assert not y.any()
    assert not var.any()


@pytest.mark.parametrize("shape", [(600, 128), (16, 12, 11, 13), (300, 64, 2)])
def test_the_number_of_threads_changes_no_bit(shape: tuple[int, ...]) -> None:
    layouts = [by_rows(shape, shape[-1:])] if len(shape) == 2 else [by_channels(shape), by_groups(shape, 4)]
    threads = runtime.get_num_threads()
    for layout in layouts:
        x, g, weight, bias = drawn(shape, layout, np.float32)
        results = []
        try:
            for count in (1, threads):
                runtime.set_num_threads(count)
                y, kept = standardize(x, weight, bias, layout, EPS, False)
                results.append([y, *standardize_backward(g, x, weight, kept, layout, True)])
        finally:
            runtime.set_num_threads(threads)
        for serial, parallel in zip(*results, strict=True):
            np.testing.assert_array_equal(serial, parallel)


def test_nan_and_infinity_stay_in_their_row() -> None:
    x = rng.standard_normal((4, 50))
    x[1, 3], x[2, 0] = np.nan, np.inf
    y, _ = standardize(x, None, None, by_rows((4, 50), (50,)), EPS, False)
    assert np.isnan(y[1:3]).all()
    assert np.isfinite(y[[0, 3]]).all()


@pytest.mark.parametrize("layout", [by_rows((0, 3), (3,)), by_rows((3, 0), (0,)), by_channels((0, 3)), by_groups((0, 4, 2), 2)])
def test_nothing(layout: Layout) -> None:
    x, weight = np.zeros(layout.view, np.float32), np.ones(layout.size, np.float32)
    y, kept = standardize(x, weight, None, layout, EPS, False)
    of_x, of_weight, of_bias = standardize_backward(y, x, weight, kept, layout, True)
    assert y.shape == of_x.shape == x.shape
    np.testing.assert_array_equal(of_weight, np.zeros(layout.size))
    np.testing.assert_array_equal(of_bias, np.zeros(layout.size))
