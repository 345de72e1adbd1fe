"""Where the memory of a model goes, and why training needs more of it than prediction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ..graph import Output
from ..modes import enable_grad, listening
from ..record import readable_bytes, saved_values
from ..sweep import reachable
from ..tensor import Tensor

__all__ = ["MemoryReport", "memory_report"]


@dataclass(frozen=True)
class MemoryReport:
    """Bytes of memory, by what they hold; prints as a table.

    Attributes:
        parameters, buffers: of the model.
        gradients: of the parameters that require one, after a backward pass.
        optimizer_state: what the optimizer remembers now; most begin with their first step.
        results: the most that results of operations need at one time when each is let go after its last use, as in prediction.
        saved: by operation, results and other values that are kept from their making until backward used them. What two
            operations keep is counted for the first; parameters and inputs, which exist anyway, are not counted.
        passing: results that are not saved, but needed beside what is, when a training step's forward pass holds the most.
    """

    parameters: int
    buffers: int
    gradients: int
    optimizer_state: int
    results: int
    saved: dict[str, int] = field(default_factory=dict)
    passing: int = 0

    @property
    def prediction(self) -> int:
        """Bytes that a prediction needs at its peak."""
        return self.parameters + self.buffers + self.results

    @property
    def training(self) -> int:
        """Bytes that a training step needs: the forward pass at its peak, and what the step leaves."""
        return self.parameters + self.buffers + self.gradients + self.optimizer_state + sum(self.saved.values()) + self.passing

    def __repr__(self) -> str:
        rows: list[tuple[str, int | None, int | None]] = [("parameters", self.parameters, self.parameters)]
        if self.buffers:
            rows.append(("buffers", self.buffers, self.buffers))
        rows += [("gradients", None, self.gradients), ("optimizer state", None, self.optimizer_state), ("results", self.results, self.passing)]
        rows += [(f"saved by {name}", None, size) for name, size in self.saved.items()]
        rows.append(("total", self.prediction, self.training))
        cells = [("", "prediction", "training")]
        cells += [(name, _cell(predicting), _cell(training)) for name, predicting, training in rows]
        widths = [max(len(row[i]) for row in cells) for i in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in cells)


def _cell(size: int | None) -> str:
    return "" if size is None else readable_bytes(size)


def memory_report(forward: Callable[[], Tensor], model: Any, optimizer: Any = None) -> MemoryReport:
    """What predicting and training with a model need, from one run of ``forward``.

    The tensors' own memory is counted. What kernels need inside for themselves, and the gradients of results that backward
    passes on, come on top.

    Args:
        forward: computes the loss, a tensor that requires grad, of a batch that exists already.
        model: has ``parameters()`` and ``buffers()``.
        optimizer: has ``state``.

    Raises:
        RuntimeError: when the loss does not require grad.

    >>> import tapegrad as tg
    >>> model, x, y = tg.nn.Sequential(tg.nn.Linear(4, 8), tg.nn.Tanh(), tg.nn.Linear(8, 3)), tg.ones(5, 4), tg.zeros(5, 3)
    >>> tg.utils.memory.memory_report(lambda: tg.nn.functional.mse_loss(model(x), y), model)
                            prediction  training
    parameters                   268 B     268 B
    gradients                              268 B
    optimizer state                          0 B
    results                      320 B     100 B
    saved by tanh                          160 B
    saved by squared_error                  60 B
    total                        588 B     856 B
    """
    watch = _Watch()
    with enable_grad(), listening(watch):
        loss = forward()
    if loss._entry is None:
        raise RuntimeError("memory_report: the loss does not require grad, so nothing is kept for backward")
    watch.use(loss)
    parameters = list(model.parameters())
    saved, kept = _saved(loss, watch)
    state = [] if optimizer is None else [value for kept in optimizer.state.values() for value in kept.values()]
    return MemoryReport(
        parameters=_bytes(p._array for p in parameters),
        buffers=_bytes(b._array for b in model.buffers()),
        gradients=_bytes(p._array for p in parameters if p.requires_grad),
        optimizer_state=_bytes(value._array for value in state if isinstance(value, Tensor)),
        results=watch.peak(),
        saved=saved,
        passing=max(watch.peak(kept) - sum(saved.values()), 0),
    )


def _memory(array: Any) -> Any:
    """The array that owns the memory."""
    while isinstance(getattr(array, "base", None), type(array)):
        array = array.base
    return array


def _bytes(arrays: Iterable[Any]) -> int:
    """Of the memory of all arrays, each once."""
    return sum({id(memory): int(memory.nbytes) for memory in map(_memory, arrays)}.values())


class _Watch:
    """Notes the memory that operations make, and when it is used first and last."""

    def __init__(self) -> None:
        self.given: dict[int, Any] = {}  # id -> memory that was there before; held, so that ids stay unique
        self._made: dict[int, tuple[Any, int]] = {}  # id -> memory, the operation that made it
        self._last: dict[int, int] = {}
        self._count = 0

    def operation(self, op: Any, inputs: tuple[Any, ...], params: dict[str, Any], outputs: tuple[Any, ...]) -> None:
        for value in inputs:
            if isinstance(value, Tensor):
                self.use(value)
        for output in outputs:
            memory = _memory(output._array)
            if id(memory) not in self.given:
                self._made.setdefault(id(memory), (memory, self._count))
                self._last[id(memory)] = self._count
        self._count += 1

    def use(self, value: Tensor) -> None:
        """The next operation uses it."""
        memory = _memory(value._array)
        if id(memory) in self._made:
            self._last[id(memory)] = self._count
        else:
            self.given[id(memory)] = memory

    def peak(self, kept: Collection[int] = ()) -> int:
        """The most bytes in use at one time, where memory with an id in ``kept`` stays in use."""
        change = [0] * (self._count + 2)
        for key, (memory, first) in self._made.items():
            change[first] += int(memory.nbytes)
            change[-1 if key in kept else self._last[key] + 1] -= int(memory.nbytes)
        return max(accumulate(change))


def _saved(loss: Tensor, watch: _Watch) -> tuple[dict[str, int], set[int]]:
    """By operation, the bytes that the tape of ``loss`` holds and that were not there before; and the ids of that memory."""
    counted = set(watch.given)
    found: dict[str, int] = {}
    for entry in reversed(reachable([loss._entry])):
        if entry.is_leaf or type(entry) is Output:
            continue
        arrays = (value for value in saved_values(entry) if hasattr(value, "nbytes"))
        memories = {id(m): m for m in map(_memory, arrays) if id(m) not in counted}
        counted |= memories.keys()
        if memories:
            found[entry.op.name] = found.get(entry.op.name, 0) + sum(int(m.nbytes) for m in memories.values())
    return found, counted - watch.given.keys()
