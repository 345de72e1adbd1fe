"""The backward pass: replaying the reachable entries of the tape in reverse.

Entries carry numbers from one process-wide clock and an operation always has a higher number than what it used, so descending
numbers are a valid order: no recursion, however long the graph. Gradients are staged; nothing that a user can see changes
until all are known, and then they are committed together in one native call that no signal can split.
"""

from __future__ import annotations

import itertools
import operator
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import apart, backend
from .graph import Leaf
from .hooks import register_hook, register_post_accumulate_grad_hook, retain_grad, retains_grad
from .modes import enable_grad, local, no_grad
from .plan import ON_TENSORS
from .sweep import Staged, own, reachable, sweep
from .tensor import Tensor, wrap

_SET_GRAD = Tensor._grad.__set__  # type: ignore[union-attr]  # the slot's descriptor
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
    seeds = _seeds(roots, grad_tensors, create_graph, "backward", "gradient")
    targets: list[Tensor] | None = None
    if inputs is not None:
        targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        _check_inputs(targets, "backward")
    staged = sweep(roots, seeds, create_graph if retain_graph is None else retain_graph, create_graph, targets)
    _commit(staged, create_graph, targets or ())
    if local.tracer is not None and not (create_graph if retain_graph is None else retain_graph):
        local.tracer.differentiated(reachable([root._entry for root in roots]))


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
    seeds = _seeds(roots, grad_outputs, create_graph, "grad", "grad_outputs")
    staged = sweep(roots, seeds, create_graph if retain_graph is None else retain_graph, create_graph, targets)
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
            zeros = backend(target._array).new_empty(target._array, target._array.shape, target._array.dtype)
            zeros.fill(0)
            value = wrap(zeros)
        elif isinstance(value, Tensor):
            if id(_owner(value._array)) in taken:  # the seed itself, an input, or the gradient of another input
                with enable_grad() if create_graph else no_grad():
                    value = ON_TENSORS.clone(value)
            taken.add(id(_owner(value._array)))
        elif value is not None:
            value = wrap(own(staged.found, target._entry))
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


def _seeds(roots: list[Tensor], given: Any, create_graph: bool, name: str, argument: str) -> list[Any]:
    """The starting gradients, checked: arrays, or tensors under create_graph."""
    if not roots:
        raise RuntimeError(f"{name}: no tensors given")
    if given is None or isinstance(given, Tensor):
        given = [given] * len(roots) if given is None else [given]
    if len(given) != len(roots):
        raise RuntimeError(f"{name}: {len(roots)} tensors but {len(given)} gradients")
    on_tensors = create_graph or local.tracing
    seeds: list[Any] = []
    for i, root in enumerate(roots):
        if not isinstance(root, Tensor):
            raise TypeError(f"{name}: expected tensors, got {type(root).__name__}")
        if root._entry is None:
            which = f"tensor {i}" if len(roots) > 1 else "the tensor"
            raise RuntimeError(
                f"{name}: {which} (shape {tuple(root.shape)}) does not require grad and was made by no recorded operation; "
                "call .requires_grad_() on the inputs you differentiate with respect to, and compute it outside no_grad()"
            )
        array, seed = root._array, given[i]
        if seed is None:
            if array.size != 1:
                raise RuntimeError(
                    f"{name}: a gradient can be made up only for a tensor with one element, this one has shape {tuple(root.shape)}; "
                    f"reduce it (.sum(), .mean()) or pass {argument}="
                )
            if array.dtype.kind == "c":
                raise RuntimeError(
                    f"{name}: a gradient can be made up only for real tensors, this one has dtype {root.dtype}; pass {argument}="
                )
            seeds.append(wrap(_one(array)) if on_tensors else _one(array))
            continue
        if not isinstance(seed, Tensor):
            raise TypeError(f"{name}: gradient {i} must be a Tensor or None, got {type(seed).__name__}")
        if seed._array.shape != array.shape or apart(seed._array, array):
            raise RuntimeError(
                f"{name}: gradient {i} has shape {tuple(seed.shape)} on {seed.device}, its tensor has shape {tuple(root.shape)} on "
                f"{root.device}"
            )
        if seed._array.dtype != array.dtype:
            raise RuntimeError(f"{name}: gradient {i} has dtype {seed.dtype}, its tensor has dtype {root.dtype}; use .to()")
        seeds.append(seed if on_tensors else seed._array)
    return seeds


def _one(array: Any) -> Any:
    """The gradient of a tensor with one element with respect to itself."""
    seed = np.empty_like(array)
    seed.fill(1)
    return seed


