"""The kernels of the matrix product, as Python functions: packing B, and computing tiles; ``gemm`` has the plan they follow.

This module imports Numba only inside the functions that build kernels.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

ALIGN = 64
ROW_VECTORS = 8  # vectors of columns for a single row: enough sums at once to hide an FMA's latency
ROW_DEPTH = 32  # rows of B that meet a single row at a time: few enough that a prefetcher follows each from panel to panel
PACK_DEPTH = 256  # rows of B in one unit of packing
PACK_ROWS = 16  # rows of B, if they are contiguous, read before the next panel's

# Words of a plan's table; then rows (size, own size, A's, B's and packed B's stride) for the batch dimensions.
M, N, K, A_ROW, A_STEP, B_STEP, B_COLUMN, TILES, PANELS, COLUMNS = range(10)
FIRST_PACKED, BY_ROWS, PACK_A, SPACE, GROUP = range(10, 15)
MATRICES, UNITS, PACKED_MATRICES, PACK_UNITS, PASS, BATCH_DIMS = range(15, 21)
BATCH = 21
IN_PLACE, BY_ROW, BY_COLUMN, BY_ELEMENT = range(4)  # how a block of rows of A is packed


class Tile(NamedTuple):
    """The shape of a register tile: bytes of a vector, rows, vectors of columns, and whether the CPU has an FMA."""

    vector_bytes: int
    rows: int
    vectors: int
    fused: bool


class Blocking(NamedTuple):
    """How a product is cut for registers and caches.

    Attributes:
        tile: what lies in registers.
        widths: the most vectors of columns for 1, 2, ... rows; a product with no more rows than there are widths is one tile high.
        depth: products in one pass: a tile's share of A, and part of a panel's share of B, stay in the L1 cache.
        block: tiles that take turns with a panel, so that their share of A stays in the L2 cache.
        group: the most panels packed at once by the thread that computes them; packed A is read again for each group.
        near: bytes between A's rows up to which it is read as it lies, being no faster when packed.
    """

    tile: Tile
    widths: tuple[int, ...]
    depth: int
    block: int
    group: int
    near: int

    def a_bytes(self, itemsize: int) -> int:
        """Space for one block of packed rows of A, with up to two cache lines between columns."""
        return self.depth * (-(-self.block * self.tile.rows * itemsize // ALIGN) + 1) * ALIGN + ALIGN


@functools.cache
def host_tile() -> Tile:
    """The tile that fills this CPU's vector registers."""
    named = os.environ.get("NUMBA_CPU_FEATURES")
    if named is not None:
        has = {feature[1:] for feature in named.split(",") if feature.startswith("+")}
    elif os.environ.get("NUMBA_CPU_NAME"):
        has = set()  # compiled for some other CPU: assume nothing
    else:
        has = {name for name, present in llvm.get_host_cpu_features().items() if present}
    if "avx512f" in has:
        return Tile(64, 10, 2, True)
    if {"avx2", "fma"} <= has:
        return Tile(32, 6, 2, True)
    return Tile(16, 4, 2, "neon" in has)


@functools.cache
def host_blocking() -> Blocking:
    """How products are cut on this CPU."""
    return blocking_of(host_tile(), os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name())


def blocking_of(tile: Tile, cpu: str) -> Blocking:
    """What was measured to be fastest: with AVX-512 tall tiles on AMD's cores, wide ones on Intel's, which load less at a time."""
    if tile.vector_bytes == 64 and not cpu.startswith("znver"):
        return Blocking(Tile(64, 6, 4, True), (ROW_VECTORS, 4, 4, 4, 4, 4, 3, 3, 2, 2), 256, 4, 16, 1 << 20)
    return Blocking(tile, (ROW_VECTORS, *[tile.vectors] * (tile.rows - 1)), 512, 6, 8, 256)


def panel_packer(name: str, tile: Tile) -> Any:
    """For kernels, the function that copies a panel of B, some of its columns, to where the register tile reads it."""
    from numba import njit

    from ...native.abi import POINTERS
    from ..vector import Vector
    from .micro import padded_copy, transpose_block

    SIZE = np.dtype(name).itemsize
    LANES = tile.vector_bytes // SIZE
    vector = Vector(SIZE, LANES)
    copy, transpose, element = padded_copy(vector), transpose_block(vector), POINTERS[name]

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def pack_panel(source, b_step, b_column, target, depth, width):  # type: ignore[no-untyped-def]
        """``depth`` rows of ``width`` columns of B, padded with zeros to whole vectors, one after the other."""
        step = (width + LANES - 1) // LANES * LANES * SIZE
        if b_column == SIZE:
            for p in range(depth):
                for j in range(0, width, LANES):
                    copy(source + p * b_step + j * SIZE, target + p * step + j * SIZE, width - j)
            return
        whole, done = 0, 0  # columns [0, whole) of rows [0, done) go by blocks, the rest by elements
        if b_step == SIZE:
            whole, done = width // LANES * LANES, depth // LANES * LANES
            for j in range(0, whole, LANES):
                for p in range(0, done, LANES):
                    transpose(source + p * SIZE + j * b_column, b_column, target + p * step + j * SIZE, step)
        for p in range(depth):
            for j in range(whole if p < done else 0, width):
                element(target + p * step + j * SIZE)[0] = element(source + p * b_step + j * b_column)[0]
            for j in range(width * SIZE, step, SIZE):
                element(target + p * step + j)[0] = 0

    return pack_panel


