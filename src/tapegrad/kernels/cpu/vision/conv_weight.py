"""The gradient of a convolution's weight, in float32 or float64, without im2col.

Both operands of a block are transposed, so that channels lie next to each other, and the register tiles of the convolution sum over
positions instead of taps: a table says where the input of each position lies. For a few output channels (depthwise convolutions) sums
are vectors over positions instead, and nothing is transposed. The batch is cut into a number of parts that depends on nothing but
the shapes; each has sums of its own, which are added in order: threads change no bit.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ...native import runtime as rt
from ...native.call import launcher
from ..arrays import empty
from ..reduction.layout import contiguous
from . import direct_conv
from .direct_conv import ALIGN, BYTE, NARROW, REGION_BYTES, SERIAL_FLOPS, kernel_of, tile_shape

_Array = np.ndarray[Any, Any]
_Sizes = tuple[int, ...]
_Pads = tuple[tuple[int, int], ...]

(
    GROUPS, CHANNELS, OUT_CHANNELS, WIDE, DEPTH, HEIGHT, WIDTH, BEFORE_D, BEFORE_H, BEFORE_W, DEPTHS, ROWS, ROW,
    STEP_H, STEP_W, REACH_H, OUT_DEPTH, OUT_HEIGHT, OUT_WIDTH, BLOCK_ROWS, BLOCK_COLUMNS, ROW_BLOCKS, COLUMN_BLOCKS,
    WORKS, PARTS, SUMS, REGION, INPUT_BYTES, STRIPES, STRIPE_ROWS, IMAGES, BATCH,
    STRIPE_OFFSETS, POSITION_OFFSETS, PLACES, HEADER,
) = range(36)  # fmt: skip
POSITIONS = 192  # summed at once: what a tile reads of them stays in the L1 cache
TAPS = 12  # of a few output channels, whose sums are made together

_PARTS = 8  # most sums of parts of the batch; fixed, so that threads change no bit
_PART_BYTES = 4 << 20  # of all of them, if more than two


class _Plan(NamedTuple):
    """How to sum for arrays of given shapes: see ``convolution_weight``."""

    shape: _Sizes
    table: _Array
    gradient: int
    product: int
    sum: int
    parts: int
    blocks: int
    grain: int
    sums: int
    space_bytes: int


def _parts(works: int, size: int) -> int:
    """How many sums of ``size`` bytes to make: a power of two, so that two or four threads have equal shares."""
    parts = 1
    while 2 * parts <= min(works, _PARTS) and (parts == 1 or 2 * parts * size <= _PART_BYTES):
        parts *= 2
    return parts


@functools.lru_cache(maxsize=512)
def _plan(
    n: int, size: _Sizes, out: _Sizes, channels: int, out_channels: int, kernel: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes,
    groups: int, code: str,
) -> _Plan:  # fmt: skip
    """``channels`` and ``out_channels`` are those of a group."""
    dtype, item, tile = np.dtype(code).name, np.dtype(code).itemsize, tile_shape()
    missing = 3 - len(size)
    size, out, kernel, stride, dilation = ((1,) * missing + sizes for sizes in (size, out, kernel, stride, dilation))
    before = (0,) * missing + tuple(p[0] for p in padding)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    lanes = tile.vector_bytes // item
    wide = -(-out_channels // lanes) * lanes
    depths = (out[0] - 1) * stride[0] + reach[0] + 1
    long = out[0] == out[1] == 1

    def region(rows: int, columns: int) -> tuple[int, int, int, int]:
        """Rows of the input of a block and their length, its bytes, those of the gradient."""
        rows_in, row = (rows - 1) * stride[1] + reach[1] + 1, (columns - 1) * stride[2] + reach[2] + 1
        bytes_in, bytes_out = depths * rows_in * row * channels * item, out[0] * rows * columns * wide * item
        return rows_in, row, -(-bytes_in // ALIGN) * ALIGN, bytes_out

    blocks = 1
    available = -(-out[2] // tile.rows) if long else out[1]
    while True:
        block_rows, block_columns = (1, -(-out[2] // blocks)) if long else (-(-out[1] // blocks), out[2])
        rows_in, row, bytes_in, bytes_out = region(block_rows, block_columns)
        if bytes_in + bytes_out <= 2 * REGION_BYTES or blocks >= available:
            break
        blocks += 1
    row_blocks, column_blocks = -(-out[1] // block_rows), -(-out[2] // block_columns)
    # Small images share a work, so that a tile has enough to sum.
    images = 1 if blocks > 1 else max(1, min(n, POSITIONS // math.prod(out), 2 * REGION_BYTES // (bytes_in + bytes_out)))
    images = -(-n // -(-n // images))
    works = -(-n // images) * groups * row_blocks * column_blocks

    # Rows of tiles: columns of the window and channels lie next to each other, unless dilated columns leave gaps.
    merged = dilation[2] == 1
    stripes = [(d, h, w) for d in range(kernel[0]) for h in range(kernel[1]) for w in range(1 if merged else kernel[2])]
    stripe_rows = channels * (kernel[2] if merged else 1)
    stripe_offsets = [((d * dilation[0] * rows_in + h * dilation[1]) * row + w * dilation[2]) * channels * item for d, h, w in stripes]
    position_offsets = [
        image * bytes_in + ((d * stride[0] * rows_in + h * stride[1]) * row + w * stride[2]) * channels * item
        for image in range(images)
        for h in range(block_rows)
        for d in range(out[0])
        for w in range(block_columns)
    ]
    taps = math.prod(kernel)
    places = [0] * (channels * taps)  # the row of sums of each weight
    for row_of_sums, ((d, h, w), r) in enumerate(itertools.product(stripes, range(stripe_rows))):
        places[r % channels * taps + (d * kernel[1] + h) * kernel[2] + w + r // channels] = row_of_sums
    sums = groups * channels * taps * wide
    flops = 2 * n * groups * math.prod(out) * stripe_rows * len(stripes) * wide
    parts = 1 if flops < SERIAL_FLOPS else _parts(works, sums * item)
    if parts > 1:
        rt.start_threads()
    bytes_in *= images
    region_bytes = bytes_in + -(-images * bytes_out // ALIGN) * ALIGN
    table = [
        groups, channels, out_channels, wide, *size, *before, depths, rows_in, row, stride[1], stride[2], reach[1], *out, block_rows,
        block_columns, row_blocks, column_blocks, works, parts, sums, region_bytes, bytes_in, len(stripes), stripe_rows, images, n,
        HEADER, HEADER + len(stripes), HEADER + len(stripes) + len(position_offsets),
    ]  # fmt: skip
    return _Plan(
        (groups * out_channels, channels, *kernel[missing:]),
        np.array([*table, *stripe_offsets, *position_offsets, *places], np.int64),
        kernel_of("weight_gradient", dtype),
        kernel_of("product", dtype),
        kernel_of("weight_sum", dtype),
        parts,
        groups * wide // lanes,
        max(1, 16384 // (parts * lanes * channels * taps)),
        parts * sums,
        parts * region_bytes + ALIGN,
    )


def convolution_weight(g: _Array, x: _Array, kernel: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int) -> _Array:
    """The transpose in the weight: (N, O, *T), (N, C, *S) -> (O, C / groups, *K) with ``kernel`` K; nothing is empty."""
    channels, out_channels = x.shape[1] // groups, g.shape[1] // groups
    if out_channels <= NARROW:
        return _narrow_weight(g, x, (groups * out_channels, channels, *kernel), stride, padding, dilation, groups)
    plan = _plan(
        x.shape[0], x.shape[2:], g.shape[2:], channels, out_channels, kernel, stride, padding, dilation, groups, x.dtype.char
    )
    out, sums, space = empty(plan.shape, x.dtype), empty((plan.sums,), x.dtype), empty((plan.space_bytes,), BYTE)
    launch = launcher()
    launch(plan.gradient, plan.parts, 1, contiguous(g), contiguous(x), sums, space, plan.table, plan.product)
    launch(plan.sum, plan.blocks, plan.grain, sums, out, plan.table)
    return out


def _narrow_weight(g: _Array, x: _Array, shape: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int) -> _Array:
    """The same for a few output channels in a group; ``shape`` is the weight's."""
    # planned as for one thread, so that the number of threads changes no bit
    table = direct_conv.plan_of(False, x.shape[0], shape, x.shape[2:], g.shape[2:], stride, padding, dilation, groups, x.dtype.char, 1).table
    count, lanes = math.prod(shape), tile_shape().vector_bytes // x.itemsize
    works, region = int(table[direct_conv.WORKS]), int(table[direct_conv.REGION])
    parts = 1 if 2 * g.size * math.prod(shape[1:]) < SERIAL_FLOPS else _parts(works, count * lanes * x.itemsize)
    out, sums, space = empty(shape, x.dtype), empty((parts * count * lanes,), x.dtype), empty((parts * region + ALIGN,), BYTE)
    if parts > 1:
        rt.start_threads()
    launch = launcher()
    name = x.dtype.name
    launch(kernel_of("narrow_weight_gradient", name), parts, 1, contiguous(g), contiguous(x), sums, space, table, parts)
    launch(kernel_of("narrow_weight_sum", name), count, count if parts == 1 else 4096, sums, out, count, parts)
    return out
