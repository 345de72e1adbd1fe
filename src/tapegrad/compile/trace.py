"""Tracing: the operations of a region, seen at the dispatch point, and the kernel launches each of them made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..kernels.cpu import Launches
from ..modes import advance, listening, local, tracing
from ..observing import source_line
from ..tensor import Tensor, wrap


class CompileError(RuntimeError):
    """A step that can't be replayed, with the operation and source line that prevent it."""


class Event(NamedTuple):
    """One traced operation: its name, the output's shape and dtype, its launches as a range of rows, and its source line."""

    op: str
    shape: tuple[int, ...]
    dtype: str
    first: int
    last: int
    line: str

    def place(self) -> str:
        """For messages."""
        return f"{self.op} at {self.line}"


class Counter(NamedTuple):
    """Counters that agree (0-d tensors, ``state[name]``) and every run advances, and the 0-d arrays that ``formula(count)`` goes to."""

    states: list[dict[str, Any]]
    name: str
    formula: Callable[[float], tuple[float, ...]]
    arrays: tuple[Any, ...]

    @property
    def reached(self) -> float:
        """How far they are."""
        return float(self.states[0][self.name]._array)

    def reset(self, count: float) -> None:
        """Put them back to ``count``."""
        for state in self.states:
            state[self.name]._array[...] = count

    def advance(self) -> None:
        """Count one, and fill in the numbers."""
        reached = [advance(state[self.name]) for state in self.states]
        for array, value in zip(self.arrays, self.formula(reached[0]), strict=True):
            array[...] = value


