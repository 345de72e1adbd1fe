"""The block of addresses and settings that native launch code reads, and the threads behind it.

Cached machine code may hold no absolute address, so everything that lives at a different place in each process (C-API functions,
type objects, Numba's thread pool) is reached through this block. Everything tapegrad assumes about the memory layout of Python
and NumPy objects is here, and is checked once when this module is imported; but for slots of classes, which ``objects`` checks.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np

from . import cache

# Words of the block.
THREADS, PARALLEL_FOR, CHUNK, BUSY, PROCESS, GETPID, SAVE_THREAD, RESTORE_THREAD = range(8)
ARRAY_EMPTY, INCREF, NDARRAY, FLOAT, INT, NONE, TUPLE_NEW, TUPLE_SET, LONG_AS_INT64, ERR_OCCURRED = range(8, 18)
DECREF, VECTORCALL, ERR_CLEAR, TUPLE, DTYPE_META, NUMPY_EMPTY, SET_HANDLER, POOL, POOL_FROM, START_POOL = range(18, 28)
LONG_AND_OVERFLOW, GENERIC_ALLOC = 28, 29
RECORDERS = 30  # how many threads record launches: planned functions then take no short cut
DEVICE_ARRAY = 31  # the class of another backend's arrays, which are laid out as NumPy's; 0 until there is one
WORDS = 32

# Offsets in a NumPy array object, from the end of the object header (numpy/ndarraytypes.h, part of NumPy's stable ABI).
HEADER = object.__basicsize__
DATA, NDIM, SHAPE, STRIDES, BASE, DESCR, FLAGS, HANDLER = (HEADER + offset for offset in (0, 8, 16, 24, 32, 40, 48, 72))
TYPE = HEADER - 8
FLOAT_VALUE = HEADER
COUNT, ITEMS = HEADER, tuple.__basicsize__  # of a tuple
ITEMSIZE = HEADER + 24  # in a dtype
SLICE = HEADER  # in a slice: start, stop and step
C_CONTIGUOUS, F_CONTIGUOUS, OWNDATA, ALIGNED, WRITEABLE = 1, 2, 4, 0x100, 0x400
MOST_DIMS = 64  # of an array of NumPy's


def c_function(name: str) -> int:
    return int(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0)


def numpy_function(index: int) -> int:
    module: Any = importlib.import_module("numpy._core._multiarray_umath")

    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(get(module._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return int(table[index] or 0)


def _check_layout() -> None:
    """Fail loudly, at import, where the interpreter or NumPy lays objects out in another way."""
    probe = np.arange(6, dtype=np.float32).reshape(2, 3)

    def word(offset: int, of: Any = probe) -> int:
        return int(ctypes.c_int64.from_address(id(of) + offset).value)

    pair, part = (probe, None), slice(probe, None, probe.dtype)
    seen: tuple[int, ...] = (word(DATA), word(NDIM) & 0xFFFFFFFF, word(DESCR), word(FLAGS) & 0x103, word(TYPE))
    seen += (word(ITEMSIZE, probe.dtype), word(COUNT, pair), word(ITEMS, pair), word(ITEMS + 8, pair))
    seen += tuple(word(SLICE + 8 * i, part) for i in range(3))
    seen += (word(BASE), int(ctypes.c_int64.from_address(word(HANDLER, probe.base) + TYPE).value))  # the type of a handler
    expected: tuple[int, ...] = (probe.ctypes.data, 2, id(probe.dtype), C_CONTIGUOUS | ALIGNED, id(np.ndarray), 4)
    expected += (2, id(probe), id(None), id(probe), id(None), id(probe.dtype))
    expected += (id(probe.base), id(type(importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API)))  # a capsule
    shape = [ctypes.c_int64.from_address(word(at) + 8 * i).value for at in (SHAPE, STRIDES) for i in range(2)]
    number = ctypes.c_double.from_address(id(seventh := 1 / 7) + FLOAT_VALUE).value
    if seen != expected or shape != [2, 3, 12, 4] or number != seventh:
        raise ImportError("tapegrad cannot read NumPy arrays of this interpreter: unknown object layout (please report)")


_check_layout()
block = np.zeros(WORDS, np.int64)
block[[PROCESS, GETPID]] = [os.getpid(), ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value or 0]
block[[SAVE_THREAD, RESTORE_THREAD, INCREF]] = [
    c_function(name) for name in ("PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef")
]
block[[TUPLE_NEW, TUPLE_SET, LONG_AS_INT64, ERR_OCCURRED]] = [
    c_function(name) for name in ("PyTuple_New", "PyTuple_SetItem", "PyLong_AsLongLong", "PyErr_Occurred")
]
block[LONG_AND_OVERFLOW] = c_function("PyLong_AsLongLongAndOverflow")  # (int, *int32 overflow)
block[GENERIC_ALLOC] = c_function("PyType_GenericAlloc")
block[ARRAY_EMPTY] = numpy_function(184)  # PyArray_Empty(nd, dims, descr (stolen), fortran)
block[SET_HANDLER] = numpy_function(304)  # PyDataMem_SetHandler(capsule) -> the handler before
block[[DECREF, VECTORCALL, ERR_CLEAR]] = [c_function(name) for name in ("Py_DecRef", "PyObject_Vectorcall", "PyErr_Clear")]
block[[NDARRAY, FLOAT, INT, NONE]] = id(np.ndarray), id(float), id(int), id(None)
block[[TUPLE, DTYPE_META, NUMPY_EMPTY]] = id(tuple), id(type(np.dtype)), id(np.empty)
block[THREADS] = int(os.environ.get("NUMBA_NUM_THREADS") or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
_SPINS = "GOMP_SPINCOUNT"
_most_threads: int | None = None  # OpenMP starts more when they are asked for
address = int(block.ctypes.data)


def get_num_threads() -> int:
    """How many threads a large kernel uses."""
    return int(block[THREADS])


def set_num_threads(count: int) -> None:
    """Use ``count`` threads in large kernels; on Numba's layers ``tbb`` and ``workqueue`` no more than those that were started.

    Raises:
        ValueError: when ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"set_num_threads expects a positive number, got {count}")
    block[THREADS] = count if _most_threads is None else min(count, _most_threads)


