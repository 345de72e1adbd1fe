"""Special functions of one double, as plain Python: what kernels compile, and what tests run on arrays.

Backends compile these functions with Numba, and ``npmath`` vectorises them, each with its own ``exp``, ``log``, ... in place of the
ones imported here. So they call nothing but each other and those names, allocate nothing and raise nothing. float32 goes through
them in double precision. Errors are a few units in the last place; tests compare with mpmath.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import cos, erfc, exp, log, log1p, sin, sqrt, tan
from typing import Any

INF, NAN = math.inf, math.nan
_PI = math.pi
_ROOT_HALF = math.sqrt(0.5)


def floor(x: float) -> float:
    """The largest whole number not above x, as a float."""
    return x // 1.0


def _written_out(lines: list[str], arguments: str = "x") -> Callable[..., float]:
    """A function from source made of numbers: a loop over a tuple would leave an index check in the kernel, which can raise."""
    scope: dict[str, Any] = {"__name__": __name__}
    exec("\n    ".join([f"def function({arguments}):", *lines]), scope)
    function: Callable[..., float] = scope["function"]
    return function


def _polynomial(*coefficients: float) -> Callable[[float], float]:
    """A polynomial, highest power first, by Horner's rule."""
    text = repr(coefficients[0])
    for c in coefficients[1:]:
        text = f"({text}) * x + {c!r}"
    return _written_out([f"return {text}"])


def _chebyshev(*coefficients: float) -> Callable[[float], float]:
    """A Chebyshev series on [-1, 1], lowest order first, by Clenshaw's recurrence (1955)."""
    lines = ["u = 2.0 * x", "b = 0.0", f"a = {coefficients[-1]!r}"]
    lines += [f"b, a = a, u * a - b + {c!r}" for c in coefficients[-2:0:-1]]
    return _written_out([*lines, f"return x * a - b + {coefficients[0]!r}"])


# ---------------------------------------------------------------------------------------------------------- sin(pi x)


def sinc(x: float) -> float:
    """sin(pi x) / (pi x), and 1 at 0. The argument is reduced before it is multiplied by pi, so zeros are exact."""
    if x == 0.0:
        return 1.0
    if x - x != 0.0:
        return x * 0.0 if x != x else 0.0
    whole = floor(x + 0.5)
    value = sin(_PI * (x - whole))
    if whole - 2.0 * floor(0.5 * whole) != 0.0:
        value = -value
    return value / (_PI * x)


def spherical_j1(x: float) -> float:
    """(sin(x)/x - cos(x)) / x, minus the derivative of sin(x)/x; near 0 its Taylor series x/3 (1 - x^2/10 + ...)."""
    if abs(x) < 1.0:
        s = x * x
        tail = 1.0 - s / 130.0 * (1.0 - s / 180.0 * (1.0 - s / 238.0))
        return x / 3.0 * (1.0 - s / 10.0 * (1.0 - s / 28.0 * (1.0 - s / 54.0 * (1.0 - s / 88.0 * tail))))
    if x - x != 0.0:
        return x * 0.0 if x != x else 0.0
    return (sin(x) / x - cos(x)) / x


def logit(p: float) -> float:
    """log(p / (1 - p)); about 1/2, where the quotient is about 1, by log1p."""
    if 0.25 < p < 0.75:
        return log1p((2.0 * p - 1.0) / (1.0 - p))
    if p < 0.0 or p > 1.0:
        return NAN
    return log(p / (1.0 - p))


# --------------------------------------------------------------------------------------------------- normal distribution


def erfcx(x: float) -> float:
    """exp(x^2) erfc(x): x^2 is split so that exp loses nothing; for large x the asymptotic series (DLMF 7.12.1)."""
    if x < -27.0:
        return INF
    if x < 25.0:
        scaled = 134217729.0 * x  # Veltkamp: high has half of the bits, so its square is exact
        high = scaled - (scaled - x)
        rest = (x - high) * (x + high)
        return exp(high * high) * (1.0 + rest * (1.0 + 0.5 * rest)) * erfc(x)
    if x > 1e150:
        return 1.0 / (x * sqrt(_PI))
    s = 0.5 / (x * x)
    return (1.0 - s * (1.0 - 3.0 * s * (1.0 - 5.0 * s * (1.0 - 7.0 * s * (1.0 - 9.0 * s * (1.0 - 11.0 * s)))))) / (x * sqrt(_PI))


