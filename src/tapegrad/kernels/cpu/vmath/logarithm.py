"""Logarithms, inverse hyperbolic functions and powers, free of branches; see ``exponential``."""

from __future__ import annotations

import math

from .exponential import exp2_reduced, ln2
from .value import (
    Value,
    at_least,
    at_most,
    bits,
    copysign,
    fma,
    narrowed,
    nearest,
    of_bits,
    polynomial,
    rint,
    scaled,
    sqrt,
    to_float,
    where,
    whole_and_power,
    whole_exponent,
    widened,
)

# (log(1 + f) - f) / f^2 for 1 + f from sqrt(1/2) to sqrt(2)
_LOG_SINGLE = (-0.4999999, 0.33333948, -0.25001785, 0.19962156, -0.16570048, 0.1491682, -0.14309664, 0.087400086)
_LOG_DOUBLE = (
    -0.5, 0.3333333333333325, -0.24999999999987585, 0.20000000000026766, -0.16666666669895017, 0.1428571428500879,
    -0.12499999688952769, 0.11111110858897327, -0.10000015088684798, 0.09090933221014508, -0.08332924264346851, 0.07691358085632008, -0.0714912647815116,
    0.06686362172085229, -0.06201171921453241, 0.056597224059705346, -0.056456210922047896, 0.06508280279261798, -0.0607353436963615,
    0.026918812387255173,
)  # fmt: skip
# (log2(1 + f) - f / ln 2) / f^2, and the same of log10
_LOG2_SINGLE = (-0.7213474, 0.480898, -0.360694, 0.28858146, -0.23968041, 0.20436615, -0.19036281, 0.18739232, -0.113046736)
_LOG10_SINGLE = (-0.2171472, 0.14476472, -0.10857977, 0.08687167, -0.07214981, 0.06151994, -0.05731313, 0.056415446, -0.03401743)
_LOG2_DOUBLE = (
    -0.7213475204444824, 0.48089834696298556, -0.36067376022184805, 0.2885390081782998, -0.2404491735529461, 0.20609929155114876,
    -0.1803368742218575, 0.16029944407818295, -0.14426976542860998, 0.13115450881689042, -0.1202179016685182, 0.11096119185089517,
    -0.10314793444378213, 0.09648578718407196, -0.08942751043462831, 0.08150224396003726, -0.08145813912776535, 0.0943096223078699,
    -0.0879845116760325, 0.03884314362740286,
)  # fmt: skip
_LOG10_DOUBLE = (
    -0.2171472409516261, 0.14476482730108328, -0.1085736204756947, 0.08685889638080302, -0.07238241367205123, 0.062042068841991906,
    -0.05428680846506169, 0.04825494095579401, -0.04342952686141805, 0.0394814412204601, -0.03618919441800695, 0.03340264710174516,
    -0.031050622258360354, 0.029045116097656993, -0.026920363078376794, 0.024534620145894755, -0.02452134326842718, 0.02839002519440978,
    -0.026485977168333567, 0.011692951357732483,
)  # fmt: skip
# (atanh(x) / x - 1) / x^2 in x^2 for |x| <= 1/2
_ATANH_SINGLE = (0.333333, 0.2000262, 0.14220673, 0.1184199, 0.050643828, 0.17772193)
_ATANH_DOUBLE = (
    0.3333333333333328, 0.20000000000018942, 0.1428571428334804, 0.1111111126035933, 0.09090903518630994, 0.07692442027910366,
    0.06664464860596245, 0.05907641316514545, 0.05056605371799939, 0.05962991198694437, -0.005538905571311644, 0.17535564498979295,
    -0.19661485379354868, 0.24139091851321987,
)  # fmt: skip
# what 1 / ln 2 and 1 / ln 10 lose in rounding; log10(2) in two parts, as ln 2
_LOG2E_LOW_SINGLE, _LOG2E_LOW_DOUBLE = 1.9259629911266175e-08, 2.0355273740931033e-17
_LOG10E_LOW_SINGLE, _LOG10E_LOW_DOUBLE = -1.0103050052231683e-08, 1.098319650216765e-17
_LOG10_2_SINGLE = (0.301025390625, 4.605038981195214e-06)
_LOG10_2_DOUBLE = (0.30102999566383914, 1.42050232272661e-13)
# log2(1 + f) / f and (2^r - 1) / r to 38 and 29 bits, for powers of float32
_LOG2_OF_POWER = (
    1.4426950408865737, -0.7213475203275538, 0.4808983488034525, -0.3606737931402569, 0.28853879567698526, -0.24044643328978707,
    0.20610712447116855, -0.1804367596722635, 0.16021665464713744, -0.1424985218551007, 0.13027559423837212, -0.13462983918449042,
    0.132512589346868, -0.06973901497448873,
)  # fmt: skip
_EXP2_OF_POWER = (0.6931472062723882, 0.24022651350205576, 0.05550327729959844, 0.009618003433804088, 0.0013400295454714347, 0.00015476415566544784)

