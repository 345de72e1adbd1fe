"""Matrix product of float32 or float64 arrays of any strides: register tiles over packed or directly read operands.

C is cut into tiles of a few rows, and panels of a few vectors' columns. The micro-kernel computes where a tile and a
panel meet; it reads A element by element, at any strides, and B a vector at a time. A first launch packs B's panels
(contiguous, padded with zeros) where B cannot be read as it lies or is too large for that; the second computes, and
packs rows of A only when neither of A's strides is one element. Every element is the sum of blocks of ``_DEPTH``
products in order, whatever the layout, the number of threads, or the rows and columns around it: those change no bit.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

from .. import cache, runtime
from ..call import launcher, recording

_Array = np.ndarray[Any, Any]
_DTYPES = ("float32", "float64")
_ALIGN = 64
_DEPTH = 512  # products in one pass: a tile's share of A stays in the L1 cache
_BLOCK_TILES = 6  # tiles that take turns with a panel, so that their share of A stays in the L2 cache
_ROW_VECTORS = 8  # vectors of columns for a single row: enough sums at once to hide an FMA's latency
_PACK_DEPTH = 256  # rows of B in one unit of packing
_SERIAL_FLOPS = 1_500_000  # below, waking another thread costs more than it brings
_DIRECT_BYTES = 256 << 10  # B up to this size is read in place when its rows are contiguous
_DIRECT_TILES = 4  # rows so few that packing B costs more than reading it scattered
_PACK_A_PANELS = 4  # from this many panels on, packing a scattered A is worth its price
_KEPT_SPACE = range(64 << 10, 32 << 20)  # sizes of working space for which the kernel's page faults are worth sparing
_MAX_PLANS = 4096

# Words of a plan's table; then rows (size, own size, A's, B's and packed B's stride) for the batch dimensions.
_M, _N, _K, _A_ROW, _A_STEP, _B_STEP, _B_COLUMN, _TILES, _PANELS, _COLUMNS = range(10)
_FIRST_PACKED, _BY_ROWS, _PACK_A, _A_SPACE = range(10, 14)
_MATRICES, _UNITS, _PACKED_MATRICES, _PACK_UNITS, _BATCH_DIMS = range(14, 19)
_BATCH = 19


class Tile(NamedTuple):
    """The shape of a register tile: bytes of a vector, rows, vectors of columns, and whether the CPU has an FMA."""

    vector_bytes: int
    rows: int
    vectors: int
    fused: bool

    def columns(self, itemsize: int, rows: int) -> int:
        """Columns of a panel of a product with so many rows."""
        return (_ROW_VECTORS if rows == 1 else self.vectors) * self.vector_bytes // itemsize


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


def _kernel_sources(name: str, tile: Tile) -> dict[str, Callable[..., None]]:
    """The two kernels for a dtype, as Python functions for Numba (imported only when they must be compiled)."""
    from numba import njit

    from ..abi import POINTERS, stack_words
    from .micro import Vector, micro_kernel, padded_copy, partial_store, transpose_block

    SIZE = np.dtype(name).itemsize
    LANES = tile.vector_bytes // SIZE
    TILE_WORDS = max(tile.rows * tile.vectors, _ROW_VECTORS) * tile.vector_bytes // 8
    REGION = _region_bytes(tile, SIZE)
    vector = Vector(SIZE, LANES)
    multiply = micro_kernel(vector, [_ROW_VECTORS] + [tile.vectors] * (tile.rows - 1), tile.fused)
    copy, transpose, put = padded_copy(vector), transpose_block(vector), partial_store(vector)
    element, word = POINTERS[name], POINTERS["int64"]

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def aligned(address):  # type: ignore[no-untyped-def]
        return (address + _ALIGN - 1) & -_ALIGN

    def pack(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: B, working space, table. A unit is a share of B's (matrix, panel, block of rows)."""
        table = word(slots[2])
        n, k, b_step, b_column = table[_N], table[_K], table[_B_STEP], table[_B_COLUMN]
        first, columns = table[_FIRST_PACKED], table[_COLUMNS]
        panels, blocks = table[_PANELS] - first, (k + _PACK_DEPTH - 1) // _PACK_DEPTH
        total, units = table[_PACKED_MATRICES] * panels * blocks, table[_PACK_UNITS]
        for work in range(start * total // units, stop * total // units):
            p0 = work % blocks * _PACK_DEPTH
            panel = work // blocks % panels
            source, target = slots[0], aligned(slots[1])
            matrix = work // (blocks * panels)
            for d in range(table[_BATCH_DIMS] - 1, -1, -1):
                row = _BATCH + 5 * d
                source += matrix % table[row + 1] * table[row + 3]
                target += matrix % table[row + 1] * table[row + 4]
                matrix //= table[row + 1]
            depth = min(_PACK_DEPTH, k - p0)
            column = (first + panel) * columns
            width = min(columns, n - column)
            step = (width + LANES - 1) // LANES * LANES * SIZE
            source += p0 * b_step + column * b_column
            target += panel * k * columns * SIZE + p0 * step
            if b_column == SIZE:
                for p in range(depth):
                    for j in range(0, width, LANES):
                        copy(source + p * b_step + j * SIZE, target + p * step + j * SIZE, width - j)
                continue
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

    def compute(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: A, B, C, working space, table. A unit is a share of the tiles, or panels, of all matrices."""
        table = word(slots[4])
        m, n, k, tiles, panels = table[_M], table[_N], table[_K], table[_TILES], table[_PANELS]
        a_row, a_step = table[_A_ROW], table[_A_STEP]
        columns, first_packed, by_rows, pack_a = table[_COLUMNS], table[_FIRST_PACKED], table[_BY_ROWS], table[_PACK_A]
        a_space = aligned(slots[3]) + table[_A_SPACE] + start * REGION  # nobody else starts here
        edge = stack_words(TILE_WORDS)
        each = tiles if by_rows else panels
        total, units = table[_MATRICES] * each, table[_UNITS]
        work, end = start * total // units, stop * total // units
        while work < end:
            a, b, c, packed = slots[0], slots[1], slots[2], aligned(slots[3])
            matrix, begin = work // each, work % each
            count = min(each - begin, end - work)
            work += count
            c += matrix * m * n * SIZE
            for d in range(table[_BATCH_DIMS] - 1, -1, -1):
                row = _BATCH + 5 * d
                index = matrix % table[row]
                matrix //= table[row]
                a += index * table[row + 2]
                b += index * table[row + 3]
                packed += index * table[row + 4]
            tile_begin, tile_end = (begin, begin + count) if by_rows else (0, tiles)
            panel_begin, panel_end = (0, panels) if by_rows else (begin, begin + count)

            for p0 in range(0, max(k, 1), _DEPTH):  # no products at all still write zeros
                depth = min(_DEPTH, k - p0)
                for t0 in range(tile_begin, tile_end, _BLOCK_TILES):
                    t1 = min(t0 + _BLOCK_TILES, tile_end)
                    block = t0 * m // tiles
                    if pack_a:
                        target = a_space
                        for t in range(t0, t1):
                            for p in range(p0, p0 + depth):
                                for i in range(t * m // tiles, (t + 1) * m // tiles):
                                    element(target)[0] = element(a + i * a_row + p * a_step)[0]
                                    target += SIZE
                    for panel in range(panel_begin, panel_end):
                        column = panel * columns
                        width = min(columns, n - column)
                        vectors = (width + LANES - 1) // LANES
                        whole = width == vectors * LANES
                        b_step = table[_B_STEP]
                        b_tile = b + p0 * b_step + column * SIZE
                        if panel >= first_packed:
                            b_step = vectors * LANES * SIZE
                            b_tile = packed + (panel - first_packed) * k * columns * SIZE + p0 * b_step
                        for t in range(t0, t1):
                            i0 = t * m // tiles
                            rows = (t + 1) * m // tiles - i0
                            c_tile = c + (i0 * n + column) * SIZE
                            multiply(
                                rows,
                                vectors,
                                depth,
                                a_space + (i0 - block) * depth * SIZE if pack_a else a + i0 * a_row + p0 * a_step,
                                SIZE if pack_a else a_row,
                                rows * SIZE if pack_a else a_step,
                                b_tile,
                                b_step,
                                c_tile if whole else edge,
                                n * SIZE if whole else columns * SIZE,
                                p0 if whole else 0,
                            )
                            if not whole:  # the tile is wider than C
                                for i in range(rows):
                                    for j in range(0, width, LANES):
                                        put(edge + (i * columns + j) * SIZE, c_tile + (i * n + j) * SIZE, width - j, p0)

    return {"pack": pack, "compute": compute}


def _region_bytes(tile: Tile, itemsize: int) -> int:
    """Space for one block of packed tiles of A."""
    return _BLOCK_TILES * tile.rows * _DEPTH * itemsize


@functools.cache
def _kernel(kind: str, name: str, tile: Tile) -> int:
    return cache.native(f"gemm:{kind}:{name}:{tuple(tile)}", lambda: _kernel_sources(name, tile)[kind])


# --------------------------------------------------------------------------------------------------------------- plans


class _Plan(NamedTuple):
    """How to multiply two arrays of given shapes and strides."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    table: _Array
    pack: int
    pack_units: int
    pack_grain: int
    compute: int
    units: int
    grain: int
    space_bytes: int


_plans: dict[Any, _Plan] = {}


def _make_plan(a: _Array, b: _Array) -> _Plan:
    name = a.dtype.name
    if a.dtype != b.dtype or name not in _DTYPES or not a.dtype.isnative:
        raise TypeError(f"matmul expects two float32 or two float64 arrays, got {a.dtype} and {b.dtype}")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul expects shapes (..., m, k) and (..., k, n), got {a.shape} and {b.shape}")
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"matmul cannot broadcast the batch dimensions of {a.shape} and {b.shape}") from None
    m, k = a.shape[-2:]
    n = b.shape[-1]
    shape = (*batch, m, n)
    size, tile = a.itemsize, host_tile()
    if 0 in shape:
        return _Plan(shape, a.dtype, np.zeros(0, np.int64), 0, 0, 0, 0, 0, 0, 0)

    a_row, a_step = a.strides[-2:]
    b_step, b_column = b.strides[-2:]
    dims = [
        (extent, x, y)
        for extent, x, y in zip(batch, _batch_strides(a, len(batch)), _batch_strides(b, len(batch)), strict=True)
        if extent != 1
    ]
    # One B for many stacked A: more rows of a single product.
    while dims and dims[-1][2] == 0 and (m == 1 or dims[-1][1] == m * a_row):
        extent, stride, _ = dims.pop()
        a_row = stride if m == 1 else a_row
        m *= extent
    matrices = math.prod([extent for extent, _, _ in dims])

    lanes, columns = tile.vector_bytes // size, tile.columns(size, m)
    tiles, panels = -(-m // tile.rows), -(-n // columns)
    if b_column == size and (tiles <= _DIRECT_TILES or k * n * size <= _DIRECT_BYTES):
        first_packed = panels if n % lanes == 0 else panels - 1  # a vector must not reach past B's last column
    else:
        first_packed = 0
    threads = runtime.get_num_threads()
    large = 2 * matrices * m * n * k >= _SERIAL_FLOPS
    if large and threads > 1:
        runtime.start_threads()
    by_rows = matrices * tiles >= 4 * threads or tiles >= panels
    units = min(matrices * (tiles if by_rows else panels), 16 * threads)
    pack_a = panels >= _PACK_A_PANELS and min(abs(a_row), abs(a_step)) > size

    rows, own_matrices = [], 1
    packed_stride = (panels - first_packed) * k * columns * size
    for extent, x, y in reversed(dims):
        own = extent if y else 1
        rows.append((extent, own, x, y, packed_stride * own_matrices if y else 0))
        own_matrices *= own
    pack_work = own_matrices * (panels - first_packed) * -(-k // _PACK_DEPTH)
    pack_units = min(pack_work, 16 * threads)
    table = [m, n, k, a_row, a_step, b_step, b_column, tiles, panels, columns]
    packed_bytes = packed_stride * own_matrices if pack_units else 0
    space_bytes = packed_bytes + (units * _region_bytes(tile, size) if pack_a else 0)
    table += [first_packed, by_rows, pack_a, packed_bytes, matrices, units, own_matrices, pack_units, len(rows)]
    for row in reversed(rows):
        table += row
    return _Plan(
        shape,
        a.dtype,
        np.array(table, np.int64),
        _kernel("pack", name, tile) if pack_units else 0,
        pack_units,
        1 if large else pack_units,
        _kernel("compute", name, tile),
        units,
        1 if large else units,
        space_bytes + _ALIGN if space_bytes else 0,
    )


def _batch_strides(array: _Array, ndim: int) -> list[int]:
    """Strides of the batch dimensions after broadcasting: 0 where the array is repeated."""
    strides = [0 if extent == 1 else s for extent, s in zip(array.shape[:-2], array.strides[:-2], strict=True)]
    return [0] * (ndim - len(strides)) + strides


# --------------------------------------------------------------------------------------------------------------- calls


class _Local(threading.local):
    space: _Array | None = None


_local = _Local()


def _borrow_space(size: int) -> _Array:
    """Working space of at least ``size`` bytes, taken out of the thread's keeping: a finalizer may multiply, too."""
    if size not in _KEPT_SPACE or recording():
        return np.empty(size, np.uint8)
    kept, _local.space = _local.space, None
    return kept if kept is not None and kept.nbytes >= size else np.empty(size, np.uint8)


def matmul(a: _Array, b: _Array, out: _Array | None = None) -> _Array:
    """The matrix product of (..., m, k) and (..., k, n), batch dimensions broadcast: (..., m, n), C-contiguous.

    Both are float32 or both float64, with any strides. ``out`` is written and returned when given; it may not overlap
    the inputs. The result is bit-identical for any number of threads and any layout of the inputs.

    Raises:
        TypeError: for other or differing dtypes.
        ValueError: for shapes that do not fit, or an ``out`` of another shape, dtype or layout.
    """
    key = (a.shape, a.strides, b.shape, b.strides, a.dtype, b.dtype)
    plan = _plans.get(key)
    if plan is None:
        plan = _make_plan(a, b)
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        _plans[key] = plan
    shape, dtype, table, pack, pack_units, pack_grain, compute, units, grain, space_bytes = plan
    if out is None:
        out = np.empty(shape, dtype)
    elif out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"matmul expects out to be a writeable C-contiguous {dtype} array of shape {shape}")
    if units:
        launch = launcher()
        space: Any = _borrow_space(space_bytes) if space_bytes else 0
        if pack_units:
            launch(pack, pack_units, pack_grain, b, space, table)
        launch(compute, units, grain, a, b, out, space, table)
        if space_bytes in _KEPT_SPACE and not recording():
            _local.space = space
    return out
