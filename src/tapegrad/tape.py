"""The backward pass: replaying the reachable entries of the tape in reverse.

Entries carry numbers from one process-wide clock and an operation always has a higher number than what it used, so descending
numbers are a valid order: no recursion, however long the graph. Gradients are staged; nothing that a user can see changes
until all are known, and then they are committed together in one native call that no signal can split.
"""

from __future__ import annotations

import contextvars
import copy
import itertools
import operator
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import dtypes
from .device import backend
from .graph import FREED, Edge, Extra, Leaf, Output, Packed
from .modes import enable_grad, local, no_grad, snapshot
from .registry import ON_TENSORS, checksum
from .tensor import Tensor, init, wrap

_BY_SEQ = operator.attrgetter("seq")
_SET_GRAD = Tensor._grad.__set__  # type: ignore[union-attr]  # the slot's descriptor
# What getrefcount says of an array that only a dict holds: then nobody else can see it.
_probe = {0: np.empty(1)}
_ALONE = sys.getrefcount(_probe[0])
_commit_lock = threading.Lock()


def _new_lock() -> None:
    """A forked child must not inherit a lock that another thread held."""
    global _commit_lock
    _commit_lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Accumulate the gradients of ``tensors`` into the ``.grad`` of the leaves they depend on.

    All or nothing: when an operation or a hook raises, every ``.grad`` is as it was. A gradient that exists already is
    accumulated into in place, which costs one staged copy of it.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])

    Args:
        tensors: the roots.
        grad_tensors: per root the gradient to start from, of the root's shape and dtype; may be left out for roots with one
            element.
        retain_graph: keep saved values for another backward; by default only with ``create_graph``.
        create_graph: record the backward pass itself, for higher derivatives.
        inputs: accumulate only into these (leaves or not).

    Raises:
        RuntimeError: root without grad, saved values freed or modified, gradient of another shape.
    """
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    seeds = _seeds(roots, grad_tensors, create_graph)
    targets: list[Tensor] | None = None
    if inputs is not None:
        targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        _check_inputs(targets, "backward")
    staged = _sweep(roots, seeds, create_graph if retain_graph is None else retain_graph, create_graph, targets)
    _commit(staged, create_graph, targets or ())


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, returned; no ``.grad`` changes.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (first,) = grad((x**3).sum(), x, create_graph=True)
    >>> grad(first.sum(), x)
    (tensor([ 6., 12.]),)

    Args:
        outputs, grad_outputs, retain_graph, create_graph: as in :func:`backward`.
        inputs: tensors that require grad, leaves or not.
        allow_unused: return None for an input that the outputs don't depend on, instead of raising.
        materialize_grads: return zeros instead of None.

    Raises:
        RuntimeError: as :func:`backward`, and for an unused input.
    """
    if not only_inputs:
        raise ValueError("grad: only_inputs=False is not supported; use backward() to accumulate into every leaf")
    if is_grads_batched:
        raise NotImplementedError("grad: is_grads_batched is not supported yet; call grad once per cotangent")
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: allow_unused=False and materialize_grads=True contradict each other")
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    _check_inputs(targets, "grad")
    seeds = _seeds(roots, grad_outputs, create_graph)
    staged = _sweep(roots, seeds, create_graph if retain_graph is None else retain_graph, create_graph, targets)
    results: list[Tensor | None] = []
    taken = {id(_owner(t._array)) for t in (*roots, *targets)} | {id(_owner(s._array)) for s in _tensors(grad_outputs)}
    for i, target in enumerate(targets):
        value = staged.found.get(target._entry)
        if value is None and not (allow_unused or materialize_grads):
            raise RuntimeError(
                f"grad: input {i} (shape {tuple(target.shape)}) was not used in the graph of the outputs; pass allow_unused=True "
                "to get None for it"
            )
        if value is None and materialize_grads:
            value = wrap(np.zeros(target._array.shape, target._array.dtype))
        elif isinstance(value, Tensor):
            if id(_owner(value._array)) in taken:  # the seed itself, an input, or the gradient of another input
                with enable_grad() if create_graph else no_grad():
                    value = ON_TENSORS.clone(value)
            taken.add(id(_owner(value._array)))
        elif value is not None:
            value = wrap(_own(staged.found, target._entry))
        results.append(value)
    return tuple(results)


def _tensors(given: Any) -> list[Tensor]:
    return [t for t in ([given] if isinstance(given, Tensor) else given or ()) if isinstance(t, Tensor)]


