"""Writing, counting and searching one element at a time: what tests of index operations compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_STEPS = {"sum": lambda a, b: a + b, "prod": lambda a, b: a * b, "amax": max, "amin": min}


def _pairs(shape: tuple[int, ...], index: Any, values: Any) -> Iterator[tuple[Any, Any]]:
    """Each place that an index names, and the value that goes there, in row-major order."""
    numbers = np.arange(int(np.prod(shape))).reshape(shape)[index]
    for number, value in zip(np.ravel(numbers), np.ravel(np.broadcast_to(values, np.shape(numbers))), strict=True):
        yield np.unravel_index(number, shape), value


def placed(g: Any, index: Any, size: tuple[int, ...]) -> Any:
    """Zeros with the values added at an index."""
    return combined(np.zeros(size, g.dtype), g, index, "sum")


def embedding_backward(g: Any, i: Any, size: tuple[int, ...], padding_idx: int | None) -> Any:
    """The same for rows, but none at the padding's."""
    return placed(np.where((i == padding_idx)[..., None], 0, g), (i,), size)


def scatter_zeros(g: Any, i: Any, dim: int, size: tuple[int, ...]) -> Any:
    """Zeros with each element added at the place that its index has along ``dim``."""
    out = np.zeros(size, g.dtype)
    for at in np.ndindex(*i.shape):
        out[(*at[:dim], i[at], *at[dim + 1 :])] += g[at]
    return out


def combined(x: Any, v: Any, index: Any, how: str, start: Any = None) -> Any:
    """A copy with values combined into the places of an index, in which ``start`` is first written if given."""
    out = x.copy()
    for at, _ in _pairs(x.shape, index, 0) if start is not None else ():
        out[at] = start
    for at, value in _pairs(x.shape, index, v):
        out[at] = _STEPS[how](out[at], value)
    return out


def multiplied(x: Any, v: Any, index: Any) -> Any:
    return combined(x, v, index, "prod")


def roll(x: Any, shifts: Any, dims: Any = None) -> Any:
    """Each element at its new place."""
    if dims is None:
        return roll(x.reshape(-1), (sum(np.atleast_1d(shifts)),), (0,)).reshape(x.shape)
    out = np.empty_like(x)
    for at in np.ndindex(*x.shape):
        to = list(at)
        for shift, d in zip(np.atleast_1d(shifts), np.atleast_1d(dims), strict=True):
            to[d] = (to[d] + shift) % x.shape[d]
        out[tuple(to)] = x[at]
    return out


def argwhere(x: Any) -> Any:
    found = [at for at in np.ndindex(*x.shape) if x[at]]
    return np.array(found, np.int64).reshape(len(found), x.ndim)


def nonzero(x: Any, as_tuple: bool = False) -> Any:
    found = argwhere(x)
    return tuple(found.T) if as_tuple else found


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    out = np.zeros(max(minlength, max(x.tolist(), default=-1) + 1), np.int64 if weights is None else weights.dtype)
    for k, place in enumerate(x.tolist()):
        out[place] += 1 if weights is None else weights[k]
    return out


def isin(x: Any, among: Any, invert: bool = False) -> Any:
    others = np.ravel(among).tolist()
    return np.array([any(e == o for o in others) != invert for e in np.ravel(x).tolist()], np.bool_).reshape(np.shape(x))
