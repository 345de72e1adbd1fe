"""Kernels that read rows by number, and write rows by number: of values for one row, the last stays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import errors, language as L
from ..array import CudaArray, empty
from ..context import blocks_for, context
from ..dimensions import SMALL
from ..kernel import family
from ..language import cuda, int32, int64

_WORDS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64", 16: "uint64"}  # what so many bytes are moved as
_INT64 = np.dtype(np.int64)


def _unit(row: int, *addresses: int) -> int:
    """How many bytes of a row are moved at a time."""
    unit = 16
    while unit > 1 and any(a % unit for a in (row, *addresses)):
        unit //= 2
    return unit


@family(threads=L.BLOCK, unit=(1, 2, 4, 8, 16), wide=(False, True), along=(False, True))
def taken(unit: int, wide: bool, along: bool) -> Any:
    """out[o, k] = source[o, index[k]]: rows of ``inner`` units, from the end where negative. ``along``: each unit has an index of its own,
    index[o, k, j]. Zeros where one is out of range."""
    index_type, report, load2, store2, zero = int64 if wide else int32, errors.report, L.load2, L.store2, getattr(L, _WORDS[unit])(0)

    def kernel(source, index, out, words, code, n, count, inner, total):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            line = index_type(i) // index_type(inner)
            j = index_type(i) - line * index_type(inner)
            o = line // index_type(count)
            k = index[i if along else int64(line - o * index_type(count))]
            row = k + n if k < 0 and not along else k
            if 0 <= row < n:
                at = (int64(o) * n + row) * inner + int64(j)
                if unit == 16:
                    store2(out, 2 * i, load2(source, 2 * at))
                else:
                    out[i] = source[at]
            else:
                report(words, code, k, n)
                if unit == 16:
                    store2(out, 2 * i, (zero, zero))
                else:
                    out[i] = zero
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"{_WORDS[unit]}* int64* {_WORDS[unit]}* int64* int64 int64 int64 int64 int64"


def take_rows(source: CudaArray, index: Any, out: CudaArray, outer: int, n: int, inner: int, operation: str) -> None:
    """out (outer, count, inner) = source (outer, n, inner) at the rows ``index``, which may be negative."""
    row = inner * source.itemsize
    unit = _unit(row, source.address, out.address)
    inner = row // unit
    total = outer * index.size * inner
    numbers = (errors.operation(operation), n, index.size, inner, total)
    taken(unit, total >= SMALL, False).launch(blocks_for(total, L.BLOCK), L.BLOCK, source, index, out, errors.words(), *numbers)


def gather_along(source: CudaArray, index: Any, out: CudaArray, outer: int, n: int, inner: int) -> None:
    """out (outer, count, inner) = source (outer, n, inner) along its middle dimension, at indices (outer, count, inner)."""
    total = out.size
    count = total // (outer * inner)
    numbers = (errors.operation("gather"), n, count, inner, total)
    kernel = taken(source.itemsize, total >= SMALL, True)
    kernel.launch(blocks_for(total, L.BLOCK), L.BLOCK, source, index, out, errors.words(), *numbers)


@family(threads=L.BLOCK, unit=(1, 2, 4, 8, 16), wide=(False, True), single=(False, True))
def written(unit: int, wide: bool, single: bool) -> Any:
    """out[o, rows[k]] = values[o, k], or the ``single`` one, where k is that row's writer, or there are none to choose from."""
    index_type, load2, store2 = int64 if wide else int32, L.load2, L.store2

    def kernel(values, rows, writers, out, n, count, inner, total, choose):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            line = index_type(i) // index_type(inner)
            j = index_type(i) - line * index_type(inner)
            o = line // index_type(count)
            k = line - o * index_type(count)
            row = rows[k]
            mine = row < n
            if mine and choose != 0:
                mine = writers[row] == int64(k)
            if mine:
                at = (int64(o) * n + row) * inner + int64(j)
                if unit == 16:
                    store2(out, 2 * at, load2(values, 0 if single else 2 * i))
                else:
                    out[at] = values[0 if single else i]
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"{_WORDS[unit]}* int64* int64* {_WORDS[unit]}* int64 int64 int64 int64 int64"


@family(threads=L.BLOCK)
def last_writers() -> Any:
    """writers[rows[k]]: the largest k; those of rows that none writes are -1 before."""
    atomic_max = L.atomic_max

    def kernel(rows, writers, n, count):  # type: ignore[no-untyped-def]
        k = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while k < count:
            row = rows[k]
            if row < n:
                atomic_max(writers, row, k)
            k += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* int64 int64"


@family(threads=L.BLOCK)
def surviving() -> Any:
    """out[k]: whether k is the writer of its row."""

    def kernel(rows, writers, out, n, count):  # type: ignore[no-untyped-def]
        k = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while k < count:
            row = rows[k]
            last = False
            if row < n:
                last = writers[row] == k
            out[k] = 1 if last else 0
            k += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* uint8* int64 int64"


def writers_of(rows: CudaArray, n: int) -> CudaArray:
    """For each of n rows, which of ``rows`` names it last; -1 for none."""
    writers = empty((n,), _INT64)
    context.driver.fill(context.device, context.stream, writers.address, 0xFF, writers.nbytes)
    last_writers().launch(blocks_for(rows.size, L.BLOCK), L.BLOCK, rows, writers, n, rows.size)
    return writers


def survivors(rows: CudaArray, n: int) -> CudaArray:
    """Which of ``rows`` are the last to name theirs: bools."""
    out = empty((rows.size,), np.dtype(np.bool_))
    surviving().launch(blocks_for(rows.size, L.BLOCK), L.BLOCK, rows, writers_of(rows, n), out, n, rows.size)
    return out


def write_rows(out: CudaArray, rows: CudaArray, values: CudaArray, outer: int, n: int, inner: int, unique: bool) -> None:
    """Write values (outer, count, inner), or a single one, to the rows of out (outer, n, inner); numbers from n on are skipped."""
    single = values.size == 1
    row = inner * out.itemsize
    unit = out.itemsize if single else _unit(row, out.address, values.address)
    inner = row // unit
    total = outer * rows.size * inner
    writers = None if unique or single else writers_of(rows, n)
    numbers = (n, rows.size, inner, total, int(writers is not None))
    written(unit, total >= SMALL, single).launch(blocks_for(total, L.BLOCK), L.BLOCK, values, rows, writers, out, *numbers)
