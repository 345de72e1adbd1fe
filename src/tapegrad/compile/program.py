"""A program: a traced step as native launches over fixed buffers, with its inputs and outputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..kernels.cpu import Steps
from ..modes import local
from ..tensor import Tensor, wrap
from .trace import Event, Trace, map_tensors

_probe = [object()]
_ALONE = sys.getrefcount(_probe[0])  # what getrefcount says of something that only a list holds


def _hooked(extra: Any) -> bool:
    return bool(extra.hooks or extra.post_hooks)


class Program:
    """The launches of a trace, run again without the interpreter.

    Values live in the buffers that the trace used; arguments are copied in, results copied out, parameters are written where
    they are.

    Args:
        trace: what to replay.
        arguments: the traced call's private argument arrays.
        result: what the traced call returned: a tensor, or nested tuples, lists and dicts of tensors.
        copies: leave each gradient in memory of its own. Otherwise gradients stay in the program's buffers, and :meth:`taken` says
            when somebody else holds one that the next run would overwrite.
    """

    def __init__(self, trace: Trace, arguments: tuple[Any, ...], result: Any, copies: bool = False) -> None:
        self.trace = trace
        self.arguments = arguments
        self.steps = Steps(trace.launches.rows)
        self._result = result
        self._outside = [(t, array, t._entry) for t, array in trace.read.values()]
        self.written = list(trace.written.values())
        self.copies = copies
        self.gradients: list[tuple[Tensor, Tensor | None]] = []  # the tensors whose .grad a run sets, with those gradients
        self._same: list[tuple[Tensor, Tensor | None]] = []  # those whose .grad must be what it was
        for tensor, before, assigned in trace.gradients.values():
            if tensor._grad is not before:
                self.gradients.append((tensor, tensor._grad))
            if (before is None and not assigned) or id(before) in trace.read:
                self._same.append((tensor, before))
        self._shown: list[Any] = []
        self.counters = trace.counters
        # what the arguments or outside tensors hold can be checked before anything is written, the rest when it is there
        given = [*arguments, *(array for _, array, _ in self._outside)]
        self._checks: list[tuple[Any, Callable[[Any], None]]] = []
        self._checks_after: list[tuple[Any, Callable[[Any], None]]] = []
        for array, check in trace.checks:
            early = any(np.may_share_memory(array, other) for other in given)
            (self._checks if early else self._checks_after).append((array, check))

    def fits(self, arrays: tuple[Any, ...]) -> bool:
        """Whether the program may run on these arguments.

        Their number, shapes and dtypes, the memory of every parameter, whether it requires grad and has hooks or a gradient to
        accumulate into, and what was guarded (options of optimizers, training or not) must be as traced.
        """
        if len(arrays) != len(self.arguments) or (local.flags, local.autocast) != self.trace.modes or local.flags > 1:
            return False
        for given, own in zip(arrays, self.arguments, strict=True):
            if given.shape != own.shape or given.dtype != own.dtype:
                return False
        for t, array, entry in self._outside:
            if t._array is not array or t._entry is not entry or (entry is not None and entry.extra is not None and _hooked(entry.extra)):
                return False
        return all(t._grad is before for t, before in self._same) and self.trace.holds()

    def taken(self) -> bool:
        """Whether anybody but the tensors themselves holds a gradient that the last run left, or its memory."""
        shown = self._shown
        for i, (leaf, _) in enumerate(self.gradients if shown else ()):
            grad = shown[i]
            if grad is None:
                continue
            alone = _ALONE + 1 + (leaf._grad is grad)  # the list, the name above, the slot
            if sys.getrefcount(shown[i]) > alone or grad._array is not self._memory[i] or sys.getrefcount(self._memory[i]) > _ALONE + 1:
                return True
        return False

    def run(self, arrays: tuple[Any, ...]) -> Any:
        """One step; returns what the function returned, in fresh memory.

        Raises:
            IndexError: and what else operations raise for values that they can't use.
        """
        for given, own in zip(arrays, self.arguments, strict=True):
            np.copyto(own, given)
        for array, check in self._checks:
            check(array)
        for counter in self.counters:
            counter.advance()
        self.steps.run()
        self.finish()
        for array, check in self._checks_after:
            check(array)
        return map_tensors(self._result, lambda t: wrap(t._array.copy()))

    def poison(self) -> None:
        """Fill every floating-point buffer that the kernels of a run must fill before they read it with NaN.

        What was computed without a kernel (a copy that NumPy made, say) is lost that way, so that a run shows that it is missing.
        """
        for _, owner in self._buffers():
            if owner.flags.writeable:
                owner.fill(np.nan)

    def unfilled(self) -> str:
        """After a poisoned run: the operation and line of the first buffer that no kernel filled, or nothing."""
        for event, owner in self._buffers():
            if owner.size and np.isnan(owner).all():
                return event.place()
        return ""

    def _buffers(self) -> Iterator[tuple[Event, Any]]:
        """The floating-point arrays that the kernels were launched with, but for arguments, outside tensors and numbers.

        Integers are left out, among which are tables that steer kernels.
        """
        given = [*self.arguments, *(array for _, array, _ in self._outside), *(a for counter in self.counters for a in counter.arrays)]
        kept = {id(owner_of(array)) for array in given}
        for event in self.trace.events:
            for _, _, _, slots in self.trace.launches.rows[event.first : event.last]:
                for slot in slots:
                    if isinstance(slot, np.ndarray) and not (slot.ndim == 0 and slot.dtype == np.float64):
                        owner = owner_of(slot)
                        if id(owner) not in kept and owner.dtype.kind in "fcV":
                            yield event, owner

    def finish(self) -> None:
        """Leave tensors as an eager step would: versions moved on, gradients in place."""
        for t in self.written:
            t._storage.wrote("a compiled step")
        if self.copies:
            for leaf, grad in self.gradients:
                leaf._grad = None if grad is None else wrap(grad._array.copy())
            return
        if not self._shown:
            self._show()
        for (leaf, _), shown in zip(self.gradients, self._shown, strict=True):
            leaf._grad = shown

    def _show(self) -> None:
        """Make the tensors that show the gradients' buffers: of arrays that views of them will refer to, so that they can be counted."""
        self._memory = [None if grad is None else as_strided(grad._array) for _, grad in self.gradients]
        self._shown = [None if array is None else wrap(array) for array in self._memory]

    def __repr__(self) -> str:
        lines = [f"{i:4d}  {e.op:<28} {e.shape!s:<16} {e.dtype:<8} {e.last - e.first} kernels  {e.line}" for i, e in enumerate(self.trace.events)]
        return "\n".join([f"program of {len(self.trace.events)} operations, {len(self.steps.table)} kernels", *lines])


def owner_of(array: Any) -> Any:
    """The array whose memory this one shows."""
    while True:
        base = getattr(array.base, "base", array.base) if type(array.base).__name__ == "DummyArray" else array.base  # of as_strided
        if not isinstance(base, np.ndarray):
            return array
        array = base
