"""Elementary functions of one float32, free of branches, so that LLVM turns loops of them into vector code.

Arguments are reduced as in Cody and Waite, "Software Manual for the Elementary Functions" (1980); the polynomials are Chebyshev
fits of our own. All 2^32 arguments stay within 2 units in the last place (``benchmarks/accuracy.py``); infinities, NaN, signed
zeros and subnormal results are those of C's functions. Imported only to compile a kernel.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from .. import abi

FUNCTIONS = ("exp", "expm1", "log", "log1p", "sigmoid", "tanh")

_inline = njit(inline="always", error_model="numpy")
_f = np.float32

_ZERO, _HALF, _ONE, _TWO = _f(0), _f(0.5), _f(1), _f(2)
_LOG2E = _f(1.44269504)
_LN2_HIGH, _LN2_LOW = _f(0.693145752), _f(1.42860677e-06)  # 15 bits of ln 2, so that products with whole numbers are exact; the rest
_WHOLE = _f(12582912.0)  # 1.5 * 2^23: what is added to it is rounded to a whole number, in its last bits
_WHOLE_BITS = 0x4B400000


@intrinsic  # type: ignore[untyped-decorator]
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = builder.module.declare_intrinsic("llvm.fma", [args[0].type], llvmlite.ir.FunctionType(args[0].type, [args[0].type] * 3))
        return builder.call(function, args)

    return a(a, b, c), generate


@_inline  # type: ignore[untyped-decorator]
def _power_of_two(n):  # type: ignore[no-untyped-def]
    """2^n for a whole n of type int32 in [-126, 127]."""
    return abi.float32_of_bits(types.int32((n + types.int32(127)) << types.int32(23)))


@_inline  # type: ignore[untyped-decorator]
def _reduced(x):  # type: ignore[no-untyped-def]
    """(n, r, exp(r) - 1 - r) with x = n ln 2 + r and |r| at most about half of ln 2; for |x| < 150."""
    shifted = _fma(x, _LOG2E, _WHOLE)
    n = types.int32(abi.bits_of_float32(shifted) - types.int32(_WHOLE_BITS))
    whole = shifted - _WHOLE
    high = _fma(-whole, _LN2_HIGH, x)
    r = _fma(-whole, _LN2_LOW, high)
    lost = _fma(-whole, _LN2_LOW, high - r)  # in rounding r
    p = _fma(_f(0.0013926376), r, _f(0.008363333))
    p = _fma(p, r, _f(0.041666553))
    p = _fma(p, r, _f(0.16666576))
    p = _fma(p, r, _HALF)
    return n, r, _fma(r * r, p, lost)


@_inline  # type: ignore[untyped-decorator]
def _exp_in_parts(x):  # type: ignore[no-untyped-def]
    """(y, low, a, b) with exp(x) = (y + low) a b and low no more than an ulp of y; a b itself may overflow or be subnormal."""
    limited = _f(89.0) if x > _f(89.0) else x
    limited = _f(-104.0) if limited < _f(-104.0) else limited
    n, r, q = _reduced(limited)
    half = types.int32(n >> types.int32(1))
    y = _ONE + r
    return y, r - (y - _ONE) + q, _power_of_two(half), _power_of_two(types.int32(n - half))


@_inline  # type: ignore[untyped-decorator]
def exp(x):  # type: ignore[no-untyped-def]
    y, low, a, b = _exp_in_parts(x)
    return (y + low) * a * b


@_inline  # type: ignore[untyped-decorator]
def expm1(x):  # type: ignore[no-untyped-def]
    limited = _f(89.0) if x > _f(89.0) else x
    limited = _f(-18.0) if limited < _f(-18.0) else limited
    n, r, q = _reduced(limited)
    half = _power_of_two(types.int32(n - types.int32(1)))
    y = _TWO * _fma(half, r + q, half - _HALF)
    return x if x == _ZERO else y  # -0


@_inline  # type: ignore[untyped-decorator]
def tanh(x):  # type: ignore[no-untyped-def]
    a = abs(x)
    s = a * a
    p = _fma(_f(0.0022927448), s, _f(-0.0083439455))
    p = _fma(p, s, _f(0.021768919))
    p = _fma(p, s, _f(-0.05395926))
    p = _fma(p, s, _f(0.13333304))
    p = _fma(p, s, _f(-0.33333333))
    near = _fma(a * s, p, a)
    far = _ONE - _TWO / (exp(a + a) + _ONE)
    y = near if a < _f(0.625) else far
    return -y if x < _ZERO else (x if x == _ZERO else y)


@_inline  # type: ignore[untyped-decorator]
def sigmoid(x):  # type: ignore[no-untyped-def]
    y, low, a, b = _exp_in_parts(-abs(x))
    e = (y + low) * a * b
    total = _ONE + e
    t = _ONE / total
    t = _fma(-t * t, e - (total - _ONE), t)  # the sum was rounded
    return t if x >= _ZERO else _fma(y, t, low * t) * a * b


@_inline  # type: ignore[untyped-decorator]
def _log_of_normal(x, shift):  # type: ignore[no-untyped-def]
    """log(x) + shift ln 2 for a normal, positive x."""
    bits = types.int32(abi.bits_of_float32(x) - types.int32(0x3F3504F3))  # of sqrt(1/2)
    e = types.float32(types.int32(bits >> types.int32(23))) + shift
    f = abi.float32_of_bits(types.int32(types.int32(bits & types.int32(0x7FFFFF)) + types.int32(0x3F3504F3))) - _ONE
    p = _fma(_f(0.069716115), f, _f(-0.11479734))
    p = _fma(p, f, _f(0.1168542))
    p = _fma(p, f, _f(-0.12425687))
    p = _fma(p, f, _f(0.14249058))
    p = _fma(p, f, _f(-0.16667802))
    p = _fma(p, f, _f(0.20000716))
    p = _fma(p, f, _f(-0.24999997))
    p = _fma(p, f, _f(0.33333331))
    s = f * f
    tail = _fma(e, _LN2_LOW, f * s * p)
    tail = _fma(_f(-0.5), s, tail)
    return _fma(e, _LN2_HIGH, f + tail)


@_inline  # type: ignore[untyped-decorator]
def log(x):  # type: ignore[no-untyped-def]
    tiny = x < _f(1.17549435e-38)
    y = _log_of_normal(x * _f(8388608.0) if tiny else x, _f(-23.0) if tiny else _ZERO)
    y = x if x == _f(np.inf) else y
    y = _f(-np.inf) if x == _ZERO else y
    return y if x >= _ZERO else _f(np.nan)


@_inline  # type: ignore[untyped-decorator]
def log1p(x):  # type: ignore[no-untyped-def]
    u = _ONE + x
    lost = (x - (u - _ONE)) / u
    y = log(u)
    y = y + lost if (u > _ZERO) & (u < _f(np.inf)) else y
    return x if x == _ZERO else y
