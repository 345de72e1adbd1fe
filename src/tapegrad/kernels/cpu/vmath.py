"""Scalar functions that kernels call by the names ``expr`` gives them: one implementation each, at every size and in every mode.

Imported only to compile a kernel. Each function takes and returns the dtype of the computation.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
from numba import njit, types

from . import abi

_inline = njit(inline="always", error_model="numpy")


def functions(compute: str) -> dict[str, Any]:
    """The namespace of a kernel that computes in the dtype called ``compute``: functions, the constructor T and constants."""
    scope: dict[str, Any] = {"T": getattr(types, "boolean" if compute == "bool" else compute)}
    scope |= {"INF": np.inf, "NAN": np.nan, "maximum": _maximum, "minimum": _minimum, "sign": _sign, "abs": abs, "pow": pow}
    if compute.startswith("complex"):
        scope |= {name: getattr(cmath, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tanh")}
        scope |= {"conj": _conj_complex, "pow": _pow_complex, "div": _div_complex}
        return scope
    scope |= {name: getattr(math, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf")}
    scope |= {"conj": _identity, "pow": _pow_integer if "int" in compute else _pow, "sigmoid": {"float32": _sigmoid32}.get(compute, _sigmoid64)}
    return scope


@_inline  # type: ignore[untyped-decorator]
def _identity(x):  # type: ignore[no-untyped-def]
    return x


@_inline  # type: ignore[untyped-decorator]
def _conj_complex(x):  # type: ignore[no-untyped-def]
    return x.conjugate()


@_inline  # type: ignore[untyped-decorator]
def _pow(a, b):  # type: ignore[no-untyped-def]
    return a**b


@_inline  # type: ignore[untyped-decorator]
def _pow_integer(a, b):  # type: ignore[no-untyped-def]
    # 1 / a ** -b truncated, and 0 for 1 / 0, as in PyTorch
    return a**b if b >= 0 else (1 if a == 1 else 0) if a != -1 else (-1 if b & 1 else 1)


@_inline  # type: ignore[untyped-decorator]
def _pow_complex(a, b):  # type: ignore[no-untyped-def]
    # exp(b log 0) is 0 where the real part of b is positive; the logarithm alone would make it NaN
    return a * 0 if (a == 0) & (b.real > 0) else a**b


@_inline  # type: ignore[untyped-decorator]
def _div_complex(a, b):  # type: ignore[no-untyped-def]
    # R. L. Smith, CACM 1962. Numba's own division raises for a zero, whatever the error model, which would end the kernel
    if abs(b.real) >= abs(b.imag):
        if (b.real == 0) & (b.imag == 0):
            return complex(a.real / abs(b.real), a.imag / abs(b.real))
        ratio = b.imag / b.real
        scale = b.real + b.imag * ratio
        return complex((a.real + a.imag * ratio) / scale, (a.imag - a.real * ratio) / scale)
    ratio = b.real / b.imag
    scale = b.imag + b.real * ratio
    return complex((a.real * ratio + a.imag) / scale, (a.imag * ratio - a.real) / scale)


@_inline  # type: ignore[untyped-decorator]
def _maximum(a, b):  # type: ignore[no-untyped-def]
    # not (a < b) keeps a NaN in a; b != b takes one in b
    return b if (a < b) | (b != b) else a


@_inline  # type: ignore[untyped-decorator]
def _minimum(a, b):  # type: ignore[no-untyped-def]
    return b if (a > b) | (b != b) else a


@_inline  # type: ignore[untyped-decorator]
def _sign(x):  # type: ignore[no-untyped-def]
    # the last branch returns x itself for 0 and NaN
    return type(x)(1) if x > 0 else (type(x)(-1) if x < 0 else x)


@_inline  # type: ignore[untyped-decorator]
def _sigmoid32(x):  # type: ignore[no-untyped-def]
    one = types.float32(1)
    return one / (one + math.exp(-x))


@_inline  # type: ignore[untyped-decorator]
def _sigmoid64(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + math.exp(-x))


@_inline  # type: ignore[untyped-decorator]
def bfloat16_to_float(bits):  # type: ignore[no-untyped-def]
    return abi.float32_of_bits(types.int32(types.uint32(bits) << types.uint32(16)))


@_inline  # type: ignore[untyped-decorator]
def float_to_bfloat16(x):  # type: ignore[no-untyped-def]
    """Round to nearest, ties to even; NaN stays NaN."""
    bits = types.uint32(abi.bits_of_float32(x))
    rounded = (bits + types.uint32(0x7FFF) + ((bits >> types.uint32(16)) & types.uint32(1))) >> types.uint32(16)
    quiet = types.uint32(0x7FC0) | ((bits >> types.uint32(16)) & types.uint32(0x8000))
    return types.uint16(rounded if x == x else quiet)
