"""Python callables made of native code: what lies between an operation and its kernel.

``launch(kernel, n, grain, *slots)`` runs one kernel on given arrays and numbers, ``Steps`` a fixed sequence of launches. They are
native code (see ``words``) that the interpreter calls directly (METH_FASTCALL), 0.05 us a call.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import cache, runtime as rt
from .words import call, get, load, put, stack_array, stack_words, swap_if


def spread(runtime: int, kernel: int, slots: int, n: int, grain: int) -> None:
    """Native code: run a kernel over [0, n), on the pool when that is large, free and ours, else here."""
    threads = get(runtime, rt.THREADS)
    pool = get(runtime, rt.PARALLEL_FOR)
    if n <= grain or threads <= 1 or pool == 0:
        call(kernel, slots, 0, n)
        return
    # Numba's workqueue layer aborts when two threads enter it, the omp layer when a forked child does.
    if swap_if(runtime + 8 * rt.BUSY, 0, 1) == 0:
        call(kernel, slots, 0, n)
        return
    if (call(get(runtime, rt.GETPID)) & 0xFFFFFFFF) != get(runtime, rt.PROCESS):
        call(kernel, slots, 0, n)
    else:
        chunks = min(threads, (n + grain - 1) // grain)
        step = (n + chunks - 1) // chunks
        step = (step + 15) // 16 * 16 if n > 16 * chunks else step
        frame = stack_words(8)
        put(frame, 0, kernel)
        put(frame, 1, slots)
        put(frame, 2, n)
        put(frame, 3, step)
        put(frame, 4, 0)  # args[0]: the index of the first chunk, as an address
        put(frame, 5, (n + step - 1) // step)  # dims[0]
        put(frame, 6, 1)  # steps[0]
        call(pool, get(runtime, rt.CHUNK), frame + 32, frame + 40, frame + 48, frame, 0, 1, threads)
    swap_if(runtime + 8 * rt.BUSY, 1, 0)


def run(runtime: int, kernel: int, slots: int, n: int, grain: int) -> None:
    """Native code: ``spread``, letting other Python threads run where that is long."""
    if n <= grain:
        call(kernel, slots, 0, n)
    else:
        state = call(get(runtime, rt.SAVE_THREAD))
        spread(runtime, kernel, slots, n, grain)
        call(get(runtime, rt.RESTORE_THREAD), state)


def none(runtime: int) -> int:
    """Native code: None as a builtin returns it, which fast paths do when they refuse."""
    nothing = get(runtime, rt.NONE)
    call(get(runtime, rt.INCREF), nothing)
    return nothing


def _chunk(args: int, dims: int, steps: int, data: int) -> None:
    """What a pool thread runs: some of the chunks of [0, n)."""
    kernel, slots, n, step = get(data, 0), get(data, 1), get(data, 2), get(data, 3)
    first = load(args)
    for c in range(first, first + load(dims)):
        call(kernel, slots, c * step, min(n, (c + 1) * step))


def _launch(self: int, args: int, nargs: int) -> int:
    runtime = load(load(self + rt.DATA))
    slots = stack_array(nargs - 3)
    as_int64 = get(runtime, rt.LONG_AS_INT64)
    kernel, n, grain = call(as_int64, get(args, 0)), call(as_int64, get(args, 1)), call(as_int64, get(args, 2))
    for i in range(3, nargs):
        operand = get(args, i)
        kind = load(operand + rt.TYPE)
        if kind == get(runtime, rt.NDARRAY):
            put(slots, i - 3, load(operand + rt.DATA))
        elif kind == get(runtime, rt.FLOAT):
            put(slots, i - 3, load(operand + rt.FLOAT_VALUE))
        else:
            put(slots, i - 3, call(as_int64, operand))
    if call(get(runtime, rt.ERR_OCCURRED)) != 0:
        return 0
    run(runtime, kernel, slots, n, grain)
    return none(runtime)


def _run_steps(steps: int, count: int, runtime: int) -> None:
    for i in range(count):
        row = steps + 32 * i
        spread(runtime, get(row, 0), get(row, 1), get(row, 2), get(row, 3))


def _program(self: int, args: int, nargs: int) -> int:
    control = load(self + rt.DATA)
    runtime = load(control)
    state = call(get(runtime, rt.SAVE_THREAD))
    _run_steps(get(control, 1), get(control, 2), runtime)
    call(get(runtime, rt.RESTORE_THREAD), state)
    return none(runtime)


def chunk_address() -> int:
    """What a pool thread runs."""
    return cache.native_words(_chunk)


def replay_address() -> int:
    """The native loop ``void replay(int64 *steps, int64 count, int64 *runtime)`` over rows of (kernel, slots, n, grain)."""
    return cache.native_words(_run_steps)


class _MethodDef(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("call", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


_METH_FASTCALL = 0x80
_definitions: dict[int, _MethodDef] = {}
cache.keep_until_exit(_definitions)  # builtins may outlive this module, and are read when they die


def builtin(function: Callable[[int, int, int], int], control: np.ndarray[Any, Any]) -> Callable[..., Any]:
    """A Python builtin (METH_FASTCALL) whose body is native code on words, and whose ``self`` is the control block, which it keeps alive.

    The function's arguments are ``self``, the address of its arguments, and their number.
    """
    address = cache.native_words(function)
    name = function.__name__.strip("_")
    definition = _definitions.setdefault(address, _MethodDef(name.encode(), address, _METH_FASTCALL, None))  # never another: builtins point at it
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    made: Callable[..., Any] = make(ctypes.addressof(definition), control, None)
    return made


@functools.cache
def _native_launcher() -> Callable[..., None]:
    return builtin(_launch, np.array([rt.address], np.int64))


def launcher() -> Callable[..., None]:
    """``launch(kernel, n, grain, *slots)``: slots are arrays (their data), ints, and floats (their bits); see ``abi``.

    The caller vouches that the arrays are what the kernel expects and stay alive. While this thread records launches, the
    function returned notes them too.
    """
    recorder = _recording.to
    return _native_launcher() if recorder is None else recorder.launch


class Launches:
    """The launches of a region of code, in order; a context manager. Launched arrays are kept alive.

    Fast paths run kernels without passing here, so the caller must see to it that none is taken.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, tuple[Any, ...]]] = []
        self.fresh: list[np.ndarray[Any, Any]] = []  # see planned.fresh

    def launch(self, kernel: int, n: int, grain: int, *slots: Any) -> None:
        """Note a launch and perform it."""
        self.rows.append((kernel, n, grain, slots))
        _native_launcher()(kernel, n, grain, *slots)

    def __enter__(self) -> Launches:
        _recording.to = self
        with cache.lock:
            rt.block[rt.RECORDERS] += 1
        return self

    def __exit__(self, *exc: object) -> None:
        _recording.to = None
        with cache.lock:
            rt.block[rt.RECORDERS] -= 1


