"""Scalar functions that kernels call by the names ``expr`` gives them: one implementation each, at every size and in every mode.

Imported only to compile a kernel. Each function takes and returns the dtype of the computation.
"""

from __future__ import annotations

import cmath
import functools
import inspect
import math
from types import FunctionType
from typing import Any

import llvmlite.ir
import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import abi
from . import error, exponential, logarithm, special, trigonometric
from .value import scalar

_inline = njit(inline="always", error_model="numpy")
# Inlined by LLVM: where a call is left, so is the way out for an exception, which needs functions of Numba's at run time.
_compiled = njit(error_model="numpy", forceinline=True)


def functions(compute: str) -> dict[str, Any]:
    """The namespace of a kernel that computes in the dtype called ``compute``: functions, the constructor T and constants."""
    scope: dict[str, Any] = {"T": getattr(types, "boolean" if compute == "bool" else compute)}
    scope |= {"INF": np.inf, "NAN": np.nan, "maximum": _maximum, "minimum": _minimum, "sign": _sign, "abs": abs, "pow": pow}
    if compute.startswith("complex"):
        scope |= {name: getattr(cmath, name) for name in _COMPLEX}
        scope |= {"conj": _conj_complex, "pow": _pow_complex, "div": _div_complex, "isfinite": cmath.isfinite, "isinf": cmath.isinf}
        return scope
    scope["conj"] = _identity
    if compute == "bool" or "int" in compute:
        return scope | _integer_functions(compute)
    scope |= {name: getattr(math, name) for name in _LIBM} | _ROUNDING | _TWO_OPERANDS
    scope |= {"pow": _pow, "fmax": _fmax, "fmin": _fmin, "isfinite": _isfinite}
    scope |= {"isinf": _isinf, "signbit": _signbit, "fmod": _fmod, "remainder": _remainder, "floor_divide": _floor_divide, "trunc_divide": _trunc_divide}
    scope |= {name: _special32(name) if compute == "float32" else function for name, function in _special64().items()}
    return scope | {name: scalar(function) for name, function in vectorised(compute).items()}


_LIBM = "exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc lgamma copysign".split()
_COMPLEX = "exp log sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh".split()


_VECTORISED = (
    exponential.exp, exponential.exp2, exponential.expm1, exponential.tanh, exponential.sigmoid, exponential.sinh, exponential.cosh,
    logarithm.log, logarithm.log1p, logarithm.log2, logarithm.log10, logarithm.asinh, logarithm.acosh, logarithm.atanh,
    error.erf, error.erfc, error.ndtr, trigonometric.sin, trigonometric.cos, trigonometric.tan,
    trigonometric.asin, trigonometric.acos, trigonometric.atan, trigonometric.atan2,
)  # fmt: skip


def vectorised(compute: str) -> dict[str, Any]:
    """The functions that a loop becomes vector code with: free of branches, or guarded."""
    single = compute == "float32"
    found: dict[str, Any] = {f.__name__: f for f in _VECTORISED}
    return found | {"pow": logarithm.pow_single if single else logarithm.pow_double, "gelu_gate": error.gelu_gate if single else error.ndtr}


def _integer_functions(compute: str) -> dict[str, Any]:
    scope: dict[str, Any] = dict.fromkeys(("floor", "ceil", "trunc", "rint"), _identity)
    scope |= {"pow": _pow_integer, "fmax": _maximum, "fmin": _minimum, "isfinite": _always, "isinf": _never, "signbit": _is_negative}
    scope |= {"fmod": _fmod_integer, "remainder": _remainder_integer, "floor_divide": _floor_divide_integer}
    scope |= {"trunc_divide": _trunc_divide_integer, "bitwise_not": _not_bool if compute == "bool" else _not_integer}
    if compute != "bool":
        integer = np.dtype(compute)
        scope["left_shift"] = _left_shift(integer.itemsize * 8)
        scope["right_shift"] = _right_shift(integer.itemsize * 8, integer.kind == "i")
    return scope


# ------------------------------------------------------------------------------------- functions of LLVM and of libm


