"""The product of matrices, and what is added to one."""

from __future__ import annotations

from typing import Any

from .. import recording
from ..planned import planned
from . import gemm
from .cublas import blas


def _product(a: Any, b: Any, start: Any = None) -> Any:
    library = blas()
    if library is not None:
        recording.lose()
        made = library.matmul(a, b, start)
        if made is not None:
            return made
    return _own(a, b, start)


@planned
def _own(a: Any, b: Any, start: Any) -> Any:
    return gemm.matmul(a, b, start)


def matmul(a: Any, b: Any) -> Any:
    """(..., m, k) @ (..., k, n), leading dimensions broadcast."""
    return _product(a, b)


def matmul_add(a: Any, b: Any, start: Any) -> Any:
    """``a @ b + start``; ``start`` broadcasts to the product."""
    return _product(a, b, start)


def linear(x: Any, weight: Any, bias: Any | None) -> Any:
    """``x @ weight.T + bias``: (..., in), (out, in), (out,) -> (..., out)."""
    if x.ndim == 1:
        return linear(x[None], weight, bias)[0]
    return _product(x, weight.T, bias)
