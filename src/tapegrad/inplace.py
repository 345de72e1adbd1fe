"""Writing in place: the same memory, a new version, a new entry.

An in-place operation gives its tensor the entry of the out-of-place one. When the tensor is a view, its root gets an entry that
says which part was overwritten (``copy_slices``); then every living tracked view of that memory is brought up to date by
replaying its view ops on the root, so that no tensor keeps an entry for a value that its memory no longer holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import dtypes
from .device import apart, backend, device_of, placed
from .graph import Entry
from .modes import local
from .observing import tell
from .opcall import differentiable, record
from .plan import ON_ARRAYS
from .public import named
from .registry import Op, register
from .scalarcall import operands_of, record_elementwise
from .scalarops import ElementwiseOp
from .tensor import TENSOR_TYPES, Tensor, no_tensor, wrap
from .views import Steps, View


def check_writable(target: Tensor, name: str) -> None:
    """Raise when ``target`` must not be written in place."""
    if not isinstance(target, Tensor):
        raise TypeError(f"{name}(): argument 'self' must be a Tensor, not {no_tensor(target)}")
    array = target._array
    if not array.flags.c_contiguous and overlaps(array):
        kind = "is expanded" if 0 in array.strides else "is a view of overlapping parts"
        raise RuntimeError(
            f"{name}: this tensor of shape {tuple(array.shape)} {kind}, several elements share one place in memory; .clone() it first"
        )
    if not array.flags.writeable:
        raise RuntimeError(f"{name}: the tensor shares a read-only NumPy array; .clone() it first")
    if local.grad:
        if target._entry is not None and target._entry.is_leaf:
            raise RuntimeError(
                f"{name}: a leaf tensor that requires grad (shape {tuple(target.shape)}) can't be modified in place while recording; "
                "use the out-of-place operation, or do it inside no_grad()"
            )
        base = target._base
        root = None if base is None else base.root
        if root is not None and root._entry is not None and not base.tracked:
            raise RuntimeError(
                f"{name}: this view was made inside no_grad() of a tensor that the tape follows, so a write to it could not be recorded; "
                "make the view outside no_grad(), or write inside no_grad()"
            )
        if root is not None and root._entry is not None and root._entry.is_leaf:
            raise RuntimeError(
                f"{name}: this is a view of a leaf tensor that requires grad (shape {tuple(root.shape)}) and can't be modified in place "
                "while recording; use the out-of-place operation, or do it inside no_grad()"
            )


def overlaps(array: Any) -> bool:
    """Whether several elements share one place in memory."""
    axes = sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1)
    reach = 0  # the farthest element along the axes of smaller strides
    for stride, n in axes if array.size else ():
        if stride <= reach or stride == 0:
            places = np.zeros(1, np.int64)
            for s, m in axes:
                places = np.add.outer(places, np.arange(m) * s).reshape(-1)
            return np.unique(places).size < places.size
        reach += stride * (n - 1)
    return False


def _check_result(target: Tensor, name: str, shape: tuple[int, ...], result: dtypes.dtype) -> None:
    if shape != target._array.shape:
        raise RuntimeError(f"{name}: the result has shape {tuple(shape)}, it can't be written into shape {tuple(target.shape)}")
    if not dtypes.can_cast(result, target.dtype):
        raise RuntimeError(
            f"{name}: the result has dtype {result}, it can't be written into a tensor of dtype {target.dtype}; convert the tensor "
            f"with .to({result}) first"
        )


def elementwise_(op: ElementwiseOp, target: Tensor, *others: Any) -> Tensor:
    """Write the result of an elementwise op into its first operand, and record it."""
    if _write_quickly(op, target, others):
        return target
    name = f"{op.name}_"
    check_writable(target, name)
    inputs = operands_of(op, (target, *others))
    memory = target._array
    arrays = [x._array if isinstance(x, Tensor) else x for x in inputs]
    if memory.__class__ is np.ndarray and any(isinstance(a, np.ndarray) and apart(a, memory) for a in arrays):
        there = next(x.device for x in inputs if isinstance(x, Tensor) and x.is_cuda)
        raise RuntimeError(f"{name}: the result of operands on {there} can't be written to a tensor on the CPU; .cpu() moves them")
    resolved = op.computation.resolve(arrays)
    result = resolved.outputs[0]
    _check_result(target, name, resolved.shape, dtypes.FROM_NUMPY[result])
    recording = local.flags & 1 == 0 and any(isinstance(x, Tensor) and x._entry is not None for x in inputs)
    # An operand that overlaps the target otherwise than exactly would change while it is read; and what backward saves of old
    # values must survive.
    for i, a in enumerate(arrays):
        if isinstance(a, np.ndarray) and np.may_share_memory(a, memory) and (recording or not _same_place(a, memory)):
            arrays[i] = a.copy()
    if result == memory.dtype:
        op.computation.general(arrays, out=memory, learn=not recording)
    else:
        np.copyto(memory, op.computation.general(arrays), casting="unsafe")
    _finish(op, name, target, inputs, arrays, {}, recording)
    return target


def untaped_memory(target: Any, *sources: Any) -> Any:
    """The array of a tensor whose writing the tape need not see: nothing listens, and no gradient flows into it or from the sources.

    None where that is not so, where the memory is not in row-major order, or read-only.
    """
    flags, kind = local.flags, target.__class__
    if flags > 1 or kind not in TENSOR_TYPES:
        return None
    if not flags:
        base = target._base
        if target._entry is not None or (base is not None and base.root._entry is not None):
            return None
        for x in sources:
            kind = x.__class__
            if kind in TENSOR_TYPES and x._entry is not None:
                return None
    memory = target._array
    return memory if memory.flags.carray else None


def plain_array(memory: Any, source: Any) -> Any:
    """The array of a tensor that has the memory's dtype and device; None for anything else."""
    kind = source.__class__
    if kind not in TENSOR_TYPES:
        return None
    array = source._array
    if array.dtype is not memory.dtype:
        return None
    return array if array.__class__ is np.ndarray is memory.__class__ or not apart(array, memory) else None


