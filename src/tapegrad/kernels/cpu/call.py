"""Python callables made of native code: what lies between an operation and its kernel.

``launch(kernel, n, grain, *slots)`` runs one kernel on given arrays and numbers, ``Steps`` a fixed sequence of launches. They are
compiled from the Python functions below and called by the interpreter directly (METH_FASTCALL), 0.05 us a call.
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


def runner() -> tuple[Any, Any]:
    """For native code, ``(runtime, kernel, slots, n, grain)``: ``spread`` runs a kernel over [0, n), on several threads where that is
    long; ``run`` also lets other Python threads run then."""
    from numba import njit

    from . import abi
    from .abi import call0, call_kernel, call_parallel_for, call_void1, load, stack_words, store

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def spread(runtime, kernel, slots, n, grain):  # type: ignore[no-untyped-def]
        """Run a kernel over [0, n): on the pool when that is large, free and ours, else here."""
        threads = load(runtime + 8 * rt.THREADS)
        pool = load(runtime + 8 * rt.PARALLEL_FOR)
        if n <= grain or threads <= 1 or pool == 0:
            call_kernel(kernel, slots, 0, n)
            return
        # Numba's workqueue layer aborts when two threads enter it, the omp layer when a forked child does.
        if abi.swap_if(runtime + 8 * rt.BUSY, 0, 1) == 0:
            call_kernel(kernel, slots, 0, n)
            return
        if (call0(load(runtime + 8 * rt.GETPID)) & 0xFFFFFFFF) != load(runtime + 8 * rt.PROCESS):
            call_kernel(kernel, slots, 0, n)
        else:
            chunks = min(threads, (n + grain - 1) // grain)
            step = (n + chunks - 1) // chunks
            step = (step + 15) // 16 * 16 if n > 16 * chunks else step
            frame = stack_words(8)
            store(frame, kernel)
            store(frame + 8, slots)
            store(frame + 16, n)
            store(frame + 24, step)
            store(frame + 32, 0)  # args[0]: the index of the first chunk, as an address
            store(frame + 40, (n + step - 1) // step)  # dims[0]
            store(frame + 48, 1)  # steps[0]
            call_parallel_for(
                pool, load(runtime + 8 * rt.CHUNK), frame + 32, frame + 40, frame + 48, frame, 0, 1, threads
            )
        store(runtime + 8 * rt.BUSY, 0)

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def run(runtime, kernel, slots, n, grain):  # type: ignore[no-untyped-def]
        if n <= grain:
            call_kernel(kernel, slots, 0, n)
        else:  # long enough to let other Python threads run
            state = call0(load(runtime + 8 * rt.SAVE_THREAD))
            spread(runtime, kernel, slots, n, grain)
            call_void1(load(runtime + 8 * rt.RESTORE_THREAD), state)

    return spread, run


def none_maker() -> Any:
    """For native code, ``none(runtime)``: None as a builtin returns it, which fast paths do when they refuse."""
    from numba import njit

    from .abi import call_void1, get

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def none(runtime):  # type: ignore[no-untyped-def]
        nothing = get(runtime, rt.NONE)
        call_void1(get(runtime, rt.INCREF), nothing)
        return nothing

    return none


def _functions() -> dict[str, Callable[..., Any]]:
    """The native functions, as Python source for Numba (imported only when they must be compiled)."""
    from numba import njit

    from .abi import call0, call1, call_kernel, call_void1, load, stack_array, store

    def chunk(args, dims, steps, data):  # type: ignore[no-untyped-def]
        """What a pool thread runs: some of the chunks of [0, n)."""
        kernel, slots, n, step = load(data), load(data + 8), load(data + 16), load(data + 24)
        first = load(args)
        for c in range(first, first + load(dims)):
            call_kernel(kernel, slots, c * step, min(n, (c + 1) * step))

    (spread, run), none = runner(), none_maker()

    def launch(self, args, nargs):  # type: ignore[no-untyped-def]
        runtime = load(load(self + rt.DATA))
        slots = stack_array(nargs - 3)
        as_int64 = load(runtime + 8 * rt.LONG_AS_INT64)
        kernel, n, grain = call1(as_int64, load(args)), call1(as_int64, load(args + 8)), call1(as_int64, load(args + 16))
        for i in range(3, nargs):
            operand = load(args + 8 * i)
            kind = load(operand + rt.TYPE)
            if kind == load(runtime + 8 * rt.NDARRAY):
                store(slots + 8 * (i - 3), load(operand + rt.DATA))
            elif kind == load(runtime + 8 * rt.FLOAT):
                store(slots + 8 * (i - 3), load(operand + rt.FLOAT_VALUE))
            else:
                store(slots + 8 * (i - 3), call1(as_int64, operand))
        if call0(load(runtime + 8 * rt.ERR_OCCURRED)) != 0:
            return 0
        run(runtime, kernel, slots, n, grain)
        return none(runtime)

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def run_steps(steps, count, runtime):  # type: ignore[no-untyped-def]
        for i in range(count):
            row = steps + 32 * i
            spread(runtime, load(row), load(row + 8), load(row + 16), load(row + 24))

    def replay(steps, count, runtime):  # type: ignore[no-untyped-def]
        run_steps(steps, count, runtime)

    def program(self, args, nargs):  # type: ignore[no-untyped-def]
        control = load(self + rt.DATA)
        runtime = load(control)
        state = call0(load(runtime + 8 * rt.SAVE_THREAD))
        run_steps(load(control + 8), load(control + 16), runtime)
        call_void1(load(runtime + 8 * rt.RESTORE_THREAD), state)
        return none(runtime)

    return {"chunk": chunk, "launch": launch, "replay": replay, "program": program}


def _words(count: int) -> Callable[[], Any]:
    def signature() -> Any:
        from numba import types

        return types.void(*[types.int64] * count)

    return signature


def fastcall_signature() -> Any:
    """Of a builtin: self, the address of its arguments, and their number."""
    from numba import types

    return types.int64(types.int64, types.int64, types.int64)


@functools.cache
def _address(name: str) -> int:
    signature = {"chunk": _words(4), "replay": _words(3)}.get(name, fastcall_signature)
    return cache.native(f"call:{name}", lambda: _functions()[name], signature=signature)


def chunk_address() -> int:
    """What a pool thread runs."""
    return _address("chunk")


def replay_address() -> int:
    """The native loop ``void replay(int64 *steps, int64 count, int64 *runtime)`` over rows of (kernel, slots, n, grain)."""
    return _address("replay")


class _MethodDef(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("call", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


_METH_FASTCALL = 0x80
_definitions: dict[str, _MethodDef] = {}


def builtin(name: str, address: int, control: np.ndarray[Any, Any]) -> Callable[..., Any]:
    """A Python builtin whose body is native code (METH_FASTCALL) and whose ``self`` is the control block, which it keeps alive."""
    definition = _definitions.setdefault(name, _MethodDef(name.encode(), address, _METH_FASTCALL, None))  # never another: builtins point at it
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    made: Callable[..., Any] = make(ctypes.addressof(definition), control, None)
    return made


def _builtin(name: str, control: np.ndarray[Any, Any]) -> Callable[..., Any]:
    return builtin(name, _address(name), control)


@functools.cache
def _native_launcher() -> Callable[..., None]:
    return _builtin("launch", np.array([rt.address], np.int64))


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
        self.run = _builtin("program", control)


def _as_words(slots: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    words = np.zeros(max(len(slots), 1), np.int64)
    for i, slot in enumerate(slots):
        words[i] = slot.ctypes.data if isinstance(slot, np.ndarray) else as_word(slot)
    return words


def as_word(number: float) -> int:
    """A number as a slot holds it: an integer, or the bits of a float."""
    return int.from_bytes(struct.pack("d", number), sys.byteorder, signed=True) if isinstance(number, float) else number
