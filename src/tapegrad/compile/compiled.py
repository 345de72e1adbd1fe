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

    The first two calls run eagerly under a trace and must do the same operations with the same constants; the third runs both
    eagerly and replayed, and must give the same bits. Later calls with the same shapes and dtypes only run the kernels: Python code inside
    the function does not run again, and gradients are found in ``.grad`` as after an eager call. A call that does not fit
    (other shapes, a parameter with other memory) is traced anew.

    Arguments are tensors that don't require grad, or NumPy arrays. Randomness, operations without a kernel, and numbers that
    differ from call to call raise :class:`CompileError`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.program: Program | None = None
        self._candidate: Program | None = None  # a program that has not been confirmed yet
        self._first: Trace | None = None

    def __call__(self, *args: Any) -> Any:
        arrays = tuple(_array(a, i) for i, a in enumerate(args))
        program = self._candidate
        if program is None or local.flags != 0 or not program.fits(arrays):
            return self._trace(arrays)
        if self.program is None:
            return self._confirm(program, arrays)
        return program.run(arrays)

    def _trace(self, arrays: tuple[Any, ...]) -> Any:
        previous = self._first
        inputs = tuple(wrap(a.copy()) for a in arrays)
        trace = self._first = Trace(inputs)
        self.program = self._candidate = None
        result = trace.run(lambda: self.function(*inputs))
        if previous is not None and _shapes(previous) == _shapes(trace) and previous.written.keys() == trace.written.keys():
            line = differing_line(previous, trace)
            if line is not None:
                raise CompileError(
                    f"compile: the operation at {line} did not do the same in two calls; pass what changes as a tensor argument"
                )
            gradients = [(t, t._grad) for t, _ in trace.read.values() if t._entry is not None and t.is_leaf]
            self._candidate = Program(trace, tuple(t._array for t in inputs), result, gradients)
        return map_tensors(result, lambda t: wrap(t._array.copy()))

    def _confirm(self, program: Program, arrays: tuple[Any, ...]) -> Any:
        """Run a step eagerly and replayed, on values that were not traced, and require the same bits."""
        before = [t._array.copy() for t in program.written]
        result = self.function(*(wrap(a.copy()) for a in arrays))
        eager = _state(program, result)
        for t, array in zip(program.written, before, strict=True):
            np.copyto(t._array, array)
        replayed = program.run(arrays)
        for (what, a), (_, b) in zip(eager, _state(program, replayed), strict=True):
            if a.tobytes() != b.tobytes():
                self._candidate = None
                raise CompileError(f"compile: replay did not reproduce {what}; part of the step is not done by kernels, or depends on data")
        self.program = program
        return replayed

    @property
    def njit(self) -> Any:
        """The step as a function for nopython code: ``step.njit(x, y)`` inside ``@numba.njit`` returns the first result as an array.

        Takes C-contiguous arrays of the traced shapes and dtypes; a user's function that calls it is not cached on disk, since
        it holds addresses of this process.

        Raises:
            CompileError: before the function has been called three times.
        """
        if self.program is None:
            raise CompileError("compile: call the function three times before using .njit, so that there is a confirmed program")
        from .native import njit_function

        return njit_function(self.program)


def _state(program: Program, result: Any) -> list[tuple[str, Any]]:
    """Copies of everything that the step wrote: results, gradients, parameters."""
    found: list[tuple[str, Any]] = []
    map_tensors(result, lambda t: found.append(("the result", t._array.copy())))
    found += [(f"the gradient of shape {tuple(t.shape)}", t._grad._array.copy()) for t, _ in program.gradients if t._grad is not None]
    found += [(f"the tensor of shape {tuple(t.shape)}", t._array.copy()) for t in program.written]
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
    """Compile a function of tensors by tracing it; see :class:`Compiled`. Usable as a decorator.

    >>> import tapegrad as tg
    >>> weight = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> @tg.compile
    ... def loss(x):
    ...     return ((x * weight) ** 2).sum()
    >>> for k in range(4):  # traced, traced, confirmed, replayed
    ...     value = loss(tg.tensor([float(k), 1.0]))
    >>> value
    tensor(13.)
    """
    return Compiled(function)