# log2((1 + s) / (1 - s)) = s first + s^3 third + s^5 P(s^2), for powers of float64; the first two with what their rounding lost
_LOG2_FIRST, _LOG2_THIRD = (2.8853900817779268, 4.0710547481862066e-17), (0.9617966939259756, 5.0577616648125907e-17)
_LOG2_FIFTH = (
    0.5770780163555853, 0.4121985831111439, 0.3205988979671547, 0.2623081914681522, 0.2219527885851067, 0.19238056603036385,
    0.16888529114458137, 0.16912971664122153,
)  # fmt: skip


def _unit(x: Value) -> float:
    """What exponents are counted in: of float32 where they lie among its bits, which saves moving them."""
    return 2.0**-23 if x.single else 1.0


def _split(x: Value) -> tuple[Value, Value]:
    """(n, f) with x = 2^e (1 + f), 1 + f from sqrt(1/2) to sqrt(2) and n = e among a float's bits, for a normal, positive x."""
    root, mantissa = (0x3F3504F3, 0x7FFFFF) if x.single else (0x3FE6A09E667F3BCD, 0xFFFFFFFFFFFFF)
    n = (bits(x) - root) & ~mantissa
    return n, of_bits(bits(x) - n) - 1.0


def _exponent(n: Value) -> Value:
    """e as a float, in units."""
    return to_float(n) if n.single else whole_exponent(n)


def _normal(x: Value) -> tuple[Value, Value]:
    """(e, f) with x = 2^e (1 + f), also where x is subnormal; e in units."""
    smallest, bits_lost = (2.0**-126, 24.0) if x.single else (2.0**-1022, 54.0)
    tiny = x < smallest
    n, f = _split(where(tiny, x * 2.0**bits_lost, x))
    e = _exponent(n)
    return where(tiny, e - bits_lost / _unit(x), e), f


def _at_ends(x: Value, y: Value) -> Value:
    """The logarithm y, and that of 0, infinity and what has none."""
    y = where(x < math.inf, y, x)
    return where(x > 0.0, y, where(x == 0.0, x.like(-math.inf), math.nan))


def _sum(e: Value, f: Value) -> Value:
    """e ln 2 + log(1 + f), with e in units."""
    high, low = ln2(f)
    if f.single:  # all of e ln 2 is in the one product that is not rounded
        return fma(e, (high + low) * _unit(f), fma(f * f, polynomial(f, _LOG_SINGLE), f))
    return fma(e, high, f + fma(f * f, polynomial(f, _LOG_DOUBLE), e * low))


def log(x: Value) -> Value:
    return _at_ends(x, _sum(*_normal(x)))


def log1p(x: Value, low: Value | float = 0.0) -> Value:
    """log(1 + x + low), where low is small beside x."""
    u = x + 1.0
    n, f = _split(u)
    lost = (x - (u - 1.0)) + low  # in rounding u, which is exact or x if large
    lost = lost * of_bits(bits(x.like(1.0)) - n)
    return where(x == 0.0, x, _at_ends(u, _sum(_exponent(n), f + where(u < 2.0**100, lost, 0.0))))


def log2(x: Value) -> Value:
    e, f = _normal(x)
    tail = fma(f * f, polynomial(f, _LOG2_SINGLE if x.single else _LOG2_DOUBLE), f * (_LOG2E_LOW_SINGLE if x.single else _LOG2E_LOW_DOUBLE))
    return _at_ends(x, fma(e, _unit(x), fma(f, 1.4426950408889634, tail)))


def log10(x: Value) -> Value:
    e, f = _normal(x)
    tail = fma(f * f, polynomial(f, _LOG10_SINGLE if x.single else _LOG10_DOUBLE), f * (_LOG10E_LOW_SINGLE if x.single else _LOG10E_LOW_DOUBLE))
    high, low = _LOG10_2_SINGLE if x.single else _LOG10_2_DOUBLE
    return _at_ends(x, fma(e, high * _unit(x), fma(f, 0.4342944819032518, fma(e, low * _unit(x), tail))))


def _log1p_or_double(x: Value, near: Value, low: Value) -> Value:
    """log1p(near + low) or, where x is so large that it is the same, log(2 x)."""
    far = x > 2.0**60
    return log1p(where(far, x, near), where(far, 0.0, low)) + where(far, x.like(math.log(2.0)), 0.0)


