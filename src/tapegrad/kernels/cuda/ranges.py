"""Evenly spaced numbers, and the places of triangles, made on the device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import language as L
from .array import CudaArray, empty, to_device
from .context import blocks_for
from .elements import type_of
from .kernel import family
from .language import cuda, float64, int64

_INT64 = np.dtype(np.int64)


@family(threads=L.BLOCK)
def integers() -> Any:
    """out[i] = start + i * step."""

    def kernel(out, start, step, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            out[i] = start + i * step
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "int64* int64 int64 int64"


@family(threads=L.BLOCK, doubles=True, dtype=("float32", "float64"))
def floats(dtype: str) -> Any:
    """out[i] = start + i * step in doubles, as NumPy does; the second element and the last are given."""
    T, product = type_of(dtype), L.rounded_product

    def kernel(out, start, second, step, last, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            value = product(float64(i), step) + start
            if i == 1:
                value = second
            if i == n - 1 and n > 1:
                value = last
            out[i] = T(value)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{dtype}* float64 float64 float64 float64 int64"


def arange(start: Any, end: Any, step: Any, dtype: np.dtype[Any]) -> CudaArray:
    """Numbers from ``start`` up to, not including, ``end``; the same as NumPy's."""
    integral = all(isinstance(x, (int, np.integer)) for x in (start, end, step))
    n = len(range(start, end, step)) if integral else math.ceil((end - start) / step)
    if integral or dtype.kind in "iu":  # PyTorch counts in floats, and steps in integers
        out = empty((n,), _INT64)
        if n:
            integers().launch(blocks_for(n, L.BLOCK), L.BLOCK, out, int(start), int(step), n)
        return out.astype(dtype, copy=False)  # type: ignore[no-any-return]
    if dtype == np.float16:  # which NumPy rounds to from doubles
        return to_device(np.arange(start, end, step).astype(dtype))
    start, second = float(start), float(start + step)
    return _floats(n, start, second, second - start, start + (n - 1) * (second - start) if n != 2 else second, dtype)


def linspace(start: float, end: float, steps: int, dtype: np.dtype[Any]) -> CudaArray:
    """``steps`` numbers from ``start`` to ``end``, the same as NumPy's."""
    start, end = float(start), float(end)
    step = (end - start) / max(steps - 1, 1)
    if dtype.kind != "f" or dtype.itemsize == 2 or not math.isfinite(step) or (step == 0 and start != end):
        with np.errstate(all="ignore"):  # rounded from doubles, or made otherwise
            return to_device(np.linspace(start, end, steps).astype(dtype))
    return _floats(steps, start, start + step if steps != 2 else end, step, end, dtype)


def _floats(n: int, start: float, second: float, step: float, last: float, dtype: np.dtype[Any]) -> CudaArray:
    made = np.dtype(np.float32) if dtype == np.float32 else np.dtype(np.float64)
    out = empty((n,), made)
    if n:
        numbers = [np.float64(x) for x in (start, second, step, last)]
        floats(made.name).launch(blocks_for(n, L.BLOCK), L.BLOCK, out, *numbers, n)
    return out.astype(dtype, copy=False)  # type: ignore[no-any-return]


@family(threads=L.BLOCK, upper=(False, True))
def triangle(upper: bool) -> Any:
    """out (2, count): the rows and columns of the places of a (rows, columns) matrix on and below a diagonal, or on and above."""

    @L.device
    def before(row, columns, diagonal):  # type: ignore[no-untyped-def]
        """How many places on and below the diagonal the rows before one have."""
        empty_rows = min(max(-diagonal, int64(0)), row)
        partial = min(max(columns - diagonal, int64(0)), row)
        first, last = empty_rows + diagonal + 1, partial + diagonal
        growing = (first + last) * (partial - empty_rows) // 2 if partial > empty_rows else int64(0)
        return growing + (row - max(partial, empty_rows)) * columns

    def kernel(out, rows, columns, diagonal, count):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < rows * columns:
            row = i // columns
            column = i - row * columns
            edge = row + diagonal
            if upper:
                if column >= edge:
                    place = row * columns - before(row, columns, diagonal - 1) + column - max(edge, int64(0))
                    out[place] = row
                    out[count + place] = column
            elif column <= edge:
                place = before(row, columns, diagonal) + column
                out[place] = row
                out[count + place] = column
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "int64* int64 int64 int64 int64"


def triangle_places(rows: int, columns: int, diagonal: int, upper: bool, dtype: np.dtype[Any]) -> CudaArray:
    """(2, count): the places of a matrix on and below a diagonal, or on and above, row by row."""
    diagonal = min(max(diagonal, -rows - 1), columns + 1)
    below = _places_below(rows, columns, diagonal - 1 if upper else diagonal)
    count = rows * columns - below if upper else below
    out = empty((2, count), _INT64)
    if count:
        triangle(upper).launch(blocks_for(rows * columns, L.BLOCK), L.BLOCK, out, rows, columns, diagonal, count)
    return out.astype(dtype, copy=False)  # type: ignore[no-any-return]


def _places_below(rows: int, columns: int, diagonal: int) -> int:
    """How many places of a matrix are on and below a diagonal."""
    none = min(max(-diagonal, 0), rows)
    partial = min(max(columns - diagonal, 0), rows)
    growing = (none + diagonal + 1 + partial + diagonal) * (partial - none) // 2 if partial > none else 0
    return growing + (rows - max(partial, none)) * columns
