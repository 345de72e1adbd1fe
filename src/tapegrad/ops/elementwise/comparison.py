"""Comparisons with tolerance, of whole tensors, and questions about elements; == < and the like are beside arithmetic."""

from __future__ import annotations

import numpy as np

from ... import dtypes
from ...primitives import E
from ...public import composite
from ...registry import as_tensor_input
from ...samples import ErrorInput, Input, Sample, binary, few
from ...scalarops import elementwise
from ...tensor import Tensor
from ..checks import need_same_dtype, read_values
from ..shape.copy import to_dtype
from .basic import abs, eq, isnan, le, logical_and, logical_or

__all__ = ["allclose", "equal", "isclose", "isfinite", "isinf", "isneginf", "isposinf", "logical_xor"]

logical_xor = elementwise("logical_xor", lambda input, other: E.logical_xor(input != 0, other != 0), samples=binary(), reference=np.logical_xor)
isinf = elementwise("isinf", lambda input: E.isinf(input), samples=few(), reference=np.isinf)
isfinite = elementwise("isfinite", lambda input: E.isfinite(input), samples=few(), reference=np.isfinite)
isposinf = elementwise("isposinf", lambda input: E.isinf(input) & (input > 0), samples=few(), reference=np.isposinf, kinds="bif")
isneginf = elementwise("isneginf", lambda input: E.isinf(input) & (input < 0), samples=few(), reference=np.isneginf, kinds="bif")

_TWO = [Sample((Input((3, 4), 1.0, 1.1), Input((4,), 1.0, 1.1)), {"rtol": 0.05}), Sample((Input(()), Input(()))), Sample((Input((0, 3)), Input((3,))))]
_MISTAKES = [
    ErrorInput(lambda tg: tg.isclose(tg.ones(2), tg.ones(2).double()), RuntimeError, "isclose: expected equal dtypes, .*float32.*float64"),
    ErrorInput(lambda tg: tg.isclose(tg.ones(2), tg.ones(2), rtol=-1.0), RuntimeError, "isclose: rtol and atol must not be negative"),
]


@composite(samples=_TWO, reference=np.isclose, differentiable=False, kinds="bif", error_inputs=_MISTAKES)
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``; infinities are close to themselves only, NaN to NaN if ``equal_nan``.

    Raises:
        RuntimeError: for different dtypes, and negative tolerances.
    """
    a, b = as_tensor_input(input, "isclose", "input"), as_tensor_input(other, "isclose", "other")
    need_same_dtype("isclose", input=a, other=b)
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: rtol and atol must not be negative, got {rtol} and {atol}")
    a, b = a.detach(), b.detach()
    close = eq(a, b)
    if a.dtype.category == 0:
        return close  # type: ignore[no-any-return]
    if equal_nan and a.dtype.category >= 2:
        close = logical_or(close, logical_and(isnan(a), isnan(b)))
    error = abs(a - b)
    size = abs(to_dtype(b, dtypes.get_default_dtype()) if a.dtype.category == 1 else b)
    return logical_or(close, logical_and(isfinite(error), le(error, size * rtol + atol)))  # type: ignore[no-any-return]


@composite(samples=_TWO, differentiable=False, kinds="bif")
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close: see :func:`isclose`."""
    return bool(read_values(isclose(input, other, rtol, atol, equal_nan), "allclose()").all())


@composite(samples=[Sample((Input((3, 4)), Input((3, 4)))), Sample((Input((3,)), Input(())))], differentiable=False)
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    a, b = as_tensor_input(input, "equal", "input"), as_tensor_input(other, "equal", "other")
    return tuple(a.shape) == tuple(b.shape) and bool(read_values(eq(a, b), "equal()").all())
