"""Convolution and its transposes against sums over taps in float64: every shape, stride, block, tile and number of threads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tapegrad.kernels.cpu.linalg.gemm import Tile, host_tile
from tapegrad.kernels.cpu.vision import conv, conv_weight, direct_conv
from tapegrad.kernels.native import runtime
from tapegrad.kernels.native.call import Launches, Steps

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]


class Case(NamedTuple):
    n: int
    channels: int
    out_channels: int
    size: Sizes
    kernel: Sizes
    stride: Sizes
    padding: tuple[tuple[int, int], ...]
    dilation: Sizes
    groups: int = 1

    @property
    def space(self) -> Sizes:
        return conv.windows_along(self.size, self.kernel, self.stride, self.padding, self.dilation)

    @property
    def options(self) -> Any:
        return self.stride, self.padding, self.dilation, self.groups

    def arrays(self, dtype: str, seed: int = 0) -> list[Array]:
        """Input, weight, bias, gradient of the output."""
        r = np.random.default_rng(seed)
        shapes = [
            (self.n, self.channels, *self.size),
            (self.out_channels, self.channels // self.groups, *self.kernel),
            (self.out_channels,),
            (self.n, self.out_channels, *self.space),
        ]
        return [r.standard_normal(shape).astype(dtype) for shape in shapes]


def square(n: int, channels: int, out_channels: int, size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> Case:
    return Case(n, channels, out_channels, (size,) * 2, (kernel,) * 2, (stride,) * 2, ((padding,) * 2,) * 2, (dilation,) * 2, groups)


def taps(case: Case, x: Array) -> Iterator[tuple[Sizes, Any]]:
    """Each place in the window, and what lies there in all windows of an input within zeros."""
    for k in itertools.product(*map(range, case.kernel)):
        at = [slice(i * d, i * d + (t - 1) * s + 1, s) for i, d, t, s in zip(k, case.dilation, case.space, case.stride, strict=True)]
        yield k, x[(..., *at)].reshape(case.n, case.groups, -1, math.prod(case.space))


def within_zeros(case: Case, x: Array) -> Array:
    wide = np.zeros((*x.shape[:2], *[n + a + max(b, 0) for n, (a, b) in zip(case.size, case.padding, strict=True)]))
    wide[(..., *[slice(a, a + n) for n, (a, _) in zip(case.size, case.padding, strict=True)])] = x
    return wide


def grouped(case: Case, w: Array) -> Array:
    return w.astype(np.float64).reshape(case.groups, -1, *w.shape[1:])


def forward(case: Case, x: Array, w: Array, b: Array) -> Array:
    out: Any = 0.0
    for k, part in taps(case, within_zeros(case, x)):
        out = out + np.einsum("goc,ngct->ngot", grouped(case, w)[(..., *k)], part)
    return np.asarray(out.reshape(case.n, -1, *case.space) + b.reshape(-1, *(1,) * len(case.size)))


def backward_input(case: Case, g: Array, w: Array) -> Array:
    wide = within_zeros(case, np.zeros((case.n, case.channels, *case.size)))
    g = g.astype(np.float64).reshape(case.n, case.groups, -1, math.prod(case.space))
    for k in itertools.product(*map(range, case.kernel)):
        at = [slice(i * d, i * d + (t - 1) * s + 1, s) for i, d, t, s in zip(k, case.dilation, case.space, case.stride, strict=True)]
        part = np.einsum("goc,ngot->ngct", grouped(case, w)[(..., *k)], g)
        wide[(..., *at)] += part.reshape(case.n, case.channels, *case.space)
    return wide[(..., *[slice(a, a + n) for n, (a, _) in zip(case.size, case.padding, strict=True)])]


def backward_weight(case: Case, g: Array, x: Array) -> Array:
    out = np.zeros((case.out_channels, case.channels // case.groups, *case.kernel))
    g = g.astype(np.float64).reshape(case.n, case.groups, -1, math.prod(case.space))
    for k, part in taps(case, within_zeros(case, x)):
        out[(..., *k)] = np.einsum("ngot,ngct->goc", g, part).reshape(out.shape[:2])
    return out


def close(found: Array, exact: Array, terms: int) -> None:
    """Of standard normal factors: their sum's rounding grows with the square root of the number of terms, here with room to spare."""
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= 8 * float(np.finfo(found.dtype).eps) * (terms + 8)


def run(case: Case, arrays: list[Array]) -> list[Array]:
    x, w, b, g = arrays
    return [
        conv.convolution(x, w, b, *case.options),
        conv.convolution_input(g, w, case.size, *case.options),
        conv.convolution_weight(g, x, case.kernel, *case.options),
    ]


