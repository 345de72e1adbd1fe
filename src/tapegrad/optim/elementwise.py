"""Optimizers that give each element of a parameter its own step, by one formula for kernels and for tensors."""

from __future__ import annotations

import itertools
from operator import attrgetter, is_
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .. import expr
from ..device import BACKENDS, apart, backend
from ..kernels.cpu import Body, Counters
from ..modes import counted, local
from ..observing import tell
from ..storage import tick
from ..tensor import Tensor
from .optimizer import Optimizer
from .step import begin, count, slot

_array, _storage, _grad, _shape, _dtype = map(attrgetter, ("_array", "_storage", "_grad", "shape", "dtype"))
_REAL = {"float32": "float32", "float64": "float64", "complex64": "float32", "complex128": "float64"}


class ElementwiseOptimizer(Optimizer):
    """An optimizer that a subclass describes by :meth:`remembers`, :meth:`scalars` and :meth:`formula`, in place of ``update``.

    All parameters of a group that are float32 or float64 (or complex, as twice as many real ones) and contiguous are updated by one
    launch of a kernel made from the formula; what this takes is kept until a parameter, a state or an option changes. The others,
    and steps under ``differentiable``, follow the same formula tensor by tensor.

    Attributes:
        counts: the state has "step", how many steps a parameter has made.
    """

    counts = True
    _plans: dict[int, _Plan]

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        """The names of the tensors like a parameter that the state of each has, and the number each is first filled with."""
        return {}

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        """The numbers that the formula takes, by name: all arithmetic on options is done here, in double precision.

        Args:
            group: the options.
            step: counted from 1; an optimizer that does not count learns whether it is the first: 1 or 2.
        """
        raise NotImplementedError

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        """The new value of a parameter's elements; new values of the state are put into ``state``.

        Args:
            param, grad, state: scalar expressions (see ``expr``) to make a kernel from, or tensors.
            n: has the numbers as attributes.
            group: the options, of which it may use only whether they hold, or are not zero.
        """
        raise NotImplementedError

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        names = self.remembers(group)
        first = not all(isinstance(state.get(name), Tensor) for name in names)
        values = {name: slot(state, name, param, value) for name, value in names.items()}
        numbers = self.scalars(group, 1.0 if first else 2.0)
        if self.counts:
            numbers = dict(zip(numbers, count(state, lambda step: tuple(self.scalars(group, step).values())), strict=True))
        new = self.formula(param.clone() if local.grad else param, grad, values, SimpleNamespace(**numbers), group)
        for name, value in values.items():
            if local.grad:
                state[name] = value
            elif value is not state[name]:
                state[name].copy_(value)
        param.copy_(new)

    # --------------------------------------------------------------------------------------------- many in one launch

    def _update_group(self, group: dict[str, Any], differentiable: bool) -> None:
        heard = local.flags > 1 and (local.tracer is None or len(local.listeners) > 1)
        if differentiable or heard or type(self).update is not ElementwiseOptimizer.update:
            return super()._update_group(group, differentiable)
        params = group["params"]
        if local.tracer is not None:
            live = [p for p in params if p.grad is not None]  # which the tracer notes
        else:
            live = [p for p in params if p._grad is not None]
        plans = self.__dict__.setdefault("_plans", {})
        plan = plans.get(id(params))
        if plan is None or not plan.fits(live, self.state, group):
            plan = plans[id(params)] = _Plan(self, live, group)
        grads = list(map(_grad, live))
        launched = plan.takes(grads)
        if plan.begun and plan.withdraw(plan.rest if launched else live):
            del plans[id(params)]
        if not launched:
            return super()._update_group(group, differentiable)
        plan.begun.clear()
        for part in plan.parts:
            if not self._update_part(part, [grads[i] for i in part.places], group):
                plans.pop(id(params), None)
                super()._update_group({**group, "params": part.params}, differentiable)
        if plan.rest:
            super()._update_group({**group, "params": plan.rest}, differentiable)

    def _update_part(self, part: _Part, grads: list[Tensor], group: dict[str, Any]) -> bool:
        """One launch; False, and nothing is done, when the parameters have not made equally many steps."""
        arrays = [a if a.flags.c_contiguous else part.backend.copy(a) for a in map(_array, grads)]
        if local.tracer is not None:
            if part.counters is not None and len({float(state["step"]._array) for state in part.states}) > 1:
                return False
            self._trace_part(part, grads, arrays, group)
        else:
            step = part.step if part.counters is None else part.counters.advance()
            if step is None:
                return False
            part.numbers[:] = list(self.scalars(group, step).values())
            part.memory.launch(part.kernel, *part.operands, *arrays)
            now = tick()
            for storage in part.storages:
                storage.stamp, storage.version, storage.writer = now, storage.version + 1, "an optimizer's step"
        part.step = 2.0
        return True

    def _trace_part(self, part: _Part, grads: list[Tensor], arrays: list[Any], group: dict[str, Any]) -> None:
        """As a replay can repeat it: the numbers in memory of their own, and everything that is written among the arguments."""
        if part.counters is None:
            numbers = [np.array(float(value)) for value in self.scalars(group, part.step).values()]
        else:
            found = counted(part.states, "step", lambda step: tuple(self.scalars(group, step).values()))
            numbers = [t._array for t in found]
        part.memory.launch(part.kernel, *numbers, *arrays, *map(_array, part.written))
        for t in part.written:
            t._storage.wrote("an optimizer's step")
        name = f"{'first ' if part.counters is None and part.step == 1 else ''}{type(self).__name__} step"
        tell(_Traced(name), (*part.written, *grads), {"in_place": True}, tuple(part.written))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_plans"}  # which hold addresses


