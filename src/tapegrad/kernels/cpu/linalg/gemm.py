"""Matrix product of float32 or float64 arrays of any strides: register tiles over packed or directly read operands.

C is cut into tiles of a few rows, and panels of a few vectors' columns. The micro-kernel computes where a tile and a
panel meet; it reads A element by element, at any strides, and B a vector at a time. B's panels are packed (contiguous, padded
with zeros) where B cannot be read as it lies or is too large for that: by a launch of their own, or, where A has few rows, by the
thread that computes them. Rows of A are packed where they lie far apart. Every element is the sum of blocks of products in
order, whatever the layout, the number of threads, or the rows and columns around it: those change no bit. Only a product with
one column (or row) sums in another order, that of the matrix's memory.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ...native import cache, runtime
from ...native.call import launcher
from ..arrays import constant
from ..planned import fresh
from . import gemm_kernels as kernels
from .gemm_kernels import ALIGN, BY_COLUMN, BY_ELEMENT, BY_ROW, IN_PLACE, PACK_DEPTH, ROW_DEPTH, Blocking, Tile, host_blocking, host_tile

__all__ = ["Tile", "host_tile", "matmul"]

_Array = np.ndarray[Any, Any]
_BYTE = np.dtype(np.uint8)
_DTYPES = ("float32", "float64")
_SERIAL_FLOPS = 1_500_000  # below, waking another thread costs more than it brings
_DIRECT_TILES = 4  # rows so few that packing B costs more than reading it scattered
_NEAR = 256  # bytes between rows so close that B is read as it lies
_SMALL = 32 << 10  # bytes of memory that B spans, so little that it is read as it lies
_UNITS = 4  # a thread: shares of the work, for more threads than there were when it was planned
_IDLE = 0.1  # of a thread's time, for which threads pack the panels that they compute
_PACK_A_PANELS = 3  # from this many panels on, packing a scattered A is worth its price
_NEAR_COLUMNS = 1024  # bytes between columns of A so close that it is read as it lies
_MAX_PLANS = 4096


@functools.cache
def _kernel(kind: str, name: str, blocking: Blocking) -> int:
    return cache.native(f"gemm:{kind}:{name}:{blocking}", lambda: kernels.kernel_sources(name, blocking)[kind], translated=True)


@functools.cache
def _dot_kernel(name: str) -> int:
    return cache.native(f"dot:{name}", lambda: kernels.dot_source(name), fastmath=("reassoc",))


# --------------------------------------------------------------------------------------------------------------- plans


class _Plan(NamedTuple):
    """How to multiply two arrays of given shapes and strides: launches of ``pack`` and ``compute`` where they have units."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    table: _Array
    pack: int = 0
    pack_units: int = 0
    pack_grain: int = 0
    compute: int = 0
    units: int = 0
    grain: int = 0
    space_bytes: int = 0
    row_bytes: int = 0
    swapped: bool = False  # the right operand is A, the left one B, both transposed


