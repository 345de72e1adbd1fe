"""The product of matrices of any dtype, and what is added to one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...narrow import is_narrow, widen
from ..planned import planned
from . import gemm

_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


@planned
def _product(a: Any, b: Any, start: Any = None) -> np.ndarray[Any, Any]:
    return gemm.matmul(a, b, None, start)


def _without_plan(a: Any, b: Any, *start: Any) -> np.ndarray[Any, Any]:
    """``_product`` where there is no plan yet, or never: one can't tell operands that begin at the same place from each other."""
    if len({x.ctypes.data for x in (a, b, *start)}) == 2 + len(start):
        return _product(a, b, *start)
    return gemm.matmul(a, b, None, *start)


def matmul(a: Any, b: Any) -> np.ndarray[Any, Any]:
    """(..., m, k) @ (..., k, n), leading dimensions broadcast."""
    dtype = a.dtype
    if (dtype is _SINGLE or dtype is _DOUBLE) and b.dtype is dtype:
        out = _product.quick(a, b)
        return _without_plan(a, b) if out is None else out
    return _general(a, b)


def _general(a: Any, b: Any) -> np.ndarray[Any, Any]:
    if a.dtype == b.dtype and a.dtype in (_SINGLE, _DOUBLE):
        return gemm.matmul(a, b)
    if is_narrow(a.dtype):
        return gemm.matmul(widen(a), widen(b)).astype(a.dtype)
    with np.errstate(all="ignore"):
        return np.asarray(np.matmul(a, b))


def matmul_add(a: Any, b: Any, start: Any) -> np.ndarray[Any, Any] | None:
    """``a @ b + start`` in one pass, or None: it takes two floating-point dtypes, and contiguous rows (n,) or arrays of the result's shape."""
    dtype = a.dtype
    if (dtype is not _SINGLE and dtype is not _DOUBLE) or b.dtype is not dtype or start.dtype is not dtype or not start.flags.c_contiguous:
        return None
    if start.ndim != 1 or start.shape[0] != b.shape[-1]:
        lead = a.shape[:-2] if b.ndim == 2 else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        if start.shape != (*lead, a.shape[-2], b.shape[-1]):
            return None
    out = _product.quick(a, b, start)
    return _without_plan(a, b, start) if out is None else out