class Trace:
    """What a call of a function did, and what else it depends on.

    Attributes:
        events: its operations, in order.
        launches: the kernels they launched.
        read: tensors from outside (parameters, buffers) that were used, with the arrays they held.
        written: those of them that were written in place.
        guards: functions, such as one that reads an optimizer's options, and what they gave.
        checks: arrays and functions that raise when their values can't be used.
        counters: numbers that follow from how often the function ran.
        modes: whether operations were recorded, and cast, when it began.
        results: ids of the arrays that operations made, which are no constants.
        gradients: tensors whose ``.grad`` was looked at or set, with what it was at first, and whether it was set without a look.
    """

    def __init__(self, arguments: tuple[Tensor, ...]) -> None:
        self.events: list[Event] = []
        self.launches = Launches()
        self.read: dict[int, tuple[Tensor, Any]] = {}
        self.written: dict[int, Tensor] = {}
        self.guards: list[tuple[Callable[[], object], object]] = []
        self.checks: list[tuple[Any, Callable[[Any], None]]] = []
        self.counters: list[Counter] = []
        self.gradients: dict[int, tuple[Tensor, Tensor | None, bool]] = {}
        self.modes = (0, False)
        self._arguments = arguments
        self.results: set[int] = set()
        self._consumed: set[Any] = set()
        self._known = {id(t) for t in arguments}
        self._alive: list[Any] = list(arguments)  # an id names an object only while the object lives

    def run(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` under the trace; returns its result, with tensors detached whose graph was consumed.

        Raises:
            CompileError: when eager calls leave behind what a replay could not.
        """
        self.modes = (local.flags, local.autocast)
        with self.launches, listening(self), tracing(self):
            result = function()
        for i, t in enumerate(self._arguments):
            if t._entry is not None or t._grad is not None:
                raise CompileError(f"compile: the function makes its argument {i} require grad, which the caller would not see; .clone() it first")
        for t, _ in self.read.values():
            if t.is_leaf and t._entry is not None and t._entry.extra is not None and (t._entry.extra.hooks or t._entry.extra.post_hooks):
                raise CompileError(
                    f"compile: a tensor of shape {tuple(t.shape)} has a hook on its gradient, and a replay runs no Python; remove it, and do what it "
                    "does inside the function"
                )
        for t in self.written.values():
            if not t.is_leaf:
                raise CompileError(
                    f"compile: a tensor of shape {tuple(t.shape)} from outside was written while recording, and a replay keeps no graph; write "
                    "inside no_grad()"
                )
        map_tensors(result, self._check_result)
        return result

    def _check_result(self, t: Tensor) -> Tensor:
        if t._entry is not None and t._entry not in self._consumed:
            raise CompileError(
                f"compile: a result of shape {tuple(t.shape)} requires grad, and a replay keeps no graph; call backward() inside the function, "
                "or return .detach() of it"
            )
        return t

    def holds(self) -> bool:
        """Whether everything that was guarded is as it was."""
        return all(read() == value for read, value in self.guards)

    def guard(self, read: Callable[[], object]) -> None:
        """A tracer's method: the trace holds only while ``read()`` gives what it gives now."""
        self.guards.append((read, read()))

    def check(self, tensor: Tensor, function: Callable[[Any], None]) -> None:
        """A tracer's method: replays call ``function`` with the tensor's array; the caller did so already."""
        self.checks.append((tensor._array, function))

    def counted(self, states: list[dict[str, Any]], name: str, formula: Callable[[float], tuple[float, ...]]) -> tuple[Any, ...]:
        """A tracer's method: numbers that replays compute anew, as 0-d tensors, which kernels read as they read numbers."""
        arrays = tuple(np.zeros(()) for _ in formula(float(states[0][name]._array) + 1))
        counter = Counter(states, name, formula, arrays)
        counter.advance()
        self.counters.append(counter)
        return tuple(wrap(array) for array in arrays)

    def refuse(self, what: str) -> NoReturn:
        """A tracer's method: raise for a call that shows values to Python."""
        raise CompileError(
            f"compile: {what} at {source_line()} gives Python a tensor's value or draws from a generator, and a replay runs no "
            "Python; use tensor operations (tg.where instead of if), or do it outside the compiled function"
        )

    def gradient(self, tensor: Tensor, assigned: bool) -> None:
        """A tracer's method: note what a ``.grad`` is at first."""
        self.gradients.setdefault(id(tensor), (tensor, tensor._grad, assigned))

    def differentiated(self, edges: Any) -> None:
        """A tracer's method: note which graphs are used up."""
        self._consumed.update(edges)

    def operation(self, op: Any, inputs: tuple[Any, ...], params: dict[str, Any], outputs: tuple[Any, ...]) -> None:
        """A listener's method: note one operation, and that kernels did all of its work."""
        if any(t.is_cuda for t in outputs):
            raise CompileError(f"compile: {op.name} ran on {outputs[0].device}, and only the CPU's kernels can be replayed yet; call the function itself")
        name, line = getattr(op, "name", str(op)), source_line()
        first = self.events[-1].last if self.events else 0
        rows = self.launches.rows[first:]
        if getattr(op, "random", False):
            raise CompileError(f"compile: {name} at {line} draws random numbers; replay does not support that yet")
        for t in inputs:
            if isinstance(t, Tensor) and id(t) not in self._known:
                self._known.add(id(t))
                self.read[id(t)] = (t, t._array)
        in_place = params.get("in_place", False)
        for output in outputs:
            array = output._array
            is_view = output._base is not None and not in_place
            if array.size and not is_view and not any(_covers(slots, array) for _, _, _, slots in rows):
                raise CompileError(f"compile: {name} at {line} has no kernel that replay could run yet")
            if in_place and id(output) in self.read:
                self.written[id(output)] = output
            if in_place and any(np.may_share_memory(array, t._array) for t in self._arguments):
                raise CompileError(f"compile: {name} at {line} writes to an argument, and a replay would not reach the caller's tensor; .clone() it first")
            self._known.add(id(output))
            self.results.add(id(array))
        self._alive += [*inputs, *outputs]
        main = outputs[0]
        self.events.append(Event(name, tuple(main._array.shape), main.dtype.name, first, len(self.launches.rows), line))


def map_tensors(tree: Any, function: Callable[[Tensor], Any]) -> Any:
    """Apply a function to every tensor of nested tuples, named tuples, lists and dicts."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_make"):
        return tree._make(map_tensors(x, function) for x in tree)
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_tensors(x, function) for x in tree)
    if isinstance(tree, dict):
        return {k: map_tensors(v, function) for k, v in tree.items()}
    return tree


def _covers(slots: tuple[Any, ...], array: Any) -> bool:
    return any(isinstance(slot, np.ndarray) and np.may_share_memory(slot, array) for slot in slots)


def difference(a: Trace, b: Trace) -> str | None:
    """Where two traces of the same function differ in more than addresses: the operation and source line, or None."""
    computed = {id(array) for trace in (a, b) for counter in trace.counters for array in counter.arrays} | a.results | b.results
    computed |= {id(t._array) for trace in (a, b) for t in trace._arguments}
    for x, y in zip(a.events, b.events, strict=False):
        if x[:3] != y[:3] or x.last - x.first != y.last - y.first:
            return x.place()
        for (k1, n1, _, s1), (k2, n2, _, s2) in zip(a.launches.rows[x.first : x.last], b.launches.rows[y.first : y.last], strict=True):
            if k1 != k2 or n1 != n2 or not _same_constants(s1, s2, computed):
                return x.place()
    longer = max(a.events, b.events, key=len)
    return None if len(a.events) == len(b.events) else longer[min(len(a.events), len(b.events))].place()


def _same_constants(a: tuple[Any, ...], b: tuple[Any, ...], computed: set[int]) -> bool:
    for x, y in zip(a, b, strict=True):
        if isinstance(x, np.ndarray) != isinstance(y, np.ndarray):
            return False
        if isinstance(x, np.ndarray):
            if id(x) in computed and id(y) in computed:
                continue
            if x.ndim == 0 and x.dtype == np.float64 and not np.array_equal(x, y, equal_nan=True):
                return False  # a Python number that became an operand
        elif x != y:
            return False
    return True