class _Traced(NamedTuple):
    """What a tracer is told of instead of an operation."""

    name: str
    random: bool = False


class _Plan:
    """How the parameters of a group that have gradients are updated.

    Attributes:
        parts: those that one launch each can update.
        rest: the others.
        begun: of optimizers that don't count, the state made here, by parameter: none of it has seen a step.
    """

    def __init__(self, optimizer: ElementwiseOptimizer, live: list[Tensor], group: dict[str, Any]) -> None:
        names = optimizer.remembers(group)
        self._live, self._group = live, dict(group)
        self._names = [*names, *(["step"] if optimizer.counts else [])]
        parts: dict[Any, list[int]] = {}
        self.rest: list[Tensor] = []
        self.begun: dict[int, tuple[dict[str, Any], list[str]]] = {}
        for i, param in enumerate(live):
            state = optimizer.state[param]
            first = optimizer.counts or not all(isinstance(state.get(name), Tensor) for name in names)
            if optimizer.counts:
                begin(state)
            elif first and names:
                self.begun[id(param)] = (state, [name for name in names if not isinstance(state.get(name), Tensor)])
            both = param.dtype.is_complex
            written = [param, *(slot(state, name, param, complex(value, value) if both else value) for name, value in names.items())]
            moved = next((name for name, t in zip(names, written[1:], strict=True) if apart(t._array, param._array)), None)
            if moved is not None:
                raise RuntimeError(
                    f"{type(optimizer).__name__}: the state {moved!r} of a parameter of shape {tuple(param.shape)} is on {state[moved].device}, the "
                    f"parameter on {param.device}; make the optimizer after moving the model, or load its state_dict again, which moves the state"
                )
            if all(map(_is_simple, written)) and len({(t.dtype, t.shape) for t in written}) == 1:
                step = state["step"]._array if optimizer.counts else None
                key = (_REAL[param.dtype.name], first, param.device, None if step is None else (step.dtype, float(step)))
                parts.setdefault(key, []).append(i)
            else:
                self.rest.append(param)
        self._states = [optimizer.state[p] for p in live]
        self._tensors = self._now()
        self._arrays = list(map(_array, self._tensors))
        self.parts = [_Part(optimizer, live, names, places, group, key) for key, places in parts.items()]
        written = [t for part in self.parts for t in part.written]
        if _overlap(list(map(_array, written))):
            self.parts, self.rest, written = [], live, []
        self._written = set(map(_storage, written))
        self._shapes, self._dtypes = [p._array.shape for p in live], [p._array.dtype for p in live]

    def withdraw(self, params: list[Tensor]) -> bool:
        """Drop what was made for parameters that are updated one by one: they tell their first step by its absence. Whether there was any."""
        made = [self.begun[id(param)] for param in params if id(param) in self.begun]
        for state, names in made:
            for name in names:
                del state[name]
        return bool(made)

    def _now(self) -> list[Tensor]:
        return self._live + [state[name] for state in self._states for name in self._names]

    def fits(self, live: list[Tensor], states: Any, group: dict[str, Any]) -> bool:
        """Whether all tensors are where they were, and the options what they were."""
        if len(live) != len(self._live) or not all(map(is_, live, self._live)) or not all(map(is_, map(states.get, live), self._states)):
            return False
        try:
            now = self._now()
        except KeyError:
            return False
        if not all(map(is_, now, self._tensors)) or not all(map(is_, map(_array, now), self._arrays)):
            return False
        if group != self._group:
            if _flags(group) != _flags(self._group):
                return False
            self._group = dict(group)
        return True

    def takes(self, grads: list[Tensor]) -> bool:
        """Whether these gradients are such as kernels take: like their parameters, and not what is written."""
        arrays = list(map(_array, grads))
        same = list(map(_shape, arrays)) == self._shapes and list(map(_dtype, arrays)) == self._dtypes
        return same and self._written.isdisjoint(map(_storage, grads))


