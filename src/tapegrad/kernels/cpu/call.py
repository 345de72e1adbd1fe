"""Python callables made of native code: what lies between an operation and its kernel.

``Fast`` is an operation's fast path: it takes NumPy arrays that are contiguous, equally shaped and of one dtype (or Python
floats), allocates the outputs, finds the kernel for that dtype and runs it; for anything else it returns None and the
caller takes the general path. ``launch(kernel, n, grain, *slots)`` runs one kernel on given arrays and numbers. Both are
compiled from the Python functions below and called by the interpreter directly (METH_FASTCALL), 0.05 us a call.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import cache, runtime as rt

# Words of a fast path's control block; then come table rows (dtype, scalar mask, kernel, output dtypes...).
_RUNTIME, _INPUTS, _OUTPUTS, _GRAIN, _ROWS, _GIVEN = range(6)
_TABLE = 6
_CAPACITY = 12
_FAST_SLOTS = 16  # operands and outputs of a fast path; operations with more take the general path


def _functions() -> dict[str, Callable[..., Any]]:
    """The native functions, as Python source for Numba (imported only when they must be compiled)."""
    from numba import njit

    from . import abi
    from .abi import (
        call0,
        call1,
        call3,
        call4,
        call_kernel,
        call_parallel_for,
        call_void1,
        load,
        load32,
        stack_array,
        stack_words,
        store,
    )

    HEADER_TYPE, DATA, NDIM, SHAPE, DESCR, FLAGS = rt.TYPE, rt.DATA, rt.NDIM, rt.SHAPE, rt.DESCR, rt.FLAGS
    FLOAT_VALUE, CONTIGUOUS = rt.FLOAT_VALUE, rt.C_CONTIGUOUS_AND_ALIGNED

    def chunk(args, dims, steps, data):  # type: ignore[no-untyped-def]
        """What a pool thread runs: some of the chunks of [0, n)."""
        kernel, slots, n, step = load(data), load(data + 8), load(data + 16), load(data + 24)
        first = load(args)
        for c in range(first, first + load(dims)):
            call_kernel(kernel, slots, c * step, min(n, (c + 1) * step))

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

    def fast(self, args, nargs):  # type: ignore[no-untyped-def]
        control = load(self + DATA)
        runtime = load(control)
        inputs = load(control + 8 * _INPUTS)
        outputs = load(control + 8 * _OUTPUTS)
        given = load(control + 8 * _GIVEN)
        nothing = load(runtime + 8 * rt.NONE)
        ndarray = load(runtime + 8 * rt.NDARRAY)
        fits = nargs == (inputs + outputs if given else inputs) and inputs + outputs <= _FAST_SLOTS
        first, mask = 0, 0
        slots = stack_words(_FAST_SLOTS)
        if fits:
            for i in range(nargs):
                operand = args[i]
                kind = load(operand + HEADER_TYPE)
                if kind == ndarray:
                    if (load32(operand + FLAGS) & CONTIGUOUS) != CONTIGUOUS:
                        fits = False
                    elif first == 0:
                        first = operand
                    elif load(operand + DESCR) != load(first + DESCR) or load32(operand + NDIM) != load32(first + NDIM):
                        fits = False
                    else:
                        mine, others = load(operand + SHAPE), load(first + SHAPE)
                        for d in range(load32(first + NDIM)):
                            if load(mine + 8 * d) != load(others + 8 * d):
                                fits = False
                    store(slots + 8 * i, load(operand + DATA))
                elif kind == load(runtime + 8 * rt.FLOAT) and i < inputs:
                    mask |= 1 << i
                    store(slots + 8 * i, operand + FLOAT_VALUE)
                else:
                    fits = False
        row = 0
        if fits and first != 0:
            width = 8 * (3 + outputs)
            candidate = control + 8 * _TABLE
            for _ in range(load(control + 8 * _ROWS)):
                if load(candidate) == load(first + DESCR) and load(candidate + 8) == mask:
                    row = candidate
                    break
                candidate += width
        ndim, shape, n = 0, 0, 1
        if row != 0:
            ndim, shape = load32(first + NDIM), load(first + SHAPE)
            for d in range(ndim):
                n *= load(shape + 8 * d)
            if n > load(control + 8 * _GRAIN) and load(runtime + 8 * rt.PARALLEL_FOR) == 0:
                if load(runtime + 8 * rt.THREADS) > 1:
                    row = 0  # the general path starts the threads
        if row == 0:
            call_void1(load(runtime + 8 * rt.INCREF), nothing)
            return nothing
        result = nothing
        if given:
            result = args[inputs]
            call_void1(load(runtime + 8 * rt.INCREF), result)
        else:
            if outputs > 1:
                result = call1(load(runtime + 8 * rt.TUPLE_NEW), outputs)
                if result == 0:
                    return 0
            for k in range(outputs):
                dtype = load(row + 8 * (3 + k))
                call_void1(load(runtime + 8 * rt.INCREF), dtype)
                array = call4(load(runtime + 8 * rt.ARRAY_EMPTY), ndim, shape, dtype, 0)
                if array == 0:
                    return 0  # MemoryError is set; a partly filled tuple is one small object, freed with the traceback
                store(slots + 8 * (inputs + k), load(array + DATA))
                if outputs > 1:
                    call3(load(runtime + 8 * rt.TUPLE_SET), result, k, array)
                else:
                    result = array
        run(runtime, load(row + 16), slots, n, load(control + 8 * _GRAIN))
        return result

    def launch(self, args, nargs):  # type: ignore[no-untyped-def]
        runtime = load(load(self + DATA))
        slots = stack_array(nargs - 3)
        as_int64 = load(runtime + 8 * rt.LONG_AS_INT64)
        kernel, n, grain = call1(as_int64, args[0]), call1(as_int64, args[1]), call1(as_int64, args[2])
        for i in range(3, nargs):
            operand = args[i]
            kind = load(operand + HEADER_TYPE)
            if kind == load(runtime + 8 * rt.NDARRAY):
                store(slots + 8 * (i - 3), load(operand + DATA))
            elif kind == load(runtime + 8 * rt.FLOAT):
                store(slots + 8 * (i - 3), load(operand + FLOAT_VALUE))
            else:
                store(slots + 8 * (i - 3), call1(as_int64, operand))
        if call0(load(runtime + 8 * rt.ERR_OCCURRED)) != 0:
            return 0
        run(runtime, kernel, slots, n, grain)
        nothing = load(runtime + 8 * rt.NONE)
        call_void1(load(runtime + 8 * rt.INCREF), nothing)
        return nothing

    @njit(inline="always")  # type: ignore[untyped-decorator]
    def run_steps(steps, count, runtime):  # type: ignore[no-untyped-def]
        for i in range(count):
            row = steps + 32 * i
            spread(runtime, load(row), load(row + 8), load(row + 16), load(row + 24))

    def replay(steps, count, runtime):  # type: ignore[no-untyped-def]
        run_steps(steps, count, runtime)

    def program(self, args, nargs):  # type: ignore[no-untyped-def]
        control = load(self + DATA)
        runtime = load(control)
        state = call0(load(runtime + 8 * rt.SAVE_THREAD))
        run_steps(load(control + 8), load(control + 16), runtime)
        call_void1(load(runtime + 8 * rt.RESTORE_THREAD), state)
        nothing = load(runtime + 8 * rt.NONE)
        call_void1(load(runtime + 8 * rt.INCREF), nothing)
        return nothing

    return {"chunk": chunk, "fast": fast, "launch": launch, "replay": replay, "program": program}


def _words(count: int) -> Callable[[], Any]:
    def signature() -> Any:
        from numba import types

        return types.void(*[types.int64] * count)

    return signature


def _fastcall_signature() -> Any:
    from numba import types

    return types.int64(types.int64, types.CPointer(types.int64), types.int64)


@functools.cache
def _address(name: str) -> int:
    signature = {"chunk": _words(4), "replay": _words(3)}.get(name, _fastcall_signature)
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


def _builtin(name: str, control: np.ndarray[Any, Any]) -> Callable[..., Any]:
    """A Python builtin whose body is native code and whose ``self`` is the control block, which it keeps alive."""
    if name not in _definitions:
        _definitions[name] = _MethodDef(name.encode(), _address(name), _METH_FASTCALL, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    made: Callable[..., Any] = make(ctypes.addressof(_definitions[name]), control, None)
    return made


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

    def launch(self, kernel: int, n: int, grain: int, *slots: Any) -> None:
        """Note a launch and perform it."""
        self.rows.append((kernel, n, grain, slots))
        _native_launcher()(kernel, n, grain, *slots)

    def __enter__(self) -> Launches:
        _recording.to = self
        return self

    def __exit__(self, *exc: object) -> None:
        _recording.to = None


class _Recording(threading.local):
    to: Launches | None = None


_recording = _Recording()


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
        if isinstance(slot, np.ndarray):
            words[i] = slot.ctypes.data
        elif isinstance(slot, float):
            words[i : i + 1].view(np.float64)[0] = slot
        else:
            words[i] = slot
    return words


class Fast:
    """An operation's fast path, and the table of kernels it chooses from.

    ``self.call(*operands)`` returns the new output array (a tuple when there are several), or None when the operands are
    not simple or their kernel is not in the table yet. With ``given=True`` the outputs are passed after the inputs.
    """

    def __init__(self, inputs: int, outputs: int, grain: int, *, given: bool = False) -> None:
        self._width = 3 + outputs
        self.control = np.zeros(_TABLE + _CAPACITY * self._width, np.int64)
        self.control[:_TABLE] = rt.address, inputs, outputs, grain, 0, given
        self._keep: list[Any] = []
        self._known: set[tuple[int, int]] = set()
        self.call = _builtin("fast", self.control)

    def knows(self, dtype: np.dtype[Any], scalar_mask: int) -> bool:
        """Whether there is a kernel for such operands."""
        return (dtype.num, scalar_mask) in self._known

    def add(self, dtype: np.dtype[Any], scalar_mask: int, kernel: int, out_dtypes: tuple[np.dtype[Any], ...]) -> None:
        """Let the fast path run ``kernel`` when all arrays are ``dtype`` and the operands in ``scalar_mask`` are floats."""
        rows = int(self.control[_ROWS])
        if rows == _CAPACITY or self.knows(dtype, scalar_mask):
            return
        start = _TABLE + rows * self._width
        self.control[start : start + self._width] = id(dtype), scalar_mask, kernel, *map(id, out_dtypes)
        self._keep += [dtype, *out_dtypes]
        self._known.add((dtype.num, scalar_mask))
        self.control[_ROWS] = rows + 1  # last, so that another thread never sees half a row
