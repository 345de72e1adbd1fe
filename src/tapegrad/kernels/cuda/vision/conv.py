"""Convolution, its transposes in the input and in the weight; windows as columns and back.

Shapes: input (N, C, *S), weight (O, C / groups, *K), output (N, O, *T). ``padding`` is (before, after) per axis; a negative number after is
of elements that no window reaches. Floats of 16 bits are multiplied by tensor cores, and those of 32 where ``allowed.tf32_convolutions``
says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...precision import allowed
from .. import language as L
from ..array import CudaArray, contiguous, empty, zeros
from ..context import blocks_for, context, properties
from ..linalg.gemm_kernels import sum_parts
from ..linalg.tensor_tile import KINDS, kind_of
from . import conv_kernels, conv_tensor, conv_weight_kernels, depthwise
from .conv_kernels import gathered, packed
from .conv_tables import Gather, Pads, Sizes, columns_of, forward, transposed
from .conv_tensor import tensor_correlated, tensor_gathered
from .conv_tile import accumulated, size_of
from .conv_weight_kernels import correlated
from .windows import is_wide, three

_MOST_BLOCKS = 65535  # along the second and third dimension of a grid
_CHUNK = 16384  # positions that one sum of a weight's gradient has at most
_PARTS_BYTES = 256 << 20  # of the shares of a weight's gradient


def _tile(tiles: Mapping[str, Any], dtype: str, rows: int, columns: int, others: int) -> str:
    """The name of the tile that computes ``others`` matrices of this shape fastest."""
    if L.SIMULATED:
        return "tiny"
    multiprocessors = properties(context.device).multiprocessors
    best, least = "", math.inf
    for name, tile in tiles.items():
        if name == "tiny" or (size_of(dtype) > 4 and tile.row_count * tile.column_count > 16) or (size_of(dtype) > 8 and tile.columns > 64):
            continue
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * others
        cost = -(-blocks // multiprocessors) * tile.rows * tile.columns / tile.speed
        if cost < least:
            best, least = name, cost
    return best


def _pointwise(kernel: Sizes, stride: Sizes, padding: Pads) -> bool:
    """Whether every element is a window of its own."""
    return max(kernel) == max(stride) == 1 and not any(map(any, padding))


def windows_along(size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Sizes:
    """How many windows there are along each axis."""
    return tuple(
        [(n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)]
    )


def convolution(
    x: CudaArray, weight: CudaArray, bias: CudaArray | None, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> CudaArray:
    """Cross-correlation, as networks call convolution: (N, C, *S), (O, C / groups, *K), (O,) -> (N, O, *T)."""
    size, kernel = x.shape[2:], weight.shape[2:]
    if _pointwise(kernel, stride, padding) and len(size) > 1:
        flat = contiguous(x).reshape(*x.shape[:2], math.prod(size))
        out = convolution(flat, contiguous(weight).reshape(*weight.shape[:2], 1), bias, (1,), ((0, 0),), (1,), groups)
        return out.reshape(*out.shape[:2], *size)  # type: ignore[no-any-return]
    space = windows_along(size, kernel, stride, padding, dilation)
    out = empty((x.shape[0], weight.shape[0], *space), x.dtype)
    if not out.size:
        return out
    x, weight, bias = contiguous(x), contiguous(weight), None if bias is None else contiguous(bias)
    inside = weight.shape[1]
    if inside == 1 and depthwise.fits(kernel, x.dtype):
        depthwise.convolution(x, weight, bias, out, stride, padding, dilation)
        return out
    wide = is_wide(x, weight, out)
    plan = forward(x.shape[0], inside, size, space, kernel, stride, padding, dilation, wide, context.device)
    _gather(plan, weight, x, bias, out, groups, weight.shape[0] // groups, inside, weight.size // groups, wide)
    return out


def convolution_input(
    g: CudaArray, weight: CudaArray, size: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> CudaArray:
    """The transpose of convolution as a map of its input: (N, O, *T), (O, C / groups, *K) -> (N, C, *S) with ``size`` S."""
    kernel, space = weight.shape[2:], g.shape[2:]
    if _pointwise(kernel, stride, padding) and len(size) > 1 and tuple(size) == space:
        flat = contiguous(g).reshape(*g.shape[:2], math.prod(size))
        found = convolution_input(flat, contiguous(weight).reshape(*weight.shape[:2], 1), (math.prod(size),), (1,), ((0, 0),), (1,), groups)
        return found.reshape(*found.shape[:2], *size)  # type: ignore[no-any-return]
    inside, channels = weight.shape[1], weight.shape[0] // groups
    out = empty((g.shape[0], groups * inside, *size), g.dtype)
    if not out.size:
        return out
    if not g.size:
        return zeros(out.shape, g.dtype)
    g, weight = contiguous(g), contiguous(weight)
    if inside == channels == 1 and max(stride) == 1 and depthwise.fits(kernel, g.dtype):
        pads = tuple([(d * (k - 1) - p[0], 0) for k, p, d in zip(kernel, padding, dilation, strict=True)])
        depthwise.convolution(g, weight, None, out, stride, pads, dilation, flipped=True)
        return out
    wide = is_wide(g, weight, out)
    plan = transposed(g.shape[0], channels, inside, tuple(size), space, kernel, stride, padding, dilation, wide, context.device)
    matrices = empty((groups, plan.weights), weight.dtype)
    taps = math.prod(kernel)
    blocks = blocks_for(plan.depth * inside, L.BLOCK)
    for group, of_groups in _chunks(groups):
        for phase, of_phases in _chunks(plan.phase_count):
            grid = (blocks, of_phases, of_groups)
            packed(weight.dtype.name, wide).launch(
                grid, L.BLOCK, weight, matrices, plan.phases, plan.places, phase, group, channels, inside, taps, plan.weights
            )
    _gather(plan, matrices, g, None, out, groups, inside, channels, plan.weights, wide)
    return out


def _chunks(count: int) -> list[tuple[int, int]]:
    """(first, number) of what one launch takes."""
    return [(first, min(_MOST_BLOCKS, count - first)) for first in range(0, count, _MOST_BLOCKS)]


def _gather(
    plan: Gather, a: CudaArray, x: CudaArray, bias: CudaArray | None, out: CudaArray, groups: int, rows: int, channels: int, of_a: int, wide: bool
) -> None:
    dims, plane = x.ndim - 2, math.prod(x.shape[2:])
    dtype = x.dtype.name
    kind = kind_of(dtype, allowed.tf32_convolutions)
    tiles: Mapping[str, Any] = conv_tensor.TILES if kind else conv_kernels.TILES
    name = _tile(tiles, dtype, rows, plan.positions, plan.phase_count * groups)
    tile = tiles[name]
    into = "apart" if not plan.flat else "flat" if math.prod(out.shape[2:]) % 4 else "vectors"
    if kind:
        chunks = plan.common % KINDS[kind].lanes == 0 and a.address % 16 == 0
        kernel = tensor_gathered(name, kind, dims, bias is not None, chunks, into, wide)
    else:
        fours = plan.common % 4 == 0 and a.address % (4 * a.itemsize) == 0 and x.dtype.kind != "c" and tile.depth * tile.rows >= 4 * tile.threads
        kernel = gathered(name, dtype, dims, bias is not None, fours, into, wide)
    row_tiles = -(-rows // tile.rows)
    blocks = row_tiles * -(-plan.positions // tile.columns)
    sizes = (*(1,) * (3 - dims), *x.shape[2:])
    numbers = (x.shape[1] * plane, channels * plane, of_a, *sizes, out.size // out.shape[0], math.prod(out.shape[2:]))
    for group, of_groups in _chunks(groups):
        for phase, of_phases in _chunks(plan.phase_count):
            grid = (blocks, of_phases, of_groups)
            kernel.launch(grid, tile.threads, a, x, bias, out, plan.table, plan.phases, rows, row_tiles, phase, group, *numbers)


def convolution_weight(
    g: CudaArray, x: CudaArray, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> CudaArray:
    """The transpose of convolution as a map of its weight: (N, O, *T), (N, C, *S) -> (O, C / groups, *K) with ``kernel`` K."""
    kernel = tuple(kernel)
    size, space = x.shape[2:], g.shape[2:]
    rows, inside = g.shape[1] // groups, x.shape[1] // groups
    shape = (g.shape[1], inside, *kernel)
    if not g.size or not x.size or not math.prod(shape):
        return zeros(shape, g.dtype)
    if _pointwise(kernel, stride, padding) and len(size) > 1 and size == space:
        rows_of, columns_of_x = (contiguous(a).reshape(*a.shape[:2], math.prod(size)) for a in (g, x))
        return convolution_weight(rows_of, columns_of_x, (1,), (1,), ((0, 0),), (1,), groups).reshape(shape)  # type: ignore[no-any-return]
    g, x = contiguous(g), contiguous(x)
    if inside == 1 and depthwise.fits(kernel, x.dtype):
        return depthwise.convolution_weight(g, x, shape, stride, padding, dilation)
    wide = is_wide(g, x)
    dtype, columns, positions = g.dtype.name, inside * math.prod(kernel), g.shape[0] * math.prod(space)
    kind = kind_of(dtype, allowed.tf32_convolutions)
    tiles: Mapping[str, Any] = conv_tensor.TILES if kind else conv_weight_kernels.TILES
    name = _tile(tiles, dtype, rows, columns, groups * max(1, positions // 2048))
    tile = tiles[name]
    depth = KINDS[kind].depth if kind else tile.depth
    row_tiles = -(-rows // tile.rows)
    blocks = row_tiles * -(-columns // tile.columns)
    table = columns_of(inside, size, kernel, dilation, wide, context.device)
    count = shares(positions, blocks * groups, rows * columns * groups * size_of(dtype))
    chunk = -(-positions // (count * depth)) * depth
    count = -(-positions // chunk)
    out = empty(shape, g.dtype)
    parts = empty((count, out.size), np.dtype(accumulated(dtype))) if count > 1 else out
    if kind:
        chunks = math.prod(space) % KINDS[kind].lanes == 0 and g.address % 16 == 0
        made = tensor_correlated(name, kind, len(kernel), chunks, count > 1, wide)
    else:
        made = correlated(name, dtype, len(kernel), count > 1, wide)
    numbers = [positions, math.prod(space), chunk, *three(space, 1)[1:], *three(size, 1)]
    numbers += [*three([-p[0] for p in padding], 0), *three(stride, 1), g[0].size, x[0].size, inside * math.prod(size), out.size]
    for group, of_groups in _chunks(groups):
        made.launch((blocks, count, of_groups), tile.threads, g, x, parts, table, rows, columns, row_tiles, group, *numbers)
    return added_parts(parts, out) if count > 1 else out


def added_parts(parts: CudaArray, out: CudaArray) -> CudaArray:
    """Write the sum of (count, n) over the first axis, in its order, to ``out`` of n elements."""
    sum_parts(out.dtype.name, "").launch(blocks_for(out.size, L.BLOCK), L.BLOCK, parts, None, out, parts.shape[0], out.size, *(1,) * 7)
    return out


def shares(positions: int, blocks: int, bytes_each: int) -> int:
    """How many shares the positions of a weight's gradient are summed in: for enough blocks, and sums that are not too long."""
    if L.SIMULATED:
        return min(3, -(-positions // 16))
    wanted = max(2 * properties(context.device).multiprocessors // blocks, -(-positions // _CHUNK))
    return max(1, min(wanted, positions // 256, _PARTS_BYTES // max(bytes_each, 1), _MOST_BLOCKS))
