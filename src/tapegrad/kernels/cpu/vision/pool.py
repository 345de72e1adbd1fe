"""Maxima over windows, and where they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...axis_maps import Axis, Table, table
from ..narrow import widen

_Array = np.ndarray[Any, Any]


def max_pool(x: _Array, maps: Sequence[Axis]) -> tuple[_Array, _Array]:
    """Maxima over the windows of the last ``len(maps)`` axes, and their positions in these axes, flattened.

    Of equal elements it is the first; a NaN is the maximum, and of several the last.
    """

    def along(values: _Array, axis: int, k: int) -> tuple[_Array, _Array]:
        t = table(maps[k])
        after = (1,) * (values.ndim - axis - 1)
        if t.index.shape[1] > t.index.shape[0]:
            return _of_few(values, axis, t)
        return _running((values.take(i, axis), i.reshape(-1, *after)) for i in t.index.T)

    return _over_axes(x, len(maps), along)


def fractional_max_pool(x: _Array, samples: _Array, kernel: Sequence[int], size: Sequence[int]) -> tuple[_Array, _Array]:
    """The same over windows whose places differ between the planes of ``x`` (..., planes, *space): ``samples`` (..., planes, dims).

    Window i begins at int((i + u) a) - int(u a) with a = (space - kernel) / (size - 1), the last one at the end (Graham,
    Fractional Max-Pooling, 2014).
    """
    dims = len(kernel)

    def along(values: _Array, axis: int, k: int) -> tuple[_Array, _Array]:
        room = x.shape[axis] - kernel[k]
        u = samples[..., k, None]
        step = u.dtype.type(room) / u.dtype.type(max(size[k] - 1, 1))
        start = ((np.arange(size[k]).astype(u.dtype) + u) * step).astype(np.int64) - (u * step).astype(np.int64)
        start[..., -1] = room
        start = start.reshape((*start.shape[:-1],) + (1,) * k + (size[k],) + (1,) * (dims - k - 1))
        places = (start + j for j in range(kernel[k]))
        return _running((np.take_along_axis(values, place, axis), place) for place in places)

    return _over_axes(x, dims, along)


def _over_axes(x: _Array, dims: int, along: Callable[[_Array, int, int], tuple[_Array, _Array]]) -> tuple[_Array, _Array]:
    """One axis after the other, the last one first, so that of equal elements the first in memory order is found."""
    values = widen(x)
    flat, stride = None, 1
    for k in range(dims - 1, -1, -1):
        axis = x.ndim - dims + k
        values, place = along(values, axis, k)
        flat = place * stride + (0 if flat is None else np.take_along_axis(flat, place, axis))
        stride *= x.shape[axis]
    assert flat is not None
    return np.ascontiguousarray(values.astype(x.dtype, copy=False)), np.ascontiguousarray(flat)


def _running(candidates: Iterable[tuple[_Array, _Array]]) -> tuple[_Array, _Array]:
    """The largest of (values, their places along the axis), one after the other."""
    best: Any = None
    place: Any = None
    for value, at in candidates:
        if best is None:
            best, place = value, np.broadcast_to(at, value.shape)
        else:
            better = (value > best) | (value != value)
            best, place = np.where(better, value, best), np.where(better, at, place)
    return best, place


def _of_few(x: _Array, axis: int, t: Table) -> tuple[_Array, _Array]:
    """Few long windows: all candidates at once."""
    moved = np.moveaxis(x, axis, -1)[..., t.index]
    chosen = moved.argmax(-1)
    if x.dtype.kind == "f":
        missing = np.isnan(moved)
        last = moved.shape[-1] - 1 - missing[..., ::-1].argmax(-1)
        chosen = np.where(missing.any(-1), last, chosen)
    value = np.take_along_axis(moved, chosen[..., None], -1)[..., 0]
    place = t.index[np.arange(len(t.index)), chosen]
    return np.moveaxis(value, -1, axis), np.moveaxis(place, -1, axis)
