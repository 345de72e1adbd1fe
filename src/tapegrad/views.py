"""What views know: the root that owns their memory, and the view ops that lead from it to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .storage import Storage
from .tensor import Tensor


class Steps:
    """View ops and their parameters, one after the other: the last one and what came before it.

    Entries keep these, since a View would keep the root.
    """

    __slots__ = ("before", "op", "params")

    def __init__(self, before: Steps | None, op: Any, params: dict[str, Any]) -> None:
        self.before = before
        self.op = op
        self.params = params

    def __iter__(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        steps: list[Steps] = []
        step: Steps | None = self
        while step is not None:
            steps.append(step)
            step = step.before
        return ((s.op, s.params) for s in reversed(steps))

    def of(self, value: Any, K: Any) -> Any:
        """The view of a value of the root's shape (``K`` says whether an array or a tensor)."""
        for op, params in self:
            value = getattr(K, op.name)(value, **params)
        return value


class View:
    """How a tensor views another.

    Attributes:
        root: the tensor that owns the memory.
        above: of a view of a view, that one's; else None.
        op, params: the view op that made it, of ``above`` or of the root.
        tracked: whether it was made while recording, as ``above`` was.
    """

    __slots__ = ("root", "above", "op", "params", "tracked")  # noqa: RUF023  # in the order of arguments

    def __init__(self, root: Tensor, above: View | None, op: Any, params: dict[str, Any], tracked: bool) -> None:
        self.root = root
        self.above = above
        self.op = op
        self.params = params
        self.tracked = tracked

    @property
    def steps(self) -> Steps:
        """All view ops from the root on."""
        chain: list[View] = []
        view: View | None = self
        while view is not None:
            chain.append(view)
            view = view.above
        steps: Steps | None = None
        for view in reversed(chain):
            steps = Steps(steps, view.op, view.params)
        assert steps is not None
        return steps


def note_view(op: Any, source: Tensor, output: Tensor, params: dict[str, Any], recording: bool) -> None:
    """Give the output of a view op its storage, and the storage its view; a reshape may have had to copy."""
    array, base = source._array, output._array.base
    # NumPy's views of views have the owner of the memory as their base, but for arrays that others made
    if base is not array and (base is None or (base is not array.base and not np.may_share_memory(output._array, array))):
        output._storage = Storage()
        output._base = None
        return
    above = source._base
    output._storage = storage = source._storage
    if above is None:
        output._base = View(source, None, op, params, recording)
    else:
        output._base = View(above.root, above, op, params, recording and above.tracked)
    storage.add_view(output)
