"""Random numbers: generators, and new tensors of numbers drawn from them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from ... import dtypes
from ...device import CPU, device as Device, device_of, kernels_of, to_device
from ...modes import values_leave
from ...public import composite
from ...samples import ErrorInput
from ...tensor import Tensor, wrap
from ..checks import read_values
from ..create import checked_shape, checked_sizes
from ..shape.copy import to_dtype

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
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
        self._backend = kernels_of(self.device)
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
            self._seed, self._counter = (int(v) for v in read_values(state, "set_state()"))

    def draw(self, distribution: str, *args: Any) -> Any:
        """Numbers of the backend's ``random_<distribution>(*args, seed, counter)``, as an array; the counter moves past them."""
        values_leave("a random draw")
        draw = getattr(self._backend, "random_" + distribution)
        with self._lock, nullcontext() if self.device.type == "cpu" else self._backend.on_device(self.device.index):
            array, self._counter = draw(*args, self._seed, self._counter)
        return array

    def __reduce__(self) -> Any:
        """For copies, also in other processes: where it stands, without its lock."""
        return _generator, (str(self.device), self._seed, self._counter)

    def __repr__(self) -> str:
        return f"<tapegrad.Generator seed={self._seed}, counter={self._counter}, device={str(self.device)!r}>"


def _generator(device: str, seed: int, counter: int) -> Generator:
    made = Generator(device)
    made._seed, made._counter = seed, counter
    return made


def _signed(seed: int) -> int:
    return (seed + 2**63) % 2**64 - 2**63


default_generator = Generator()
default_generator.manual_seed(0)
default_generator.seed()


_on_gpus: dict[int, Generator] = {}


def default_generator_of(where: Device) -> Generator:
    """The default generator of a device; a GPU's starts, when it is first asked for, from the seed of the CPU's."""
    if where.type == "cpu":
        return default_generator
    number = to_device(where).index or 0
    found = _on_gpus.get(number)
    return _on_gpus.setdefault(number, Generator(where).manual_seed(default_generator.initial_seed())) if found is None else found


def _new_lock() -> None:
    """A forked child must not inherit a lock that another thread held."""
    default_generator._lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices; returns the CPU's."""
    default_generator.manual_seed(seed)
    for generator in _on_gpus.values():
        generator.manual_seed(seed)
    return default_generator


def seed() -> int:
    """Seed the default generators of all devices from the operating system; returns the seed."""
    fresh = default_generator.seed()
    manual_seed(fresh)
    return fresh


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Set the default generator's state."""
    default_generator.set_state(state)


Position = list[tuple[Generator, int, int]]


@contextmanager
def forked(start: Position | None = None) -> Iterator[None]:
    """Draw from the default generators, from an earlier :func:`position` on if one is given, and put them back afterwards."""
    before = position()
    if start is not None:
        _go_to(start)
    try:
        yield
    finally:
        _go_to(before)


def gpu_generators() -> dict[int, Generator]:
    """The default generators of GPUs that have been asked for, by the devices' numbers."""
    return dict(_on_gpus)


def position() -> Position:
    """Where the default generators stand; no tensor as their state is, so that a trace may ask."""
    return [(found, found._seed, found._counter) for found in (default_generator, *_on_gpus.values())]


def _go_to(places: Position) -> None:
    for found in _on_gpus.values():
        found._counter = 0  # where it began, if it was not there yet
    for found, seed, counter in places:
        with found._lock:
            found._seed, found._counter = seed, counter


def _floating(name: str, dtype: Any) -> np.dtype[Any]:
    d = dtypes.get_default_dtype() if dtype is None else dtypes.to_dtype(dtype)
    if not d.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating-point dtype, got {d}")
    return d.numpy


def drawn(generator: Generator | None, distribution: str, *args: Any, where: Device = CPU) -> Any:
    """An array of numbers on a device from a generator, by default its default one; see :meth:`Generator.draw`.

    Of a shape and a dtype there are "uniform" numbers in [0, 1) and standard "normal" ones.

    Raises:
        RuntimeError: when the generator is of another device.
    """
    if generator is None:
        generator = default_generator_of(where)
    elif generator.device != where:
        raise RuntimeError(f"expected a generator of device {str(where)!r}, got one of {str(generator.device)!r}")
    return generator.draw(distribution, *args)


