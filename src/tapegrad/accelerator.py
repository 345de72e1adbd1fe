"""The device that computes faster than the CPU, as ``torch.accelerator``: a GPU where there is one."""

from __future__ import annotations

from . import cuda
from .device import device

__all__ = ["current_accelerator", "device_count", "is_available"]


def is_available() -> bool:
    """Whether there is one."""
    return cuda.is_available()


def device_count() -> int:
    """How many there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """Its kind of device; None where there is none."""
    return device("cuda") if is_available() else None
