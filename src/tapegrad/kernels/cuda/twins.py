"""The language of kernels as Python, for the simulator: what ``intrinsics`` compiles."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import scalar_bodies, special
from .drivers import driver
from .simulator import Pointer, cuda as cuda, runnable as device

try:
    import ml_dtypes
except ImportError as error:
    raise ImportError("TAPEGRAD_CUDA_DRIVER=simulator needs ml_dtypes: pip install 'tapegrad[bfloat16]'") from error

int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float32, float64, complex64, complex128, boolean = np.float32, np.float64, np.complex64, np.complex128, np.bool_


def _place(pointer: Any, index: Any, count: int) -> tuple[Any, int]:
    """The elements of a pointer or of a shared array, and the place there."""
    if isinstance(pointer, Pointer):
        return pointer.values, pointer.place(index, count)
    if not 0 <= index <= pointer.size - count:
        raise IndexError(f"elements {index} to {index + count - 1} of an array of {pointer.size}")
    return pointer, int(index)


def _load(count: int) -> Any:
    def load(pointer: Any, index: Any) -> tuple[Any, ...]:
        values, first = _place(pointer, index, count)
        if (first * pointer.dtype.itemsize) % (count * pointer.dtype.itemsize):
            raise RuntimeError(f"a vector of {count} {pointer.dtype} at element {first}, which is not aligned")
        return tuple(values[first : first + count])

    return load


def _store(count: int) -> Any:
    def store(pointer: Any, index: Any, values: tuple[Any, ...]) -> None:
        target, first = _place(pointer, index, count)
        if first % count:
            raise RuntimeError(f"a vector of {count} {pointer.dtype} at element {first}, which is not aligned")
        target[first : first + count] = values

    return store


load2, load4, load8, load16 = (_load(n) for n in (2, 4, 8, 16))
store2, store4, store8, store16 = (_store(n) for n in (2, 4, 8, 16))


def _pointer(dtype: Any) -> Any:
    """A typed pointer from an address."""

    def pointer(address: Any) -> Pointer:
        simulated: Any = driver()
        memory, offset = simulated.bytes_at(int(address))
        return Pointer(memory, offset, np.dtype(dtype))

    return pointer


pointer_to_float32, pointer_to_float64 = _pointer(float32), _pointer(float64)


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


def quotient(a: Any, b: Any) -> Any:
    """a // b of int32 or int64, neither negative: in 32 bits where both have them."""
    assert a >= 0 < b
    return a // b


def popcount(bits: Any) -> Any:
    """How many of the 32 bits are set."""
    return np.int32(int(bits).bit_count())


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


def _of_python(function: Any) -> Any:
    """A function of Python's on doubles, in the dtype of its argument."""

    def twin(x: Any) -> Any:
        return type(x)(function(np.float64(x)))

    return twin


erf, erfc = _of_python(math.erf), _of_python(math.erfc)


def sinpi(x: Any) -> Any:
    return type(x)(np.sin(np.pi * np.float64(x)))


def cospi(x: Any) -> Any:
    return type(x)(np.cos(np.pi * np.float64(x)))


def lgamma(x: Any) -> Any:
    if not np.isfinite(x):
        return abs(x)
    return type(x)(math.inf) if x <= 0 and x == np.floor(x) else type(x)(math.lgamma(float(x)))


def rounded_product(a: Any, b: Any) -> Any:
    return a * b


def pow(a: Any, b: Any) -> Any:
    return type(a)(np.power(np.longdouble(a), np.longdouble(b)))  # of doubles, NumPy takes a root of -inf to be NaN


of_complex = SimpleNamespace(
    exp=np.exp, log=np.log, sqrt=np.sqrt, sin=np.sin, cos=np.cos, tan=np.tan, sinh=np.sinh, cosh=np.cosh, tanh=np.tanh, asin=np.arcsin,
    acos=np.arccos, atan=np.arctan, asinh=np.arcsinh, acosh=np.arccosh, atanh=np.arctanh,
)  # fmt: skip
_words = {"erfc": erfc, **{name: getattr(np, name) for name in ("exp", "log", "log1p", "sin", "cos", "tan", "sqrt", "floor")}}
_special = scalar_bodies.bound(special, device, _words)
erfcx, erfinv, normcdf, normcdfinv = (_of_python(_special[name]) for name in ("erfcx", "erfinv", "ndtr", "ndtri"))


__all__ = [
    name for name in dir()
    if not name.startswith("_")
    and name not in ("Any", "Pointer", "SimpleNamespace", "annotations", "driver", "math", "ml_dtypes", "np", "scalar_bodies", "special")
]  # fmt: skip
