"""New arrays in device memory, made by native code: ``empty`` and ``zeros``.

An array that owns its memory is one of NumPy's with a handler (see ``memory``) that takes the memory back when the array dies.
"""

from __future__ import annotations

from ..native import runtime as rt
from ..native.words import call, get, load, put, stack_words, store
from .drivers.thread import ACTIVE, DEVICE, STREAM
from .pieces import LARGEST, device_at, give, quickly_taken
from .state import (
    ACTIVATE,
    ALLOCATE,
    CLASS,
    FAILED,
    FILL,
    HANDLER,
    NEW_ARRAY,
    NEW_INT,
    RECORDERS,
    RUNTIME,
    SET_BASE,
    SEVERAL,
    answer,
    thread_of,
    told,
)

_FLAGS = rt.ALIGNED | rt.WRITEABLE


def array_on(state: int, ndim: int, shape: int, strides: int, dtype: int, address: int) -> int:
    """Native code: a new array that owns a piece of memory, which is given back if it fails; 0 with an exception set. Without strides
    it is row-major."""
    runtime = get(state, RUNTIME)
    call(get(runtime, rt.INCREF), dtype)
    made = call(get(state, NEW_ARRAY), get(state, CLASS), dtype, ndim, shape, strides, address, _FLAGS, 0)
    if made == 0:
        give(state, address)
        return 0
    handler = get(state, HANDLER)
    call(get(runtime, rt.INCREF), handler)
    store(made + rt.HANDLER, handler)
    store(made + rt.FLAGS, load(made + rt.FLAGS) | rt.OWNDATA)
    return made


def memory_for(state: int, device: int, stream: int, size: int) -> int:
    """Native code: the address of a piece of at least ``size`` bytes of the current device; 0 with an exception set."""
    address = quickly_taken(state, device, stream, size)
    if address == 0:
        runtime = get(state, RUNTIME)
        given = answer(state, ALLOCATE, size)
        if given != 0:
            address = call(get(runtime, rt.LONG_AS_INT64), given)
            call(get(runtime, rt.DECREF), given)
    return address


def ready(state: int, thread: int) -> int:
    """Native code: whether the driver has the thread's device active, after it was asked to; 0 with an exception set."""
    device = get(thread, DEVICE)
    if get(thread, ACTIVE) == device:
        return 1
    return told(state, ACTIVATE, device)


def fill(state: int, address: int, byte: int, size: int, stream: int) -> int:
    """Native code: write a byte everywhere in memory, without the interpreter's lock; the driver's result."""
    runtime = get(state, RUNTIME)
    saved = call(get(runtime, rt.SAVE_THREAD))
    result = call(get(state, FILL), address, byte, size, stream)
    call(get(runtime, rt.RESTORE_THREAD), saved)
    return result


def succeeded(state: int, result: int) -> int:
    """Native code: 1 for a result of the driver's that says so, else 0 with an exception set."""
    result &= 0xFFFFFFFF
    if result != 0:
        told(state, FAILED, result)
        return 0
    return 1


def _shaped(runtime: int, sizes: int, shape: int) -> int:
    """Write down the sizes of a tuple or of an int; how many there are, -1 for what is not that."""
    kind, integer = load(sizes + rt.TYPE), get(runtime, rt.INT)
    items, overflow, ndim = shape + 8 * rt.MOST_DIMS, shape + 8 * rt.MOST_DIMS + 8, 1
    if kind == get(runtime, rt.TUPLE):
        items, ndim = sizes + rt.ITEMS, load(sizes + rt.COUNT)
        if ndim > rt.MOST_DIMS:
            return -1
    elif kind == integer:
        put(items, 0, sizes)
    else:
        return -1
    for d in range(ndim):
        item = get(items, d)
        if load(item + rt.TYPE) != integer:
            return -1
        put(shape, d, call(get(runtime, rt.LONG_AND_OVERFLOW), item, overflow))
        if get(shape, d) < 0:
            return -1
    return ndim


