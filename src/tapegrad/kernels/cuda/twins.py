"""The language of kernels as Python, for the simulator: what ``intrinsics`` compiles."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import scalar_bodies, special
from .drivers import driver
from .simulator import WARP, Pointer, cuda as cuda, runnable as device

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


# ------------------------------------------------------------------------------------------------------------- tensor cores


def _mma(dtype: Any, depth: int) -> Any:
    """D = A B + C of a warp: A (16, depth), B (depth, 8), in fragments laid out as the PTX ISA says of this instruction."""

    def product(given: list[list[Any]]) -> Any:
        words = np.array([g[:6] for g in given], np.uint32)
        start = np.array([g[6:10] for g in given], np.float32).reshape(8, 4, 2, 2).transpose(2, 0, 1, 3).reshape(16, 8)
        if dtype is np.float32:
            words &= np.uint32(0xFFFFE000)  # the bits that are read
        parts = words.view(dtype).reshape(8, 4, 6, -1).astype(np.float64)  # [row or column, place in four, register, element]
        a = parts[:, :, :4].reshape(8, 4, 2, 2, -1).transpose(3, 0, 2, 1, 4).reshape(16, depth)
        b = parts[:, :, 4:].transpose(2, 1, 3, 0).reshape(depth, 8)
        found = (a @ b + start).astype(np.float32)
        return found.reshape(2, 8, 4, 2).transpose(1, 2, 0, 3).reshape(WARP, 4)

    def mma(*fragments: Any) -> tuple[Any, ...]:
        given = cuda.brought(list(fragments))
        if len(given[0]) == 10:  # the first thread to go on
            given[0].append(product(given))
        return tuple(given[0][10][cuda.laneid])

    return mma


mma_16816_float16, mma_16816_bfloat16, mma_1688_tf32 = _mma(np.float16, 16), _mma(ml_dtypes.bfloat16, 16), _mma(np.float32, 8)


def _bytes_of(array: Any, index: Any) -> tuple[Any, int]:
    """A shared array as bytes, and where the 16 from an element on begin."""
    at = int(index) * array.itemsize
    if at % 16 or not 0 <= at <= array.nbytes - 16:
        raise IndexError(f"16 bytes at byte {at} of {array.nbytes} in shared memory")
    return array.view(np.uint8), at


def _load_matrices(transposed: bool) -> Any:
    def load(array: Any, index: Any) -> tuple[Any, ...]:
        """Four matrices of 8 rows of 16 bytes, each at the place that a thread says: the word of each that a thread of ``mma`` needs."""
        memory, _ = _bytes_of(array, index)
        starts = [int(i) * array.itemsize for i in cuda.brought(index)]
        row, word = divmod(cuda.laneid, 4)
        if transposed:
            places = [[starts[8 * m + 2 * word + h] + 2 * row for h in range(2)] for m in range(4)]
            return tuple([np.concatenate([memory[at : at + 2] for at in pair]).view(np.uint32)[0] for pair in places])
        return tuple([memory[at : at + 4].view(np.uint32)[0] for at in [starts[8 * m + row] + 4 * word for m in range(4)]])

    return load


load_matrices, load_matrices_transposed = _load_matrices(False), _load_matrices(True)


def copy_async(array: Any, index: Any, pointer: Any, at: Any, count: Any) -> None:
    """16 bytes to a shared array, of which ``count`` elements are copied and the others are 0, when it is waited for."""
    memory, first = _bytes_of(array, index)
    source: Any = ()
    if count:
        place = pointer.place(at, int(count))
        if place * pointer.dtype.itemsize % 16:
            raise RuntimeError(f"a copy of 16 bytes from element {place} of {pointer.dtype}, which is not aligned")
        source = pointer.values[place : place + int(count)].view(np.uint8)
    memory[first : first + 16] = 0xA5
    cuda.thread.copies[-1].append((memory[first : first + 16], source))


def commit_copies() -> None:
    """A group of copies ends."""
    cuda.thread.copies.append([])


def _wait_copies(left: int) -> Any:
    def wait() -> None:
        """All of the thread's groups are copied, but the last ``left``."""
        groups = cuda.thread.copies
        while len(groups) > left + 1:
            for target, source in groups.pop(0):
                target[:] = 0
                target[: len(source)] = source

    return wait


wait_copies, wait_copies_but_1 = _wait_copies(0), _wait_copies(1)


def round_tf32(bits: Any) -> Any:
    """The bits of a float32 rounded to TF32, halves away from 0."""
    return np.uint32((int(bits) + 0x1000) & 0xFFFFE000) if int(bits) & 0x7F800000 != 0x7F800000 else bits


def pair_of_float16(low: Any, high: Any) -> Any:
    """The bits of two float32 rounded to 16 bits."""
    return np.array([low, high], np.float32).astype(np.float16).view(np.uint32)[0]


def pair_of_bfloat16(low: Any, high: Any) -> Any:
    return np.array([low, high], np.float32).astype(ml_dtypes.bfloat16).view(np.uint32)[0]


def store_quad(array: Any, index: Any, values: tuple[Any, ...]) -> None:
    """Four words to 16 bytes of a shared array."""
    memory, at = _bytes_of(array, index)
    memory[at : at + 16] = np.array(values, np.uint32).view(np.uint8)


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
    and name not in ("Any", "Pointer", "WARP", "SimpleNamespace", "annotations", "driver", "math", "ml_dtypes", "np", "scalar_bodies", "special")
]  # fmt: skip
