"""Cholesky's factors and triangular systems: halves of a matrix one after the other, with matrix products between them, down to blocks
that a kernel does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...body import Body
from ...narrow import in_float32
from .. import language as L
from ..array import CudaArray, to_host, zeros
from ..context import blocks_for
from ..elementwise import run
from ..index.shape import tril
from .matmul import matmul
from .triangular_kernels import factor, substitute

_BLOCK = 4 if L.SIMULATED else 64  # rows that a kernel does
_COLUMNS = 32  # of B that a block does, where there are not too many
_MAX_GRID = 65535
_SUB = Body(("a", "b"), ("t0 = a - b",), ("t0",))
_CONJUGATE = Body(("a",), ("t0 = conj(a)",), ("t0",))


@in_float32
def cholesky(x: CudaArray) -> Any:
    """The lower triangular factors of positive definite matrices (..., n, n), of which only the lower triangles are read.

    Raises:
        numpy.linalg.LinAlgError: when one is not positive definite; for that the host waits for the result.
    """
    out = tril(x, 0)
    if out.size == 0:
        return out
    n = out.shape[-1]
    stack = out.reshape(math.prod(out.shape[:-2]), n, n)
    info = zeros((stack.shape[0],), np.dtype(np.int64))
    _factor(stack, info)
    if to_host(info).any():
        raise np.linalg.LinAlgError("Matrix is not positive definite")
    return out


def _factor(a: CudaArray, info: CudaArray) -> None:
    """In place of lower triangles (matrices, n, n): their factors."""
    n = a.shape[-1]
    if n <= _BLOCK:
        matrix, row, _ = (s // a.itemsize for s in a.strides)
        factor(a.dtype.name).launch(blocks_for(a.shape[0], 1), L.BLOCK, a, info, a.shape[0], n, matrix, row)
        return
    half = _half(n)
    top, side, rest = a[:, :half, :half], a[:, half:, :half], a[:, half:, half:]
    _factor(top, info)
    # side = X top^H, so X^T solves conj(top) X^T = side^T
    solution = side.transpose(0, 2, 1).copy()
    _substitute(_conjugate(top), solution, False, False)
    below = solution.transpose(0, 2, 1)
    side[...] = below
    _subtract(rest, tril(matmul(below, _conjugate(solution)), 0))
    _factor(rest, info)


def _half(n: int) -> int:
    """Where a matrix is cut: at a multiple of the block."""
    return -(-n // (2 * _BLOCK)) * _BLOCK


def _conjugate(x: CudaArray) -> CudaArray:
    if x.dtype.kind != "c":
        return x
    out = x.copy()
    run(_CONJUGATE, (out,), (out,), x.dtype)
    return out


def _subtract(target: CudaArray, x: CudaArray) -> None:
    run(_SUB, (target, x), (target,), target.dtype)


@in_float32
def solve_triangular(a: CudaArray, b: CudaArray, upper: bool, unitriangular: bool) -> Any:
    """X with A X = B for triangular A (..., n, n), of which the other triangle is not read, and B (..., n, k) of the same batch."""
    out = b.copy()
    if out.size == 0:
        return out
    n, k = b.shape[-2:]
    matrices = math.prod(b.shape[:-2])
    _substitute(a.reshape(matrices, n, n), out.reshape(matrices, n, k), upper, unitriangular)
    return out


def _substitute(a: CudaArray, b: CudaArray, upper: bool, unit: bool) -> None:
    """In place of B (matrices, n, k), with neighbouring columns, the X with A X = B."""
    matrices, n, k = b.shape
    if n <= _BLOCK:
        steps = [s // a.itemsize for s in a.strides] + [s // b.itemsize for s in b.strides[:2]]
        chunk = max(_COLUMNS, -(-k // _MAX_GRID))
        grid = (blocks_for(matrices, 1), -(-k // chunk), 1)
        substitute(b.dtype.name, upper, unit).launch(grid, L.BLOCK, a, b, matrices, n, k, chunk, *steps)
        return
    half = _half(n)
    parts: list[Any] = [slice(None, half), slice(half, None)]
    first, second = parts[::-1] if upper else parts
    _substitute(a[:, first, first], b[:, first], upper, unit)
    _subtract(b[:, second], matmul(a[:, second, first], b[:, first]))
    _substitute(a[:, second, second], b[:, second], upper, unit)
