"""Sorting, and different values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, contiguous, empty, zeros
from ..complex_parts import as_pairs
from ..context import blocks_for
from ..elements import stored, to_computed
from ..elementwise import assign
from ..kernel import family
from ..language import cuda, int64, uint8
from .compact import true_places
from .sort_kernels import DTYPES, THREADS, TILE, fits_in_32_bits, merge_runs, sort_tiles, sorted_values, split_runs

_INT64, _BOOL, _UINT64 = np.dtype(np.int64), np.dtype(np.bool_), np.dtype(np.uint64)
_MOST_BLOCKS = 1 << 16


def sort(x: CudaArray, axis: int, descending: bool) -> tuple[CudaArray, CudaArray]:
    """Sorted values and where they were (int64); equal ones keep their order, NaN counts as the largest."""
    source = contiguous(x)
    values, places = empty(x.shape, x.dtype), zeros(x.shape, _INT64)
    if x.ndim == 0 or x.shape[axis] <= 1:
        assign(values, source)
        return values, places
    if x.size == 0:
        return values, places
    n, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    lanes = x.size // n
    wide = not fits_in_32_bits(x.dtype.name) or n > 2**32
    width = min(TILE, 1 << (n - 1).bit_length())
    per_lane = -(-n // width)
    bits, flip, final = width.bit_length() - 1, -1 if descending else 0, n <= TILE
    keys = other_keys = sources = other_sources = None
    if not final:
        keys, other_keys = empty((lanes, n), _UINT64), empty((lanes, n), _UINT64)
        if wide:
            sources, other_sources = empty((lanes, n), _INT64), empty((lanes, n), _INT64)
    segments = lanes * per_lane
    blocks = min(-(-segments // (TILE // width)), _MOST_BLOCKS)
    tiles = sort_tiles(x.dtype.name, wide, final)
    tiles.launch(blocks, THREADS, source, values, keys, places if final else sources, segments, per_lane, n, inner, bits, flip)
    if final:
        return values, places
    splits = empty((segments,), _INT64)
    length = TILE
    while length < n:
        split_runs(wide).launch(blocks_for(segments, THREADS), THREADS, keys, sources, splits, segments, per_lane, n, length)
        merge_runs(wide).launch(
            min(segments, _MOST_BLOCKS), THREADS, keys, sources, splits, other_keys, other_sources, segments, per_lane, n, length
        )
        keys, other_keys, sources, other_sources = other_keys, keys, other_sources, sources
        length *= 2
    finish = sorted_values(x.itemsize, wide)
    finish.launch(blocks_for(x.size, THREADS), THREADS, source, keys, sources, values, places, x.size, n, inner)
    return values, places


# --------------------------------------------------------------------------------------------------- different values


@family(threads=256, dtype=DTYPES, ordered=(False, True))
def run_starts(dtype: str, ordered: bool):  # type: ignore[no-untyped-def]
    """starts[i]: whether row i of x (n, m), or the row ``order[i]``, differs from the one before."""
    get = to_computed(dtype)

    def kernel(x, order, starts, n, m):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            differ = i == 0
            if not differ:
                row, before = (order[i] * m, order[i - 1] * m) if ordered else (i * m, (i - 1) * m)
                j = int64(0)
                while j < m and not differ:
                    differ = get(x[row + j]) != get(x[before + j])
                    j += 1
            starts[i] = uint8(1) if differ else uint8(0)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* int64* uint8* int64 int64"


@family(threads=256, ordered=(False, True))
def describe_runs(ordered: bool):  # type: ignore[no-untyped-def]
    """Of ``count`` runs that begin at ``begins``, in a sequence of n whose elements were at ``order``: where each run's first element was,
    which run each element is in, and how long the runs are."""

    def kernel(begins, order, first, inverse, counts, n, count):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            low, high = int64(0), count  # the last run that begins at or before i
            while high - low > 1:
                middle = (low + high) >> int64(1)
                if begins[middle] <= i:
                    low = middle
                else:
                    high = middle
            place = order[i] if ordered else i
            inverse[place] = low
            if begins[low] == i:
                first[low] = place
                counts[low] = (begins[low + 1] if low + 1 < count else n) - i
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "int64* int64* int64* int64* int64* int64 int64"


@family(threads=256, item=(1, 2, 4, 8))
def picked_column(item: int):  # type: ignore[no-untyped-def]
    """out[i] = x[order[i], column] of x (n, m)."""
    word = f"uint{item * 8}*"

    def kernel(x, order, out, n, m, column):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            out[i] = x[order[i] * m + column]
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{word} int64* {word} int64 int64 int64"


def unique(x: CudaArray, axis: int | None) -> tuple[CudaArray, CudaArray, CudaArray]:
    """Of the sorted different elements (or slices along an axis): where each is first, which of them each is, how many; int64. Waits for
    their number."""
    rows = _rows(x, axis)
    return _described(rows, _row_order(rows), _shape_of(x, axis))


def unique_consecutive(x: CudaArray, axis: int | None) -> tuple[CudaArray, CudaArray, CudaArray]:
    """As :func:`unique`, of runs of equal elements (or slices) in the order in which they stand."""
    return _described(_rows(x, axis), None, _shape_of(x, axis))


def _shape_of(x: CudaArray, axis: int | None) -> tuple[int, ...]:
    return x.shape if axis is None else (x.shape[axis],)


def _rows(x: Any, axis: int | None) -> Any:
    """Elements or slices as contiguous rows of real numbers."""
    rows = x.reshape(-1, 1)
    if axis is not None:
        rest = x.size // x.shape[axis] if x.shape[axis] else 0
        rows = np.moveaxis(x, axis, 0).reshape(x.shape[axis], rest)
    if rows.dtype.kind == "c":
        rows = as_pairs(rows).reshape(rows.shape[0], 2 * rows.shape[1])
    return contiguous(rows)


def _row_order(rows: CudaArray) -> CudaArray | None:
    """The indices that sort rows, by their first elements, among equal ones by the second, and so on; None for rows of no elements."""
    n, m = rows.shape
    order: CudaArray | None = None
    for column in range(m - 1, -1, -1):
        keys = rows[:, column].copy()
        if order is not None:
            picked_column(rows.itemsize).launch(blocks_for(n, L.BLOCK), L.BLOCK, rows, order, keys, n, m, column)
        by = sort(keys, 0, False)[1]
        if order is not None:
            before, order = order, empty((n,), _INT64)
            picked_column(8).launch(blocks_for(n, L.BLOCK), L.BLOCK, before, by, order, n, 1, 0)
        else:
            order = by
    return order


def _described(rows: CudaArray, order: CudaArray | None, shape: tuple[int, ...]) -> tuple[CudaArray, CudaArray, CudaArray]:
    n, m = rows.shape
    inverse = empty(shape, _INT64)
    if n == 0:
        return empty((0,), _INT64), inverse, empty((0,), _INT64)
    starts = empty((n,), _BOOL)
    ordered = order is not None
    run_starts(rows.dtype.name, ordered).launch(blocks_for(n, L.BLOCK), L.BLOCK, rows, order, starts, n, m)
    begins = true_places(starts)
    first, counts = empty(begins.shape, _INT64), empty(begins.shape, _INT64)
    describe_runs(ordered).launch(blocks_for(n, L.BLOCK), L.BLOCK, begins, order, first, inverse, counts, n, begins.size)
    return first, inverse, counts
