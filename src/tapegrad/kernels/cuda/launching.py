"""Kernels launched by native code: it turns arguments into a kernel's parameters and calls the driver.

The driver's function is called without the interpreter's lock, since it waits while the device's queue is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..native import runtime as rt
from ..native.call import builtin, none
from ..native.words import call, get, load, load32, put, stack_array, stack_words
from . import state
from .drivers.thread import STREAM
from .new_array import fill, ready, succeeded
from .state import CLASS, DESCRIBED, LAUNCH, RUNTIME, thread_of

# What a parameter is, which drivers that run Python ask for.
WORD, FLOAT32, FLOAT64 = range(3)
SIZES = 7  # of a launch: of the grid, of a block, and the bytes of shared memory


def launch(state: int, handle: int, sizes: int, stream: int, values: int, pointers: int, kinds: int) -> int:
    """Native code, without the interpreter's lock: the driver's result. ``kinds`` are the number of parameters and what each of them is."""
    for i in range(load(kinds)):
        put(pointers, i, values + 8 * i)
    described = kinds if get(state, DESCRIBED) else 0
    return call(
        get(state, LAUNCH), handle, get(sizes, 0), get(sizes, 1), get(sizes, 2), get(sizes, 3), get(sizes, 4), get(sizes, 5), get(sizes, 6),
        stream, pointers, described,
    )  # fmt: skip


def _three(runtime: int, given: int, to: int) -> None:
    """Write down the sizes of a grid or a block: an int, or a tuple of up to three."""
    as_int64 = get(runtime, rt.LONG_AS_INT64)
    put(to, 0, 1)
    put(to, 1, 1)
    put(to, 2, 1)
    if load(given + rt.TYPE) == get(runtime, rt.TUPLE):
        for d in range(min(load(given + rt.COUNT), 3)):
            put(to, d, call(as_int64, get(given + rt.ITEMS, d)))
    else:
        put(to, 0, call(as_int64, given))


def _launch(self: int, args: int, nargs: int) -> int:
    """launch(handle, grid, block, shared, *arguments), on the thread's device and stream"""
    control = load(self + rt.DATA)
    state, float32, float64 = get(control, 0), get(control, 1), get(control, 2)
    runtime = get(state, RUNTIME)
    thread = thread_of(state)
    if ready(state, thread) == 0:
        return 0
    as_int64, array, sizes = get(runtime, rt.LONG_AS_INT64), get(state, CLASS), stack_words(SIZES)
    count = nargs - 4
    values = stack_array(3 * count + 1)
    pointers = values + 8 * count
    kinds = pointers + 8 * count
    put(kinds, 0, count)
    for i in range(count):
        x = get(args, i + 4)
        kind, value, what = load(x + rt.TYPE), 0, WORD
        if kind == array:
            value = load(x + rt.DATA)
        elif kind == float32:
            value, what = load32(x + rt.FLOAT_VALUE), FLOAT32
        elif kind == float64 or kind == get(runtime, rt.FLOAT):
            value, what = load(x + rt.FLOAT_VALUE), FLOAT64
        elif x != get(runtime, rt.NONE):
            value = call(as_int64, x)
        put(values, i, value)
        put(kinds, i + 1, what)
    handle = call(as_int64, get(args, 0))
    _three(runtime, get(args, 1), sizes)
    _three(runtime, get(args, 2), sizes + 24)
    put(sizes, 6, call(as_int64, get(args, 3)))
    if call(get(runtime, rt.ERR_OCCURRED)) != 0:
        return 0
    saved = call(get(runtime, rt.SAVE_THREAD))
    result = launch(state, handle, sizes, get(thread, STREAM), values, pointers, kinds)
    call(get(runtime, rt.RESTORE_THREAD), saved)
    return none(runtime) if succeeded(state, result) != 0 else 0


def _fill(self: int, args: int, nargs: int) -> int:
    """fill(array, byte): all bytes of a contiguous array, on the thread's stream"""
    state = load(load(self + rt.DATA))
    runtime = get(state, RUNTIME)
    thread, x = thread_of(state), get(args, 0)
    if ready(state, thread) == 0:
        return 0
    size = load(load(x + rt.DESCR) + rt.ITEMSIZE)
    for d in range(load32(x + rt.NDIM)):
        size *= get(load(x + rt.SHAPE), d)
    byte = call(get(runtime, rt.LONG_AS_INT64), get(args, 1))
    if size != 0 and succeeded(state, fill(state, load(x + rt.DATA), byte, size, get(thread, STREAM))) == 0:
        return 0
    return none(runtime)


_control = np.array([state.address, id(np.float32), id(np.float64)], np.int64)
launched: Callable[..., None] = builtin(_launch, _control)
"""``launched(handle, grid, block, shared, *arguments)``: see ``Kernel.launch``."""
filled: Callable[[Any, int], None] = builtin(_fill, _control)
"""``filled(array, byte)``"""
