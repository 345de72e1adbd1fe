"""Convolution, its transposes in the input and in the weight; windows as columns and back.

Shapes: input (N, C, *S), weight (O, C / groups, *K), output (N, O, *T). ``padding`` is (before, after) per axis; a negative
number after is of elements that no window reaches. Floats go to the kernels of ``direct_conv``, or, where windows are single elements,
to the matrix product. Other dtypes, and arrays without elements, go through columns: windows are a view with strides that the matrix
product's operand is copied from.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ...narrow import in_float32
from ..arrays import zeros
from ..linalg import gemm
from ..linalg.matmul import matmul
from ..reduction import reduce
from ..reduction.layout import contiguous
from . import conv_weight, direct_conv

_Array = np.ndarray[Any, Any]
_Sizes = tuple[int, ...]
_Pads = tuple[tuple[int, int], ...]

_PRODUCTS_BYTES = 4 << 20  # of the images' shares of a weight's gradient, added up at the end


def _direct(x: _Array, y: _Array) -> bool:
    """Whether the kernels take these operands."""
    return x.dtype.char in "fd" and x.dtype == y.dtype and x.size > 0 and y.size > 0


def _pointwise(kernel: _Sizes, stride: _Sizes, padding: _Pads) -> bool:
    """Whether every element is a window of its own."""
    return max(kernel) == max(stride) == 1 and not any(map(any, padding))


def _grouped(x: _Array, groups: int) -> _Array:
    """(N, C, *S) as (N, groups, C / groups, prod(S))."""
    return contiguous(x).reshape(x.shape[0], groups, x.shape[1] // groups, math.prod(x.shape[2:]))


@in_float32
def convolution(x: _Array, weight: _Array, bias: _Array | None, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int) -> _Array:
    """Cross-correlation, as networks call convolution: (N, C, *S), (O, C / groups, *K), (O,) -> (N, O, *T)."""
    if _direct(x, weight):
        if _pointwise(weight.shape[2:], stride, padding):
            rows = contiguous(weight).reshape(groups, weight.shape[0] // groups, weight.shape[1])
            columns = None if bias is None else contiguous(bias).reshape(*rows.shape[:2], 1)
            return gemm.matmul(rows, _grouped(x, groups), None, columns).reshape(x.shape[0], weight.shape[0], *x.shape[2:])
        space = windows_along(x.shape[2:], weight.shape[2:], stride, padding, dilation)
        return direct_conv.convolution(x, weight, bias, space, stride, padding, dilation, groups)
    n, out_channels, kernel = x.shape[0], weight.shape[0], weight.shape[2:]
    columns = _columns(x, kernel, stride, padding, dilation)  # (N, C, *K, *T)
    space = columns.shape[2 + len(kernel) :]
    depth = weight.shape[1] * math.prod(kernel)
    rows = weight.reshape(groups, out_channels // groups, depth)
    out = matmul(rows, columns.reshape(n, groups, depth, math.prod(space))).reshape(n, out_channels, *space)
    if bias is not None:
        out += bias.reshape(-1, *(1,) * len(space))
    return out


@in_float32
def convolution_input(
    g: _Array, weight: _Array, size: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int
) -> _Array:
    """The transpose of convolution as a map of its input: (N, O, *T), (O, C / groups, *K) -> (N, C, *S) with ``size`` S."""
    if _direct(g, weight) and 0 not in size:
        if _pointwise(weight.shape[2:], stride, padding):
            rows = contiguous(weight).reshape(groups, weight.shape[0] // groups, weight.shape[1]).swapaxes(1, 2)
            return gemm.matmul(rows, _grouped(g, groups)).reshape(g.shape[0], groups * weight.shape[1], *size)
        return direct_conv.convolution_input(g, weight, size, stride, padding, dilation, groups)
    n, out_channels = g.shape[:2]
    kernel, space = weight.shape[2:], g.shape[2:]
    depth = weight.shape[1] * math.prod(kernel)
    rows = weight.reshape(groups, out_channels // groups, depth).swapaxes(1, 2)
    columns = matmul(rows, g.reshape(n, groups, out_channels // groups, math.prod(space)))
    return _added(columns.reshape(n, groups * weight.shape[1], *kernel, *space), size, stride, padding, dilation)


@in_float32
def convolution_weight(
    g: _Array, x: _Array, kernel: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int
) -> _Array:
    """The transpose of convolution as a map of its weight: (N, O, *T), (N, C, *S) -> (O, C / groups, *K) with ``kernel`` K."""
    if _direct(g, x):
        if _pointwise(kernel, stride, padding) and g.shape[0] * g.shape[1] * (x.shape[1] // groups) * x.itemsize <= _PRODUCTS_BYTES:
            products = gemm.matmul(_grouped(g, groups), _grouped(x, groups).swapaxes(2, 3))
            return reduce.sum(products, (0,), False).reshape(g.shape[1], x.shape[1] // groups, *kernel)
        return conv_weight.convolution_weight(g, x, kernel, stride, padding, dilation, groups)
    n, out_channels = g.shape[:2]
    columns = _columns(x, kernel, stride, padding, dilation)
    count, inside = math.prod(g.shape[2:]), x.shape[1] // groups
    depth = inside * math.prod(kernel)
    left = g.reshape(n, groups, out_channels // groups, count).transpose(1, 2, 0, 3).reshape(groups, out_channels // groups, n * count)
    right = columns.reshape(n, groups, depth, count).transpose(1, 0, 3, 2).reshape(groups, n * count, depth)
    return matmul(left, right).reshape(out_channels, inside, *kernel)


def im2col(x: _Array, kernel: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes) -> _Array:
    """The windows of (..., C, *S) as columns: (..., C * prod(K), prod(T))."""
    columns = _columns(x, kernel, stride, padding, dilation)
    lead, dims = x.shape[: x.ndim - len(kernel) - 1], len(kernel)
    channels, space = x.shape[len(lead)], columns.shape[columns.ndim - dims :]
    return columns.reshape(*lead, channels * math.prod(kernel), math.prod(space)).copy()


@in_float32
def col2im(g: _Array, size: _Sizes, kernel: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes) -> _Array:
    """The transpose of :func:`im2col`: columns (..., C * prod(K), prod(T)) added up at their places in (..., C, *S)."""
    channels = g.shape[-2] // math.prod(kernel)
    space = windows_along(size, kernel, stride, padding, dilation)
    return _added(g.reshape(*g.shape[:-2], channels, *kernel, *space), size, stride, padding, dilation)


def windows_along(size: _Sizes, kernel: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes) -> _Sizes:
    """How many windows there are along each axis."""
    return tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def _padded(size: _Sizes, padding: _Pads) -> _Sizes:
    return tuple([n + p[0] + max(p[1], 0) for n, p in zip(size, padding, strict=True)])


def _columns(x: _Array, kernel: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes) -> _Array:
    """A view (..., *K, *T) of ``x`` (..., *S) within zeros: what lies at each position of each window."""
    dims = len(kernel)
    lead, size = x.shape[: x.ndim - dims], x.shape[x.ndim - dims :]
    if _padded(size, padding) != size:
        inside: tuple[Any, ...] = (..., *[slice(p[0], p[0] + n) for p, n in zip(padding, size, strict=True)])
        padded = zeros((*lead, *_padded(size, padding)), x.dtype)
        padded[inside] = x
        x = padded
    space = windows_along(size, kernel, stride, padding, dilation)
    steps = x.strides[x.ndim - dims :]
    strides = (*x.strides[: x.ndim - dims], *[d * b for d, b in zip(dilation, steps, strict=True)])
    strides += tuple([s * b for s, b in zip(stride, steps, strict=True)])
    return np.lib.stride_tricks.as_strided(x, (*lead, *kernel, *space), strides, writeable=False)


def _added(columns: _Array, size: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes) -> _Array:
    """The transpose of :func:`_columns`: a loop over the positions in a window, each an addition of slices."""
    dims = len(size)
    lead = columns.shape[: columns.ndim - 2 * dims]
    kernel, space = columns.shape[len(lead) : len(lead) + dims], columns.shape[len(lead) + dims :]
    out = zeros((*lead, *_padded(size, padding)), columns.dtype)
    for place in itertools.product(*map(range, kernel)):
        at: tuple[Any, ...] = (..., *[slice(k * d, k * d + (t - 1) * s + 1, s) for k, d, t, s in zip(place, dilation, space, stride, strict=True)])
        out[at] += columns[(slice(None),) * len(lead) + place]
    inside: tuple[Any, ...] = (..., *[slice(p[0], p[0] + n) for p, n in zip(padding, size, strict=True)])
    return np.ascontiguousarray(out[inside])
