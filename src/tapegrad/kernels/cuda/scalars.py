"""The functions of one element that bodies of elementwise kernels call by the names ``expr`` gives them."""

from __future__ import annotations

import functools
import math
from typing import Any

from .. import scalar_bodies, special
from . import language as L
from .language import device, float32, float64

_FLOATS = (
    "exp exp2 expm1 log log1p log2 log10 sqrt sin cos tan asin acos atan atan2 hypot sinh cosh tanh asinh acosh atanh floor ceil trunc rint "
    "copysign pow erf erfc lgamma"
).split()
_COMPLEX = "exp log sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh".split()
# What float32 gets from NVIDIA's library, with at most 5 units in the last place of error.
_SINGLE = {"erfcx": L.erfcx, "erfinv": L.erfinv, "ndtr": L.normcdf, "ndtri": L.normcdfinv}
# Computed in double precision also for float32: what the library lacks there, or has with a larger error.
DOUBLES = frozenset("lgamma digamma polygamma log_ndtr log_ndtr_slope logit sinc spherical_j1 i0 i0e i1 i1e".split())

REDUCED = frozenset(("sin", "cos", "tan"))  # which the library reduces large arguments of in double precision


@functools.cache
def functions(compute: str) -> dict[str, Any]:
    """The namespace of a kernel that computes in the dtype called ``compute``: functions, the constructor T and constants."""
    own = _written_out()
    scope: dict[str, Any] = {"T": getattr(L, "boolean" if compute == "bool" else compute), "INF": math.inf, "NAN": math.nan, "abs": abs}
    scope |= {name: own[name] for name in ("maximum", "minimum", "sign")}
    if compute.startswith("complex"):
        scope |= {name: getattr(L.of_complex, name) for name in _COMPLEX}
        scope |= {name: own[f"{name}_complex"] for name in ("conj", "div")}
        return scope | {"pow": _pow_complex, "isfinite": _isfinite_complex, "isinf": _isinf_complex}
    scope["conj"] = own["identity"]
    if compute == "bool" or "int" in compute:
        return scope | scalar_bodies.of_integers(_written_out(), compute, device)
    scope |= {name: getattr(L, name) for name in _FLOATS}
    scope |= {name: own[name] for name in ("fmax", "fmin", "isfinite", "isinf", "signbit", "remainder", "floor_divide", "trunc_divide")}
    scope |= _special() | {"fmod": own["fmod_float"], "sigmoid": _sigmoid, "gelu_gate": _gelu_gate}
    return scope if compute == "float64" else scope | _SINGLE | {name: _rounded(name) for name in DOUBLES}


@functools.cache
def _written_out() -> dict[str, Any]:
    """The functions of ``scalar_bodies``."""
    words = {name: getattr(L, name) for name in ("floor", "trunc", "fmod", "copysign")}
    return scalar_bodies.bound(scalar_bodies, device, words | {"power": _power})


@functools.cache
def _special() -> dict[str, Any]:
    """The functions of ``special``, of doubles."""
    words = {name: getattr(L, name) for name in ("cos", "erfc", "exp", "log", "log1p", "sin", "sqrt", "tan", "floor")}
    found = scalar_bodies.bound(special, device, words)
    return {name: function for name, function in found.items() if not name.startswith("_")}


@functools.cache
def _rounded(name: str) -> Any:
    """A function on float32, in double precision."""
    function = L.lgamma if name == "lgamma" else _special()[name]

    @device
    def of_two(n, x):  # type: ignore[no-untyped-def]
        return float32(function(float64(n), float64(x)))

    @device
    def of_one(x):  # type: ignore[no-untyped-def]
        return float32(function(float64(x)))

    return of_two if name == "polygamma" else of_one


@device
def _sigmoid(x):  # type: ignore[no-untyped-def]
    small = L.exp(-abs(x))
    return (type(x)(1) if x >= 0 else small) / (type(x)(1) + small)


@device
def _power(a, b):  # type: ignore[no-untyped-def]
    # of integers, which Numba would compute in doubles here
    result = type(a)(1)
    while b > 0:
        if b & 1:
            result = result * a
        a = a * a
        b = b >> 1
    return result


@device
def _pow_complex(a, b):  # type: ignore[no-untyped-def]
    # not Numba's, which takes a power of numbers that both have no real part to be 0
    x = a.real
    if (b.real == 0) & (b.imag == 0):
        return complex(type(x)(1), type(x)(0))
    length = L.hypot(x, a.imag)
    if (length == 0) & (b.real > 0):
        return complex(type(x)(0), type(x)(0))
    angle = L.atan2(a.imag, x)
    size, phase = L.pow(length, b.real), angle * b.real
    if b.imag != 0:
        size = size / L.exp(angle * b.imag)
        phase = phase + b.imag * L.log(length)
    return complex(size * L.cos(phase), size * L.sin(phase))


@device
def _gelu_gate(x):  # type: ignore[no-untyped-def]
    return type(x)(0.5) * L.erfc(-x * type(x)(0.7071067811865476))


@device
def _isfinite_complex(x):  # type: ignore[no-untyped-def]
    return (x.real - x.real == 0) & (x.imag - x.imag == 0)


@device
def _isinf_complex(x):  # type: ignore[no-untyped-def]
    return ((x.real == x.real) & (x.real - x.real != 0)) | ((x.imag == x.imag) & (x.imag - x.imag != 0))
