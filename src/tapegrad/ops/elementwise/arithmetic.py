"""Arithmetic of two and three tensors beside the operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import inplace
from ...primitives import E
from ...public import METHODS, composite, method, public
from ...samples import EdgePoint, ErrorInput, Input, Sample, binary
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor
from ..checks import accept, need_fitting
from .basic import sub, where

__all__ = ["addcdiv", "addcmul", "fmax", "fmin", "lerp", "rsub"]

fmax = elementwise(
    "fmax",  # where one is NaN, the other
    lambda input, other: E.fmax(input, other),
    {
        "input": lambda g, input, other: E.where((input >= other) | (other != other), g, 0.0),
        "other": lambda g, input, other: E.where((input >= other) | (other != other), 0.0, g),
    },
    samples=binary(apart=True),
    reference=np.fmax,
    edge_points=[EdgePoint((1.0, 1.0), (1.0, 0.0)), EdgePoint((np.nan, 1.0), (0.0, 1.0)), EdgePoint((1.0, np.nan), (1.0, 0.0))],
    kinds="bif",
)
fmin = elementwise(
    "fmin",
    lambda input, other: E.fmin(input, other),
    {
        "input": lambda g, input, other: E.where((input <= other) | (other != other), g, 0.0),
        "other": lambda g, input, other: E.where((input <= other) | (other != other), 0.0, g),
    },
    samples=binary(apart=True),
    reference=np.fmin,
    edge_points=[EdgePoint((1.0, 1.0), (1.0, 0.0)), EdgePoint((np.nan, 1.0), (0.0, 1.0)), EdgePoint((1.0, np.nan), (1.0, 0.0))],
    kinds="bif",
)
lerp = elementwise(
    "lerp",  # from the nearer end, so that weights 0 and 1 give the ends exactly
    lambda input, end, weight: E.where(E.abs(weight) < 0.5, input + weight * (end - input), end - (end - input) * (1.0 - weight)),
    {
        "input": lambda g, weight: g * (1.0 - weight),
        "end": lambda g, weight: g * weight,
        "weight": lambda g, input, end: g * (end - input),
    },
    samples=[
        Sample((Input(a, 0.5, 2.0), Input(b, 0.5, 2.0), Input(w, 0.1, 0.9)))
        for a, b, w in (((3, 4), (3, 4), (3, 4)), ((3, 4), (4,), ()), ((), (3, 1), (4,)))
    ],
    reference=lambda start, end, weight: start + weight * (end - start),
    edge_points=[EdgePoint((1.0, 3.0, 0.5), (0.5, 0.5, 2.0))],
    kinds="fc",
)
_addcmul = elementwise(
    "addcmul",
    lambda input, tensor1, tensor2, value: input + value * (tensor1 * tensor2),
    {
        "input": lambda g: g,
        "tensor1": lambda g, tensor2, value: g * E.conj(value * tensor2),
        "tensor2": lambda g, tensor1, value: g * E.conj(value * tensor1),
    },
    method=False,
    samples=[Sample((Input((3, 4), 0.5), Input((3, 1), 0.5), Input((4,), 0.5)), {"value": 2})],
    reference=lambda x, a, b, value: x + value * a * b,
    kinds="ifc",
)
_addcdiv = elementwise(
    "addcdiv",
    lambda input, tensor1, tensor2, value: input + value * (tensor1 / tensor2),
    {
        "input": lambda g: g,
        "tensor1": lambda g, tensor2, value: g * E.conj(value / tensor2),
        "tensor2": lambda g, tensor1, tensor2, value: -g * E.conj(value * (tensor1 / tensor2 / tensor2)),
    },
    method=False,
    samples=[Sample((Input((3, 4), 0.5), Input((3, 1), 0.5), Input((4,), 0.5)), {"value": 2})],
    reference=lambda x, a, b, value: x + value * (a / b),
    kinds="fc",
)


def _lerp_of_complex(input: Any, end: Any, weight: Any) -> Any:
    """As the expression, which can't choose by the size of a complex weight."""
    step, near = end - input, abs(weight.detach() if isinstance(weight, Tensor) else weight) < 0.5
    first, second = input + weight * step, end - step * (1.0 - weight)
    return where(near, first, second) if isinstance(near, Tensor) else first if near else second


elementwise_op("lerp").of_complex = _lerp_of_complex
need_fitting("addcmul", 3)
accept("fc", "lerp", instead="convert one with .float()")
accept("fc", "addcdiv", instead="use input + value * div(tensor1, tensor2, rounding_mode='trunc'), or convert one with .float()")

_THREE = [
    Sample((Input((3, 4), 0.5), Input((3, 1), 0.5), Input((4,), 0.5))),
    Sample((Input((4,), 0.5), Input((4,), 0.5), Input((4,), 0.5)), {"value": 2}),
]


@public(
    "addcmul",
    samples=_THREE,
    reference=lambda x, a, b, value=1: x + value * a * b,
)
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value * tensor1 * tensor2``, elementwise."""
    return _addcmul(input, tensor1, tensor2, value)


@public(
    "addcdiv",
    samples=_THREE,
    reference=lambda x, a, b, value=1: x + value * (a / b),
    error_inputs=[ErrorInput(lambda tg: tg.addcdiv(*[tg.tensor([1])] * 3), RuntimeError, "addcdiv: not defined for integer tensors")],
)
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value * tensor1 / tensor2``, elementwise.

    Raises:
        RuntimeError: for integers.
    """
    return _addcdiv(input, tensor1, tensor2, value)


METHODS["addcmul"], METHODS["addcdiv"] = addcmul, addcdiv


@method
def addcmul_(self: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """Add ``value * tensor1 * tensor2`` in place; returns the tensor."""
    return inplace.elementwise_(elementwise_op("addcmul"), self, tensor1, tensor2, value)


@method
def addcdiv_(self: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """Add ``value * tensor1 / tensor2`` in place; returns the tensor."""
    return inplace.elementwise_(elementwise_op("addcdiv"), self, tensor1, tensor2, value)


@composite(
    method=False,
    samples=[Sample((Input((3, 4)), Input((4,)))), Sample((Input((3, 4)), Input((3, 1))), {"alpha": 3})],
    reference=lambda x, y, alpha=1: y - alpha * x,
    error_inputs=[ErrorInput(lambda tg: tg.rsub(tg.tensor([True]), tg.tensor([True])), RuntimeError, "subtraction and negation are not defined")],
)
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha * input``.

    Raises:
        RuntimeError: for two bool tensors.
    """
    return sub(other, input, alpha=alpha)
