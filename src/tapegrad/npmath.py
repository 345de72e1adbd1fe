"""The elementary functions that NumPy lacks, on arrays: a second opinion for tests, never the library's kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np


def _vectorized(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of doubles on arrays, one element after the other, in the floating dtype of the last operand."""
    loop = np.vectorize(function, otypes=[np.float64])

    def apply(*operands: Any) -> Any:
        x = np.asarray(operands[-1])
        with np.errstate(all="ignore"):
            out = loop(*[np.asarray(o, np.float64) for o in operands]) if x.size else x
        return out.astype(x.dtype if x.dtype.kind == "f" else np.float64)

    return apply


def _lgamma(x: float) -> float:
    return math.inf if x == -math.inf or (x <= 0 and x == math.floor(x)) else math.lgamma(x)


@functools.cache
def _on_numpy() -> dict[str, Callable[..., Any]]:
    """The special functions of kernels, run by Python with NumPy's exp, log, ..., which give inf and NaN where Python's raise."""
    from .kernels import scalar_bodies, special  # here, since only tests come here

    words = {name: getattr(np, name) for name in ("exp", "log", "log1p", "sin", "cos", "tan", "sqrt", "floor")}
    found = scalar_bodies.bound(special, lambda function: function, words)
    return {name: _vectorized(function) for name, function in found.items() if not name.startswith("_")}


def _special(name: str) -> Callable[..., Any]:
    return lambda *operands: _on_numpy()[name](*operands)


erf, erfc, lgamma = _vectorized(math.erf), _vectorized(math.erfc), _vectorized(_lgamma)
erfcx, erfinv, ndtr, ndtri = _special("erfcx"), _special("erfinv"), _special("ndtr"), _special("ndtri")
log_ndtr, log_ndtr_slope, logit = _special("log_ndtr"), _special("log_ndtr_slope"), _special("logit")
gelu_gate = _special("gelu_gate")
digamma, polygamma, sinc, spherical_j1 = _special("digamma"), _special("polygamma"), _special("sinc"), _special("spherical_j1")
i0, i0e, i1, i1e = _special("i0"), _special("i0e"), _special("i1"), _special("i1e")


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x)))


def sign(x: Any) -> Any:
    """-1, 0 or 1; of NaN 0."""
    x = np.asarray(x)
    return np.where(x > 0, 1, np.where(x < 0, -1, 0)).astype(x.dtype)


def trunc_divide(a: Any, b: Any) -> Any:
    """The quotient rounded toward 0; integers stay integers."""
    return np.trunc(np.true_divide(a, b)) if np.result_type(a, b).kind == "f" else np.floor_divide(a - np.fmod(a, b), b)


def left_shift(a: Any, b: Any) -> Any:
    """``a << b``, and 0 where b is outside of [0, bits)."""
    a, b = np.broadcast_arrays(a, b)
    known = (b >= 0) & (b < a.dtype.itemsize * 8)
    return np.where(known, np.left_shift(a, np.where(known, b, 0)), 0)


def right_shift(a: Any, b: Any) -> Any:
    """``a >> b``, and only copies of the sign bit (of unsigned integers 0) where b is outside of [0, bits)."""
    a, b = np.broadcast_arrays(a, b)
    bits = a.dtype.itemsize * 8
    known = (b >= 0) & (b < bits)
    shifted = np.right_shift(a, np.where(known, b, bits - 1))
    return shifted if a.dtype.kind == "i" else np.where(known, shifted, 0)
