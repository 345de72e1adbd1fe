"""Exponentials, logarithms and powers beside the most common ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes, inplace
from ...primitives import E
from ...public import composite, method
from ...samples import EdgePoint, Input, Sample, binary, few
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor
from ..checks import accept
from ..shape.copy import to_dtype
from .basic import pow

INF = math.inf
LN2, LN10 = math.log(2.0), math.log(10.0)

__all__ = ["exp2", "float_power", "log2", "log10", "logaddexp", "logaddexp2", "rsqrt", "xlogy"]

exp2 = elementwise("exp2", lambda input: E.exp2(input), {"input": lambda g, out: g * (LN2 * out)}, dtype="float", samples=few(), reference=np.exp2, kinds="bif")  # fmt: skip
log2 = elementwise("log2", lambda input: E.log2(input), {"input": lambda g, input: g / (LN2 * input)}, dtype="float", samples=few(0.5, 3.0), reference=np.log2, kinds="bif")  # fmt: skip
log10 = elementwise("log10", lambda input: E.log10(input), {"input": lambda g, input: g / (LN10 * input)}, dtype="float", samples=few(0.5, 3.0), reference=np.log10, kinds="bif")  # fmt: skip
rsqrt = elementwise(
    "rsqrt",
    lambda input: 1.0 / E.sqrt(input),
    {"input": lambda g, out: g * E.conj(-0.5 * out * out * out)},
    dtype="float",
    samples=few(0.5, 3.0),
    reference=lambda x: 1 / np.sqrt(x),
    edge_points=[EdgePoint((0.0,), (-INF,))],
)
logaddexp = elementwise(
    "logaddexp",
    lambda input, other: E.where(
        input == other, input + LN2, E.maximum(input, other) + E.log1p(E.exp(-E.abs(input - other)))
    ),
    {
        "input": lambda g, input, other, out: E.where(out == -INF, 0.0, g * E.sigmoid(input - other)),
        "other": lambda g, input, other, out: E.where(out == -INF, 0.0, g * E.sigmoid(other - input)),
    },
    dtype="float",
    samples=binary(0.1, 2.0),
    reference=np.logaddexp,
    edge_points=[EdgePoint((1.0, 1.0), (0.5, 0.5)), EdgePoint((-INF, -INF), (0.0, 0.0)), EdgePoint((-INF, 0.0), (0.0, 1.0))],
    kinds="if",
)
logaddexp2 = elementwise(
    "logaddexp2",
    lambda input, other: E.where(
        input == other, input + 1.0, E.maximum(input, other) + (1.0 / LN2) * E.log1p(E.exp2(-E.abs(input - other)))
    ),
    {
        "input": lambda g, input, other, out: E.where(out == -INF, 0.0, g * E.sigmoid(LN2 * (input - other))),
        "other": lambda g, input, other, out: E.where(out == -INF, 0.0, g * E.sigmoid(LN2 * (other - input))),
    },
    dtype="float",
    samples=binary(0.1, 2.0),
    reference=np.logaddexp2,
    edge_points=[EdgePoint((1.0, 1.0), (0.5, 0.5)), EdgePoint((-INF, -INF), (0.0, 0.0)), EdgePoint((-INF, 0.0), (0.0, 1.0))],
    kinds="if",
)
xlogy = elementwise(
    "xlogy",
    lambda input, other: E.where((input == 0.0) & (other == other), 0.0, input * E.log(other)),
    {
        "input": lambda g, input, other: E.where((input == 0.0) & (other <= 0.0), 0.0, g * E.log(other)),
        "other": lambda g, input, other: E.where((input == 0.0) & (other == other), 0.0, g * (input / other)),
    },
    dtype="float",
    samples=binary(0.5, 3.0),
    reference="scipy.special.xlogy",
    edge_points=[EdgePoint((0.0, 0.0), (0.0, 0.0)), EdgePoint((0.0, -1.0), (0.0, 0.0)), EdgePoint((2.0, 0.0), (-INF, INF))],
    kinds="bif",
)

accept("bif", "xlogy")


@composite(
    samples=[Sample((Input((3, 4), 0.5, 2.0), Input((4,)))), Sample((Input((3,), 0.5, 2.0),), {"exponent": 3})],
    reference=lambda x, exponent: np.asarray(x, np.float64) ** exponent,
)
def float_power(input: Any, exponent: Any) -> Any:
    """``input ** exponent`` computed in float64, or complex128."""
    wide = dtypes.complex128 if dtypes.result_type(input, exponent).is_complex else dtypes.float64
    return pow(*[to_dtype(x, wide) if isinstance(x, Tensor) else x for x in (input, exponent)])


@method
def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """The power in place, of a float64 or complex128 tensor; returns the tensor."""
    if self.dtype not in (dtypes.float64, dtypes.complex128):
        raise RuntimeError(f"float_power_: the result is of dtype float64 or complex128 and can't be written into {self.dtype}")
    return inplace.elementwise_(elementwise_op("pow"), self, exponent)
