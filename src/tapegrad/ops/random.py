"""Random numbers: generators, and the ops that draw from them."""

from __future__ import annotations

import operator
import os
import threading
from typing import Any

import numpy as np

from .. import dtypes
from ..device import to_device
from ..kernels.cpu import random as philox
from ..public import method
from ..tensor import Tensor, wrap
from . import elementwise
from .create import checked_shape
from .shape import sizes

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]

class Generator:
    """A source of random numbers: a seed and a counter (Philox4x32-10), so that its state is two integers.

    Equal seeds give equal numbers, whatever the number of threads. Safe to share between threads.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = to_device(device)
        self._seed = 0
        self._counter = 0
        self._lock = threading.Lock()

    def manual_seed(self, seed: int) -> Generator:
        """Start over from ``seed``; returns the generator.

        Raises:
            TypeError: when the seed is not an integer.
        """
        if not isinstance(seed, (int, np.integer)):
            raise TypeError(f"manual_seed expects an integer, got {type(seed).__name__}")
        with self._lock:
            self._seed, self._counter = _signed(int(seed)), 0
        return self

    def seed(self) -> int:
        """Start over from a seed of the operating system's; returns it."""
        fresh = int.from_bytes(os.urandom(7), "little")
        self.manual_seed(fresh)
        return fresh

    def initial_seed(self) -> int:
        """The seed."""
        return self._seed

    def get_state(self) -> Tensor:
        """(seed, counter) as an int64 tensor."""
        return wrap(np.array([self._seed, self._counter], np.int64))

    def set_state(self, state: Tensor) -> None:
        """Go on from a state that ``get_state`` returned.

        Raises:
            ValueError: when it is not one.
        """
        if state._array.shape != (2,) or state._array.dtype != np.int64:
            raise ValueError("set_state expects what get_state returned: an int64 tensor of shape (2,)")
        with self._lock:
            self._seed, self._counter = (int(v) for v in state._array)

    def draw(self, law: Any, *args: Any) -> Any:
        """Advance past the numbers that ``law(*args, seed, counter)`` uses, and return them."""
        with self._lock:
            array, self._counter = law(*args, self._seed, self._counter)
        return array


def _signed(seed: int) -> int:
    return (seed + 2**63) % 2**64 - 2**63


default_generator = Generator()
default_generator.manual_seed(0)
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Set the default generator's state."""
    default_generator.set_state(state)


def _floating(name: str, dtype: Any) -> np.dtype[Any]:
    d = dtypes.get_default_dtype() if dtype is None else dtypes.to_dtype(dtype)
    if not d.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating-point dtype, got {d}")
    return d.numpy


def _drawn(law: Any, name: str, size: tuple[Any, ...], dtype: Any, generator: Generator | None, requires_grad: bool) -> Tensor:
    d = _floating(name, dtype)
    made = wrap((generator or default_generator).draw(law, checked_shape(sizes(size), d.itemsize, name), d))
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def rand(*size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers uniform in [0, 1), of shape ``size``."""
    to_device(device)
    return _drawn(philox.uniform, "rand", size, dtype, generator, requires_grad)


def randn(*size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers, of shape ``size``."""
    to_device(device)
    return _drawn(philox.normal, "randn", size, dtype, generator, requires_grad)


def rand_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers uniform in [0, 1), of the input's shape and dtype."""
    return rand(*input.shape, dtype=input.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)


def randn_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers, of the input's shape and dtype."""
    return randn(*input.shape, dtype=input.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers uniform in [low, high), of shape ``size``: ``randint(high, size)`` or ``randint(low, high, size)``.

    Raises:
        RuntimeError: when the range is empty.
    """
    to_device(device)
    if size is None:
        low, high, size = 0, low, high
    low, high = operator.index(low), operator.index(high)
    if high <= low:
        raise RuntimeError(f"randint: the range [{low}, {high}) is empty")
    wanted = dtypes.int64 if dtype is None else dtypes.to_dtype(dtype)
    d = wanted.numpy
    limits = dtypes.iinfo(wanted if wanted.category == 1 else dtypes.int64)
    least, most = (0, 1) if wanted.category == 0 else (limits.min, limits.max)
    if low < least or high - 1 > most:
        raise RuntimeError(f"randint: the range [{low}, {high}) does not fit into dtype {wanted}")
    array = (generator or default_generator).draw(philox.integers, checked_shape(sizes((size,)), 8, "randint"), low, high)
    made = wrap(array.astype(d, copy=False))
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The integers 0 to n - 1 in random order.

    Raises:
        RuntimeError: for a negative n.
    """
    to_device(device)
    if n < 0:
        raise RuntimeError(f"randperm: n must not be negative, got {n}")
    keys = (generator or default_generator).draw(philox.bits, n)
    order = np.argsort(keys, kind="stable")
    return wrap(order.astype(np.int64 if dtype is None else dtypes.to_dtype(dtype).numpy, copy=False))


@method
def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers uniform in [a, b); returns the tensor.

    Raises:
        RuntimeError: when b is less than a.
    """
    if not a <= b:
        raise RuntimeError(f"uniform_: the range [{a}, {b}) is empty")
    drawn = rand(*self.shape, generator=generator, dtype=self.dtype) * (b - a) + a
    if a < b:  # rounding must not reach b
        d = self._array.dtype.type
        drawn = elementwise.clamp(drawn, max=float(np.nextafter(d(b), d(a))))
    return self.copy_(drawn)  # type: ignore[no-any-return]


@method
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal numbers; returns the tensor.

    Raises:
        RuntimeError: for a negative ``std``.
    """
    if not std >= 0:
        raise RuntimeError(f"normal_: std must not be negative, got {std}")
    drawn = randn(*self.shape, generator=generator, dtype=self.dtype)
    return self.copy_(drawn * std + mean)  # type: ignore[no-any-return]
