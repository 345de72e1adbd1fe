"""The sweep of a backward pass: entries in reverse, gradients accumulated and staged, nothing committed."""

from __future__ import annotations

import contextvars
import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dtypes
from .device import BACKENDS, apart, backend
from .graph import FREED, Edge, Extra, Leaf, Output, Packed
from .modes import local, snapshot
from .observing import checksum
from .plan import ON_TENSORS
from .tensor import Tensor, wrap

_NOTHING = (None,)
_BY_SEQ = operator.attrgetter("seq")


def _quiet_numpy() -> tuple[contextvars.ContextVar[Any], Any]:
    """The context variable that holds NumPy's error state, and its value that ignores all, since np.seterr takes 2 us."""
    context = contextvars.copy_context()
    before = dict(context)
    context.run(np.seterr, all="ignore")
    return next((variable, value) for variable, value in context.items() if before.get(variable) is not value)


_NUMPY_ERRORS, _IGNORED = _quiet_numpy()
# What getrefcount says of an array that only a dict holds: then nobody else can see it.
_probe = {0: np.empty(1)}
_ALONE = sys.getrefcount(_probe[0])


class Staged:
    """What a sweep found: gradients of leaves (and of asked-for tensors), and of tensors that retain theirs."""

    __slots__ = ("found", "retained")

    def __init__(self) -> None:
        self.found: dict[Any, Any] = {}
        self.retained: list[tuple[Tensor, Any]] = []


def sweep(roots: list[Tensor], seeds: list[Any], retain: bool, create_graph: bool, targets: list[Tensor] | None) -> Staged:
    # Ctrl-C may strike inside the __exit__ of a context manager written in Python. So the modes are put back by one C call, and
    # NumPy's error state by leaving a copy of the context, which is C too.
    modes, before = local.__dict__, snapshot()
    try:
        flags = local.flags & ~1 | (not create_graph)
        modes.update(grad=create_graph, flags=flags, careful=flags)
        staged: Staged = contextvars.copy_context().run(_run_sweep, roots, seeds, retain, create_graph, targets)
        return staged
    finally:
        modes.update(before)


def _run_sweep(roots: list[Tensor], seeds: list[Any], retain: bool, create_graph: bool, targets: list[Tensor] | None) -> Staged:
    _NUMPY_ERRORS.set(_IGNORED)
    return _Sweep(retain, create_graph or local.tracing).run(roots, seeds, targets)


