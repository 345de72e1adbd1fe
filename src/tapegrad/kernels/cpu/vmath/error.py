"""The error function and the normal distribution of one float32, free of branches."""

from __future__ import annotations

import math

import numpy as np

from .exponential import exp, expm1_reduced, reduced
from .value import Value, at_most, copysign, fma, polynomial, scaled, where

_ROOT_HALF = math.sqrt(0.5)
# erf(x) / x - 1 in x^2 for |x| <= 1, and log(erfc(x)) for x from 1 to 4
_ERF_NEAR = (0.12837917, -0.3761263, 0.11283618, -0.026855126, 0.005190734, -0.00080307614, 7.920368e-05)
_ERF_FAR = (-0.00034151258, -1.1270893, -0.6381447, -0.10310692, 0.021838157, -0.0029476846, 0.00018638237)
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
    a = at_most(abs(x), 4.0)
    far = 1.0 - exp(polynomial(a, _ERF_FAR))
    return where(a <= 1.0, _near(x), copysign(far, x))


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
