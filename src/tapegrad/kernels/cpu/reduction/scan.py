"""Functions along one axis of an array: extrema with their indices, running sums. ``reduce.py`` re-exports them.

Arrays of any strides in (copied unless C-contiguous), C-contiguous arrays out, the same bits for any number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...native import cache, runtime as rt
from ...native.call import launcher
from ..planned import fresh, planned
from .layout import TILE_BYTES, Array, along, compute_dtype, contiguous, reduced_shape

_INT64 = np.dtype(np.int64)  # which ``empty`` takes fastest
_GRAIN, _GRAIN_SUM = 131072, 16384  # elements below which one thread is faster
_FIND_UNITS, _FIND_SHARE = 64, 32768  # chunks at most, and their elements at least, where lanes are few


@functools.cache
def _kernel(name: str, *args: str) -> int:
    def build() -> Any:
        from . import scan_kernels

        return getattr(scan_kernels, name)(*args)

    return cache.native(f"reduce_scan:{name}:{args}", build)


@functools.lru_cache(maxsize=4096)
def _find_plan(
    op: str, shape: tuple[int, ...], axis: int, keepdims: bool, dtype: np.dtype[Any]
) -> tuple[tuple[int, ...], int, int, int, tuple[int, ...], int, int]:
    """(shape of the result, kernel, units, grain, sizes for the kernel, chunks of a lane, kernel that joins these)."""
    found = reduced_shape(shape, (axis,), keepdims)
    outer, n, inner = along(shape, axis)
    if outer * inner == 0:
        return found, 0, 0, 0, (), 0, 0
    tile = TILE_BYTES // dtype.itemsize
    units, size = outer * -(-inner // tile), outer * n * inner
    chunks = max(1, min(_FIND_UNITS // units, size // (units * _FIND_SHARE), n // 2))
    share = -(-n // chunks)
    chunks = -(-n // share)
    units *= chunks
    kernel = _kernel("find" if inner == 1 else "find_columns", op, dtype.name)
    sizes = (n, chunks, share) if inner == 1 else (n, inner, chunks, share)
    return found, kernel, units, max(1, _GRAIN * units // size), sizes, chunks, _kernel("join", op, dtype.name) if chunks > 1 else 0


def _find(op: str, x: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """Extremum and first index along an axis."""
    given, x = x.dtype, contiguous(x)
    if given.kind not in "fiu" or (given.itemsize == 2 and given.kind == "f"):
        x = x.view(np.uint8) if given.kind == "b" else x.astype(np.float32)
    shape, kernel, units, grain, sizes, chunks, join = _find_plan(op, x.shape, axis, keepdims, x.dtype)
    values, indices = fresh(shape, x.dtype), fresh(shape, _INT64)
    if units:
        launch = launcher()
        if units > grain:
            rt.start_threads()
        if join:
            parts = fresh(chunks * values.size, x.dtype), fresh(chunks * values.size, _INT64)
            launch(kernel, units, grain, x, *parts, *sizes)
            inner = sizes[1] if len(sizes) == 4 else 1
            launch(join, values.size, values.size, *parts, values, indices, chunks, inner)
        else:
            launch(kernel, units, grain, x, values, indices, *sizes)
    if x.dtype is not given:
        values = values.view(given) if given.kind == "b" else values.astype(given, copy=False)
    return values, indices


@planned
def max_with_index(x: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """The maximum along an axis (not empty) and the int64 index where it is first; a NaN counts as the maximum."""
    return _find("max", x, axis, keepdims)


@planned
def min_with_index(x: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """The minimum along an axis (not empty) and the int64 index where it is first; a NaN counts as the minimum."""
    return _find("min", x, axis, keepdims)


def _find_index(op: str, x: Array, axis: int | None, keepdims: bool) -> Array:
    if axis is not None and x.ndim:
        return _find(op, x, axis, keepdims)[1]
    index = _find(op, contiguous(x).reshape(-1), 0, False)[1]
    return index.reshape((1,) * x.ndim) if keepdims else index


@planned
def argmax(x: Array, axis: int | None, keepdims: bool) -> Array:
    """The first index (int64) of the maximum along an axis, or in C order without one; a NaN counts as the maximum."""
    return _find_index("max", x, axis, keepdims)


@planned
def argmin(x: Array, axis: int | None, keepdims: bool) -> Array:
    """The first index (int64) of the minimum along an axis, or in C order without one; a NaN counts as the minimum."""
    return _find_index("min", x, axis, keepdims)


# -------------------------------------------------------------------------------------------------------- running sums


@functools.lru_cache(maxsize=4096)
def _sum_plan(
    shape: tuple[int, ...], axis: int, given: np.dtype[Any], dtype: np.dtype[Any]
) -> tuple[int, int, int, int, int]:
    """(kernel, units, grain, n, inner)."""
    outer, n, inner = along(shape, axis)
    source, result = given.name, dtype.name
    if dtype.kind == "c":
        inner, source, result = 2 * inner, f"float{4 * given.itemsize}", f"float{4 * dtype.itemsize}"
    compute = "float64" if dtype.kind in "fc" or result == "bfloat16" else compute_dtype(dtype).name
    units = outer * -(-inner // (TILE_BYTES // np.dtype(compute).itemsize))
    grain = max(1, _GRAIN_SUM * units // (outer * n * inner))
    return _kernel("running_sum", source, compute, result), units, grain, n, inner


@planned
def cumsum(x: Array, axis: int, dtype: np.dtype[Any], reverse: bool = False) -> Array:
    """Sums of the elements up to each one along an axis, or from each one on when ``reverse``; of dtype ``dtype``.

    A lane is added up in order, float32 and shorter floats in float64.
    """
    if dtype.kind == "c" and x.dtype.kind != "c":
        x = x.astype(dtype)
    x = contiguous(x)
    out = fresh(x.shape, dtype)
    if x.size:
        kernel, units, grain, n, inner = _sum_plan(x.shape, axis, x.dtype, dtype)
        if units > grain:
            rt.start_threads()
        launcher()(kernel, units, grain, x, out, n, inner, int(reverse))
    return out