def asinh(x: Value) -> Value:
    a = abs(x)
    square = a * a
    square_low = fma(a, a, -square)
    sum_ = square + 1.0
    root = sqrt(sum_)
    inverse = 1.0 / (root + 1.0)
    quotient = square * inverse
    near = a + quotient  # sqrt(a^2 + 1) - 1 + a
    if x.single:
        low = x.like(0.0)
    else:
        total = root + 1.0
        root_low = (fma(-root, root, sum_) + ((square - (sum_ - 1.0)) + square_low)) * (0.5 / root)
        rest = fma(-quotient, total, square) + fma(-quotient, (root - (total - 1.0)) + root_low, square_low)
        low = fma(rest, inverse, (a - near) + quotient)
    return copysign(_log1p_or_double(a, near, low), x)


def acosh(x: Value) -> Value:
    if x.single:  # four roundings would be too many
        return narrowed(acosh(widened(x)))
    t = x - 1.0
    total = t + 2.0
    product = t * total
    root = sqrt(product)
    lost = fma(-root, root, product) + fma(t, t - (total - 2.0), fma(t, total, -product))
    near = root + t
    low = fma(lost, 0.5 / root, (root - near) + t)
    low = where(t > 0.0, low, 0.0)
    return where(x >= 1.0, _log1p_or_double(x, near, low), math.nan)


def atanh(x: Value) -> Value:
    a = abs(x)
    s = a * a
    near = fma(a * s, polynomial(s, _ATANH_SINGLE if x.single else _ATANH_DOUBLE), a)
    return copysign(where(a < 0.5, near, 0.5 * log1p((a + a) / (1.0 - a))), x)


def pow_single(x: Value, y: Value) -> Value:
    """x^y of float32, in float64: results that float32 has are exact."""
    n, f = _split(widened(abs(x)))
    exponent = widened(at_least(at_most(y, 1e30), -1e30))  # infinity times the logarithm of 1 would be NaN
    product = exponent * fma(f, polynomial(f, _LOG2_OF_POWER), _exponent(n))
    limited = at_least(at_most(product, 200.0), -200.0)
    whole, power = whole_and_power(limited, 1.0)
    r = limited - whole
    return _with_special_powers(x, y, narrowed(fma(polynomial(r, _EXP2_OF_POWER), r, 1.0) * power))


def pow_double(x: Value, y: Value) -> Value:
    high, low = _log2_in_two_parts(abs(x))
    exponent = at_least(at_most(y, 1e300), -1e300)
    product = exponent * high
    lost = fma(exponent, low, fma(exponent, high, -product))
    limited = at_least(at_most(product, 1030.0), -1080.0)
    n = nearest(limited)
    r = (limited - to_float(n, limited)) + where(limited == product, lost, 0.0)
    return _with_special_powers(x, y, scaled(exp2_reduced(r), n))


def _log2_in_two_parts(x: Value) -> tuple[Value, Value]:
    """log2(x) of a float64 to some 66 bits: by the series in s = (m - 1) / (m + 1), whose first two terms are in two parts."""
    e, f = _normal(x)
    total = f + 2.0
    inverse = 1.0 / total
    s = f * inverse
    s_low = fma(-s, f - (total - 2.0), fma(-s, total, f)) * inverse
    z = s * s
    cube = s * z
    cube_low = fma(s_low, z, fma(s, fma(s + s, s_low, fma(s, s, -z)), fma(s, z, -cube)))
    (one, one_low), (three, three_low) = _LOG2_FIRST, _LOG2_THIRD
    first, third = s * one, cube * three
    low = fma(s, one, -first) + fma(s_low, one, s * one_low)
    low = low + (fma(cube, three, -third) + fma(cube_low, three, cube * fma(z, polynomial(z, _LOG2_FIFTH), three_low)))
    head = e + first
    high = head + third
    return high, low + (((e - head) + first) + ((head - high) + third))


def _with_special_powers(x: Value, y: Value, positive: Value) -> Value:
    """x^y from |x|^y, which may be anything where that is no number, 0 or infinity."""
    a = abs(x)
    positive = where((a == 0.0) | (a == math.inf), where((a == 0.0) ^ (y < 0.0), x.like(0.0), math.inf), positive)
    whole = rint(y) == y
    odd = whole & (rint(y * 0.5) != y * 0.5)
    nothing = ((x < 0.0) & (x > -math.inf) & ~whole) | (x != x) | (y != y)
    value = where(nothing, math.nan, where(odd, copysign(positive, x), positive))
    return where((x == 1.0) | (y == 0.0), 1.0, value)  # even of NaN
