"""Trigonometric functions of one float32, and their inverses also of one float64, free of branches; the polynomials are minimax fits of our own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .value import Value, bits, copysign, fma, narrowed, nearest, polynomial, rint, sqrt, to_float, where, widened

# (sin(x) / x - 1) / x^2 and (cos(x) - 1 + x^2 / 2) / x^4 in x^2, for |x| <= pi / 4
_SIN = (-0.16666655, 0.00833219, -0.00019518408)
_COS = (0.041666646, -0.0013887301, 2.4430668e-05)
# (tan(x) / x - 1) / x^2 in x^2 for |x| <= pi / 4
_TAN = (0.33333352, 0.13332586, 0.054068033, 0.021242931, 0.010932022, -2.6643156e-05, 0.0044311956)
# (asin(x) / x - 1) / x^2 in x^2 for |x| <= 1/2, and the same of atan for |x| <= 1
_ASIN_SINGLE = (0.16666754, 0.07495252, 0.045476038, 0.02415213, 0.042211708)
_ATAN_SINGLE = (-0.33333302, 0.19998628, -0.14265126, 0.10956933, -0.08417543, 0.058201257, -0.031422142, 0.011046255, -0.001823116)
_ASIN_DOUBLE = (
    0.16666666666666669, 0.07499999999998433, 0.04464285714635543, 0.030381944138531247, 0.02237217294214989, 0.017352392720869973,
    0.013971212973552933, 0.011479177415184906, 0.01032281435018578, 0.005457506718640358, 0.01740087944269402, -0.014851887071247204,
    0.028757851367421566,
)  # fmt: skip
_ATAN_DOUBLE = (
    -0.3333333333333333, 0.1999999999999992, -0.14285714285701234, 0.11111111110268297, -0.0909090906193528, 0.07692307078827029,
    -0.06666657934573768, 0.05882264416776449, -0.052624922290256754, 0.04758080083637821, -0.043306538430670664, 0.03938687540798632,
    -0.035271331066871296, 0.030330719265790507, -0.024191345810140718, 0.01718398172211335, -0.010412153260359241, 0.005140912856746939,
    -0.0019612554271685326, 0.0005376839297396244, -9.371186345052626e-05, 7.767624330289919e-06,
)  # fmt: skip
# 1 / (2 pi) in pieces of 29 bits, whose products with a float32 are exact in float64, and the rest
_PER_TURN = (0.15915494225919247, 8.327028684640414e-10, 5.69002511952534e-19, 6.317065083361892e-27, 5.595982707708916e-36, 6.551007954373285e-45)  # fmt: skip
_HALF_PI = 1.5707963267948966
_HALF_PI_LACKS = (-4.371139000186241e-08, 6.123233995736766e-17)  # in float32 and in float64


def _quadrant(x: Value) -> tuple[Value, Value]:
    """(k, r) with x = k pi/2 + r up to whole turns, |r| <= pi/4 and k small, for any x.

    Whole turns go from each product with a piece of 1 / (2 pi), so what remains is exact (M. Payne and R. Hanek, "Radian reduction for
    trigonometric functions", SIGNUM Newsletter 18, 1983).
    """
    wide = widened(x)
    products = [wide * piece for piece in _PER_TURN]
    turns = [p - rint(p) for p in products[:-1]] + products[-1:]
    k = nearest(sum(turns[1:], turns[0]) * 4.0)
    r = sum(turns[1:], fma(to_float(k, wide), -0.25, turns[0]))
    return k, r * (2.0 * math.pi)


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


def _half_pi_lacks(x: Value) -> float:
    return _HALF_PI_LACKS[0 if x.single else 1]


def _arc(x: Value) -> tuple[Value, Value, Value]:
    """(head, tail, far), where head + tail is asin(|x|), or half of acos(|x|) where |x| > 1/2, that is, far."""
    a = abs(x)
    far = a > 0.5
    s = where(far, fma(a, -0.5, 0.5), a * a)
    root = sqrt(s)
    lost = where(far, fma(-root, root, s), 0.0)  # in rounding the root; it counts about 1/2
    head = where(far, root, a)
    if not x.single:
        lost = lost / where(root == 0.0, 1.0, root + root)
    return head, _tail(head, s, _ASIN_SINGLE if x.single else _ASIN_DOUBLE, lost), far


def asin(x: Value) -> Value:
    head, tail, far = _arc(x)
    from_half_pi = fma(head, -2.0, _HALF_PI) - fma(tail, 2.0, -_half_pi_lacks(x))
    return copysign(where(far, from_half_pi, head + tail), x)


def acos(x: Value) -> Value:
    head, tail, far = _arc(x)
    y = head + tail
    lacks = _half_pi_lacks(x)
    from_half_pi = _HALF_PI - (copysign(y, x) - lacks)
    from_pi = fma(head, -2.0, 2.0 * _HALF_PI) - fma(tail, 2.0, -2.0 * lacks)
    return where(far, where(x < 0.0, from_pi, y + y), from_half_pi)


def _atan_up_to_1(t: Value, lost: Value | float = 0.0) -> Value:
    """The angle whose tangent is t + lost, for 0 <= t <= 1 and a small second part."""
    s = t * t
    return t + _tail(t, s, _ATAN_SINGLE if t.single else _ATAN_DOUBLE, lost)


def atan(x: Value) -> Value:
    a = abs(x)
    far = a > 1.0
    y = _atan_up_to_1(where(far, 1.0 / a, a))
    return copysign(where(far, _HALF_PI - (y - _half_pi_lacks(x)), y), x)


def atan2(y: Value, x: Value) -> Value:
    a, b = abs(y), abs(x)
    steep = b < a
    small, large = where(steep, b, a), where(steep, a, b)
    t = where(small == large, where(large == 0.0, large, 1.0), small / large)  # 0 / 0 and infinity / infinity
    lost: Value | float = 0.0
    if not x.single:
        rest = fma(-t, large, small)
        lost = where(abs(rest) < large, rest / (large + t * small), 0.0)  # in rounding the quotient; not where that is NaN
    angle = _atan_up_to_1(t, lost)
    lacks = _half_pi_lacks(x)
    angle = where(steep, _HALF_PI - (angle - lacks), angle)
    return copysign(where(bits(x) < 0, 2.0 * _HALF_PI - (angle - 2.0 * lacks), angle), y)
