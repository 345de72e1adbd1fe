"""Elementwise ops: one expression and its derivative each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes, npmath
from ...primitives import E
from ...public import composite, public
from ...samples import EdgePoint, ErrorInput, Input, Sample, binary, unary
from ...scalarops import elementwise
from ...tensor import Tensor
from ..checks import need_fit, need_fitting
from .division import div as div

INF, NAN = math.inf, math.nan

# ------------------------------------------------------------------------------------------------------------ arithmetic

_add = elementwise(
    "add",
    lambda input, other: input + other,
    {"input": lambda g: g, "other": lambda g: g},
    samples=binary(),
    reference=np.add,
)

__all__ = [
    "abs",
    "add",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "eq",
    "erf",
    "exp",
    "expm1",
    "ge",
    "gt",
    "isnan",
    "le",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "lt",
    "maximum",
    "minimum",
    "mul",
    "ne",
    "neg",
    "pow",
    "reciprocal",
    "sigmoid",
    "sign",
    "sin",
    "sqrt",
    "square",
    "sub",
    "tanh",
    "where",
]

_sub = elementwise(
    "sub",
    lambda input, other: input - other,
    {"input": lambda g: g, "other": lambda g: -g},
    samples=binary(),
    reference=np.subtract,
    kinds="ifc",
)
mul = elementwise(
    "mul",
    lambda input, other: input * other,
    {"input": lambda g, other: g * E.conj(other), "other": lambda g, input: g * E.conj(input)},
    samples=binary(),
    reference=np.multiply,
)
neg = elementwise("neg", lambda input: -input, {"input": lambda g: -g}, samples=unary(), reference=np.negative, kinds="ifc")
pow = elementwise(
    "pow",
    lambda input, exponent: E.pow(input, exponent),
    {
        "input": lambda g, input, exponent: E.where(
            exponent == 0.0, 0.0, g * E.conj(exponent * E.pow(input, exponent - 1.0))
        ),
        "exponent": lambda g, input, exponent, out: E.where(
            (input == 0.0) & (exponent >= 0.0), 0.0, g * (out * E.log(input))
        ),
    },
    samples=binary(0.5, 2.0),
    reference=np.power,
    edge_points=[
        EdgePoint((0.0, 0.0), (0.0, 0.0)),
        EdgePoint((-2.0, 3.0), (12.0, NAN)),
        EdgePoint((0.0, 2.0), (0.0, 0.0)),
    ],
)
square = elementwise("square", lambda input: input * input, samples=unary(), reference=np.square)
reciprocal = elementwise(
    "reciprocal",
    lambda input: 1.0 / input,
    {"input": lambda g, out: -g * E.conj(out * out)},
    dtype="float",
    samples=unary(0.5, 2.0),
    reference=np.reciprocal,
)
abs = elementwise(
    "abs",
    lambda input: E.abs(input),
    {"input": lambda g, input: g * E.sign(input)},
    samples=unary(apart=True),
    reference=np.abs,
    edge_points=[EdgePoint((0.0,), (0.0,))],
    kinds="bif",
)
sign = elementwise(
    "sign",
    lambda input: E.sign(input),
    {"input": lambda g: g * 0.0},
    samples=unary(apart=True),
    reference=np.sign,
    edge_points=[EdgePoint((0.0,), (0.0,))],
    kinds="if",
)

# --------------------------------------------------------------------------------------------------------- transcendental

exp = elementwise("exp", lambda input: E.exp(input), {"input": lambda g, out: g * E.conj(out)}, dtype="float", samples=unary(), reference=np.exp)  # fmt: skip
log = elementwise("log", lambda input: E.log(input), {"input": lambda g, input: g / E.conj(input)}, dtype="float", samples=unary(0.5, 3.0), reference=np.log)  # fmt: skip
log1p = elementwise("log1p", lambda input: E.log1p(input), {"input": lambda g, input: g / (input + 1.0)}, dtype="float", samples=unary(-0.5, 3.0), reference=np.log1p, kinds="bif")  # fmt: skip
expm1 = elementwise("expm1", lambda input: E.expm1(input), {"input": lambda g, out: g * (out + 1.0)}, dtype="float", samples=unary(), reference=np.expm1, kinds="bif")  # fmt: skip
sqrt = elementwise(
    "sqrt",
    lambda input: E.sqrt(input),
    {"input": lambda g, out: g / E.conj(2.0 * out)},
    dtype="float",
    samples=unary(0.5, 3.0),
    reference=np.sqrt,
    edge_points=[EdgePoint((0.0,), (INF,))],
)
sin = elementwise("sin", lambda input: E.sin(input), {"input": lambda g, input: g * E.conj(E.cos(input))}, dtype="float", samples=unary(), reference=np.sin)  # fmt: skip
cos = elementwise("cos", lambda input: E.cos(input), {"input": lambda g, input: -g * E.conj(E.sin(input))}, dtype="float", samples=unary(), reference=np.cos)  # fmt: skip
tanh = elementwise("tanh", lambda input: E.tanh(input), {"input": lambda g, out: g * E.conj(1.0 - out * out)}, dtype="float", samples=unary(), reference=np.tanh)  # fmt: skip
sigmoid = elementwise("sigmoid", lambda input: E.sigmoid(input), {"input": lambda g, out: g * (out * (1.0 - out))}, dtype="float", samples=unary(), reference=npmath.sigmoid, kinds="bif")  # fmt: skip
erf = elementwise("erf", lambda input: E.erf(input), dtype="float", samples=unary(), reference=npmath.erf, kinds="bif")
conj = elementwise("conj", lambda input: E.conj(input), {"input": lambda g: E.conj(g)}, samples=unary(), reference=np.conj)

# --------------------------------------------------------------------------------------------------- bounds and choices

maximum = elementwise(
    "maximum",
    lambda input, other: E.maximum(input, other),
    {
        "input": lambda g, input, other: g * E.half_on_tie(input, other),
        "other": lambda g, input, other: g * E.half_on_tie(other, input),
    },
    samples=binary(apart=True),
    reference=np.maximum,
    edge_points=[EdgePoint((1.0, 1.0), (0.5, 0.5))],
    kinds="bif",
)
minimum = elementwise(
    "minimum",
    lambda input, other: E.minimum(input, other),
    {
        "input": lambda g, input, other: g * E.half_on_tie(other, input),
        "other": lambda g, input, other: g * E.half_on_tie(input, other),
    },
    samples=binary(apart=True),
    reference=np.minimum,
    edge_points=[EdgePoint((1.0, 1.0), (0.5, 0.5))],
    kinds="bif",
)
clamp_min = elementwise(
    "clamp_min",
    lambda input, min: E.maximum(input, min),
    {"input": lambda g, input, min: E.where(input >= min, g, 0.0), "min": lambda g, input, min: E.where(input < min, g, 0.0)},
    samples=binary(apart=True),
    reference=np.maximum,
    edge_points=[EdgePoint((1.0, 1.0), (1.0, 0.0))],
    kinds="bif",
)
clamp_max = elementwise(
    "clamp_max",
    lambda input, max: E.minimum(input, max),
    {"input": lambda g, input, max: E.where(input <= max, g, 0.0), "max": lambda g, input, max: E.where(input > max, g, 0.0)},
    samples=binary(apart=True),
    reference=np.minimum,
    edge_points=[EdgePoint((1.0, 1.0), (1.0, 0.0))],
    kinds="bif",
)
_where = elementwise(
    "where",
    lambda condition, input, other: E.where(condition, input, other),
    {
        "input": lambda g, condition: E.where(condition, g, 0.0),
        "other": lambda g, condition: E.where(condition, 0.0, g),
    },
    booleans=("condition",),
    method=False,
    samples=[
        Sample((Input(c, kind="bool"), Input(a), Input(b)))
        for c, a, b in [((3, 4), (3, 4), (3, 4)), ((4,), (3, 1), (3, 4)), ((3, 4), (), (4,)), ((), (), ()), ((0, 3), (3,), ())]
    ],
    reference=np.where,
)

# ------------------------------------------------------------------------------------------------------------ comparison

eq = elementwise("eq", lambda input, other: input == other, samples=binary(), reference=np.equal)
ne = elementwise("ne", lambda input, other: input != other, samples=binary(), reference=np.not_equal)
lt = elementwise("lt", lambda input, other: input < other, samples=binary(), reference=np.less, kinds="bif")
le = elementwise("le", lambda input, other: input <= other, samples=binary(), reference=np.less_equal, kinds="bif")
gt = elementwise("gt", lambda input, other: input > other, samples=binary(), reference=np.greater, kinds="bif")
ge = elementwise("ge", lambda input, other: input >= other, samples=binary(), reference=np.greater_equal, kinds="bif")
logical_not = elementwise("logical_not", lambda input: ~(input != 0), samples=unary(), reference=np.logical_not)
logical_and = elementwise("logical_and", lambda input, other: (input != 0) & (other != 0), samples=binary(), reference=np.logical_and)
logical_or = elementwise("logical_or", lambda input, other: (input != 0) | (other != 0), samples=binary(), reference=np.logical_or)
isnan = elementwise("isnan", lambda input: input != input, samples=unary(), reference=np.isnan)

for _name, *_positions in (("clamp_min", 1), ("clamp_max", 1), ("where", 1, 2)):
    need_fitting(_name, *_positions)  # type: ignore[arg-type]

# ------------------------------------------------------------------------------------------------------ public functions


_SCALED = [Sample((Input((3, 4)), Input((4,))), {"alpha": 3})]


def scaled(name: str, input: Any, other: Any, alpha: Any) -> Any:
    """``alpha * other``, to be added to ``input``.

    Raises:
        RuntimeError: when the operands are integers and ``alpha`` is not, or does not fit.
    """
    if not isinstance(other, Tensor) or not other.dtype.differentiable:
        found = dtypes.result_type(input, other)
        if found.category < 2 and isinstance(alpha, (float, complex)):
            raise RuntimeError(f"{name}: alpha={alpha} must be an integer for tensors of dtype {found}; convert them with .float()")
        if isinstance(other, (bool, int, float, complex)):
            return alpha * other
        need_fit(name, alpha, found.numpy)
    return mul(other, alpha)


@public("add", samples=[*binary(), *_SCALED], reference=lambda x, y, alpha=1: x + alpha * y, kinds="bifc")
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input + alpha * other``, elementwise with broadcasting."""
    return _add(input, other if alpha == 1 else scaled("add", input, other, alpha))