class _Sweep:
    """One backward pass: on arrays, or on tensors (``on_tensors``) so that it is recorded or traced itself."""

    def __init__(self, retain: bool, on_tensors: bool) -> None:
        self.retain = retain
        self.on_tensors = on_tensors
        self.pending: dict[Any, Any] = {}
        self.staged = Staged()

    def run(self, roots: list[Tensor], seeds: list[Any], targets: list[Tensor] | None) -> Staged:
        order = reachable([root._entry for root in roots])
        wanted = None if targets is None else {t._entry for t in targets}
        needed = None if wanted is None else _leading_to(order, wanted)
        anomaly = local.anomaly
        for root in reversed(roots):
            self.add(root._entry, seeds.pop())
        pending, found, on_tensors = self.pending, self.staged.found, self.on_tensors
        for edge in order:
            if edge not in pending:
                continue
            if needed is not None and edge not in needed:
                del pending[edge]
                continue
            if edge.extra is not None:
                self.run_hooks(edge)
            g = pending.pop(edge)
            kind = edge.__class__
            if kind is Leaf:
                if wanted is None or edge in wanted:
                    found[edge] = g
                continue
            if wanted is not None and edge in wanted:
                found[edge] = g
            if needed is not None and not needed[edge]:
                continue
            if kind is Output:
                self.collect(edge, g)
                continue
            saved = edge.saved
            if saved is FREED:
                raise RuntimeError(
                    f"backward through {edge.op.name}{_at(edge)} a second time: its saved values were freed; "
                    "pass retain_graph=True to the first backward() (or compute the result again)"
                )
            for cell in edge.cells:
                if cell is not None and cell.stamp > edge.seq:
                    raise _modified(edge, cell)
            if edge.extra is not None or anomaly:
                grads = self.differentiate_slowly(edge, g)
            elif on_tensors:
                grads = edge.op.backward_tensors(edge, g)
            elif edge.op.part and self.added_to_part(edge, g):
                grads = _NOTHING
            else:
                grads = edge.op.backward(edge, g)
            if saved and not self.retain:
                edge.saved = FREED
                edge.cells = ()
            for below, value in zip(edge.edges, grads):  # noqa: B905  # strict would take time, and plans see to it
                if below is None or value is None:
                    continue
                if below in pending:
                    self.add(below, value)
                else:
                    pending[below] = value
            del g, grads, saved
            value = None
        return self.staged

    def add(self, edge: Any, value: Any) -> None:
        """Accumulate a contribution: the first by reference, then into a buffer that nobody else can see."""
        pending = self.pending
        if edge not in pending:
            pending[edge] = value
        elif self.on_tensors:
            pending[edge] = ON_TENSORS.add(pending[edge], value)
        elif sys.getrefcount(pending[edge]) == _ALONE and pending[edge].base is None and pending[edge].flags.writeable:
            backend(value).accumulate(pending[edge], value)
        else:
            pending[edge] = backend(value).added(pending[edge], value)

    def added_to_part(self, edge: Any, g: Any) -> bool:
        """Add the gradient of a part of a tensor where the tensor's is gathered already; so many parts cost no more than the whole.

        False when that can't be seen by nobody else, or does not exist yet.
        """
        pending, below = self.pending, edge.edges[0]
        if below not in pending or sys.getrefcount(pending[below]) != _ALONE:
            return False
        if pending[below].base is not None or not pending[below].flags.writeable:
            return False
        part = edge.op.op.on_arrays(pending[below], **edge.params)
        backend(g).accumulate(part, g)
        return True

    def collect(self, edge: Output, g: Any) -> None:
        """Put the gradient of one of several outputs in its place."""
        entry = edge.entry
        grads = self.pending.setdefault(entry, [None] * entry.outputs)
        if grads[edge.index] is None:
            grads[edge.index] = g
        else:  # the edge of an output whose tensor is gone, made anew
            grads[edge.index] = ON_TENSORS.add(grads[edge.index], g) if self.on_tensors else backend(g).added(grads[edge.index], g)

    def differentiate_slowly(self, edge: Any, g: Any) -> Sequence[Any]:
        """The gradients of an entry that has extras: packed or checksummed values, inputs to reduce to, anomaly mode."""
        extra = edge.extra or Extra()
        kept = edge.saved
        if extra.unpack is not None:
            edge.saved = tuple([p.unpack(extra.unpack, edge.op.name) if type(p) is Packed else p for p in kept])
        try:
            if extra.checksums is not None and tuple(map(checksum, edge.saved)) != extra.checksums:
                raise RuntimeError(f"a value that {edge.op.name}{_at(edge)} saved for backward was changed from outside tapegrad")
            grads = list(edge.op.backward_tensors(edge, g) if self.on_tensors else edge.op.backward(edge, g))
        finally:
            edge.saved = kept
        if extra.fix is not None:
            for i, fix in enumerate(extra.fix):
                if fix is not None and grads[i] is not None:
                    grads[i] = self.fit(grads[i], *fix)
        if local.anomaly:
            _check_nan(edge, grads)
        return grads

    def fit(self, value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """Reduce a gradient over broadcast axes and cast it to the input's dtype."""
        if self.on_tensors:
            value = ON_TENSORS.sum_to_size(value, size=shape) if value._array.shape != shape else value
            return ON_TENSORS.to(value, dtype=dtypes.FROM_NUMPY[dtype]) if value._array.dtype != dtype else value
        value = backend(value).sum_to(value, shape)
        if value.dtype.kind == "c" and dtype.kind != "c":
            value = value.real
        return value.astype(dtype, copy=False)

    def run_hooks(self, edge: Any) -> None:
        """Show a complete gradient to the edge's hooks, which may replace it; keep it where it is to be retained."""
        extra = edge.extra
        # A hook may write to what it is shown, so that must be nobody else's memory.
        if not extra.hooks:
            g = self.pending[edge]
        else:
            g = ON_TENSORS.clone(self.pending[edge]) if self.on_tensors else own(self.pending, edge)
        for hook in list(extra.hooks.values()):
            shown = g if self.on_tensors else wrap(g)
            replaced = hook(shown)
            if replaced is not None:
                where = f"a hook on a tensor of shape {tuple(edge.shape)} ({edge.name()})"
                if not isinstance(replaced, Tensor):
                    raise TypeError(f"{where} must return a Tensor or None, got {type(replaced).__name__}")
                if apart(replaced._array, shown._array):
                    raise RuntimeError(f"{where} moved the gradient from {shown.device} to {replaced.device}; move it back with .to({str(shown.device)!r})")
                if replaced._array.shape != edge.shape or replaced._array.dtype != edge.dtype:
                    raise RuntimeError(
                        f"{where} changed the gradient's shape or dtype from {tuple(edge.shape)}, {edge.dtype} to "
                        f"{tuple(replaced.shape)}, {replaced._array.dtype}"
                    )
                g = replaced if self.on_tensors else replaced._array
        self.pending[edge] = g
        tensor = extra.retained() if extra.retained is not None else None
        if tensor is not None and not edge.is_leaf:
            self.staged.retained.append((tensor, g))


def reachable(roots: list[Any]) -> list[Any]:
    """Every edge that the roots lead to, in descending order."""
    seen = set(roots)
    order = list(seen)
    for edge in order:  # grows as it is walked
        kind = edge.__class__
        if kind is Leaf:
            continue
        for e in (edge.entry,) if kind is Output else edge.edges:
            if e is not None and e not in seen:
                seen.add(e)
                order.append(e)
    order.sort(key=_BY_SEQ, reverse=True)
    return order


def _leading_to(order: list[Any], wanted: set[Any]) -> dict[Any, bool]:
    """The edges from which a wanted one can be reached; false for a wanted one below which there is no other."""
    needed: dict[Any, bool] = {}
    for edge in reversed(order):
        below = (edge.entry,) if type(edge) is Output else () if edge.is_leaf else edge.edges
        beyond = any(e in needed for e in below)
        if beyond or edge in wanted:
            needed[edge] = beyond
    return needed


def own(grads: dict[Any, Any], key: Any) -> Any:
    """A gradient array that aliases nothing: itself when nobody else can see it, else a copy."""
    if sys.getrefcount(grads[key]) == _ALONE and grads[key].base is None and grads[key].flags.carray:
        return grads[key]
    array = grads[key]
    return BACKENDS[array.__class__].copy(array)


# ------------------------------------------------------------------------------------------------------------- messages


def _at(edge: Edge) -> str:
    return f" (at {edge.extra.line})" if edge.extra is not None and edge.extra.line else ""


def _modified(edge: Any, cell: Any) -> RuntimeError:
    return RuntimeError(
        f"a value that {edge.op.name}{_at(edge)} saved for backward, of the graph that gives shape {tuple(edge.shape)}, was modified in place "
        f"by {cell.writer} afterwards (version is now {cell.version}); use the out-of-place operation, or .clone() the value before "
        "modifying it. tg.autograd.set_detect_anomaly(True) shows the source lines"
    )


def _check_nan(edge: Any, grads: Sequence[Any]) -> None:
    for i, value in enumerate(grads):
        array = value._array if isinstance(value, Tensor) else value
        if array is not None and array.dtype.kind in "fc" and backend(array).has_nan(array):
            raise RuntimeError(
                f"{edge.name()}{_at(edge)} returned nan as the gradient of input {i}. If the value comes from a branch that where() did not "
                "take, guard the argument too: where(x > 0, sqrt(where(x > 0, x, 1)), 0)"
            )
