"""Derivatives of distribution functions by differences, in many digits: what tests of random draws compare with."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np


def _slope(a: float, y: float) -> float:
    with mpmath.workdps(40):
        x, a = mpmath.exp(mpmath.mpf(y)), mpmath.mpf(a)
        moved = mpmath.diff(lambda t: mpmath.gammainc(t, 0, x, regularized=True), a)
        density = mpmath.exp((a - 1) * mpmath.log(x) - x - mpmath.loggamma(a))
        return float(-moved / density / x)


def log_gamma_slope(concentration: Any, draw: Any) -> Any:
    """d log(x) / d concentration of a number x = exp(draw) of a gamma distribution, while its quantile stays."""
    return np.vectorize(_slope, otypes=[np.float64])(concentration, draw)
