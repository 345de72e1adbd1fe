"""Exponentials and what is made of them, free of branches.

Arguments are reduced as in Cody and Waite, "Software Manual for the Elementary Functions" (1980); the polynomials are minimax fits of our
own. Infinities, NaN, signed zeros and subnormal results are those of C's functions.
"""

from __future__ import annotations

from .value import (
    Value,
    at_least,
    at_most,
    copysign,
    fma,
    nearest,
    polynomial,
    scaled,
    to_float,
    where,
    whole_and_power,
)

_LOG2E = 1.4426950408889634
_LN2_SINGLE = (0.693145751953125, 1.42860682030941723212e-6)
_LN2_DOUBLE = (0.6931471803691238, 1.9082149292705877e-10)
# (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2
_EXP_SINGLE = (0.5, 0.16666521, 0.04166639, 0.008368679, 0.0013941878)
_EXP_DOUBLE = (
    0.5, 0.16666666666666677, 0.0416666666666667, 0.008333333333321615, 0.0013888888888866843, 0.00019841269886159178,
    2.4801587360536126e-05, 2.7557244181289315e-06, 2.755724278172808e-07, 2.5109045101133723e-08, 2.092443543160472e-09,
)  # fmt: skip
# (2^r - 1) / r for |r| <= 1/2
_EXP2_SINGLE = (0.6931472, 0.2402265, 0.055503596, 0.0096180625, 0.0013390989, 0.00015462884)
_EXP2_DOUBLE = (
    0.6931471805599453, 0.24022650695910072, 0.0555041086648217, 0.009618129107628496, 0.0013333558146390418, 0.00015403530393341043,
    1.525273385625674e-05, 1.3215486833108148e-06, 1.0178051200738793e-07, 7.054888230627447e-09, 4.4566750258968826e-10,
    2.5741837707631905e-11,
)  # fmt: skip
# (sinh(x) / x - 1) / x^2 in x^2 for |x| <= 1
_SINH_SINGLE = (0.16666667, 0.008333311, 0.00019842632, 2.783963e-06)
_SINH_DOUBLE = (
    0.16666666666666669, 0.008333333333333137, 0.00019841269841438524, 2.755731915506107e-06, 2.505212344379874e-08,
    1.6057236715563214e-10, 7.759425139767678e-13,
)  # fmt: skip
# (tanh(x) / x - 1) / x^2 in x^2 for |x| <= 5/8
_TANH_DOUBLE = (
    -0.333333333333328, 0.13333333333254227, -0.05396825392753981, 0.021869487489456926, -0.008863219855228208, 0.003591979840480542,
    -0.0014549106351021504, 0.0005861576430812953, -0.0002282413259962382, 7.677555232947707e-05, -1.5891464182215923e-05,
)  # fmt: skip


def ln2(x: Value) -> tuple[float, float]:
    """ln 2 for numbers as wide as ``x``, in two parts: the first short enough for its products with whole numbers to be exact."""
    return _LN2_SINGLE if x.single else _LN2_DOUBLE


def reduced(x: Value, low: Value | None = None) -> tuple[Value, Value]:
    """(n, r) with x + low = n ln 2 + r and an integer n, where exp(x) is not far from the range of its type."""
    n = nearest(x * _LOG2E)
    whole = to_float(n, x)
    high, rest = ln2(x)
    r = fma(-whole, high, x)  # exact
    return n, fma(-whole, rest, r) if low is None else r + fma(-whole, rest, low)


def exp_reduced(r: Value) -> Value:
    """exp(r) for |r| <= ln(2) / 2."""
    return polynomial(r, (1.0, 1.0, *(_EXP_SINGLE if r.single else _EXP_DOUBLE)))


def expm1_reduced(r: Value) -> Value:
    """exp(r) - 1 for |r| <= ln(2) / 2."""
    return fma(r * r, polynomial(r, _EXP_SINGLE if r.single else _EXP_DOUBLE), r)


def exp2_reduced(r: Value) -> Value:
    """2^r for |r| <= 1/2."""
    return fma(polynomial(r, _EXP2_SINGLE if r.single else _EXP2_DOUBLE), r, 1.0)


def exp(x: Value) -> Value:
    return _exp_up_to_0(at_most(x, 89.0 if x.single else 710.0))


