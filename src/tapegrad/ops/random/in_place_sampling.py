"""Tensors overwritten in place with random numbers of a distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes
from ...public import composite
from ...samples import ErrorInput
from ...tensor import Tensor, wrap
from ..checks import need_floating
from ..shape.reshape import integer
from .generator import Generator, drawn_like
from .sampling import need_probabilities


def _mistake(name: str, *args: Any, match: str) -> list[ErrorInput]:
    return [ErrorInput(lambda tg: getattr(tg.ones(3), name)(*args), RuntimeError, f"{name}: {match}")]


def _overwrite(self: Tensor, generator: Generator | None, distribution: str, *args: float) -> Tensor:
    return self.copy_(wrap(drawn_like(generator, distribution, self, tuple(self.shape), self._array.dtype, *args)))  # type: ignore[no-any-return]


@composite(differentiable=False, error_inputs=_mistake("uniform_", 1.0, 0.0, match=r"the range \[1.0, 0.0\) is empty"))
def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers uniform in [a, b); returns the tensor.

    Raises:
        RuntimeError: when b is less than a.
    """
    if not a <= b:
        raise RuntimeError(f"uniform_: the range [{a}, {b}) is empty")
    need_floating("uniform_", self=self)
    return _overwrite(self, generator, "uniform_between", a, b)


@composite(differentiable=False, error_inputs=_mistake("normal_", 0.0, -1.0, match="std must not be negative, got -1.0"))
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal numbers; returns the tensor.

    Raises:
        RuntimeError: for a negative ``std``.
    """
    if not std >= 0:
        raise RuntimeError(f"normal_: std must not be negative, got {std}")
    need_floating("normal_", self=self)
    return _overwrite(self, generator, "normal_around", mean, std)


@composite(differentiable=False, error_inputs=_mistake("log_normal_", 1.0, 0.0, match="std must be positive, got 0.0"))
def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with exponentials of normal numbers of this mean and deviation; returns the tensor.

    Raises:
        RuntimeError: unless ``std`` is positive.
    """
    if not std > 0:
        raise RuntimeError(f"log_normal_: std must be positive, got {std}")
    need_floating("log_normal_", self=self)
    return _overwrite(self, generator, "log_normal", mean, std)


@composite(differentiable=False, error_inputs=_mistake("exponential_", 0.0, match="lambd must be positive, got 0.0"))
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of density ``lambd exp(-lambd x)``, all positive; returns the tensor.

    Raises:
        RuntimeError: unless ``lambd`` is positive.
    """
    if not lambd > 0:
        raise RuntimeError(f"exponential_: lambd must be positive, got {lambd}")
    need_floating("exponential_", self=self)
    return _overwrite(self, generator, "exponential", lambd)


@composite(differentiable=False, error_inputs=_mistake("cauchy_", 0.0, 0.0, match="sigma must be positive, got 0.0"))
def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of Cauchy's distribution; returns the tensor.

    Raises:
        RuntimeError: unless ``sigma`` is positive.
    """
    if not sigma > 0:
        raise RuntimeError(f"cauchy_: sigma must be positive, got {sigma}")
    need_floating("cauchy_", self=self)
    return _overwrite(self, generator, "cauchy", median, sigma)


@composite(differentiable=False, error_inputs=_mistake("geometric_", 1.5, match=r"p must be in \(0, 1\), got 1.5"))
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of trials until the first success (from 1 on) of probability ``p``; returns the tensor.

    Raises:
        RuntimeError: unless 0 < p < 1.
    """
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: p must be in (0, 1), got {p}")
    if self.dtype.category not in (1, 2):
        raise RuntimeError(f"geometric_: expected a floating-point or integer tensor, got {self.dtype}")
    return _overwrite(self, generator, "geometric", p)


def _whole(d: dtypes.dtype) -> int:
    """One more than the largest number that random_ writes by default: for floats, up to which every integer is one."""
    if d.category == 0:
        return 2
    return int(2 / dtypes.finfo(d).eps) + 1 if d.is_floating_point else dtypes.iinfo(d).max + 1


@composite(differentiable=False, error_inputs=_mistake("random_", 5, 5, match=r"the range \[5, 5\) is empty"))
def random_(self: Tensor, *args: Any, generator: Generator | None = None, **bounds: Any) -> Tensor:
    """Overwrite with integers uniform in [from, to): ``random_(to)``, ``random_(from, to)``; returns the tensor.

    By default all that are not negative, for floats up to the largest below which every integer is one.

    Raises:
        RuntimeError: when the range is empty, or the dtype does not hold it.
    """
    given = dict(zip(("from", "to") if len(args) > 1 or "to" in bounds else ("to",), args, strict=False)) | bounds
    unknown = given.keys() - {"from", "to"}
    if unknown or len(args) > 2:
        raise TypeError(f"random_() takes from and to, got {sorted(unknown) or len(args)}")
    if self.dtype.is_complex:
        raise RuntimeError(f"random_: expected a real tensor, got {self.dtype}")
    whole = _whole(self.dtype)
    low, high = integer(given.get("from", 0), "random_", "from"), given.get("to")
    high = whole if high is None else integer(high, "random_", "to")
    if high <= low:
        raise RuntimeError(f"random_: the range [{low}, {high}) is empty")
    least = -whole if self.dtype.is_signed and self.dtype.category == 1 else 1 - whole if self.dtype.is_floating_point else 0
    if low < least or high > whole:
        raise RuntimeError(f"random_: the range [{low}, {high}) does not fit into dtype {self.dtype}")
    return self.copy_(wrap(drawn_like(generator, "integers", self, tuple(self.shape), low, high)))  # type: ignore[no-any-return]


@composite(
    differentiable=False,
    error_inputs=[
        *_mistake("bernoulli_", 1.5, match=r"p must be in \[0, 1\], got 1.5"),
        ErrorInput(lambda tg: tg.ones(3).bernoulli_(tg.ones(2)), RuntimeError, r"bernoulli_: p of shape \(2,\) does not broadcast to shape \(3,\)"),
    ],
)
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with 1 with probability ``p`` (a number, or a tensor that broadcasts), else 0; returns the tensor.

    Raises:
        RuntimeError: for probabilities outside [0, 1].
    """
    shape = tuple(self.shape)
    if not isinstance(p, (Tensor, int, float)):
        raise TypeError(f"bernoulli_(): argument 'p' must be a number or a Tensor, not {type(p).__name__}")
    odds = p if isinstance(p, Tensor) else wrap(np.asarray(p, np.float64))
    if not _broadcasts(tuple(odds.shape), shape):
        raise RuntimeError(f"bernoulli_: p of shape {tuple(odds.shape)} does not broadcast to shape {shape}")
    need_probabilities("bernoulli_", odds)
    return self.copy_(wrap(drawn_like(generator, "bernoulli", self, odds._array, shape)))  # type: ignore[no-any-return]


def _broadcasts(small: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(small) <= len(shape) and all(a in (1, b) for a, b in zip(small[::-1], shape[::-1], strict=False))
