"""Kernels of small triangular factors and systems: a block does one matrix in global memory, a column (row) after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import language as L
from ..elements import unchanged
from ..kernel import family
from ..language import cuda, device

_DTYPES = ("float32", "float64", "complex64")


@device  # type: ignore[untyped-decorator]
def _conjugate(x):  # type: ignore[no-untyped-def]
    return x.conjugate()


@family(threads=256, dtype=_DTYPES)
def factor(dtype: str) -> tuple[Callable[..., Any], str]:
    """The lower factors, in place, of matrices (matrices, n, n) with strides (matrix, row) that hold the lower triangles.

    ``info`` of a matrix becomes 1 where it is not positive definite; of a grid, blocks take matrices in turn.
    """
    T, sqrt, int64 = getattr(L, dtype), L.sqrt, L.int64
    conjugate = _conjugate if dtype.startswith("complex") else unchanged
    real = getattr(L, {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype))

    def kernel(a, info, matrices, n, a_matrix, a_row):  # type: ignore[no-untyped-def]
        thread, threads = int64(cuda.threadIdx.x), int64(cuda.blockDim.x)
        matrix = int64(cuda.blockIdx.x)
        while matrix < matrices:
            base = matrix * a_matrix
            for j in range(n):
                square = real(a[base + j * a_row + j].real)
                root = sqrt(square)
                cuda.syncthreads()
                if thread == 0:
                    a[base + j * a_row + j] = T(root)
                    if not square > real(0):
                        info[matrix] = 1
                i = j + 1 + thread
                while i < n:
                    a[base + i * a_row + j] /= T(root)
                    i += threads
                cuda.syncthreads()
                left = n - j - 1
                at = thread
                while at < left * left:
                    row = at // left
                    column = at - row * left
                    if column <= row:
                        row += j + 1
                        column += j + 1
                        a[base + row * a_row + column] -= a[base + row * a_row + j] * conjugate(a[base + column * a_row + j])
                    at += threads
                cuda.syncthreads()
            matrix += int64(cuda.gridDim.x)

    return kernel, f"{dtype}* int64* int64 int64 int64 int64"


@family(threads=256, dtype=_DTYPES, upper=(False, True), unit=(False, True))
def substitute(dtype: str, upper: bool, unit: bool) -> tuple[Callable[..., Any], str]:
    """X with A X = B, in place of B: of A (matrices, n, n) with any strides one triangle is read; B (matrices, n, k) has strides
    (matrix, row). Grid: matrices in turn, and chunks of columns.
    """
    int64 = L.int64

    def kernel(a, b, matrices, n, k, chunk, a_matrix, a_row, a_column, b_matrix, b_row):  # type: ignore[no-untyped-def]
        thread, threads = int64(cuda.threadIdx.x), int64(cuda.blockDim.x)
        first = int64(cuda.blockIdx.y) * chunk
        columns = min(chunk, k - first)
        matrix = int64(cuda.blockIdx.x)
        while matrix < matrices:
            a_base, b_base = matrix * a_matrix, matrix * b_matrix + first
            for s in range(n):
                i = n - 1 - s if upper else s
                if not unit:
                    j = thread
                    while j < columns:
                        b[b_base + i * b_row + j] /= a[a_base + i * (a_row + a_column)]
                        j += threads
                    cuda.syncthreads()
                left = n - 1 - s
                at = thread
                while at < left * columns:
                    row = at // columns
                    j = at - row * columns
                    if not upper:
                        row += i + 1
                    b[b_base + row * b_row + j] -= a[a_base + row * a_row + i * a_column] * b[b_base + i * b_row + j]
                    at += threads
                cuda.syncthreads()
            matrix += int64(cuda.gridDim.x)

    return kernel, f"{dtype}* {dtype}* " + " ".join(["int64"] * 9)
