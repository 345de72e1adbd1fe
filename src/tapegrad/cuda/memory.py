"""What the memory of GPUs is used for, and how much of it there is. Without a GPU the numbers are 0."""

from __future__ import annotations

from typing import Any

from .devices import is_initialized, numbered

__all__ = [
    "empty_cache", "get_per_process_memory_fraction", "ipc_collect", "max_memory_allocated", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_reserved", "memory_stats", "memory_summary", "reset_accumulated_memory_stats", "reset_max_memory_allocated",
    "reset_peak_memory_stats", "set_per_process_memory_fraction",
]  # fmt: skip


def _pool(device: Any) -> Any:
    from ..kernels.cuda import memory

    return memory.pool(numbered(device))


def memory_stats(device: Any = None) -> dict[str, Any]:
    """The numbers of a GPU's memory by PyTorch's names, such as "allocated_bytes.all.peak"; empty before a GPU is used."""
    return dict(sorted(_pool(device).statistics().items())) if is_initialized() else {}


def memory_allocated(device: Any = None) -> int:
    """Bytes of a GPU that tensors take."""
    return int(memory_stats(device).get("allocated_bytes.all.current", 0))


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes of a GPU that tensors took, since the start or :func:`reset_peak_memory_stats`."""
    return int(memory_stats(device).get("allocated_bytes.all.peak", 0))


def memory_reserved(device: Any = None) -> int:
    """Bytes of a GPU that tensors take or that are kept for them."""
    return int(memory_stats(device).get("reserved_bytes.all.current", 0))


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes of a GPU that were taken or kept, since the start or :func:`reset_peak_memory_stats`."""
    return int(memory_stats(device).get("reserved_bytes.all.peak", 0))


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the highest numbers start anew."""
    if is_initialized():
        _pool(device).reset_peaks()


def reset_max_memory_allocated(device: Any = None) -> None:
    """The older name of :func:`reset_peak_memory_stats`."""
    reset_peak_memory_stats(device)


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Let the numbers that only grow start anew."""
    if is_initialized():
        _pool(device).reset_counts()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, all) bytes of a GPU, whoever uses them.

    Raises:
        RuntimeError: when there is none.
    """
    from ..kernels.cuda.context import context

    return context.driver.memory(numbered(device))


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let this process take no more than this share of a GPU's memory; more is an OutOfMemoryError.

    Raises:
        ValueError: when it is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"the share of a GPU's memory must be between 0 and 1, got {fraction}")
    _pool(device).limit = float(fraction)


def get_per_process_memory_fraction(device: Any = None) -> float:
    """The share of a GPU's memory that this process may take."""
    return float(_pool(device).limit)


def empty_cache() -> None:
    """Give memory that no tensor uses, of all GPUs and pinned, back; nothing before a GPU is used."""
    if is_initialized():
        from ..kernels.cuda import memory, pinned

        for pool in memory.pools():
            pool.release_unused()
        pinned.release_unused()


def ipc_collect() -> None:
    """Nothing: memory is not shared with other processes."""


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """A table of what a GPU's memory is used for."""
    number, pool = numbered(device), _pool(device)
    from ..kernels.cuda.memory import shown

    found = pool.statistics()
    free, total = mem_get_info(number)
    rows = [("", "now", "most")]
    for label, key in (("tensors", "allocated_bytes"), ("taken from the GPU", "reserved_bytes")):
        rows.append((label, shown(found[f"{key}.all.current"]), shown(found[f"{key}.all.peak"])))
    rows.append(("kept, unused", shown(found["inactive_split_bytes.all.current"]), ""))
    if not abbreviated:
        rows.append(("blocks of tensors", str(found["allocation.all.current"]), ""))
        rows.append(("pieces of memory", str(found["segment.all.current"]), ""))
        rows.append(("retries, failures", f"{found['num_alloc_retries']}, {found['num_ooms']}", ""))
    rows.append(("free on the GPU", f"{shown(free)} of {shown(total)}", ""))
    return "\n".join([f"memory of cuda:{number}", *[f"  {label:<20}{now:>22}{most:>14}".rstrip() for label, now, most in rows]])