def _exp_square(x: float) -> float:
    """exp(-x^2 / 2) with x^2 split as in erfcx, for |x| < 1e100."""
    scaled = 134217729.0 * x
    high = scaled - (scaled - x)
    rest = 0.5 * (x - high) * (x + high)
    return exp(-0.5 * high * high) * (1.0 - rest * (1.0 - 0.5 * rest))


def _upper(x: float) -> float:
    """Twice the normal distribution's upper tail, erfc(x / sqrt(2)); far out without rounding x / sqrt(2)."""
    if x < 1.0 or x != x:
        return erfc(x * _ROOT_HALF)
    return _exp_square(x) * erfcx(x * _ROOT_HALF) if x < 40.0 else 0.0


def ndtr(x: float) -> float:
    """The normal distribution function."""
    return 0.5 * _upper(-x)


def gelu_gate(x: float) -> float:
    """The normal distribution function, to which far out the rounding of x / sqrt(2) may add some units in the last place."""
    return 0.5 * erfc(-x * _ROOT_HALF)


def log_ndtr(x: float) -> float:
    """log of the normal distribution function, by erfcx where that is small."""
    if x < -1.0:
        return log(0.5 * erfcx(-x * _ROOT_HALF)) - 0.5 * x * x if x > -1e150 else -0.5 * x * x
    return log1p(-0.5 * _upper(x))


def log_ndtr_slope(x: float) -> float:
    """The derivative of log_ndtr: density over distribution function (the inverse Mills ratio)."""
    if x < -1.0:
        return sqrt(2.0 / _PI) / erfcx(-x * _ROOT_HALF)
    return sqrt(2.0 / _PI) * _exp_square(x) / erfc(-x * _ROOT_HALF) if x < 40.0 or x != x else 0.0


# M. J. Wichura, Algorithm AS 241: the percentage points of the normal distribution, Applied Statistics 37 (1988), PPND16.
_central_p = _polynomial(
    2509.0809287301227, 33430.57558358813, 67265.7709270087, 45921.95393154987,
    13731.69376550946, 1971.5909503065513, 133.14166789178438, 3.3871328727963665,
)
_central_q = _polynomial(
    5226.495278852854, 28729.085735721943, 39307.89580009271, 21213.794301586597,
    5394.196021424751, 687.1870074920579, 42.31333070160091, 1.0,
)
_middle_p = _polynomial(
    0.0007745450142783414, 0.022723844989269184, 0.2417807251774506, 1.2704582524523684,
    3.6478483247632045, 5.769497221460691, 4.630337846156546, 1.4234371107496835,
)
_middle_q = _polynomial(
    1.0507500716444169e-09, 0.0005475938084995345, 0.015198666563616457, 0.14810397642748008,
    0.6897673349851, 1.6763848301838038, 2.053191626637759, 1.0,
)
_tail_p = _polynomial(
    2.0103343992922881e-07, 2.7115555687434876e-05, 0.0012426609473880784, 0.026532189526576124,
    0.29656057182850487, 1.7848265399172913, 5.463784911164114, 6.657904643501103,
)
_tail_q = _polynomial(
    2.0442631033899397e-15, 1.421511758316446e-07, 1.8463183175100548e-05, 0.0007868691311456133,
    0.014875361290850615, 0.1369298809227358, 0.599832206555888, 1.0,
)


def _quantile(q: float, smaller: float) -> float:
    """The normal quantile of 1/2 + q; ``smaller`` is the probability of the nearer tail."""
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * _central_p(r) / _central_q(r)
    if smaller < 0.0 or q != q:
        return NAN
    if smaller == 0.0:
        return INF if q > 0.0 else -INF
    r = sqrt(-log(smaller))
    if r <= 5.0:
        value = _middle_p(r - 1.6) / _middle_q(r - 1.6)
    else:
        value = _tail_p(r - 5.0) / _tail_q(r - 5.0)
    return value if q > 0.0 else -value


