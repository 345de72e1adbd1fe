"""The language of kernels as Python, for the simulator: what ``intrinsics`` compiles."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from .simulator import Pointer, cuda, runnable as device

int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float32, float64, complex64, complex128, boolean = np.float32, np.float64, np.complex64, np.complex128, np.bool_


def _load(count: int) -> Any:
    def load(pointer: Pointer, index: Any) -> tuple[Any, ...]:
        first = pointer.place(index, count)
        if (first * pointer.dtype.itemsize) % (count * pointer.dtype.itemsize):
            raise RuntimeError(f"a vector of {count} {pointer.dtype} at element {first}, which is not aligned")
        return tuple(pointer.values[first : first + count])

    return load


def _store(count: int) -> Any:
    def store(pointer: Pointer, index: Any, values: tuple[Any, ...]) -> None:
        first = pointer.place(index, count)
        if first % count:
            raise RuntimeError(f"a vector of {count} {pointer.dtype} at element {first}, which is not aligned")
        pointer.values[first : first + count] = values

    return store


load2, load4, load8, load16 = (_load(n) for n in (2, 4, 8, 16))
store2, store4, store8, store16 = (_store(n) for n in (2, 4, 8, 16))


def half_to_float(bits: Any) -> Any:
    return np.uint16(bits).view(np.float16).astype(np.float32)


def float_to_half(x: Any) -> Any:
    return np.float32(x).astype(np.float16).view(np.uint16)


def bfloat16_to_float(bits: Any) -> Any:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


def float_to_bfloat16(x: Any) -> Any:
    return np.asarray(x, np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)[()]


def bits_of_float32(x: Any) -> Any:
    return np.float32(x).view(np.uint32)


def float32_of_bits(x: Any) -> Any:
    return np.uint32(x).view(np.float32)


def bits_of_float64(x: Any) -> Any:
    return np.float64(x).view(np.uint64)


def float64_of_bits(x: Any) -> Any:
    return np.uint64(x).view(np.float64)


def fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once (of float32: twice, of which nothing here depends)."""
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(np.float32) if a.dtype == np.float32 else a * b + c


def multiply_high(a: Any, b: Any) -> Any:
    """The upper 32 bits of the product of two uint32."""
    return np.uint32(int(a) * int(b) >> 32)


def atomic_add(pointer: Any, index: Any, value: Any) -> Any:
    old = pointer[index]
    pointer[index] = old + value
    return old


def atomic_max(pointer: Any, index: Any, value: Any) -> Any:
    old = pointer[index]
    pointer[index] = max(old, value)
    return old


def atomic_min(pointer: Any, index: Any, value: Any) -> Any:
    old = pointer[index]
    pointer[index] = min(old, value)
    return old


def atomic_cas(pointer: Any, index: Any, old: Any, value: Any) -> Any:
    found = pointer[index]
    if found == old:
        pointer[index] = value
    return found


INF, NAN = math.inf, math.nan
exp, exp2, expm1, log, log2, log10, log1p, sqrt = np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.sqrt
sin, cos, tan, asin, acos, atan, atan2, hypot = np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.arctan2, np.hypot
sinh, cosh, tanh, asinh, acosh, atanh = np.sinh, np.cosh, np.tanh, np.arcsinh, np.arccosh, np.arctanh
floor, ceil, trunc, rint, copysign, fmod = np.floor, np.ceil, np.trunc, np.rint, np.copysign, np.fmod


def rsqrt(x: Any) -> Any:
    return type(x)(1) / np.sqrt(x)


def _of_python(function: Any) -> Any:
    """A function of Python's on doubles, in the dtype of its argument."""

    def twin(x: Any) -> Any:
        return type(x)(function(float(x)))

    return twin


erf, erfc = _of_python(math.erf), _of_python(math.erfc)


def lgamma(x: Any) -> Any:
    if not np.isfinite(x):
        return abs(x)
    return type(x)(math.inf) if x <= 0 and x == np.floor(x) else type(x)(math.lgamma(float(x)))


__all__ = [name for name in dir() if not name.startswith("_") and name not in ("annotations", "Any", "math", "ml_dtypes", "np", "Pointer")]
