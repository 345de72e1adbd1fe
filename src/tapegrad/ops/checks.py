"""Which dtypes elementwise ops refuse."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..scalarops import elementwise_op

_KINDS = ("bool", "integer", "floating-point", "complex")


def accept(kinds: str, *names: str, instead: str = "") -> None:
    """Make elementwise ops refuse operands that promote to a kind other than these: b(ool), i(nteger), f(loat), c(omplex).

    The operands then raise RuntimeError with the advice ``instead``, complex ones TypeError.
    """
    for name in names:
        elementwise_op(name).check = _checker(name, kinds, instead)


def _checker(name: str, kinds: str, instead: str) -> Any:
    def check(*operands: Any) -> None:
        found = dtypes.result_type(*operands)
        if "bifc"[found.category] in kinds:
            return
        if found.is_complex:
            raise TypeError(f"{name} is not implemented for complex numbers")
        raise RuntimeError(f"{name}: not defined for {_KINDS[found.category]} tensors, got {found}; {instead}")

    return check
