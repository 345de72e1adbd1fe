"""Reductions against float64 and exact references: accuracy on every axis, layouts, dtypes, edge values, threads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tapegrad.kernels.cpu.reduction.reduce import (
    amax,
    amin,
    argmax,
    argmin,
    cumsum,
    logsumexp,
    max_with_index,
    mean,
    min_with_index,
    sum,
    sum_to,
    var,
    var_mean,
)
from tapegrad.kernels.cpu.reduction.statistics import vector_norm
from tapegrad.kernels.native import runtime

FLOATS = [np.dtype("float32"), np.dtype("float64")]
SHAPES = [(), (1,), (7,), (32, 128), (3, 4, 5), (2, 1, 3), (5, 40, 7), (300, 513), (17, 3, 66), (70000,), (4, 0, 3)]
rng = np.random.default_rng(7)


def axis_sets(ndim: int) -> Iterator[tuple[int, ...]]:
    for k in range(ndim + 1):
        yield from itertools.combinations(range(ndim), k)


def layouts(shape: tuple[int, ...], dtype: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Arrays of one shape, differently laid out in memory."""
    x = np.array(100 * rng.standard_normal(shape), dtype)
    yield x
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=-1)[..., ::2] if shape else x
    yield np.asarray(np.flip(x))
    yield np.broadcast_to(x[..., :1], shape) if 0 not in shape and shape else x
    yield np.ascontiguousarray(x.swapaxes(0, -1)).swapaxes(0, -1) if shape else x
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(dtype) if x.ndim == 1 else x  # misaligned
    raw = raw.reshape(shape)
    if raw is not x:
        raw[...] = x
    yield raw


# By day two shapes, with few and with many elements to reduce, in every layout, and the others as they come in float32: each pair
# of axes and layout is a kernel.
_EVERYWHERE = [(5, 40, 7), (300, 513)]
SPREAD = [(shape, dtype, shape in _EVERYWHERE) for shape in SHAPES for dtype in ("float32", "float64") if shape in _EVERYWHERE or dtype == "float32"]
MORE = [(shape, dtype, True) for shape in SHAPES for dtype in ("float32", "float64") if shape not in _EVERYWHERE]
shapes_and_layouts = pytest.mark.parametrize(
    ("shape", "dtype", "everywhere"),
    [pytest.param(*p, id=f"{p[0]}-{p[1]}") for p in SPREAD]
    + [pytest.param(*p, id=f"{p[0]}-{p[1]}-every layout", marks=pytest.mark.nightly) for p in MORE],
)


def same(result: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, expected)


def check_sum(x: np.ndarray[Any, Any], axes: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    before = x.copy()
    for keepdims in (False, True):
        result = sum(x, axes, keepdims, dtype)
        exact = np.sum(x.astype(np.longdouble), axis=axes, keepdims=keepdims)
        size = np.sum(np.abs(x).astype(np.float64), axis=axes, keepdims=keepdims)
        n = math.prod(x.shape[d] for d in axes)
        assert result.shape == exact.shape and result.dtype == dtype and result.flags.c_contiguous
        bound = 2 * np.finfo(dtype).eps * math.ceil(math.log2(max(n, 2))) * size
        assert np.all(np.abs(result - exact) <= bound)
    np.testing.assert_array_equal(x, before)


# ---------------------------------------------------------------------------------------------------------------- sums


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_sum_is_accurate_over_any_axes_of_any_layout(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    for x in layouts(shape, dtype):
        for axes in axis_sets(len(shape)):
            check_sum(x, axes, dtype)


@pytest.mark.parametrize("shape, axis", [((1_000_003,), 0), ((3, 300_001), 1), ((300_001, 3), 0), ((2, 100_001, 2), 1)])
def test_long_sums_of_one_sign_are_pairwise(shape: tuple[int, ...], axis: int) -> None:
    x = (rng.random(shape) + 0.1).astype(np.float32)
    check_sum(x, (axis,), np.dtype("float32"))
    lanes = np.moveaxis(x, axis, -1).reshape(-1, shape[axis])
    exact = [math.fsum(lane) for lane in lanes.tolist()]
    assert np.max(np.abs(sum(x, (axis,), False, x.dtype).reshape(-1) / exact - 1)) < 4e-7


@pytest.mark.parametrize("n", [1, 2, 3, 15, 16, 17, 31, 63, 64, 65, 255, 1023, 1024, 1025, 4095, 4097])
def test_worst_lengths_stay_within_the_bound(n: int) -> None:
    for shape, axis in (((n,), 0), ((n, 5), 0), ((5, n), 1)):
        check_sum(rng.random(shape).astype(np.float32), (axis,), np.dtype("float32"))


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_sum_to_and_sum_on_random_shapes(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 6), max_size=5)))
    order = data.draw(st.permutations(range(len(shape))))
    x = rng.standard_normal(shape).astype(np.float32).transpose(order)
    axes = tuple(sorted(data.draw(st.sets(st.sampled_from(range(x.ndim)))) if x.ndim else ()))
    check_sum(x, axes, np.dtype("float32"))
    lead = data.draw(st.integers(0, x.ndim))
    target = tuple(1 if data.draw(st.booleans()) else n for n in x.shape[lead:])
    reduced = (*range(lead), *(lead + d for d, n in enumerate(target) if n == 1))
    expected = x.astype(np.float64).sum(reduced).reshape(target)
    np.testing.assert_allclose(sum_to(x, target), expected, rtol=0, atol=1e-4)
    assert sum_to(x, target).shape == target


