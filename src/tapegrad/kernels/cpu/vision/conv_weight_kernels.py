"""The kernels of ``conv_weight.py``, as Python functions; imported only when one of them has to be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...native.abi import POINTERS, stack_words
from ..linalg.gemm import Tile
from ..vector import Vector
from . import conv_weight as sums_plan, direct_conv as plan
from .conv_kernels import aligned, filler, multiply_by, word
from .conv_tile import dot_tile, transpose_part


def weight_gradient(dtype: str, tile: Tile) -> Any:
    """Slots: gradient of the output, input, sums, working space, table, ``product``. A unit is a part of the works, with sums of its own.

    Both operands of a work (a block of rows of a group of an image) are transposed, so that channels lie next to each other: a register
    tile then sums over positions, its rows being channels of the input (and, without dilation, columns of the window, too).
    """
    element = POINTERS[dtype]
    SIZE = np.dtype(dtype).itemsize
    LANES = tile.vector_bytes // SIZE
    COLUMNS = tile.vectors * LANES
    MOST = tile.rows
    transpose = transpose_part(Vector(SIZE, LANES))

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def turn(source, next_channel, channels, columns, target, next_column):  # type: ignore[no-untyped-def]
        """(channels, columns) to (columns, channels)."""
        for i in range(0, columns, LANES):
            for c in range(0, channels, LANES):
                at, to = source + c * next_channel + i * SIZE, target + i * next_column + c * SIZE
                transpose(at, next_channel, min(LANES, channels - c), min(LANES, columns - i), to, next_column)

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def clear(target, count):  # type: ignore[no-untyped-def]
        numbers = element(target)
        for i in range(count):
            numbers[i] = 0

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def turn_input(source, target, table, row0, rows, column0):  # type: ignore[no-untyped-def]
        """The rows of a block, within zeros."""
        depth, height, width, channels = table[sums_plan.DEPTH], table[sums_plan.HEIGHT], table[sums_plan.WIDTH], table[sums_plan.CHANNELS]
        line = table[sums_plan.ROW] * channels
        low = min(max(table[sums_plan.BEFORE_W] - column0, 0), table[sums_plan.ROW])
        first = column0 + low - table[sums_plan.BEFORE_W]
        inside = max(min(width - first, table[sums_plan.ROW] - low), 0)
        for a in range(table[sums_plan.DEPTHS]):
            for b in range(rows):
                d, h = a - table[sums_plan.BEFORE_D], row0 + b - table[sums_plan.BEFORE_H]
                to = target + (a * table[sums_plan.ROWS] + b) * line * SIZE
                if d < 0 or d >= depth or h < 0 or h >= height:
                    clear(to, line)
                else:
                    clear(to, low * channels)
                    at = source + ((d * height + h) * width + first) * SIZE
                    turn(at, depth * height * width * SIZE, channels, inside, to + low * channels * SIZE, channels * SIZE)
                    done = (low + inside) * channels
                    clear(to + done * SIZE, line - done)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table, space, arguments = word(slots[4]), aligned(slots[3]), stack_words(12)
        groups, channels, out_channels, wide = table[sums_plan.GROUPS], table[sums_plan.CHANNELS], table[sums_plan.OUT_CHANNELS], table[sums_plan.WIDE]
        works, parts, sums_size = table[sums_plan.WORKS], table[sums_plan.PARTS], table[sums_plan.SUMS]
        row_blocks, column_blocks = table[sums_plan.ROW_BLOCKS], table[sums_plan.COLUMN_BLOCKS]
        size = table[sums_plan.DEPTH] * table[sums_plan.HEIGHT] * table[sums_plan.WIDTH]
        out_d, out_h, out_w = table[sums_plan.OUT_DEPTH], table[sums_plan.OUT_HEIGHT], table[sums_plan.OUT_WIDTH]
        turned = space + start * table[sums_plan.REGION]  # nobody else starts here
        turned_g = turned + table[sums_plan.INPUT_BYTES]
        stripes, rows_of_stripe, together = table[sums_plan.STRIPES], table[sums_plan.STRIPE_ROWS], table[sums_plan.IMAGES]
        tiles = (rows_of_stripe + MOST - 1) // MOST
        if wide > out_channels:  # columns of zeros
            clear(turned_g, (table[sums_plan.REGION] - table[sums_plan.INPUT_BYTES]) // SIZE)
        for part in range(start, stop):
            sums = slots[2] + part * sums_size * SIZE
            clear(sums, sums_size)
            for work in range(part * works // parts, (part + 1) * works // parts):
                column = work % column_blocks * table[sums_plan.BLOCK_COLUMNS]
                row = work // column_blocks % row_blocks * table[sums_plan.BLOCK_ROWS]
                group = work // column_blocks // row_blocks % groups
                first_image = work // column_blocks // row_blocks // groups * together
                images = min(together, table[sums_plan.BATCH] - first_image)
                rows, columns = min(table[sums_plan.BLOCK_ROWS], out_h - row), min(table[sums_plan.BLOCK_COLUMNS], out_w - column)
                rows_in = (rows - 1) * table[sums_plan.STEP_H] + table[sums_plan.REACH_H] + 1
                for i in range(images):
                    image = (first_image + i) * groups + group
                    x = slots[1] + image * channels * size * SIZE
                    to = turned + i * (table[sums_plan.INPUT_BYTES] // together)
                    turn_input(x, to, table, row * table[sums_plan.STEP_H], rows_in, column * table[sums_plan.STEP_W])
                    g = slots[0] + image * out_channels * out_d * out_h * out_w * SIZE
                    for h in range(rows):
                        for d in range(out_d):
                            at = g + ((d * out_h + row + h) * out_w + column) * SIZE
                            to = turned_g + ((i * rows + h) * out_d + d) * columns * wide * SIZE
                            turn(at, out_d * out_h * out_w * SIZE, out_channels, columns, to, wide * SIZE)
                own = sums + group * stripes * rows_of_stripe * wide * SIZE
                positions = images * rows * out_d * columns
                for p in range(0, positions, sums_plan.POSITIONS):
                    depth = min(sums_plan.POSITIONS, positions - p)
                    for stripe in range(stripes):
                        a = turned + table[table[sums_plan.STRIPE_OFFSETS] + stripe]
                        for t in range(tiles):
                            first = t * rows_of_stripe // tiles
                            count = (t + 1) * rows_of_stripe // tiles - first
                            to = own + (stripe * rows_of_stripe + first) * wide * SIZE
                            for channel in range(0, wide, COLUMNS):
                                multiply_by(
                                    slots[5],
                                    arguments,
                                    count,
                                    min(COLUMNS, wide - channel) // LANES,
                                    depth,
                                    a + first * SIZE,
                                    turned_g + (p * wide + channel) * SIZE,
                                    slots[4] + 8 * (table[sums_plan.POSITION_OFFSETS] + p),
                                    wide * SIZE,
                                    to + channel * SIZE,
                                    wide * SIZE,
                                    to + channel * SIZE,
                                    wide * SIZE,
                                    0,
                                )

    return kernel


def weight_sum(dtype: str, tile: Tile) -> Any:
    """Slots: sums of the parts, gradient of the weight, table. A unit is a vector of output channels of a group."""
    element = POINTERS[dtype]
    SIZE = np.dtype(dtype).itemsize
    LANES = tile.vector_bytes // SIZE

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table = word(slots[2])
        wide, channels, parts, size = table[sums_plan.WIDE], table[sums_plan.OUT_CHANNELS], table[sums_plan.PARTS], table[sums_plan.SUMS]
        depth = table[sums_plan.STRIPES] * table[sums_plan.STRIPE_ROWS]  # weights of an output channel
        places = word(slots[2] + 8 * table[sums_plan.PLACES])
        blocks = wide // LANES
        for unit in range(start, stop):
            group, first = unit // blocks, unit % blocks * LANES
            out = element(slots[1] + (group * channels + first) * depth * SIZE)
            for p in range(depth):
                sums = element(slots[0] + ((group * depth + places[p]) * wide + first) * SIZE)
                for j in range(min(LANES, channels - first)):
                    total = sums[j]
                    for part in range(1, parts):
                        total += sums[part * size + j]
                    out[j * depth + p] = total

    return kernel


def narrow_weight_gradient(dtype: str, tile: Tile) -> Any:
    """Slots: gradient of the output, input, sums, working space, table of the convolution, parts. A unit is a part of the works.

    For a few output channels: each tap's sum is a vector over positions, which are read where the convolution reads them.
    """
    element = POINTERS[dtype]
    SIZE = np.dtype(dtype).itemsize
    LANES = tile.vector_bytes // SIZE
    fill, dots = filler(dtype), dot_tile(Vector(SIZE, LANES), sums_plan.TAPS, tile.fused)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table, parts = word(slots[4]), slots[5]
        channels, groups = table[plan.OUT_CHANNELS], table[plan.GROUPS]
        row_blocks, column_blocks = table[plan.ROW_BLOCKS], table[plan.COLUMN_BLOCKS]
        block_rows, block_columns = table[plan.BLOCK_ROWS], table[plan.BLOCK_COLUMNS]
        line, works, phase = table[plan.ROW] * table[plan.SPLIT], table[plan.WORKS], plan.HEADER
        size = table[plan.DEPTH] * table[plan.HEIGHT] * table[plan.WIDTH]
        depth, offsets = table[phase + plan.P_DEPTH], slots[4] + 8 * table[phase + plan.P_OFFSETS]
        region = aligned(slots[3]) + start * table[plan.REGION]  # nobody else starts here
        each = groups * channels * depth * LANES
        for part in range(start, stop):
            own = slots[2] + part * each * SIZE
            for i in range(each):
                element(own)[i] = 0
            for work in range(part * works // parts, (part + 1) * works // parts):
                w_begin = work % column_blocks * block_columns
                h_begin = work // column_blocks % row_blocks * block_rows
                image = work // column_blocks // row_blocks
                h_end = min(h_begin + block_rows, table[phase + plan.Q_H])
                wide = min(w_begin + block_columns, table[phase + plan.Q_W]) - w_begin
                rows_in = (h_end - h_begin - 1) * table[plan.STEP_H] + table[plan.REACH_H] + 1
                source = slots[1] + image * table[plan.CHANNELS] * size * SIZE
                fill(source, region, table, h_begin * table[plan.STEP_H], rows_in, w_begin)
                for o in range(channels):
                    sums = own + (image % groups * channels + o) * depth * LANES * SIZE
                    for d in range(table[phase + plan.Q_D]):
                        for h in range(h_begin, h_end):
                            x = region + (d * table[plan.STEP_D] * table[plan.ROWS] + (h - h_begin) * table[plan.STEP_H]) * line * SIZE
                            g = (image * channels + o) * table[plan.OUT_SIZE] + d * table[phase + plan.P_STEP_D]
                            g = slots[0] + (g + h * table[phase + plan.P_STEP_H] + w_begin) * SIZE
                            for p in range(0, depth, sums_plan.TAPS):
                                dots(min(sums_plan.TAPS, depth - p), g, wide, x, offsets + 8 * p, sums + p * LANES * SIZE)

    return kernel


def narrow_weight_sum(dtype: str, tile: Tile) -> Any:
    """Slots: sums of the parts, gradient of the weight, elements of it, parts. A unit is an element: the sum of vectors of sums."""
    element = POINTERS[dtype]
    LANES = tile.vector_bytes // np.dtype(dtype).itemsize

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        sums, out, count, parts = element(slots[0]), element(slots[1]), slots[2], slots[3]
        for unit in range(start, stop):
            for part in range(1, parts):
                for lane in range(LANES):
                    sums[unit * LANES + lane] += sums[(part * count + unit) * LANES + lane]
            half = LANES // 2
            while half > 0:
                for lane in range(half):
                    sums[unit * LANES + lane] += sums[unit * LANES + lane + half]
                half //= 2
            out[unit] = sums[unit * LANES]

    return kernel
