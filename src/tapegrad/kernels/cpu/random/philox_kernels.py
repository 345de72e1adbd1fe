"""What kernels make random numbers with; imported only when one of them has to be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from .. import abi
from ..abi import inline, widest_vectors
from ..vmath import functions as vmath

u32, u64, f32, f64 = types.uint32, types.uint64, types.float32, types.float64


@inline
def philox(seed, counter):  # type: ignore[no-untyped-def]
    """Block ``counter`` of four 32-bit words: Philox4x32-10."""
    c0, c1, c2, c3 = u32(counter), u32(u64(counter) >> u64(32)), u32(0), u32(0)
    k0, k1 = u32(seed), u32(u64(seed) >> u64(32))
    for _ in range(10):
        p0 = u64(0xD2511F53) * u64(c0)
        p1 = u64(0xCD9E8D57) * u64(c2)
        c0, c1, c2, c3 = u32(p1 >> u64(32)) ^ c1 ^ k0, u32(p1), u32(p0 >> u64(32)) ^ c3 ^ k1, u32(p0)
        k0 = u32(k0 + u32(0x9E3779B9))
        k1 = u32(k1 + u32(0xBB67AE85))
    return c0, c1, c2, c3


@inline
def double(high, low):  # type: ignore[no-untyped-def]
    """53 random bits in [0, 1)."""
    return f64(u64((u64(high) << u64(32)) | u64(low)) >> u64(11)) * 1.1102230246251565e-16


@inline
def single(word):  # type: ignore[no-untyped-def]
    """24 random bits in [0, 1)."""
    return f32(types.int32(word >> u32(8))) * f32(5.9604644775390625e-08)


@inline
def turn(u):  # type: ignore[no-untyped-def]
    """(cos, sin) of 2 pi u for a float32 u in [0, 1): the quarter turns are taken off exactly; Taylor's series at up to pi / 4."""
    quarters = types.int32(f32(4) * u + f32(0.5))
    f = f32(4) * u - f32(quarters)
    t = f * f32(np.pi / 2)
    s = t * t
    sine = f32(1 / 362880)
    sine = sine * s - f32(1 / 5040)
    sine = sine * s + f32(1 / 120)
    sine = sine * s - f32(1 / 6)
    sine = sine * s * t + t
    cosine = f32(1 / 40320)
    cosine = cosine * s - f32(1 / 720)
    cosine = cosine * s + f32(1 / 24)
    cosine = cosine * s - f32(0.5)
    cosine = cosine * s + f32(1)
    odd = (quarters & types.int32(1)) != types.int32(0)
    x, y = (sine if odd else cosine), (cosine if odd else sine)
    x = -x if ((quarters + types.int32(1)) & types.int32(2)) != types.int32(0) else x
    y = -y if (quarters & types.int32(2)) != types.int32(0) else y
    return x, y


_log32, _sqrt32 = vmath.functions("float32")["log"], vmath.functions("float32")["sqrt"]
_functions64 = vmath.functions("float64")
_log64, _sqrt64, _cos64, _sin64 = (_functions64[name] for name in ("log", "sqrt", "cos", "sin"))


@inline
def _bits(seed, counter):  # type: ignore[no-untyped-def]
    a, b, c, d = philox(seed, counter)
    return a, b, c, d


@inline
def _uniform32(seed, counter):  # type: ignore[no-untyped-def]
    a, b, c, d = philox(seed, counter)
    return single(a), single(b), single(c), single(d)


@inline
def _normal32(seed, counter):  # type: ignore[no-untyped-def]
    """Box and Muller, "A note on the generation of random normal deviates", 1958; 1 - u is in (0, 1]."""
    a, b, c, d = philox(seed, counter)
    r, s = _sqrt32(f32(-2) * _log32(f32(1) - single(a))), _sqrt32(f32(-2) * _log32(f32(1) - single(c)))
    p, q = turn(single(b))
    u, v = turn(single(d))
    return r * p, r * q, s * u, s * v


@inline
def _uniform64(seed, counter):  # type: ignore[no-untyped-def]
    a, b, c, d = philox(seed, counter)
    return double(a, b), double(c, d)


@inline
def _normal64(seed, counter):  # type: ignore[no-untyped-def]
    a, b, c, d = philox(seed, counter)
    r, u = _sqrt64(-2.0 * _log64(1.0 - double(a, b))), 2.0 * np.pi * double(c, d)
    return r * _cos64(u), r * _sin64(u)


def fill(kind: str) -> Any:
    """Slots: output, seed, counter, n. A unit is a block of numbers."""
    if kind.endswith("float64"):
        return _fill_pairs(_uniform64 if kind == "uniform float64" else _normal64)
    made = {"bits": _bits, "uniform float32": _uniform32, "normal float32": _normal32}[kind]
    values = abi.POINTERS["uint32" if kind == "bits" else "float32"]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        out, seed, counter, n = values(slots[0]), slots[1], slots[2], slots[3]
        whole = min(stop, n // 4)
        for i in range(start, whole):
            out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3] = made(seed, counter + i)
        if whole < stop:
            a, b, c, _ = made(seed, counter + whole)
            out[4 * whole] = a
            if 4 * whole + 1 < n:
                out[4 * whole + 1] = b
            if 4 * whole + 2 < n:
                out[4 * whole + 2] = c

    return kernel