class _Recording(threading.local):
    to: Launches | None = None


_recording = _Recording()


def recorder() -> Launches | None:
    """What this thread's launches are recorded by."""
    return _recording.to


def recording() -> bool:
    """Whether this thread records launches: scratch memory passed to one must then not be used for another purpose."""
    return _recording.to is not None


class Steps:
    """A native program: launches fixed once, run in order by ``run()`` or, in compiled code, by ``replay_address()``.

    Attributes:
        table: int64 rows (kernel, address of slots, n, grain).
    """

    def __init__(self, rows: Sequence[tuple[int, int, int, tuple[Any, ...]]]) -> None:
        self._keep = [slots for _, _, _, slots in rows]
        self._words = [_as_words(slots) for slots in self._keep]
        self.table = np.array(
            [(kernel, words.ctypes.data, n, grain) for (kernel, n, grain, _), words in zip(rows, self._words, strict=True)], np.int64
        ).reshape(-1, 4)
        control = np.array([rt.address, self.table.ctypes.data, len(rows)], np.int64)
        self.run = builtin(_program, control)


def _as_words(slots: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    words = np.zeros(max(len(slots), 1), np.int64)
    for i, slot in enumerate(slots):
        words[i] = slot.ctypes.data if isinstance(slot, np.ndarray) else as_word(slot)
    return words


def as_word(number: float) -> int:
    """A number as a slot holds it: an integer, or the bits of a float."""
    return int.from_bytes(struct.pack("d", number), sys.byteorder, signed=True) if isinstance(number, float) else number
