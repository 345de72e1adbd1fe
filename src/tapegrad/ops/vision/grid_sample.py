"""Images sampled at positions given by a grid, with gradients for both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...device import backend, device_of, placed
from ...modes import local
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_floating, need_same_dtype
from ..elementwise.basic import ge, le, logical_and, where
from ..linalg.matmul import matmul
from ..shape.copy import to_dtype

__all__ = ["affine_grid", "grid_sample"]

_FAR = 1e6  # positions beyond are as good as this: outside


def _mistake(pattern: str, shape: Any = (1, 1, 3, 3), grid: Any = (1, 2, 2, 2), *options: Any, error: type[Exception] = RuntimeError, dtype: str = "float32") -> ErrorInput:
    def call(tg: Any) -> Any:
        return tg.nn.functional.grid_sample(tg.ones(shape, dtype=getattr(tg, dtype)), tg.zeros(grid), *options)

    return ErrorInput(call, error, f"grid_sample: {pattern}")


_IMAGE, _GRID = Input((1, 1, 3, 4)), Input((1, 1, 3, 2), -1.4, 1.4)
_POSITIVE = Input((1, 1, 3, 4), 0.5, 2.0)  # sums of 16 products that hardly cancel
_VOLUME, _POINTS = Input((1, 2, 2, 3, 2)), Input((1, 1, 1, 2, 3), -1.4, 1.4)


@composite(
    samples=[
        Sample((Input((2, 2, 3, 3)), Input((2, 1, 2, 2), -1.4, 1.4)), {"align_corners": False}),
        Sample((_IMAGE, _GRID), {"padding_mode": "border", "align_corners": True}),
        Sample((_IMAGE, _GRID), {"padding_mode": "reflection", "align_corners": False}),
        Sample((_IMAGE, _GRID), {"padding_mode": "reflection", "align_corners": True}),
        Sample((_IMAGE, _GRID), {"mode": "nearest", "align_corners": False}),
        Sample((_IMAGE, _GRID), {"mode": "nearest", "padding_mode": "reflection", "align_corners": True}),
        Sample((_POSITIVE, _GRID), {"mode": "bicubic", "align_corners": False}),
        Sample((_POSITIVE, Input((1, 1, 3, 2), -1.0, 1.0)), {"mode": "bicubic", "padding_mode": "border", "align_corners": False}),
        Sample((_POSITIVE, _GRID), {"mode": "bicubic", "padding_mode": "reflection", "align_corners": True}),
        Sample((_VOLUME, _POINTS), {"align_corners": True}),
        Sample((_VOLUME, _POINTS), {"padding_mode": "border", "align_corners": False}),
        Sample((_VOLUME, _POINTS), {"mode": "nearest", "padding_mode": "reflection", "align_corners": False}),
        Sample((Input((0, 2, 3, 4)), Input((0, 2, 2, 2))), {"align_corners": False}),
    ],
    reference="window_references.grid_sample",
    error_inputs=[
        _mistake("expected an input", (3, 3), (1, 2, 2)),
        _mistake(r"expected a grid \(1, ..., 2\) of 4 dimensions .* got shape \(1, 2, 2, 3\)", grid=(1, 2, 2, 3)),
        _mistake("expected a grid", grid=(2, 2, 2, 2)),
        _mistake("mode must be", (1, 1, 3, 3), (1, 2, 2, 2), "cubic", error=ValueError),
        _mistake("padding_mode must be", (1, 1, 3, 3), (1, 2, 2, 2), "nearest", "wrap", error=ValueError),
        _mistake("mode 'bicubic' is for images", (1, 1, 3, 3, 3), (1, 2, 2, 2, 3), "bicubic"),
        _mistake("expected equal dtypes", dtype="float64"),
    ],
    method=False,
)
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None) -> Tensor:
    """Values of an image at positions: (N, C, H, W), (N, H', W', 2) -> (N, C, H', W'); and (N, C, D, H, W), (N, D', H', W', 3).

    ``grid`` has (x, y) or (x, y, z) in [-1, 1]: -1 and 1 are the outer edges of the first and last elements, or their centres with
    ``align_corners``. Between elements: "bilinear" (also for volumes), "nearest" or "bicubic" (Keys', 1981,
    https://doi.org/10.1109/TASSP.1981.1163711, with a = -0.75). Outside of the image are "zeros", its last elements ("border"), or the
    image mirrored ("reflection"). A NaN position is -1.

    Raises:
        RuntimeError: when shapes or dtypes don't fit.
        ValueError: for an unknown mode.
    """
    shape, dims = tuple(map(int, input._array.shape)), input.ndim - 2
    if mode not in _MODES:
        raise ValueError(f"grid_sample: mode must be 'bilinear', 'nearest' or 'bicubic', got {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: padding_mode must be 'zeros', 'border' or 'reflection', got {padding_mode!r}")
    if dims not in (2, 3) or 0 in shape[2:]:
        raise RuntimeError(f"grid_sample: expected an input (batch, channels, [depth,] height, width) with elements, got shape {shape}")
    if grid.ndim != dims + 2 or grid._array.shape[0] != shape[0] or grid._array.shape[-1] != dims:
        raise RuntimeError(f"grid_sample: expected a grid ({shape[0]}, ..., {dims}) of {dims + 2} dimensions for input {shape}, got shape {tuple(grid.shape)}")
    if mode == "bicubic" and dims == 3:
        raise RuntimeError(f"grid_sample: mode 'bicubic' is for images with 4 dimensions, got shape {shape}")
    need_floating("grid_sample", input=input)
    need_same_dtype("grid_sample", input=input, grid=grid)
    if input.dtype.itemsize == 2:
        wide = grid_sample(to_dtype(input, dtypes.float32), to_dtype(grid, dtypes.float32), mode, padding_mode, align_corners)
        return to_dtype(wide, input.dtype)
    n, channels, *space = shape
    places = grid.reshape(n, -1, dims) if grid.numel() else grid.reshape(n, math.prod(grid._array.shape[1:-1]), dims)
    places = where(places.isnan(), -1.0, places).clamp(-_FAR, _FAR)
    # per axis: the elements that take part and their weights
    taps = [_MODES[mode](_unnormalized(places[..., dims - 1 - k], size, bool(align_corners)), size, padding_mode, bool(align_corners)) for k, size in enumerate(space)]
    source = input.reshape(n, channels, math.prod(space))
    total: Any = 0.0
    for corner in itertools.product(*taps):
        flat, inside = _position([index for index, _ in corner], space)
        count = flat._array.shape[1]
        values = source.gather(2, flat.unsqueeze(1).expand(n, channels, count))
        if local.tracer is not None or not backend(inside._array).surely_all(inside._array):  # a replay may see others
            values = where(inside.unsqueeze(1), values, 0.0)
        for _, weight in corner:
            values = values * weight.unsqueeze(1)
        total = total + values
    return total.reshape(n, channels, *map(int, grid._array.shape[1:-1]))


def _unnormalized(place: Tensor, size: int, align_corners: bool) -> Tensor:
    """[-1, 1] as positions among elements."""
    return (place + 1.0) * (0.5 * (size - 1)) if align_corners else ((place + 1.0) * size - 1.0) * 0.5


def _padded(place: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Positions outside led back inside. Their gradient is 0 where they were clipped, and -1 in mirrored images."""
    if padding_mode == "zeros":
        return place
    at = place.detach()
    slope: Any = 1.0
    if padding_mode == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            return place * 0.0
        distance = (at - low).abs()
        flips = (distance / span).floor()
        offset = distance - flips * span
        forward = flips % 2 == 0
        slope = where(forward, 1.0, -1.0) * where(at < low, -1.0, 1.0)
        at = where(forward, offset + low, span - offset + low)
    slope = where((at > 0) & (at < size - 1), slope, 0.0)
    # the value of the first, the derivative of the second, which is 0
    return at.clamp(0, size - 1) + (place - place.detach()) * slope


def _nearest(place: Tensor, size: int, padding_mode: str, align_corners: bool) -> list[tuple[Tensor, Tensor]]:
    place = _padded(place, size, padding_mode, align_corners)
    return [(place.detach().round(), place * 0.0 + 1.0)]  # a weight whose derivative is 0, since positions have gradients


def _linear(place: Tensor, size: int, padding_mode: str, align_corners: bool) -> list[tuple[Tensor, Tensor]]:
    place = _padded(place, size, padding_mode, align_corners)
    first = place.detach().floor()
    second = place - first
    return [(first, 1.0 - second), (first + 1.0, second)]


def _cubic(place: Tensor, size: int, padding_mode: str, align_corners: bool) -> list[tuple[Tensor, Tensor]]:
    first = place.detach().floor()
    t = place - first
    weights = (_far(t + 1.0), _near(t), _near(1.0 - t), _far(2.0 - t))
    return [(_padded(first + float(k), size, padding_mode, align_corners), w) for k, w in zip((-1, 0, 1, 2), weights, strict=True)]


def _near(d: Tensor) -> Tensor:
    """Keys' kernel with a = -0.75 up to distance 1 (see :func:`tapegrad.kernels.axis_maps.cubic`)."""
    return ((1.25 * d - 1.0) * d - 1.0) * (d - 1.0)


def _far(d: Tensor) -> Tensor:
    """And from 1 to 2."""
    return (1.0 - d) * (2.0 - d) * (2.0 - d) * 0.75


_MODES = {"bilinear": _linear, "nearest": _nearest, "bicubic": _cubic}


def _position(indices: Sequence[Tensor], space: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Positions in the flattened image, and whether they are inside."""
    flat: Any = 0
    inside: Any = None
    for index, size in zip(indices, space, strict=True):
        here: Any = logical_and(ge(index, 0), le(index, size - 1))
        inside = here if inside is None else logical_and(inside, here)
        flat = flat * size + to_dtype(index.clamp(0, size - 1), dtypes.int64)
    return flat, inside


# ---------------------------------------------------------------------------------------------------------- affine_grid


def _affine_mistake(pattern: str, theta: tuple[int, ...], size: Any, error: type[Exception] = RuntimeError, dtype: str = "float32") -> ErrorInput:
    return ErrorInput(lambda tg: tg.nn.functional.affine_grid(tg.ones(theta, dtype=getattr(tg, dtype)), size), error, f"affine_grid: {pattern}")


@composite(
    samples=[
        Sample((Input((2, 2, 3)),), {"size": (2, 1, 2, 3), "align_corners": False}),
        Sample((Input((1, 2, 3)),), {"size": (1, 1, 3, 1), "align_corners": True}),
        Sample((Input((1, 3, 4)),), {"size": (1, 1, 2, 1, 3), "align_corners": False}),
        Sample((Input((1, 3, 4)),), {"size": (1, 1, 2, 2, 2), "align_corners": True}),
    ],
    reference="window_references.affine_grid",
    error_inputs=[
        _affine_mistake("size must have 4 or 5 numbers", (1, 2, 3), (1, 1, 2), NotImplementedError),
        _affine_mistake(r"expected theta \(1, 2, 3\) for size .*got shape \(1, 3, 4\)", (1, 3, 4), (1, 1, 2, 2), ValueError),
        _affine_mistake("size must be positive", (1, 2, 3), (1, 1, 0, 2), ValueError),
        _affine_mistake("theta must be floating-point, got dtype tapegrad.int64", (1, 2, 3), (1, 1, 2, 2), ValueError, "int64"),
    ],
    method=False,
)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid of an affine map, for :func:`grid_sample`: (N, 2, 3) and size (N, C, H, W) -> (N, H, W, 2); (N, 3, 4) in 3 dimensions.

    Raises:
        ValueError, NotImplementedError: when ``theta`` and ``size`` don't fit together.
    """
    n, dims = int(size[0]), len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(f"affine_grid: size must have 4 or 5 numbers, got {tuple(size)}")
    if not theta.dtype.is_floating_point:
        raise ValueError(f"affine_grid: theta must be floating-point, got dtype {theta.dtype}")
    if min(size) < 1:
        raise ValueError(f"affine_grid: size must be positive, got {tuple(size)}")
    if theta._array.shape != (n, dims, dims + 1):
        raise ValueError(f"affine_grid: expected theta {(n, dims, dims + 1)} for size {tuple(size)}, got shape {tuple(theta.shape)}")
    space = tuple(map(int, size[2:]))
    steps = [np.linspace(-1, 1, count) * (1 if align_corners else (count - 1) / count) if count > 1 else np.zeros(1) for count in space]
    axes = np.meshgrid(*steps, indexing="ij")[::-1]  # x first
    base = np.stack([*axes, np.ones(space)], -1).reshape(1, -1, dims + 1)
    grid = wrap(placed(base.astype(theta._array.dtype), device_of(theta._array)))
    return matmul(grid, theta.transpose(1, 2)).reshape(n, *space, dims)