def _write_quickly(op: ElementwiseOp, target: Any, others: tuple[Any, ...]) -> bool:
    """Do it by the fast path, when nothing is recorded and the operands are simple: what optimizers do most of the time."""
    memory = untaped_memory(target, *others)
    if memory is None:
        return False
    arrays = [memory]
    for x in others:
        kind = x.__class__
        if kind in TENSOR_TYPES:
            array = x._array
            if array is not memory and np.may_share_memory(array, memory):
                return False
            arrays.append(array)
        elif kind is float or kind is int:
            arrays.append(x)
        else:
            return False
    into = op.computation.fast_into
    if into.call(*arrays, memory) is None and into.wide(*arrays, memory) is None and op.computation.elsewhere_into(*arrays, memory) is None:
        return False
    target._storage.wrote(f"{op.name}_")
    return True


def _same_place(a: Any, b: Any) -> bool:
    return a is b or bool(a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data)


def write(op: Op, target: Tensor, others: Sequence[Tensor | None], params: dict[str, Any], *, cast: bool = False, name: str = "") -> Tensor:
    """Write the result of an op into its first input, and record it; with ``cast``, whatever its dtype.

    ``name`` is what errors call the writer, the op's with an underscore unless given.
    """
    name = name or f"{op.name}_"
    check_writable(target, name)
    memory = target._array
    inputs = (target, *others)
    arrays = [None if x is None else x._array for x in inputs]
    recording = local.flags & 1 == 0 and differentiable(memory) and any(x is not None and x._entry is not None for x in inputs)
    if recording and op.plans[tuple([x is not None and x._entry is not None for x in inputs])].saved:
        arrays = [a.copy() if a is not None and np.may_share_memory(a, memory) else a for a in arrays]
    result = op.forward(backend(memory), *arrays, **params)
    _check_result(target, name, result.shape, target.dtype if cast else dtypes.FROM_NUMPY[result.dtype])
    if np.may_share_memory(result, memory):
        result = result.copy()
    with np.errstate(all="ignore"):
        np.copyto(memory, result, casting="unsafe")
    _finish(op, name, target, inputs, arrays, params, recording)
    return target


def _finish(op: Op, name: str, target: Tensor, inputs: Sequence[Any], arrays: list[Any], params: dict[str, Any], recording: bool) -> None:
    target._storage.wrote(name)
    if recording:
        # the old value was copied, so its version is not that of the target's memory
        stand_in = wrap(arrays[0], target._entry)
        shown = wrap(target._array, None, target._storage)
        if isinstance(op, ElementwiseOp):
            record_elementwise(op, (stand_in, *inputs[1:]), arrays, shown)
            entry = shown._entry
            if entry is not None and any(isinstance(a, np.ndarray) and a.dtype != entry.dtype for a in arrays):
                # computed in a wider dtype than the target's, and so are the gradients
                entry.more().fix = tuple([None if e is None else (e.shape, e.dtype) for e in entry.edges])
        else:
            edges = tuple([None if t is None else t._entry for t in inputs])
            if op.inputs[0] not in op.targets:  # overwritten whole: an edge would only keep the past alive
                edges = (None, *edges[1:])
            record(op, (stand_in, *inputs[1:]), params, arrays, shown, target._array, edges)
        rebase(target, shown._entry)
    if local.flags > 1:
        tell(op, tuple(inputs), {**params, "in_place": True}, (target,))


