"""Random numbers of gamma distributions, as logarithms, and how they move with the distribution's shape parameter.

Logarithms, since for small shapes the numbers themselves are too small for any float: at shape 0.001 half of them are below
1e-300. All in float64.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...native import cache, runtime as rt
from ...native.call import launcher
from ..arrays import empty
from . import philox as random

Array = np.ndarray[Any, np.dtype[Any]]

_DOUBLE = np.dtype(np.float64)
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

    ``digamma`` is that of a + 1; see ``special.log_gamma_slope``.
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
    from ...native import abi
    from ..vmath.functions import functions

    doubles, slope = abi.POINTERS["float64"], functions("float64")["log_gamma_slope"]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        shapes, draws, digammas, out = doubles(slots[0]), doubles(slots[1]), doubles(slots[2]), doubles(slots[3])
        for i in range(start, stop):
            out[i] = slope(shapes[i], draws[i], digammas[i])

    return kernel