def kernel_sources(name: str, blocking: Blocking) -> dict[str, Callable[..., None]]:
    """The two kernels for a dtype, as Python functions."""
    from numba import njit

    from ...native.abi import POINTERS, stack_bytes
    from ..vector import Vector
    from .micro import exact_copy, exact_fill, micro_kernel, padded_copy, partial_store

    tile, widths, DEPTH, BLOCK, *_ = blocking
    SIZE = np.dtype(name).itemsize
    LANES = tile.vector_bytes // SIZE
    TILE_BYTES = max(rows * width for rows, width in enumerate(widths, 1)) * tile.vector_bytes
    A_BYTES = blocking.a_bytes(SIZE)
    vector = Vector(SIZE, LANES)
    multiply = micro_kernel(vector, widths, tile.fused)
    copy, copy_exactly, fill_exactly = padded_copy(vector), exact_copy(vector), exact_fill(vector)
    put, pack_panel = partial_store(vector), panel_packer(name, tile)
    element, word = POINTERS[name], POINTERS["int64"]

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def aligned(address):  # type: ignore[no-untyped-def]
        return (address + ALIGN - 1) & -ALIGN

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def apart(size):  # type: ignore[no-untyped-def]
        """Bytes from one run to the next: whole cache lines, and an odd number of them, since powers of two share cache sets."""
        return ((size + ALIGN - 1) // ALIGN | 1) * ALIGN

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def first_row(t, rows, more):  # type: ignore[no-untyped-def]
        """Of tile ``t``, where all have so many rows, and the first ``more`` tiles one more."""
        return t * rows + min(t, more)

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def pack_rows(kind, source, a_row, a_step, target, rows, depth):  # type: ignore[no-untyped-def]
        """Each row's elements together, or (where A's columns are contiguous) each column's."""
        if kind == BY_COLUMN:
            for p in range(depth):
                for i in range(0, rows, LANES):
                    copy(source + p * a_step + i * SIZE, target + i * SIZE, rows - i)
                target += apart(rows * SIZE)
            return
        for i in range(rows):
            if kind == BY_ROW:
                for p in range(0, depth, LANES):
                    copy(source + i * a_row + p * SIZE, target + p * SIZE, depth - p)
                target += depth * SIZE
            else:
                for p in range(depth):
                    element(target)[0] = element(source + i * a_row + p * a_step)[0]
                    target += SIZE

    def pack(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: B, working space, table. A unit is a share of B's (matrix, panel, block of rows)."""
        table = word(slots[2])
        n, k, b_step, b_column = table[N], table[K], table[B_STEP], table[B_COLUMN]
        first, columns = table[FIRST_PACKED], table[COLUMNS]
        panels, blocks = table[PANELS] - first, (k + PACK_DEPTH - 1) // PACK_DEPTH
        total, units = table[PACKED_MATRICES] * panels * blocks, table[PACK_UNITS]
        for work in range(start * total // units, stop * total // units):
            p0 = work % blocks * PACK_DEPTH
            panel = work // blocks % panels
            source, target = slots[0], aligned(slots[1])
            matrix = work // (blocks * panels)
            for d in range(table[BATCH_DIMS] - 1, -1, -1):
                row = BATCH + 5 * d
                source += matrix % table[row + 1] * table[row + 3]
                target += matrix % table[row + 1] * table[row + 4]
                matrix //= table[row + 1]
            column = (first + panel) * columns
            width = min(columns, n - column)
            target += panel * k * columns * SIZE + p0 * ((width + LANES - 1) // LANES * LANES * SIZE)
            pack_panel(source + p0 * b_step + column * b_column, b_step, b_column, target, min(PACK_DEPTH, k - p0), width)

    def compute(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: A, B, C, working space, table, what C begins with (0: zeros), bytes between its rows, of how many matrices it is the
        columns (0: it is rows).

        A unit is a share of the tiles, or panels, of all matrices.
        """
        table = word(slots[4])
        m, n, k, tiles, panels = table[M], table[N], table[K], table[TILES], table[PANELS]
        a_row, a_step, b_row, b_column = table[A_ROW], table[A_STEP], table[B_STEP], table[B_COLUMN]
        columns, first_packed, by_rows, pack_a, group = table[COLUMNS], table[FIRST_PACKED], table[BY_ROWS], table[PACK_A], table[GROUP]
        # Space of our own, since nobody else starts here: a block of A, then a group of panels of B.
        a_space = aligned(slots[3]) + table[SPACE] + start * (A_BYTES + group * DEPTH * columns * SIZE)
        b_space = a_space + A_BYTES
        edge = stack_bytes(TILE_BYTES)
        least, more = m // tiles, m % tiles  # rows of a tile, and how many have one more
        each = tiles if by_rows else panels
        total, units = table[MATRICES] * each, table[UNITS]
        work, end = start * total // units, stop * total // units
        while work < end:
            a, b, c, packed, first = slots[0], slots[1], slots[2], aligned(slots[3]), slots[5]
            matrix, begin = work // each, work % each
            count = min(each - begin, end - work)
            work += count
            c += matrix * m * n * SIZE
            first += (matrix % slots[7] if slots[7] else matrix) * m * slots[6]
            for d in range(table[BATCH_DIMS] - 1, -1, -1):
                row = BATCH + 5 * d
                index = matrix % table[row]
                matrix //= table[row]
                a += index * table[row + 2]
                b += index * table[row + 3]
                packed += index * table[row + 4]
            tile_begin, tile_end = (begin, begin + count) if by_rows else (0, tiles)
            panel_begin, panel_end = (0, panels) if by_rows else (begin, begin + count)
            together = group if group else panel_end - panel_begin

            for p0 in range(0, max(k, 1), table[PASS]):  # no products at all still write zeros
                depth = min(table[PASS], k - p0)
                for g0 in range(panel_begin, panel_end, together):
                    g1 = min(g0 + together, panel_end)
                    if group:
                        # rows next to each other in memory are read a few at a time, through all panels
                        few = PACK_ROWS if b_column == SIZE else max(depth, 1)
                        for p in range(0, depth, few):
                            for panel in range(g0, g1):
                                width = min(columns, n - panel * columns)
                                target = b_space + (panel - g0) * DEPTH * columns * SIZE + p * ((width + LANES - 1) // LANES * LANES * SIZE)
                                source = b + (p0 + p) * b_row + panel * columns * b_column
                                pack_panel(source, b_row, b_column, target, min(few, depth - p), width)
                    for t0 in range(tile_begin, tile_end, BLOCK):
                        t1 = min(t0 + BLOCK, tile_end)
                        block = first_row(t0, least, more)
                        a_block, tile_row, tile_step = a + block * a_row + p0 * a_step, a_row, a_step
                        if pack_a:
                            pack_rows(pack_a, a_block, a_row, a_step, a_space, first_row(t1, least, more) - block, depth)
                            a_block, tile_row, tile_step = a_space, depth * SIZE, SIZE
                            if pack_a == BY_COLUMN:
                                tile_row, tile_step = SIZE, apart((first_row(t1, least, more) - block) * SIZE)
                        for panel in range(g0, g1):
                            column = panel * columns
                            width = min(columns, n - column)
                            vectors = (width + LANES - 1) // LANES
                            whole = width == vectors * LANES
                            b_step = b_row
                            b_tile = b + p0 * b_step + column * SIZE
                            if group:
                                b_step = vectors * LANES * SIZE
                                b_tile = b_space + (panel - g0) * DEPTH * columns * SIZE
                            elif panel >= first_packed:
                                b_step = vectors * LANES * SIZE
                                b_tile = packed + (panel - first_packed) * k * columns * SIZE + p0 * b_step
                            for t in range(t0, t1):
                                i0, rows = first_row(t, least, more), least + (t < more)
                                c_tile = c + (i0 * n + column) * SIZE
                                if slots[5] and p0 == 0:
                                    for i in range(rows):
                                        source = first + (i0 + i) * slots[6]
                                        for j in range(0, width, LANES):
                                            if slots[7]:
                                                fill_exactly(source, c_tile + (i * n + j) * SIZE, width - j)
                                            else:
                                                copy_exactly(source + (column + j) * SIZE, c_tile + (i * n + j) * SIZE, width - j)
                                multiply(
                                    rows,
                                    vectors,
                                    depth,
                                    a_block + (i0 - block) * tile_row,
                                    tile_row,
                                    tile_step,
                                    b_tile,
                                    b_step,
                                    c_tile if whole else edge,
                                    n * SIZE if whole else columns * SIZE,
                                    p0 | slots[5] if whole else 0,
                                )
                                if not whole:  # the tile is wider than C
                                    for i in range(rows):
                                        for j in range(0, width, LANES):
                                            put(edge + (i * columns + j) * SIZE, c_tile + (i * n + j) * SIZE, width - j, p0 | slots[5])

    return {"pack": pack, "compute": compute}


def dot_source(name: str) -> Callable[..., None]:
    """The kernel of a matrix with contiguous rows times a vector."""
    from ...native.abi import POINTERS

    element, ZERO = POINTERS[name], np.dtype(name).type(0)

    def dots(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: matrix, vector, out, products in a sum, bytes between rows, what out begins with (0: zeros), elements between its rows."""
        vector, out, k = element(slots[1]), element(slots[2]), slots[3]
        for i in range(start, stop):
            row = element(slots[0] + i * slots[4])
            total = ZERO
            for p in range(k):
                total += row[p] * vector[p]
            out[i] = total + element(slots[5])[i * slots[6]] if slots[5] else total

    return dots
