"""GPUs, as ``torch.cuda``: which there are, their memory, streams and events, and their random numbers.

Without a GPU what scripts ask before they choose a device has its answer, and the rest raises RuntimeError with what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernels.device_errors import OutOfMemoryError as OutOfMemoryError
from ..lazy import imported_on_use
from .devices import (
    current_device as current_device,
    device as device,
    device_count as device_count,
    device_of as device_of,
    get_device_capability as get_device_capability,
    get_device_name as get_device_name,
    get_device_properties as get_device_properties,
    init as init,
    is_available as is_available,
    is_bf16_supported as is_bf16_supported,
    is_initialized as is_initialized,
    set_device as set_device,
    synchronize as synchronize,
)
from .memory import (
    empty_cache as empty_cache,
    get_per_process_memory_fraction as get_per_process_memory_fraction,
    ipc_collect as ipc_collect,
    max_memory_allocated as max_memory_allocated,
    max_memory_reserved as max_memory_reserved,
    mem_get_info as mem_get_info,
    memory_allocated as memory_allocated,
    memory_reserved as memory_reserved,
    memory_stats as memory_stats,
    memory_summary as memory_summary,
    reset_accumulated_memory_stats as reset_accumulated_memory_stats,
    reset_max_memory_allocated as reset_max_memory_allocated,
    reset_peak_memory_stats as reset_peak_memory_stats,
    set_per_process_memory_fraction as set_per_process_memory_fraction,
)
from .random import (
    get_rng_state as get_rng_state,
    get_rng_state_all as get_rng_state_all,
    initial_seed as initial_seed,
    manual_seed as manual_seed,
    manual_seed_all as manual_seed_all,
    seed as seed,
    seed_all as seed_all,
    set_rng_state as set_rng_state,
    set_rng_state_all as set_rng_state_all,
)
from .streams import (
    Event as Event,
    ExternalStream as ExternalStream,
    Stream as Stream,
    current_stream as current_stream,
    default_stream as default_stream,
    set_stream as set_stream,
    stream as stream,
)

__all__ = [
    "Event", "ExternalStream", "OutOfMemoryError", "Stream", "current_device", "current_stream", "default_stream", "device", "device_count",
    "device_of", "empty_cache", "get_device_capability", "get_device_name", "get_device_properties", "get_per_process_memory_fraction",
    "get_rng_state", "get_rng_state_all", "init", "initial_seed", "ipc_collect", "is_available", "is_bf16_supported", "is_initialized",
    "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved",
    "memory_stats", "memory_summary", "reset_accumulated_memory_stats", "reset_max_memory_allocated", "reset_peak_memory_stats", "seed",
    "seed_all", "set_device", "set_per_process_memory_fraction", "set_rng_state", "set_rng_state_all", "set_stream", "stream", "synchronize",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker should know what there is
    __getattr__ = imported_on_use(__name__, ("amp",))
