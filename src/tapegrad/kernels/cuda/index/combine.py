"""Kernels that combine values into rows which several of them may name: by sum, product or extreme, always in the same order.

Few values (at most ``FEW`` per line) are combined by the first that names a row, which looks for the others. More are sorted by row; then
each thread goes through a piece of the order, and what pieces of one row found is combined by a second kernel. No atomics, so that the
result does not depend on timing.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import errors, language as L
from ..array import CudaArray, empty
from ..context import blocks_for
from ..elements import computed, stored, to_computed, to_stored, type_of
from ..kernel import family
from ..language import SIMULATED, cuda, device, int64
from .order import in_order

FEW = 8 if SIMULATED else 64
PIECE = 4 if SIMULATED else 32  # values that a thread goes through
_DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
_HOW = ("add", "prod", "amax", "amin")


@functools.cache
def _combining(dtype: str, how: str) -> Any:
    T = type_of(dtype)
    if how == "add":

        @device
        def add(a, b):  # type: ignore[no-untyped-def]
            return T(a + b)

        return add
    if how == "prod":

        @device
        def multiply(a, b):  # type: ignore[no-untyped-def]
            return T(a * b)

        return multiply
    if how == "amax":

        @device
        def larger(a, b):  # type: ignore[no-untyped-def]
            return b if (a < b) | (b != b) else a

        return larger

    @device
    def smaller(a, b):  # type: ignore[no-untyped-def]
        return b if (a > b) | (b != b) else a

    return smaller


@family(threads=L.BLOCK, dtype=_DTYPES, how=_HOW, kind=("rows", "distinct", "along"))
def few_combined(dtype: str, how: str, kind: str) -> Any:
    """An index is of "rows", [k], which may be "distinct"; or "along" a dimension, of each element its own, [o, k, j]."""
    along, distinct = kind == "along", kind == "distinct"
    T, get, put, combine, report = type_of(dtype), to_computed(dtype), to_stored(dtype), _combining(dtype, how), errors.report

    def kernel(values, index, out, words, code, n, count, inner, total, skip, step):  # type: ignore[no-untyped-def]
        """out[o, index[k], j] combined with values[o, k, j], or with values[0] where ``step`` is 0."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            line = i // inner
            j = i - line * inner
            o = line // count
            k = line - o * count
            first, pace = (o * count * inner + j, inner) if along else (int64(0), int64(1))
            row = index[first + k * pace]
            good = 0 <= row < n
            if along and not good:
                report(words, code, row, n)
            good = good and row != skip
            q = int64(0)
            while good and q < k and not distinct:
                good = index[first + q * pace] != row
                q += 1
            if good:
                place = (o * n + row) * inner + j
                total_here = T(get(out[place]))
                q = k
                while q < count and (q == k or not distinct):
                    if index[first + q * pace] == row:
                        total_here = combine(total_here, T(get(values[((o * count + q) * inner + j) * step])))
                    q += 1
                out[place] = put(total_here)
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"{stored(dtype)}* int64* {stored(dtype)}* int64* int64 int64 int64 int64 int64 int64 int64"