@public("sub", samples=[*binary(), *_SCALED], reference=lambda x, y, alpha=1: x - alpha * y, kinds="ifc")
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input - alpha * other``, elementwise with broadcasting.

    Raises:
        RuntimeError: for two bool tensors; use ``^`` or ``logical_xor``.
    """
    return _sub(input, other if alpha == 1 else scaled("sub", input, other, alpha))


@public("where")
def where(condition: Any, input: Any, other: Any) -> Any:
    """``input`` where the bool tensor ``condition`` holds, else ``other``; all three broadcast.

    Raises:
        TypeError: when the condition is no tensor.
        RuntimeError: when it is not bool.
    """
    if not isinstance(condition, (Tensor, np.ndarray)):
        raise TypeError(f"where(): argument 'condition' must be a bool Tensor, not {type(condition).__name__}")
    if condition.dtype is dtypes.uint8:  # the masks of old scripts
        condition = ne(condition, 0)
    elif condition.dtype not in (dtypes.bool_, np.bool_):
        raise RuntimeError(f"where: the condition needs dtype bool, got {condition.dtype}; compare it (condition != 0) or use .bool()")
    return _where(condition, input, other)


@composite(
    samples=[
        Sample((Input((3, 4), apart=True),), {"min": -0.75, "max": 0.75}),
        Sample((Input((3, 4), apart=True),), {"min": 0.05}),
        Sample((Input((3, 4), apart=True), Input((4,), -1.0, -0.5), Input((3, 1), 0.5, 1.0))),
    ],
    reference=lambda x, min=-np.inf, max=np.inf: np.clip(x, min, max),
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).clamp(), RuntimeError, "clamp: at least one of min and max")],
    kinds="if",
)
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Limit values to [min, max]; either bound may be left out, a number or a tensor. The gradient at a bound is 1.

    Raises:
        RuntimeError: when both bounds are None.
    """
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of min and max must be given")
    if min is not None:
        input = clamp_min(input, min)
    return input if max is None else clamp_max(input, max)
