"""The product of matrices of any dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..narrow import is_narrow, widen
from . import gemm


def matmul(a: Any, b: Any) -> np.ndarray[Any, Any]:
    """(..., m, k) @ (..., k, n), leading dimensions broadcast."""
    if a.dtype == b.dtype and a.dtype in (np.float32, np.float64):
        return gemm.matmul(a, b)
    if is_narrow(a.dtype):
        return gemm.matmul(widen(a), widen(b)).astype(a.dtype)
    with np.errstate(all="ignore"):
        return np.asarray(np.matmul(a, b))
