"""The default generators of GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import device as Device
from ..ops.random.generator import Generator, default_generator_of
from ..tensor import Tensor
from .devices import device_count, numbered

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state", "set_rng_state_all",
]  # fmt: skip


def _generator(device: Any = None) -> Generator:
    return default_generator_of(Device("cuda", numbered(device)))


def manual_seed(seed: int) -> None:
    """Seed the current GPU's generator; nothing without one."""
    if device_count():
        _generator().manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all GPUs; nothing without one."""
    for number in range(device_count()):
        _generator(number).manual_seed(seed)


def seed() -> None:
    """Seed the current GPU's generator from the operating system; nothing without one."""
    if device_count():
        _generator().seed()


def seed_all() -> None:
    """Seed the generators of all GPUs alike from the operating system; nothing without one."""
    if device_count():
        manual_seed_all(_generator().seed())


def initial_seed() -> int:
    """The seed of the current GPU's generator.

    Raises:
        RuntimeError: when there is none.
    """
    return _generator().initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of a GPU's generator, on the CPU.

    Raises:
        RuntimeError: when there is no such GPU.
    """
    return _generator(device).get_state()


def get_rng_state_all() -> list[Tensor]:
    """The states of all GPUs' generators."""
    return [get_rng_state(number) for number in range(device_count())]


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Let a GPU's generator go on from a state.

    Raises:
        RuntimeError: when there is no such GPU.
    """
    _generator(device).set_state(new_state)


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Let all GPUs' generators go on from their states."""
    for number, state in enumerate(new_states):
        set_rng_state(state, number)
