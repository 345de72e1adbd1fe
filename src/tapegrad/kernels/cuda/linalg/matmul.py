"""The product of matrices, and what is added to one."""

from __future__ import annotations

from typing import Any

from ..planned import planned
from . import gemm
from .cublas import blas


def _product(a: Any, b: Any, start: Any) -> Any:
    library = blas()
    made = None if library is None else library.matmul(a, b, start)
    return gemm.matmul(a, b, start) if made is None else made


@planned
def matmul(a: Any, b: Any) -> Any:
    """(..., m, k) @ (..., k, n), leading dimensions broadcast."""
    return _product(a, b, None)


@planned
def matmul_add(a: Any, b: Any, start: Any) -> Any:
    """``a @ b + start``; ``start`` broadcasts to the product."""
    return _product(a, b, start)


@planned
def linear(x: Any, weight: Any, bias: Any | None) -> Any:
    """``x @ weight.T + bias``: (..., in), (out, in), (out,) -> (..., out)."""
    return _product(x[None], weight.T, bias)[0] if x.ndim == 1 else _product(x, weight.T, bias)