class _DotPlan(NamedTuple):
    """How to multiply a matrix with contiguous rows, the left operand or the transposed right one, by a vector."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    compute: int
    rows: int
    grain: int
    k: int
    row_bytes: int
    left: bool


_plans: dict[Any, _Plan | _DotPlan] = {}


def _make_plan(a: _Array, b: _Array) -> _Plan | _DotPlan:
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
    if 0 in shape:
        return _Plan(shape, a.dtype, np.zeros(0, np.int64))

    size, blocking = a.itemsize, host_blocking()
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
    threads = runtime.get_num_threads()
    large = 2 * matrices * m * n * k >= _SERIAL_FLOPS
    swapped = False
    if not dims and k > 1 and (n == 1 or m == 1):
        if n == 1 and a_step == size and b_step == size:
            return _DotPlan(shape, a.dtype, _dot_kernel(name), m, 1 if large else m, k, a_row, True)
        if m == 1 and b_step == size and a_step == size:
            return _DotPlan(shape, a.dtype, _dot_kernel(name), n, 1 if large else n, k, b_column, False)
        if n == 1 and a_row == size:  # the same numbers as a row times a matrix, whose rows are contiguous
            m, n, a_row, a_step, b_step, b_column, swapped = n, m, 0, b_step, a_step, a_row, True

    tile = blocking.tile
    lanes, one_tile = tile.vector_bytes // size, m <= len(blocking.widths)
    columns = blocking.widths[m - 1 if one_tile else tile.rows - 1] * lanes
    tiles, panels = 1 if one_tile else -(-m // tile.rows), -(-n // columns)
    if b_column == size and (tiles <= _DIRECT_TILES or abs(b_step) <= _NEAR or abs(b_step) * k <= _SMALL):
        first_packed = panels if n % lanes == 0 else panels - 1  # a vector must not reach past B's last column
    else:
        first_packed = 0

    rows, own_matrices = [], 1
    packed_stride = (panels - first_packed) * k * columns * size
    for extent, x, y in reversed(dims):
        own = extent if y else 1
        rows.append((extent, own, x, y, packed_stride * own_matrices if y else 0))
        own_matrices *= own
    row_share, panel_share = (_share(matrices * parts, threads) for parts in (tiles, panels))
    own_panels = first_packed == 0 and own_matrices == matrices and panel_share <= row_share + _IDLE
    by_rows = not own_panels and row_share <= panel_share
    units = min(matrices * (tiles if by_rows else panels), _UNITS * threads)
    pack_a = IN_PLACE
    if panels >= _PACK_A_PANELS and (abs(a_row) > blocking.near or abs(a_step) > min(blocking.near, _NEAR_COLUMNS)):
        pack_a = BY_ROW if a_step == size else BY_COLUMN if a_row == size else BY_ELEMENT

    pack_work = 0 if own_panels else own_matrices * (panels - first_packed) * -(-k // PACK_DEPTH)
    pack_units = min(pack_work, _UNITS * threads)
    products = ROW_DEPTH if m == 1 and first_packed else blocking.depth
    table = [m, n, k, a_row, a_step, b_step, b_column, tiles, panels, columns]
    packed_bytes = packed_stride * own_matrices if pack_units else 0
    packed_bytes = -(-packed_bytes // ALIGN) * ALIGN
    group = min(-(-panels // threads), blocking.group) if own_panels else 0
    space_bytes = packed_bytes
    if pack_a or own_panels:
        space_bytes += units * (blocking.a_bytes(size) + group * blocking.depth * columns * size)
    table += [first_packed, by_rows, pack_a, packed_bytes, group, matrices, units, own_matrices, pack_units, products, len(rows)]
    for row in reversed(rows):
        table += row
    return _Plan(
        shape,
        a.dtype,
        constant(np.array(table, np.int64)),
        _kernel("pack", name, blocking) if pack_units else 0,
        pack_units,
        1 if large else pack_units,
        _kernel("compute", name, blocking),
        units,
        1 if large else units,
        space_bytes + ALIGN if space_bytes else 0,
        n * size,
        swapped,
    )


def _share(parts: int, threads: int) -> float:
    """The largest part of the work that one thread gets, in multiples of an equal one; many small parts are shared well."""
    return -(-parts // threads) * threads / parts


def _batch_strides(array: _Array, ndim: int) -> list[int]:
    """Strides of the batch dimensions after broadcasting: 0 where the array is repeated."""
    strides = [0 if extent == 1 else s for extent, s in zip(array.shape[:-2], array.strides[:-2], strict=True)]
    return [0] * (ndim - len(strides)) + strides


# --------------------------------------------------------------------------------------------------------------- calls


def _need_threads(units: int, grain: int) -> None:
    """Start threads for a launch that may be the first with work for them, also one that was planned when there was only one thread."""
    if units > grain and runtime.block[runtime.PARALLEL_FOR] == 0 and runtime.get_num_threads() > 1:
        runtime.start_threads()


def matmul(a: _Array, b: _Array, out: _Array | None = None, start: _Array | None = None) -> _Array:
    """The matrix product of (..., m, k) and (..., k, n), batch dimensions broadcast: (..., m, n), C-contiguous.

    Both are float32 or both float64, with any strides. ``out`` is written and returned when given; it may not overlap
    the inputs. ``start``, which is added, is C-contiguous: a row (n,), of the result's shape, or columns (..., m, 1) for the last of the
    batch dimensions, of which ``b`` then has all; of the same dtype (the caller sees to all that). The result is bit-identical for any
    number of threads and, unless m or n is 1, any layout of the inputs.

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
    if out is None:
        out = fresh(plan[0], plan[1])
    elif out.shape != plan[0] or out.dtype != plan[1] or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"matmul expects out to be a writeable C-contiguous {plan[1]} array of shape {plan[0]}")
    if isinstance(plan, _DotPlan):
        _, _, compute, rows, grain, k, row_bytes, left = plan
        _need_threads(rows, grain)
        matrix, vector = (a, b) if left else (b, a)
        step = 0 if start is None or start.size == 1 else 1
        launcher()(compute, rows, grain, matrix, vector, out, k, row_bytes, 0 if start is None else start, step)
        return out
    _, _, table, pack, pack_units, pack_grain, compute, units, grain, space_bytes, row_bytes, swapped = plan
    if units:
        _need_threads(units, grain)
        launch = launcher()
        if swapped:
            a, b = b, a
        space: Any = fresh(space_bytes, _BYTE) if space_bytes else 0
        if pack_units:
            launch(pack, pack_units, pack_grain, b, space, table)
        if start is None:
            launch(compute, units, grain, a, b, out, space, table, 0, 0, 0)
        else:
            if start.size == 1:
                between, columns = 0, 1
            elif start.ndim == 1 or start.size == out.size:
                between, columns = 0 if start.ndim == 1 else row_bytes, 0
            else:
                between, columns = start.itemsize, start.size // start.shape[-2]
            launch(compute, units, grain, a, b, out, space, table, start, between, columns)
    return out
