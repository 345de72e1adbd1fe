"""Order statistics along one axis: of sorted lanes, elements at a rank, and their places in the operand."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, empty
from ..context import blocks_for
from ..elements import stored, to_computed
from ..index.index import gather
from ..index.sort import sort
from ..kernel import family
from ..language import cuda, int64
from .reduce import argmax
from .scan import cummax

Pair = tuple[CudaArray, CudaArray]
_INT64 = np.dtype(np.int64)


def _lanes(function: Callable[..., Pair]) -> Callable[..., Pair]:
    """A 0-d array is a lane of one element."""

    @functools.wraps(function)
    def on_lanes(x: CudaArray, axis: int, keepdims: bool, *args: Any) -> Pair:
        if x.ndim == 0:
            values, at = function(x.reshape(1), 0, False, *args)
            return values, at
        return function(x, axis, keepdims, *args)

    return on_lanes


def _picked(ordered: CudaArray, order: CudaArray, rank: CudaArray, axis: int, keepdims: bool) -> Pair:
    """The elements of sorted lanes at ranks (one along ``axis``), and where they were."""
    values, at = gather(ordered, rank, axis), gather(order, rank, axis)
    return (values, at) if keepdims else (values.squeeze(axis), at.squeeze(axis))


@_lanes
def kth_value(x: CudaArray, axis: int, keepdims: bool, k: int) -> Pair:
    """The k-th smallest element (from 1) along an axis, NaNs last, and its place."""
    index = (*[slice(None)] * axis, slice(k - 1, k) if keepdims else k - 1)
    values, at = [a[index].copy() for a in sort(x, axis, False)]
    return values, at


@family(threads=L.BLOCK, dtype=("float32", "float16", "bfloat16", "float64"))
def median_ranks(dtype: str) -> tuple[Any, str]:
    """rank[lane]: of the lower median of a sorted lane of n elements, or of its first NaN, unless these are to be ignored."""
    get = to_computed(dtype)

    def kernel(ordered, rank, lanes, n, inner, ignore_nan):  # type: ignore[no-untyped-def]
        lane = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while lane < lanes:
            outer = lane // inner
            base = outer * n * inner + lane - outer * inner
            low, known = int64(0), n  # the first NaN is from low to known
            while low < known:
                middle = (low + known) // 2
                value = get(ordered[base + middle * inner])
                if value == value:
                    low = middle + 1
                else:
                    known = middle
            if (known == n) | (ignore_nan != 0):
                rank[lane] = (known - 1) // 2 if known > 0 else int64(0)
            else:
                rank[lane] = known
            lane += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* int64* int64 int64 int64 int64"


@_lanes
def median(x: CudaArray, axis: int, keepdims: bool, ignore_nan: bool) -> Pair:
    """The lower median along an axis and its place. A NaN is the median of a lane that has one, unless these are ignored."""
    n, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    if x.dtype.kind not in "fV":
        return kth_value(x, axis, keepdims, (n + 1) // 2)
    ordered, order = sort(x, axis, False)
    rank = empty((*x.shape[:axis], 1, *x.shape[axis + 1 :]), _INT64)
    if rank.size:
        kernel = median_ranks(x.dtype.name)
        kernel.launch(blocks_for(rank.size, L.BLOCK), L.BLOCK, ordered, rank, rank.size, n, inner, int(ignore_nan))
    return _picked(ordered, order, rank, axis, keepdims)


@family(threads=L.BLOCK, dtype=("float32", "bfloat16", "float64", "int64"))
def run_starts(dtype: str) -> tuple[Any, str]:
    """start[i]: the place in its lane of an element of sorted lanes that differs from the one before, else 0."""
    get = to_computed(dtype)

    def kernel(ordered, start, size, n, inner):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < size:
            place = i // inner % n
            start[i] = int64(0)
            if place > 0:
                if get(ordered[i]) != get(ordered[i - inner]):
                    start[i] = place
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* int64* int64 int64 int64"


@family(threads=L.BLOCK)
def run_lengths() -> tuple[Any, str]:
    """start[i] becomes how far element i of its lane is behind start[i]."""

    def kernel(start, size, n, inner):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < size:
            start[i] = i // inner % n - start[i]
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "int64* int64 int64 int64"


@_lanes
def mode(x: CudaArray, axis: int, keepdims: bool) -> Pair:
    """The most frequent element along an axis, the smallest of several, and where it is last."""
    ordered, order = sort(x, axis, False)
    start, sizes = empty(x.shape, _INT64), (x.size, x.shape[axis], math.prod(x.shape[axis + 1 :]))
    if x.size:
        blocks = blocks_for(x.size, L.BLOCK)
        run_starts(x.dtype.name).launch(blocks, L.BLOCK, ordered, start, *sizes)
        start = cummax(start, axis)[0]
        run_lengths().launch(blocks, L.BLOCK, start, *sizes)
    return _picked(ordered, order, argmax(start, axis, True), axis, keepdims)
