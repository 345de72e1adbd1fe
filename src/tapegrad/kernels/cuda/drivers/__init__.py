"""What stands between the CUDA backend and a GPU: memory, streams, events, and running kernels.

``TAPEGRAD_CUDA_DRIVER`` chooses: nothing, or "nvidia", means NVIDIA's driver; "simulator" runs kernels as Python on the CPU, a thread
of the GPU at a time, "simulator:2" on two devices; "ptx" runs what they are compiled to on the CPU, all threads at a time, and "ptx-warps" a
warp of each block at a time; "null" notes what it is asked and runs nothing.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from typing import Any, NamedTuple, NoReturn, Protocol

CHOICE, _, _DEVICES = (os.environ.get("TAPEGRAD_CUDA_DRIVER") or "nvidia").partition(":")
ON_CPU = CHOICE in ("simulator", "ptx", "ptx-warps")  # which is slow: tests take fewer elements


class OutOfMemory(Exception):
    """The device has no block of that size left."""


class Properties(NamedTuple):
    """What is known of a device; memory and caches are in bytes."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    total_memory: int
    shared_memory: int  # that a block may have
    l2_cache: int


class Driver(Protocol):
    """What every driver does. Addresses, streams and events are integers; 0 is the default stream. All but ``finished``, ``copy`` to the
    host from pageable memory, and the ``synchronize`` functions return before the device has done the work.

    Attributes:
        exact: blocks are allocated as large as asked for, so that a kernel that leaves one is found.
        described: the function that launches takes as its last parameter, where the driver's has its options, the address of words that say
            what parameters a kernel has: their number, and of each 0 for a word, 1 for a float32, 2 for a float64.
    """

    exact: bool
    described: bool

    def count(self) -> int: ...
    def missing(self) -> str: ...  # why there is no device
    def properties(self, device: int) -> Properties: ...
    def memory(self, device: int) -> tuple[int, int]: ...  # free, total
    def allocate(self, device: int, size: int) -> int: ...
    def release(self, device: int, address: int) -> None: ...
    def holder(self, address: int) -> int: ...  # the device that has an address in its memory
    def pinned(self, size: int) -> int: ...
    def release_pinned(self, address: int) -> None: ...
    def load(self, device: int, kernel: Any) -> Any: ...
    def handle(self, loaded: Any) -> int: ...  # a kernel as the function takes it
    def functions(self) -> tuple[int, int]: ...  # the addresses of cuLaunchKernel and cuMemsetD8Async, or of functions of their kind
    def failed(self, result: int) -> NoReturn: ...  # what raises for a result of one
    def activate(self, device: int) -> None: ...  # make it current in this thread for these
    def copy(self, device: int, stream: int, to: int, source: int, size: int, kind: str) -> None: ...  # "to device", "to host", "within", "between" devices
    def fill(self, device: int, stream: int, address: int, byte: int, size: int) -> None: ...
    def new_stream(self, device: int, priority: int) -> int: ...
    def release_stream(self, device: int, stream: int) -> None: ...
    def synchronize(self, device: int, stream: int | None) -> None: ...
    def finished(self, device: int, stream: int) -> bool: ...
    def new_event(self, device: int, timing: bool) -> int: ...
    def release_event(self, device: int, event: int) -> None: ...
    def record(self, device: int, event: int, stream: int) -> None: ...
    def wait(self, device: int, event: int, stream: int) -> None: ...
    def reached(self, device: int, event: int) -> bool: ...
    def synchronize_event(self, device: int, event: int) -> None: ...
    def elapsed(self, device: int, start: int, end: int) -> float: ...  # milliseconds


_NEEDED = {"cuda.bindings": "cuda-bindings", "cuda.core": "cuda-core", "numba_cuda": "numba-cuda"}


def packages_missing() -> list[str]:
    """The packages that NVIDIA's GPUs need and that are not installed; nothing of them is imported but the packages they are in."""
    return [package for module, package in _NEEDED.items() if not _found(module)]


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of the package that it is in
        return False


@functools.cache
def driver() -> Driver:
    """The driver of this process.

    Raises:
        RuntimeError: for an unknown choice.
    """
    if CHOICE == "nvidia":
        from .nvidia import Nvidia

        return Nvidia()
    if CHOICE == "simulator":
        from .simulated import Simulated

        return Simulated(int(_DEVICES or 1))
    if CHOICE in ("ptx", "ptx-warps"):
        # By name, since what kernels on disk are named by has the source of all that their modules import.
        found: Driver = importlib.import_module(".ptx.driver", __name__).Interpreted(apart=CHOICE == "ptx-warps")
        return found
    if CHOICE == "null":
        from .null import Null

        return Null()
    raise RuntimeError(f"TAPEGRAD_CUDA_DRIVER={CHOICE!r}: it is 'nvidia' (or unset), 'simulator', 'ptx', 'ptx-warps' or 'null'")