class _Part:
    """What one launch updates: parameters of one dtype on one device that have made equally many steps.

    Attributes:
        places: of the parameters among those that have gradients.
        backend: the kernels of their device.
        written: the parameters and their state.
        step: of optimizers that don't count, 1 before the first step, then 2.
    """

    def __init__(
        self, optimizer: ElementwiseOptimizer, live: list[Tensor], names: dict[str, Any], places: list[int], group: dict[str, Any], key: Any
    ) -> None:
        dtype, first, _, _ = key
        self.places = places
        self.params = [live[i] for i in places]
        self.states = [optimizer.state[p] for p in self.params]
        rows = [[p, *(state[name] for name in names)] for p, state in zip(self.params, self.states, strict=True)]
        self.written = [t for row in rows for t in row]
        self.storages = list(map(_storage, self.written))
        self.backend = backend(self.params[0]._array)
        self.memory = self.backend.Updated([list(map(_array, row)) for row in rows])
        numbers = list(optimizer.scalars(group, 1.0))
        self.kernel = _kernel(optimizer, list(names), numbers, group, np.dtype(dtype), self.backend)
        self.numbers = np.zeros(len(numbers))
        self.operands = [self.numbers[k : k + 1] for k in range(len(numbers))]
        self.step = 1.0 if first else 2.0
        self.counters = Counters([state["step"]._array for state in self.states]) if optimizer.counts else None


_kernels: dict[Any, Any] = {}


def _kernel(optimizer: ElementwiseOptimizer, names: list[str], numbers: list[str], group: dict[str, Any], dtype: np.dtype[Any], kernels: Any) -> Any:
    key = (type(optimizer), _flags(group), dtype, kernels)
    if key not in _kernels:
        grad: Any = expr.var("grad")
        param, state = expr.var("param"), {name: expr.var(name) for name in names}
        before = [param, *state.values()]
        n = SimpleNamespace(**{name: expr.var(f"n_{name}") for name in numbers})
        new = optimizer.formula(param, -grad if group.get("maximize") else grad, state, n, group)
        after = [new, *state.values()]
        written = [k for k in range(len(after)) if after[k] is not before[k]]
        lines, results = expr.emit([after[k] for k in written])
        body = Body(("grad", "param", *names, *(f"n_{k}" for k in numbers)), tuple(lines), tuple(results))
        _kernels[key] = kernels.update_kernel(body, written, len(numbers), dtype)
    return _kernels[key]


def _flags(group: dict[str, Any]) -> tuple[str, ...]:
    """Which options hold or are not zero."""
    return tuple([name for name, value in group.items() if name != "params" and value])


def _is_simple(tensor: Tensor) -> bool:
    array: Any = tensor._array
    return type(array) in BACKENDS and array.dtype.name in _REAL and array.flags.carray


def _overlap(arrays: list[Any]) -> bool:
    """Whether some share memory: a parameter that is there twice, or a view of another."""
    spans = sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays if a.size)
    return any(start < end for (_, end), (start, _) in itertools.pairwise(spans))
