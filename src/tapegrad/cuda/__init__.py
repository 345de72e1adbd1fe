"""GPUs, as ``torch.cuda``. There is none yet: what scripts ask before they choose a device has its answer, the rest is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lazy import imported_on_use

__all__ = [
    "OutOfMemoryError", "current_device", "device_count", "empty_cache", "get_device_name", "is_available", "is_bf16_supported",
    "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "memory_allocated",
    "memory_reserved", "set_device", "synchronize",
]  # fmt: skip

_NONE = "tapegrad has no CUDA device; tapegrad.cuda.is_available() tells before"


class OutOfMemoryError(RuntimeError):
    """A GPU has too little memory left."""


def is_available() -> bool:
    """Whether tensors can live on a GPU: there is one, its driver, and the packages that compile and launch kernels."""
    return device_count() > 0


def device_count() -> int:
    """The number of GPUs that can be used."""
    from ..kernels.cuda.drivers import driver

    return driver().count()


def current_device() -> int:
    """The index of the GPU that "cuda" means.

    Raises:
        RuntimeError: when there is none.
    """
    raise RuntimeError(_NONE)


def set_device(device: Any) -> None:
    """Choose the GPU that "cuda" means.

    Raises:
        RuntimeError: when there is none.
    """
    raise RuntimeError(_NONE)


def get_device_name(device: Any = None) -> str:
    """The name of a GPU.

    Raises:
        RuntimeError: when there is none.
    """
    raise RuntimeError(_NONE)


def is_initialized() -> bool:
    """Whether a GPU has been used."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes in bfloat16."""
    return False


def memory_allocated(device: Any = None) -> int:
    """Bytes of a GPU that tensors take; 0 without one, as for the other three."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes of a GPU that tensors took."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """Bytes of a GPU that are kept for tensors."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes of a GPU that were kept for tensors."""
    return 0


def synchronize(device: Any = None) -> None:
    """Wait until a GPU has finished what it was given.

    Raises:
        RuntimeError: when there is none.
    """
    raise RuntimeError(_NONE)


def empty_cache() -> None:
    """Give unused memory of GPUs back; nothing without one."""


def manual_seed(seed: int) -> None:
    """Seed the current GPU's generator; nothing without one."""


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all GPUs; nothing without one."""


if not TYPE_CHECKING:  # a type checker should know what there is
    __getattr__ = imported_on_use(__name__, ("amp",))