def check(case: Case, dtype: str, seed: int = 0) -> None:
    x, w, b, g = case.arrays(dtype, seed)
    window = math.prod(case.kernel)
    results = run(case, [x, w, b, g])
    close(results[0], forward(case, x, w, b), window * case.channels // case.groups)
    close(results[1], backward_input(case, g, w), window * case.out_channels // case.groups)
    close(results[2], backward_weight(case, g, x), case.n * math.prod(case.space))


@pytest.fixture
def threads() -> Iterator[None]:
    before = runtime.get_num_threads()
    yield
    runtime.set_num_threads(before)


# ------------------------------------------------------------------------------------------------------------- values

LAYERS = {  # what each is there for
    "blocks of rows": square(2, 32, 40, 61, 3, padding=1),
    "many taps, and images together": square(5, 80, 33, 7, 3, padding=1),
    "columns in turns": square(3, 20, 64, 29, 5, stride=2, padding=2),
    "steps wider than windows": square(2, 9, 24, 20, 2, stride=3),
    "in place": square(2, 70, 17, 13, 3),
    "single elements": square(3, 70, 17, 13, 1),
    "single elements, in groups": square(2, 24, 36, 7, 1, groups=3),
    "images of one element": square(3, 20, 12, 1, 1, groups=2),
    "gaps": square(2, 12, 20, 19, 3, padding=4, dilation=3),
    "few input channels": square(2, 3, 32, 40, 7, stride=2, padding=3),
    "few output channels": square(2, 40, 3, 33, 3, padding=1),
    "depthwise": square(2, 24, 24, 35, 3, padding=1, groups=24),
    "depthwise, a step of two": square(3, 16, 16, 21, 3, stride=2, padding=1, groups=16),
    "groups": square(2, 20, 36, 12, 3, padding=1, groups=4),
    "blocks of columns": Case(2, 64, 24, (5000,), (5,), (1,), ((2, 2),), (1,)),
    "long steps": Case(1, 48, 8, (4001,), (9,), (4,), ((3, 0),), (2,)),
    "three dimensions": Case(2, 6, 20, (5, 9, 8), (3, 2, 3), (1, 2, 1), ((1, 1), (0, 1), (2, 0)), (1, 2, 1)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(LAYERS))
def test_layers(name: str, dtype: str) -> None:
    check(LAYERS[name], dtype)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dims, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 3]))

    def each(low: int, high: int) -> Sizes:
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    kernel, stride, dilation = each(1, 4), each(1, 3), each(1, 3)
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(-1, 3))) for _ in range(dims))
    least = [max(d * (k - 1) + 1 - sum(p), 1) for d, k, p in zip(dilation, kernel, padding, strict=True)]
    size = tuple(n + draw(st.integers(0, (40, 14, 5)[dims - 1])) for n in least)
    return Case(draw(st.integers(1, 3)), groups * draw(st.integers(1, 5)), groups * draw(st.integers(1, 20)), size, kernel, stride, padding, dilation, groups)


@settings(deadline=None, max_examples=60)
@given(case=cases(), dtype=st.sampled_from(["float32", "float64"]))
def test_any_geometry(case: Case, dtype: str) -> None:
    check(case, dtype)


TILES = {"avx2": Tile(32, 6, 2, True), "portable": Tile(16, 4, 2, False)}


@pytest.mark.parametrize("name", ["portable", pytest.param("avx2", marks=pytest.mark.nightly)] if host_tile().fused else ["portable"])
def test_tiles_of_other_processors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (direct_conv, conv_weight):
        monkeypatch.setattr(module, "tile_shape", lambda: TILES[name])
    caches = (direct_conv.kernel_of, direct_conv.plan_of, conv_weight._plan)
    for kept in caches:
        kept.cache_clear()
    try:
        for layer in ("columns in turns", "depthwise"):
            check(LAYERS[layer], "float32")
    finally:
        for kept in caches:
            kept.cache_clear()


def test_a_large_gradient_of_the_weight_is_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv, "_PRODUCTS_BYTES", 0)
    check(LAYERS["single elements, in groups"], "float32")


def test_without_a_bias_and_in_any_layout() -> None:
    case = LAYERS["groups"]
    x, w, b, g = case.arrays("float32")
    same = [np.asfortranarray(a) for a in (x, w, b, g)]
    for plain, turned in zip(run(case, [x, w, b, g]), run(case, same), strict=True):
        np.testing.assert_array_equal(plain, turned)
    zero = np.zeros_like(b)
    np.testing.assert_array_equal(conv.convolution(x, w, None, *case.options), conv.convolution(x, w, zero, *case.options))


@pytest.mark.parametrize("name", ["gaps", "few output channels", "columns in turns"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_windows(name: str, value: float) -> None:
    case = LAYERS[name]
    x, w, b, g = case.arrays("float64")
    x[1, 2, 5, 7] = value
    out = conv.convolution(x, w, b, *case.options)
    exact = forward(case, x, w, b)
    np.testing.assert_array_equal(np.isfinite(out), np.isfinite(exact))
    g[0, 1, 3, 4] = value
    back = conv.convolution_input(g, w, case.size, *case.options)
    np.testing.assert_array_equal(np.isfinite(back), np.isfinite(backward_input(case, g, w)))


def test_a_gradient_of_the_weight_sees_no_neighbours() -> None:
    """A window that does not reach the last column is not changed by it."""
    case = Case(1, 4, 4, (9, 10), (3, 3), (2, 2), ((0, 0), (0, 0)), (1, 1), 4)
    x, _, _, g = case.arrays("float32")
    expected = conv.convolution_weight(g, x, case.kernel, *case.options)
    x[..., -1] = np.inf
    np.testing.assert_array_equal(conv.convolution_weight(g, x, case.kernel, *case.options), expected)


# ----------------------------------------------------------------------------------------------------- threads and replay


@pytest.mark.parametrize("name", list(LAYERS))
def test_threads_change_no_bit(name: str, threads: None) -> None:
    case = LAYERS[name]
    arrays = case.arrays("float32")
    runtime.set_num_threads(1)
    alone = run(case, arrays)
    runtime.set_num_threads(2)
    for one, two in zip(alone, run(case, arrays), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["many taps, and images together", "depthwise, a step of two", "single elements, in groups"])
def test_a_replay_computes_again(name: str) -> None:
    case = LAYERS[name]
    arrays, others = case.arrays("float32"), case.arrays("float32", seed=1)
    with Launches() as recorded:
        results = run(case, arrays)
    for array, other in zip(arrays, others, strict=True):
        array[...] = other
    Steps(recorded.rows).run()
    for replayed, expected in zip(results, run(case, others), strict=True):
        np.testing.assert_array_equal(replayed, expected)