def _fill_pairs(made: Any) -> Any:
    values = abi.POINTERS["float64"]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        out, seed, counter, n = values(slots[0]), slots[1], slots[2], slots[3]
        whole = min(stop, n // 2)
        for i in range(start, whole):
            out[2 * i], out[2 * i + 1] = made(seed, counter + i)
        if whole < stop:
            a, _ = made(seed, counter + whole)
            out[2 * whole] = a

    return kernel


@inline
def _rest(high, low, span, share):  # type: ignore[no-untyped-def]
    """(high * 2^16 + low) % span, for high < span <= 2^32; exact, since nothing exceeds 2^53. ``share`` is 1 / span."""
    x = high * 65536.0 + low
    r = x - _floor(x * share) * span
    r = r + span if r < 0.0 else r
    return r - span if r >= span else r


_floor = _functions64["floor"]


def integers(kind: str) -> Any:
    """Slots: output (int64), seed, counter, n, low, span, last, flag. A unit is a block of two numbers.

    A number is ``low`` plus a 64-bit word modulo the span ("narrow": up to 2^32). The flag is set where a word exceeds ``last``.
    """
    out_of, narrow = abi.POINTERS["int64"], kind == "narrow"

    @inline
    def number(low, high, span, share):  # type: ignore[no-untyped-def]
        """Of the two halves of a word."""
        if narrow:
            r = _rest(0.0, f64(high >> u32(16)), f64(span), share)
            r = _rest(r, f64(high & u32(0xFFFF)), f64(span), share)
            r = _rest(r, f64(low >> u32(16)), f64(span), share)
            return types.int64(_rest(r, f64(low & u32(0xFFFF)), f64(span), share))
        return types.int64(((u64(high) << u64(32)) | u64(low)) % u64(span))

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        out, seed, counter, n, low, span = out_of(slots[0]), slots[1], slots[2], slots[3], slots[4], slots[5]
        last_high, share = u32(u64(slots[6]) >> u64(32)), 1.0 / f64(u64(span))
        beyond = u32(0)  # seen in the upper halves alone, which is too often, but once in 2^32 / span
        whole = min(stop, n // 2)
        for i in range(start, whole):
            a, b, c, d = philox(seed, counter + i)
            out[2 * i], out[2 * i + 1] = low + number(a, b, span, share), low + number(c, d, span, share)
            beyond |= u32(b >= last_high) | u32(d >= last_high)
        if whole < stop:
            a, b, c, d = philox(seed, counter + whole)
            out[2 * whole] = low + number(a, b, span, share)
            beyond |= u32(b >= last_high)
        if beyond:
            out_of(slots[7])[0] = 1

    return kernel


def order() -> Any:
    """Slots: keys (uint64), counts (2^bits + 1 zeros), order (int64), n, bits. One unit: the stable order of random keys.

    Keys go into as many buckets as there are keys, by their upper bits; the few of a bucket are sorted by insertion.
    """
    words, numbers = abi.POINTERS["uint64"], abi.POINTERS["int64"]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        keys, counts, out, n, shift = words(slots[0]), numbers(slots[1]), numbers(slots[2]), slots[3], u64(64 - slots[4])
        for i in range(n):
            counts[types.int64(keys[i] >> shift) + 1] += 1
        for j in range(1 << slots[4]):
            counts[j + 1] += counts[j]
        for i in range(n):
            bucket = types.int64(keys[i] >> shift)
            out[counts[bucket]] = i
            counts[bucket] += 1
        for i in range(1, n):
            place = out[i]
            key, j = keys[place], i
            while j > 0 and keys[out[j - 1]] > key:
                out[j] = out[j - 1]
                j -= 1
            out[j] = place

    return kernel


def dropout(dtype: str) -> Any:
    """Slots: input, output, seed, counter, n, threshold, scale. A unit is a block of four elements.

    An element stays, times ``scale``, where the 24 bits of its word are at least the threshold; else it is 0.
    """
    T, values = getattr(types, dtype), abi.POINTERS[dtype]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        x, out, seed, counter, n = values(slots[0]), values(slots[1]), slots[2], slots[3], slots[4]
        threshold, scale, zero = u32(slots[5]), T(abi.float_of_bits(slots[6])), T(0)
        whole = min(stop, n // 4)
        for i in range(start, whole):
            a, b, c, d = philox(seed, counter + i)
            at = 4 * i
            out[at] = x[at] * scale if u32(a >> u32(8)) >= threshold else zero
            out[at + 1] = x[at + 1] * scale if u32(b >> u32(8)) >= threshold else zero
            out[at + 2] = x[at + 2] * scale if u32(c >> u32(8)) >= threshold else zero
            out[at + 3] = x[at + 3] * scale if u32(d >> u32(8)) >= threshold else zero
        if whole < stop:
            a, b, c, d = philox(seed, counter + whole)
            at = 4 * whole
            out[at] = x[at] * scale if u32(a >> u32(8)) >= threshold else zero
            if at + 1 < n:
                out[at + 1] = x[at + 1] * scale if u32(b >> u32(8)) >= threshold else zero
            if at + 2 < n:
                out[at + 2] = x[at + 2] * scale if u32(c >> u32(8)) >= threshold else zero

    return kernel
