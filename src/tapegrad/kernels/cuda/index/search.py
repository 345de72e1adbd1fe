"""Places among sorted values, counts of values, membership."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, contiguous, empty, zeros
from ..context import blocks_for
from ..elements import computed, stored, to_computed, type_of
from ..elementwise import cast
from ..kernel import family
from ..language import cuda, device, int32, int64, uint8
from ..values import span
from .sort import sort
from .sort_kernels import DTYPES

_FEW = 16  # values to look among one by one
_SHARED_BINS = 4096  # counts that a block keeps for itself
_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)


@device
def _less(a, b):  # type: ignore[no-untyped-def]
    """Whether a is less than b; NaN is larger than all numbers."""
    return a < b or (b != b and a == a)


@family(threads=256, dtype=DTYPES, right=(False, True), out=("int32", "int64"))
def search_rows(dtype: str, right: bool, out: str):  # type: ignore[no-untyped-def]
    """How many of the m sorted boundaries of a row are less than (``right``: at most) each value; ``per_row`` values share a row."""
    get, place = to_computed(dtype), getattr(L, out)

    def kernel(boundaries, values, found, n, m, per_row):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            value = get(values[i])
            start = i // per_row * m
            low, high = int64(0), m
            while low < high:
                middle = (low + high) >> int64(1)
                at = get(boundaries[start + middle])
                if (not _less(value, at)) if right else _less(at, value):
                    low = middle + 1
                else:
                    high = middle
            found[i] = place(low)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* {stored(dtype)}* {out}* int64 int64 int64"


def searchsorted(boundaries: CudaArray, values: CudaArray, right: bool, dtype: np.dtype[Any]) -> CudaArray:
    """How many of the sorted boundaries are less than (``right``: at most) each value.

    One vector of boundaries for values of any shape, or one for each row of values.
    """
    boundaries, values = _alike(boundaries, values)
    out = empty(values.shape, dtype)
    if out.size:
        per_row = values.size if boundaries.ndim == 1 else values.shape[-1]
        kernel = search_rows(values.dtype.name, bool(right), dtype.name)
        kernel.launch(blocks_for(out.size, L.BLOCK), L.BLOCK, boundaries, values, out, out.size, boundaries.shape[-1], per_row)
    return out


def _alike(a: CudaArray, b: CudaArray) -> tuple[CudaArray, CudaArray]:
    """Both contiguous, of one dtype that holds the values of both."""
    if a.dtype != b.dtype:
        wide = [np.dtype(np.float32) if x.dtype.name in ("float16", "bfloat16") else x.dtype for x in (a, b)]
        dtype = np.result_type(*wide)
        a, b = (x if x.dtype == dtype else cast(x, dtype) for x in (a, b))
    return contiguous(a), contiguous(b)


# --------------------------------------------------------------------------------------------------------- membership


@family(threads=256, dtype=DTYPES)
def members(dtype: str):  # type: ignore[no-untyped-def]
    """Whether each element equals one of the m sorted ``among``; ``invert`` is 1 for the opposite."""
    get = to_computed(dtype)

    def kernel(x, among, out, n, m, invert):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            value = get(x[i])
            low, high = int64(0), m
            while low < high:
                middle = (low + high) >> int64(1)
                if _less(get(among[middle]), value):
                    low = middle + 1
                else:
                    high = middle
            found = int64(1) if low < m and get(among[low]) == value else int64(0)
            out[i] = uint8(found ^ invert)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* {stored(dtype)}* uint8* int64 int64 int64"


@family(threads=256, dtype=(*DTYPES, "complex64", "complex128"))
def members_of_few(dtype: str):  # type: ignore[no-untyped-def]
    """As :func:`members`, of others in any order, which are looked at one by one."""
    get = to_computed(dtype)

    def kernel(x, among, out, n, m, invert):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            value = get(x[i])
            k = int64(0)
            while k < m and get(among[k]) != value:
                k += 1
            found = int64(1) if k < m else int64(0)
            out[i] = uint8(found ^ invert)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* {stored(dtype)}* uint8* int64 int64 int64"


def isin(x: CudaArray, among: CudaArray, invert: bool) -> CudaArray:
    """Whether each element equals (``invert``: none) of some others."""
    x, among = _alike(x, among.reshape(-1))
    few = among.size <= _FEW or x.dtype.kind == "c"  # complex numbers have no order
    out = empty(x.shape, _BOOL)
    if out.size:
        given = among if few else sort(among, 0, False)[0]
        kernel = members_of_few(x.dtype.name) if few else members(x.dtype.name)
        kernel.launch(blocks_for(out.size, L.BLOCK), L.BLOCK, x, given, out, out.size, among.size, int(bool(invert)))
    return out


# ----------------------------------------------------------------------------------------------------------- counting


@family(threads=256, dtype=("uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"), shared=(False, True))
def counted(dtype: str, shared: bool):  # type: ignore[no-untyped-def]
    """counts[k] += how many elements are k; of floats, in the k-th of ``bins`` equal parts of [low, high].

    ``shared``: a block counts in its shared memory first, with fewer than 2^31 elements.
    """
    get, T, real, size = to_computed(dtype), type_of(dtype), "float" in dtype, _SHARED_BINS
    atomic_add = L.atomic_add

    def kernel(x, counts, n, bins, low, high):  # type: ignore[no-untyped-def]
        own = cuda.shared.array(size if shared else 1, int32)
        if shared:
            for k in range(int32(cuda.threadIdx.x), int32(bins), int32(cuda.blockDim.x)):
                own[k] = int32(0)
            cuda.syncthreads()
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            value = get(x[i])
            if real:
                place = int64(-1)
                if value >= low and value <= high:
                    place = min(int64((value - low) / (high - low) * T(bins)), bins - 1)
            else:
                place = int64(value)
            if place >= 0 and place < bins:
                if shared:
                    cuda.atomic.add(own, int32(place), int32(1))
                else:
                    atomic_add(counts, place, int64(1))
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
        if shared:
            cuda.syncthreads()
            for k in range(int32(cuda.threadIdx.x), int32(bins), int32(cuda.blockDim.x)):
                if own[k] != 0:
                    atomic_add(counts, int64(k), int64(own[k]))

    bound = computed(dtype) if real else "int64"
    return kernel, f"{stored(dtype)}* int64* int64 int64 {bound} {bound}"


def _counts(x: CudaArray, bins: int, low: Any, high: Any) -> CudaArray:
    x = contiguous(x)
    counts = zeros((bins,), _INT64)
    if x.size:
        shared = bins <= _SHARED_BINS and x.size < 2**31
        counted(x.dtype.name, shared).launch(blocks_for(x.size, L.BLOCK), L.BLOCK, x, counts, x.size, bins, low, high)
    return counts


def histc(x: CudaArray, bins: int, low: float, high: float) -> CudaArray:
    """How many elements are in each of ``bins`` equal parts of [low, high], in the dtype of ``x``."""
    kind = np.float64 if x.dtype.itemsize == 8 else np.float32
    return cast(_counts(x, bins, kind(low), kind(high)), x.dtype)


def bincount(x: CudaArray, minlength: int) -> CudaArray:
    """How often each number from 0 occurs: int64. Waits for the largest."""
    return _counts(x, max(minlength, span(x)[1] + 1 if x.size else 0), 0, 0)
