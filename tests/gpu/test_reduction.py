"""Reductions and scans on the GPU at sizes, strides and dtypes that samples of ops don't have: against the CPU's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels import cpu, cuda as kernels
from tapegrad.kernels.cuda.drivers import ON_CPU
from tapegrad.kernels.cuda.language import SIMULATED
from tapegrad.kernels.cuda.reduction.layout import layout

LONG = 2500 if SIMULATED else 150_000 if ON_CPU else 5_000_000
BFLOAT16 = tg.bfloat16.numpy
DTYPES = [np.dtype(d) for d in (np.float32, np.float64, np.float16, BFLOAT16, np.int64, np.uint8, np.bool_, np.complex64)]
# By rows: one and several lanes, whose starts are and are not aligned, a few threads to a lane, and runs. By columns: few, many, oddly many.
SHAPES = [
    ((LONG,), (0,)), ((3, 1001), (1,)), ((40, 6), (1,)), ((3, 5, 4, 49), (0, 2, 3)), ((2, 3, 700), (0, 2)), ((3, 300), (0,)),
    ((4, 5, 36), (0, 1)), ((2, 300, 9), (1,)), ((LONG // 4, 3), (0,)),
]  # fmt: skip
EPS = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3, "complex64": 1e-6}


def numbers(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 3.0, shape) if dtype.kind == "u" else rng.normal(0.3, 1.0, shape)
    return np.asarray(x + 1j * rng.normal(size=shape) if dtype.kind == "c" else x).astype(dtype)


def check(name: str, x: Any, *args: Any, sent: Any = None, size: float = 1.0) -> None:
    """A function of both backends gives the same; ``size`` is that of what is added up where results are smaller."""
    results = getattr(kernels, name)(kernels.to_device(x) if sent is None else sent, *args), getattr(cpu, name)(x, *args)
    pairs = zip(*results, strict=True) if isinstance(results[0], tuple) else [results]
    for found, expected in pairs:
        assert found.dtype == expected.dtype and found.shape == expected.shape, (name, args)
        host = kernels.to_host(found)
        if host.dtype.name in EPS:
            wide = np.complex128 if host.dtype.kind == "c" else np.float64
            a, b = host.astype(wide), np.asarray(expected).astype(wide)
            eps = 4 * EPS[host.dtype.name]
            np.testing.assert_allclose(a, b, eps, eps * size, err_msg=f"{name} {args} of {x.dtype} {x.shape}")
        else:
            np.testing.assert_array_equal(host, expected, f"{name} {args} of {x.dtype} {x.shape}")


@pytest.mark.parametrize(
    ("shape", "axes", "dtype"), [(*case, d) for k, case in enumerate(SHAPES) for d in DTYPES if d.name == "float32" or k % 4 == 1 or not ON_CPU]
)
def test_sums_and_extremes(shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    x = numbers(shape, dtype)
    size = math.sqrt(x.size)
    check("sum", x, axes, False, size=size)
    check("count_nonzero", x, axes)
    if dtype.kind in "fV":
        check("mean", x, axes, True)
        check("var", x, axes, False, 1)
        check("logsumexp", x, axes, True)
        check("vector_norm", x, axes, False, 2.0)
    if dtype.kind != "c":
        check("amax", x, axes, True)
        if len(axes) == 1:
            check("max_with_index", x, axes[0], False)
            check("argmin", x, axes[0], True)


def test_layouts_are_what_shapes_ask_for() -> None:
    def way(shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
        return layout(kernels.empty(shape, np.dtype(np.float32)), axes)

    assert way((LONG,), (0,)).chunks > 1
    assert way((3, 1001), (1,))[:2] == (True, 4)
    assert way((40, 6), (1,)).threads < 32
    assert way((LONG // 4, 3), (0,)).chunks > 1
    assert way((4, 5, 36), (0, 1))[:2] == (False, 4)


@pytest.mark.parametrize("name", ["sum", "amax", "any_nonzero", "logsumexp"])
def test_any_strides(name: str) -> None:
    x = numbers((6, 10, 70), np.dtype(np.float32))
    sent = kernels.to_device(x)
    views = (lambda a: a[:, 1:, 3:], lambda a: a.transpose(2, 0, 1), lambda a: a[::-1, ::3, ::-2], lambda a: a[2:3, :, 5:6])
    for view in views:
        for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2), ()):
            check(name, view(x), axes, False, sent=view(sent), size=20.0)
    wide = np.broadcast_to(x[:, :1], x.shape)
    check(name, wide, (1, 2), True, sent=kernels.broadcast_to(sent[:, :1], x.shape), size=20.0)


NAN, INF = math.nan, math.inf
ODD = [[1, NAN, 3, NAN, 2], [INF, -INF, 1, INF], [-INF, -INF], [-INF, -1000, -1e30], [0.0, -0.0], [3e38, 3e38], [1e-42, 1e-42], [2, 2, 1, 1]]


@pytest.mark.parametrize("values", ODD, ids=str)
def test_nan_infinity_and_ties(values: list[float]) -> None:
    x = np.array(values * 30, np.float32)
    for a in (x, x.reshape(-1, len(values))):
        for axis in range(a.ndim):
            with np.errstate(all="ignore"):
                for name in ("amax", "amin", "logsumexp", "any_nonzero", "all_nonzero"):
                    check(name, a, (axis,), False)
                for name in ("max_with_index", "min_with_index", "argmax", "argmin"):
                    check(name, a, axis, True)
                for p in (0.0, 1.0, 2.0, 3.0, -1.0, INF, -INF):
                    check("vector_norm", a, (axis,), False, p)
                for name in ("cummax", "cummin", "logcumsumexp"):
                    check(name, a, axis)
                for order in ("median", "kth_value"):
                    check(order, a, axis, False, *([False] if order == "median" else [2]))
                check("mode", a, axis, True)


def test_a_constant_has_no_variance() -> None:
    for shape, axis in (((3, LONG), 1), ((LONG, 3), 0)):
        x = kernels.to_device(np.full(shape, 1e8 / 3, np.float32))
        assert not kernels.to_host(kernels.var(x, (axis,), False, 0)).any()


def test_the_variance_of_numbers_far_from_zero_keeps_its_digits() -> None:
    x = numbers((LONG,), np.dtype(np.float32)) * np.float32(0.01) + np.float32(100)
    found = float(kernels.to_host(kernels.var(kernels.to_device(x), (0,), False, 1)))
    assert found == pytest.approx(float(np.var(x.astype(np.float64), ddof=1)), rel=1e-4)


def test_a_zero_ends_a_product_whatever_overflows_beside_it() -> None:
    x = np.concatenate([np.full(1100, 2.0), [0.0], np.full(1100, 3.0)]).astype(np.float32)
    assert kernels.to_host(kernels.prod(kernels.to_device(x), (0,), False, x.dtype)) == 0
    running = kernels.to_host(kernels.cumprod(kernels.to_device(x), 0, x.dtype, False))
    assert running[100] == np.float32(2.0**101) and np.isinf(running[1099]) and not running[1100:].any()


def test_a_recurrence_is_not_lost_to_products_of_factors() -> None:
    factor, term = np.full(3000, 4.0, np.float32), np.zeros(3000, np.float32)
    term[-2] = 1
    found = kernels.linear_recurrence(kernels.to_device(factor), kernels.to_device(term), 0, False)
    assert kernels.to_host(found)[-3:].tolist() == [0, 1, 4]


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.name not in ("float16", "uint8", "bool")], ids=lambda d: d.name)
@pytest.mark.parametrize(("shape", "axis"), [((LONG,), 0), ((2, 1301), 1), ((3, 100), 1), ((40, 6), 1), ((LONG // 4, 3), 0), ((2, 90, 5), 1), ((), 0)])
def test_scans(shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> None:
    x = numbers(shape, dtype)
    size = math.sqrt(x.size)
    result = dtype if dtype.kind in "fcV" else np.dtype(np.int64)
    shrinking = (x * dtype.type(0.5)).astype(dtype) if dtype.kind == "c" else x  # in another order, a long product overflows at another place
    for reverse in (False, True):
        check("cumsum", x, axis, result, reverse, size=size)
        check("cumprod", shrinking, axis, result, reverse)
        if dtype.kind in "fcV":
            factor = (x * dtype.type(0.3)).astype(dtype)
            found = kernels.linear_recurrence(kernels.to_device(factor), kernels.to_device(x), axis, reverse)
            wide = np.complex128 if dtype.kind == "c" else np.float64
            expected = cpu.linear_recurrence(factor, x, axis, reverse).astype(wide)
            np.testing.assert_allclose(kernels.to_host(found).astype(wide), expected, 4 * EPS[dtype.name], 4 * EPS[dtype.name])
    if dtype.kind != "c":
        check("cummax", x, axis)
    if dtype.kind in "fV":
        check("logcumsumexp", x, axis)
    check("shift", x, axis, -1, 1.0)


def test_results_have_the_same_bits_each_time() -> None:
    x = kernels.to_device(numbers((LONG,), np.dtype(np.float32)))
    first = [kernels.to_host(f) for f in (kernels.sum(x, (0,), False), kernels.logsumexp(x, (0,), False), kernels.cumsum(x, 0, x.dtype))]
    again = [kernels.to_host(f) for f in (kernels.sum(x, (0,), False), kernels.logsumexp(x, (0,), False), kernels.cumsum(x, 0, x.dtype))]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("values", [[1.0, np.inf], [1.0, np.inf, 2.0], [-np.inf, 1.0], [np.inf, np.inf]])
def test_variances_of_infinite_numbers_are_nan(values: list[float]) -> None:
    x = tg.tensor(values, device="cuda")
    assert x.var().isnan().item() and tg.stack([x, x]).var(1).isnan().all().item() and tg.stack([x, x], 1).std(0).isnan().all().item()