def _external(name: str, operands: int, *, llvm: bool = False) -> Any:
    """A function of floats of LLVM (``llvm.floor``), or one of libm, whose name for float32 ends in f."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        if llvm:
            function = builder.module.declare_intrinsic(name, [kind])
        else:
            suffix = "f" if isinstance(kind, llvmlite.ir.FloatType) else ""
            function = cgutils.insert_pure_function(builder.module, llvmlite.ir.FunctionType(kind, [kind] * operands), name=name + suffix)
        return builder.call(function, args)

    def unary(typing_context: Any, x: Any) -> Any:
        return x(x), generate

    def binary(typing_context: Any, x: Any, y: Any) -> Any:
        return x(x, x), generate

    return intrinsic(unary if operands == 1 else binary)


_ROUNDING = {name: _external(f"llvm.{name}", 1, llvm=True) for name in ("floor", "ceil", "trunc", "rint")}
_TWO_OPERANDS = {name: _external(name, 2) for name in ("atan2", "hypot")}
_floor, _trunc, _remainder_of_truncation = _ROUNDING["floor"], _ROUNDING["trunc"], _external("fmod", 2)


# ------------------------------------------------------------------------------------------------- special functions


@functools.cache
def _special64() -> dict[str, Any]:
    """The functions of ``special``, compiled; each sees the compiled others, and Numba's functions in place of Python's."""
    scope: dict[str, Any] = dict(vars(special))
    own = {n: f for n, f in vars(special).items() if inspect.isfunction(f) and f.__module__ == special.__name__}
    scope |= {name: _compiled(FunctionType(f.__code__, scope, name)) for name, f in own.items()} | {"floor": _floor}
    return {name: scope[name] for name in own if not name.startswith("_") and name != "floor"}


@functools.cache
def _special32(name: str) -> Any:
    """A special function on float32, in double precision."""
    double, single = _special64()[name], types.float32
    if name == "polygamma":
        return _inline(lambda n, x: single(double(types.float64(n), types.float64(x))))
    return _inline(lambda x: single(double(types.float64(x))))


# ------------------------------------------------------------------------------------------------------- written here


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
    # of NaN 0, as in PyTorch
    return type(x)(1) if x > 0 else (type(x)(-1) if x < 0 else type(x)(0))


@_inline  # type: ignore[untyped-decorator]
def _fmax(a, b):  # type: ignore[no-untyped-def]
    return a if (a >= b) | (b != b) else b


@_inline  # type: ignore[untyped-decorator]
def _fmin(a, b):  # type: ignore[no-untyped-def]
    return a if (a <= b) | (b != b) else b


@_inline  # type: ignore[untyped-decorator]
def _isfinite(x):  # type: ignore[no-untyped-def]
    return x - x == 0


@_inline  # type: ignore[untyped-decorator]
def _isinf(x):  # type: ignore[no-untyped-def]
    return (x == x) & (x - x != 0)


@_inline  # type: ignore[untyped-decorator]
def _always(x):  # type: ignore[no-untyped-def]
    return True


@_inline  # type: ignore[untyped-decorator]
def _never(x):  # type: ignore[no-untyped-def]
    return False


@_inline  # type: ignore[untyped-decorator]
def _signbit(x):  # type: ignore[no-untyped-def]
    return math.copysign(type(x)(1), x) < 0


@_inline  # type: ignore[untyped-decorator]
def _is_negative(x):  # type: ignore[no-untyped-def]
    return x < 0


# Division. Of integers, a divisor of 0 gives 0 (operations refuse it before a kernel runs), and -1 is a case of its own, since the
# processor faults where the quotient overflows.


@_inline  # type: ignore[untyped-decorator]
def _fmod(a, b):  # type: ignore[no-untyped-def]
    return _remainder_of_truncation(a, b)


@_compiled  # type: ignore[untyped-decorator]
def _remainder(a, b):  # type: ignore[no-untyped-def]
    rest = _remainder_of_truncation(a, b)
    return rest + b if (rest != 0) & ((b < 0) != (rest < 0)) else rest


@_compiled  # type: ignore[untyped-decorator]
def _floor_divide(a, b):  # type: ignore[no-untyped-def]
    # the quotient of what is left without the remainder is whole but for its rounding
    if b == 0:
        return a / b
    rest = _remainder_of_truncation(a, b)
    quotient = (a - rest) / b
    if (rest != 0) & ((b < 0) != (rest < 0)):
        quotient -= type(a)(1)
    if quotient == 0:
        return math.copysign(type(a)(0), a / b)
    whole = _floor(quotient)
    return whole + type(a)(1) if quotient - whole > type(a)(0.5) else whole


@_inline  # type: ignore[untyped-decorator]
def _trunc_divide(a, b):  # type: ignore[no-untyped-def]
    return _trunc(a / b)


@_compiled  # type: ignore[untyped-decorator]
def _floor_divide_integer(a, b):  # type: ignore[no-untyped-def]
    if b == 0:
        return a - a
    return -a if b == -1 else a // b


@_compiled  # type: ignore[untyped-decorator]
def _trunc_divide_integer(a, b):  # type: ignore[no-untyped-def]
    if b == 0:
        return a - a
    if b == -1:
        return -a
    quotient = a // b
    return quotient + 1 if (quotient < 0) & (quotient * b != a) else quotient


@_compiled  # type: ignore[untyped-decorator]
def _remainder_integer(a, b):  # type: ignore[no-untyped-def]
    return a - a if (b == 0) | (b == -1) else a % b


@_compiled  # type: ignore[untyped-decorator]
def _fmod_integer(a, b):  # type: ignore[no-untyped-def]
    if (b == 0) | (b == -1):
        return a - a
    rest = a % b
    return rest - b if (rest != 0) & ((a < 0) != (b < 0)) else rest


@_inline  # type: ignore[untyped-decorator]
def _not_integer(x):  # type: ignore[no-untyped-def]
    return ~x


@_inline  # type: ignore[untyped-decorator]
def _not_bool(x):  # type: ignore[no-untyped-def]
    return not x


@functools.cache
def _left_shift(bits: int) -> Any:
    """By a count outside of [0, bits): 0, as in PyTorch, where the processor would take it modulo 64."""
    return _inline(lambda a, b: a << b if (b >= 0) & (b < bits) else a - a)


@functools.cache
def _right_shift(bits: int, signed: bool) -> Any:
    """By a count outside of [0, bits): all bits are the sign's, of unsigned integers 0."""
    if not signed:
        return _inline(lambda a, b: a >> b if (b >= 0) & (b < bits) else a - a)
    return _inline(lambda a, b: a >> (b if (b >= 0) & (b < bits) else bits - 1))


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
