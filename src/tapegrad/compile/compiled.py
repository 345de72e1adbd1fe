"""``tg.compile``: a function that is traced, checked against itself, and then replayed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..modes import local
from ..tensor import Tensor, wrap
from .program import Program, map_tensors
from .trace import CompileError, Trace, differing_line


class Compiled:
    """A training step (or any function of tensors) whose kernels run without the interpreter.

    The first two calls run eagerly under a trace and must do the same operations with the same constants; the second is also
    replayed, and must give the same bits. Later calls with the same shapes and dtypes only run the kernels: Python code inside
    the function does not run again, and gradients are found in ``.grad`` as after an eager call. A call that does not fit
    (other shapes, a parameter with other memory) is traced anew.

    Arguments are tensors that don't require grad, or NumPy arrays. Randomness, operations without a kernel, and numbers that
    differ from call to call raise :class:`CompileError`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.program: Program | None = None
        self._first: Trace | None = None

    def __call__(self, *args: Any) -> Any:
        arrays = tuple(_array(a, i) for i, a in enumerate(args))
        program = self.program
        if program is not None and local.flags == 0 and program.fits(arrays):
            return program.run(arrays)
        return self._trace(arrays)

    def _trace(self, arrays: tuple[Any, ...]) -> Any:
        previous = self._first
        before = {} if previous is None else {i: t._array.copy() for i, t in previous.written.items()}
        inputs = tuple(wrap(a.copy()) for a in arrays)
        trace = self._first = Trace(inputs)
        self.program = None
        result = trace.run(lambda: self.function(*inputs))
        shown = map_tensors(result, lambda t: wrap(t._array.copy()))
        if previous is None or _shapes(previous) != _shapes(trace) or previous.written.keys() != trace.written.keys():
            return shown  # the next call decides
        line = differing_line(previous, trace)
        if line is not None:
            raise CompileError(f"compile: the operation at {line} did not do the same in two calls; pass what changes as a tensor argument")
        gradients = [(t, t._grad) for t, _ in trace.read.values() if t._entry is not None and t.is_leaf]
        program = Program(trace, tuple(t._array for t in inputs), result, gradients)
        _check(program, before, arrays, result)
        self.program = program
        return shown

    @property
    def njit(self) -> Any:
        """The step as a function for nopython code: ``step.njit(x, y)`` inside ``@numba.njit`` returns the first result as an array.

        Takes C-contiguous arrays of the traced shapes and dtypes; a user's function that calls it is not cached on disk, since
        it holds addresses of this process.

        Raises:
            CompileError: before the function has been called twice.
        """
        if self.program is None:
            raise CompileError("compile: call the function twice before using .njit, so that there is a program")
        from .native import njit_function

        return njit_function(self.program)


def _check(program: Program, before: dict[int, Any], arrays: tuple[Any, ...], result: Any) -> None:
    """Replay the step just traced from the state before it, and require the same bits."""
    eager = _state(program, result)
    for key, t in program.trace.written.items():
        np.copyto(t._array, before[key])
    program.run(arrays)
    for (what, a), (_, b) in zip(eager, _state(program, result), strict=True):
        if a.tobytes() != b.tobytes():
            raise CompileError(f"compile: replay did not reproduce {what}; part of the step is not done by kernels")


def _state(program: Program, result: Any) -> list[tuple[str, Any]]:
    """Copies of everything that the step wrote: results, gradients, parameters."""
    found: list[tuple[str, Any]] = []
    map_tensors(result, lambda t: found.append(("the result", t._array.copy())))
    found += [(f"the gradient of shape {tuple(t.shape)}", g._array.copy()) for t, g in program._gradients if g is not None]
    found += [(f"the tensor of shape {tuple(t.shape)}", t._array.copy()) for t in program._written]
    return found


def _shapes(trace: Trace) -> list[tuple[str, tuple[int, ...]]]:
    return [(e.op, e.shape) for e in trace.events]


def _array(value: Any, position: int) -> Any:
    if isinstance(value, Tensor):
        if value._entry is not None:
            raise CompileError(f"compile: argument {position} requires grad; close over parameters instead of passing them")
        return value._array
    if isinstance(value, np.ndarray):
        return value
    raise TypeError(f"compile: argument {position} must be a tensor or array, got {type(value).__name__}")


def compile(function: Callable[..., Any]) -> Compiled:
    """Compile a function of tensors by tracing it; see :class:`Compiled`. Usable as a decorator."""
    return Compiled(function)