def ndtri(p: float) -> float:
    """The inverse of the normal distribution function."""
    return _quantile(p - 0.5, p if p < 0.5 else 1.0 - p)


def erfinv(x: float) -> float:
    """The inverse of erf."""
    return _quantile(0.5 * x, 0.5 * (1.0 - abs(x))) * _ROOT_HALF


# --------------------------------------------------------------------------------------------------------- gamma function

# The zero of digamma in three parts, and the rational approximation of J. Maddock on [1, 2] (Boost.Math, digamma.hpp).
_ROOT1, _ROOT2, _ROOT3 = 1569415565.0 / 2.0**30, 381566830.0 / 2.0**60, 0.9016312093258695918615325266959189453125e-19
_DIGAMMA_Y = 0.99558162689208984
_digamma_p = _polynomial(
    -0.0020713321167745952, -0.045251321448739056, -0.28919126444774784, -0.65031853770896507, -0.32555031186804491,
    0.25479851061131551,
)
_digamma_q = _polynomial(
    -0.55789841321675513e-6, 0.0021284987017821144, 0.054151797245674225, 0.43593529692665969, 1.4606242909763515,
    2.0767117023730469, 1.0,
)
# -B(2k) / 2k, highest first (DLMF 5.11.2)
_digamma_series = _polynomial(1.0 / 12.0, -691.0 / 32760.0, 1.0 / 132.0, -1.0 / 240.0, 1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0)


def _digamma_positive(x: float) -> float:
    if x >= 10.0:
        s = 1.0 / (x * x)
        return log(x) - 0.5 / x - s * _digamma_series(s)
    total = 0.0
    while x > 2.0:
        x -= 1.0
        total += 1.0 / x
    if x < 1.0:
        total = -1.0 / x
        x += 1.0
    from_root = x - _ROOT1 - _ROOT2 - _ROOT3
    return total + (from_root * _DIGAMMA_Y + from_root * (_digamma_p(x - 1.0) / _digamma_q(x - 1.0)))


def digamma(x: float) -> float:
    """The logarithmic derivative of the gamma function; reflected for negative x (DLMF 5.5.4)."""
    if x > 0.0 or x != x:
        return _digamma_positive(x)
    if x == 0.0:
        return -INF if 1.0 / x > 0.0 else INF
    part = x - floor(x + 0.5)
    if part == 0.0 or part != part:  # a pole, or -inf
        return NAN
    return _digamma_positive(1.0 - x) - _PI / tan(_PI * part)


def _rising(*coefficients: float) -> Callable[[float, float], float]:
    """c0 + (s+1) (s+2) w (c1 + (s+3) (s+4) w (c2 + ...)), as a function of s and w."""
    text = repr(coefficients[-1])
    for k in range(len(coefficients) - 1, 0, -1):
        text = f"{coefficients[k - 1]!r} + (s + {2.0 * k - 1.0!r}) * (s + {2.0 * k!r}) * w * ({text})"
    return _written_out([f"return {text}"], "s, w")


# B(2k) / (2k)!
_zeta_series = _rising(
    1.0 / 12.0, -1.0 / 720.0, 1.0 / 30240.0, -1.0 / 1209600.0, 1.0 / 47900160.0, -691.0 / 1307674368000.0, 1.0 / 74724249600.0,
    -3617.0 / 10670622842880000.0, 43867.0 / 5109094217170944000.0, -174611.0 / 802857662698291200000.0,
)


def _zeta(s: float, a: float) -> float:
    """Hurwitz' zeta function, the sum of (a + k)^-s, for a > 0 and whole s > 1: Euler and Maclaurin (DLMF 25.11.8)."""
    if a == 0.0:
        return INF
    total = 0.0
    while a < s + 8.0:
        term: float = a**-s
        total += term
        if term <= 1e-17 * total:  # also where both are 0, or infinite
            return total
        a += 1.0
    last: float = a**-s
    return total + a * last / (s - 1.0) + (0.5 * last + s * last / a * _zeta_series(s, 1.0 / (a * a)))


