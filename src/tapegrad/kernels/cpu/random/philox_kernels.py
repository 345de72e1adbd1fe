"""What kernels make random numbers with; imported only when one of them has to be compiled.

A block of numbers is made by instructions that are emitted in place, so that Numba sees one call of them and LLVM a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types

from ...native import abi
from ...native.abi import emitted, stack_bytes, widest_vectors
from ..vmath.logarithm import log
from ..vmath.value import DOUBLE, FLOAT, INT, LONG, Value, call, sqrt, where

_I64 = types.int64


# ------------------------------------------------------------------------------------------------------------- blocks


def _philox(builder: Any, seed: Any, counter: Any) -> list[Any]:
    """Block ``counter`` of four 32-bit words: Philox4x32-10."""
    half = LONG(32)

    def low(word: Any) -> Any:
        return builder.trunc(word, INT)

    def high(word: Any) -> Any:
        return low(builder.lshr(word, half))

    c0, c1, c2, c3 = low(counter), high(counter), INT(0), INT(0)
    k0, k1 = low(seed), high(seed)
    for _ in range(10):
        p0 = builder.mul(LONG(0xD2511F53), builder.zext(c0, LONG))
        p1 = builder.mul(LONG(0xCD9E8D57), builder.zext(c2, LONG))
        c0, c1 = builder.xor(builder.xor(high(p1), c1), k0), low(p1)
        c2, c3 = builder.xor(builder.xor(high(p0), c3), k1), low(p0)
        k0, k1 = builder.add(k0, INT(0x9E3779B9)), builder.add(k1, INT(0xBB67AE85))
    return [c0, c1, c2, c3]


def _single(builder: Any, word: Any) -> Value:
    """24 random bits in [0, 1)."""
    return Value(builder, builder.sitofp(builder.lshr(word, INT(8)), FLOAT)) * 2.0**-24


def _joined(builder: Any, high: Any, low: Any) -> Any:
    return builder.or_(builder.shl(builder.zext(high, LONG), LONG(32)), builder.zext(low, LONG))


def _double(builder: Any, high: Any, low: Any) -> Value:
    """53 random bits in [0, 1)."""
    return Value(builder, builder.sitofp(builder.lshr(_joined(builder, high, low), LONG(11)), DOUBLE)) * 2.0**-53


def _turn(u: Value) -> tuple[Value, Value]:
    """(cos, sin) of 2 pi u for a float32 u in [0, 1): the quarter turns are taken off exactly; Taylor's series at up to pi / 4."""
    builder = u.builder
    quarters = Value(builder, builder.fptosi((u * 4 + 0.5).ir, INT))
    t = (u * 4 - Value(builder, builder.sitofp(quarters.ir, FLOAT))) * (math.pi / 2)
    s = t * t
    sine, cosine = s.like(1 / 362880), s.like(1 / 40320)
    for c in (-1 / 5040, 1 / 120, -1 / 6):
        sine = sine * s + c
    for c in (-1 / 720, 1 / 24, -0.5, 1.0):
        cosine = cosine * s + c
    sine = sine * s * t + t
    odd = (quarters & 1) != 0
    x, y = where(odd, sine, cosine), where(odd, cosine, sine)
    return where(((quarters + 1) & 2) != 0, -x, x), where((quarters & 2) != 0, -y, y)


def _normal32(builder: Any, words: Sequence[Any]) -> list[Any]:
    """Box and Muller, "A note on the generation of random normal deviates", 1958; 1 - u is in (0, 1]."""
    a, b, c, d = (_single(builder, word) for word in words)
    return [(sqrt(log(1 - u) * -2) * side).ir for u, v in ((a, b), (c, d)) for side in _turn(v)]


def _normal64(builder: Any, words: Sequence[Any]) -> list[Any]:
    r = sqrt(log(1 - _double(builder, *words[:2])) * -2)
    u = _double(builder, *words[2:]) * (2 * math.pi)
    return [(r * call("cos", u)).ir, (r * call("sin", u)).ir]


_FILLS: dict[str, tuple[str, Callable[..., list[Any]]]] = {
    "bits": ("uint32", lambda builder, words: list(words)),
    "uniform float32": ("float32", lambda builder, words: [_single(builder, word).ir for word in words]),
    "uniform float64": ("float64", lambda builder, words: [_double(builder, *words[k : k + 2]).ir for k in (0, 2)]),
    "normal float32": ("float32", _normal32),
    "normal float64": ("float64", _normal64),
}


def _places(builder: Any, address: Any, first: Any, count: int, element: Any) -> list[Any]:
    """Pointers to elements number ``first`` and on; vector code needs the address itself to be the same in all of a loop."""
    start = builder.inttoptr(address, element.as_pointer())
    return [builder.gep(start, [builder.add(first, LONG(k))]) for k in range(count)]


def _store_all(builder: Any, numbers: Sequence[Any], address: Any, first: Any) -> None:
    element = numbers[0].type
    for number, place in zip(numbers, _places(builder, address, first, len(numbers), element), strict=True):
        builder.store(number, place).align = 4 if element in (INT, FLOAT) else 8


# ------------------------------------------------------------------------------------------------------------ kernels