def test_sum_to_returns_the_array_itself_when_there_is_nothing_to_do() -> None:
    x = np.ones((2, 3))
    assert sum_to(x, (2, 3)) is x


def test_nothing_sums_to_zero() -> None:
    for shape, axes in (((0,), (0,)), ((3, 0), (1,)), ((0, 3), (0,)), ((2, 0, 3), (0, 1, 2))):
        x = np.ones(shape, np.float32)
        same(sum(x, axes, False, x.dtype), x.sum(axes))
    assert sum(np.ones((0, 3)), (1,), False, np.dtype("float64")).shape == (0,)


@pytest.mark.parametrize(
    "source, result",
    [("bool", "int64"), ("int8", "int8"), ("int8", "int64"), ("uint8", "int64"), ("int32", "uint8"), ("int64", "int64")]
    + [("uint32", "uint64"), ("int16", "float32")],
)
def test_integers_wrap_in_the_result_dtype(source: str, result: str) -> None:
    x = rng.integers(0, 2 if source == "bool" else 120, (37, 5, 90)).astype(source)
    for axes in axis_sets(3):
        same(sum(x, axes, False, np.dtype(result)), x.sum(axes, dtype=np.int64).astype(result))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_short_floats_are_summed_in_float32(name: str) -> None:
    dtype = np.dtype(name) if name == "float16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = rng.random((50, 3000)).astype(dtype)
    for axes in axis_sets(2):
        exact = x.astype(np.float64).sum(axes)
        result = sum(x, axes, False, dtype)
        assert result.dtype == dtype
        half_ulp = 2.0 ** (-11 if name == "float16" else -8)
        exact = np.where(np.abs(exact) < 65520, exact, np.inf) if name == "float16" else exact
        np.testing.assert_allclose(result.astype(np.float64), exact, rtol=1.01 * half_ulp)
        same(amax(x, axes, True).astype(np.float32), x.astype(np.float32).max(axes, keepdims=True))
    same(argmax(x, 1, False), x.astype(np.float32).argmax(1))
    same(max_with_index(x, 0, False)[0].astype(np.float32), x.astype(np.float32).max(0))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_sums(dtype: str) -> None:
    x = (rng.standard_normal((6, 50, 31)) + 1j * rng.standard_normal((6, 50, 31))).astype(dtype)
    for y in (x, x.T, x[::-1], x[..., ::2], x[:, :1, :0]):
        for axes in axis_sets(3):
            result = sum(y, axes, True, y.dtype)
            atol = 1e-3 if y.itemsize == 8 else 1e-12
            np.testing.assert_allclose(result, y.astype(complex).sum(axes, keepdims=True), atol=atol)
            assert result.dtype == y.dtype
    np.testing.assert_allclose(sum(x.real.copy(), (0,), False, x.dtype), x.real.sum(0), rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="complex"):
        sum(x, (0,), False, np.dtype("float32"))


def test_foreign_byte_order_is_refused() -> None:
    with pytest.raises(TypeError, match="byte order"):
        sum(np.ones(3, ">f4"), (0,), False, np.dtype("float32"))


# --------------------------------------------------------------------------------------------------- mean and variance