@functools.cache
def start_threads() -> str:
    """Start Numba's thread pool, once; the name of its layer ('omp', 'tbb', 'workqueue'), or 'serial' without one.

    The pool's entry point is what Numba's own ``parallel=True`` code calls: it splits an index range over the threads.
    """
    from .call import chunk_address

    block[CHUNK] = chunk_address()
    try:
        with cache.lock, _short_spins():
            layer, block[PARALLEL_FOR] = _openmp() or _chosen_by_numba()
            return layer
    except (ImportError, AttributeError, ValueError, RuntimeError):  # a Numba that changed: correct, on one thread
        block[THREADS] = 1
        return "serial"


@contextlib.contextmanager
def _short_spins() -> Iterator[None]:
    """Let threads of GNU's OpenMP, when it is loaded meanwhile, wait in a loop for a millisecond, where they would for some ten: on cores that
    other programs want, too, training took up to five times as long. Between operations hardly more than a millisecond passes.
    """
    if _SPINS in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ[_SPINS] = "30000"
    try:
        yield
    finally:
        del os.environ[_SPINS]  # others may choose


def _openmp() -> tuple[str, int] | None:
    """Start Numba's pool of OpenMP threads without importing Numba, which takes 0.15 s and 20 MB; None where that is here already or has to
    choose. Numba, if it is imported later, starts the same pool again, which does nothing."""
    if "numba" in sys.modules or os.environ.get("NUMBA_THREADING_LAYER", "default") not in ("default", "omp"):
        return None
    numba = PathFinder.find_spec("numba")
    layers = [str(Path(place, "np", "ufunc")) for place in numba.submodule_search_locations or ()] if numba else []
    spec = PathFinder.find_spec("omppool", layers)
    if spec is None or spec.loader is None:
        return None
    try:
        pool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(pool)
    except ImportError:  # no OpenMP on this machine
        return None
    ctypes.CFUNCTYPE(None, ctypes.c_int)(pool.launch_threads)(int(block[THREADS]))
    return "omp", int(pool.parallel_for)


def _chosen_by_numba() -> tuple[str, int]:
    from numba import config
    from numba.np.ufunc import parallel

    global _most_threads
    parallel._launch_threads()
    entry, layer = cache.llvm.address_of_symbol("numba_parallel_for"), str(parallel.threading_layer())
    if not entry:
        raise RuntimeError("Numba has no thread pool")
    if layer != "omp":
        _most_threads = int(config.NUMBA_NUM_THREADS)
        block[THREADS] = min(int(block[THREADS]), _most_threads)
    return layer, int(entry)