def _exp_up_to_0(x: Value) -> Value:
    vanishes = x < (-104.0 if x.single else -746.0)  # computing such a result, as of -inf, would be many times slower
    n, r = reduced(where(vanishes, 0.0, x))
    return where(~vanishes, scaled(exp_reduced(r), n), 0.0)  # in the order that makes the choice part of scaling


def exp2(x: Value) -> Value:
    vanishes = x < (-151.0 if x.single else -1076.0)
    limited = where(vanishes, 0.0, at_most(x, 128.0 if x.single else 1024.0))
    n = nearest(limited)
    return where(~vanishes, scaled(exp2_reduced(limited - to_float(n, x)), n), 0.0)


def expm1(x: Value) -> Value:
    limited = at_least(at_most(x, 89.0 if x.single else 710.0), -18.0 if x.single else -38.0)
    whole, half = whole_and_power(limited, _LOG2E, 1)  # 2^n may overflow
    high, rest = ln2(x)
    exact = fma(-whole, high, limited)
    r = fma(-whole, rest, exact)
    lost = fma(-whole, rest, exact - r)  # in rounding r
    q = fma(r * r, polynomial(r, _EXP_SINGLE if x.single else _EXP_DOUBLE), lost)
    y = 2.0 * fma(half, q, fma(half, r, half - 0.5))
    return where(x == 0.0, x, y)  # -0


def tanh(x: Value) -> Value:
    a = at_most(abs(x), 10.0 if x.single else 20.0)
    whole, power = whole_and_power(a, 2.0 * _LOG2E)
    high, rest = ln2(x)  # of float32 the sum will do, for so few multiples of it
    r = fma(whole, -0.5 * (high + rest), a) if x.single else fma(whole, -0.5 * rest, fma(whole, -0.5 * high, a))
    series = _EXP_SINGLE if x.single else _EXP_DOUBLE
    m = fma(r * r, polynomial(r, [2.0 * 2.0**k * c for k, c in enumerate(series)]), r)  # half of exp(2 r) - 1
    h = fma(power, m, fma(power, 0.5, -0.5))  # half of exp(2|x|) - 1
    if x.single:
        near = at_most(h, 1.0)  # the result is h / (h + 1); what it lacks of h or, where that is nearer, of 1 loses less by rounding
        return copysign(fma(-near, near / (h + 1.0), near), x)
    s = a * a
    near = fma(a * s, polynomial(s, _TANH_DOUBLE), a)
    return copysign(where(a < 0.625, near, 1.0 - 1.0 / (h + 1.0)), x)


def sigmoid(x: Value) -> Value:
    if x.single:
        e = _exp_up_to_0(-abs(x))
        near = where(x < 0.0, e, 1.0)
        return fma(-near, e / (1.0 + e), near)
    n, r = reduced(at_least(-abs(x), -746.0))
    m = expm1_reduced(r)
    head = 1.0 + m
    low = m - (head - 1.0)
    e = scaled(head, n)
    total = 1.0 + e
    t = 1.0 / total
    lost = t * fma(t, (total - 1.0) - e, fma(-t, total, 1.0))  # in rounding the sum and the quotient
    return where(x < 0.0, scaled(fma(head, t, fma(head, lost, low * t)), n), t + lost)


def _eighth_of_exp(a: Value) -> tuple[Value, Value]:
    """(power, m) with exp(a) / 8 = power (1 + m), for any a >= 0."""
    a = at_most(a, 90.0 if a.single else 711.0)
    whole, power = whole_and_power(a, _LOG2E, 3)
    high, rest = ln2(a)
    return power, expm1_reduced(fma(-whole, rest, fma(-whole, high, a)))


def sinh(x: Value) -> Value:
    a = abs(x)
    power, m = _eighth_of_exp(a)
    e = fma(power, m, power)
    s = a * a
    near = fma(a * s, polynomial(s, _SINH_SINGLE if x.single else _SINH_DOUBLE), a)
    return copysign(where(a < 1.0, near, 4.0 * (fma(power, m, -0.015625 / e) + power)), x)


def cosh(x: Value) -> Value:
    power, m = _eighth_of_exp(abs(x))
    e = fma(power, m, power)
    return 4.0 * (fma(power, m, 0.015625 / e) + power)
