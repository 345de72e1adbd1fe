"""The Op record, the registry, and the one dispatch point.

Every operation runs through :func:`apply` (or, for elementwise operations, through the specialised call that ``elementwise``
generates, which falls back to the same functions). There a backend is chosen, the operation is recorded on the tape, and
listeners (recordings, traces) are told.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import dtypes
from .device import backend
from .graph import Call, Entry, Packed
from .modes import local
from .plan import ON_ARRAYS, ON_TENSORS, Plan
from .samples import EdgePoint, ErrorInput, Sample
from .tensor import Storage, Tensor, init, no_tensor, tick, wrap

# ------------------------------------------------------------------------------------------------------------- record


@dataclass(eq=False)
class Op:
    """All there is to know of an operation; one declaration.

    Attributes:
        name: unique; also the public function's name.
        inputs: the names of the tensor inputs, in order.
        forward: ``(backend, *arrays, **params) -> array or tuple of arrays``; inputs may be None where they are optional.
        vjp: input name, or tuple of names for a joint formula -> VJP formula (see :mod:`tapegrad.plan`).
        dtype: how the result's dtype follows: "promote", "float" (integers become the default float), "bool", "same", "int64".
        batch: what to do with one more leading dimension of every input: "elementwise" (operands broadcast), "leading" (run as it
            is), "reduce" (parameters called dim, dims or axes count from the front, one further), or "loop" (one by one).
        residuals: names of values that ``forward`` returns after its outputs, only for VJP formulas to use.
        view: the output shares the memory of input 0.
        part: of a view: it shows some elements of the input, none twice, so that its gradient can be added to theirs where they are.
        random: draws from a generator.
        method: its public function is also a Tensor method.
        samples, edge_points, error_inputs, reference: what the test matrix runs; ``reference`` is independent of the
            implementation and takes and returns NumPy arrays; it may be the dotted path
            of a function that only tests import.
        kinds: of dtypes that it is made for: b(ool), i(nteger), f(loat), c(omplex).
        smooth: false where elements that repeat make ties, so that numerical gradients don't apply there.
        function: the public function, set by :func:`tapegrad.public.public`.
    """

    name: str
    inputs: tuple[str, ...]
    forward: Callable[..., Any]
    vjp: dict[Any, Callable[..., Any]] = field(default_factory=dict)
    dtype: str = "same"
    batch: str = "loop"
    residuals: tuple[str, ...] = ()
    view: bool = False
    part: bool = False
    random: bool = False
    method: bool = True
    samples: Sequence[Sample] = ()
    edge_points: Sequence[EdgePoint] = ()
    error_inputs: Sequence[ErrorInput] = ()
    reference: Callable[..., Any] | str | None = None
    kinds: str = "bifc"
    smooth: bool = True
    function: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        self.plan = Plan(self)

    def on_arrays(self, *arrays: Any, **params: Any) -> Any:
        """Run on bare arrays, without a tape."""
        result = self.forward(backend(arrays[0]), *arrays, **params)
        return self.results(result)[0] if self.residuals else result

    def results(self, result: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """What ``forward`` returned, as the outputs (an array or several) and the residuals."""
        count = len(result) - len(self.residuals)
        return result[0] if count == 1 else result[:count], result[count:]

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        return apply(self, inputs, params)


REGISTRY: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Make an op known by name.

    Raises:
        ValueError: when the name is taken.
    """
    if op.name in REGISTRY:
        raise ValueError(f"an op called {op.name!r} exists already")
    REGISTRY[op.name] = op
    setattr(ON_ARRAYS, op.name, op.on_arrays)
    setattr(ON_TENSORS, op.name, op)
    return op


# ----------------------------------------------------------------------------------------------------------- dispatch


