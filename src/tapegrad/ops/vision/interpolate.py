"""Resizing images and signals."""

from __future__ import annotations

import math
from typing import Any

from ...kernels.axis_maps import Axis
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_floating
from .resample import resample
from .window_args import per_axis, space_of

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

# mode -> kind of map along each axis, and the numbers of dimensions it is for
_MODES: dict[str, tuple[str, tuple[int, ...]]] = {
    "nearest": ("nearest", (1, 2, 3)),
    "nearest-exact": ("nearest", (1, 2, 3)),
    "area": ("adaptive", (1, 2, 3)),
    "linear": ("linear", (1,)),
    "bilinear": ("linear", (2,)),
    "bicubic": ("cubic", (2,)),
    "trilinear": ("linear", (3,)),
}


def _mistake(pattern: str, error: type[Exception] = ValueError, shape: tuple[int, ...] = (1, 2, 3, 3), **options: Any) -> ErrorInput:
    return ErrorInput(lambda tg: tg.nn.functional.interpolate(tg.ones(shape), **options), error, f"interpolate: {pattern}")


_LINE, _IMAGE, _VOLUME = Input((2, 2, 3)), Input((1, 2, 3, 4)), Input((1, 1, 2, 3, 2))


@composite(
    samples=[
        Sample((_LINE,), {"size": 7}),
        Sample((_LINE,), {"scale_factor": 2.5, "mode": "nearest-exact"}),
        Sample((_LINE,), {"size": (5,), "mode": "linear"}),
        Sample((_LINE,), {"scale_factor": 1.7, "mode": "linear"}),
        Sample((_LINE,), {"scale_factor": 1.7, "mode": "linear", "recompute_scale_factor": True}),
        Sample((_LINE,), {"size": 2, "mode": "area"}),
        Sample((_LINE,), {"size": 1, "mode": "linear", "align_corners": True}),
        Sample((_IMAGE,), {"size": (2, 6)}),
        Sample((_IMAGE,), {"size": (5, 3), "mode": "bilinear"}),
        Sample((_IMAGE,), {"size": (5, 3), "mode": "bilinear", "align_corners": True}),
        Sample((_IMAGE,), {"scale_factor": (2.0, 0.6), "mode": "bicubic"}),
        Sample((_IMAGE,), {"size": (2, 5), "mode": "bicubic", "align_corners": True}),
        Sample((_IMAGE,), {"size": (3, 4), "mode": "bilinear"}),
        Sample((_IMAGE,), {"size": 2, "mode": "bilinear", "antialias": True}),
        Sample((_IMAGE,), {"scale_factor": 0.6, "mode": "bicubic", "antialias": True}),
        Sample((_IMAGE,), {"size": (2, 5), "mode": "bicubic", "antialias": True, "align_corners": True}),
        Sample((Input((0, 2, 3, 3)),), {"size": 2, "mode": "bilinear"}),
        Sample((_VOLUME,), {"size": (3, 1, 4)}),
        Sample((_VOLUME,), {"size": (3, 2, 4), "mode": "trilinear"}),
        Sample((_VOLUME,), {"scale_factor": 2, "mode": "trilinear", "align_corners": True}),
        Sample((_VOLUME,), {"size": (1, 2, 3), "mode": "area"}),
    ],
    reference="window_references.interpolate",
    error_inputs=[
        _mistake("give either size or scale_factor"),
        _mistake("give either size or scale_factor", size=2, scale_factor=2),
        _mistake("recompute_scale_factor needs a scale_factor", size=2, recompute_scale_factor=True),
        _mistake("align_corners is for linear and cubic modes, not 'nearest'", size=2, align_corners=True),
        _mistake("mode must be one of", NotImplementedError, size=2, mode="quadratic"),
        _mistake("mode 'linear' is for inputs with 1 sizes", NotImplementedError, size=2, mode="linear"),
        _mistake("antialias is for modes 'bilinear' and 'bicubic'", size=2, antialias=True),
        _mistake("mode 'nearest' is for inputs with 1 or 2 or 3 sizes", NotImplementedError, (3, 3), size=2),
        _mistake(r"expected an input .*got shape \(1, 0, 3\)", RuntimeError, (1, 0, 3), size=2),
        _mistake("size must be at least 1", RuntimeError, size=0),
        _mistake("scale_factor must be a positive number or 2 of them", scale_factor=(1.0, 2.0, 3.0)),
        _mistake("the output would have sizes", RuntimeError, scale_factor=0.1),
        ErrorInput(
            lambda tg: tg.nn.functional.interpolate(tg.ones(1, 1, 3, 3, dtype=tg.int64), 2, mode="bilinear"),
            RuntimeError,
            "interpolate with mode 'bilinear': input must be floating-point, got dtype tapegrad.int64",
        ),
    ],
    method=False,
)
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The input (N, C, *sizes) with other sizes: ``size``, or the present ones times ``scale_factor``, rounded down.

    ``mode`` is "nearest", "nearest-exact" (as other libraries round), "area" (adaptive average), "linear", "bilinear" and
    "trilinear" for 1, 2 and 3 sizes, or "bicubic" (Keys', 1981, https://doi.org/10.1109/TASSP.1981.1163711, with a = -0.75) for 2.
    With ``align_corners`` the centres of the corner elements stay; else their outer edges do. A given ``scale_factor`` is also the
    step between elements, unless ``recompute_scale_factor``; then it follows from the sizes. ``antialias`` widens the filter when
    reducing, as Pillow does.

    Raises:
        ValueError, NotImplementedError: for options that don't fit together.
        RuntimeError: for shapes or dtypes that don't fit.
    """
    dims = max(input.ndim - 2, 1)
    space = space_of(input, dims, "interpolate")
    if mode not in _MODES:
        raise NotImplementedError(f"interpolate: mode must be one of {', '.join(map(repr, _MODES))}, got {mode!r}")
    kind, made_for = _MODES[mode]
    if dims not in made_for or input.ndim < 3:
        raise NotImplementedError(f"interpolate: mode {mode!r} is for inputs with {' or '.join(map(str, made_for))} sizes after (N, C), got {tuple(input.shape)}")
    if align_corners is not None and kind not in ("linear", "cubic"):
        raise ValueError(f"interpolate: align_corners is for linear and cubic modes, not {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias is for modes 'bilinear' and 'bicubic', not {mode!r}")
    if kind != "nearest":
        need_floating(f"interpolate with mode {mode!r}", input=input)
    out, factors = _sizes(space, size, scale_factor, recompute_scale_factor)
    aligned = bool(align_corners)
    options: tuple[Any, ...]
    maps = []
    for n, t, factor in zip(space, out, factors, strict=True):
        if kind == "adaptive":
            options = (True,)
        elif kind == "nearest":
            options = (mode == "nearest-exact", factor)
        elif antialias:
            options = (aligned, factor, 3 if kind == "cubic" else 1)
        else:
            options = (aligned, factor)
        maps.append(Axis("antialiased" if antialias else kind, n, t, options))
    return resample.call(input, maps=tuple(maps), transposed=False)


def _sizes(space: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The output's sizes, and the scale factors that are to be used as they are."""
    dims = len(space)
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor needs a scale_factor")
        return per_axis(size, dims, "interpolate", "size", 1), (None,) * dims
    given = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * dims
    if len(given) != dims or not all(isinstance(f, (int, float)) and 0 < f < math.inf for f in given):
        raise ValueError(f"interpolate: scale_factor must be a positive number or {dims} of them, got {scale_factor!r}")
    out = tuple(int(n * float(f)) for n, f in zip(space, given, strict=True))
    if min(out) < 1:
        raise RuntimeError(f"interpolate: the output would have sizes {out}, from {space} and scale_factor {scale_factor}")
    return out, (None,) * dims if recompute else tuple(map(float, given))


_IMAGE_TO = [Sample((_IMAGE,), {"size": (5, 3)}), Sample((_IMAGE,), {"scale_factor": 2})]


@composite(method=False, samples=[Sample((_IMAGE,), {"size": (5, 3), "mode": "bilinear"})], reference="window_references.interpolate")
def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """:func:`interpolate` under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


@composite(method=False, samples=_IMAGE_TO, reference="window_references.interpolate")
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """:func:`interpolate` with mode "nearest", under its old name."""
    return interpolate(input, size, scale_factor)


@composite(method=False, samples=_IMAGE_TO, reference="window_references.upsample_bilinear")
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """:func:`interpolate` with mode "bilinear" and aligned corners, under its old name."""
    return interpolate(input, size, scale_factor, "bilinear", True)
