"""Trigonometric functions of one float32 and their inverses, free of branches; the polynomials are minimax fits of our own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .value import Value, bits, copysign, fma, narrowed, polynomial, rint, sqrt, to_int, where, widened

# (sin(x) / x - 1) / x^2 and (cos(x) - 1 + x^2 / 2) / x^4 in x^2, for |x| <= pi / 4
_SIN = (-0.16666655, 0.00833219, -0.00019518408)
_COS = (0.041666646, -0.0013887301, 2.4430668e-05)
# (tan(x) / x - 1) / x^2 in x^2 for |x| <= pi / 4
_TAN = (0.33333352, 0.13332586, 0.054068033, 0.021242931, 0.010932022, -2.6643156e-05, 0.0044311956)
# (asin(x) / x - 1) / x^2 in x^2 for |x| <= 1/2, and the same of atan for |x| <= 1
_ASIN = (0.16666754, 0.07495252, 0.045476038, 0.02415213, 0.042211708)
_ATAN = (-0.33333302, 0.19998628, -0.14265126, 0.10956933, -0.08417543, 0.058201257, -0.031422142, 0.011046255, -0.001823116)
# 1 / (2 pi) in pieces of 29 bits, whose products with a float32 are exact in float64, and the rest
_PER_TURN = (0.15915494225919247, 8.327028684640414e-10, 5.69002511952534e-19, 6.317065083361892e-27, 5.595982707708916e-36, 6.551007954373285e-45)  # fmt: skip
_HALF_PI = 1.5707963267948966
_HALF_PI_LOW = -4.371139000186241e-08  # what its float32 lacks


def _quadrant(x: Value) -> tuple[Value, Value]:
    """(k, r) with x = k pi/2 + r up to whole turns, |r| <= pi/4 and k small, for any x.

    Whole turns go from each product with a piece of 1 / (2 pi), so what remains is exact (M. Payne and R. Hanek, "Radian reduction for
    trigonometric functions", SIGNUM Newsletter 18, 1983).
    """
    wide = widened(x)
    products = [wide * piece for piece in _PER_TURN]
    turns = [p - rint(p) for p in products[:-1]] + products[-1:]
    k = rint(sum(turns[1:], turns[0]) * 4.0)
    r = sum(turns[1:], fma(k, -0.25, turns[0]))
    return to_int(narrowed(k)), r * (2.0 * math.pi)


def _turned(k: Value, wide: Value) -> Value:
    """sin(k pi/2 + wide)."""
    r = narrowed(wide)
    s = r * r
    sine, cosine = _odd(r, s, _SIN), fma(s * s, polynomial(s, _COS), fma(s, -0.5, 1.0))
    y = where((k & 1) == 0, sine, cosine)
    return where((k & 2) == 0, y, -y)


def sin(x: Value) -> Value:
    return where(x == 0.0, x, _turned(*_quadrant(x)))


def cos(x: Value) -> Value:
    k, r = _quadrant(x)
    return _turned(k + 1, r)


def tan(x: Value) -> Value:
    k, wide = _quadrant(x)
    r = narrowed(wide)
    tail = _tail(r, r * r, _TAN)
    t = r + tail
    t = r + fma(fma(t, t, 1.0), narrowed(wide - widened(r)), tail)  # what narrowing lost
    return where(x == 0.0, x, where((k & 1) == 0, t, -1.0 / t))


def _tail(x: Value, s: Value, coefficients: Sequence[float], low: Value | float = 0.0) -> Value:
    """low + x^3 P(x^2), given s = x^2."""
    return fma(x * s, polynomial(s, coefficients), low)


def _odd(x: Value, s: Value, coefficients: Sequence[float]) -> Value:
    """x + x^3 P(x^2), given s = x^2."""
    return _tail(x, s, coefficients, x)


def _arc(x: Value) -> tuple[Value, Value, Value]:
    """(head, tail, far), where head + tail is asin(|x|), or half of acos(|x|) where |x| > 1/2, that is, far."""
    a = abs(x)
    far = a > 0.5
    s = where(far, fma(a, -0.5, 0.5), a * a)
    root = sqrt(s)
    lost = where(far, fma(-root, root, s), 0.0)  # in rounding the root; it counts about 1/2
    head = where(far, root, a)
    return head, _tail(head, s, _ASIN, lost), far


def asin(x: Value) -> Value:
    head, tail, far = _arc(x)
    from_half_pi = fma(head, -2.0, _HALF_PI) - fma(tail, 2.0, -_HALF_PI_LOW)
    return copysign(where(far, from_half_pi, head + tail), x)


def acos(x: Value) -> Value:
    head, tail, far = _arc(x)
    y = head + tail
    from_half_pi = _HALF_PI - (copysign(y, x) - _HALF_PI_LOW)
    from_pi = fma(head, -2.0, 2.0 * _HALF_PI) - fma(tail, 2.0, -2.0 * _HALF_PI_LOW)
    return where(far, where(x < 0.0, from_pi, y + y), from_half_pi)


def atan(x: Value) -> Value:
    a = abs(x)
    far = a > 1.0
    t = where(far, 1.0 / a, a)
    y = _odd(t, t * t, _ATAN)
    return copysign(where(far, _HALF_PI - (y - _HALF_PI_LOW), y), x)


def atan2(y: Value, x: Value) -> Value:
    a, b = abs(y), abs(x)
    steep = b < a
    small, large = where(steep, b, a), where(steep, a, b)
    t = where(small == large, where(large == 0.0, large, 1.0), small / large)  # 0 / 0 and infinity / infinity
    angle = _odd(t, t * t, _ATAN)
    angle = where(steep, _HALF_PI - (angle - _HALF_PI_LOW), angle)
    return copysign(where(bits(x) < 0, 2.0 * _HALF_PI - (angle - 2.0 * _HALF_PI_LOW), angle), y)