def drawn_like(generator: Generator | None, distribution: str, like: Tensor, *args: Any) -> Any:
    """As :func:`drawn`, on the device of a tensor."""
    return drawn(generator, distribution, *args, where=device_of(like._array))


def _new(distribution: str, name: str, size: tuple[Any, ...], dtype: Any, generator: Generator | None, device: Any, requires_grad: bool) -> Tensor:
    d = _floating(name, dtype)
    made = wrap(drawn(generator, distribution, checked_shape(checked_sizes(size, name), d.itemsize, name), d, where=to_device(device)))
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def rand(*args: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers uniform in [0, 1), of shape ``size``."""
    return _new("uniform", "rand", args if size is None else (size,), dtype, generator, device, requires_grad)


def randn(*args: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers, of shape ``size``."""
    return _new("normal", "randn", args if size is None else (size,), dtype, generator, device, requires_grad)


def _beside(input: Tensor, device: Any) -> Any:
    """The device to make a tensor on that is like another one."""
    return device_of(input._array) if device is None else device


@composite(method=False, differentiable=False, error_inputs=[ErrorInput(lambda tg: tg.rand_like(tg.arange(3)), RuntimeError, "rand: .*int64")])
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Numbers uniform in [0, 1), of the input's shape and dtype."""
    wanted = input.dtype if dtype is None else dtype
    return rand(input.shape, generator=generator, dtype=wanted, device=_beside(input, device), requires_grad=requires_grad)


@composite(method=False, differentiable=False, error_inputs=[ErrorInput(lambda tg: tg.randn_like(tg.arange(3)), RuntimeError, "randn: .*int64")])
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Standard normal numbers, of the input's shape and dtype."""
    wanted = input.dtype if dtype is None else dtype
    return randn(input.shape, generator=generator, dtype=wanted, device=_beside(input, device), requires_grad=requires_grad)


def randint(
    low: Any = 0,
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
    where = to_device(device)
    if size is None:
        if not isinstance(high, (tuple, list)):
            raise TypeError("randint() needs a size, a tuple: randint(high, size) or randint(low, high, size)")
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if not all(isinstance(bound, (int, np.integer)) for bound in (low, high)):
        raise TypeError(f"randint(): low and high must be integers, got {low!r} and {high!r}")
    low, high = int(low), int(high)
    if high <= low:
        raise RuntimeError(f"randint: the range [{low}, {high}) is empty")
    wanted = dtypes.int64 if dtype is None else dtypes.to_dtype(dtype)
    d = wanted.numpy
    limits = dtypes.iinfo(wanted if wanted.category == 1 else dtypes.int64)
    least, most = (0, 1) if wanted.category == 0 else (limits.min, limits.max)
    if low < least or high - 1 > most:
        raise RuntimeError(f"randint: the range [{low}, {high}) does not fit into dtype {wanted}")
    array = drawn(generator, "integers", checked_shape(checked_sizes((size,), "randint"), 8, "randint"), low, high, where=where)
    made = wrap(array.astype(d, copy=False))
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


@composite(
    method=False, differentiable=False, error_inputs=[ErrorInput(lambda tg: tg.randint_like(tg.ones(3), 2, 2), RuntimeError, "randint: the range")]
)
def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Integers uniform in [low, high), or [0, low), of the input's shape and dtype."""
    low, high = (0, low) if high is None else (low, high)
    wanted = input.dtype if dtype is None else dtype
    return randint(
        low, high, tuple(input.shape), generator=generator, dtype=wanted, device=_beside(input, device), requires_grad=requires_grad
    )


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The integers 0 to n - 1 in random order.

    Raises:
        RuntimeError: for a negative n.
    """
    where = to_device(device)
    (n,) = checked_sizes((n,), "randperm")
    if n < 0:
        raise RuntimeError(f"randperm: n must not be negative, got {n}")
    order = wrap(drawn(generator, "permutation", n, where=where))
    return order if dtype is None else to_dtype(order, dtypes.to_dtype(dtype))
