"""Custom operations: a forward and a backward of the user's own, as ``torch.autograd.Function``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import inplace
from .device import CPU, device_of, placed
from .graph import Call, Edge
from .modes import local, no_grad
from .observing import annotate, tell
from .opcall import differentiable
from .storage import tick
from .tensor import Tensor, init, wrap


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
        self._edges: tuple[Edge | None, ...] = ()  # of the arguments, while backward runs

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

    part = False

    def __init__(self, function: type[Function], ctx: FunctionCtx, args: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.function = function
        self.name = function.__name__
        self.ctx = ctx
        # per output, the shape and dtype, or None for what is no tensor
        self.outputs = [(o._array.shape, o._array.dtype) if isinstance(o, Tensor) else None for o in outputs]
        self.given_on, self.devices = ([device_of(x._array) if isinstance(x, Tensor) else CPU for x in xs] for xs in (args, outputs))
        self.places: list[Edge | int | None] = []

    def edge(self, entry: Call, index: int) -> Edge | None:
        """Where the gradient of an output flows to."""
        return entry.output(index) if entry.outputs else entry

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
                edge = self.edge(entry, place) if isinstance(place, int) else place
                tensors.append(wrap(value, edge, cell))
        return tensors

    def _run(self, entry: Any, grads: list[Any]) -> list[Any]:
        ctx = self.ctx
        if ctx._materialize:
            grads = [
                g if g is not None or given is None else wrap(placed(np.zeros(*given), where))
                for g, given, where in zip(grads, self.outputs, self.devices, strict=True)
            ]
        ctx.saved_tensors = tuple(self.saved_tensors(entry))
        ctx._edges = entry.edges
        try:
            result = self.function.backward(ctx, *grads)
        finally:
            ctx.saved_tensors = ctx._edges = ()
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
            if device_of(value._array) != self.given_on[i]:
                raise RuntimeError(
                    f"{self.name}.backward returned a gradient on {value.device} for input {i}, which is on {self.given_on[i]}; "
                    f"move it with .to({str(self.given_on[i])!r})"
                )
            if value._array.dtype != edge.dtype:
                results[i] = value.to(edge.dtype)
        return results


class Function:
    """A differentiable operation of your own.

    Subclass it with static methods ``forward(ctx, *args)`` and ``backward(ctx, *grads)`` and call ``MyFunction.apply(*args)``.
    Instead, ``forward(*args)`` without ctx may be paired with ``setup_context(ctx, inputs, output)``. ``backward`` returns one
    gradient (or None) per argument; it is recorded itself under ``create_graph``, so write it with tensor operations.

    >>> import tapegrad as tg
    >>> class Cube(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * g
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> Cube.apply(x).sum().backward()
    >>> x.grad
    tensor([ 3., 12.])
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
    def apply(cls, *args: Any) -> Any:
        """Run ``forward`` and record it. Arguments are given by position, so that ``backward`` has one gradient for each."""
        edges = tuple(a._entry if isinstance(a, Tensor) else None for a in args)
        recording = local.grad and any(e is not None for e in edges)
        ctx = FunctionCtx(tuple(e is not None for e in edges))
        split = cls.setup_context is not Function.setup_context
        with no_grad():
            result = cls.forward(*args) if split else cls.forward(ctx, *args)
            if split:
                cls.setup_context(ctx, args, result)
        many = isinstance(result, tuple)
        values = result if many else (result,)
        for v in values:
            if v is not None and not isinstance(v, Tensor) and not many:
                raise TypeError(f"{cls.__name__}.forward must return a Tensor or a tuple of them, got {type(v).__name__}")
        cls._check_dirty(ctx, args, values)
        outputs = _separate(values, args, ctx, recording)
        if recording and any(isinstance(o, Tensor) for o in outputs):
            cls._record(ctx, edges, args, values, outputs)
        if local.flags > 1:
            tell(cls, tuple(a for a in args if isinstance(a, Tensor)), {}, outputs)
        return outputs if many else outputs[0]

    @classmethod
    def _check_dirty(cls, ctx: FunctionCtx, args: tuple[Any, ...], values: tuple[Any, ...]) -> None:
        for t in ctx._dirty:
            if not any(t is a for a in args) or not any(t is v for v in values):
                raise RuntimeError(f"{cls.__name__}: mark_dirty is for arguments of forward that it writes to and returns")
            t._storage.wrote(cls.__name__)
            inplace.check_writable(t, cls.__name__)

    @classmethod
    def _record(cls, ctx: FunctionCtx, edges: Any, args: tuple[Any, ...], values: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        tensors = [o for o in outputs if isinstance(o, Tensor)]
        entry = Call.__new__(Call)
        entry.seq = tick()
        plan = entry.op = _FunctionPlan(cls, ctx, args, outputs)
        entry.edges = edges
        entry.params = {}
        entry.extra = None
        entry.shape, entry.dtype = tensors[0]._array.shape, tensors[0]._array.dtype
        entry.outputs = 0
        if len(outputs) > 1:
            entry.split(plan.outputs)
        saved, cells = [], []
        for t in ctx._to_save:
            at = next((i for i, v in enumerate(values) if v is t), None)
            kept = outputs[at] if at is not None and t is not None else t
            saved.append(None if kept is None else kept._array)
            cells.append(None if kept is None else kept._storage)
            plan.places.append(at if at is not None and t is not None else None if t is None else t._entry)
        entry.saved, entry.cells = tuple(saved), tuple(cells)
        constant = {id(t) for t in ctx._constant}
        for i, output in enumerate(outputs):
            if not isinstance(output, Tensor) or not differentiable(output._array):
                continue
            edge: Any = None if id(output) in constant or id(values[i]) in constant else plan.edge(entry, i)
            if any(output is t for t in ctx._dirty):
                inplace.rebase(output, edge)
            else:
                output._entry = edge
        ctx._to_save = ctx._constant = ctx._dirty = ()
        if local.flags > 1:
            annotate(entry)


def _separate(values: tuple[Any, ...], args: tuple[Any, ...], ctx: FunctionCtx, recording: bool) -> tuple[Any, ...]:
    """The outputs as tensors of their own.

    An output that shows an argument's memory (or another output's) is copied when it is recorded, unless it was written in place:
    a later write to either would change the other without the tape knowing.
    """
    outputs: list[Any] = []
    taken = [a._array for a in args if isinstance(a, Tensor)]
    for value in values:
        if isinstance(value, Tensor) and not any(value is d for d in ctx._dirty):
            array = value._array
            if recording and (value._entry is not None or any(np.may_share_memory(array, other) for other in taken)):
                value = wrap(array.copy())
            elif any(value is a for a in args):
                value = init(Tensor.__new__(Tensor), array, None, value._storage)
            taken.append(array)
        outputs.append(value)
    return tuple(outputs)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a ``backward`` that must not be differentiated itself: differentiating its result raises."""

    @functools.wraps(backward)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            results = backward(ctx, *grads)
        if not local.grad:
            return results
        # the results depend on the cotangents and, by whatever was saved, on the arguments
        causes = [g for g in grads if isinstance(g, Tensor)]
        causes += [wrap(np.broadcast_to(np.zeros((), e.dtype), e.shape), e) for e in ctx._edges if e is not None]
        many = results if isinstance(results, tuple) else (results,)
        marked = tuple(_NotTwice.apply(r, *causes) if isinstance(r, Tensor) else r for r in many)
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