def polygamma(n: float, x: float) -> float:
    """The n-th derivative of digamma: (-1)^(n+1) n! times the sum of (x + k)^-(n+1) over k >= 0 (DLMF 5.15.1).

    For negative x the sum is split at 0 into three series of positive terms.
    """
    if n == 0.0:
        return digamma(x)
    if x != x or x == -INF or not n > 0.0:
        return NAN
    if x == INF:
        return 0.0
    s = n + 1.0
    odd = s - 2.0 * floor(0.5 * s) != 0.0
    if x > 0.0:
        total = _zeta(s, x)
    else:
        below = floor(x)
        left = _zeta(s, (below + 1.0) - x) - _zeta(s, 1.0 - x)
        total = _zeta(s, x - below) + (-left if odd else left)
    factorial, k = 1.0, 2.0
    while k <= n and factorial < INF:
        factorial *= k
        k += 1.0
    total *= factorial
    return -total if odd else total


_LARGE = 1e4  # from this shape on, a gamma distribution is so close to a normal one that an expansion is as good as the series
_MOST_TERMS = 100_000


def _slope_by_series(a: float, y: float, psi: float) -> float:
    x, term, harmonic, r, slope = exp(y), 1.0, 0.0, 0.0, 0.0
    for n in range(1, _MOST_TERMS):
        bound = a + n
        term *= x / bound
        harmonic += 1.0 / bound
        r += term
        slope -= term * harmonic  # of r
        if term <= 1e-17 * (1.0 + r) and x <= bound:
            break
    return -((1.0 + r) * (y - psi) + slope) / a


def _slope_by_expansion(a: float, y: float) -> float:
    x, s = exp(y), sqrt(a)
    w = (x - a) / s
    z = w - (w * w - 1.0) / (3.0 * s) + (7.0 * w * w * w - w) / (36.0 * a)
    q = z * z
    return (1.0 + z / (2.0 * s) - z * (q - 7.0) / (72.0 * a * s) + (3.0 * q * q + 7.0 * q - 16.0) / (810.0 * a * a)) / x


def log_gamma_slope(a: float, y: float, psi: float) -> float:
    """d log(x) / d a at y = log(x), for x that moves with the shape a of a gamma distribution so that its quantile stays.

    That is ``-(dF/da) / (x f)`` with the distribution function F and density f (Figurnov et al., "Implicit Reparameterization
    Gradients", 2018, https://arxiv.org/abs/1805.08498). ``psi`` is digamma(a + 1). Good to 4e-7, but for x so far out in the
    upper tail that fewer than one in 1e8 numbers lie beyond, where 1 - F cancels. NaN for shapes that are not positive.

    Below a = 1e4 by the series ``F = x^a e^-x / gamma(a + 1) (1 + r)``, ``r = sum of x^n / ((a + 1) ... (a + n))``, differentiated
    term by term. From there on by the expansion of Cornish and Fisher, ``x = a + z sqrt(a) + ...`` (Abramowitz and Stegun, 26.2.49,
    with the gamma distribution's cumulants), of the normal quantiles z, which its inverse gives.
    """
    if not (a > 0.0 and y < 700.0):
        return NAN
    return _slope_by_expansion(a, y) if a >= _LARGE else _slope_by_series(a, y, psi)


# ------------------------------------------------------------------------------------------------ modified Bessel functions

