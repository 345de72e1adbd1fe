"""Rows of tables: how often they are used, and what stands for a bag of them.

Bags are numbers from 0 on; what belongs to none has the number of bags.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...body import Body
from .. import errors, language as L
from ..array import CudaArray, at, contiguous, empty
from ..context import blocks_for
from ..elements import stored, to_computed
from ..elementwise import run
from ..index.combine import combine_rows
from ..index.index import count_at
from ..index.order import in_order
from ..index.places import as_int64
from ..kernel import family
from ..language import cuda, device, int64

_INT64 = np.dtype(np.int64)
_SHARE = Body(("a", "n"), ("t0 = a / n",), ("t0",))
_OUTSIDE = Body(("bag", "index", "row", "none"), ("t0 = none if index == row else bag",), ("t0",))
_AT_LEAST_ONE = Body(("n",), ("t0 = maximum(n, T(1))",), ("t0",))
_AT_MOST = Body(("a", "n"), ("t0 = minimum(a, n)",), ("t0",))
_SOME = Body(("n",), ("t0 = n > 0",), ("t0",))


@device
def _first_above(keys, count, key):  # type: ignore[no-untyped-def]
    """How many of ascending keys are at most ``key``."""
    low, high = int64(0), int64(count)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] <= key:
            low = middle + 1
        else:
            high = middle
    return low


@family(threads=L.BLOCK)
def counted_keys() -> Any:
    first_above = _first_above

    def kernel(keys, places, counts, n):  # type: ignore[no-untyped-def]
        """counts[places[p]]: how many of the ascending keys equal keys[p]."""
        p = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while p < n:
            key = keys[p]
            counts[places[p]] = first_above(keys, n, key) - first_above(keys, n, key - 1)
            p += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* int64* int64"


def share_rows(x: Any, index: Any) -> Any:
    """The rows of ``x`` (..., d), each divided by how often its index (...) appears."""
    if index.size == 0:
        return x.copy()
    given = as_int64(index).reshape(-1)
    keys, places = in_order(given, 2**63 - 1)
    counts = empty((given.size,), _INT64)
    counted_keys().launch(blocks_for(given.size, L.BLOCK), L.BLOCK, keys, places, counts, given.size)
    x, out = contiguous(x), empty(x.shape, x.dtype)
    if out.size:
        a, to = _as_rows(x, given.size), _as_rows(out, given.size)
        compute = np.dtype(np.float64) if a.dtype.itemsize == 8 else np.dtype(np.float32)
        run(_SHARE, (a, counts.reshape(-1, 1)), (to,), compute)
    return out


def _as_rows(x: CudaArray, n: int) -> CudaArray:
    """(n, -1), complex numbers as their parts."""
    dtype = x.dtype if x.dtype.kind != "c" else np.dtype(np.float32 if x.dtype.itemsize == 8 else np.float64)
    return at(x.address, (n, x.nbytes // (n * dtype.itemsize)), dtype, None, x)


# ---------------------------------------------------------------------------------------------------------------- bags


SPARE_BAGS = 1  # behind the bags, for what belongs to none


@family(threads=L.BLOCK)
def numbered_rows() -> Any:
    def kernel(out, size, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < n:
            out[i] = i // size
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64 int64"


def bags_of_rows(indices: CudaArray, bags: int, size: int) -> Any:
    """The bag of each of the ``bags * size`` indices, which lie bag by bag."""
    out = empty((bags * size,), _INT64)
    if out.size:
        numbered_rows().launch(blocks_for(out.size, L.BLOCK), L.BLOCK, out, size, out.size)
    return out


@family(threads=L.BLOCK)
def bags_by_offset() -> Any:
    first_above, report = _first_above, errors.report

    def kernel(offsets, out, words, code, starts, include_last, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        step = int64(cuda.gridDim.x) * cuda.blockDim.x
        k = i
        while k < starts:
            least = int64(0)
            if k > 0:
                least = offsets[k - 1]
            if not least <= offsets[k] <= n or (k == 0 and offsets[k] != 0):
                report(words, code, offsets[k], n)
            k += step
        while i < n:
            bag = first_above(offsets, starts, i) - 1
            out[i] = max(bag, int64(0))
            i += step

    return kernel, "int64* int64* int64* int64 int64 int64 int64"


def bags_of_offsets(offsets: Any, count: int, include_last: bool) -> Any:
    """The bag of each of ``count`` indices, of which bags begin at offsets; with ``include_last`` the last offset ends the last bag, and
    the indices behind it belong to none. Offsets that don't start with 0, decrease, or exceed ``count`` are noted (see ``errors``)."""
    out = empty((count,), _INT64)
    given = as_int64(offsets)
    units = max(count, given.size)
    if units:
        numbers = (errors.operation("embedding_bag, by its offsets"), given.size, int(include_last), count)
        bags_by_offset().launch(blocks_for(units, L.BLOCK), L.BLOCK, given, out, errors.words(), *numbers)
    return out


