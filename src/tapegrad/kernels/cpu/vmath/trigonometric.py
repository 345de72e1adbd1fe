"""Trigonometric functions and their inverses; the polynomials are minimax fits of our own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .guarded import guarded, libm
from .value import Value, bits, copysign, fma, in_two_parts, narrowed, nearest, of_bits, polynomial, rint, sqrt, to_float, where, widened

# (sin(x) / x - 1) / x^2 and (cos(x) - 1 + x^2 / 2) / x^4 in x^2, for |x| <= pi / 4
_SIN_SINGLE = (-0.16666655, 0.00833219, -0.00019518408)
_COS_SINGLE = (0.041666646, -0.0013887301, 2.4430668e-05)
_SIN_DOUBLE = (
    -0.16666666666666666, 0.00833333333333093, -0.0001984126983673089, 2.7557316088203675e-06, -2.5051128856786725e-08, 1.591791417048074e-10,
)  # fmt: skip
_COS_DOUBLE = (
    0.041666666666666664, -0.0013888888888887387, 2.480158729874837e-05, -2.7557317262753467e-07, 2.0876144399012594e-09, -1.1382497845488828e-11,
)  # fmt: skip
# (tan(x) / x - 1) / x^2 in x^2 for |x| <= pi / 4
_TAN_SINGLE = (0.33333352, 0.13332586, 0.054068033, 0.021242931, 0.010932022, -2.6643156e-05, 0.0044311956)
_TAN_DOUBLE = (
    0.3333333333333333, 0.13333333333332992, 0.053968253968664996, 0.021869488516651332, 0.008863236013239028, 0.003592120846387042,
    0.0014559039306959478, 0.0005895684453502846, 0.00024125625360256107, 8.989748723238929e-05, 5.576797758752198e-05, -1.126708948088316e-05,
    3.6748979377203334e-05, -1.844101774762592e-05, 8.513587794896332e-06,
)  # fmt: skip
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


# pi / 2 in three parts, all of them positive so that -0 stays what it is
_HALF_PI_SINGLE = (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15)
_HALF_PI_DOUBLE = (1.5707963267948966, 6.123233995736765e-17, 1.0828566739219139e-32)


def _is_far(x: Value) -> Value:
    return abs(x) > (2.0**17 if x.single else 2.0**27)


def _quadrant(x: Value, more: int) -> tuple[Value, Value, Value, tuple[float, float, float]]:
    """(k, whole, left, parts), where x is not far.

    ``whole`` is the nearest whole number of pi / 2 in x, ``k`` ends in the bits of whole + more; ``left`` is what is left of x without
    ``whole`` times the first of the parts of pi / 2. It is exact, by W. J. Cody's and W. Waite's choice of parts and one rounding.
    """
    parts = _HALF_PI_SINGLE if x.single else _HALF_PI_DOUBLE
    shift = 1.5 * 2.0 ** (23 if x.single else 52) + more
    shifted = fma(x, 2.0 / math.pi, shift)  # rounded to whole numbers
    whole = shifted - shift
    return bits(shifted), whole, fma(-whole, parts[0], x), parts


def _quadrant_far(x: Value, more: int) -> tuple[Value, Value]:
    """(k, r) with x + more pi/2 = k pi/2 + r up to whole turns, |r| <= pi/4 in float64 and k small, for any float32.

    Whole turns go from each product with a piece of 1 / (2 pi), so what remains is exact (M. Payne and R. Hanek, "Radian reduction for
    trigonometric functions", SIGNUM Newsletter 18, 1983).
    """
    wide = widened(x)
    products = [wide * piece for piece in _PER_TURN]
    rests = [p - rint(p) for p in products[:-1]] + products[-1:]
    k = nearest(sum(rests[1:], rests[0]) * 4.0)
    r = sum(rests[1:], fma(to_float(k, wide), -0.25, rests[0]))
    return k + more, r * (2.0 * math.pi)


def _sine(k: Value, r: Value) -> Value:
    """sin(k pi/2 + r)."""
    s = r * r
    sine = fma(r, fma(s, polynomial(s, _SIN_SINGLE if r.single else _SIN_DOUBLE), 0.0), r)  # + 0 keeps the sign of a zero
    cosine = polynomial(s, (1.0, -0.5, *(_COS_SINGLE if r.single else _COS_DOUBLE)))
    y = where((k & 1) == 0, sine, cosine)
    highest = 31 if r.single else 63
    return of_bits(bits(y) ^ ((k << (highest - 1)) & (-1 << highest)))


def _sine_near(x: Value, more: int = 0) -> Value:
    k, whole, left, parts = _quadrant(x, more)
    return _sine(k, fma(-whole, parts[2], fma(-whole, parts[1], left)))


def _sine_far(x: Value, more: int = 0) -> Value:
    k, r = _quadrant_far(x, more)
    return _sine(k, narrowed(r))


def _cosine_near(x: Value) -> Value:
    return _sine_near(x, 1)


def _cosine_far(x: Value) -> Value:
    return _sine_far(x, 1)


def sin(x: Value) -> Value:
    return guarded(x, _sine_near, _sine_far if x.single else libm("sin"), _is_far)


def cos(x: Value) -> Value:
    return guarded(x, _cosine_near, _cosine_far if x.single else libm("cos"), _is_far)


def _tangent(k: Value, r: Value, excess: Value) -> Value:
    """tan(k pi/2 + r - excess), with an excess of +0 where r is -0."""
    s = r * r
    tail = r * s * (polynomial(s, _TAN_SINGLE) if r.single else in_two_parts(s, _TAN_DOUBLE))
    t = r + tail
    tail = fma(fma(-t, t, -1.0), excess, tail)
    t = r + tail
    y = -1.0 / t
    if not r.single:
        y = fma(y, y * ((r - t) + tail), y)  # what rounding lost of t
    return where((k & 1) == 0, t, y)


def _tangent_near(x: Value) -> Value:
    k, whole, left, parts = _quadrant(x, 0)
    product = whole * parts[1]
    r = left - product
    return _tangent(k, r, fma(whole, parts[2], fma(whole, parts[1], -product)) - ((left - r) - product))


def _tangent_far(x: Value) -> Value:
    k, wide = _quadrant_far(x, 0)
    r = narrowed(wide)
    return _tangent(k, r, narrowed(widened(r) - wide))


def tan(x: Value) -> Value:
    return guarded(x, _tangent_near, _tangent_far if x.single else libm("tan"), _is_far)


def _tail(x: Value, s: Value, coefficients: Sequence[float], low: Value | float = 0.0) -> Value:
    """low + x^3 P(x^2), given s = x^2."""
    return fma(x * s, polynomial(s, coefficients), low)


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