def as_tensor_input(value: Any, op_name: str, position: str) -> Tensor:
    """A tensor operand: tensors pass, NumPy arrays share memory, Python numbers become 0-d tensors.

    Raises:
        TypeError: for anything else, naming the op and the argument.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        dtypes.to_dtype(value.dtype)
        return wrap(value if usable(value) else np.array(value, value.dtype.newbyteorder("=")))
    if isinstance(value, (bool, int, float, complex)):
        return wrap(np.array(value, dtypes.of_scalar(value).numpy))
    raise TypeError(f"{op_name}(): argument {position!r} must be a Tensor, not {no_tensor(value)}")


def usable(array: np.ndarray[Any, Any]) -> bool:
    """Whether a tensor can hold the array: native byte order, aligned, strides that are multiples of the item size."""
    return array.dtype.isnative and array.flags.aligned and all(s % array.itemsize == 0 for s in array.strides)


def check_devices(op_name: str, tensors: Iterable[Any]) -> None:
    """Raise RuntimeError when tensors with dimensions live on different devices."""
    seen: dict[Any, Tensor] = {}
    for t in tensors:
        if isinstance(t, Tensor) and t._array.ndim:
            seen.setdefault(t.device, t)
    if len(seen) > 1:
        (d1, t1), (d2, t2), *_ = seen.items()
        raise RuntimeError(
            f"{op_name}: expected all tensors on one device, got shape {tuple(t1.shape)} on {d1} and shape {tuple(t2.shape)} on {d2}; "
            f"move one with .to({str(d1)!r})"
        )


def apply(op: Op, inputs: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Run an op on tensors (None for optional inputs left out) and record it."""
    arrays = [None if t is None else t._array for t in inputs]
    result = op.forward(backend(arrays[0]), *arrays, **params)
    residuals: tuple[Any, ...] = ()
    if op.residuals:
        result, residuals = op.results(result)
    edges = tuple(None if t is None else t._entry for t in inputs)
    if isinstance(result, tuple):
        return _finish_many(op, inputs, params, arrays, result, edges, residuals)
    output = init(Tensor.__new__(Tensor), result)
    if op.view:
        _note_view(op, inputs[0], output, params)
    if local.flags & 1 == 0 and op.vjp and any(e is not None for e in edges) and differentiable(result):
        record(op.plan, inputs, params, arrays, output, result, edges, residuals)
    if local.flags > 1:
        tell(op, inputs, params, (output,))
    return output


def _finish_many(
    op: Op, inputs: Any, params: dict[str, Any], arrays: list[Any], result: Any, edges: Any, residuals: tuple[Any, ...]
) -> tuple[Tensor, ...]:
    outputs = tuple(wrap(array) for array in result)
    if local.flags & 1 == 0 and op.vjp and any(e is not None for e in edges):
        entry = record(op.plan, inputs, params, arrays, outputs, result, edges, residuals)
        entry.split([(a.shape, a.dtype) if differentiable(a) else None for a in result])
        for i, output in enumerate(outputs):
            output._entry = entry.output(i)
    if local.flags > 1:
        tell(op, inputs, params, outputs)
    return outputs


def differentiable(array: Any) -> bool:
    """Whether values of this dtype have gradients."""
    return dtypes.FROM_NUMPY[array.dtype].category >= 2


def record(
    plan: Plan,
    inputs: Sequence[Any],
    params: dict[str, Any],
    arrays: Sequence[Any],
    output: Any,
    result: Any,
    edges: tuple[Any, ...],
    residuals: tuple[Any, ...] = (),
) -> Call:
    """Make the entry of an op that ran, and attach it to its (single) output."""
    edges = tuple([e if e is not None and differentiable(a) else None for e, a in zip(edges, arrays, strict=True)])
    for edge, name in zip(edges, plan.op.inputs, strict=True):
        if edge is not None and name not in plan.targets:
            raise RuntimeError(f"{plan.name}: the derivative with respect to {name!r} is not implemented; .detach() it if it is constant")
    if "index" in params:  # the caller may write to its index arrays before backward
        params = {**params, "index": _frozen(params["index"])}
    entry = Call.__new__(Call)
    entry.seq = tick()
    entry.op = plan
    entry.edges = edges
    entry.params = params
    entry.outputs = 0
    entry.extra = None
    values: list[Any] = []
    cells: list[Storage | None] = []
    for name in plan.saves(tuple(e is not None for e in edges)):
        if name == "out":
            values.append(result)
            cells.append(output._storage)
        elif name in plan.outputs:
            values.append(result[plan.outputs[name]])
            cells.append(output[plan.outputs[name]]._storage)
        elif name in plan.op.residuals:
            values.append(residuals[plan.op.residuals.index(name)])
            cells.append(None)
        else:
            i = plan.index[name]
            values.append(arrays[i])
            cells.append(None if inputs[i] is None else inputs[i]._storage)
    entry.saved = tuple(values)
    entry.cells = tuple(cells)
    if isinstance(output, tuple):
        entry.shape, entry.dtype = result[0].shape, result[0].dtype
    else:
        entry.shape, entry.dtype = result.shape, result.dtype
        output._entry = entry
    if local.flags > 1:
        annotate(entry)
    return entry


