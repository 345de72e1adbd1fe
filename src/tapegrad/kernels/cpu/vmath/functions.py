"""Scalar functions that kernels call by the names ``expr`` gives them: one implementation each, at every size and in every mode.

Imported only to compile a kernel. Each function takes and returns the dtype of the computation.
"""

from __future__ import annotations

import cmath
import functools
import math
from typing import Any

import llvmlite.ir
import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ... import scalar_bodies, special
from ...native import abi
from . import error, exponential, logarithm, trigonometric
from .value import scalar

_inline = njit(inline="always", error_model="numpy")
# Inlined by LLVM: where a call is left, so is the way out for an exception, which needs functions of Numba's at run time.
_compiled = njit(error_model="numpy", forceinline=True)


def functions(compute: str) -> dict[str, Any]:
    """The namespace of a kernel that computes in the dtype called ``compute``: functions, the constructor T and constants."""
    own = _written_out()
    scope: dict[str, Any] = {"T": getattr(types, "boolean" if compute == "bool" else compute), "INF": np.inf, "NAN": np.nan, "abs": abs, "pow": pow}
    scope |= {name: own[name] for name in ("maximum", "minimum", "sign")}
    if compute.startswith("complex"):
        scope |= {name: getattr(cmath, name) for name in _COMPLEX}
        scope |= {name: own[f"{name}_complex"] for name in ("conj", "pow", "div")}
        return scope | {"isfinite": cmath.isfinite, "isinf": cmath.isinf}
    scope["conj"] = own["identity"]
    if compute == "bool" or "int" in compute:
        return scope | scalar_bodies.of_integers(_written_out(), compute, _inline)
    scope |= {name: getattr(math, name) for name in _LIBM} | _ROUNDING | _TWO_OPERANDS
    scope |= {name: own[name] for name in ("fmax", "fmin", "isfinite", "isinf", "signbit", "remainder", "floor_divide", "trunc_divide")}
    scope |= {"pow": _pow, "fmod": own["fmod_float"]}
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


@functools.cache
def _written_out() -> dict[str, Any]:
    """The functions of ``scalar_bodies``; those with branches of much code are called, and it is LLVM that inlines them."""
    called = ("remainder", "floor_divide", "floor_divide_integer", "trunc_divide_integer", "remainder_integer", "fmod_integer")
    words = {"floor": _ROUNDING["floor"], "trunc": _ROUNDING["trunc"], "fmod": _external("fmod", 2), "copysign": math.copysign}
    return scalar_bodies.bound(scalar_bodies, lambda f: (_compiled if f.__name__ in called else _inline)(f), words)


@_inline  # type: ignore[untyped-decorator]
def _pow(a, b):  # type: ignore[no-untyped-def]
    return a**b


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


# ------------------------------------------------------------------------------------------------- special functions


@functools.cache
def _special64() -> dict[str, Any]:
    """The functions of ``special``, with Numba's functions in place of Python's."""
    found = scalar_bodies.bound(special, _compiled, {"floor": _ROUNDING["floor"]})
    return {name: function for name, function in found.items() if not name.startswith("_")}


@functools.cache
def _special32(name: str) -> Any:
    """A special function on float32, in double precision."""
    double, single = _special64()[name], types.float32
    if name == "polygamma":
        return _inline(lambda n, x: single(double(types.float64(n), types.float64(x))))
    return _inline(lambda x: single(double(types.float64(x))))


# ------------------------------------------------------------------------------------------------------------ 16 bits


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
