"""Functions along one axis of an array: extrema with their indices, running sums. ``reduce.py`` re-exports them.

Arrays of any strides in (copied unless C-contiguous), C-contiguous arrays out, the same bits for any number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from . import cache
from . import runtime as rt
from .call import launcher
from .reduce_layout import TILE_BYTES, Array, along, compute_dtype, contiguous, reduced_shape

_GRAIN, _GRAIN_SUM = 131072, 16384  # elements below which one thread is faster
_FIND_UNITS, _FIND_SHARE = 64, 32768  # chunks at most, and their elements at least, where lanes are few


@functools.cache
def _scan_kernel(name: str, *args: str) -> int:
    def build() -> Any:
        from . import reduce_scan

        return getattr(reduce_scan, name)(*args)

    return cache.native(f"reduce_scan:{name}:{args}", build)


def _find(op: str, x: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """Extremum and first index along an axis."""
    shape = reduced_shape(x.shape, (axis,), keepdims)
    given, x = x.dtype, contiguous(x)
    if given.kind not in "fiu" or given.itemsize == 2 and given.kind == "f":
        x = x.view(np.uint8) if given.kind == "b" else x.astype(np.float32)
    outer, n, inner = along(x.shape, axis)
    values, indices = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    if values.size:
        launch, name, tile = launcher(), x.dtype.name, TILE_BYTES // x.itemsize
        units = outer if inner == 1 else outer * -(-inner // tile)
        chunks = max(1, min(_FIND_UNITS // units, x.size // (units * _FIND_SHARE), n // 2))
        share = -(-n // chunks)
        chunks = -(-n // share)
        parts = (values, indices)
        if chunks > 1:
            parts = (np.empty(chunks * outer * inner, x.dtype), np.empty(chunks * outer * inner, np.int64))
        grain = max(1, _GRAIN * units * chunks // x.size)
        if units * chunks > grain:
            rt.start_threads()
        if inner == 1:
            launch(_scan_kernel("find", op, name), units * chunks, grain, x, *parts, n, chunks, share)
        else:
            launch(_scan_kernel("find_columns", op, name), units * chunks, grain, x, *parts, n, inner, chunks, share)
        if chunks > 1:
            launch(_scan_kernel("join", op, name), values.size, values.size, *parts, values, indices, chunks, inner)
    if given.kind == "b":
        return values.view(given), indices
    return values.astype(given, copy=False), indices


def max_with_index(x: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """The maximum along an axis (not empty) and the int64 index where it is first; a NaN counts as the maximum."""
    return _find("max", x, axis, keepdims)


def min_with_index(x: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """The minimum along an axis (not empty) and the int64 index where it is first; a NaN counts as the minimum."""
    return _find("min", x, axis, keepdims)


def _find_index(op: str, x: Array, axis: int | None, keepdims: bool) -> Array:
    if axis is not None and x.ndim:
        return _find(op, x, axis, keepdims)[1]
    index = _find(op, contiguous(x).reshape(-1), 0, False)[1]
    return index.reshape((1,) * x.ndim) if keepdims else index


def argmax(x: Array, axis: int | None, keepdims: bool) -> Array:
    """The first index (int64) of the maximum along an axis, or in C order without one; a NaN counts as the maximum."""
    return _find_index("max", x, axis, keepdims)


def argmin(x: Array, axis: int | None, keepdims: bool) -> Array:
    """The first index (int64) of the minimum along an axis, or in C order without one; a NaN counts as the minimum."""
    return _find_index("min", x, axis, keepdims)


# -------------------------------------------------------------------------------------------------------- running sums


def cumsum(x: Array, axis: int, dtype: np.dtype[Any], reverse: bool = False) -> Array:
    """Sums of the elements up to each one along an axis, or from each one on when ``reverse``; of dtype ``dtype``.

    A lane is added up in order, float32 and shorter floats in float64.
    """
    if dtype.kind == "c" and x.dtype.kind != "c":
        x = x.astype(dtype)
    x = contiguous(x)
    out = np.empty(x.shape, dtype)
    if x.size:
        outer, n, inner = along(x.shape, axis)
        source, result = x.dtype.name, dtype.name
        if dtype.kind == "c":
            inner, source, result = 2 * inner, f"float{4 * x.itemsize}", f"float{4 * dtype.itemsize}"
        compute = "float64" if dtype.kind in "fc" or result == "bfloat16" else compute_dtype(dtype).name
        units = outer * -(-inner // (TILE_BYTES // np.dtype(compute).itemsize))
        grain = max(1, _GRAIN_SUM * units // x.size)
        if units > grain:
            rt.start_threads()
        launcher()(_scan_kernel("running_sum", source, compute, result), units, grain, x, out, n, inner, int(reverse))
    return out