def _owner(array: Any) -> Any:
    """The array whose memory this one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _check_inputs(targets: Sequence[Tensor], name: str) -> None:
    if not targets:
        raise RuntimeError(f"{name}: inputs is empty" + ("; leave it out to reach every leaf" if name == "backward" else ""))
    for i, t in enumerate(targets):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: inputs must be tensors, got {type(t).__name__} at {i}")
        if t._entry is None:
            raise RuntimeError(f"{name}: input {i} (shape {tuple(t.shape)}) does not require grad; call .requires_grad_() before using it")


def _seeds(roots: list[Tensor], given: Any, create_graph: bool) -> list[Any]:
    """The starting gradients, checked: arrays, or tensors under create_graph."""
    if not roots:
        raise RuntimeError("backward: no tensors given")
    if given is None or isinstance(given, Tensor):
        given = [given] * len(roots) if given is None else [given]
    if len(given) != len(roots):
        raise RuntimeError(f"backward: {len(roots)} tensors but {len(given)} gradients")
    seeds: list[Any] = []
    for i, (root, seed) in enumerate(zip(roots, given, strict=True)):
        if not isinstance(root, Tensor):
            raise TypeError(f"backward: expected tensors, got {type(root).__name__}")
        if root._entry is None:
            raise RuntimeError(
                f"backward: tensor {i} (shape {tuple(root.shape)}) does not require grad and was made by no recorded operation; "
                "call .requires_grad_() on the inputs you differentiate with respect to, and compute it outside no_grad()"
            )
        array = root._array
        if seed is None:
            if array.size != 1:
                raise RuntimeError(
                    f"backward: a gradient can be made up only for a tensor with one element, this one has shape {tuple(root.shape)}; "
                    "reduce it (.sum(), .mean()) or pass gradient="
                )
            if array.dtype.kind == "c":
                raise RuntimeError(
                    f"backward: a gradient can be made up only for real tensors, this one has dtype {root.dtype}; pass gradient="
                )
            seed = wrap(np.ones(array.shape, array.dtype))
        elif not isinstance(seed, Tensor):
            raise TypeError(f"backward: gradient {i} must be a Tensor or None, got {type(seed).__name__}")
        elif seed._array.shape != array.shape or seed.device != root.device:
            raise RuntimeError(
                f"backward: gradient {i} has shape {tuple(seed.shape)} on {seed.device}, its tensor has shape {tuple(root.shape)} on "
                f"{root.device}"
            )
        elif seed._array.dtype != array.dtype:
            raise RuntimeError(f"backward: gradient {i} has dtype {seed.dtype}, its tensor has dtype {root.dtype}; use .to()")
        seeds.append(seed if create_graph or local.tracing else seed._array)
    return seeds


class _Staged:
    """What a sweep found: gradients of leaves (and of asked-for tensors), and of tensors that retain theirs."""

    __slots__ = ("found", "retained")

    def __init__(self) -> None:
        self.found: dict[Any, Any] = {}
        self.retained: list[tuple[Tensor, Any]] = []


def _sweep(roots: list[Tensor], seeds: list[Any], retain: bool, create_graph: bool, targets: list[Tensor] | None) -> _Staged:
    # Ctrl-C may strike inside the __exit__ of a context manager written in Python. So the modes are put back by one C call, and
    # NumPy's error state by leaving a copy of the context, which is C too.
    modes, before = local.__dict__, snapshot()
    try:
        modes.update(grad=create_graph, flags=local.flags & ~1 | (not create_graph))
        staged: _Staged = contextvars.copy_context().run(_run_sweep, roots, seeds, retain, create_graph, targets)
        return staged
    finally:
        modes.update(before)


def _run_sweep(roots: list[Tensor], seeds: list[Any], retain: bool, create_graph: bool, targets: list[Tensor] | None) -> _Staged:
    np.seterr(all="ignore")
    return _Sweep(retain, create_graph or local.tracing).run(roots, seeds, targets)


class _Sweep:
    """One backward pass: on arrays, or on tensors (``on_tensors``) so that it is recorded or traced itself."""

    def __init__(self, retain: bool, on_tensors: bool) -> None:
        self.retain = retain
        self.on_tensors = on_tensors
        self.pending: dict[Any, Any] = {}
        self.staged = _Staged()

    def run(self, roots: list[Tensor], seeds: list[Any], targets: list[Tensor] | None) -> _Staged:
        order = _reachable([root._entry for root in roots])
        wanted = None if targets is None else {t._entry for t in targets}
        needed = None if wanted is None else _leading_to(order, wanted)
        anomaly = local.anomaly
        for root in reversed(roots):
            self.add(root._entry, seeds.pop())
        pending, found, on_tensors = self.pending, self.staged.found, self.on_tensors
        for edge in order:
            if edge not in pending or (needed is not None and edge not in needed):
                pending.pop(edge, None)
                continue
            if edge.extra is not None:
                self.run_hooks(edge)
            if edge.is_leaf:
                if wanted is None or edge in wanted:
                    found[edge] = pending.pop(edge)
                continue
            g = pending.pop(edge)
            if wanted is not None and edge in wanted:
                found[edge] = g
            if needed is not None and not needed[edge]:
                continue
            if type(edge) is Output:
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
            else:
                grads = edge.op.backward(edge, g)
            if saved and not self.retain:
                edge.saved = FREED
                edge.cells = ()
            for below, value in zip(edge.edges, grads, strict=True):
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
            pending[edge] = backend(value).accumulate(pending[edge].copy(), value)

    def collect(self, edge: Output, g: Any) -> None:
        """Put the gradient of one of several outputs in its place."""
        entry = edge.entry
        if entry not in self.pending:
            self.pending[entry] = [None] * entry.outputs
        self.pending[entry][edge.index] = g

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
            g = ON_TENSORS.clone(self.pending[edge]) if self.on_tensors else _own(self.pending, edge)
        for hook in list(extra.hooks.values()):
            shown = g if self.on_tensors else wrap(g)
            replaced = hook(shown)
            if replaced is not None:
                if not isinstance(replaced, Tensor):
                    raise TypeError(f"a hook on {edge.name()} must return a Tensor or None, got {type(replaced).__name__}")
                if replaced._array.shape != edge.shape or replaced._array.dtype != edge.dtype:
                    raise RuntimeError(
                        f"a hook on {edge.name()} changed the gradient's shape or dtype from {tuple(edge.shape)}, {edge.dtype} to "
                        f"{tuple(replaced.shape)}, {replaced._array.dtype}"
                    )
                g = replaced if self.on_tensors else replaced._array
        self.pending[edge] = g
        tensor = extra.retained() if extra.retained is not None else None
        if tensor is not None and not edge.is_leaf:
            self.staged.retained.append((tensor, g))


def _reachable(roots: list[Any]) -> list[Any]:
    """Every edge that the roots lead to, in descending order."""
    seen = set(roots)
    order = list(seen)
    for edge in order:  # grows as it is walked
        if type(edge) is Output:
            below: tuple[Any, ...] = (edge.entry,)
        elif edge.is_leaf:
            continue
        else:
            below = edge.edges
        for e in below:
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


def _own(grads: dict[Any, Any], key: Any) -> Any:
    """A gradient array that aliases nothing: itself when nobody else can see it, else a copy."""
    if sys.getrefcount(grads[key]) == _ALONE and grads[key].base is None and grads[key].flags.c_contiguous and grads[key].flags.writeable:
        return grads[key]
    return grads[key].copy(order="C")


def _commit(staged: _Staged, create_graph: bool, targets: Sequence[Tensor]) -> None:
    """Write all gradients at once."""
    leaves = [(edge, t) for edge in staged.found if edge.is_leaf and (t := edge.tensor()) is not None and t._entry is not None]
    work: list[tuple[Tensor, Any, Any]] = [(t, staged.found, edge) for edge, t in leaves]
    unique = {id(t): t for t in targets if not t.is_leaf and t._entry in staged.found and not t.retains_grad}
    work += [(t, staged.found, t._entry) for t in unique.values()]
    retained = dict(enumerate(g for _, g in staged.retained))
    work += [(t, retained, i) for i, (t, _) in enumerate(staged.retained)]
    staged.retained.clear()
    with _commit_lock:  # backward passes of several threads may end at the same leaf
        actions: list[tuple[Any, ...]] = []
        for tensor, grads, key in work:
            old = tensor._grad
            if old is not None and (old._array.shape != tensor._array.shape or old._array.dtype != tensor._array.dtype):
                raise RuntimeError(
                    f"backward: a tensor of shape {tuple(tensor.shape)}, {tensor.dtype}, has a .grad of shape {tuple(old.shape)}, "
                    f"{old.dtype}, since its .data was replaced; set .grad = None first"
                )
            if create_graph or local.tracing:
                with enable_grad() if create_graph else no_grad():
                    new = ON_TENSORS.clone(grads[key]) if old is None else ON_TENSORS.add(old, grads[key])
                actions.append((_SET_GRAD, tensor, new))
            elif old is None:
                actions.append((_SET_GRAD, tensor, wrap(_own(grads, key))))
            elif old._entry is not None or not old._array.flags.writeable:
                actions.append((_SET_GRAD, tensor, wrap(backend(old._array).accumulate(old._array.copy(), grads[key]))))
            else:
                old._storage.wrote("backward")
                total = backend(old._array).accumulate(old._array.copy(), grads[key])
                actions.append((backend(total).copy_into, total, old._array))
        # One C call without a bytecode of Python in between: a signal handler runs before it or after it.
        deque(itertools.starmap(operator.call, actions), maxlen=0)
    for edge, tensor in leaves:
        if edge.extra is not None:
            for hook in list(edge.extra.post_hooks.values()):
                hook(tensor)


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
        if array is not None and array.dtype.kind in "fc" and np.isnan(array).any():
            raise RuntimeError(
                f"{edge.name()}{_at(edge)} returned nan as the gradient of input {i}. If the value comes from a branch that where() did not "
                "take, guard the argument too: where(x > 0, sqrt(where(x > 0, x, 1)), 0)"
            )


# ----------------------------------------------------------------------------------------------------- tensor's methods


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away; also a context manager."""

    _ids = itertools.count()

    def __init__(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self.id = next(self._ids)
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice is harmless."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def _edge_of(self: Tensor, what: str) -> Any:
    if self._entry is None:
        raise RuntimeError(f"{what}: the tensor (shape {tuple(self.shape)}) does not require grad")
    return self._entry


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call ``hook(grad)`` when this tensor's gradient is complete; a tensor it returns replaces the gradient.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with x.register_hook(lambda g: 10 * g):
    ...     x.sum().backward()
    >>> x.grad
    tensor([10., 10.])
    """
    return RemovableHandle(_edge_of(self, "register_hook").more().hooks, hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call ``hook(tensor)`` after a backward pass has accumulated into this leaf's ``.grad``."""
    edge = _edge_of(self, "register_post_accumulate_grad_hook")
    if not edge.is_leaf:
        raise RuntimeError("register_post_accumulate_grad_hook: only leaf tensors accumulate gradients; use register_hook")
    return RemovableHandle(edge.more().post_hooks, hook)


def retain_grad(self: Tensor) -> None:
    """Let backward keep this tensor's gradient in ``.grad`` although it is not a leaf."""
    import weakref

    edge = _edge_of(self, "retain_grad")
    if not edge.is_leaf:
        edge.more().retained = weakref.ref(self)


def _retains_grad(self: Tensor) -> bool:
    entry = self._entry
    return entry is not None and not entry.is_leaf and entry.extra is not None and entry.extra.retained is not None


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Have the tape follow this leaf tensor from now on, or not; returns the tensor.

    Raises:
        RuntimeError: for integer and bool tensors, and for switching off a tensor that an operation made.
    """
    entry = self._entry
    if requires_grad and entry is None:
        if not self.dtype.differentiable:
            raise RuntimeError(
                f"only floating-point and complex tensors can require grad, this one has dtype {self.dtype}; use .to(tapegrad.float32)"
            )
        leaf = self._entry = getattr(self, "_leaf", None) or Leaf(self)
        leaf.shape, leaf.dtype = self._array.shape, self._array.dtype
    elif not requires_grad and entry is not None:
        if not entry.is_leaf:
            raise RuntimeError("can't switch requires_grad off for a tensor that an operation made; use .detach()")
        self._leaf = entry  # graphs refer to it, and it has the hooks
        self._entry = None
    return self


def _set_requires_grad(self: Tensor, value: bool) -> None:
    requires_grad_(self, value)


def _rebuilt(kind: type[Tensor], array: Any, requires_grad: bool, attributes: dict[str, Any]) -> Tensor:
    """A tensor of a type from its parts: what copies and pickles are made of."""
    tensor = init(kind.__new__(kind), array)
    tensor.__dict__.update(attributes)
    return requires_grad_(tensor) if requires_grad else tensor


def _check_leaf(self: Tensor, what: str) -> None:
    if not self.is_leaf:
        raise RuntimeError(f"{what}: only leaf tensors can be copied whole, this one was made by {self._entry.name()}; use .detach() or .clone()")


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    _check_leaf(self, "deepcopy")
    copied = _rebuilt(type(self), self._array.copy(), self._entry is not None, copy.deepcopy(self.__dict__, memo))
    memo[id(self)] = copied
    copied._grad = copy.deepcopy(self._grad, memo)
    return copied


def _reduce(self: Tensor, protocol: Any) -> Any:
    _check_leaf(self, "pickle")
    return _rebuilt, (type(self), self._array, self._entry is not None, self.__dict__)


def _backward_method(
    self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """Accumulate this tensor's gradients into the leaves; see :func:`tapegrad.autograd.backward`."""
    backward(self, None if gradient is None else [gradient], retain_graph, create_graph, inputs)


def install() -> None:
    """Give Tensor its autograd methods."""
    for name, function in {
        "backward": _backward_method,
        "register_hook": register_hook,
        "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
        "retain_grad": retain_grad,
        "requires_grad_": requires_grad_,
        "requires_grad": property(lambda self: self._entry is not None, _set_requires_grad),
        "__deepcopy__": _deepcopy,
        "__reduce_ex__": _reduce,
        "retains_grad": property(_retains_grad),
    }.items():
        setattr(Tensor, name, function)


install()
