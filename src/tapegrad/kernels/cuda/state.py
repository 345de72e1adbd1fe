"""What the backend's native code knows: a block of words, which the modules that have them write.

These are functions of the driver's, of NumPy's and of the interpreter's, objects, and the tables of the memory.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..native import cache, runtime as rt
from ..native.words import call, get, load, put, stack_words
from ..precision import allowed
from .drivers import driver, thread

# Words of the block: the runtime's; of the interpreter and NumPy; of the driver; of the memory; objects.
RUNTIME, THREAD_DICT, DICT_GET, FETCH, RESTORE, UNRAISABLE, NEW_ARRAY, SET_BASE, NEW_INT = range(9)
LAUNCH, FILL, DESCRIBED, SEVERAL = range(9, 13)
POOLS, BINS, PIECES, EXACT, ENDING = range(13, 18)
CLASS, HANDLER, KEY, ALLOCATE, GIVE_LATER, ACTIVATE, FAILED, NOTE, SET_BLAS, BLAS_FAILED = range(18, 28)
RECORDERS = 28  # how many threads note what functions launch: arrays are then made and kernels launched where that is seen
SETTINGS = 29  # the number of what ``precision`` allows now
WORDS = 30

_FUNCTIONS = {
    THREAD_DICT: "PyThreadState_GetDict", DICT_GET: "PyDict_GetItem", FETCH: "PyErr_Fetch", RESTORE: "PyErr_Restore",
    UNRAISABLE: "PyErr_WriteUnraisable", NEW_INT: "PyLong_FromLongLong",
}  # fmt: skip
block = np.zeros(WORDS, np.int64)
address = int(block.ctypes.data)
kept: dict[int, Any] = {KEY: thread.KEY}
cache.keep_until_exit(block, kept, rt.block)  # arrays may outlive this module
block[RUNTIME] = rt.address
for _word, _name in _FUNCTIONS.items():
    block[_word] = rt.c_function(_name)
block[NEW_ARRAY], block[SET_BASE] = rt.numpy_function(94), rt.numpy_function(282)  # PyArray_NewFromDescr, PyArray_SetBaseObject
block[KEY] = id(thread.KEY)


def set_object(word: int, thing: Any) -> None:
    """Let a word be an object, which then lives until the process ends."""
    before = kept.get(word)  # lives until native code has the other one
    kept[word] = thing
    block[word] = id(thing)
    del before


_settings: dict[tuple[bool, ...], int] = {}


def _set() -> None:
    block[SETTINGS] = _settings.setdefault(allowed.settings(), len(_settings))


allowed.watch(_set)
_set()


@functools.cache
def start() -> None:
    """Look the driver's functions up; before the first launch."""
    found = driver()
    block[SEVERAL] = found.count() > 1
    block[DESCRIBED] = found.described
    set_object(FAILED, found.failed)
    block[[LAUNCH, FILL]] = found.functions()


def thread_of(state: int) -> int:
    """Native code: the thread's words (see ``drivers.thread``), or 0."""
    found = call(get(state, THREAD_DICT))
    if found != 0:
        found = call(get(state, DICT_GET), found, get(state, KEY))
    return load(found + rt.DATA) if found != 0 else 0


def answer(state: int, function: int, number: int) -> int:
    """Native code: what a Python function says to a number, a new reference; 0 with an exception set."""
    from_words = get(state, RUNTIME)
    made = call(get(state, NEW_INT), number)
    if made == 0:
        return 0
    frame = stack_words(1)
    put(frame, 0, made)
    result = call(get(from_words, rt.VECTORCALL), get(state, function), frame, 1, 0)
    call(get(from_words, rt.DECREF), made)
    return result


def told(state: int, function: int, number: int) -> int:
    """Native code: whether a Python function was told a number; 0 with an exception set."""
    said = answer(state, function, number)
    if said == 0:
        return 0
    call(get(get(state, RUNTIME), rt.DECREF), said)
    return 1
