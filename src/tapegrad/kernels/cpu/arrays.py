"""New arrays: ``empty`` and ``zeros``, as NumPy's, in memory of the pool where they are large."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..native import runtime as rt
from ..native.call import builtin
from ..native.words import call, get, load, put, stack_words
from . import memory

_Array = np.ndarray[Any, Any]


def new_array(runtime: int, ndim: int, shape: int, dtype: int, column_major: int) -> int:
    """Native code: a new array without gaps; 0 with an exception set. A reference to dtype is taken."""
    size = load(dtype + rt.ITEMSIZE)
    for d in range(ndim):
        size *= get(shape, d)
    old = 0
    if size >= get(runtime, rt.POOL_FROM):
        if get(runtime, rt.POOL) == 0:
            nothing = call(get(runtime, rt.VECTORCALL), get(runtime, rt.START_POOL), 0, 0, 0)
            if nothing == 0:
                return 0
            call(get(runtime, rt.DECREF), nothing)
        old = call(get(runtime, rt.SET_HANDLER), get(runtime, rt.POOL))
    array = call(get(runtime, rt.ARRAY_EMPTY), ndim, shape, dtype, column_major)
    if old != 0:
        call(get(runtime, rt.DECREF), call(get(runtime, rt.SET_HANDLER), old))
        call(get(runtime, rt.DECREF), old)
    return array


def _empty(self: int, args: int, nargs: int) -> int:
    runtime = load(load(self + rt.DATA))
    shape, ndim, dtype = stack_words(rt.MOST_DIMS), 0, 0
    fits = nargs == 2
    if fits:
        sizes, dtype = get(args, 0), get(args, 1)
        fits = load(load(dtype + rt.TYPE) + rt.TYPE) == get(runtime, rt.DTYPE_META)
        items, integer = args, get(runtime, rt.INT)
        if load(sizes + rt.TYPE) == integer:
            ndim = 1
        elif load(sizes + rt.TYPE) == get(runtime, rt.TUPLE):
            items, ndim = sizes + rt.ITEMS, load(sizes + rt.COUNT)
            fits = fits and ndim <= rt.MOST_DIMS
        else:
            fits = False
        for d in range(ndim if fits else 0):
            item, size = get(items, d), -1
            if load(item + rt.TYPE) == integer:
                size = call(get(runtime, rt.LONG_AS_INT64), item)
            put(shape, d, size)
            fits = fits and size >= 0
    if fits:
        call(get(runtime, rt.INCREF), dtype)
        return new_array(runtime, ndim, shape, dtype, 0)
    call(get(runtime, rt.ERR_CLEAR))  # of a size above int64; NumPy says what is wrong
    return call(get(runtime, rt.VECTORCALL), get(runtime, rt.NUMPY_EMPTY), args, nargs, 0)


empty: Callable[..., _Array] = builtin(_empty, np.array([rt.address], np.int64))
"""``empty(shape, dtype)``: as ``numpy.empty``, the fastest for a tuple and a dtype object."""


def new_empty(like: _Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Array:
    """As :data:`empty`, on the device of an array."""
    return empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Array:
    """As ``numpy.zeros``."""
    if math.prod(shape) * dtype.itemsize < memory.LARGE:
        return np.zeros(shape, dtype)
    out = empty(shape, dtype)
    out.fill(0)
    return out


def constant(table: _Array) -> _Array:
    """The same array, read-only: else a compiled replay takes numbers that plans keep for a buffer that a kernel fills."""
    table.flags.writeable = False
    return table
