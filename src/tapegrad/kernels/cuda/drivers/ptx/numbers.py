"""Arithmetic of PTX on floats, as NumPy on arrays over threads (or on one number, the same of all threads): exact where PTX says how it rounds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

u2, u4, u8, f2, f4, f8 = np.uint16, np.uint32, np.uint64, np.float16, np.float32, np.float64
_SMALLEST = 2.0**-126  # normal float32
_HALFWAY, _BELOW = u8(1 << 28), u8((1 << 29) - 1)  # the bits of a double that float32 has no room for
_SPLITTER = f8(2**27 + 1)


def flushed(x: Any) -> Any:
    """float32 with zeros for subnormal numbers."""
    return np.where(np.abs(x) < f4(_SMALLEST), np.copysign(f4(0), x), x)[()]


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum of doubles and what it misses."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _to_odd(s: Any, e: Any) -> Any:
    """s + e, where e is less than half of the last place of s, rounded to the neighbour that is odd, so that rounding again is right."""
    bits = np.asarray(s).view(u8)
    even = (bits & u8(1)) == 0
    toward = np.where((e > 0) == (s > 0), u8(1), u8(2**64 - 1))
    return np.where(even & (e != 0) & np.isfinite(s), bits + toward, bits).view(f8)[()]


def _risky(s: Any) -> bool:
    """Whether rounding a rounded double again, to float32, may be wrong: halfway between two of them, or below the normal ones."""
    return bool((((np.asarray(s).view(u8) & _BELOW) == _HALFWAY) | ((np.abs(s) < _SMALLEST) & (s != 0))).any())


def rounded(s: Any, e: Any, mode: str) -> Any:
    """The sum of two doubles, the second less than half of the last place of the first, as float32; the mode is "rn", "rz", "rm" or "rp"."""
    if mode == "rn":
        return (_to_odd(s, e) if _risky(s) else s).astype(f4)
    near = s.astype(f4)
    rest = s - near
    rest = np.where(rest == 0, e, rest)
    down, up = rest < 0, rest > 0
    if mode == "rz":
        down, up = down & (near > 0), up & (near < 0)
    wanted = down if mode != "rp" else np.False_
    near = np.where(wanted, np.nextafter(near, f4(-np.inf)), near)
    return np.where(up if mode != "rm" else np.False_, np.nextafter(near, f4(np.inf)), near)[()]


def add32(a: Any, b: Any, mode: str) -> Any:
    return rounded(*two_sum(a.astype(f8), b.astype(f8)), mode)


def mul32(a: Any, b: Any, mode: str) -> Any:
    return rounded(a.astype(f8) * b.astype(f8), f8(0), mode)


def fma32(a: Any, b: Any, c: Any, mode: str = "rn") -> Any:
    p, c = a.astype(f8) * b, c.astype(f8)
    s = p + c
    if mode == "rn" and not _risky(s):
        return s.astype(f4)
    return rounded(*two_sum(p, c), mode)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded product of doubles and what it misses, where nothing overflows."""
    p = a * b
    t = a * _SPLITTER
    ah = t - (t - a)
    t = b * _SPLITTER
    bh = t - (t - b)
    al, bl = a - ah, b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def fma64(a: Any, b: Any, c: Any) -> Any:
    """a b + c of doubles, rounded once to nearest (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008)."""
    uh, ul = _two_product(a, b)
    th, tl = two_sum(c, ul)
    vh, vl = two_sum(uh, th)
    result = vh + _to_odd(*two_sum(tl, vl))
    magnitude = np.abs(uh)
    # Where a part may overflow or lose bits below the least exponent, and where there is nothing to round, another way.
    most = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.maximum(magnitude, np.abs(c)))
    plain = (a == 0) | (b == 0) | ~np.isfinite(a) | ~np.isfinite(b) | ~np.isfinite(c)
    hard = ~plain & (~(most < 2.0**990) | (magnitude < 2.0**-900))
    if plain.any():
        result = np.where(plain, a * b + c, result)
    if hard.any():
        result = np.array(np.broadcast_to(result, np.broadcast_shapes(a.shape, b.shape, c.shape)))
        at = np.broadcast_to(hard, result.shape)
        given = [np.broadcast_to(x, result.shape)[at].tolist() for x in (a, b, c)]
        result[at] = [_fma(*x) for x in zip(*given, strict=True)]
    return result[()]