@shapes_and_layouts
@pytest.mark.filterwarnings("ignore")
def test_mean_and_variance(shape: tuple[int, ...], dtype: str, everywhere: bool) -> None:
    tolerance = 40 * float(np.finfo(dtype).eps)
    for x in itertools.islice(layouts(shape, dtype), None if everywhere else 1):
        wide = x.astype(np.float64)
        for axes in axis_sets(len(shape)):
            for correction in (0, 1):
                expected = wide.var(axes, ddof=correction, keepdims=True)
                result, centre = var_mean(x, axes, True, correction)
                assert (result.shape, result.dtype) == (expected.shape, dtype)
                np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)
                np.testing.assert_allclose(centre, wide.mean(axes, keepdims=True), rtol=tolerance, atol=100 * tolerance)
            np.testing.assert_allclose(mean(x, axes, False), wide.mean(axes), rtol=tolerance, atol=100 * tolerance)


@pytest.mark.parametrize("n", [1, 3, 1000, 100_000])
def test_variance_of_a_constant_is_exactly_zero(n: int) -> None:
    x = np.full((n, 2), 0.1, np.float32)
    result, centre = var_mean(x, (0,), False, 0)
    same(result, np.zeros(2, np.float32))
    same(centre, x[0])


def test_variance_about_a_large_mean() -> None:
    x = np.array([[1e6 + 1, 1e6 + 2, 1e6 + 3]], np.float32)
    same(var(x, (1,), False, 1), np.ones(1, np.float32))
    assert np.isnan(var(x[:, :1], (1,), False, 1)).all() and np.isnan(var(np.array([np.inf, 1.0]), (0,), False, 0))
    assert np.isposinf(var(x, (1,), False, 5)).all()  # as PyTorch: the divisor is never negative


# ------------------------------------------------------------------------------------------------------------- extrema


@shapes_and_layouts
def test_extrema_and_their_indices(shape: tuple[int, ...], dtype: str, everywhere: bool) -> None:
    for x in itertools.islice(layouts(shape, dtype), None if everywhere else 1):
        check_extrema(x)


@pytest.mark.parametrize("dtype", ["int8", "bool"])
def test_extrema_of_integers(dtype: str) -> None:
    for shape in SHAPES:
        check_extrema(rng.integers(0, 99, shape).astype(dtype))


def check_extrema(x: Any) -> None:
    for axes in axis_sets(x.ndim):
        if all(x.shape[d] for d in axes):
            same(amax(x, axes, False), x.max(axes))
            same(amin(x, axes, True), x.min(axes, keepdims=True))
    for axis in range(x.ndim):
        if x.shape[axis]:
            same(argmax(x, axis, True), x.argmax(axis, keepdims=True))
            same(argmin(x, axis, False), x.argmin(axis))
            values, indices = max_with_index(x, axis, False)
            same(values, x.max(axis))
            same(indices, x.argmax(axis))
            values, indices = min_with_index(x, axis, True)
            same(values, x.min(axis, keepdims=True))
            same(indices, x.argmin(axis, keepdims=True))
    if x.size:
        same(argmax(x, None, False), x.argmax())
        same(argmin(x, None, True), x.argmin(keepdims=True))


