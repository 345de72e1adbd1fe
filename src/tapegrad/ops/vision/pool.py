"""Averages and norms over windows."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from ... import dtypes
from ...kernels.axis_maps import Axis
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..elementwise.basic import mul, pow, where
from ..elementwise.division import div
from ..reduction.reduce import mean
from .resample import resample
from .window_args import Sizes, per_axis, pooled_size, space_of

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
]


def windows(
    name: str,
    dims: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    divide: str = "",
) -> tuple[Axis, ...]:
    """The windows along the last ``dims`` axes.

    Raises:
        TypeError, RuntimeError: for arguments or shapes that don't fit.
    """
    kernel = per_axis(kernel_size, dims, name, "kernel_size", 1)
    strides = kernel if stride is None or stride == () or stride == [] else per_axis(stride, dims, name, "stride", 1)
    pads, dilations = per_axis(padding, dims, name, "padding", 0), per_axis(dilation, dims, name, "dilation", 1)
    size = space_of(input, dims, name)
    return _axes(size, kernel, strides, pads, dilations, bool(ceil_mode), name, divide)


@functools.lru_cache(maxsize=4096)
def _axes(
    size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...],
    ceil_mode: bool, name: str, divide: str,
) -> tuple[Axis, ...]:  # fmt: skip
    out = pooled_size(size, kernel, stride, padding, dilation, ceil_mode, name)
    return tuple(
        Axis("window", n, t, (k, s, p, d, divide)) for n, t, k, s, p, d in zip(size, out, kernel, stride, padding, dilation, strict=True)
    )


def adaptive_windows(name: str, dims: int, input: Tensor, output_size: Any, mean: bool) -> tuple[Axis, ...]:
    """Windows along the last ``dims`` axes for an output of this size; None keeps one.

    Raises:
        TypeError, RuntimeError: for sizes or shapes that don't fit.
    """
    size = space_of(input, dims, name)
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    filled = [n if t is None else t for n, t in zip(size, wanted, strict=False)] if len(wanted) == dims else wanted
    out = per_axis(filled, dims, name, "output_size", 0)
    return tuple(Axis("adaptive", n, t, (mean,)) for n, t in zip(size, out, strict=True))


def _avg_pool(
    dims: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    name = f"avg_pool{dims}d"
    _need_numbers(input, name)
    divide = "" if divisor_override is not None else "padded" if count_include_pad else "inside"
    if divisor_override == 0:
        raise RuntimeError(f"{name}: divisor_override must not be 0")
    maps = windows(name, dims, input, kernel_size, stride, padding, 1, ceil_mode, divide)
    out: Tensor = resample.call(input, maps=maps, transposed=False)
    if divisor_override is None:
        return out
    return div(out, divisor_override) if input.dtype.differentiable else div(out, divisor_override, rounding_mode="trunc")


def _need_numbers(input: Tensor, name: str) -> None:
    if not input.dtype.differentiable and input.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}: expected a floating-point or int64 input, got dtype {input.dtype}; convert it with .float()")


def _adaptive_avg_pool(dims: int, input: Tensor, output_size: Any) -> Tensor:
    name = f"adaptive_avg_pool{dims}d"
    _need_numbers(input, name)
    if output_size in (1, (1,) * dims) and input.dtype.differentiable:
        space_of(input, dims, name)
        return mean(input, tuple(range(-dims, 0)), True)
    maps = adaptive_windows(name, dims, input, output_size, True)
    return resample.call(input, maps=maps, transposed=False)


def _lp_pool(dims: int, input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None, ceil_mode: bool) -> Tensor:
    name = f"lp_pool{dims}d"
    places = math.prod(per_axis(kernel_size, dims, name, "kernel_size", 1))
    powers = pow(input, norm_type)
    _need_numbers(powers, name)
    maps = windows(name, dims, powers, kernel_size, stride, 0, 1, ceil_mode, "padded")
    total = mul(resample.call(powers, maps=maps, transposed=False), places)
    nothing = total == 0  # the gradient of a norm of zeros is 0
    return where(nothing, 0.0, pow(where(nothing, 1, total), 1.0 / norm_type))


# -------------------------------------------------------------------------------------------------------------- samples


def _spaces(dims: int) -> Input:
    return Input({1: (2, 2, 7), 2: (2, 1, 4, 5), 3: (1, 1, 3, 3, 2)}[dims])


def _mistakes(name: str, dims: int, *before: Any) -> list[ErrorInput]:
    def error(pattern: str, kind: type[Exception] = RuntimeError, shape: Sequence[int] = (1, 2, *(4,) * dims), size: Any = 2, **options: Any) -> ErrorInput:
        return ErrorInput(lambda tg: getattr(tg.nn.functional, name)(tg.ones(*shape), *before, size, **options), kind, f"{name}: {pattern}")

    found = [error(r"expected an input .*got shape \(4,\)", shape=(4,)), error(".* must be an integer or", TypeError, size=1.5)]
    if name.startswith("adaptive"):
        return [*found, error(f"output_size must be an integer or {dims} integers", size=(1, 1, 1, 1)), error("output_size must be at least 0", size=-1)]
    found += [error("a window of 5 elements is larger than the input", size=5), error("stride must be at least 1", stride=0)]
    return found if name.startswith("lp") else [*found, error("padding must be at most half of the window", padding=2)]


def _tests(name: str, dims: int, samples: Sequence[dict[str, Any]], *, low: float = -2.0, before: tuple[Any, ...] = ()) -> dict[str, Any]:
    shape = _spaces(dims).shape
    made = [Sample((Input(shape, low),), params) for params in samples]
    made.append(Sample((Input(shape[1:], low),), samples[0]))  # without a batch
    made.append(Sample((Input((0, *shape[1:]), low),), samples[0]))
    return {"samples": made, "reference": f"window_references.{name}", "error_inputs": _mistakes(name, dims, *before), "method": False}


_AVERAGES: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
]
_UNEVEN = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1), "divisor_override": 4}


# ------------------------------------------------------------------------------------------------------------ functions


@composite(**_tests("avg_pool1d", 1, _AVERAGES))
def avg_pool1d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """Means over windows: ([N,] C, L) -> ([N,] C, L'), with L' = (L + 2 padding - kernel_size) / stride + 1.

    L' is rounded down; up with ``ceil_mode``, when the last window is cut off. ``stride`` is kernel_size by default. Padding counts as
    zeros, or not at all with ``count_include_pad=False``. Integers (int64) are rounded towards zero.

    Raises:
        TypeError, RuntimeError: when shapes, dtypes or options don't fit.
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@composite(**_tests("avg_pool2d", 2, [*_AVERAGES, _UNEVEN]))
def avg_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """:func:`avg_pool1d` over two dimensions: ([N,] C, H, W) -> ([N,] C, H', W'). ``divisor_override`` is divided by instead of the count."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@composite(**_tests("avg_pool3d", 3, [_AVERAGES[0], {"kernel_size": (1, 2, 2), "stride": 1, "padding": (0, 1, 1), "count_include_pad": False}]))
def avg_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """:func:`avg_pool2d` over three dimensions: ([N,] C, D, H, W) -> ([N,] C, D', H', W')."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@composite(**_tests("adaptive_avg_pool1d", 1, [{"output_size": 3}, {"output_size": 1}, {"output_size": (9,)}]))
def adaptive_avg_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """Means over ``output_size`` windows, which cover everything: ([N,] C, L) -> ([N,] C, output_size).

    Window i goes from floor(i L / L') to ceil((i + 1) L / L').

    Raises:
        TypeError, RuntimeError: when shapes, dtypes or sizes don't fit.
    """
    return _adaptive_avg_pool(1, input, output_size)


@composite(**_tests("adaptive_avg_pool2d", 2, [{"output_size": (3, 2)}, {"output_size": 1}, {"output_size": (None, 7)}]))
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """:func:`adaptive_avg_pool1d` over two dimensions: ([N,] C, H, W) -> ([N,] C, *output_size); None keeps a size."""
    return _adaptive_avg_pool(2, input, output_size)


@composite(**_tests("adaptive_avg_pool3d", 3, [{"output_size": (2, 1, 2)}, {"output_size": (None, 2, 3)}]))
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """:func:`adaptive_avg_pool1d` over three dimensions: ([N,] C, D, H, W) -> ([N,] C, *output_size); None keeps a size."""
    return _adaptive_avg_pool(3, input, output_size)


_NORMS: list[dict[str, Any]] = [{"norm_type": 2, "kernel_size": 2}, {"norm_type": 3.0, "kernel_size": 2, "stride": 1, "ceil_mode": True}]


@composite(**_tests("lp_pool1d", 1, _NORMS, low=0.5, before=(2.0,)))
def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False) -> Tensor:
    """(sum of input ** norm_type) ** (1 / norm_type) over windows as in :func:`avg_pool1d`. The gradient of a window of zeros is 0.

    A window that is cut off counts as if its mean power were that of all its places, as in PyTorch.

    Raises:
        TypeError, RuntimeError: when shapes, dtypes or options don't fit.
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


@composite(**_tests("lp_pool2d", 2, [*_NORMS[:1], {"norm_type": 1.5, "kernel_size": (2, 3), "ceil_mode": True}], low=0.5, before=(2.0,)))
def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False) -> Tensor:
    """:func:`lp_pool1d` over two dimensions."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


@composite(**_tests("lp_pool3d", 3, _NORMS[:1], low=0.5, before=(2.0,)))
def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False) -> Tensor:
    """:func:`lp_pool1d` over three dimensions."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)
