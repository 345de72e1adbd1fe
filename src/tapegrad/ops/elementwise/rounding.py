"""Rounding, parts and signs of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes, inplace
from ...primitives import E
from ...public import METHODS, composite, method, public
from ...registry import REGISTRY, as_tensor_input
from ...samples import EdgePoint, ErrorInput, Input, Sample, binary, few
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor
from ..checks import accept

INF, NAN = math.inf, math.nan

__all__ = ["ceil", "copysign", "deg2rad", "floor", "frac", "heaviside", "nan_to_num", "positive", "rad2deg", "round", "signbit", "trunc"]

# Steps: the gradient is 0 everywhere, also at a jump.
floor = elementwise("floor", lambda input: E.floor(input), {"input": lambda g: 0.0}, samples=few(-1.9, 1.85, apart=True), reference=np.floor, kinds="if")  # fmt: skip
ceil = elementwise("ceil", lambda input: E.ceil(input), {"input": lambda g: 0.0}, samples=few(-1.9, 1.85, apart=True), reference=np.ceil, kinds="if")  # fmt: skip
trunc = elementwise("trunc", lambda input: E.trunc(input), {"input": lambda g: 0.0}, samples=few(-1.9, 1.85, apart=True), reference=np.trunc, kinds="if")  # fmt: skip
_round = elementwise("round", lambda input: E.rint(input), {"input": lambda g: 0.0}, samples=few(apart=True), reference=np.rint, kinds="if")  # fmt: skip
frac = elementwise("frac", lambda input: input - E.trunc(input), {"input": lambda g: g}, samples=few(-1.9, 1.85, apart=True), reference=lambda x: np.fmod(x, 1), kinds="f")  # fmt: skip
signbit = elementwise("signbit", lambda input: E.signbit(input), samples=few(), reference=np.signbit, kinds="if")
heaviside = elementwise(
    "heaviside",
    lambda input, values: E.where(input == 0, values, E.where(input > 0, 1, 0)),  # of NaN 0, as in PyTorch
    {},
    samples=binary(apart=True),
    reference=np.heaviside,
    kinds="f",
)
copysign = elementwise(
    "copysign",
    lambda input, other: E.copysign(input, other),
    {
        "input": lambda g, input, other: E.where(input == 0.0, 0.0, E.where(E.signbit(input) == E.signbit(other), g, -g)),
        "other": lambda g: 0.0,
    },
    dtype="float",
    samples=binary(apart=True),
    reference=np.copysign,
    edge_points=[EdgePoint((0.0, 1.0), (0.0, 0.0)), EdgePoint((-2.0, -1.0), (1.0, 0.0))],
    kinds="bif",
)
deg2rad = elementwise("deg2rad", lambda input: input * (math.pi / 180.0), dtype="float", samples=few(-90.0, 90.0), reference=np.deg2rad, kinds="bif")  # fmt: skip
rad2deg = elementwise("rad2deg", lambda input: input * (180.0 / math.pi), dtype="float", samples=few(), reference=np.rad2deg, kinds="bif")
_REPLACED = {"nan": 1.0, "posinf": 2.0, "neginf": -2.0}
_nan_to_num = elementwise(
    "nan_to_num",
    lambda input, nan, posinf, neginf: E.where(
        input != input, nan, E.where(input == INF, posinf, E.where(input == -INF, neginf, input))
    ),
    {"input": lambda g, input: E.where(E.isfinite(input), g, 0.0)},
    method=False,
    samples=[Sample((Input(shape),), _REPLACED) for shape in ((3, 4), ())],
    reference=lambda x, nan, posinf, neginf: np.nan_to_num(x, True, nan, posinf, neginf),
    edge_points=[EdgePoint((x,), (0.0,), _REPLACED) for x in (NAN, INF, -INF)],
    kinds="f",
)


accept("f", "frac", instead="the fraction of whole numbers is 0")
accept("bif", "deg2rad", "rad2deg", "nan_to_num")


@public(
    "round",
    samples=[Sample((Input((3, 4), apart=True),)), *(Sample((Input((3, 4), -2.0, 2.0),), {"decimals": d}) for d in (1, 3, -1))],
    reference=lambda x, decimals=0: np.round(x, decimals),
    smooth=False,
    error_inputs=[ErrorInput(lambda tg: tg.tensor([1]).round(decimals=1), RuntimeError, "round: decimals needs a floating-point tensor")],
)
def round(input: Any, *, decimals: int = 0) -> Any:
    """Round to the nearest whole number, or number with so many ``decimals`` (negative: powers of ten); halves to even.

    Raises:
        RuntimeError: for integers with ``decimals``.
    """
    if decimals == 0:
        return _round(input)
    if as_tensor_input(input, "round", "input").dtype.category < 2:
        raise RuntimeError(f"round: decimals needs a floating-point tensor, got {input.dtype}")
    scale = 10.0 ** abs(decimals)
    return _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale


@method
def round_(self: Tensor, *, decimals: int = 0) -> Tensor:
    """Round in place; returns the tensor."""
    if decimals == 0:
        return inplace.elementwise_(elementwise_op("round"), self)
    return self.copy_(round(self, decimals=decimals))  # type: ignore[no-any-return]


@public(
    "nan_to_num",
    samples=[Sample((Input((3, 4)),)), Sample((Input((4,)),), _REPLACED)],
    reference=lambda x, **bounds: x,
)
def nan_to_num(input: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Replace NaN by ``nan``, infinities by ``posinf`` and ``neginf``: by default the dtype's largest and smallest numbers."""
    dtype = as_tensor_input(input, "nan_to_num", "input").dtype
    if dtype.category < 2:
        return REGISTRY["clone"].call(input)
    return _nan_to_num(input, *_replacements(dtype, nan, posinf, neginf))


METHODS["nan_to_num"] = nan_to_num


@method
def nan_to_num_(self: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Replace NaN and infinities in place; returns the tensor."""
    if self.dtype.category < 2:
        return self
    return inplace.elementwise_(elementwise_op("nan_to_num"), self, *_replacements(self.dtype, nan, posinf, neginf))


def _replacements(dtype: dtypes.dtype, nan: float | None, posinf: float | None, neginf: float | None) -> tuple[float, float, float]:
    limits = dtypes.finfo(dtype)
    return (
        0.0 if nan is None else float(nan),
        limits.max if posinf is None else float(posinf),
        limits.min if neginf is None else float(neginf),
    )


@composite(
    samples=[Sample((Input((3, 4)),))],
    reference=np.positive,
    error_inputs=[ErrorInput(lambda tg: +tg.tensor([True]), RuntimeError, "positive: .* not defined for bool")],
    kinds="ifc",
)
def positive(input: Any) -> Any:
    """The tensor itself, as ``+x``.

    Raises:
        RuntimeError: for bools.
    """
    if as_tensor_input(input, "positive", "input").dtype is dtypes.bool_:
        raise RuntimeError("positive: + is not defined for bool tensors")
    return input