def _frozen(index: Any) -> Any:
    return tuple([part.copy() if isinstance(part, np.ndarray) else part for part in index]) if isinstance(index, tuple) else index


def annotate(entry: Entry) -> None:
    """What only listeners and anomaly mode want in an entry: its source line, packed or checksummed saved values."""
    entry.more().line = source_line()
    if local.saved_hooks:
        pack, unpack = local.saved_hooks[-1]
        entry.more().unpack = unpack
        packed: list[Any] = []
        cells: list[Storage | None] = []
        for value, cell in zip(entry.saved, entry.cells, strict=True):
            if not isinstance(value, np.ndarray):
                packed.append(value)
                cells.append(cell)
                continue
            # detached, since an output that is packed as it is would keep its own entry alive
            made = pack(wrap(value, None, cell))
            packed.append(Packed(made, value.shape, value.dtype))
            # what was packed as a copy may change from now on
            array = made._array if isinstance(made, Tensor) else made
            cells.append(cell if isinstance(array, np.ndarray) and np.may_share_memory(array, value) else None)
        entry.saved, entry.cells = tuple(packed), tuple(cells)
    elif local.anomaly:
        entry.more().checksums = tuple(map(checksum, entry.saved))


def checksum(value: Any) -> int:
    """A checksum of a saved array, to see writes from outside the library."""
    if isinstance(value, tuple):
        return hash(tuple(map(checksum, value)))
    return zlib.crc32(np.ascontiguousarray(value).tobytes()) if isinstance(value, np.ndarray) else 0


_PACKAGE = __name__.partition(".")[0] + "."


def source_line() -> str:
    """"file:line" of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_PACKAGE):
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def tell(op: Any, inputs: tuple[Any, ...], params: dict[str, Any], outputs: tuple[Any, ...]) -> None:
    """Tell this thread's listeners of an operation."""
    for listener in local.listeners:
        listener.operation(op, inputs, params, outputs)


# -------------------------------------------------------------------------------------------------------------- views


class Steps:
    """View ops and their parameters, one after the other: the last one and what came before it, shared by views of views.

    Entries keep these, since a View would keep the tensor they made.
    """

    __slots__ = ("before", "op", "params")

    def __init__(self, before: Steps | None, op: Op, params: dict[str, Any]) -> None:
        self.before = before
        self.op = op
        self.params = params

    def __iter__(self) -> Iterator[tuple[Op, dict[str, Any]]]:
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
    """How a tensor views another: the root that owns the memory, and the view ops that lead from it to the tensor."""

    __slots__ = ("root", "steps", "tracked")

    def __init__(self, root: Tensor, steps: Steps, tracked: bool) -> None:
        self.root = root
        self.steps = steps
        self.tracked = tracked

    def entry(self) -> Any:
        """The entry of the tensor with this view, made anew for the root's present one; listeners are not told."""
        root = self.root
        array, edge = root._array, root._entry
        for op, params in self.steps if edge is not None else ():
            result = op.on_arrays(array, **params)
            output = wrap(result)
            edge = record(op.plan, (wrap(array, edge, root._storage),), params, (array,), output, result, (edge,))
            array = result
        return edge


def _note_view(op: Op, source: Tensor, output: Tensor, params: dict[str, Any]) -> None:
    if not np.may_share_memory(source._array, output._array):
        return  # a reshape that had to copy
    above = source._base
    output._storage = storage = source._storage
    root, before = (source, None) if above is None else (above.root, above.steps)
    output._base = View(root, Steps(before, op, params), local.grad and (above is None or above.tracked))
    storage.add_view(output)