def _commit(staged: Staged, create_graph: bool, targets: Sequence[Tensor]) -> None:
    """Write all gradients at once."""
    found = staged.found
    hooked: list[tuple[Any, Tensor]] = []
    work: list[tuple[Tensor, Any, Any]] = []  # a tensor, and which gradient is its
    for edge in found:
        if edge.__class__ is Leaf and (leaf := edge.tensor()) is not None and leaf._entry is not None:
            work.append((leaf, found, edge))
            if edge.extra is not None:
                hooked.append((edge, leaf))
    if targets:
        unique = {id(t): t for t in targets if not t.is_leaf and t._entry in found and not t.retains_grad}
        work += [(t, found, t._entry) for t in unique.values()]
    if staged.retained:
        retained = dict(enumerate(g for _, g in staged.retained))
        work += [(t, retained, i) for i, (t, _) in enumerate(staged.retained)]
        staged.retained.clear()
    tracer, tracing = local.tracer, local.tracing
    on_tensors = create_graph or tracing
    with _commit_lock:  # backward passes of several threads may end at the same leaf
        actions: list[tuple[Any, ...]] = []
        for tensor, grads, key in work:
            if tracer is not None:
                tracer.gradient(tensor, assigned=False)
            old = tensor._grad
            if old is None:
                if on_tensors:
                    with enable_grad() if create_graph else no_grad():
                        actions.append((_SET_GRAD, tensor, ON_TENSORS.clone(grads[key])))
                else:
                    actions.append((_SET_GRAD, tensor, wrap(own(grads, key))))
                continue
            if old._array.shape != tensor._array.shape or old._array.dtype != tensor._array.dtype or apart(old._array, tensor._array):
                raise RuntimeError(
                    f"backward: a tensor of shape {tuple(tensor.shape)}, {tensor.dtype}, on {tensor.device} has a .grad of shape "
                    f"{tuple(old.shape)}, {old.dtype}, on {old.device}, since its .data was replaced; set .grad = None first"
                )
            if tracing and not create_graph:
                with no_grad():
                    old.add_(grads[key])  # what the kernels of a replay do
            elif on_tensors:
                with enable_grad() if create_graph else no_grad():
                    actions.append((_SET_GRAD, tensor, ON_TENSORS.add(old, grads[key])))
            elif not old._array.flags.writeable:
                actions.append((_SET_GRAD, tensor, wrap(backend(old._array).added(old._array, grads[key]))))
            else:
                old._storage.wrote("backward")
                total = backend(old._array).added(old._array, grads[key])
                actions.append((backend(total).copy_into, total, old._array))
        # One C call without a bytecode of Python in between: a signal handler runs before it or after it.
        deque(itertools.starmap(operator.call, actions), maxlen=0)
    for edge, tensor in hooked:
        for hook in list(edge.extra.post_hooks.values()):
            hook(tensor)


# ----------------------------------------------------------------------------------------------------- tensor's methods


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


def _requires_grad(self: Tensor) -> bool:
    """Whether the tape follows this tensor; may be set for leaves."""
    return self._entry is not None


def _set_requires_grad(self: Tensor, value: bool) -> None:
    if not self.is_leaf:
        raise RuntimeError("requires_grad can be set only on leaf tensors, and an operation made this one; use .detach() to cut it off")
    requires_grad_(self, value)


def _backward(
    self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """Accumulate the gradients of this tensor into the ``.grad`` of the leaves it depends on.

    Args:
        gradient: what to start from, a tensor of this one's shape and dtype; may be left out for a tensor with one element.
        retain_graph: keep saved values for another backward; by default only with ``create_graph``.
        create_graph: record the backward pass itself, for higher derivatives.
        inputs: accumulate only into these tensors (leaves or not).

    Raises:
        RuntimeError: as :func:`tapegrad.autograd.backward`.
    """
    backward(self, None if gradient is None else [gradient], retain_graph, create_graph, inputs)


_backward.__name__, _backward.__qualname__ = "backward", "Tensor.backward"


def install() -> None:
    """Give Tensor its autograd methods."""
    for name, function in {
        "backward": _backward,
        "register_hook": register_hook,
        "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
        "retain_grad": retain_grad,
        "requires_grad_": requires_grad_,
        "requires_grad": property(_requires_grad, _set_requires_grad),
        "retains_grad": property(retains_grad),
    }.items():
        setattr(Tensor, name, function)


install()
