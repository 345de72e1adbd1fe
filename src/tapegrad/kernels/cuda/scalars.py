"""The functions of one element that bodies of elementwise kernels call by the names ``expr`` gives them."""

from __future__ import annotations

import functools
import math
from typing import Any

from . import language as L
from .language import device

_FLOATS = (
    "exp exp2 expm1 log log1p log2 log10 sqrt sin cos tan asin acos atan atan2 hypot sinh cosh tanh asinh acosh atanh floor ceil trunc rint "
    "copysign fmod erf erfc lgamma"
).split()


@functools.cache
def functions(compute: str) -> dict[str, Any]:
    """The namespace of a kernel that computes in the dtype called ``compute``: functions, the constructor T and constants."""
    scope: dict[str, Any] = {"T": getattr(L, "boolean" if compute == "bool" else compute), "INF": math.inf, "NAN": math.nan, "abs": abs}
    scope |= {"maximum": _maximum, "minimum": _minimum, "sign": _sign, "pow": _pow, "conj": _identity}
    if compute == "bool" or "int" in compute:
        return scope | {"fmax": _maximum, "fmin": _minimum}
    scope |= {name: getattr(L, name) for name in _FLOATS}
    return scope | {
        "isinf": _isinf, "isfinite": _isfinite, "signbit": _signbit, "fmax": _fmax, "fmin": _fmin, "sigmoid": _sigmoid, "ndtr": _ndtr,
        "gelu_gate": _ndtr,
    }  # fmt: skip


@device
def _identity(x):  # type: ignore[no-untyped-def]
    return x


@device
def _maximum(a, b):  # type: ignore[no-untyped-def]
    # not (a < b) keeps a NaN in a; b != b takes one in b
    return b if (a < b) | (b != b) else a


@device
def _minimum(a, b):  # type: ignore[no-untyped-def]
    return b if (a > b) | (b != b) else a


@device
def _sign(x):  # type: ignore[no-untyped-def]
    return type(x)(1) if x > 0 else (type(x)(-1) if x < 0 else type(x)(0))


@device
def _pow(a, b):  # type: ignore[no-untyped-def]
    return a**b


@device
def _fmax(a, b):  # type: ignore[no-untyped-def]
    return a if (a >= b) | (b != b) else b


@device
def _fmin(a, b):  # type: ignore[no-untyped-def]
    return a if (a <= b) | (b != b) else b


@device
def _isfinite(x):  # type: ignore[no-untyped-def]
    return x - x == 0


@device
def _isinf(x):  # type: ignore[no-untyped-def]
    return (x == x) & (x - x != 0)


@device
def _signbit(x):  # type: ignore[no-untyped-def]
    return L.copysign(type(x)(1), x) < 0


@device
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return type(x)(1) / (type(x)(1) + L.exp(-x))


@device
def _ndtr(x):  # type: ignore[no-untyped-def]
    return type(x)(0.5) * L.erfc(-x * type(x)(0.7071067811865476))
