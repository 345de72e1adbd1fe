"""Custom operations: a forward and a backward of the user's own, as ``torch.autograd.Function``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import registry
from .graph import Call, Edge, Output
from .modes import enable_grad, local, no_grad
from .tensor import Tensor, init, tick, wrap


class FunctionCtx:
    """What ``forward`` passes to ``backward``. Attributes may be set freely for things that are not tensors.

    Attributes:
        needs_input_grad: per argument of ``apply``, whether a gradient is needed.
        saved_tensors: in ``backward``, what ``save_for_backward`` was given.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple[Tensor | None, ...] = ()
        self._to_save: tuple[Tensor | None, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``backward``; inputs and outputs keep their place in the graph, and writes to them are noticed.

        Raises:
            TypeError: for what is not a tensor; set it as an attribute instead.
        """
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward takes tensors or None, got {type(t).__name__}; set other things as attributes of ctx")
        self._to_save = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs ``forward`` wrote in place; they must be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (the default) or None for outputs that were not used."""
        self._materialize = value


class _FunctionPlan:
    """How the engine differentiates one call of a Function."""

    def __init__(self, function: type[Function], ctx: FunctionCtx, outputs: list[tuple[tuple[int, ...], Any]]) -> None:
        self.function = function
        self.name = function.__name__
        self.ctx = ctx
        self.outputs = outputs
        self.places: list[Edge | int | None] = []

    def backward(self, entry: Any, g: Any) -> list[Any]:
        grads = self._run(entry, [None if x is None else wrap(x) for x in self._listed(g)])
        return [None if x is None else x._array for x in grads]

    def backward_tensors(self, entry: Any, g: Any) -> list[Any]:
        return self._run(entry, self._listed(g))

    def _listed(self, g: Any) -> list[Any]:
        return list(g) if isinstance(g, list) else [g]

    def saved_tensors(self, entry: Any) -> list[Any]:
        tensors: list[Any] = []
        for value, cell, place in zip(entry.saved, entry.cells, self.places, strict=True):
            if value is None:
                tensors.append(None)
            else:
                edge = _output_edge(entry, place) if isinstance(place, int) else place
                tensors.append(wrap(value, edge, cell))
        return tensors

    def _run(self, entry: Any, grads: list[Any]) -> list[Any]:
        ctx = self.ctx
        if ctx._materialize:
            grads = [
                wrap(np.zeros(shape, dtype)) if g is None and dtype.kind in "fcV" else g
                for g, (shape, dtype) in zip(grads, self.outputs, strict=True)
            ]
        ctx.saved_tensors = tuple(self.saved_tensors(entry))
        try:
            result = self.function.backward(ctx, *grads)
        finally:
            ctx.saved_tensors = ()
        results = list(result) if isinstance(result, tuple) else [result]
        expected = len(entry.edges)
        if len(results) > expected and all(r is None for r in results[expected:]):
            results = results[:expected]
        if len(results) != expected:
            raise RuntimeError(f"{self.name}.backward returned {len(results)} gradients, expected {expected}: one per argument of apply()")
        for i, (value, edge) in enumerate(zip(results, entry.edges, strict=True)):
            if value is None or edge is None:
                continue
            if not isinstance(value, Tensor):
                raise TypeError(f"{self.name}.backward: gradient {i} must be a Tensor or None, got {type(value).__name__}")
            if value._array.shape != edge.shape:
                raise RuntimeError(
                    f"{self.name}.backward returned a gradient of shape {tuple(value.shape)} for input {i} of shape {tuple(edge.shape)}"
                )
            if value._array.dtype != edge.dtype:
                results[i] = value.to(edge.dtype)
        return results


def _output_edge(entry: Call, index: int) -> Any:
    return Output(entry, index, entry.saved[0]) if entry.outputs else entry


class Function:
    """A differentiable operation of your own.

    Subclass it with static methods ``forward(ctx, *args)`` and ``backward(ctx, *grads)`` and call ``MyFunction.apply(*args)``.
    Instead, ``forward(*args)`` without ctx may be paired with ``setup_context(ctx, inputs, output)``. ``backward`` returns one
    gradient (or None) per argument; it is recorded itself under ``create_graph``, so write it with tensor operations.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the output tensor, or a tuple of them."""
        raise NotImplementedError("a Function needs a static method forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what backward needs, when ``forward`` takes no ctx."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute one gradient per argument of ``apply`` from one per output."""
        raise NotImplementedError("this Function has no backward; give it a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record it."""
        edges = tuple(a._entry if isinstance(a, Tensor) else None for a in args)
        recording = local.grad and any(e is not None for e in edges)
        ctx = FunctionCtx(tuple(e is not None for e in edges))
        split = cls.setup_context is not Function.setup_context
        with no_grad():
            result = cls.forward(*args, **kwargs) if split else cls.forward(ctx, *args, **kwargs)
            if split:
                cls.setup_context(ctx, args, result)
        many = isinstance(result, tuple)
        values = result if many else (result,)
        for v in values:
            if v is not None and not isinstance(v, Tensor) and not many:
                raise TypeError(f"{cls.__name__}.forward must return a Tensor or a tuple of them, got {type(v).__name__}")
        outputs = tuple(_fresh(v, args, ctx) for v in values)
        for t in ctx._dirty:
            t._storage.wrote(cls.__name__)
        if recording:
            cls._record(ctx, args, edges, values, outputs)
        if local.flags > 1:
            registry.tell(cls, tuple(a for a in args if isinstance(a, Tensor)), {}, outputs)
        return outputs if many else outputs[0]

    @classmethod
    def _record(cls, ctx: FunctionCtx, args: Any, edges: Any, values: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        tensors = [o for o in outputs if isinstance(o, Tensor)]
        entry = Call.__new__(Call)
        entry.seq = tick()
        plan = entry.op = _FunctionPlan(cls, ctx, [(o._array.shape, o._array.dtype) for o in tensors])
        entry.edges = edges
        entry.params = {}
        entry.extra = None
        entry.shape, entry.dtype = tensors[0]._array.shape, tensors[0]._array.dtype
        entry.outputs = len(tensors) if len(tensors) > 1 else 0
        saved, cells = [], []
        for t in ctx._to_save:
            at = next((i for i, v in enumerate(values) if v is t), None)
            kept = outputs[at] if at is not None and t is not None else t
            saved.append(None if kept is None else kept._array)
            cells.append(None if kept is None else kept._storage)
            plan.places.append(at if at is not None and t is not None else None if t is None else t._entry)
        entry.saved, entry.cells = tuple(saved), tuple(cells)
        ctx._to_save = ()
        constant = {id(t) for t in ctx._constant}
        for i, output in enumerate(tensors):
            if registry.differentiable(output._array) and id(output) not in constant and id(values[i]) not in constant:
                output._entry = Output(entry, i, output._array) if entry.outputs else entry
        ctx._constant = ctx._dirty = ()
        if local.flags > 1:
            registry.annotate(entry)


def _fresh(value: Any, args: tuple[Any, ...], ctx: FunctionCtx) -> Any:
    """An output that is an input must be another tensor, unless it was written in place."""
    if isinstance(value, Tensor) and any(value is a for a in args) and not any(value is d for d in ctx._dirty):
        return init(Tensor.__new__(Tensor), value._array, None, value._storage)
    return value


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a ``backward`` that must not be differentiated itself: differentiating its result raises."""

    @functools.wraps(backward)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            results = backward(ctx, *grads)
        if not local.grad or not any(isinstance(g, Tensor) and g._entry is not None for g in grads):
            return results
        with enable_grad():
            many = results if isinstance(results, tuple) else (results,)
            marked = tuple(_NotTwice.apply(r, *grads) if isinstance(r, Tensor) else r for r in many)
        return marked if isinstance(results, tuple) else marked[0]

    return wrapper


class _NotTwice(Function):
    """Passes its first argument on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *grads: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function marked with once_differentiable")