def _fma(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c  # for its sign
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else -float("inf")


def minimum(a: Any, b: Any) -> Any:
    """The smaller one: a number before a NaN, and -0 before 0."""
    return np.where(a == b, np.where(np.signbit(a), a, b), np.fmin(a, b))[()]


def maximum(a: Any, b: Any) -> Any:
    """The larger one: a number before a NaN, and 0 before -0."""
    return np.where(a == b, np.where(np.signbit(a), b, a), np.fmax(a, b))[()]


def minimum_nan(a: Any, b: Any) -> Any:
    return np.where(np.isnan(a) | np.isnan(b), a + b, minimum(a, b))[()]


def maximum_nan(a: Any, b: Any) -> Any:
    return np.where(np.isnan(a) | np.isnan(b), a + b, maximum(a, b))[()]


def saturated(x: Any) -> Any:
    """Clamped to 0 to 1; 0 for NaN."""
    return np.where(x > 0, np.minimum(x, x.dtype.type(1)), x.dtype.type(0))[()]


def approximate(name: str, x: Any) -> Any:
    """A function of float32 that the hardware approximates, here rounded to nearest."""
    x = x.astype(f8)
    if name == "ex2":
        return np.exp2(x).astype(f4)
    if name == "lg2":
        return np.log2(x).astype(f4)
    if name == "rcp":
        return (f8(1) / x).astype(f4)
    if name == "rsqrt":
        return (f8(1) / np.sqrt(x)).astype(f4)
    return {"sin": np.sin, "cos": np.cos, "sqrt": np.sqrt, "tanh": np.tanh}[name](x).astype(f4)


def coarse_reciprocal(x: Any) -> Any:
    """1/x of doubles as ``rcp.approx.ftz.f64`` has it: from the upper half of the bits, with zeros for the lower half."""
    return upper(f8(1) / upper(x))


def coarse_root(x: Any) -> Any:
    """1/sqrt(x) as ``rsqrt.approx.ftz.f64`` has it."""
    return upper(f8(1) / np.sqrt(upper(x)))


def upper(x: Any) -> Any:
    return (np.asarray(x).view(u8) & u8(0xFFFFFFFF00000000)).view(f8)[()]


def bfloat16(x: Any, mode: str = "rn") -> Any:
    """The bits of float32 rounded to bfloat16."""
    bits = np.asarray(x).view(u4)
    if mode == "rn":
        out = (bits + u4(0x7FFF) + ((bits >> u4(16)) & u4(1))) >> u4(16)
    elif mode == "rz":
        out = bits >> u4(16)
    else:
        raise NotImplementedError(f"rounding {mode} to bfloat16")
    return np.where(np.isnan(x), u4(0x7FFF), out).astype(u2)[()]


def half(x: Any, mode: str = "rn") -> Any:
    """Rounded to float16."""
    near = x.astype(f2)
    if mode == "rn":
        return near
    if mode != "rz":
        raise NotImplementedError(f"rounding {mode} to float16")
    return np.where(np.abs(near.astype(f8)) > np.abs(x), np.nextafter(near, f2(0)), near)[()]


def of_bfloat16(bits: Any) -> Any:
    return (np.asarray(bits).astype(u4) << u4(16)).view(f4)[()]


def fma16(a: Any, b: Any, c: Any) -> Any:
    """a b + c of float16: the product is exact in double precision, and so is the sum but for its last bit."""
    return _to_odd(*two_sum(a.astype(f8) * b.astype(f8), c.astype(f8))).astype(f2)


def fma_bfloat16(a: Any, b: Any, c: Any) -> Any:
    """a b + c of the bits of bfloat16."""
    a, b, c = of_bfloat16(a).astype(f8), of_bfloat16(b).astype(f8), of_bfloat16(c).astype(f8)
    s = _to_odd(*two_sum(a * b, c))
    near = s.astype(f4)
    rest = np.where(np.isfinite(near), s - near, f8(0))
    return bfloat16(np.where(rest == 0, near, _odd32(near, rest)))


def _odd32(near: Any, rest: Any) -> Any:
    """float32 moved to its odd neighbour toward what rounding missed."""
    bits = np.asarray(near).view(u4)
    toward = np.where((rest > 0) == (near > 0), u4(1), u4(2**32 - 1))
    return np.where((bits & u4(1)) == 0, bits + toward, bits).view(f4)[()]
