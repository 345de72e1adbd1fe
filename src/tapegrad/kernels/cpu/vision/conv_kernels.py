"""The kernels of ``direct_conv.py``, as Python functions; imported only when one of them has to be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...native.abi import POINTERS, call_kernel, stack_bytes, stack_words
from ..linalg.gemm import Tile
from ..vector import Vector
from . import direct_conv as plan
from .conv_tile import register_tile, transpose_part

word = POINTERS["int64"]


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def aligned(address):  # type: ignore[no-untyped-def]
    return (address + plan.ALIGN - 1) & -plan.ALIGN


def product(dtype: str, tile: Tile) -> Any:
    """A register tile of positions by channels as a kernel that the others call: the slots are its arguments, see ``register_tile``.

    It is compiled once for all of them, since it takes longest.
    """
    SIZE = np.dtype(dtype).itemsize
    multiply = register_tile(Vector(SIZE, tile.vector_bytes // SIZE), (tile.rows,) * tile.vectors, True, tile.fused)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        multiply(*_arguments(slots))

    return kernel


def narrow_product(dtype: str, tile: Tile) -> Any:
    """A register tile of a few channels by vectors of positions."""
    SIZE = np.dtype(dtype).itemsize
    room = tile.rows * tile.vectors  # vectors of sums
    most_rows = tuple(min(plan.NARROW, max(room // vectors, 1)) for vectors in range(1, min(room, plan.NARROW_VECTORS) + 1))
    multiply = register_tile(Vector(SIZE, tile.vector_bytes // SIZE), most_rows, False, tile.fused)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        multiply(*_arguments(slots))

    return kernel


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _arguments(slots):  # type: ignore[no-untyped-def]
    return (
        slots[0], slots[1], slots[2], slots[3], slots[4], slots[5], slots[6], slots[7], slots[8], slots[9], slots[10], slots[11]
    )  # fmt: skip


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def multiply_by(function, slots, rows, vectors, depth, a, b, offsets, step, first, first_row, c, c_row, count):  # type: ignore[no-untyped-def]
    to = word(slots)
    to[0], to[1], to[2], to[3], to[4], to[5] = rows, vectors, depth, a, b, offsets
    to[6], to[7], to[8], to[9], to[10], to[11] = step, first, first_row, c, c_row, count
    call_kernel(function, slots, 0, 1)


def pack(dtype: str, tile: Tile) -> Any:
    """Slots: weights, bias or 0, working space, table. A unit is a panel of a phase of a group; it is laid out tap by tap."""
    element = POINTERS[dtype]
    SIZE = np.dtype(dtype).itemsize
    LANES = tile.vector_bytes // SIZE
    COLUMNS = tile.vectors * LANES

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table, space = word(slots[3]), aligned(slots[2])
        panels, phases, channels = table[plan.PANELS], table[plan.PHASES], table[plan.OUT_CHANNELS]
        for unit in range(start, stop):
            panel, phase = unit % panels, plan.HEADER + unit // panels % phases * plan.PHASE_WORDS
            group = unit // panels // phases
            first = panel * COLUMNS
            width = min(COLUMNS, channels - first)
            columns = (width + LANES - 1) // LANES * LANES
            depth, taps, lane = table[phase + plan.P_DEPTH], table[phase + plan.P_TAPS], table[plan.WEIGHT_LANE]
            source = element(slots[0] + (group * table[plan.WEIGHT_GROUP] + first * lane) * SIZE)
            target = element(space + (group * table[plan.PACKED] + table[phase + plan.P_WEIGHTS] + depth * first) * SIZE)
            for p in range(depth):
                at = table[taps + p]
                for j in range(width):
                    target[p * columns + j] = source[at + j * lane]
                for j in range(width, columns):
                    target[p * columns + j] = 0
            biases = element(space + table[plan.BIAS_AT] + (group * panels + panel) * COLUMNS * SIZE)
            bias = element(slots[1] + (group * channels + first) * SIZE)
            for j in range(COLUMNS):
                biases[j] = bias[j] if j < width and slots[1] != 0 else 0

    return kernel


def filler(dtype: str) -> Any:
    """``fill(source, region, table, row0, rows, column0)``: the rows of a block within zeros, and where the stride is not 1, the columns
    in turns."""
    element = POINTERS[dtype]
    SIZE = np.dtype(dtype).itemsize

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def fill(source, region, table, row0, rows, column0):  # type: ignore[no-untyped-def]
        depth, height, width = table[plan.DEPTH], table[plan.HEIGHT], table[plan.WIDTH]
        depths, split, row_length = table[plan.DEPTHS], table[plan.SPLIT], table[plan.ROW]
        before = table[plan.BEFORE_W]
        for c in range(table[plan.CHANNELS]):
            for a in range(depths):
                d = a - table[plan.BEFORE_D]
                for b in range(rows):
                    h = row0 + b - table[plan.BEFORE_H]
                    line = region + ((c * depths + a) * table[plan.ROWS] + b) * row_length * split * SIZE
                    x = source + ((c * depth + d) * height + h) * width * SIZE
                    outside = d < 0 or d >= depth or h < 0 or h >= height
                    for f in range(split):
                        first = column0 * split + f - before  # in column of the first element
                        low = 0 if first >= 0 else min((split - 1 - first) // split, row_length)
                        high = max(min((width - 1 - first) // split + 1, row_length), low)
                        if outside:
                            low = high = row_length
                        to, at = element(line + f * row_length * SIZE), element(x + first * SIZE)
                        for i in range(low):
                            to[i] = 0
                        if split == 1:
                            for i in range(low, high):
                                to[i] = at[i]
                        else:
                            for i in range(low, high):
                                to[i] = at[i * split]
                        for i in range(high, row_length):
                            to[i] = 0

    return fill


def _spreader(dtype: str) -> Any:
    """``spread(tile, next_channel, next_position, out, step, size, positions, channels)``: write a tile to positions ``step`` elements
    apart, ``size`` between channels."""
    element = POINTERS[dtype]
    SIZE = np.dtype(dtype).itemsize

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def spread(tile, next_channel, next_position, out, step, size, positions, channels):  # type: ignore[no-untyped-def]
        for j in range(channels):
            to, at = element(out + j * size * SIZE), element(tile + j * next_channel * SIZE)
            for i in range(positions):
                to[i * step] = at[i * next_position]

    return spread


def _across(dtype: str, tile: Tile) -> Any:
    """The results of a phase in a block: tiles of positions, with vectors of channels across; ``product`` multiplies.

    Of many taps only a share is summed at a time, whose weights and input stay in the L1 cache; sums wait in ``partial``.
    """
    SIZE = np.dtype(dtype).itemsize
    LANES = tile.vector_bytes // SIZE
    COLUMNS = tile.vectors * LANES
    MOST = tile.rows
    EDGE = (tile.rows + LANES) * COLUMNS * SIZE
    spread, transpose = _spreader(dtype), transpose_part(Vector(SIZE, LANES))

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def put(tile_at, out, step, size, rows, width):  # type: ignore[no-untyped-def]
        """Write a tile (positions, channels) to channels of the output."""
        if step == 1:
            for i in range(0, rows, LANES):
                for j in range(0, width, LANES):
                    source, target = tile_at + (i * COLUMNS + j) * SIZE, out + (i + j * size) * SIZE
                    transpose(source, COLUMNS * SIZE, min(LANES, rows - i), min(LANES, width - j), target, size * SIZE)
        else:
            spread(tile_at, 1, COLUMNS, out, step, size, rows, width)

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def results(function, table_at, phase, base, partial, weights, biases, out, images, h_begin, h_end, w_begin, wide):  # type: ignore[no-untyped-def]
        table, edge, arguments = word(table_at), stack_bytes(EDGE), stack_words(12)
        channels, size, step = table[plan.OUT_CHANNELS], table[plan.OUT_SIZE], table[phase + plan.P_STEP_W]
        line, step_h, share = table[plan.ROW] * table[plan.SPLIT], table[plan.STEP_H], table[plan.SHARE]
        depth, offsets = table[phase + plan.P_DEPTH], table_at + 8 * table[phase + plan.P_OFFSETS]
        next_in, next_out = table[plan.INPUT], table[plan.GROUPS] * channels * size * SIZE
        if table[plan.IN_PLACE]:
            next_in = table[plan.GROUPS] * table[plan.CHANNELS] * table[plan.DEPTH] * table[plan.HEIGHT] * table[plan.WIDTH] * SIZE
        depths, tiles = table[phase + plan.Q_D], (wide + MOST - 1) // MOST
        for channel in range(0, channels, COLUMNS):
            width = min(COLUMNS, channels - channel)
            vectors = (width + LANES - 1) // LANES
            for p in range(0, max(depth, 1), share):
                taps, last = min(share, depth - p), p + share >= depth
                sums = partial
                for place in range(images * depths):
                    image, d = place // depths, place % depths
                    for h in range(h_begin, h_end):
                        a = base + image * next_in + (d * table[plan.STEP_D] * table[plan.ROWS] + (h - h_begin) * step_h) * line * SIZE
                        row = (channel * size + d * table[phase + plan.P_STEP_D] + h * table[phase + plan.P_STEP_H]) * SIZE
                        row += out + image * next_out
                        for t in range(tiles):
                            w = t * wide // tiles
                            rows = (t + 1) * wide // tiles - w
                            multiply_by(
                                function,
                                arguments,
                                rows,
                                vectors,
                                taps,
                                a + w * SIZE,
                                weights + (depth * channel + p * vectors * LANES) * SIZE,
                                offsets + 8 * p,
                                vectors * LANES * SIZE,
                                sums if p else biases + channel * SIZE,
                                COLUMNS * SIZE if p else 0,
                                edge if last else sums,
                                COLUMNS * SIZE,
                                0,
                            )
                            sums += rows * COLUMNS * SIZE
                            if last:
                                put(edge, row + (w_begin + w) * step * SIZE, step, size, rows, width)

    return results


def _along(dtype: str, tile: Tile) -> Any:
    """The results of a phase in a block: tiles of a few channels, with vectors of positions along; ``narrow_product`` multiplies."""
    SIZE = np.dtype(dtype).itemsize
    LANES = tile.vector_bytes // SIZE
    ROOM = tile.rows * tile.vectors
    EDGE_ROW = plan.NARROW_VECTORS * LANES
    EDGE = plan.NARROW * EDGE_ROW * SIZE
    spread = _spreader(dtype)

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def results(function, table_at, phase, base, partial, weights, biases, out, images, h_begin, h_end, w_begin, wide):  # type: ignore[no-untyped-def]
        table, edge, arguments = word(table_at), stack_bytes(EDGE), stack_words(12)
        channels, size, step = table[plan.OUT_CHANNELS], table[plan.OUT_SIZE], table[phase + plan.P_STEP_W]
        line, step_h = table[plan.ROW] * table[plan.SPLIT], table[plan.STEP_H]
        depth, offsets = table[phase + plan.P_DEPTH], table_at + 8 * table[phase + plan.P_OFFSETS]
        vectors = (wide + LANES - 1) // LANES
        most = min(ROOM // channels, plan.NARROW_VECTORS)
        tiles = (vectors + most - 1) // most
        for d in range(table[phase + plan.Q_D]):
            for h in range(h_begin, h_end):
                b = base + (d * table[plan.STEP_D] * table[plan.ROWS] + (h - h_begin) * step_h) * line * SIZE
                row = out + (d * table[phase + plan.P_STEP_D] + h * table[phase + plan.P_STEP_H]) * SIZE
                for t in range(tiles):
                    w = t * vectors // tiles * LANES
                    count = min((t + 1) * vectors // tiles * LANES, wide) - w
                    to = row + (w_begin + w) * step * SIZE
                    multiply_by(
                        function,
                        arguments,
                        channels,
                        (count + LANES - 1) // LANES,
                        depth,
                        weights,
                        b + w * SIZE,
                        offsets,
                        LANES * SIZE,
                        biases,
                        SIZE,
                        to if step == 1 else edge,
                        size * SIZE if step == 1 else EDGE_ROW * SIZE,
                        count,
                    )
                    if step != 1:
                        spread(edge, EDGE_ROW, 1, to, step, size, count, channels)

    return results


def correlate(dtype: str, tile: Tile, narrow: bool) -> Any:
    """Slots: input, output, working space, table, ``product`` or ``narrow_product``. A unit is a share of the works: blocks of rows,
    or of columns, of a group of an image."""
    element = POINTERS[dtype]
    SIZE = np.dtype(dtype).itemsize
    COLUMNS = tile.vectors * tile.vector_bytes // SIZE
    fill, results = filler(dtype), _along(dtype, tile) if narrow else _across(dtype, tile)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table, space = word(slots[3]), aligned(slots[2])
        row_blocks, column_blocks = table[plan.ROW_BLOCKS], table[plan.COLUMN_BLOCKS]
        block_rows, block_columns = table[plan.BLOCK_ROWS], table[plan.BLOCK_COLUMNS]
        line, groups = table[plan.ROW] * table[plan.SPLIT], table[plan.GROUPS]
        works, units = table[plan.WORKS], table[plan.UNITS]
        size = table[plan.DEPTH] * table[plan.HEIGHT] * table[plan.WIDTH]
        own = space + table[plan.REGIONS_AT] + start * table[plan.REGION]  # nobody else starts here
        partial = own + table[plan.REGION] - table[plan.PARTIAL]
        if narrow:  # the last vector of the last row reads beyond it
            for i in range(table[plan.PARTIAL] // SIZE):
                element(partial)[i] = 0
        for work in range(start * works // units, stop * works // units):
            w_begin = work % column_blocks * block_columns
            h_begin = work // column_blocks % row_blocks * block_rows
            rest = work // column_blocks // row_blocks
            group, first = rest % groups, rest // groups * table[plan.TOGETHER]
            images = min(table[plan.TOGETHER], table[plan.BATCH] - first)
            source = slots[0] + (first * groups + group) * table[plan.CHANNELS] * size * SIZE
            out = slots[1] + (first * groups + group) * table[plan.OUT_CHANNELS] * table[plan.OUT_SIZE] * SIZE
            base = own
            if table[plan.IN_PLACE]:
                base = source + (h_begin * table[plan.STEP_H] * line + w_begin) * SIZE
            else:
                count = min(block_rows, table[plan.MOST_ROWS] - h_begin)
                rows_in = (count - 1) * table[plan.STEP_H] + table[plan.REACH_H] + 1
                for i in range(images):
                    at = source + i * groups * table[plan.CHANNELS] * size * SIZE
                    fill(at, own + i * table[plan.INPUT], table, h_begin * table[plan.STEP_H], rows_in, w_begin)
            for number in range(table[plan.PHASES]):
                phase = plan.HEADER + number * plan.PHASE_WORDS
                h_end = min(h_begin + block_rows, table[phase + plan.Q_H])
                wide = min(w_begin + block_columns, table[phase + plan.Q_W]) - w_begin
                if wide > 0:
                    weights = space + (group * table[plan.PACKED] + table[phase + plan.P_WEIGHTS]) * SIZE
                    biases = space + table[plan.BIAS_AT] + group * table[plan.PANELS] * COLUMNS * SIZE
                    to = out + table[phase + plan.P_OUT] * SIZE
                    results(slots[4], slots[3], phase, base, partial, weights, biases, to, images, h_begin, h_end, w_begin, wide)

    return kernel