def without_row(index: Any, bag: Any, bags: int, row: int) -> tuple[Any, Any, Any]:
    """The indices and their bags, which is none for ``row``; and None, since all are there."""
    out = empty(bag.shape, _INT64)
    if out.size:
        run(_OUTSIDE, (bag, index, row, bags), (out,), _INT64)
    return index, out, None


def _counts(bag: Any, bags: int) -> Any:
    return count_at((bags + 1,), (bag,), 0)[:bags]


def bag_sizes(bag: Any, bags: int, dtype: np.dtype[Any]) -> Any:
    """How many indices each bag has, but at least 1: (bags, 1)."""
    out = empty((bags, 1), dtype)
    if bags:
        run(_AT_LEAST_ONE, (_counts(bag, bags).reshape(bags, 1),), (out,), np.dtype(np.float32) if dtype.itemsize == 2 else dtype)
    return out


@family(threads=L.BLOCK, dtype=("float32", "float64", "float16", "bfloat16"))
def first_highest(dtype: str) -> Any:
    get = to_computed(dtype)

    def kernel(rows, bag, highest, out, width, count, total):  # type: ignore[no-untyped-def]
        """out[i, j]: i where rows[i, j] is its bag's maximum, else ``count``."""
        p = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while p < total:
            i = p // width
            value, best = get(rows[p]), get(highest[bag[i] * width + (p - i * width)])
            out[p] = i if value == best or (value != value and best != best) else count
            p += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"{stored(dtype)}* int64* {stored(dtype)}* int64* int64 int64 int64"


def bag_maxima(rows: Any, bag: Any, bags: int) -> tuple[Any, Any]:
    """Per bag and column, the number of the first row with the maximum, and whether the bag has rows: (bags, d), (bags,).

    ``bag`` (n,) is the bag of each row of ``rows`` (n, d).
    """
    count, width = rows.shape
    rows = contiguous(rows)
    highest, first = empty((bags + 1, width), rows.dtype), empty((bags + 1, width), _INT64)
    highest.fill(False if rows.dtype.kind == "b" else np.iinfo(rows.dtype).min if rows.dtype.kind in "iu" else -np.inf)
    first.fill(count)
    if rows.size:
        combine_rows(highest, bag, rows, 1, bags + 1, width, "amax")
        numbers = empty(rows.shape, _INT64)
        kernel = first_highest(rows.dtype.name)
        kernel.launch(blocks_for(rows.size, L.BLOCK), L.BLOCK, rows, bag, highest, numbers, width, count, rows.size)
        combine_rows(first, bag, numbers, 1, bags + 1, width, "amin")
    out, filled = empty((bags, width), _INT64), empty((bags,), np.dtype(np.bool_))
    if out.size:
        run(_AT_MOST, (first[:bags], max(count - 1, 0)), (out,), _INT64)
    if bags:
        run(_SOME, (_counts(bag, bags),), (filled,), _INT64)
    return out, filled
