"""Sorting, different values, and places among sorted ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...narrow import widen


def sort(x: Any, axis: int, descending: bool) -> tuple[Any, Any]:
    """Sorted values and where they were (int64); equal ones keep their order, NaN counts as the largest."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    keys = widen(x)
    if descending:  # the reverse of an ascending order in which equal ones are reversed
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(keys, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(keys, axis, kind="stable")
    order = np.ascontiguousarray(order, np.int64)
    return np.take_along_axis(x, order, axis), order


def unique(x: Any, axis: int | None) -> tuple[Any, Any, Any]:
    """Of the sorted different elements (or slices along an axis): where each is first, which of them each is, how many; int64."""
    rows = _rows(x, axis)
    if axis is None or rows.shape[1] == 1:
        found = np.unique(rows.reshape(-1), return_index=True, return_inverse=True, return_counts=True, equal_nan=False)[1:]
    elif rows.size:
        found = np.unique(rows, return_index=True, return_inverse=True, return_counts=True, axis=0)[1:]
    else:  # slices without elements are all equal
        n = rows.shape[0]
        found = (np.zeros(min(n, 1), np.int64), np.zeros(n, np.int64), np.full(min(n, 1), n))
    return _as_int64(found, x.shape if axis is None else (x.shape[axis],))


def unique_consecutive(x: Any, axis: int | None) -> tuple[Any, Any, Any]:
    """As :func:`unique`, of runs of equal elements (or slices) in the order in which they stand."""
    rows = _rows(x, axis)
    starts = np.ones(rows.shape[0], np.bool_)
    starts[1:] = np.any(rows[1:] != rows[:-1], axis=1)
    first = np.flatnonzero(starts)
    found = (first, np.cumsum(starts) - 1, np.diff(np.append(first, rows.shape[0])))
    return _as_int64(found, x.shape if axis is None else (x.shape[axis],))


def _rows(x: Any, axis: int | None) -> Any:
    keys = widen(x)
    if axis is None:
        return keys.reshape(-1, 1)
    rest = x.size // x.shape[axis] if x.shape[axis] else 0
    return np.moveaxis(keys, axis, 0).reshape(x.shape[axis], rest)


def _as_int64(found: Any, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    first, inverse, counts = (np.asarray(a, np.int64) for a in found)
    return first, inverse.reshape(shape), counts


def searchsorted(boundaries: Any, values: Any, right: bool, dtype: np.dtype[Any]) -> Any:
    """How many of the sorted boundaries are less than (``right``: at most) each value.

    One vector of boundaries for values of any shape, or one for each row of values.
    """
    boundaries, values = widen(boundaries), widen(values)
    if boundaries.ndim == 1:
        return np.asarray(np.searchsorted(boundaries, values, "right" if right else "left")).astype(dtype)
    n = boundaries.shape[-1]
    low, high = np.zeros(values.shape, np.int64), np.full(values.shape, n)
    for _ in range(n.bit_length()):  # halves [low, high) in all places at once
        middle = (low + high) // 2
        at = np.take_along_axis(boundaries, np.minimum(middle, n - 1), -1)
        below = (middle < high) & ~(at > values if right else at >= values)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return low.astype(dtype)


def histc(x: Any, bins: int, low: float, high: float) -> Any:
    """How many elements are in each of ``bins`` equal parts of [low, high], in the dtype of ``x``."""
    flat = widen(x).reshape(-1)
    inside = flat[(flat >= low) & (flat <= high)]
    kind = inside.dtype.type
    place = ((inside - kind(low)) / (kind(high) - kind(low)) * kind(bins)).astype(np.int64)
    return np.bincount(np.minimum(place, bins - 1), minlength=bins).astype(x.dtype)


def span(x: Any) -> tuple[int, int]:
    """The least and the largest of at least one integer."""
    return int(x.min()), int(x.max())


def bincount(x: Any, minlength: int) -> Any:
    """How often each number from 0 occurs: int64."""
    return np.bincount(x, minlength=minlength).astype(np.int64)


def isin(x: Any, among: Any, invert: bool) -> Any:
    """Whether each element equals (``invert``: none) of some others."""
    return np.asarray(np.isin(widen(x), widen(among), invert=invert))
