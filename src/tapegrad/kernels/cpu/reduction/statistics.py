"""Reductions and scans that plain NumPy does: products, truth values, order statistics, norms, running extremes.

Arrays of any strides in, new arrays out. 16-bit floats, which are storage only, are computed in float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...narrow import widen
from ..index.sort import sort
from ..planned import planned
from .reduce import euclidean_norm, sum as pairwise_sum

Array = np.ndarray[Any, np.dtype[Any]]
Axes = tuple[int, ...]


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that products and powers of ``dtype`` are computed in, so that neither rounding nor range is lost on the way."""
    if dtype.kind in "fV":
        return np.dtype(np.float64)
    return np.dtype(np.complex128) if dtype.kind == "c" else dtype


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Overflow and NaN are results here, not events."""

    @functools.wraps(function)
    def quiet(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*args)

    return quiet


# ------------------------------------------------------------------------------------------------------------- products


@_quiet
def prod(x: Array, axes: Axes, keepdims: bool, dtype: np.dtype[Any]) -> Array:
    """The product over ``axes`` in ``dtype``; 1 over nothing."""
    wide = _wide(dtype)
    return np.asarray(np.prod(x.astype(wide, copy=False), axis=axes, keepdims=keepdims)).astype(dtype)


@_quiet
def cumprod(x: Array, axis: int, dtype: np.dtype[Any], reverse: bool) -> Array:
    """Products of the elements up to each one along an axis, or from each one on when ``reverse``, in ``dtype``."""
    if x.ndim == 0:
        return x.astype(dtype)
    wide = x.astype(_wide(dtype), copy=False)
    if not reverse:
        return np.multiply.accumulate(wide, axis=axis).astype(dtype, copy=False)
    return np.ascontiguousarray(np.flip(np.multiply.accumulate(np.flip(wide, axis), axis=axis), axis).astype(dtype, copy=False))


def shift(x: Array, axis: int, by: int, fill: float) -> Array:
    """The elements moved by one place (``by`` 1 or -1) along an axis, with ``fill`` where none came from."""
    out = np.full(x.shape, fill, x.dtype)
    if x.ndim:
        ahead = (slice(None),) * axis
        late, early = (*ahead, slice(1, None)), (*ahead, slice(None, -1))
        out[late if by > 0 else early] = x[early if by > 0 else late]
    return out


# --------------------------------------------------------------------------------------------------------- truth values


def any_nonzero(x: Array, axes: Axes, keepdims: bool) -> Array:
    """Whether any element over ``axes`` is not 0 (NaN is not); False over nothing."""
    return np.asarray(np.any(x.astype(np.bool_), axis=axes, keepdims=keepdims))


def all_nonzero(x: Array, axes: Axes, keepdims: bool) -> Array:
    """Whether all elements over ``axes`` are not 0 (NaN is not); True over nothing."""
    return np.asarray(np.all(x.astype(np.bool_), axis=axes, keepdims=keepdims))


def count_nonzero(x: Array, axes: Axes) -> Array:
    """How many elements over ``axes`` are not 0, as int64."""
    return np.asarray(np.count_nonzero(x.astype(np.bool_), axis=axes), np.int64)


# ---------------------------------------------------------------------------------------------------------------- norms


@planned
@_quiet
def vector_norm(x: Array, axes: Axes, keepdims: bool, p: float) -> Array:
    """``sum(abs(x) ** p) ** (1 / p)`` over ``axes``; the largest or smallest magnitude for inf and -inf, a count for 0.

    Squares and powers are taken of float64, and of magnitudes divided by the largest one where those would overflow or vanish.
    """
    if p == 2 and x.dtype == np.float32:
        return euclidean_norm(x, axes, keepdims)
    size = np.asarray(np.abs(x.astype(np.float64, copy=False)))
    if p == 0:
        return pairwise_sum(np.asarray(size != 0, np.float64), axes, keepdims, np.dtype(np.float64)).astype(x.dtype, copy=False)
    if math.isinf(p):
        extreme = np.max if p > 0 else np.min
        return np.asarray(extreme(size, axis=axes, keepdims=keepdims, initial=0.0 if p > 0 else math.inf)).astype(x.dtype)
    if p == 1:
        return pairwise_sum(size, axes, keepdims, np.dtype(np.float64)).astype(x.dtype, copy=False)
    total = _power_sum(size, axes, p)
    if x.dtype == np.float64 and size.size and not ((total > 1e-280) & (total < 1e280)).all():
        largest = np.max(size, axis=axes, keepdims=True)
        scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        out = scale * _power_sum(size / scale, axes, p) ** (1.0 / p)
    else:
        out = np.sqrt(total) if p == 2 else total ** (1.0 / p)
    kept = [n for d, n in enumerate(x.shape) if d not in axes]
    return np.asarray(out if keepdims else out.reshape(kept)).astype(x.dtype, copy=False)


def _power_sum(size: Array, axes: Axes, p: float) -> Array:
    return pairwise_sum(np.asarray(size * size if p == 2 else size**p), axes, True, np.dtype(np.float64))


# ----------------------------------------------------------------------------------------------------- order statistics


def _picked(x: Array, at: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """The elements at places (one along ``axis``) and the places."""
    values = np.take_along_axis(x, at, axis)
    return (values, at) if keepdims else (values.squeeze(axis).copy(), at.squeeze(axis).copy())


def _lanes(function: Callable[..., tuple[Array, Array]]) -> Callable[..., tuple[Array, Array]]:
    """A 0-d array is a lane of one element."""

    @functools.wraps(function)
    def on_lanes(x: Array, axis: int, keepdims: bool, *args: Any) -> tuple[Array, Array]:
        if x.ndim == 0:
            values, at = function(x.reshape(1), 0, False, *args)
            return np.asarray(values), np.asarray(at)
        return function(x, axis, keepdims, *args)

    return on_lanes


@_lanes
def kth_value(x: Array, axis: int, keepdims: bool, k: int) -> tuple[Array, Array]:
    """The k-th smallest element (from 1) along an axis, NaNs last, and its place."""
    at = np.take(sort(x, axis, False)[1], [k - 1], axis=axis)
    return _picked(x, at, axis, keepdims)


@_lanes
def median(x: Array, axis: int, keepdims: bool, ignore_nan: bool) -> tuple[Array, Array]:
    """The lower median along an axis and its place. A NaN is the median of a lane that has one, unless these are ignored."""
    (_, order), n = sort(x, axis, False), x.shape[axis]
    lost = np.isnan(widen(x)).sum(axis=axis, keepdims=True) if x.dtype.kind in "fV" else np.zeros((), np.int64)
    known = n - lost
    rank = np.where(known > 0, (known - 1) // 2, 0) if ignore_nan else np.where(lost > 0, known, (n - 1) // 2)
    shape = tuple(1 if d == axis else size for d, size in enumerate(x.shape))
    return _picked(x, np.take_along_axis(order, np.broadcast_to(rank, shape), axis), axis, keepdims)


@_lanes
def mode(x: Array, axis: int, keepdims: bool) -> tuple[Array, Array]:
    """The most frequent element along an axis, the smallest of several, and where it is last."""
    ordered, order = sort(x, axis, False)
    ranked = np.moveaxis(ordered, axis, -1)
    n = ranked.shape[-1]
    starts = np.ones(ranked.shape, np.bool_)
    starts[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    place = np.broadcast_to(np.arange(n), ranked.shape)
    run = place - np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
    best = np.argmax(run, axis=-1)  # the first of the longest runs; its last element
    at = np.take_along_axis(order, np.expand_dims(best, axis), axis)
    return _picked(x, at, axis, keepdims)


# -------------------------------------------------------------------------------------------------------- running extremes


def _running(x: Array, axis: int, extreme: Any) -> tuple[Array, Array]:
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    values = widen(x)
    so_far = extreme.accumulate(values, axis=axis)
    reached = values == so_far
    if values.dtype.kind == "f":
        reached |= np.isnan(values)
    shape = [1] * x.ndim
    shape[axis] = -1
    places = np.maximum.accumulate(np.where(reached, np.arange(x.shape[axis]).reshape(shape), 0), axis=axis)
    return so_far.astype(x.dtype, copy=False), places.astype(np.int64, copy=False)


def cummax(x: Array, axis: int) -> tuple[Array, Array]:
    """The maximum of the elements up to each one along an axis, and where it is last; a NaN stays."""
    return _running(x, axis, np.maximum)


def cummin(x: Array, axis: int) -> tuple[Array, Array]:
    """The minimum of the elements up to each one along an axis, and where it is last; a NaN stays."""
    return _running(x, axis, np.minimum)


@_quiet
def logcumsumexp(x: Array, axis: int) -> Array:
    """log of the sums of exp of the elements up to each one along an axis, without overflow."""
    wide = x.astype(np.float64)
    return (np.logaddexp.accumulate(wide, axis=axis) if x.ndim else wide).astype(x.dtype)
