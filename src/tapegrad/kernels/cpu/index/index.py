"""Picking elements by index, and writing to places that may repeat: the last one written wins, sums go in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...narrow import in_float32
from .. import arrays
from ..planned import fresh, planned
from .scatter import add_slices, axis_of


def pick(x: Any, index: tuple[Any, ...]) -> Any:
    """A copy of the elements at an index that holds integer or bool arrays."""
    return np.asarray(x[index])


def put(x: Any, index: tuple[Any, ...], value: Any) -> Any:
    """A copy of ``x`` with ``value`` (broadcast, cast) at an index; of values for one place, the last in row-major order."""
    out = x.copy()
    if _may_reorder(index):
        places = _places(x.shape, index)
        with np.errstate(all="ignore"):
            out.reshape(-1)[places.reshape(-1)] = np.broadcast_to(value, places.shape).reshape(-1)
    else:
        with np.errstate(all="ignore"):
            out[index] = value
    return out


def last_written(x: Any, index: tuple[Any, ...]) -> Any | None:
    """Which values :func:`put` leaves in an array like ``x``: bools, one per value; None for all."""
    places = _places(x.shape, index)
    writer = np.zeros(x.size, np.int64)
    number = np.arange(places.size)
    writer[places.reshape(-1)] = number
    last = (writer[places.reshape(-1)] == number).reshape(places.shape)
    return None if last.all() else last


def _may_reorder(index: tuple[Any, ...]) -> bool:
    """Whether NumPy may go through the index in another order than row-major, so that it matters which value comes last."""
    arrays = [p for p in index if isinstance(p, np.ndarray) and p.dtype.kind in "iu"]
    return len(arrays) > 1 or any(p.ndim > 1 for p in arrays)


def _places(shape: tuple[int, ...], index: tuple[Any, ...]) -> Any:
    """The flat numbers of the elements at an index."""
    return np.asarray(np.arange(math.prod(shape)).reshape(shape)[index])


@in_float32
def add_at(x: Any, index: tuple[Any, ...], value: Any) -> Any:
    """A copy of ``x`` with ``value`` added at an index, repeated places adding up; 16-bit floats are summed in float32."""
    out = x.copy()
    axis = axis_of(index)
    if axis is not None:
        values = np.broadcast_to(value, (*x.shape[:axis], *index[-1].shape, *x.shape[axis + 1 :]))
        if add_slices(out, index[-1], values, axis):
            return out
    with np.errstate(all="ignore"):
        np.add.at(out, index, value)
    return out


@in_float32
def scatter_at(x: Any, index: Any, size: tuple[int, ...]) -> Any:
    """Zeros of shape ``size`` with ``x`` added at an index, repeated places adding up in order."""
    axis, out = axis_of(index), arrays.empty(size, x.dtype)
    if axis is not None and add_slices(out, index[-1], x, axis, clear=True):
        return out
    out.fill(0)
    np.add.at(out, index, x)
    return out


@in_float32
@planned
def scatter_rows(x: Any, index: Any, size: tuple[int, ...], skip: int | None) -> Any:
    """Zeros (n, d) with the rows of ``x`` (..., d) added at rows ``index`` (...), but none at row ``skip``."""
    out = fresh(size, x.dtype)
    if add_slices(out, index, x, 0, skip=skip, clear=True):
        return out
    out = scatter_at(x, (index,), size)
    if skip is not None:
        out[skip] = 0
    return out


def grid(index: Any, dim: int, distinct: bool = False) -> tuple[Any, ...]:
    """The index tuple that picks ``index[i, j, ...]`` along ``dim`` and ``i, j, ...`` along the other axes; ``distinct``: these are places
    that differ, which is of no use here."""
    grids = list(np.ix_(*[np.arange(n) for n in index.shape]))
    grids[dim] = index
    return tuple(grids)


def flat_index(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The index tuple that counts, from the end where negative, in all elements of an array of this shape."""
    if index.size == 0:
        return (np.zeros(0, np.int64),) * len(shape)
    return tuple(np.unravel_index(from_start(index, math.prod(shape)), shape))


def from_start(index: Any, size: int) -> Any:
    """Indices counted from the start; the same array where they are already."""
    return np.where(index < 0, index + size, index) if (index < 0).any() else index


def settled(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index in the form that is best used several times."""
    return index


def true_count(x: Any) -> int:
    """How many elements are not zero."""
    return int(np.count_nonzero(x))


def number(value: Any, like: Any) -> Any:
    """A 0-d array of the host, where this backend's arrays are."""
    return value


def gather(x: Any, index: Any, dim: int) -> Any:
    """Elements picked along an axis, as in :func:`grid`."""
    return np.asarray(x[grid(index, dim)]) if x.ndim else x.copy()


def count_at(size: tuple[int, ...], index: tuple[Any, ...], start: int) -> Any:
    """How often an index names each place, plus ``start``: int64 of shape ``size``."""
    out = np.full(size, start, np.int64)
    np.add.at(out, index, 1)
    return out


_COMBINE: dict[str, Callable[..., Any]] = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


@in_float32
def combine_at(x: Any, index: tuple[Any, ...], value: Any, how: str) -> Any:
    """A copy of ``x`` with values combined into the places of an index by "prod", "amax" or "amin"."""
    out = x.copy()
    with np.errstate(all="ignore"):
        _COMBINE[how].at(out, index, value)  # type: ignore[attr-defined]
    return out


def nonzero(x: Any) -> Any:
    """The places that are not zero: int64, one row each."""
    return np.ascontiguousarray(np.argwhere(x.astype(np.bool_)), np.int64)


def one_hot(x: Any, classes: int) -> Any:
    """Zeros (int64) of one more axis, with a one at each class."""
    return (x[..., None] == np.arange(classes)).astype(np.int64)