@family(threads=L.BLOCK, dtype=_DTYPES, how=_HOW)
def pieces_combined(dtype: str, how: str) -> Any:
    T, get, put, combine, piece = type_of(dtype), to_computed(dtype), to_stored(dtype), _combining(dtype, how), PIECE

    def kernel(values, keys, places, out, heads, tails, n, count, inner, pieces, total, skip, step):  # type: ignore[no-untyped-def]
        """Rows within a piece of the order go to out; what belongs to a row of an earlier piece goes to heads, to one that a later
        piece goes on with, to tails: (outer, pieces, inner)."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            line = i // inner
            j = i - line * inner
            o = line // pieces
            q = (line - o * pieces) * piece
            stop = min(q + piece, count)
            while q < stop:
                row = keys[q]
                begins = True
                if q > 0:
                    begins = keys[q - 1] != row
                found = T(get(values[((o * count + places[q]) * inner + j) * step]))
                q += 1
                while q < stop and keys[q] == row:
                    found = combine(found, T(get(values[((o * count + places[q]) * inner + j) * step])))
                    q += 1
                ends = True
                if q < count:
                    ends = keys[q] != row
                if row < n and row != skip:
                    if not begins:
                        heads[i] = found
                    elif not ends:
                        tails[i] = found
                    else:
                        place = (o * n + row) * inner + j
                        out[place] = put(combine(T(get(out[place])), found))
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    kind = stored(dtype)
    return kernel, f"{kind}* int64* int64* {kind}* {computed(dtype)}* {computed(dtype)}*" + " int64" * 7


@family(threads=L.BLOCK, dtype=_DTYPES, how=_HOW)
def borders_combined(dtype: str, how: str) -> Any:
    T, get, put, combine, piece = type_of(dtype), to_computed(dtype), to_stored(dtype), _combining(dtype, how), PIECE

    def kernel(keys, out, heads, tails, n, count, inner, pieces, total, skip):  # type: ignore[no-untyped-def]
        """Rows that begin in a piece and go on behind it: its tail and the following heads, combined into out."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            line = i // inner
            j = i - line * inner
            o = line // pieces
            c = line - o * pieces
            start, stop = c * piece, (c + 1) * piece
            if stop < count:
                row = keys[stop - 1]
                mine = keys[stop] == row and row < n and row != skip
                if mine and start > 0:
                    mine = keys[start - 1] != row
                if mine:
                    found = tails[i]
                    c += 1
                    while c < pieces and keys[c * piece] == row:
                        found = combine(found, heads[(o * pieces + c) * inner + j])
                        c += 1
                    place = (o * n + row) * inner + j
                    out[place] = put(combine(T(get(out[place])), found))
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    kind = stored(dtype)
    return kernel, f"int64* {kind}* {computed(dtype)}* {computed(dtype)}*" + " int64" * 6


def _kernel_names(dtype: np.dtype[Any], how: str) -> tuple[str, str, int]:
    """dtype and combination of the kernels that do it, and how many of their elements make one: bools add up to "any"; the parts of
    complex numbers are added apart."""
    if dtype.kind == "b":
        return "uint8", {"add": "amax", "prod": "amin"}.get(how, how), 1
    if dtype.kind == "c":
        if how != "add":
            raise NotImplementedError(f"scattering complex numbers by {how} has no implementation for CUDA yet; .cpu() moves a tensor to where it has one")
        return ("float32" if dtype.itemsize == 8 else "float64"), how, 2
    return dtype.name, how, 1


def combine_rows(
    out: CudaArray, index: CudaArray, values: CudaArray, outer: int, n: int, inner: int, how: str, *, skip: int = -1, unique: bool = False
) -> None:
    """Combine values (outer, count, inner), or one that stands for all, into rows of out (outer, n, inner).

    ``index`` (count,) has no negative numbers; those from n on, and ``skip``, are left out. ``unique``: no other is named twice. All arrays
    are contiguous.
    """
    name, how, parts = _kernel_names(out.dtype, how)
    single = values.size == 1 and outer * index.size * inner > 1
    if single and parts == 2:
        values, single = _repeated(values, outer * index.size * inner), False
    inner *= parts
    count, step = index.size, int(not single)
    if unique or count <= FEW:
        total = outer * count * inner
        kernel = few_combined(name, how, "distinct" if unique else "rows")
        kernel.launch(blocks_for(total, L.BLOCK), L.BLOCK, values, index, out, None, 0, n, count, inner, total, skip, step)
        return
    keys, places = in_order(index, n)
    pieces = -(-count // PIECE)
    total = outer * pieces * inner
    heads, tails = (empty((total,), np.dtype(computed(name))) for _ in range(2))
    blocks = blocks_for(total, L.BLOCK)
    kernel = pieces_combined(name, how)
    kernel.launch(blocks, L.BLOCK, values, keys, places, out, heads, tails, n, count, inner, pieces, total, skip, step)
    borders_combined(name, how).launch(blocks, L.BLOCK, keys, out, heads, tails, n, count, inner, pieces, total, skip)


def combine_along(out: CudaArray, index: CudaArray, values: CudaArray, outer: int, n: int, count: int, inner: int, how: str) -> None:
    """Combine values (outer, count, inner), count at most ``FEW``, into out (outer, n, inner) at indices (outer, count, inner)."""
    name, how, parts = _kernel_names(out.dtype, how)
    assert parts == 1
    total = outer * count * inner
    step = int(values.size > 1 or total == 1)
    numbers = (errors.operation("scatter"), n, count, inner, total, -1, step)
    few_combined(name, how, "along").launch(blocks_for(total, L.BLOCK), L.BLOCK, values, index, out, errors.words(), *numbers)


def _repeated(value: CudaArray, count: int) -> CudaArray:
    from .shape import broadcast_to

    return broadcast_to(value.reshape(1), (count,)).copy()
