"""Tensors overwritten in place with random numbers of a law."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..public import composite
from ..samples import ErrorInput
from ..tensor import Tensor, wrap
from .random import Generator, default_generator, drawn
from .shape import integer


def _mistake(name: str, *args: Any, match: str) -> list[ErrorInput]:
    return [ErrorInput(lambda tg: getattr(tg.ones(3), name)(*args), RuntimeError, f"{name}: {match}")]


def _need_floating(name: str, self: Tensor) -> None:
    if not self.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating-point tensor, got {self.dtype}")


def open_uniform(shape: tuple[int, ...], dtype: np.dtype[Any], generator: Generator | None) -> Any:
    """Numbers uniform in (0, 1), of float32 or float64: 0 is replaced by half a step."""
    wide = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    return np.maximum(drawn("uniform", shape, wide, generator), 2.0**-54 if wide == np.float64 else 2.0**-25, dtype=wide)


def _fill(self: Tensor, law: Callable[[Any], Any], *, uniform: bool, generator: Generator | None) -> Tensor:
    """Write ``law`` of uniform numbers in (0, 1), or of standard normal ones, computed in float64."""
    d = self._array.dtype
    shape = tuple(self.shape)
    wide = np.dtype(np.float64 if d == np.float64 else np.float32)
    start = open_uniform(shape, wide, generator) if uniform else drawn("normal", shape, wide, generator)
    with np.errstate(all="ignore"):
        values = law(start.astype(np.float64))
        if d.kind in "iu":
            limits = np.iinfo(d)
            values = np.clip(values, limits.min, np.nextafter(float(limits.max), 0) if d == np.int64 else limits.max)
        return self.copy_(wrap(np.asarray(values).astype(d)))  # type: ignore[no-any-return]


@composite(differentiable=False, error_inputs=_mistake("uniform_", 1.0, 0.0, match=r"the range \[1.0, 0.0\) is empty"))
def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers uniform in [a, b); returns the tensor.

    Raises:
        RuntimeError: when b is less than a.
    """
    if not a <= b:
        raise RuntimeError(f"uniform_: the range [{a}, {b}) is empty")
    _need_floating("uniform_", self)
    d = self._array.dtype
    values = drawn("uniform", tuple(self.shape), d, generator) * d.type(b - a) + d.type(a)
    if a < b:  # rounding must not reach b
        values = np.minimum(values, np.nextafter(d.type(b), d.type(a)))
    return self.copy_(wrap(np.asarray(values, d)))  # type: ignore[no-any-return]


@composite(differentiable=False, error_inputs=_mistake("normal_", 0.0, -1.0, match="std must not be negative, got -1.0"))
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal numbers; returns the tensor.

    Raises:
        RuntimeError: for a negative ``std``.
    """
    if not std >= 0:
        raise RuntimeError(f"normal_: std must not be negative, got {std}")
    _need_floating("normal_", self)
    d = self._array.dtype
    values = drawn("normal", tuple(self.shape), d, generator) * d.type(std) + d.type(mean)
    return self.copy_(wrap(np.asarray(values, d)))  # type: ignore[no-any-return]


@composite(differentiable=False, error_inputs=_mistake("log_normal_", 1.0, 0.0, match="std must be positive, got 0.0"))
def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with exponentials of normal numbers of this mean and deviation; returns the tensor.

    Raises:
        RuntimeError: unless ``std`` is positive.
    """
    if not std > 0:
        raise RuntimeError(f"log_normal_: std must be positive, got {std}")
    _need_floating("log_normal_", self)
    return _fill(self, lambda z: np.exp(z * std + mean), uniform=False, generator=generator)


@composite(differentiable=False, error_inputs=_mistake("exponential_", 0.0, match="lambd must be positive, got 0.0"))
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of density ``lambd exp(-lambd x)``, all positive; returns the tensor.

    Raises:
        RuntimeError: unless ``lambd`` is positive.
    """
    if not lambd > 0:
        raise RuntimeError(f"exponential_: lambd must be positive, got {lambd}")
    _need_floating("exponential_", self)
    return _fill(self, lambda u: -np.log(u) / lambd, uniform=True, generator=generator)


@composite(differentiable=False, error_inputs=_mistake("cauchy_", 0.0, 0.0, match="sigma must be positive, got 0.0"))
def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of Cauchy's law; returns the tensor.

    Raises:
        RuntimeError: unless ``sigma`` is positive.
    """
    if not sigma > 0:
        raise RuntimeError(f"cauchy_: sigma must be positive, got {sigma}")
    _need_floating("cauchy_", self)
    return _fill(self, lambda u: median + sigma * np.tan(math.pi * (u - 0.5)), uniform=True, generator=generator)


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
    return _fill(self, lambda u: np.maximum(np.ceil(np.log(u) / math.log1p(-p)), 1.0), uniform=True, generator=generator)


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
    values = (generator or default_generator).draw("integers", tuple(self.shape), low, high)
    return self.copy_(wrap(values.astype(self._array.dtype)))  # type: ignore[no-any-return]


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
    odds = p._array if isinstance(p, Tensor) else np.asarray(p, np.float64)
    if not _broadcasts(odds.shape, shape):
        raise RuntimeError(f"bernoulli_: p of shape {odds.shape} does not broadcast to shape {shape}")
    return self.copy_(wrap(successes("bernoulli_", odds, shape, generator).astype(self._array.dtype)))  # type: ignore[no-any-return]


def _broadcasts(small: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(small) <= len(shape) and all(a in (1, b) for a, b in zip(small[::-1], shape[::-1], strict=False))


def successes(name: str, odds: Any, shape: tuple[int, ...], generator: Generator | None) -> Any:
    """A bool array, true with these probabilities."""
    if not ((odds >= 0) & (odds <= 1)).all():
        wrong = odds[~((odds >= 0) & (odds <= 1))].flat[0]
        raise RuntimeError(f"{name}: p must be in [0, 1], got {wrong}")
    wide = np.dtype(np.float64 if odds.dtype == np.float64 else np.float32)
    return drawn("uniform", shape, wide, generator) < odds
