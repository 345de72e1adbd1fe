"""The Op record, the registry, and what public functions make inputs of.

Every operation runs through its op's ``call`` (written by ``opcall``, for elementwise operations by ``scalarcall``). There a
backend is chosen, the operation is recorded on the tape, and listeners (recordings, traces) are told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import dtypes
from .kernels.once import once
from .opcall import on_arrays, on_tensors
from .plan import ON_ARRAYS, ON_TENSORS, Plans
from .samples import EdgePoint, ErrorInput, Sample
from .tensor import Tensor, no_tensor, wrap

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
        planned: the name of a backend function of the inputs and parameters, by position, that ``forward`` calls and nothing more; where
            it knows a plan (see ``kernels.cpu.planned``), it is called directly.
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
        targets: the inputs that have a VJP.
    """

    name: str
    inputs: tuple[str, ...]
    forward: Callable[..., Any]
    vjp: dict[Any, Callable[..., Any]] = field(default_factory=dict)
    dtype: str = "same"
    planned: str = ""
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
        self.targets = {t for target in self.vjp for t in (target if isinstance(target, tuple) else (target,))}
        if not self.targets.issubset(self.inputs):
            unknown = sorted(self.targets.difference(self.inputs))
            raise ValueError(f"{self.name}: VJP for {unknown}, which are not among the inputs {self.inputs}")

    @once
    def call(self) -> Callable[..., Any]:
        """``call(*inputs, **params)`` runs it on tensors (None for optional inputs left out) and records it."""
        return on_tensors(self)

    @once
    def on_arrays(self) -> Callable[..., Any]:
        """``on_arrays(*arrays, **params)`` runs it on bare arrays, without a tape."""
        return on_arrays(self)

    @once
    def plans(self) -> dict[tuple[bool, ...], Any]:
        """How to differentiate it, by which inputs need a gradient."""
        return Plans(self)

    def results(self, result: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """What ``forward`` returned, as the outputs (an array or several) and the residuals."""
        count = len(result) - len(self.residuals)
        return result[0] if count == 1 else result[:count], result[count:]


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
    setattr(ON_TENSORS, op.name, op.call)
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
