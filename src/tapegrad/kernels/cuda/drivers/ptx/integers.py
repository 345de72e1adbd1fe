"""Arithmetic of PTX on integers, as NumPy on arrays over threads; operands and results are unsigned arrays unless said otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

u1, u4, u8, i4, i8 = np.uint8, np.uint32, np.uint64, np.int32, np.int64
_LOW = u8(0xFFFFFFFF)


def high_product(a: Any, b: Any) -> Any:
    """The upper half of the product, of unsigned or signed integers."""
    if a.dtype.itemsize < 8:
        wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
        return (a.astype(wide) * b.astype(wide) >> wide.type(8 * a.dtype.itemsize)).astype(a.dtype)
    if a.dtype.kind == "i":
        x, y = a.view(u8), b.view(u8)
        return (high_product(x, y) - np.where(a < 0, y, u8(0)) - np.where(b < 0, x, u8(0))).view(i8)[()]
    al, ah, bl, bh = a & _LOW, a >> u8(32), b & _LOW, b >> u8(32)
    middle = ah * bl + (al * bl >> u8(32))
    other = al * bh + (middle & _LOW)
    return ah * bh + (middle >> u8(32)) + (other >> u8(32))


def divided(a: Any, b: Any) -> Any:
    """a / b, truncated; all bits set where b is 0."""
    if a.dtype.kind == "u":
        return np.where(b == 0, ~a.dtype.type(0), a // np.where(b == 0, b.dtype.type(1), b))[()]
    q = divided(_magnitude(a), _magnitude(b))
    return np.where((a < 0) != (b < 0), -q.view(a.dtype), q.view(a.dtype))[()]


def remainder(a: Any, b: Any) -> Any:
    """a - divided(a, b) b; a where b is 0."""
    if a.dtype.kind == "u":
        return np.where(b == 0, a, a % np.where(b == 0, b.dtype.type(1), b))[()]
    r = remainder(_magnitude(a), _magnitude(b)).view(a.dtype)
    return np.where(a < 0, -r, r)[()]


def _magnitude(a: Any) -> Any:
    return np.where(a < 0, -a, a).view(np.dtype(f"u{a.dtype.itemsize}"))


def shifted_left(a: Any, by: Any) -> Any:
    bits = 8 * a.dtype.itemsize
    return np.where(by < bits, a << (by & u4(bits - 1)).astype(a.dtype), a.dtype.type(0))[()]


def shifted_right(a: Any, by: Any) -> Any:
    """Of signed integers with their sign coming in."""
    bits = 8 * a.dtype.itemsize
    return a >> np.minimum(by, u4(bits - 1)).astype(a.dtype) if a.dtype.kind == "i" else (
        np.where(by < bits, a >> (by & u4(bits - 1)).astype(a.dtype), a.dtype.type(0))[()]
    )  # fmt: skip


def funnel(low: Any, high: Any, by: Any, left: bool, clamp: bool) -> Any:
    """``shf``: 32 bits of two words."""
    by = (np.minimum(by, u4(32)) if clamp else by & u4(31)).astype(u8)
    both = (high.astype(u8) << u8(32)) | low
    return ((both << by) >> u8(32) if left else both >> by).astype(u4)


def inserted(a: Any, b: Any, start: Any, length: Any) -> Any:
    """``bfi``: the lowest bits of a, in b."""
    bits = a.dtype.itemsize * 8
    start, length = start & u4(255), length & u4(255)
    ones = ~a.dtype.type(0)
    mask = shifted_left(np.where(length >= bits, ones, shifted_left(a.dtype.type(1), np.minimum(length, u4(bits - 1))) - a.dtype.type(1)), start)
    return (shifted_left(a, start) & mask) | (b & ~mask)


def extracted(a: Any, start: Any, length: Any) -> Any:
    """``bfe``: a field of bits, of signed integers with its highest bit as the sign."""
    bits = a.dtype.itemsize * 8
    start, length = start & u4(255), np.minimum(length & u4(255), u4(bits))
    unsigned = np.dtype(f"u{a.dtype.itemsize}").type
    room = np.minimum(u4(bits) - np.minimum(start, u4(bits)), length)
    x = shifted_right(a.view(unsigned), start)
    mask = np.where(room >= bits, ~unsigned(0), shifted_left(unsigned(1), room) - unsigned(1))
    if a.dtype.kind == "u":
        return x & mask
    sign = shifted_right(a.view(unsigned), np.minimum(start + length - u4(1), u4(bits - 1))) & unsigned(1)
    return np.where((sign != 0) & (length != 0), (x & mask) | ~mask, x & mask).view(a.dtype)[()]


def bytes_picked(a: Any, b: Any, selector: Any) -> Any:
    """``prmt``: each byte of the result is one of the eight of a and b, or eight times its sign."""
    both = (b.astype(u8) << u8(32)) | a
    result: Any = u4(0)
    for k in range(4):
        said = (selector >> u4(4 * k)) & u4(15)
        byte = ((both >> (u8(8) * (said & u4(7)))) & u8(255)).astype(u4)
        byte = np.where(said & u4(8), np.where(byte & u4(128), u4(255), u4(0)), byte)
        result = result | (byte << u4(8 * k))
    return result


def logic(a: Any, b: Any, c: Any, table: int) -> Any:
    """``lop3``: the function of three bits whose table of values is given."""
    result = a & a.dtype.type(0)
    for k in range(8):
        if table >> k & 1:
            result = result | ((a if k & 4 else ~a) & (b if k & 2 else ~b) & (c if k & 1 else ~c))
    return result


def leading_zeros(a: Any) -> Any:
    if a.dtype.itemsize == 8:
        upper = (a >> u8(32)).astype(u4)
        return np.where(upper != 0, leading_zeros(upper), leading_zeros((a & _LOW).astype(u4)) + u4(32))[()]
    return u4(32) - np.frexp(a.astype(np.float64))[1].astype(u4)


def reversed_bits(a: Any) -> Any:
    kind, bits = a.dtype.type, a.dtype.itemsize * 8
    step = bits // 2
    mask = (1 << step) - 1
    while step:
        a = ((a >> kind(step)) & kind(mask)) | ((a & kind(mask)) << kind(step))
        step //= 2
        mask ^= (mask << step) & ((1 << bits) - 1)
    return a


def highest_bit(a: Any) -> Any:
    """``bfind``: the place of the highest bit that differs from the sign, all bits set where there is none."""
    if a.dtype.kind == "i":
        a = np.where(a < 0, ~a, a).view(np.dtype(f"u{a.dtype.itemsize}"))
    return u4(8 * a.dtype.itemsize - 1) - leading_zeros(a)
