"""Scans along one axis: running sums, products, extremes, and linear recurrences.

Arrays of any strides in (copied unless row-major), row-major arrays out, the same bits each time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, contiguous, empty
from ..context import blocks_for
from ..elementwise import assign
from . import scan_kernels as kernels
from .reduce import ordered
from .running import running

_INT64 = np.dtype(np.int64)
_BLOCKS = 8 if L.SIMULATED else 1024  # that long lanes are cut for
_THREADS = 256 if L.SIMULATED else 1 << 17  # that lanes side by side are cut for
_LEAST = 64  # elements of a chunk by one thread
_AT_A_TIME = 32  # blocks of a multiprocessor, at most
_SHORT = 32  # elements of a contiguous lane that one thread scans


def scan(name: str, inputs: tuple[CudaArray, ...], axis: int, dtypes: tuple[np.dtype[Any], ...], compute: str, reverse: bool = False) -> tuple[CudaArray, ...]:
    """Scan along an axis arrays of one shape and dtype: arrays of ``dtypes``, the results."""
    inputs = tuple([contiguous(x) for x in inputs])
    shape, source = inputs[0].shape, inputs[0].dtype.name
    out = tuple([empty(shape, d) for d in dtypes])
    if out[0].size == 0:
        return out
    n, inner = (shape[axis], math.prod(shape[axis + 1 :])) if shape else (1, 1)
    lanes = out[0].size // n
    results = tuple([d.name for d in dtypes])
    op = running(name, compute, source.startswith("complex"))
    by_rows = inner == 1 and n > _SHORT
    size = max(d.itemsize for d in (inputs[0].dtype, dtypes[0]))
    W = max(1, 16 // size) if by_rows and all(x.address % 16 == 0 for x in inputs) else 1
    W = min(W, kernels.TILE[size])
    tile = 32 * kernels.TILE[size]
    G = 32 if n <= 4 * tile else L.BLOCK
    if by_rows:
        wanted, least = (_BLOCKS // lanes if G == L.BLOCK else 1), 4 * tile * (L.BLOCK // 32)
    else:
        wanted, least = min(_THREADS // lanes, 1024), _LEAST
    chunks = max(1, min(wanted, n // least))
    share = -(-n // chunks)
    share += -share % kernels.TILE[size]
    chunks = -(-n // share)
    units = -(-lanes * chunks // (L.BLOCK // G)) if by_rows else -(-lanes * chunks // L.BLOCK)
    sizes = (lanes, n, chunks, share) if by_rows else (lanes, inner, n, chunks, share)

    def launch(stage: str, *arrays: CudaArray) -> None:
        if by_rows:
            kernel = kernels.rows(name, source, compute, results, stage, G, W, reverse)
        else:
            kernel = kernels.columns(name, source, compute, results, stage, reverse)
        kernel.launch(blocks_for(units, 1, _AT_A_TIME), L.BLOCK, *inputs, *arrays, *sizes)

    if chunks == 1:
        launch("whole", *out)
        return out
    states = [empty((chunks * lanes,), np.dtype(s)) for s in op.state]
    launch("totals", *states)
    wide = L.BLOCK if by_rows or lanes < 1024 else 1
    kernels.prefixes(name, source, compute, wide).launch(blocks_for(lanes * wide, L.BLOCK, _AT_A_TIME), L.BLOCK, *states, lanes, chunks)
    launch("carried", *out, *states)
    return out


def _wide(dtype: np.dtype[Any]) -> str:
    """What sums and products of a dtype are made in: floats in float64."""
    return "int64" if dtype.kind in "bui" else "float64"


def cumsum(x: CudaArray, axis: int, dtype: np.dtype[Any], reverse: bool = False) -> CudaArray:
    """Sums of the elements up to each one along an axis, or from each one on when ``reverse``; of dtype ``dtype``, in float64 for floats."""
    if dtype.kind == "c" != x.dtype.kind:
        x = x.astype(dtype)
    return scan("cumsum", (x,), axis, (dtype,), _wide(dtype), reverse)[0]


def cumprod(x: CudaArray, axis: int, dtype: np.dtype[Any], reverse: bool) -> CudaArray:
    """Products of the elements up to each one along an axis, or from each one on when ``reverse``, in ``dtype``."""
    if dtype.kind == "c" != x.dtype.kind:
        x = x.astype(dtype)
    return scan("cumprod", (x,), axis, (dtype,), _wide(dtype), reverse)[0]


def cummax(x: CudaArray, axis: int) -> tuple[CudaArray, ...]:
    """The maximum of the elements up to each one along an axis, and where it is last; a NaN stays."""
    return scan("cummax", (x,), axis, (x.dtype, _INT64), ordered(x.dtype.name))


def cummin(x: CudaArray, axis: int) -> tuple[CudaArray, ...]:
    """The minimum of the elements up to each one along an axis, and where it is last; a NaN stays."""
    return scan("cummin", (x,), axis, (x.dtype, _INT64), ordered(x.dtype.name))


def logcumsumexp(x: CudaArray, axis: int) -> CudaArray:
    """log of the sums of exp of the elements up to each one along an axis, without overflow."""
    return scan("logcumsumexp", (x,), axis, (x.dtype,), "float64" if x.dtype.name == "float64" else "float32")[0]


def linear_recurrence(factor: CudaArray, term: CudaArray, axis: int, reverse: bool) -> CudaArray:
    """``out[j] = term[j] + factor[j] * out[j - 1]`` along an axis (``out[j + 1]`` when ``reverse``), of floats of one shape and dtype.

    Computed in float64. A factor of 0 cuts off exactly what comes before, and the first factor is not used.
    """
    return scan("recurrence", (factor, term), axis, (term.dtype,), "float64", reverse)[0]


def shift(x: CudaArray, axis: int, by: int, fill: float) -> CudaArray:
    """The elements moved by one place (``by`` 1 or -1) along an axis, with ``fill`` where none came from."""
    out = empty(x.shape, x.dtype)
    if not x.ndim:
        assign(out, fill)
        return out
    ahead = (slice(None),) * axis
    late, early = (*ahead, slice(1, None)), (*ahead, slice(None, -1))
    assign(out[late if by > 0 else early], x[early if by > 0 else late])
    assign(out[(*ahead, slice(0, 1) if by > 0 else slice(-1, None))], fill)
    return out
