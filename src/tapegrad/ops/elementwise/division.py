"""Division: true, rounded, and what is left over. Integers are not divided by zero: that raises, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes, inplace
from ...modes import check_values
from ...primitives import E
from ...public import method, public
from ...samples import EdgePoint, ErrorInput, Input, Sample, apart_from_whole, binary
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor

__all__ = ["div", "floor_divide", "fmod", "remainder"]

_div = elementwise(
    "div",
    lambda input, other: input / other,
    {
        "input": lambda g, other: g / E.conj(other),
        "other": lambda g, input, other: -g * E.conj(input / other / other),  # not by out, which may be written in place
    },
    dtype="float",
    samples=binary(0.5, 2.0),
    reference=np.true_divide,
)
floor_divide = elementwise(
    "floor_divide",
    lambda input, other: E.floor_divide(input, other),
    {},
    samples=apart_from_whole(),
    reference=np.floor_divide,
    error_inputs=[
        ErrorInput(lambda tg: tg.tensor([1, 2]) // tg.tensor([1, 0]), RuntimeError, "ZeroDivisionError: floor_divide"),
        ErrorInput(lambda tg: tg.tensor([1, 2]) // 0, RuntimeError, "ZeroDivisionError: floor_divide"),
        ErrorInput(lambda tg: tg.tensor([True]) // tg.tensor([True]), RuntimeError, "floor_divide: not defined for bool"),
    ],
    kinds="if",
)
_floor = elementwise(
    "div_floor",
    lambda input, other: E.floor_divide(input, other),
    {"input": lambda g: 0.0, "other": lambda g: 0.0},
    method=False,
    samples=apart_from_whole(),
    reference=np.floor_divide,
    kinds="if",
)
_trunc = elementwise(
    "div_trunc",
    lambda input, other: E.trunc_divide(input, other),
    {"input": lambda g: 0.0, "other": lambda g: 0.0},
    method=False,
    samples=apart_from_whole(),
    reference=lambda a, b: np.trunc(a / b) if np.result_type(a, b).kind == "f" else (a - np.fmod(a, b)) // b,
    kinds="if",
)
remainder = elementwise(
    "remainder",
    lambda input, other: E.remainder(input, other),
    {"input": lambda g: g, "other": lambda g, input, other: -g * E.floor_divide(input, other)},
    samples=apart_from_whole(),
    reference=np.remainder,
    edge_points=[EdgePoint((4.0, 2.0), (1.0, -2.0)), EdgePoint((5.0, -2.0), (1.0, 3.0))],
    kinds="if",
)
fmod = elementwise(
    "fmod",
    lambda input, other: E.fmod(input, other),
    {"input": lambda g: g, "other": lambda g, input, other: -g * E.trunc(input / other)},
    samples=apart_from_whole(),
    reference=np.fmod,
    edge_points=[EdgePoint((4.0, 2.0), (1.0, -2.0)), EdgePoint((-5.0, 2.0), (1.0, 2.0))],
    kinds="if",
)
_ROUNDED = {"floor": _floor, "trunc": _trunc}


def _check_divisor(name: str) -> None:
    """Make an op refuse bools, and integers divided by zero: kernels raise nothing, so it is looked for before they run."""
    op = elementwise_op(name)

    def refuse_zero(array: Any) -> None:
        if not array.all():
            raise RuntimeError(f"ZeroDivisionError: {name}: the integer divisor has a zero; convert to floating point for inf and NaN")

    def check(input: Any, other: Any) -> None:
        category = dtypes.result_type(input, other).category
        if category == 0:
            raise RuntimeError(f"{name}: not defined for bool tensors; convert one with .long()")
        if category == 1:
            if isinstance(other, Tensor):
                check_values(other, refuse_zero)
            else:
                refuse_zero(np.asarray(other))

    op.check = check
    op.computation.checks_integers = True


for _name in ("floor_divide", "div_floor", "div_trunc", "remainder", "fmod"):
    _check_divisor(_name)


@public(
    "div",
    samples=[
        Sample((Input((3, 4), 0.5, 2.0), Input((4,), 0.5, 2.0))),
        Sample((Input((3, 4), 0.3, 2.0), Input((4,), -2.0, -0.4)), {"rounding_mode": "floor"}),
        Sample((Input((3, 4), 0.3, 2.0), Input((4,), -2.0, -0.4)), {"rounding_mode": "trunc"}),
    ],
    reference=lambda a, b, rounding_mode="positive": getattr(np, rounding_mode)(a / b),
    error_inputs=[ErrorInput(lambda tg: tg.div(tg.ones(2), 2, rounding_mode="up"), ValueError, "div: rounding_mode must be")],
)
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``input / other``; with ``rounding_mode`` "trunc" or "floor" the quotient is rounded, and integers stay integers.

    Raises:
        ValueError: for another mode.
        RuntimeError: for integers divided by zero, and bools, with a mode.
    """
    return _div(input, other) if rounding_mode is None else _rounded(rounding_mode)(input, other)


@method
def div_(self: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Divide in place; returns the tensor."""
    name = "div" if rounding_mode is None else _rounded(rounding_mode).__name__
    return inplace.elementwise_(elementwise_op(name), self, other)


def _rounded(mode: str) -> Any:
    if mode not in _ROUNDED:
        raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {mode!r}")
    return _ROUNDED[mode]
