"""The error function of one float, and the normal distribution of one float32, free of branches."""

from __future__ import annotations

import math

import numpy as np

from .exponential import exp2_reduced, expm1_reduced, ln2, reduced
from .value import Value, at_most, copysign, fma, nearest, polynomial, power_of_two, scaled, to_float, where

_ROOT_HALF = math.sqrt(0.5)
# erf(x) / x - 1 in x^2 for |x| <= 1, and -log(erfc(x)) / x - 1 for x from 0 to 4
_ERF_NEAR = (0.12837917, -0.3761263, 0.11283618, -0.026855126, 0.005190734, -0.00080307614, 7.920368e-05)
_LOG_ERFC = (
    0.12837917, 0.63661957, 0.102776304, -0.019147823, -0.00016950452, 0.0016756771, -0.0006373641, 0.00011886158, -9.3879935e-06,
)  # fmt: skip
# the same of erf for |x| <= 3/4, and -log(erfc(x)) for x from 3/4 to 6
_ERF_NEAR_DOUBLE = (
    0.1283791670955126, -0.37612638903183715, 0.11283791670952596, -0.026866170644428485, 0.005223977615420539, -0.0008548326188759752,
    0.00012055289567541706, -1.4924196305569617e-05, 1.643068417974155e-06, -1.5940066854661717e-07, 1.1472499701094691e-08,
)  # fmt: skip
_LOG_ERFC_DOUBLE = (
    -9.595409713920954e-09, 1.1283792948865505, 0.6366189711487951, 0.10277574988376294, -0.019137132982064816, -0.00019127447891954734,
    0.001667542479326075, -0.0005537731513926605, -1.1124088495054536e-05, 9.479676908357595e-05, -4.948111846119468e-05,
    1.3285075075764925e-05, -5.138519692311272e-07, -1.4342633324960453e-06, 8.58694284830826e-07, -3.176003480121129e-07,
    8.891536200398233e-08, -1.9970438009711957e-08, 3.6773863575163863e-09, -5.589363968991549e-10, 6.999690031081896e-11,
    -7.162018519364828e-12, 5.896930257887343e-13, -3.814511833040681e-14, 1.867326734745329e-15, -6.503909856555018e-17,
    1.4361770117371016e-18, -1.5111606868646217e-20,
)  # fmt: skip
# log2 of the normal distribution's tail from a, less its first term of -1, over a; as exact for a to 6 as gelu needs it
_LOG2_TAIL = (
    -1.1511061, -0.4591997, -0.052515678, 0.007067346, -0.00010431813, -0.00022754901, 6.0993112e-05, -8.281112e-06, 6.0686926e-07,
    -1.898786e-08,
)  # fmt: skip
# exp(a^2 / 2) (a + 1) times the normal distribution's tail from a, in (a - 3) / (a + 3), for a from 0 to 15
_TAIL = (
    0.4860558, -0.09652677, -0.016432242, 0.045164466, -0.022727542, 0.0011557268, 0.0029937653, -0.0003407599, -0.0004727081,
    1.1585028e-05, 4.7185193e-05,
)  # fmt: skip


def _near(x: Value) -> Value:
    """erf(x) for |x| <= 1."""
    s = x * x
    return fma(x, polynomial(s, _ERF_NEAR), x)


def erf(x: Value) -> Value:
    """1 - exp(-log(erfc(|x|))), whose logarithm is nearly a multiple of |x|: of float32 as exact near 0 as far from it."""
    a = at_most(abs(x), 4.0 if x.single else 6.0)
    p = fma(a, polynomial(a, _LOG_ERFC), a) if x.single else polynomial(a, _LOG_ERFC_DOUBLE)
    n = nearest(p * -1.4426950408889634)
    high, low = ln2(x)
    whole = to_float(n, x)
    r = fma(whole, -(high + low), -p) if x.single else fma(whole, -low, fma(whole, -high, -p))
    power = power_of_two(n, x)
    far = copysign(fma(-power, expm1_reduced(r), 1.0 - power), x)
    return far if x.single else where(a < 0.75, fma(x, polynomial(x * x, _ERF_NEAR_DOUBLE), x), far)


def _tail(a: Value, half: float, unit: float) -> Value:
    """2^k times the normal distribution's tail from b = a / unit, for a >= 0 and half = 1 / (2 unit^2) = 2^(k - 1).

    It is exp(-b^2 / 2) times a quotient. Both are kept in two parts, and rounded together.
    """
    halved = a * half
    square = a * halved
    n, r = reduced(-square, -fma(a, halved, -square))
    t = (a - 3.0 * unit) / (a + 3.0 * unit)
    first, *others = [2.0 * half * unit * c for c in _TAIL]
    first_lost, unit_lost = (exact - float(np.float32(exact)) for exact in (first, unit))
    rest = polynomial(t, others)
    numerator = fma(t, rest, first)
    lost = fma(t, rest, first - numerator) + first_lost
    total = a + unit
    quotient = numerator / total
    lost = lost + fma(-quotient, total, numerator) - quotient * (a - (total - unit) + unit_lost)
    lost = lost * quotient * (2.2 / (2.0 * half * unit))  # nearly lost / total, since the numerator is about 1 / 2.2 of that
    m = expm1_reduced(r)
    return scaled(quotient + fma(quotient, m, fma(lost, m, lost)), n)


def erfc(x: Value) -> Value:
    far = _tail(at_most(abs(x), 11.0), 1.0, _ROOT_HALF)
    return where(abs(x) <= 0.5, 1.0 - _near(x), where(x < 0.0, 2.0 - far, far))


def ndtr(x: Value) -> Value:
    tail = _tail(at_most(abs(x), 15.0), 0.5, 1.0)
    return where(x > 0.0, 1.0 - tail, tail)


def gelu_gate(x: Value) -> Value:
    """The normal distribution function, to few units in the last place of gelu for x > 0 and to 1e-5 of itself down to -6."""
    p = polynomial(abs(x), (-1.0, *_LOG2_TAIL))
    vanishes = p < -126.0  # further out p only falls
    p = where(vanishes, 0.0, p)
    n = nearest(p)
    tail = where(~vanishes, scaled(exp2_reduced(p - to_float(n)), n), 0.0)
    return where(x > 0.0, 1.0 - tail, tail)
