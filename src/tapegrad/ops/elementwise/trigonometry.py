"""Trigonometric and hyperbolic functions and their inverses."""

from __future__ import annotations

import numpy as np

from ...primitives import E
from ...samples import EdgePoint, binary, few
from ...scalarops import elementwise

__all__ = ["acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cosh", "hypot", "sinh", "tan"]

tan = elementwise("tan", lambda input: E.tan(input), {"input": lambda g, out: g * E.conj(1.0 + out * out)}, dtype="float", samples=few(-1.5, 1.5), reference=np.tan)  # fmt: skip
asin = elementwise("asin", lambda input: E.asin(input), {"input": lambda g, input: g / E.conj(E.sqrt(1.0 - input * input))}, dtype="float", samples=few(-0.9, 0.9), reference=np.arcsin)  # fmt: skip
acos = elementwise("acos", lambda input: E.acos(input), {"input": lambda g, input: -g / E.conj(E.sqrt(1.0 - input * input))}, dtype="float", samples=few(-0.9, 0.9), reference=np.arccos)  # fmt: skip
atan = elementwise("atan", lambda input: E.atan(input), {"input": lambda g, input: g / E.conj(1.0 + input * input)}, dtype="float", samples=few(), reference=np.arctan)  # fmt: skip
sinh = elementwise("sinh", lambda input: E.sinh(input), {"input": lambda g, input: g * E.conj(E.cosh(input))}, dtype="float", samples=few(), reference=np.sinh)  # fmt: skip
cosh = elementwise("cosh", lambda input: E.cosh(input), {"input": lambda g, input: g * E.conj(E.sinh(input))}, dtype="float", samples=few(), reference=np.cosh)  # fmt: skip
asinh = elementwise("asinh", lambda input: E.asinh(input), {"input": lambda g, input: g / E.conj(E.sqrt(input * input + 1.0))}, dtype="float", samples=few(), reference=np.arcsinh)  # fmt: skip
acosh = elementwise("acosh", lambda input: E.acosh(input), {"input": lambda g, input: g / E.conj(E.sqrt(input - 1.0) * E.sqrt(input + 1.0))}, dtype="float", samples=few(1.2, 3.0), reference=np.arccosh)  # fmt: skip
atanh = elementwise("atanh", lambda input: E.atanh(input), {"input": lambda g, input: g / E.conj(1.0 - input * input)}, dtype="float", samples=few(-0.9, 0.9), reference=np.arctanh)  # fmt: skip
atan2 = elementwise(
    "atan2",
    lambda input, other: E.atan2(input, other),
    {
        "input": lambda g, input, other: E.where(E.hypot(input, other) == 0.0, 0.0, g * (other / E.hypot(input, other)) / E.hypot(input, other)),
        "other": lambda g, input, other: E.where(E.hypot(input, other) == 0.0, 0.0, -g * (input / E.hypot(input, other)) / E.hypot(input, other)),
    },
    dtype="float",
    samples=binary(apart=True),
    reference=np.arctan2,
    edge_points=[EdgePoint((0.0, 0.0), (0.0, 0.0)), EdgePoint((0.0, 2.0), (0.5, 0.0))],
    kinds="bif",
)
hypot = elementwise(
    "hypot",
    lambda input, other: E.hypot(input, other),
    {
        "input": lambda g, input, out: E.where(out == 0.0, 0.0, g * (input / out)),
        "other": lambda g, other, out: E.where(out == 0.0, 0.0, g * (other / out)),
    },
    dtype="float",
    samples=binary(apart=True),
    reference=np.hypot,
    edge_points=[EdgePoint((0.0, 0.0), (0.0, 0.0)), EdgePoint((3.0, 4.0), (0.6, 0.8))],
    kinds="bif",
)
