"""Random numbers of gamma distributions, as logarithms, and how they move with the distribution's shape parameter.

Logarithms, since for small shapes the numbers themselves are too small for any float: at shape 0.001 half of them are below
1e-300. All in float64.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import cache, runtime as rt
from ..arrays import empty
from ..call import launcher
from . import philox as random

Array = np.ndarray[Any, np.dtype[Any]]

_DOUBLE = np.dtype(np.float64)
_LARGE = 1e4  # from this shape on, it is so close to a normal one that an expansion is as good as the series
_MOST_TERMS = 100_000
_GRAIN = 1024  # elements below which one thread is faster


def log_gamma(shape: Array, seed: int, counter: int) -> tuple[Array, int]:
    """Logarithms of numbers of gamma distributions of these shapes and of rate 1, and the next counter.

    By rejection: Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26, 2000,
    https://doi.org/10.1145/358407.358414. A number of shape a < 1 is one of shape a + 1 times ``u ** (1 / a)`` with a uniform u.
    NaN for shapes that are not positive.
    """
    a = np.ascontiguousarray(shape, _DOUBLE).ravel()
    out = np.full(a.shape, np.nan)
    usable = (a > 0) & np.isfinite(a)
    d = np.where(a < 1.0, a + 1.0, a) - 1.0 / 3.0
    left = np.flatnonzero(usable)
    while left.size:
        x, counter = random.normal(left.shape, _DOUBLE, seed, counter)
        u, counter = random.uniform(left.shape, _DOUBLE, seed, counter)
        root = 1.0 + x / np.sqrt(9.0 * d[left])
        with np.errstate(all="ignore"):
            log_v = 3.0 * np.log(root)
            accepted = (root > 0) & (np.log1p(-u) < 0.5 * x * x + d[left] * (1.0 - root**3 + log_v))
        out[left[accepted]] = np.log(d[left[accepted]]) + log_v[accepted]
        left = left[~accepted]
    small = np.flatnonzero(usable & (a < 1.0))
    u, counter = random.uniform(small.shape, _DOUBLE, seed, counter)
    out[small] += np.log1p(-u) / a[small]
    return out.reshape(shape.shape), counter


def log_gamma_slope(shape: Array, log_x: Array, digamma: Array) -> Array:
    """d log(x) / d a, for x that moves with the shape a so that its quantile stays; all of one shape.

    That is ``-(dF/da) / (x f)`` with the distribution function F and density f (Figurnov et al., "Implicit Reparameterization
    Gradients", 2018, https://arxiv.org/abs/1805.08498). ``digamma`` is that of a + 1. Good to 4e-7, but for x so far out in the
    upper tail that fewer than one in 1e8 numbers lie beyond, where 1 - F cancels. NaN for shapes that are not positive.

    Below a = 1e4 by the series ``F = x^a e^-x / gamma(a + 1) (1 + r)``, ``r = sum of x^n / ((a + 1) ... (a + n))``, differentiated
    term by term. From there on by the expansion of Cornish and Fisher, ``x = a + z sqrt(a) + ...`` (Abramowitz and Stegun, 26.2.49,
    with the gamma distribution's cumulants), of the normal quantiles z, which its inverse gives.
    """
    a, y, psi = (np.ascontiguousarray(v, _DOUBLE) for v in (shape, log_x, digamma))
    out = empty(np.shape(shape), _DOUBLE)  # contiguous copies of numbers have a dimension
    if out.size > _GRAIN:
        rt.start_threads()
    if out.size:
        launcher()(_slope_kernel(), out.size, _GRAIN, a, y, psi, out)
    return out


@functools.cache
def _slope_kernel() -> int:
    return cache.native("log_gamma_slope", _build)


def _build() -> Any:
    from math import exp, sqrt

    from numba import njit

    from .. import abi

    doubles = abi.POINTERS["float64"]
    large, most, nan = _LARGE, _MOST_TERMS, float("nan")

    @njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
    def summed(a, y, psi):  # type: ignore[no-untyped-def]
        x, term, harmonic, r, slope = exp(y), 1.0, 0.0, 0.0, 0.0
        for n in range(1, most):
            bound = a + n
            term *= x / bound
            harmonic += 1.0 / bound
            r += term
            slope -= term * harmonic  # of r
            if term <= 1e-17 * (1.0 + r) and x <= bound:
                break
        return -((1.0 + r) * (y - psi) + slope) / a

    @njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
    def expanded(a, y):  # type: ignore[no-untyped-def]
        x, s = exp(y), sqrt(a)
        w = (x - a) / s
        z = w - (w * w - 1.0) / (3.0 * s) + (7.0 * w * w * w - w) / (36.0 * a)
        q = z * z
        return (1.0 + z / (2.0 * s) - z * (q - 7.0) / (72.0 * a * s) + (3.0 * q * q + 7.0 * q - 16.0) / (810.0 * a * a)) / x

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        shapes, draws, digammas, out = doubles(slots[0]), doubles(slots[1]), doubles(slots[2]), doubles(slots[3])
        for i in range(start, stop):
            a, y = shapes[i], draws[i]
            if not (a > 0.0 and y < 700.0):
                out[i] = nan
            elif a >= large:
                out[i] = expanded(a, y)
            else:
                out[i] = summed(a, y, digammas[i])

    return kernel
