"""Pooling kernels against plain definitions: dtypes, strides, edges, NaN and threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import tapegrad as tg
from tapegrad.kernels.axis_maps import Axis, table
from tapegrad.kernels.cpu.vision.pool import max_pool, max_pool_backward
from tapegrad.kernels.cpu.vision.resample import resample
from tapegrad.kernels.native import runtime

Array = np.ndarray[Any, Any]


def window(size: int, kernel: int, stride: int, padding: int, dilation: int = 1, divide: str = "") -> Axis:
    return Axis("window", size, (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1, (kernel, stride, padding, dilation, divide))


def places(axis: Axis) -> list[list[int]]:
    """The elements in each window."""
    t = table(axis)
    return [t.index[i, : t.count[i]].tolist() for i in range(axis.out)]


def expected_max(x: Array, maps: tuple[Axis, ...]) -> tuple[Array, Array]:
    dims = len(maps)
    planes = x.reshape(-1, *x.shape[x.ndim - dims :])
    values = np.zeros((len(planes), *[m.out for m in maps]), x.dtype)
    indices = np.zeros(values.shape, np.int64)
    for plane, (*t, where) in itertools.product(range(len(planes)), _windows(maps)):
        best = None
        for at in where:
            v = planes[(plane, *at)]
            if best is None or v > best or v != v:
                best = v
                values[(plane, *t)], indices[(plane, *t)] = v, np.ravel_multi_index(at, planes.shape[1:])
    shape = (*x.shape[: x.ndim - dims], *values.shape[1:])
    return values.reshape(shape), indices.reshape(shape)


def _windows(maps: tuple[Axis, ...]) -> list[tuple[Any, ...]]:
    found = [places(m) for m in maps]
    return [(*t, list(itertools.product(*[f[i] for f, i in zip(found, t, strict=True)]))) for t in np.ndindex(*map(len, found))]


def expected_mean(x: Array, maps: tuple[Axis, ...]) -> Array:
    """In float64, one axis after the other, by matrices."""
    out = x.astype(np.float64)
    for axis, m in enumerate(maps, x.ndim - len(maps)):
        out = np.moveaxis(np.tensordot(matrix(m), out, (1, axis)), 0, axis)
    return out


def matrix(m: Axis) -> Array:
    t, made = table(m), np.zeros((m.out, m.size))
    for i, where in enumerate(places(m)):
        made[i, where] = 1 if t.divisor is None else 1 / t.divisor[i]
    return made


@pytest.fixture
def threads() -> Iterator[None]:
    before = runtime.get_num_threads()
    yield
    runtime.set_num_threads(before)


WINDOWS = {
    "two by two": (window(12, 2, 2, 0), window(38, 2, 2, 0)),
    "overlapping, every second": (window(9, 3, 2, 1), window(37, 3, 2, 1)),
    "next to each other": (window(7, 3, 1, 1), window(20, 5, 1, 2)),
    "far apart": (window(11, 2, 4, 1), window(50, 3, 5, 1)),
    "dilated": (window(9, 2, 1, 1, 3), window(21, 3, 2, 2, 2)),
    "one dimension": (window(67, 4, 3, 2),),
    "three dimensions": (window(4, 2, 2, 1), window(5, 3, 1, 1), window(18, 2, 1, 0)),
    "adaptive": (Axis("adaptive", 7, 3, (False,)), Axis("adaptive", 10, 7, (False,))),
    "ceiling": (Axis("window", 6, 3, (3, 2, 0, 1, "")), Axis("window", 20, 10, (3, 2, 0, 1, ""))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16", "uint8", "bool"])
@pytest.mark.parametrize("name", list(WINDOWS))
def test_maxima(name: str, dtype: str) -> None:
    maps = WINDOWS[name]
    x = np.random.default_rng(0).integers(-3 if dtype != "uint8" else 0, 4, (2, 3, *[m.size for m in maps])).astype(dtype)  # with many ties
    values, indices = max_pool(x, maps)
    exact, where = expected_max(x, maps)
    assert values.dtype == x.dtype
    np.testing.assert_array_equal(values, exact)
    np.testing.assert_array_equal(indices, where)


@pytest.mark.parametrize("name", list(WINDOWS))
def test_maxima_of_nan_and_infinities(name: str) -> None:
    maps = WINDOWS[name]
    r = np.random.default_rng(1)
    x = r.choice(np.array([np.nan, -np.inf, np.inf, 0.0, 1.0], np.float32), (4, *[m.size for m in maps]), p=[0.1, 0.6, 0.1, 0.1, 0.1])
    values, indices = max_pool(x, maps)
    exact, where = expected_max(x, maps)
    np.testing.assert_array_equal(values, exact)
    np.testing.assert_array_equal(indices, where)


@pytest.mark.parametrize("divide", ["", "inside", "padded"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in WINDOWS if name != "dilated"])
def test_means_and_their_transpose(name: str, dtype: str, divide: str) -> None:
    maps = tuple(m._replace(options=(*m.options[:4], divide) if m.kind == "window" else (divide != "",)) for m in WINDOWS[name])
    r = np.random.default_rng(2)
    x = r.standard_normal((2, 3, *[m.size for m in maps])).astype(dtype)
    tolerance = 16 * float(np.finfo(dtype).eps)
    out = resample(x, maps, False)
    np.testing.assert_allclose(out, expected_mean(x, maps), rtol=tolerance, atol=8 * tolerance)
    g = r.standard_normal(out.shape).astype(dtype)
    back: Any = g.astype(np.float64)
    for axis, m in enumerate(maps, 2):
        back = np.moveaxis(np.tensordot(matrix(m), back, (0, axis)), 0, axis)
    np.testing.assert_allclose(resample(g, maps, True), back, rtol=tolerance, atol=8 * tolerance)


@settings(deadline=None, max_examples=40)
@given(size=st.integers(1, 40), kernel=st.integers(1, 5), stride=st.integers(1, 6), padding=st.integers(0, 2), dilation=st.integers(1, 3))
def test_any_windows(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    padding = min(padding, kernel // 2)
    if size + 2 * padding < dilation * (kernel - 1) + 1:
        return
    m = window(size, kernel, stride, padding, dilation)
    if min(map(len, places(m))) == 0:
        return
    x = np.random.default_rng(3).standard_normal((2, size))
    values, indices = max_pool(x, (m,))
    exact, where = expected_max(x, (m,))
    np.testing.assert_array_equal(values, exact)
    np.testing.assert_array_equal(indices, where)


def test_any_layout_and_narrow_floats() -> None:
    maps = WINDOWS["overlapping, every second"]
    x = np.random.default_rng(4).standard_normal((2, 3, 9, 37)).astype(np.float16)
    for a, b in zip(max_pool(x, maps), max_pool(np.asfortranarray(x), maps), strict=True):
        np.testing.assert_array_equal(a, b)
    assert max_pool(x, maps)[0].dtype == np.float16
    np.testing.assert_array_equal(max_pool(x, maps)[0], expected_max(x, maps)[0])


def test_gradients_of_maxima_add_up_in_order() -> None:
    g = np.array([[1e8, 1.0, -1e8, 1.0]], np.float32)
    back = max_pool_backward(g, np.array([[2, 2, 2, 0]]), (1, 3), 1)
    assert back.tolist() == [[1.0, 0.0, float(np.float32(np.float32(1e8) + np.float32(1)) - np.float32(1e8))]]


@pytest.mark.parametrize("name", list(WINDOWS))
def test_threads_change_no_bit(name: str, threads: None) -> None:
    maps = WINDOWS[name]
    means = tuple(m._replace(options=(*m.options[:3], 1, "inside") if m.kind == "window" else (True,)) for m in maps)
    x = np.random.default_rng(5).standard_normal((40, 8, *[m.size for m in maps])).astype(np.float32)
    results = []
    for count in (1, 2):
        runtime.set_num_threads(count)
        values, indices = max_pool(x, maps)
        mean = resample(x, tuple(m._replace(out=n) for m, n in zip(means, values.shape[2:], strict=True)), False)
        results.append([values, indices, max_pool_backward(values, indices, x.shape, len(maps)), mean])
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_compiled_replay_pools_as_eager_does() -> None:
    def step(x: Any) -> Any:
        y = tg.nn.functional.max_pool2d(tg.nn.functional.avg_pool2d(x, 3, 2, 1), 2)
        return tg.nn.functional.interpolate(y, scale_factor=2, mode="bilinear")

    compiled = tg.compile(step)
    for seed in range(4):
        x = tg.from_numpy(np.random.default_rng(seed).standard_normal((2, 3, 12, 12)))
        np.testing.assert_array_equal(compiled(x).numpy(), step(x).numpy())
