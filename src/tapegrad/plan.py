"""How the engine differentiates an op that has VJP formulas: what is saved, and gradients from it.

A VJP formula is a function of ``K`` and of any of: ``g`` (the cotangent), the op's inputs, ``out`` (its result), its residuals and
parameters, ``needs`` (which inputs need a gradient), and an input's metadata (``input_shape``, ``input_dtype``), by name; of several
outputs ``g0``, ``g1``, ... (None for one that was not used) and ``out0``, ``out1``, ... What it names is what the tape saves. ``K``
holds every op by name: on arrays in a plain backward pass, on tensors under ``create_graph``; one formula serves both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from .graph import Edge
from .tensor import Tensor, wrap

ON_ARRAYS = SimpleNamespace()
ON_TENSORS = SimpleNamespace()


class Formula:
    """A VJP formula and the names it asks for."""

    __slots__ = ("function", "names", "targets")

    def __init__(self, targets: tuple[str, ...], function: Callable[..., Any]) -> None:
        self.targets = targets
        self.function = function
        self.names = tuple(inspect.signature(function).parameters)[1:]


class Plan:
    """How the engine differentiates an op: what is saved, and gradients of arrays or of tensors from it."""

    __slots__ = ("_saves", "formulas", "index", "metadata", "name", "op", "outputs", "part", "targets")

    def __init__(self, op: Any) -> None:
        self.op = op
        self.name = op.name
        self.part = op.part
        self.index = {name: i for i, name in enumerate(op.inputs)}
        self.formulas = [Formula(t if isinstance(t, tuple) else (t,), f) for t, f in op.vjp.items()]
        self._saves: dict[tuple[bool, ...], tuple[str, ...]] = {}
        self.targets = {t for formula in self.formulas for t in formula.targets}
        asked = {n for formula in self.formulas for n in formula.names}
        self.outputs = {n: int(n[3:]) for n in asked if n[:3] == "out" and n[3:].isdecimal()}
        self.metadata = [(f"{x}_{kind}", i) for x, i in self.index.items() for kind in ("shape", "dtype") if f"{x}_{kind}" in asked]
        for formula in self.formulas:
            unknown = set(formula.targets) - set(op.inputs)
            if unknown:
                raise ValueError(f"{op.name}: VJP for {sorted(unknown)}, which are not among the inputs {op.inputs}")

    def saves(self, needs: tuple[bool, ...]) -> tuple[str, ...]:
        """The names of the values to save when these inputs need a gradient."""
        found = self._saves.get(needs)
        if found is None:
            names: list[str] = []
            for formula in self.formulas:
                if any(needs[self.index[t]] for t in formula.targets):
                    names += [n for n in formula.names if self._saved(n) and n not in names]
            found = self._saves[needs] = tuple(names)
        return found

    def _saved(self, name: str) -> bool:
        return name in self.index or name == "out" or name in self.outputs or name in self.op.residuals

    def backward(self, entry: Any, g: Any) -> list[Any]:
        """Gradients, as arrays, of the inputs that need one (None for the others)."""
        return self._run(ON_ARRAYS, entry, g, entry.saved)

    def backward_tensors(self, entry: Any, g: Any) -> list[Any]:
        """The same on tensors, recorded on the tape."""
        return self._run(ON_TENSORS, entry, g, self.saved_tensors(entry))

    def _run(self, K: Any, entry: Any, g: Any, saved: Sequence[Any]) -> list[Any]:
        needs = tuple([e is not None for e in entry.edges])
        values = {"g": g, "needs": needs, **entry.params, **dict(zip(self.saves(needs), saved, strict=True))}
        for name, i in self.metadata:
            if entry.edges[i] is not None:
                values[name] = getattr(entry.edges[i], name.rpartition("_")[2])
        if entry.outputs:
            values |= {f"g{i}": one for i, one in enumerate(g)}
        grads: list[Any] = [None] * len(needs)
        for formula in self.formulas:
            if any(needs[self.index[t]] for t in formula.targets):
                result = formula.function(K, *[values[n] for n in formula.names])
                for target, grad in zip(formula.targets, result if len(formula.targets) > 1 else (result,), strict=True):
                    i = self.index[target]
                    if needs[i] and grad is not None:
                        self._check(entry.edges[i], grad, target)
                        grads[i] = grad
        return grads

    def _check(self, edge: Any, grad: Any, target: str) -> None:
        array = grad._array if isinstance(grad, Tensor) else grad
        if array.shape != edge.shape or array.dtype != edge.dtype:
            raise RuntimeError(
                f"{self.name}: the gradient for {target!r} has shape {tuple(array.shape)} and dtype {array.dtype}, its input has shape "
                f"{tuple(edge.shape)} and dtype {edge.dtype}; this is a mistake in the operation's VJP"
            )

    def saved_tensors(self, entry: Any) -> list[Any]:
        """The saved values as tensors that are connected to the graph where the originals were."""
        needs = tuple([e is not None for e in entry.edges])
        return rebuild(self.saves(needs), self.index, entry)


def rebuild(names: Sequence[str], index: dict[str, int], entry: Any) -> list[Any]:
    """Tensors from an entry's saved arrays and its edges; numbers stay numbers."""
    tensors: list[Any] = []
    for name, value, cell in zip(names, entry.saved, entry.cells, strict=True):
        if value is None or isinstance(value, (bool, int, float, complex)):
            tensors.append(value)
        else:
            tensors.append(wrap(value, _edge_of(name, index, entry), cell))
    return tensors


def _edge_of(name: str, index: dict[str, int], entry: Any) -> Edge | None:
    """Where a saved value's gradient flows to; nowhere for residuals, whose part in the derivative formulas contain."""
    if name == "out":
        return entry  # type: ignore[no-any-return]
    if name in index:
        return entry.edges[index[name]]  # type: ignore[no-any-return]
    return entry.output(int(name[3:])) if name[:3] == "out" and name[3:].isdecimal() else None