@pytest.mark.parametrize("shape", [(5,), (40, 3), (3, 3000), (200_000,), (100_000, 2)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nan_is_the_extremum(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    for place in (0, shape[0] // 2, shape[0] - 1):
        x = rng.standard_normal(shape).astype(dtype)
        x[0] = np.inf
        x[place] = np.nan
        x[-1] = np.nan
        for function, reference in ((amax, np.max), (amin, np.min)):
            for axes in axis_sets(x.ndim):
                same(function(x, axes, False), reference(x, axis=axes))
        for axis in range(x.ndim):
            same(argmax(x, axis, False), x.argmax(axis))
            same(argmin(x, axis, False), x.argmin(axis))
        same(argmax(x, None, False), x.argmax())


def test_the_first_of_equals_is_found() -> None:
    x = np.zeros((3, 200_000), np.float32)
    x[:, [777, 150_000]] = 1
    same(argmax(x, 1, False), np.full(3, 777))
    same(argmax(x.T.copy(), 0, False), np.full(3, 777))
    same(argmin(x, None, False), np.asarray(0))


# ------------------------------------------------------------------------------------------- logsumexp and running sums


@pytest.mark.parametrize("shape", [(1,), (33, 65), (5, 40, 7), (100_003,), (4, 0, 3)], ids=str)
def test_euclidean_norms_of_float32_neither_overflow_nor_vanish(shape: tuple[int, ...]) -> None:
    tiny, huge = (np.array(rng.standard_normal(shape) * scale, np.float32) for scale in (1e-30, 1e30))
    for x in (tiny, huge, *layouts(shape, np.dtype("float32"))):
        for axes in axis_sets(x.ndim):
            found = vector_norm(x, axes, True, 2.0)
            np.testing.assert_allclose(found, np.sqrt(np.square(x.astype(np.float64)).sum(axes, keepdims=True)), 1e-7, 0)
            assert found.dtype == x.dtype


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_logsumexp(dtype: np.dtype[Any], shift: float) -> None:
    for shape in ((5,), (33, 70), (4, 300, 3), (100_000,)):
        x = (3 * rng.standard_normal(shape) + shift).astype(dtype)
        for y in (x, x.T, x[::-1]):
            wide = y.astype(np.longdouble)
            for axes in axis_sets(y.ndim):
                largest = wide.max(axes, keepdims=True)
                expected = (np.log(np.exp(wide - largest).sum(axes, keepdims=True)) + largest).astype(np.float64)
                rtol, atol = 4 * np.finfo(dtype).eps, 40 * np.finfo(dtype).eps
                np.testing.assert_allclose(logsumexp(y, axes, True), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_logsumexp_of_infinities(dtype: np.dtype[Any]) -> None:
    inf, nan = np.inf, np.nan
    rows = np.array([[-inf, -inf], [inf, 0], [inf, -inf], [-inf, 3], [nan, 1], [nan, inf], [1e4, 1e4]], dtype)
    expected = np.array([-inf, inf, inf, 3, nan, nan, dtype.type(1e4) + np.log(dtype.type(2))], dtype)
    np.testing.assert_allclose(logsumexp(rows, (1,), False), expected, rtol=1e-6)
    np.testing.assert_allclose(logsumexp(rows.T.copy(), (0,), False), expected, rtol=1e-6)
    same(logsumexp(np.zeros((2, 0), dtype), (1,), False), np.full(2, -inf, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int8", "complex64", "complex128"])
def test_running_sums(dtype: str) -> None:
    for shape in ((1,), (5,), (20, 30), (3, 40, 700), (2, 0), (50_000,)):
        x = (10 * rng.standard_normal(shape)).astype(dtype)
        wide = x.astype("complex128" if dtype[0] == "c" else "float64" if dtype[0] == "f" else dtype)
        for y, z in ((x, wide), (x.T, wide.T), (x[::-1], wide[::-1])):
            for axis in range(y.ndim):
                atol = 1e-3 if dtype in ("float32", "complex64") else 1e-10
                result = cumsum(y, axis, y.dtype)
                assert result.dtype == y.dtype and result.flags.c_contiguous
                np.testing.assert_allclose(result, np.cumsum(z, axis, dtype=z.dtype), rtol=1e-6, atol=atol)
                back = np.flip(np.cumsum(np.flip(z, axis), axis, dtype=z.dtype), axis)
                np.testing.assert_allclose(cumsum(y, axis, y.dtype, True), back, rtol=1e-6, atol=atol)
    x = np.full((1_000_000,), 0.1, np.float32)
    assert abs(cumsum(x, 0, x.dtype)[-1] - math.fsum(x.tolist())) < 0.01
    same(cumsum(np.ones(300, bool), 0, np.dtype("int64")), np.arange(1, 301))


# ------------------------------------------------------------------------------------------------------------- threads


FUNCTIONS: list[Callable[..., Any]] = [
    lambda x, axes: sum(x, axes, False, x.dtype),
    lambda x, axes: amax(x, axes, False),
    lambda x, axes: var(x, axes, False, 1),
    lambda x, axes: logsumexp(x, axes, False),
    lambda x, axes: max_with_index(x, axes[0], False)[1],
    lambda x, axes: cumsum(x, axes[0], x.dtype),
    lambda x, axes: vector_norm(x, axes, False, 2.0),
]


@pytest.mark.parametrize("shape", [(1_500_001,), (1200, 1100), (700_000, 2), (5, 130_000, 2), (16, 48, 900)], ids=str)
def test_bits_do_not_depend_on_threads_or_alignment(shape: tuple[int, ...]) -> None:
    room = rng.standard_normal(math.prod(shape) + 3).astype(np.float32)
    x = room[: math.prod(shape)].reshape(shape)
    shifted = np.empty(x.size + 3, np.float32)[3:].reshape(shape)
    shifted[...] = x
    threads = runtime.get_num_threads()
    try:
        for axes in ((0,), (x.ndim - 1,), tuple(range(x.ndim))):
            for function in FUNCTIONS:
                results = []
                for count in (1, 2, 3, 7):
                    runtime.set_num_threads(count)
                    results.append(function(x, axes).tobytes())
                assert len({*results, function(shifted, axes).tobytes()}) == 1
    finally:
        runtime.set_num_threads(threads)