def fill(kind: str) -> Any:
    """Slots: output, seed, counter, n. A unit is a block of numbers."""
    dtype, made = _FILLS[kind]
    values, SIZE = abi.POINTERS[dtype], np.dtype(dtype).itemsize
    COUNT = 16 // SIZE

    def emit(builder: Any, out: Any, first: Any, seed: Any, counter: Any) -> None:
        _store_all(builder, made(builder, _philox(builder, seed, counter)), out, first)

    block = emitted(types.void, [_I64] * 4, emit)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        out, seed, counter, n = slots[0], slots[1], slots[2], slots[3]
        whole = min(stop, n // COUNT)
        for i in range(start, whole):
            block(out, COUNT * i, seed, counter + i)
        if whole < stop:  # the last block is cut
            spare = stack_bytes(16)
            block(spare, 0, seed, counter + whole)
            for i in range(COUNT * whole, n):
                values(out)[i] = values(spare)[i - COUNT * whole]

    return kernel


def _rest(high: Value, low: Value, span: Value, share: Value) -> Value:
    """(high * 2^16 + low) % span, for high < span <= 2^32; exact, since nothing exceeds 2^53. ``share`` is 1 / span."""
    x = high * 65536.0 + low
    r = x - call("floor", x * share) * span
    r = where(r < 0.0, r + span, r)
    return where(r >= span, r - span, r)


def _modulo(builder: Any, high: Any, low: Any, span: Any, share: Any) -> Any:
    """A 64-bit word, given by its halves, modulo ``span``, at most 2^32; in float64, which there are vector instructions for."""
    double_span, double_share, r = Value(builder, builder.sitofp(span, DOUBLE)), Value(builder, share), Value(builder, DOUBLE(0.0))
    for half in (high, low):
        for quarter in (builder.lshr(half, INT(16)), builder.and_(half, INT(0xFFFF))):
            r = _rest(r, Value(builder, builder.sitofp(quarter, DOUBLE)), double_span, double_share)
    return builder.fptosi(r.ir, LONG)


def integers(kind: str) -> Any:
    """Slots: output (int64), seed, counter, n, low, span, last, flag. A unit is a block of two numbers.

    A number is ``low`` plus a 64-bit word modulo the span ("narrow": up to 2^32). The flag is set where a word exceeds ``last``.
    """
    out_of = abi.POINTERS["int64"]

    def emit(builder: Any, out: Any, first: Any, seed: Any, counter: Any, low: Any, span: Any, share: Any, last: Any) -> Any:
        """Two numbers; whether the upper halves alone are as large as ``last``'s, which is too often, but once in 2^32 / span."""
        a, b, c, d = _philox(builder, seed, counter)
        words = ((b, a), (d, c))  # upper halves first
        if kind == "narrow":
            numbers = [_modulo(builder, *pair, span, share) for pair in words]
        else:
            numbers = [builder.urem(_joined(builder, *pair), span) for pair in words]
        _store_all(builder, [builder.add(low, number) for number in numbers], out, first)
        last_half = builder.trunc(builder.lshr(last, LONG(32)), INT)
        beyond = [builder.icmp_unsigned(">=", word, last_half) for word in (b, d)]
        return builder.zext(builder.or_(*beyond), LONG)

    block = emitted(_I64, [_I64] * 6 + [types.float64, _I64], emit)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        out, seed, counter, n, low, span, last = slots[0], slots[1], slots[2], slots[3], slots[4], slots[5], slots[6]
        share, beyond = 1.0 / span, 0
        whole = min(stop, n // 2)
        for i in range(start, whole):
            beyond |= block(out, 2 * i, seed, counter + i, low, span, share, last)
        if whole < stop:  # the last block is cut
            spare = stack_bytes(16)
            beyond |= block(spare, 0, seed, counter + whole, low, span, share, last)
            out_of(out)[2 * whole] = out_of(spare)[0]
        if beyond:
            out_of(slots[7])[0] = 1

    return kernel


def order() -> Any:
    """Slots: keys (uint64), counts (2^bits + 1 zeros), order (int64), n, bits. One unit: the stable order of random keys.

    Keys go into as many buckets as there are keys, by their upper bits; the few of a bucket are sorted by insertion.
    """
    words, numbers = abi.POINTERS["uint64"], abi.POINTERS["int64"]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        keys, counts, out, n, shift = words(slots[0]), numbers(slots[1]), numbers(slots[2]), slots[3], types.uint64(64 - slots[4])
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
    T, values, SIZE = getattr(types, dtype), abi.POINTERS[dtype], np.dtype(dtype).itemsize
    element = FLOAT if dtype == "float32" else DOUBLE

    def emit(builder: Any, x: Any, out: Any, first: Any, seed: Any, counter: Any, threshold: Any, scale: Any) -> None:
        words, least, elements = _philox(builder, seed, counter), builder.trunc(threshold, INT), []
        for word, place in zip(words, _places(builder, x, first, 4, element), strict=True):
            stays = builder.icmp_unsigned(">=", builder.lshr(word, INT(8)), least)
            value = builder.load(place)
            value.align = SIZE
            elements.append(builder.select(stays, builder.fmul(value, scale), element(0.0)))
        _store_all(builder, elements, out, first)

    block = emitted(types.void, [_I64] * 6 + [T], emit)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        x, out, seed, counter, n, threshold = slots[0], slots[1], slots[2], slots[3], slots[4], slots[5]
        scale, whole = abi.float_of_bits(slots[6]), min(stop, n // 4)
        for i in range(start, whole):
            block(x, out, 4 * i, seed, counter + i, threshold, scale)
        if whole < stop:  # the last block is cut
            spare = stack_bytes(32)
            for i in range(4 * whole, n):
                values(spare)[i - 4 * whole] = values(x)[i]
            block(spare, spare, 0, seed, counter + whole, threshold, scale)
            for i in range(4 * whole, n):
                values(out)[i] = values(spare)[i - 4 * whole]

    return kernel
