"""Special functions. ``tapegrad`` has those that PyTorch has at its top level; ``tapegrad.special`` has all.

The functions and the sources of their formulas are in ``kernels/special.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import inplace
from ...primitives import E
from ...public import METHODS, method, public
from ...samples import EdgePoint, ErrorInput, Input, Sample, binary, few
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor
from .basic import clamp

INF, NAN = math.inf, math.nan

__all__ = ["digamma", "erfc", "erfinv", "i0", "lgamma", "logit", "polygamma", "sinc"]
SPECIAL = ["entr", "erfcx", "i0e", "i1", "i1e", "log_ndtr", "ndtr", "ndtri", "xlog1py"]

# ------------------------------------------------------------------------------------------ error function, normal distribution

erfc = elementwise("erfc", lambda input: E.erfc(input), dtype="float", samples=few(), reference="scipy.special.erfc", kinds="bif")
erfcx = elementwise("erfcx", lambda input: E.erfcx(input), {"input": lambda g, input, out: g * (2.0 * input * out - 2.0 / math.sqrt(math.pi))}, dtype="float", method=False, offered=True, samples=few(), reference="scipy.special.erfcx", kinds="bif")  # fmt: skip
erfinv = elementwise("erfinv", lambda input: E.erfinv(input), {"input": lambda g, out: g * (0.5 * math.sqrt(math.pi) * E.exp(out * out))}, dtype="float", samples=few(-0.9, 0.9), reference="scipy.special.erfinv", kinds="bif")  # fmt: skip
ndtr = elementwise("ndtr", lambda input: E.ndtr(input), dtype="float", method=False, offered=True, samples=few(), reference="scipy.special.ndtr", kinds="bif")  # fmt: skip
ndtri = elementwise("ndtri", lambda input: E.ndtri(input), {"input": lambda g, out: g * (math.sqrt(2.0 * math.pi) * E.exp(0.5 * out * out))}, dtype="float", method=False, offered=True, samples=few(0.05, 0.45), reference="scipy.special.ndtri", kinds="bif")  # fmt: skip
log_ndtr = elementwise("log_ndtr", lambda input: E.log_ndtr(input), dtype="float", method=False, offered=True, samples=few(), reference="scipy.special.log_ndtr", kinds="bif")  # fmt: skip

# ------------------------------------------------------------------------------------------------------------ gamma function

lgamma = elementwise("lgamma", lambda input: E.lgamma(input), dtype="float", samples=few(2.2, 4.0), reference="scipy.special.gammaln", kinds="bif", edge_points=[EdgePoint((0.0,), (-INF,)), EdgePoint((-1.0,), (NAN,))])  # fmt: skip
digamma = elementwise("digamma", lambda input: E.digamma(input), dtype="float", samples=few(2.0, 4.0), reference="scipy.special.digamma", kinds="bif", edge_points=[EdgePoint((0.0,), (INF,))])  # fmt: skip
_polygamma = elementwise(
    "polygamma",
    lambda n, input: E.polygamma(n, input),
    {"input": lambda g, n, input: g * E.polygamma(n + 1.0, input)},
    dtype="float",
    method=False,
    samples=[Sample((Input(n, 0, 4, kind="int"), Input(x, 2.0, 4.0))) for n, x in (((), (3, 4)), ((3, 1), (4,)))],
    reference="scipy.special.polygamma",
    kinds="f",
)

# ------------------------------------------------------------------------------------------------------------ Bessel functions

i0 = elementwise("i0", lambda input: E.i0(input), dtype="float", samples=few(), reference="scipy.special.i0", kinds="bif")
i0e = elementwise("i0e", lambda input: E.i0e(input), {"input": lambda g, input, out: g * (E.i1e(input) - E.sign(input) * out)}, dtype="float", method=False, offered=True, samples=few(apart=True), reference="scipy.special.i0e", kinds="bif", edge_points=[EdgePoint((0.0,), (0.0,))])  # fmt: skip
i1 = elementwise("i1", lambda input: E.i1(input), dtype="float", method=False, offered=True, samples=few(apart=True), reference="scipy.special.i1", kinds="bif", edge_points=[EdgePoint((0.0,), (0.5,))])  # fmt: skip
i1e = elementwise("i1e", lambda input: E.i1e(input), dtype="float", method=False, offered=True, samples=few(apart=True), reference="scipy.special.i1e", kinds="bif", edge_points=[EdgePoint((0.0,), (0.5,))])  # fmt: skip

# --------------------------------------------------------------------------------------------------------------------- others

sinc = elementwise("sinc", lambda input: E.sinc(input), dtype="float", samples=few(), reference=lambda x: np.where(x == np.round(x), x == 0, np.sinc(x)), kinds="bif", edge_points=[EdgePoint((0.0,), (0.0,))])  # fmt: skip
entr = elementwise(
    "entr",
    lambda input: E.where(input > 0.0, -input * E.log(input), E.where(input == 0.0, 0.0, E.where(input < 0.0, -INF, input))),
    {"input": lambda g, input: g * (-1.0 - E.log(input))},
    dtype="float",
    method=False,
    offered=True,
    samples=few(0.1, 0.9),
    reference="scipy.special.entr",
    edge_points=[EdgePoint((0.0,), (INF,)), EdgePoint((-1.0,), (NAN,))],
    kinds="bif",
)
xlog1py = elementwise(
    "xlog1py",
    lambda input, other: E.where((input == 0.0) & (other == other), 0.0, input * E.log1p(other)),
    {
        "input": lambda g, input, other: E.where((input == 0.0) & (other <= -1.0), 0.0, g * E.log1p(other)),
        "other": lambda g, input, other: E.where((input == 0.0) & (other == other), 0.0, g * (input / (other + 1.0))),
    },
    dtype="float",
    method=False,
    offered=True,
    samples=binary(0.5, 3.0),
    reference="scipy.special.xlog1py",
    edge_points=[EdgePoint((0.0, -1.0), (0.0, 0.0)), EdgePoint((0.0, -2.0), (0.0, 0.0)), EdgePoint((2.0, -1.0), (-INF, INF))],
    kinds="bif",
)
_logit = elementwise(
    "logit",
    lambda input: E.logit(input),
    {"input": lambda g, input: g / (input * (1.0 - input))},
    dtype="float",
    samples=few(0.1, 0.9),
    reference="scipy.special.logit",
    edge_points=[EdgePoint((0.0,), (INF,)), EdgePoint((1.0,), (INF,))],
    kinds="bif",
)


@public(
    "logit",
    samples=[Sample((Input((3, 4), 0.05, 0.95),)), Sample((Input((3, 4), 0.05, 0.95),), {"eps": 0.01})],
    reference=lambda x, eps=0.0: np.log(np.clip(x, eps, 1 - eps)) - np.log1p(-np.clip(x, eps, 1 - eps)),
)
def logit(input: Any, eps: float | None = None) -> Any:
    """log(x / (1 - x)), of values first limited to [eps, 1 - eps] when ``eps`` is given; NaN outside of [0, 1]."""
    return _logit(input if eps is None else clamp(input, eps, 1.0 - eps))


@method
def logit_(self: Tensor, eps: float | None = None) -> Tensor:
    """The logit in place; returns the tensor."""
    if eps is not None:
        self.clamp_(eps, 1.0 - eps)
    return inplace.elementwise_(elementwise_op("logit"), self)


@public(
    "polygamma",
    samples=[Sample((Input((3, 4), 0.5, 3.0),), {"n": n}, names=("input",)) for n in (0, 1, 3)],
    error_inputs=[ErrorInput(lambda tg: tg.polygamma(-1, tg.ones(2)), RuntimeError, "polygamma: n must be a whole number that is not negative")],
)
def polygamma(n: int, input: Any) -> Any:
    """The n-th derivative of digamma.

    Raises:
        RuntimeError: when n is negative or not whole.
    """
    if not isinstance(n, int) or n < 0:
        raise RuntimeError(f"polygamma: n must be a whole number that is not negative, got {n!r}")
    return _polygamma(n, input)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return polygamma(n, self)  # type: ignore[no-any-return]


def _polygamma_in_place(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma in place; returns the tensor."""
    if not self.dtype.is_floating_point:
        raise RuntimeError(f"polygamma_: the result is floating-point, it can't be written into a tensor of dtype {self.dtype}")
    return self.copy_(polygamma(n, self))  # type: ignore[no-any-return]


METHODS["polygamma"], METHODS["polygamma_"] = _polygamma_method, _polygamma_in_place
