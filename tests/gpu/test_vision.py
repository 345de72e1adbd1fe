"""Convolution, pooling and resampling on the GPU, beyond what the matrix shows: sizes over one block, groups, odd strides, ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels import cpu
from tapegrad.kernels.axis_maps import Axis
from tapegrad.tensor import wrap

F = tg.nn.functional
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 3e-2, "int64": 0, "complex64": 2e-5}


def made(shape: tuple[int, ...], dtype: str, seed: int) -> Any:
    """An array of the dtype, of values that sums of do not cancel much."""
    rng = np.random.default_rng(seed)
    if dtype == "int64":
        return rng.integers(-9, 9, shape)
    if dtype == "complex64":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    return tg.tensor(rng.normal(size=shape), dtype=getattr(tg, dtype))._array


def wide(a: Any) -> Any:
    return a.astype(np.float64) if a.dtype.kind in "fV" else a.astype(np.complex128) if a.dtype.kind == "c" else a


def assert_near(found: Any, expected: Any, dtype: str) -> None:
    found = wide(cpu_array(found))
    scale = max(float(np.abs(expected).max(initial=0)), 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def cpu_array(a: Any) -> Any:
    return wrap(a).cpu()._array


def moved(a: Any) -> Any:
    return wrap(a).to("cuda")._array


# n, channels, out channels, groups, size, kernel, stride, padding, dilation
SHAPES = {
    "tiles": (2, 5, 19, 1, (9, 8), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "strides": (2, 4, 10, 2, (11, 7), (3, 4), (2, 3), ((1, 0), (2, 2)), (1, 2)),
    "gaps": (2, 4, 6, 1, (9, 8), (2, 1), (3, 4), ((0, 0), (0, 0)), (1, 1)),
    "pointwise": (3, 12, 9, 1, (5, 3), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "depthwise": (2, 6, 6, 6, (9, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "depthwise, apart": (2, 3, 6, 3, (10, 7), (3, 2), (2, 2), ((1, 1), (0, 1)), (2, 1)),
    "a large window": (1, 2, 2, 2, (13, 12), (9, 9), (1, 1), ((4, 4), (0, 0)), (1, 1)),
    "one dimension": (2, 3, 5, 1, (23,), (5,), (2,), ((2, 3),), (2,)),
    "aligned": (2, 16, 24, 1, (8, 8), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "aligned, strides": (2, 16, 40, 2, (8, 16), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    "three": (1, 2, 4, 2, (4, 5, 4), (2, 3, 2), (1, 2, 1), ((1, 0), (0, 1), (1, 1)), (1, 1, 2)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "complex64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolution_and_its_transposes(cuda: Any, shape: str, dtype: str) -> None:
    from tapegrad.kernels import cuda as gpu

    n, channels, outs, groups, size, kernel, *windows = SHAPES[shape]
    x, w, b = made((n, channels, *size), dtype, 1), made((outs, channels // groups, *kernel), dtype, 2), made((outs,), dtype, 3)
    expected = cpu.convolution(wide(x), wide(w), wide(b), *windows, groups)
    out = gpu.convolution(moved(x), moved(w), moved(b), *windows, groups)
    assert_near(out, expected, dtype)
    g = made(expected.shape, dtype, 4)
    found = gpu.convolution_input(moved(g), moved(w), size, *windows, groups)
    assert_near(found, cpu.convolution_input(wide(g), wide(w), size, *windows, groups), dtype)
    found = gpu.convolution_weight(moved(g), moved(x), kernel, *windows, groups)
    assert_near(found, cpu.convolution_weight(wide(g), wide(x), kernel, *windows, groups), dtype)


def test_the_gradient_of_a_weight_has_the_same_bits_each_time(cuda: Any) -> None:
    from tapegrad.kernels import cuda as gpu

    g, x = moved(made((4, 3, 16, 9), "float32", 1)), moved(made((4, 3, 16, 9), "float32", 2))
    for groups in (1, 3):
        found = [gpu.convolution_weight(g, x, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), groups) for _ in range(2)]
        np.testing.assert_array_equal(*map(cpu_array, found))


def test_convolution_of_views(cuda: Any) -> None:
    x, w = tg.randn(2, 7, 6, 3), tg.randn(4, 3, 3, 2)
    expected = F.conv2d(x.permute(0, 3, 1, 2)[:, :, 1:], w.flip(2), padding=1)
    found = F.conv2d(x.to("cuda").permute(0, 3, 1, 2)[:, :, 1:], w.to("cuda").flip(2), padding=1)
    assert_near(found._array, wide(expected._array), "float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "uint8"])
def test_max_pool_over_blocks(cuda: Any, dtype: str) -> None:
    from tapegrad.kernels import cuda as gpu

    rng = np.random.default_rng(0)
    x = tg.tensor(rng.integers(0, 5, (3, 2, 13, 11)), dtype=getattr(tg, dtype))._array  # many are equal
    maps = (Axis("window", 13, 6, (3, 2, 1, 1, "")), Axis("window", 11, 9, (2, 1, 1, 2, "")))
    values, places = gpu.max_pool(moved(x), maps)
    expected = cpu.max_pool(x, maps)
    np.testing.assert_array_equal(wide(cpu_array(values)), wide(expected[0]))
    np.testing.assert_array_equal(cpu_array(places), expected[1])


def test_nan_is_the_maximum(cuda: Any) -> None:
    x = np.array([[1.0, np.nan, 3.0, np.nan, 0.0, -np.inf, -np.inf, -np.inf]], np.float32)
    values, places = F.max_pool1d(tg.tensor(x, device="cuda"), 4, return_indices=True)
    np.testing.assert_array_equal(values.cpu().numpy(), [[np.nan, 0.0]])
    np.testing.assert_array_equal(places.cpu().numpy(), [[3, 4]])
    values, places = F.max_pool1d(tg.tensor(x[:, 5:], device="cuda"), 3, return_indices=True)
    assert (values.item(), places.item()) == (-np.inf, 0)


@pytest.mark.parametrize("maps", [(Axis("window", 13, 6, (3, 2, 1, 1, "")), Axis("window", 11, 9, (2, 1, 1, 2, ""))), (Axis("adaptive", 13, 5, (False,)), Axis("adaptive", 11, 14, (False,)))])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradient_of_max_pool(cuda: Any, maps: tuple[Axis, ...], known: bool, dtype: str) -> None:
    from tapegrad.kernels import cuda as gpu

    x = np.random.default_rng(0).integers(0, 5, (2, 3, 13, 11)).astype(np.float32)
    values, places = cpu.max_pool(x, maps)
    g = made(values.shape, dtype, 1)
    found = gpu.max_pool_backward(moved(g), moved(places), x.shape, 2, maps if known else None)
    assert_near(found, cpu.max_pool_backward(wide(g), places, x.shape, 2), dtype)


@pytest.mark.parametrize("options", [{"size": (5, 17), "mode": "bilinear"}, {"size": (19, 4), "mode": "bicubic"}, {"scale_factor": 0.4, "mode": "bicubic", "antialias": True}, {"size": (3, 5), "mode": "area"}, {"scale_factor": 2.0}])
@pytest.mark.parametrize("planes", [1, 3, 7])
def test_interpolation_of_any_number_of_planes(cuda: Any, options: dict[str, Any], planes: int) -> None:
    results = []
    for device in ("cpu", "cuda"):
        x = tg.tensor(made((1, planes, 9, 11), "float32", 0), device=device).requires_grad_()
        out = F.interpolate(x, **options)
        (out * out).sum().backward()
        results.append((out.detach()._array, x.grad._array))
    for found, expected in zip(results[1], results[0], strict=True):
        assert_near(found, wide(expected), "float32")


def test_resampling_more_than_three_axes(cuda: Any) -> None:
    from tapegrad.kernels import cuda as gpu

    maps = (Axis("linear", 3, 4, (True, None)), None, Axis("reflect", 4, 7, (2,)), Axis("replicate", 2, 4, (1,)), Axis("circular", 3, 6, (2,)))
    x = made((2, 3, 2, 4, 2, 3), "float32", 0)
    forward = gpu.resample(moved(x), maps, False)
    expected = cpu.resample(wide(x), maps, False)
    assert_near(forward, expected, "float32")
    assert_near(gpu.resample(forward, maps, True), cpu.resample(expected, maps, True), "float32")


def test_averages_of_integers_round_towards_zero(cuda: Any) -> None:
    x = tg.tensor([[-7, 2, 3, 4, -1, -1]], device="cuda")
    assert F.avg_pool1d(x, 2).tolist() == [[-2, 3, -1]]


@pytest.mark.parametrize("dtype", ["float32", "bool", "complex64", "int64"])
def test_padding_with_a_value(cuda: Any, dtype: str) -> None:
    x = made((3, 5, 4), dtype, 0) if dtype != "bool" else np.arange(60).reshape(3, 5, 4) % 3 == 0
    pads = ((1, 0), (-2, 3), (2, -1))
    from tapegrad.kernels import cuda as gpu

    np.testing.assert_array_equal(cpu_array(gpu.pad_constant(moved(x), pads, 1)), cpu.pad_constant(x, pads, 1))


def test_columns_of_windows_and_back(cuda: Any) -> None:
    from tapegrad.kernels import cuda as gpu

    x = made((2, 3, 9, 10), "float32", 0)
    windows: Any = ((3, 2), (2, 1), ((1, 1), (0, 2)), (1, 3))
    columns = cpu.im2col(x, *windows)
    np.testing.assert_array_equal(cpu_array(gpu.im2col(moved(x), *windows)), columns)
    assert_near(gpu.col2im(moved(columns), (9, 10), *windows), cpu.col2im(wide(columns), (9, 10), *windows), "float32")
