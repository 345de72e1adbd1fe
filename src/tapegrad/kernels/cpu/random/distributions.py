"""Random numbers of distributions, made of uniform and normal ones.

Each function takes the seed and counter last, and returns an array and the next counter. Values are computed in float64 from
float32 draws (float64 for that dtype), and rounded to ``dtype``; an integer dtype takes those nearest to what it can't hold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .philox import bits, normal, uniform

Drawn = tuple[Any, int]


def uniform_between(shape: tuple[int, ...], dtype: np.dtype[Any], low: float, high: float, seed: int, counter: int) -> Drawn:
    """Uniform in [low, high)."""
    start, counter = uniform(shape, dtype, seed, counter)
    values = start * dtype.type(high - low) + dtype.type(low)
    if low < high:  # rounding must not reach high
        values = np.minimum(values, np.nextafter(dtype.type(high), dtype.type(low)))
    return np.asarray(values, dtype), counter


def normal_around(shape: tuple[int, ...], dtype: np.dtype[Any], mean: float, std: float, seed: int, counter: int) -> Drawn:
    """Normal, of this mean and deviation."""
    start, counter = normal(shape, dtype, seed, counter)
    return np.asarray(start * dtype.type(std) + dtype.type(mean), dtype), counter


def log_normal(shape: tuple[int, ...], dtype: np.dtype[Any], mean: float, std: float, seed: int, counter: int) -> Drawn:
    """Exponentials of normal numbers of this mean and deviation."""
    z, counter = normal(shape, _wide(dtype), seed, counter)
    with np.errstate(all="ignore"):
        return _rounded(np.exp(z.astype(np.float64) * std + mean), dtype), counter


def exponential(shape: tuple[int, ...], dtype: np.dtype[Any], rate: float, seed: int, counter: int) -> Drawn:
    """Of density rate * exp(-rate * x), all positive."""
    u, counter = _open_uniform(shape, dtype, seed, counter)
    return _rounded(-np.log(u) / rate, dtype), counter


def cauchy(shape: tuple[int, ...], dtype: np.dtype[Any], median: float, scale: float, seed: int, counter: int) -> Drawn:
    """Cauchy's, of this median and half width at half maximum."""
    u, counter = _open_uniform(shape, dtype, seed, counter)
    with np.errstate(all="ignore"):
        return _rounded(median + scale * np.tan(math.pi * (u - 0.5)), dtype), counter


def geometric(shape: tuple[int, ...], dtype: np.dtype[Any], p: float, seed: int, counter: int) -> Drawn:
    """How many trials it takes until the first success of probability p: 1, 2, ..."""
    u, counter = _open_uniform(shape, dtype, seed, counter)
    return _rounded(np.maximum(np.ceil(np.log(u) / math.log1p(-p)), 1.0), dtype), counter


def bernoulli(odds: Any, shape: tuple[int, ...], seed: int, counter: int) -> Drawn:
    """Bools, true with probabilities ``odds``, which broadcast to ``shape``."""
    u, counter = uniform(shape, _wide(odds.dtype), seed, counter)
    return np.asarray(u < odds), counter


def poisson(rates: Any, seed: int, counter: int) -> Drawn:
    """Poisson's counts of these rates, of their dtype; by NumPy's own generator, started from this one."""
    key, counter = bits(2, seed, counter)
    counts = np.random.Generator(np.random.Philox(key=key)).poisson(rates.astype(np.float64))
    return np.asarray(counts).astype(rates.dtype), counter


def choices(weights: Any, count: int, replacement: bool, seed: int, counter: int) -> Drawn:
    """Columns of each row of weights (m, n), drawn in proportion to them: int64 (m, count).

    Without replacement those of the largest weight / exponential (Efraimidis and Spirakis, "Weighted random sampling with a
    reservoir", 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
    """
    double = np.dtype(np.float64)
    weights = weights.astype(double)
    if not replacement:
        u, counter = _open_uniform(weights.shape, double, seed, counter)
        with np.errstate(divide="ignore"):
            order = np.argsort(-np.log(u) / weights, -1, kind="stable")
        return np.ascontiguousarray(order[:, :count], np.int64), counter
    places, counter = uniform((len(weights), count), double, seed, counter)
    reached = np.cumsum(weights / weights.max(-1, keepdims=True), -1)
    found = [np.searchsorted(row / row[-1], place, side="right") for row, place in zip(reached, places, strict=True)]
    return np.array(found, np.int64).reshape(places.shape), counter


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _open_uniform(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> Drawn:
    """Uniform in (0, 1), as float64: 0 is replaced by half a step of the draw."""
    wide = _wide(dtype)
    u, counter = uniform(shape, wide, seed, counter)
    return np.maximum(u, 2.0**-54 if wide == np.float64 else 2.0**-25, dtype=wide).astype(np.float64), counter


def _rounded(values: Any, dtype: np.dtype[Any]) -> Any:
    with np.errstate(all="ignore"):
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(values, limits.min, np.nextafter(float(limits.max), 0) if dtype == np.int64 else limits.max)
        return np.asarray(values).astype(dtype)
