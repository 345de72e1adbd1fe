"""``tg.compile``: a function that is traced, checked against itself, and then replayed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..registry import as_tensor_input
from ..tensor import Tensor, wrap
from .program import Program
from .trace import CompileError, Trace, difference, map_tensors


class Compiled:
    """A training step (or any function of tensors) whose kernels run without the interpreter.

    The first two calls run eagerly under a trace and must do the same operations with the same constants; the third runs both
    eagerly and replayed, and must give the same bits. Later calls with the same shapes and dtypes only run the kernels: Python
    code inside the function does not run again, and gradients are found in ``.grad`` as after an eager call. Calls from several
    threads run one after the other.

    A call that does not fit is traced anew, which takes three calls again: other shapes, a parameter with other memory or that
    requires grad no longer, a ``.grad`` that is there to accumulate into when it was not (or the other way), an optimizer whose
    options (its learning rate, say) or state were replaced, a module switched between ``train()`` and ``eval()``. Other Python
    values that the function reads are not watched: pass what changes as a tensor.

    Arguments are tensors that don't require grad, or NumPy arrays, by position or by name. :class:`CompileError` is raised for
    randomness, for what has no kernel that replay can run (embedding, gather, advanced indices, conversions of dtypes,
    concatenation), for values that reach Python (``if``, ``float()``, ``item()``, ``numpy()``), for numbers that differ from
    call to call, for hooks on the gradients of parameters, for writes to an argument, and for results that require grad unless
    the function called ``backward()`` on them: a replay keeps no graph.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.program: Program | None = None
        self._candidate: Program | None = None  # a program that has not been confirmed yet
        self._first: Trace | None = None
        self._copies = False  # somebody keeps gradients, so each call must leave them in memory of its own
        self._lock = threading.RLock()  # the buffers of a program serve one call at a time
        _all.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args = self._by_position(args, kwargs)
        arrays = tuple([_array(a, i) for i, a in enumerate(args)])
        with self._lock:
            program = self._candidate
            if program is None or not program.fits(arrays):
                return self._trace(arrays)
            if self.program is None:
                return self._confirm(program, arrays)
            if program.taken():
                self._copies = True
                return self._trace(arrays)
            return program.run(arrays)

    def _by_position(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        if bound.kwargs:
            raise TypeError(f"compile: argument {next(iter(bound.kwargs))!r} can only be given by name; make it a positional one")
        return bound.args

    def _trace(self, arrays: tuple[Any, ...]) -> Any:
        previous = self._first if self._first is not None and self._first.holds() else None
        with contextlib.suppress(ValueError):  # a builtin may have no signature
            inspect.signature(self.function).bind(*arrays)
        inputs = tuple(wrap(a.copy()) for a in arrays)
        trace = Trace(inputs)
        self.program = self._candidate = self._first = None
        result = trace.run(lambda: self.function(*inputs))
        self._first = trace
        if previous is not None and previous.modes == trace.modes and _shapes(previous) == _shapes(trace) and previous.written.keys() == trace.written.keys():
            place = difference(previous, trace)
            if place is not None:
                raise CompileError(f"compile: {place} did not do the same in two calls; pass what changes as a tensor argument")
            self._candidate = Program(trace, tuple(t._array for t in inputs), result, self._copies)
            for t, grad in self._candidate.gradients:  # whose memory is the program's now
                t._grad = None if grad is None else wrap(grad._array.copy())
        return map_tensors(result, lambda t: wrap(t._array.copy()))

    def _confirm(self, program: Program, arrays: tuple[Any, ...]) -> Any:
        """Run a step eagerly and replayed, on values that were not traced, and require the same bits."""
        before = [t._array.copy() for t in program.written]
        counts = [counter.reached for counter in program.counters]
        result = self.function(*(wrap(a.copy()) for a in arrays))
        eager = _state(program, result)
        for t, array in zip(program.written, before, strict=True):
            np.copyto(t._array, array)
        for counter, count in zip(program.counters, counts, strict=True):
            counter.reset(count)
        program.poison()
        replayed = program.run(arrays)
        for (what, a), (_, b) in zip(eager, _state(program, replayed), strict=True):
            if a.tobytes() != b.tobytes():
                self._candidate = None
                place = program.unfilled()
                cause = f"a part of {place} is not" if place else "a part of the step is not"
                raise CompileError(f"compile: replay did not reproduce {what}; {cause} done by a kernel that replay could run, or depends on data")
        self.program = program
        return replayed

    @property
    def njit(self) -> Any:
        """The step as a function for nopython code: ``step.njit(x, y)`` inside ``@numba.njit`` returns the first result as an array.

        Takes C-contiguous arrays of the traced shapes and dtypes; a user's function that calls it is not cached on disk, since
        it holds addresses of this process.

        Nothing is checked or watched as in calls from Python: a changed learning rate is not seen, and a class that
        ``cross_entropy`` does not have counts as the nearest one that it has.

        Raises:
            CompileError: before the function has been called three times, and for steps whose numbers follow from how often they
                ran (Adam's bias corrections).
        """
        if self.program is None:
            raise CompileError("compile: call the function three times, with arguments and options like the last ones, before using .njit")
        if self.program.counters:
            names = ", ".join(sorted({repr(counter.name) for counter in self.program.counters}))
            raise CompileError(
                f"compile: .njit can't advance the counter {names} that an optimizer such as Adam keeps in Python; use SGD, or call the "
                "compiled function from Python"
            )
        from .native import njit_function

        return njit_function(self.program)

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        if self.program is not None:
            state = f"{len(self.program.trace.events)} operations, {len(self.program.steps.table)} kernels"
        else:
            state = f"called {(self._first is not None) + (self._candidate is not None)} of the 3 times that it needs"
        return f"<compiled {name}: {state}>"


_all: weakref.WeakSet[Compiled] = weakref.WeakSet()


def _new_locks() -> None:
    """A forked child must not inherit a lock that another thread held."""
    for compiled in _all:
        compiled._lock = threading.RLock()


os.register_at_fork(after_in_child=_new_locks)


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
        return as_tensor_input(value, "compile", str(position))._array
    raise TypeError(f"compile: argument {position} must be a tensor or array, got {type(value).__name__}; pass numbers as tapegrad.tensor(...)")


_OPTIONS = {"backend", "disable", "dynamic", "fullgraph", "mode", "options"}


def compile(function: Any = None, **options: Any) -> Any:
    """Compile a function of tensors by tracing it; see :class:`Compiled`. Usable as a decorator.

    A module is returned as it is, with a warning: what replays is a whole step, a function that calls ``backward()`` itself.
    PyTorch's options (``mode``, ``fullgraph``, ``dynamic``, ``backend``, ``options``) are accepted and change nothing.

    >>> import tapegrad as tg
    >>> weight = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> @tg.compile
    ... def step(x):
    ...     weight.grad = None
    ...     loss = ((x * weight) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> for k in range(4):  # traced, traced, confirmed, replayed
    ...     value = step(tg.tensor([float(k), 1.0]))
    >>> value, weight.grad
    (tensor(13.), tensor([18.,  4.]))

    Raises:
        TypeError: when it is not a function.
    """
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise TypeError(f"compile() got an unexpected option {min(unknown)!r}; PyTorch's {', '.join(sorted(_OPTIONS))} are accepted")
    if function is None:
        return lambda function: compile(function)
    if not callable(function):
        raise TypeError(f"compile() takes a function of tensors, got {type(function).__name__}")
    if hasattr(function, "parameters") and hasattr(function, "state_dict"):
        warnings.warn("compile: a module runs as it is; compile the function that does a whole training step", UserWarning, stacklevel=2)
        return function
    return Compiled(function)
