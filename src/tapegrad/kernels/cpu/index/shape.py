"""Views and rearrangements of arrays of any strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided as _as_strided

from ...diagonals import along_diagonal
from .. import arrays


def expand(x: Any, size: tuple[int, ...]) -> Any:
    """The view broadcast to ``size``, writeable where ``x`` is: a part of it may not overlap itself."""
    if x.flags.c_contiguous and x.size and x.dtype.kind != "V":  # which np.ndarray takes as a buffer, much faster than NumPy broadcasts
        steps = [0 if n == 1 else step for n, step in zip(x.shape, x.strides, strict=True)]
        return np.ndarray(size, x.dtype, x, 0, (0,) * (len(size) - len(steps)) + tuple(steps))
    out = np.broadcast_to(x, size)
    if x.flags.writeable:
        out.flags.writeable = True
    return out


_SMALL = 1 << 14  # elements: what is repeated in memory is faster to read later than a view of strides 0


def spread(g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    """The gradient of a sum over ``axes`` of an array of this shape: ``g`` repeated along them, as a read-only view where it is large."""
    small = math.prod(shape) <= _SMALL
    if small and g.size == 1:
        out = np.empty(shape, g.dtype)
        out.fill(g.item())
        return out
    wide = g if keepdim else g.reshape([1 if i in axes else n for i, n in enumerate(shape)])
    if not small:
        return np.broadcast_to(wide, shape)
    out = np.empty(shape, g.dtype)
    out[...] = wide
    return out


def roll(x: Any, shifts: Sequence[int], dims: Sequence[int]) -> Any:
    """A copy moved by ``shifts`` along ``dims``, those at the end to the start."""
    return np.roll(x, shifts, dims)


def _triangle(x: Any, k: int) -> Any:
    """True on and below the ``k``-th diagonal of the last two axes."""
    rows, columns = x.shape[-2:]
    return np.tri(rows, columns, k, dtype=np.bool_)


def tril(x: Any, k: int) -> Any:
    """A copy with zeros above the ``k``-th diagonal of the last two axes."""
    return np.where(_triangle(x, k), x, x.dtype.type(0))


def triu(x: Any, k: int) -> Any:
    """A copy with zeros below the ``k``-th diagonal of the last two axes."""
    return np.where(_triangle(x, k - 1), x.dtype.type(0), x)


def diagonal(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """The view of a diagonal of two axes, as the last axis."""
    return _strided(*along_diagonal(x, offset, dim1, dim2))


def place_diagonal(g: Any, offset: int, dim1: int, dim2: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape ``size`` with ``g`` on a diagonal of two axes."""
    out = arrays.zeros(size, g.dtype)
    diagonal(out, offset, dim1, dim2)[...] = g
    return out


def windows(x: Any, dim: int, size: int, step: int) -> Any:
    """The view of windows of ``size`` elements, ``step`` apart along an axis; what is inside a window is the last axis."""
    count = (x.shape[dim] - size) // step + 1
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :], size)
    return _strided(x, shape, (*x.strides[:dim], step * x.strides[dim], *x.strides[dim + 1 :], x.strides[dim]))


def add_windows(g: Any, dim: int, step: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape ``size`` with the elements of windows added where :func:`windows` takes them from, in order."""
    out = arrays.zeros(size, g.dtype)
    moved = np.moveaxis(out, dim, -1)
    parts = np.moveaxis(g, dim, -2)  # (..., window, place in it)
    for j in range(g.shape[-1]):
        moved[..., j : j + step * (parts.shape[-2] - 1) + 1 : step] += parts[..., j]
    return out


def strided(x: Any, order: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    """Elements ``offset + sum(i * stride)`` of ``x`` flattened with its axes in ``order``: a view where memory lies so."""
    flat = x.transpose(order).reshape(-1)
    if np.may_share_memory(flat, x) or x.size == 0:
        return _strided(flat[offset:] if offset else flat, size, tuple(s * flat.strides[0] for s in stride))
    return flat[strided_places(size, stride, offset)]


def add_strided(g: Any, order: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    """Zeros of shape ``size`` with the elements of ``g`` added where :func:`strided` takes them from, in order."""
    turned = tuple(size[d] for d in order)
    flat = arrays.zeros((math.prod(turned),), g.dtype)
    np.add.at(flat, strided_places(g.shape, stride, offset).reshape(-1), g.reshape(-1))
    return flat.reshape(turned).transpose(np.argsort(order))


def strided_places(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    """The numbers ``offset + sum(i * stride)`` for all indices of shape ``size``."""
    out = np.full(size, offset)
    for d, (n, s) in enumerate(zip(size, stride, strict=True)):
        out += (np.arange(n) * s).reshape((n,) + (1,) * (len(size) - d - 1))
    return out


def _strided(x: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    return _as_strided(x, shape, strides, writeable=x.flags.writeable)
