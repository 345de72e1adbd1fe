"""New arrays: ``empty`` and ``zeros``, as NumPy's, in memory of the pool where they are large."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import cache, memory, runtime as rt
from .call import builtin, fastcall_signature

_Array = np.ndarray[Any, Any]
_MOST_DIMS = 64


def array_maker() -> Any:
    """For native code, ``new_array(runtime, ndim, shape, dtype, column_major)``: a new array without gaps (0 with an exception).

    A reference to dtype is taken.
    """
    from numba import njit

    from .abi import call1, call4, call_void1, load

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def new_array(runtime, ndim, shape, dtype, column_major):  # type: ignore[no-untyped-def]
        size = load(dtype + rt.ITEMSIZE)
        for d in range(ndim):
            size *= load(shape + 8 * d)
        old = 0
        if size >= load(runtime + 8 * rt.POOL_FROM):
            if load(runtime + 8 * rt.POOL) == 0:
                nothing = call4(load(runtime + 8 * rt.VECTORCALL), load(runtime + 8 * rt.START_POOL), 0, 0, 0)
                if nothing == 0:
                    return 0
                call_void1(load(runtime + 8 * rt.DECREF), nothing)
            old = call1(load(runtime + 8 * rt.SET_HANDLER), load(runtime + 8 * rt.POOL))
        array = call4(load(runtime + 8 * rt.ARRAY_EMPTY), ndim, shape, dtype, column_major)
        if old != 0:
            call_void1(load(runtime + 8 * rt.DECREF), call1(load(runtime + 8 * rt.SET_HANDLER), old))
            call_void1(load(runtime + 8 * rt.DECREF), old)
        return array

    return new_array


def _empty_function() -> Callable[..., Any]:
    """The native ``empty``, as Python source for Numba (imported only when it must be compiled)."""
    from .abi import call0, call1, call4, call_void1, load, stack_words, store

    new_array = array_maker()

    def empty(self, args, nargs):  # type: ignore[no-untyped-def]
        runtime = load(load(self + rt.DATA))
        shape, ndim, dtype = stack_words(_MOST_DIMS), 0, 0
        fits = nargs == 2
        if fits:
            sizes, dtype = load(args), load(args + 8)
            fits = load(load(dtype + rt.TYPE) + rt.TYPE) == load(runtime + 8 * rt.DTYPE_META)
            items, integer = args, load(runtime + 8 * rt.INT)
            if load(sizes + rt.TYPE) == integer:
                ndim = 1
            elif load(sizes + rt.TYPE) == load(runtime + 8 * rt.TUPLE):
                items, ndim = sizes + rt.ITEMS, load(sizes + rt.COUNT)
                fits = fits and ndim <= _MOST_DIMS
            else:
                fits = False
            for d in range(ndim if fits else 0):
                item, size = load(items + 8 * d), -1
                if load(item + rt.TYPE) == integer:
                    size = call1(load(runtime + 8 * rt.LONG_AS_INT64), item)
                store(shape + 8 * d, size)
                fits = fits and size >= 0
        if fits:
            call_void1(load(runtime + 8 * rt.INCREF), dtype)
            return new_array(runtime, ndim, shape, dtype, 0)
        call0(load(runtime + 8 * rt.ERR_CLEAR))  # of a size above int64; NumPy says what is wrong
        return call4(load(runtime + 8 * rt.VECTORCALL), load(runtime + 8 * rt.NUMPY_EMPTY), args, nargs, 0)

    return empty


def _make_empty() -> Callable[..., _Array]:
    return builtin("empty", cache.native("arrays:empty", _empty_function, signature=fastcall_signature), np.array([rt.address], np.int64))


empty = _make_empty()
"""``empty(shape, dtype)``: as ``numpy.empty``, the fastest for a tuple and a dtype object."""


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