# Chebyshev series, computed with mpmath: exp(-x) I0(x) and exp(-x) I1(x) (x+2)/x for x in [0, 8], in
# t = x/4 - 1;
# exp(-x) sqrt(x) I0(x) and I1(x) for x >= 8, in t = 16/x - 1. The intervals are those of Cephes (S. L. Moshier).
_i0_small = _chebyshev(
    0.33839763720473803, -0.3046826723431984, 0.17162090152220877, -0.09490109704804764, 0.04930528423967071,
    -0.02373741480589947, 0.010546460394594998, -0.004324309995050576, 0.0016394756169413357, -0.0005763755745385824,
    0.00018850288509584165, -5.754195010082104e-05, 1.6448448070728896e-05, -4.4167383584587505e-06, 1.1173875391201037e-06,
    -2.670793853940612e-07, 6.046995022541919e-08, -1.300025009986248e-08, 2.6598237246823866e-09, -5.189795601635263e-10,
    9.675809035373237e-11, -1.726826291441556e-11, 2.95505266312964e-12, -4.856446783111929e-13, 7.676185498604936e-14,
    -1.1685332877993451e-14, 1.715391285555133e-15, -2.431279846547955e-16, 3.3307945188222384e-17, -4.4153416464793395e-18,
)
_i0_large = _chebyshev(
    0.4022452055070544, 0.0033691164782556943, 6.889758346916825e-05, 2.8913705208347567e-06, 2.0489185894690638e-07,
    2.266668990498178e-08, 3.3962320257083865e-09, 4.94060238822497e-10, 1.1889147107846439e-11, -3.1499165279632416e-11,
    -1.3215811840447713e-11, -1.7941785315068062e-12, 7.180124451383666e-13, 3.8527783827421426e-13, 1.54008621752141e-14,
    -4.150569347287222e-14, -9.554846698828307e-15, 3.8116806693526224e-15, 1.7725601330565263e-15, -3.425485619677219e-16,
    -2.8276239805165836e-16, 3.461222867697461e-17, 4.46562142029676e-17, -4.830504485944182e-18, -7.233180487874754e-18,
)
_i1_small = _chebyshev(
    0.4049285226152329, -0.34803741988004283, 0.15713695300722447, -0.06293567180762272, 0.02133856197831672,
    -0.005618765417878379, 0.0007832229753624263, 0.000255983097175409, -0.00027695079590284513, 0.00014963831953277216,
    -6.317405251086911e-05, 2.2932822831039825e-05, -7.4385635161918915e-06, 2.199929408168511e-06, -6.006683833837363e-07,
    1.527184777556389e-07, -3.638645776039759e-08, 8.16469431896499e-09, -1.732415128984429e-09, 3.4878104549808356e-10,
    -6.682062547222503e-11, 1.2213284884381257e-11, -2.134516486057101e-12, 3.5742891149491103e-13, -5.745079822161657e-14,
    8.878513294605736e-15, -1.3212431451162158e-15, 1.8959694691127222e-16, -2.626925596510547e-17, 3.518465217129912e-18,
)
_i1_large = _chebyshev(
    0.38928811750914005, -0.009761097491361469, -0.00011058893876262371, -3.882564808877691e-06, -2.512236237870209e-07,
    -2.6314688468895196e-08, -3.835380385964237e-09, -5.589743462196584e-10, -1.8974958123505413e-11, 3.2526035830154884e-11,
    1.4125807436613782e-11, 2.0356285441470896e-12, -7.198551776245908e-13, -4.0835511110921974e-13, -2.1015418427726643e-14,
    4.272440016711951e-14, 1.0420276984128802e-14, -3.8144030724370075e-15, -1.8803547755107825e-15, 3.3082023109209285e-16,
    2.96262899764595e-16, -3.209525921993424e-17, -4.6503053684893586e-17, 4.414348323071708e-18, 7.517296310842105e-18,
    -9.314178867326884e-19, -1.242193275194891e-18,
)


def i0e(x: float) -> float:
    """exp(-|x|) I0(x)."""
    x = abs(x)
    if x <= 8.0:
        return _i0_small(0.25 * x - 1.0)
    return _i0_large(16.0 / x - 1.0) / sqrt(x)


def i1e(x: float) -> float:
    """exp(-|x|) I1(x)."""
    a = abs(x)
    if a <= 8.0:
        return x * (_i1_small(0.25 * a - 1.0) / (a + 2.0))
    value = _i1_large(16.0 / a - 1.0) / sqrt(a)
    return -value if x < 0.0 else value


def i0(x: float) -> float:
    """The modified Bessel function of order 0."""
    x = abs(x)
    if x > 700.0:  # exp overflows before I0 does
        return exp(0.5 * x) * i0e(x) * exp(0.5 * x) if x < INF else INF
    return exp(x) * i0e(x)


def i1(x: float) -> float:
    """The modified Bessel function of order 1."""
    a = abs(x)
    if a > 700.0:
        return exp(0.5 * a) * i1e(x) * exp(0.5 * a) if a < INF else x
    return exp(a) * i1e(x)
