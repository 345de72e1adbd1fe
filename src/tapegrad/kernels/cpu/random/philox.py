"""Philox4x32-10, the counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

Element i of a draw depends on (seed, counter + i / 4) alone, so results are the same for any number of threads, and the same
numbers can be made again instead of being kept.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import call, runtime as rt

_GRAIN = 8192  # blocks of four 32-bit words


def _build(kind: str) -> Any:
    import math

    from numba import njit, types

    from .. import abi

    u32, u64, f64 = types.uint32, types.uint64, types.float64
    words, singles, doubles = (abi.POINTERS[name] for name in ("uint32", "float32", "float64"))

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def philox(seed, counter):  # type: ignore[no-untyped-def]
        c0, c1, c2, c3 = u32(counter), u32(u64(counter) >> u64(32)), u32(0), u32(0)
        k0, k1 = u32(seed), u32(u64(seed) >> u64(32))
        for _ in range(10):
            p0 = u64(0xD2511F53) * u64(c0)
            p1 = u64(0xCD9E8D57) * u64(c2)
            c0, c1, c2, c3 = u32(p1 >> u64(32)) ^ c1 ^ k0, u32(p1), u32(p0 >> u64(32)) ^ c3 ^ k1, u32(p0)
            k0 = u32(k0 + u32(0x9E3779B9))
            k1 = u32(k1 + u32(0xBB67AE85))
        return c0, c1, c2, c3

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def double(high, low):  # type: ignore[no-untyped-def]
        """53 random bits in [0, 1)."""
        return f64(u64((u64(high) << u64(32)) | u64(low)) >> u64(11)) * 1.1102230246251565e-16

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def single(word):  # type: ignore[no-untyped-def]
        """24 random bits in [0, 1)."""
        return types.float32(word >> u32(8)) * types.float32(5.9604644775390625e-08)

    if kind == "bits":

        def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
            out = words(slots[0])
            for i in range(start, stop):
                out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3] = philox(slots[1], slots[2] + i)

    elif kind == "uniform float32":

        def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
            out = singles(slots[0])
            for i in range(start, stop):
                a, b, c, d = philox(slots[1], slots[2] + i)
                out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3] = single(a), single(b), single(c), single(d)

    elif kind == "uniform float64":

        def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
            out = doubles(slots[0])
            for i in range(start, stop):
                a, b, c, d = philox(slots[1], slots[2] + i)
                out[2 * i], out[2 * i + 1] = double(a, b), double(c, d)

    elif kind == "normal float32":

        def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
            out = singles(slots[0])
            for i in range(start, stop):
                a, b, c, d = philox(slots[1], slots[2] + i)
                # Box and Muller; 1 - u is in (0, 1]
                r = math.sqrt(-2.0 * math.log(1.0 - f64(single(a))))
                s = math.sqrt(-2.0 * math.log(1.0 - f64(single(c))))
                u, v = 2.0 * math.pi * single(b), 2.0 * math.pi * single(d)
                out[4 * i], out[4 * i + 1] = r * math.cos(u), r * math.sin(u)
                out[4 * i + 2], out[4 * i + 3] = s * math.cos(v), s * math.sin(v)

    else:

        def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
            out = doubles(slots[0])
            for i in range(start, stop):
                a, b, c, d = philox(slots[1], slots[2] + i)
                r = math.sqrt(-2.0 * math.log(1.0 - double(a, b)))
                u = 2.0 * math.pi * double(c, d)
                out[2 * i], out[2 * i + 1] = r * math.cos(u), r * math.sin(u)

    return kernel


@functools.cache
def _kernel(kind: str) -> int:
    return call.cache.native(f"philox:{kind}", lambda: _build(kind))


def _fill(kind: str, dtype: Any, n: int, per_block: int, seed: int, counter: int) -> tuple[Any, int]:
    blocks = -(-n // per_block)
    out = np.empty(blocks * per_block, dtype)
    if blocks > _GRAIN:
        rt.start_threads()
    if blocks:
        call.launcher()(_kernel(kind), blocks, _GRAIN, out, seed, counter)
    return out[:n], counter + blocks


def uniform(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> tuple[Any, int]:
    """Uniform numbers in [0, 1) of a floating dtype (those but float64 are made as float32), and the next counter."""
    array, counter = _floats("uniform", shape, np.dtype(np.float32) if dtype.itemsize == 2 else dtype, seed, counter)
    if dtype.itemsize == 2:  # as many bits as the dtype holds, so that none rounds up to 1
        steps = np.float32(2**11 if dtype == np.float16 else 2**8)
        array = (np.floor(array * steps) / steps).astype(dtype)
    return array, counter


def normal(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> tuple[Any, int]:
    """Standard normal numbers of a floating dtype (those but float64 are made as float32), and the next counter."""
    return _floats("normal", shape, dtype, seed, counter)


def _floats(distribution: str, shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> tuple[Any, int]:
    double = dtype == np.float64
    made = np.float64 if double else np.float32
    flat, counter = _fill(f"{distribution} {made.__name__}", made, math.prod(shape), 2 if double else 4, seed, counter)
    return flat.reshape(shape).astype(dtype, copy=False), counter


def integers(shape: tuple[int, ...], low: int, high: int, seed: int, counter: int) -> tuple[Any, int]:
    """int64 numbers in [low, high), from 64 random bits each, and the next counter."""
    words, counter = bits(math.prod(shape), seed, counter)
    span = high - low
    if 2**64 % span:
        last = np.uint64(2**64 - 2**64 % span - 1)  # words above it would favour the small numbers: draw those again
        while (again := words > last).any():
            words[again], counter = bits(int(again.sum()), seed, counter)
    offsets = words % np.uint64(span) if span < 2**64 else words
    return (offsets + np.uint64(low % 2**64)).view(np.int64).reshape(shape), counter


def bits(n: int, seed: int, counter: int) -> tuple[Any, int]:
    """n random uint64 words, and the next counter."""
    words, counter = _fill("bits", np.uint32, 2 * n, 4, seed, counter)
    return np.ascontiguousarray(words).view(np.uint64), counter
