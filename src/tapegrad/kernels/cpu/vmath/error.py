"""The error function and the normal distribution, free of branches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .exponential import exp2_reduced, expm1_reduced, ln2, reduced
from .value import Value, at_most, copysign, fma, in_two_parts, polynomial, scaled, where, whole_and_power

# -log(erfc(x)) / x - 1 for x from 0 to 4
_LOG_ERFC = (
    0.12837917, 0.63661957, 0.102776304, -0.019147823, -0.00016950452, 0.0016756771, -0.0006373641, 0.00011886158, -9.3879935e-06,
)  # fmt: skip
# erf(x) / x - 1 in x^2 for |x| <= 3/4, and -log(erfc(x)) for x from 3/4 to 6
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
# exp(x^2) (x + 4) erfc(x) and exp(x^2 / 2) (x + 4) Q(x), Q being the normal distribution's tail, in t = (x - 4) / (x + 4); then what the
# rounding of the first coefficient lost; and by how many times the relative error of 1 / (x + 4) each changes, in t
_ERFC_SINGLE = (
    1.0959956601397782, -0.97654873, 0.7732088, -0.5408533, 0.33084986, -0.17402214, 0.07638477, -0.026291594, 0.006189101,
    -0.00042587394, -0.00076983974,
)  # fmt: skip
_TAIL_SINGLE = (
    0.7552851341743319, -0.60789657, 0.38713697, -0.1865238, 0.060403015, -0.0075238263, -0.0035089175, 0.0015690688, 0.00017411663,
    -0.0001345843,
)  # fmt: skip
_ERFC_DOUBLE = (
    1.095995661000491, -0.9765487290808821, 0.7732087022652366, -0.5408538313132248, 0.33085158787803237, -0.17401093724028804,
    0.07638151490896558, -0.026370053334720388, 0.006112055658692656, -0.00028095891441178483, -0.0004550527003934901,
    0.00017681307588860676, -3.6351077835720256e-06, -1.8861737815212973e-05, 4.694240215017685e-06, 1.4259692633607668e-06,
    -8.458980225362749e-07, -7.778385322161299e-08, 1.2388663485066963e-07, 2.4428553606522116e-09, -1.5411725525612664e-08,
    -3.2223973083449253e-10, 1.0402289253233314e-09,
)  # fmt: skip
_TAIL_DOUBLE = (
    0.7552851304157515, -0.6078966419718921, 0.3871374007422196, -0.18652185795966328, 0.060396574890661386, -0.007540188966482688,
    -0.0034796923615267525, 0.0016308184538018934, 0.00013334424789097202, -0.00023109490701366133, -1.9078412822642593e-06,
    3.514458254489022e-05, 7.149693064658936e-07, -5.920043239708926e-06, -6.252218544272578e-07, 1.0219075112522167e-06,
    2.6415557990458996e-07, -1.5664018658122386e-07, -7.722008690764994e-08, 1.60943433623835e-08, 1.4627571077112195e-08,
    -3.4438941123455656e-10, -1.1988965686443923e-09,
)  # fmt: skip
_LOST_ERFC, _LOST_TAIL = 5.928828291865662e-17, -3.7390252092188414e-17
_SLOPE_ERFC, _SLOPE_TAIL = (1.89, -1.75, 0.86), (1.8, -1.1, 0.29)


def erf(x: Value) -> Value:
    """1 - exp(-log(erfc(|x|))), whose logarithm is nearly a multiple of |x|: of float32 as exact near 0 as far from it."""
    a = at_most(abs(x), 4.0 if x.single else 6.0)
    p = fma(a, polynomial(a, _LOG_ERFC), a) if x.single else in_two_parts(a, _LOG_ERFC_DOUBLE)
    whole, power = whole_and_power(p, -1.4426950408889634)
    high, low = ln2(x)
    r = fma(whole, -(high + low), -p) if x.single else fma(whole, -low, fma(whole, -high, -p))
    far = copysign(fma(-power, expm1_reduced(r), 1.0 - power), x)
    return far if x.single else where(a < 0.75, fma(x, polynomial(x * x, _ERF_NEAR_DOUBLE), x), far)


def _in_two_numbers(t: Value, coefficients: Sequence[float], first_lost: float) -> tuple[Value, Value]:
    """A polynomial as a number and a small rest: what the last additions lost, and rounding the first coefficient."""
    first, second, *others = coefficients
    if t.single:
        rest = fma(t, polynomial(t, others), second)
        total = fma(t, rest, first)
        return total, fma(t, rest, first - total) + (first - float(np.float32(first)))
    upper = polynomial(t, (*others[:2], in_two_parts(t, others[2:])))
    rest = fma(t, upper, second)
    total = fma(t, rest, first)
    return total, fma(t, rest, first - total) + fma(t, fma(t, upper, second - rest), first_lost)


def _tail(x: Value, square: float, coefficients: Sequence[float], first_lost: float, slope: Sequence[float]) -> Value:
    """exp(-square x^2) P(t) / (x + 4) with t = (x - 4) / (x + 4), for x >= 0 and a power of two as square.

    It is the product of an exponential and a quotient. Both are kept in two parts, and rounded together.
    """
    squared = x * square
    n, r = reduced(-(x * squared), -fma(x, squared, -(x * squared)))
    total = x + 4.0
    inverse = 1.0 / total
    t = fma(inverse, -8.0, 1.0)
    error = fma(-inverse, x - (total - 4.0), fma(-inverse, total, 1.0))  # relative, of the inverse
    error = error * polynomial(t, slope)
    if not x.single:
        error = fma(fma(inverse, -8.0, 1.0 - t), -0.6, error)  # t is rounded only above 1/2, where the logarithm of P changes so
    numerator, rest = _in_two_numbers(t, coefficients, first_lost)
    quotient = numerator * inverse
    lost = fma(quotient, error, fma(inverse, rest, fma(numerator, inverse, -quotient)))
    m = expm1_reduced(r)
    return scaled(quotient + fma(quotient, m, fma(lost, m, lost)), n)


def erfc(x: Value) -> Value:
    coefficients = _ERFC_SINGLE if x.single else _ERFC_DOUBLE
    far = _tail(at_most(abs(x), 11.0 if x.single else 28.0), 1.0, coefficients, _LOST_ERFC, _SLOPE_ERFC)
    return where(x < 0.0, 2.0 - far, far)


def ndtr(x: Value) -> Value:
    coefficients = _TAIL_SINGLE if x.single else _TAIL_DOUBLE
    tail = _tail(at_most(abs(x), 15.0 if x.single else 39.0), 0.5, coefficients, _LOST_TAIL, _SLOPE_TAIL)
    return where(x > 0.0, 1.0 - tail, tail)


def gelu_gate(x: Value) -> Value:
    """The normal distribution function, to few units in the last place of gelu for x > 0 and to 1e-5 of itself down to -6."""
    a = abs(x)
    p = polynomial(a, _LOG2_TAIL)
    whole, power = whole_and_power(a, p, 1)
    tail = where(~(whole < -125.0), exp2_reduced(fma(a, p, -whole)) * power, 0.0)  # further out it only falls
    return where(x > 0.0, 1.0 - tail, tail)
