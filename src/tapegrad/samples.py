"""What the tests of an op need: its samples, edge points and mistakes, and the samples that whole families share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Input:
    """One tensor argument of a sample: its shape and what it is filled with.

    ``kind`` is "real" (uniform in [low, high]; complex for complex dtypes), "int" (integers in [low, high)) or "bool".
    ``apart`` keeps values at least 0.1 away from each other and from zero, for functions with kinks or ties. A ``constant`` is
    never asked for a gradient, though it holds real numbers.
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    kind: str = "real"
    apart: bool = False
    constant: bool = False


@dataclass(frozen=True)
class Sample:
    """Arguments to try an op or function with: tensor inputs and keyword parameters.

    Inputs are positional, or keywords where ``names`` has theirs, or one list where ``packed``; ``arrange`` makes the positional
    arguments of them where they are mixed with others.
    """

    inputs: tuple[Input, ...]
    params: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    packed: bool = False
    arrange: Callable[..., Sequence[Any]] | None = None

    def call(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """``function`` of these values for the inputs, and of the parameters."""
        if self.packed:
            return function(list(values), **self.params)
        if self.arrange is not None:
            return function(*self.arrange(*values), **self.params)
        if self.names:
            return function(**dict(zip(self.names, values, strict=True)), **self.params)
        return function(*values, **self.params)


@dataclass(frozen=True)
class EdgePoint:
    """A point where the gradient is a matter of convention: inputs, parameters and the published gradients."""

    inputs: tuple[Any, ...]
    grads: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorInput:
    """A mistake: arguments for the public function, the exception it must raise, and a pattern its message must match."""

    make: Callable[[Any], Any]  # given the tapegrad namespace, performs the mistaken call
    error: type[Exception]
    match: str


def unary(low: float = -2.0, high: float = 2.0, *, apart: bool = False, **params: Any) -> list[Sample]:
    """One input: matrix, vector, 0-d, zero-size."""
    return [Sample((Input(shape, low, high, apart=apart),), params) for shape in ((3, 4), (5,), (), (0, 3))]


def few(low: float = -2.0, high: float = 2.0, *, apart: bool = False, **params: Any) -> list[Sample]:
    """One input, matrix and 0-d: for the many functions of one element, since every shape costs kernels and others cover the rest."""
    return [Sample((Input(shape, low, high, apart=apart),), params) for shape in ((3, 4), ())]


def binary(low: float = -2.0, high: float = 2.0, low2: float | None = None, *, apart: bool = False) -> list[Sample]:
    """Two inputs: equal shapes, every kind of broadcasting, 0-d, zero-size."""
    second = low if low2 is None else low2
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((2, 1, 3), (4, 1)), ((), (3,)), ((), ()), ((0, 3), (3,))]
    return [Sample((Input(a, low, high, apart=apart), Input(b, second, high, apart=apart))) for a, b in shapes]


def apart_from_whole() -> list[Sample]:
    """Dividends and divisors, of both signs among the samples, whose quotients are not near whole numbers."""
    pairs = [((3, 4), 4.2, (3, 4), 1.8), ((3, 4), -2.7, (4,), 1.3), ((), -4.1, (), -1.6), ((4,), 5.6, (3, 1), -2.6), ((0, 3), 1.0, (3,), 2.0)]
    return [Sample((Input(a, x, x + 0.8), Input(b, y, y + 0.2))) for a, x, b, y in pairs]


def along_dim(*, apart: bool = False, keepdims: bool = True, **params: Any) -> list[Sample]:
    """One input and ``dim``, counted from the front as functions pass it on; with ``keepdim`` where the op has it."""
    keep: list[dict[str, Any]] = [{"keepdim": False}, {"keepdim": True}] if keepdims else [{}]
    return [
        Sample((Input(shape, apart=apart),), {"dim": dim, **k, **params})
        for shape, dim in (((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1), ((5,), 0))
        for k in keep
    ]


# what losses do with their elements
REDUCE: dict[str, Callable[..., Any]] = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


def in_every_reduction(inputs: Sequence[Input], *more: dict[str, Any]) -> list[Sample]:
    """The inputs with each reduction, and the mean with each of the other parameters."""
    return [Sample(tuple(inputs), {"reduction": r}) for r in ("none", "sum")] + [Sample(tuple(inputs), m) for m in ({}, *more)]


def reduced_reference(elements: Callable[..., Any]) -> Callable[..., Any]:
    """A reference from that of the elements."""
    return lambda *inputs, reduction="mean", **params: REDUCE[reduction](elements(*inputs, **params))


def wrong_reduction(name: str) -> ErrorInput:
    """What a loss does with a reduction that is none."""
    return ErrorInput(
        lambda tg: getattr(tg.nn.functional, name)(tg.ones(2), tg.ones(2), reduction="most"), ValueError, f"{name}: reduction must be .*'most'"
    )