def new(self: int, args: int, nargs: int) -> int:
    """``empty(shape, dtype)``, or zeros; what this does not understand, Python makes."""
    control = load(self + rt.DATA)
    state, zero, otherwise = get(control, 0), get(control, 1), get(control, 2)
    runtime = get(state, RUNTIME)
    shape, ndim, thread = stack_words(rt.MOST_DIMS + 2), -1, thread_of(state)
    started = zero == 0 or get(state, FILL) != 0
    if nargs == 2 and thread != 0 and started and get(state, RECORDERS) == 0:
        dtype = get(args, 1)
        if load(load(dtype + rt.TYPE) + rt.TYPE) == get(runtime, rt.DTYPE_META):
            ndim = _shaped(runtime, get(args, 0), shape)
    if ndim < 0:
        return call(get(runtime, rt.VECTORCALL), otherwise, args, nargs, 0)
    size = load(get(args, 1) + rt.ITEMSIZE)
    for d in range(ndim):
        if get(shape, d) != 0 and size > LARGEST // get(shape, d):
            return call(get(runtime, rt.VECTORCALL), otherwise, args, nargs, 0)
        size *= get(shape, d)
    device, stream = get(thread, DEVICE), get(thread, STREAM)
    address = memory_for(state, device, stream, size)
    if address == 0:
        return 0
    if zero != 0 and size != 0:
        good = ready(state, thread)
        if good != 0:
            good = succeeded(state, fill(state, address, 0, size, stream))
        if good == 0:
            give(state, address)
            return 0
    return array_on(state, ndim, shape, 0, get(args, 1), address)


def array_at(self: int, args: int, nargs: int) -> int:
    """array_at(address, dtype, shape, strides, owner): a new array on memory; strides in bytes or None, without an owner it owns the memory"""
    state = load(load(self + rt.DATA))
    runtime = get(state, RUNTIME)
    as_int64, nothing = get(runtime, rt.LONG_AS_INT64), get(runtime, rt.NONE)
    dtype, sizes, steps, owner = get(args, 1), get(args, 2), get(args, 3), get(args, 4)
    shape, strides, ndim = stack_words(rt.MOST_DIMS), stack_words(rt.MOST_DIMS), load(sizes + rt.COUNT)
    address = call(as_int64, get(args, 0))
    for d in range(ndim):
        put(shape, d, call(as_int64, get(sizes + rt.ITEMS, d)))
        if steps != nothing:
            put(strides, d, call(as_int64, get(steps + rt.ITEMS, d)))
    if call(get(runtime, rt.ERR_OCCURRED)) != 0:
        return 0
    if owner == nothing:
        return array_on(state, ndim, shape, 0, dtype, address)
    call(get(runtime, rt.INCREF), dtype)
    made = call(get(state, NEW_ARRAY), get(state, CLASS), dtype, ndim, shape, strides if steps != nothing else 0, address, _FLAGS, 0)
    if made != 0:
        call(get(runtime, rt.INCREF), owner)
        if call(get(state, SET_BASE), made, owner) & 0xFFFFFFFF != 0:
            call(get(runtime, rt.DECREF), made)
            made = 0
    return made


def owner_of(state: int, array: int) -> int:
    """Native code: the array that owns an array's memory, 0 where that is no array of ours."""
    base = load(array + rt.BASE)
    if base != 0:
        array = base
    return array if load(array + rt.TYPE) == get(state, CLASS) and load(array + rt.BASE) == 0 else 0


def device_of(self: int, args: int, nargs: int) -> int:
    """device_of(array): the number of its device; where there are several, Python knows that of memory that is not ours"""
    control = load(self + rt.DATA)
    state, otherwise = get(control, 0), get(control, 1)
    number = 0
    if get(state, SEVERAL) != 0:
        owner = owner_of(state, get(args, 0))
        number = device_at(state, load(owner + rt.DATA)) if owner != 0 else -1
        if number < 0:
            return call(get(get(state, RUNTIME), rt.VECTORCALL), otherwise, args, nargs, 0)
    return call(get(state, NEW_INT), number)
