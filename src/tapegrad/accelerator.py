"""The device that computes faster than the CPU, as ``torch.accelerator``: a GPU where there is one."""

from __future__ import annotations

from typing import Any

from . import cuda
from .device import device

__all__ = [
    "current_accelerator", "current_device_index", "current_stream", "device_count", "device_index", "empty_cache", "get_memory_info",
    "is_available", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved", "memory_stats",
    "reset_peak_memory_stats", "set_device_index", "set_stream", "synchronize",
]  # fmt: skip

is_available = cuda.is_available
device_count = cuda.device_count
current_device_index = cuda.current_device
set_device_index = cuda.set_device
current_stream = cuda.current_stream
set_stream = cuda.set_stream
synchronize = cuda.synchronize
empty_cache = cuda.empty_cache
memory_stats = cuda.memory_stats
memory_allocated, max_memory_allocated = cuda.memory_allocated, cuda.max_memory_allocated
memory_reserved, max_memory_reserved = cuda.memory_reserved, cuda.max_memory_reserved
reset_peak_memory_stats = cuda.reset_peak_memory_stats
get_memory_info = cuda.mem_get_info


def current_accelerator(check_available: bool = False) -> device | None:
    """Its kind of device; None where there is none."""
    return device("cuda") if is_available() else None


def device_index(device: Any) -> cuda.device:
    """``with device_index(1):`` makes one of several the current one for a while."""
    return cuda.device(device)