def rebase(target: Tensor, entry: Entry | None) -> None:
    """Make ``entry`` the maker of ``target``'s new value, and bring its root and the views of the same memory up to date."""
    base: View | None = target._base
    if base is None:
        _point(target, entry)
        root = target
    else:
        root = base.root
        if not base.tracked:  # made inside no_grad() of a root that was a constant
            base = target._base = View(root, base.above, base.op, base.params, True)
        value = wrap(target._array, entry)
        shown = wrap(root._array, None, root._storage)
        edges = (root._entry, entry)
        record(COPY_SLICES, (root, value), {"view": base.steps}, [root._array, target._array], shown, root._array, edges)
        _point(root, shown._entry)
    for view in root._storage.views():
        if view._base is not None and view._base.tracked and view._base.root is root:
            _point(view, _entry_of(view._base))


def _entry_of(view: View) -> Any:
    """The entry of the tensor with this view, made anew for the root's present one; listeners are not told."""
    root = view.root
    array, edge = root._array, root._entry
    for op, params in view.steps if edge is not None else ():
        result = op.on_arrays(array, **params)
        edge = record(op, (wrap(array, edge, root._storage),), params, (array,), wrap(result), result, (edge,))
        array = result
    return edge


def _point(tensor: Tensor, entry: Any) -> None:
    """Make an entry the tensor's; a gradient that it retains is then that of its new value."""
    old = tensor._entry
    tensor._entry = entry
    if old is not None and old is not entry and old.extra is not None and old.extra.retained is not None:
        if entry is not None:
            entry.more().retained = old.extra.retained
        old.extra.retained = None


def _copy_slices_backward(K: Any, g: Any, view: Steps, needs: tuple[bool, bool]) -> tuple[Any, Any]:
    array = g._array if isinstance(g, Tensor) else g
    into_root = into_view = None
    if needs[1]:
        into_view = view.of(g, K)
    if needs[0]:
        into_root = _kept(K, g, array, view)
    return into_root, into_view


def _kept(K: Any, g: Any, array: Any, view: Steps) -> Any:
    """The cotangent where the view did not write, 0 elsewhere; of complex numbers, it may have written one part only."""
    parted = array.dtype.kind == "c"
    B = backend(array)
    ones = B.new_empty(array, array.shape, array.dtype)
    ones.fill(1 + 1j if parted else 1)
    kept = _overwritten(ones, view, 0)

    def where(part: Any, values: Any) -> Any:
        mask = B.as_mask(part)
        return K.where(wrap(mask) if isinstance(g, Tensor) else mask, values, 0.0)

    return K.complex(where(kept.real, K.real(g)), where(kept.imag, K.imag(g))) if parted else where(kept, g)


def _copy_slices(B: Any, root: Any, value: Any, *, view: Steps) -> Any:
    return _overwritten(root.copy(), view, value)


def _overwritten(array: Any, view: Steps, value: Any) -> Any:
    """``array``, with that part of it written."""
    part = view.of(array, ON_ARRAYS)
    if np.may_share_memory(part, array) or part.size == 0:
        part[...] = value
    else:  # where the root's memory allowed a reshape to be a view, this array's does not
        places = view.of(placed(np.arange(array.size).reshape(array.shape), device_of(array)), ON_ARRAYS)
        return backend(array).put(array.reshape(-1), (places,), value).reshape(array.shape)
    return array


COPY_SLICES = register(
    Op("copy_slices", ("root", "value"), _copy_slices, {("root", "value"): _copy_slices_backward}, method=False)
)


def in_place_method(op: ElementwiseOp) -> Callable[..., Tensor]:
    """The method that writes an elementwise op's result into its first operand, ``add_`` for ``add``."""

    def method(self: Tensor, *others: Any) -> Tensor:
        return elementwise_(op, self, *others)

    return named(method, f"{op.name}_", f"In-place version of :func:`tapegrad.{op.name}`; returns the tensor.")
