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
from typing import Any, NoReturn

from .generated import written_when_called
from .graph import Edge
from .kernels.once import once
from .tensor import wrap

ON_ARRAYS = SimpleNamespace()
ON_TENSORS = SimpleNamespace()


class Formula:
    """A VJP formula and the names it asks for."""

    __slots__ = ("function", "names", "targets")

    def __init__(self, targets: tuple[str, ...], function: Callable[..., Any]) -> None:
        self.targets = targets
        self.function = function
        self.names = tuple(inspect.signature(function).parameters)[1:]


class Plans(dict[tuple[bool, ...], "Plan"]):
    """The plans of an op, by which inputs need a gradient; each is made when it is asked for."""

    def __init__(self, op: Any) -> None:
        super().__init__()
        self._op = op

    @once
    def formulas(self) -> list[Formula]:
        """The op's VJP formulas."""
        return [Formula(t if isinstance(t, tuple) else (t,), f) for t, f in self._op.vjp.items()]

    def __missing__(self, needs: tuple[bool, ...]) -> Plan:
        plan = self[needs] = Plan(self._op, needs, self.formulas)
        return plan


class Plan:
    """How the engine differentiates an op with respect to some of its inputs.

    Attributes:
        needs: which inputs need a gradient.
        saved: the names of the values to save.
        outputs: the names among them that mean one of several outputs, and which one.
        index: the inputs' places by name.
        backward: ``backward(entry, g)`` returns gradients, as arrays, of the inputs that need one (None for the others).
        backward_tensors: the same on tensors, recorded on the tape.
    """

    __slots__ = ("_formulas", "backward", "backward_tensors", "index", "name", "needs", "op", "outputs", "part", "saved")

    def __init__(self, op: Any, needs: tuple[bool, ...], formulas: list[Formula]) -> None:
        self.op = op
        self.name = op.name
        self.part = op.part
        self.needs = needs
        self.index = {name: i for i, name in enumerate(op.inputs)}
        self._formulas = [f for f in formulas if any(needs[self.index[t]] for t in f.targets)]
        asked = dict.fromkeys(name for formula in self._formulas for name in formula.names)
        self.outputs = {n: int(n[3:]) for n in asked if n[:3] == "out" and n[3:].isdecimal()}
        self.saved = tuple([n for n in asked if n in self.index or n == "out" or n in self.outputs or n in op.residuals])
        self.backward = written_when_called(f"backward of {op.name}", lambda scope: self._write(scope, tensors=False))
        self.backward_tensors = written_when_called(f"backward of {op.name} on tensors", lambda scope: self._write(scope, tensors=True))

    def _write(self, scope: dict[str, Any], tensors: bool) -> str:
        """The source of a backward function: every formula that is needed, and a check of what it returns."""
        scope |= {"K": ON_TENSORS if tensors else ON_ARRAYS, "saved_tensors": self.saved_tensors, "mistaken": self._mistaken}
        out = ["def call(entry, g):", "    edges = entry.edges", "    params = entry.params"]
        values = "".join(f"v{i}, " for i in range(len(self.saved)))
        if values:
            out += [f"    {values}= {'saved_tensors(entry)' if tensors else 'entry.saved'}"]
        for k, formula in enumerate(self._formulas):
            scope[f"formula{k}"] = formula.function
            targets = [self.index[t] for t in formula.targets]
            results = [f"r{i}" if self.needs[i] else "_" for i in targets]
            arguments = ", ".join(["K", *map(self._argument, formula.names)])
            out += [f"    {', '.join(results)} = formula{k}({arguments})"]
            for i in targets:
                if self.needs[i]:
                    made = f"r{i}._array" if tensors else f"r{i}"
                    wrong = f"{made}.shape != edges[{i}].shape or ({made}.dtype is not edges[{i}].dtype and {made}.dtype != edges[{i}].dtype)"
                    out += [f"    if r{i} is not None and ({wrong}): mistaken({i}, edges[{i}], {made})"]
        return "\n".join([*out, f"    return ({''.join(f'r{i}, ' if need else 'None, ' for i, need in enumerate(self.needs))})"]) + "\n"

    def _argument(self, name: str) -> str:
        """Where the written function finds what a formula asks for."""
        if name == "g":
            return name
        if name == "needs":
            return repr(self.needs)
        if name in self.saved:
            return f"v{self.saved.index(name)}"
        if name[0] == "g" and name[1:].isdecimal():
            return f"g[{name[1:]}]"
        owner, _, kind = name.rpartition("_")
        return f"edges[{self.index[owner]}].{kind}" if kind in ("shape", "dtype") and owner in self.index else f"params[{name!r}]"

    def _mistaken(self, i: int, edge: Edge, array: Any) -> NoReturn:
        raise RuntimeError(
            f"{self.name}: the gradient for {self.op.inputs[i]!r} has shape {tuple(array.shape)} and dtype {array.dtype}, its input has shape "
            f"{tuple(edge.shape)} and dtype {edge.dtype}; this is a mistake in the operation's VJP"
        )

    def saved_tensors(self, entry: Any) -> list[Any]:
        """The saved values as tensors that are connected to the graph where the originals were."""
        return rebuild(self.saved, self.index, entry)


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
