"""Which dtypes elementwise ops refuse."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..scalarops import elementwise_op

_KINDS = ("bool", "integer", "floating-point", "complex")


def accept(kinds: str, *names: str, instead: str = "") -> None:
    """Make elementwise ops refuse operands that promote to a kind other than these: b(ool), i(nteger), f(loat), c(omplex).

    The operands then raise RuntimeError with the advice ``instead``, complex ones TypeError.
    """
    for name in names:
        elementwise_op(name).check = _checker(name, kinds, instead)


def need_fitting(name: str, *positions: int) -> None:
    """Make an elementwise op refuse integers, at these positions, that the integer dtype of its operands can't hold."""
    op = elementwise_op(name)
    first = op.check

    def check(*operands: Any) -> None:
        if first is not None:
            first(*operands)
        if any(operands[i].__class__ is int for i in positions):
            promoted = dtypes.result_type(*[x for x, label in zip(operands, op.inputs, strict=True) if label not in op.booleans])
            for i in positions:
                need_fit(name, operands[i], promoted)

    op.check = check
    op.computation.checks_integers = True


def need_fit(name: str, value: Any, dtype: dtypes.dtype) -> None:
    """Raise RuntimeError for an integer that an integer dtype can't hold; unsigned ones take negative numbers, which wrap."""
    if dtype.category == 1 and value.__class__ is int:
        info = np.iinfo(dtype.numpy)
        if not (info.min or -info.max) <= value <= info.max:
            raise RuntimeError(f"{name}: the value {value} can't be converted to {dtype.name} without overflow")


def _checker(name: str, kinds: str, instead: str) -> Any:
    def check(*operands: Any) -> None:
        found = dtypes.result_type(*operands)
        if "bifc"[found.category] in kinds:
            return
        if found.is_complex:
            raise TypeError(f"{name} is not implemented for complex numbers")
        raise RuntimeError(f"{name}: not defined for {_KINDS[found.category]} tensors, got {found}; {instead}")

    return check
