"""Random numbers of distributions, made of uniform and normal ones.

Each function takes the seed and counter last, and returns an array and the next counter. Numbers are those of the CPU up to rounding, but
for ``poisson``: float32 and 16-bit dtypes compute in float32 here, except where errors would grow (see ``philox_kernels.WIDE``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...body import Body
from ..array import CudaArray, empty
from ..elementwise import cast, run
from ..index.search import searchsorted
from ..index.sort import sort
from ..reduction.scan import cumsum
from .philox import Drawn, filled, uniform

_BOOL, _DOUBLE, _WORD = np.dtype(np.bool_), np.dtype(np.float64), np.dtype(np.int64)
_BELOW = Body(("u", "odds"), ("t0 = u < odds",), ("t0",))
_RACE = Body(("u", "weight"), ("t0 = T(5.551115123125783e-17)", "t1 = u if u > t0 else t0", "t2 = -log(t1)", "t3 = t2 / weight"), ("t3",))
_QUOTIENT = Body(("a", "b"), ("t0 = a / b",), ("t0",))


def uniform_between(shape: tuple[int, ...], dtype: np.dtype[Any], low: float, high: float, seed: int, counter: int) -> Drawn:
    """Uniform in [low, high)."""
    least, most = dtype.type(low), dtype.type(high)
    below = np.nextafter(most, least) if low < high else math.inf  # rounding must not reach high
    return filled("uniform_between", shape, dtype, seed, counter, float(dtype.type(high - low)), float(least), float(below))


def normal_around(shape: tuple[int, ...], dtype: np.dtype[Any], mean: float, std: float, seed: int, counter: int) -> Drawn:
    """Normal, of this mean and deviation."""
    return filled("normal_around", shape, dtype, seed, counter, std, mean)


def log_normal(shape: tuple[int, ...], dtype: np.dtype[Any], mean: float, std: float, seed: int, counter: int) -> Drawn:
    """Exponentials of normal numbers of this mean and deviation."""
    return filled("log_normal", shape, dtype, seed, counter, std, mean)


def exponential(shape: tuple[int, ...], dtype: np.dtype[Any], rate: float, seed: int, counter: int) -> Drawn:
    """Of density rate * exp(-rate * x), all positive."""
    return filled("exponential", shape, dtype, seed, counter, rate)


def cauchy(shape: tuple[int, ...], dtype: np.dtype[Any], median: float, scale: float, seed: int, counter: int) -> Drawn:
    """Cauchy's, of this median and half width at half maximum."""
    return filled("cauchy", shape, dtype, seed, counter, median, scale)


def geometric(shape: tuple[int, ...], dtype: np.dtype[Any], p: float, seed: int, counter: int) -> Drawn:
    """How many trials it takes until the first success of probability p: 1, 2, ..."""
    most = math.inf
    if dtype.kind in "iu":
        largest = np.iinfo(dtype).max
        most = float(np.nextafter(float(largest), 0) if dtype == np.int64 else largest)
    return filled("geometric", shape, dtype, seed, counter, math.log1p(-p), 0.0, most)


def bernoulli(odds: Any, shape: tuple[int, ...], seed: int, counter: int) -> Drawn:
    """Bools, true with probabilities ``odds`` (an array of the device, or of one element of the host), which broadcast to ``shape``."""
    wide = np.dtype(np.float64 if odds.dtype == np.float64 else np.float32)
    u, counter = uniform(shape, wide, seed, counter)
    out = empty(shape, _BOOL)
    run(_BELOW, (u, odds), (out,), wide)
    return out, counter


def choices(weights: CudaArray, count: int, replacement: bool, seed: int, counter: int) -> Drawn:
    """Columns of each row of weights (m, n), drawn in proportion to them: int64 (m, count).

    Without replacement those of the largest weight / exponential (Efraimidis and Spirakis, "Weighted random sampling with a
    reservoir", 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
    """
    weights = cast(weights, _DOUBLE)
    if not replacement:
        u, counter = uniform(weights.shape, _DOUBLE, seed, counter)
        times = empty(weights.shape, _DOUBLE)
        run(_RACE, (u, weights), (times,), _DOUBLE)
        return sort(times, -1 % times.ndim, False)[1][:, :count].copy(), counter
    places, counter = uniform((len(weights), count), _DOUBLE, seed, counter)
    reached = cumsum(weights, 1, _DOUBLE)
    share = empty(reached.shape, _DOUBLE)
    run(_QUOTIENT, (reached, reached[:, -1:]), (share,), _DOUBLE)
    return searchsorted(share, places, True, _WORD), counter
