"""Normalisation: values about their mean, in units of their standard deviation, and the gradient of that.

16-bit floats are computed in float32, and their statistics stay in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..reduction.layout import compute_dtype
from ..reduction.reduce import mean, var_mean


def standardize(x: Any, axes: tuple[int, ...], eps: float, centered: bool) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(var + eps) over ``axes``, the mean, and the variance; without ``centered``, about 0 instead of the mean.

    The statistics keep their axes, with size 1. The variance's divisor is the number of elements.
    """
    wide = np.ascontiguousarray(x, compute_dtype(x.dtype))
    with np.errstate(all="ignore"):
        if centered:
            spread, centre = var_mean(wide, axes, True, 0)
            wide = wide - centre
            wide -= mean(wide, axes, True)  # what rounding a large mean left over
        else:
            spread = mean(wide * wide, axes, True)
            centre = np.zeros_like(spread)
        return (wide * _inverse_root(spread, eps)).astype(x.dtype, copy=False), centre, spread


def standardize_backward(g: Any, y: Any, var: Any, axes: tuple[int, ...], eps: float, centered: bool) -> Any:
    """(g - mean(g) - y * mean(g * y)) / sqrt(var + eps): the gradient of ``standardize``, whose result was ``y``."""
    wide, y = (np.ascontiguousarray(a, compute_dtype(a.dtype)) for a in (g, y))
    with np.errstate(all="ignore"):
        out = wide - y * mean(wide * y, axes, True)
        if centered:
            out -= mean(wide, axes, True)
        out *= _inverse_root(var, eps)
        return out.astype(g.dtype, copy=False)


def _inverse_root(var: Any, eps: float) -> Any:
    return 1 / np.sqrt(var + var.dtype.type(eps))
