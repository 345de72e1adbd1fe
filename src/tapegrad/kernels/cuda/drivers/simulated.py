"""A device made of host memory whose kernels run as Python (see ``simulator``).

Its addresses lie far above those of the host, so that a function which takes an array of the device for one of NumPy's ends the
process, as it would beside a GPU, and tests see it.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import itertools
import threading
import time
from typing import Any

import numpy as np

from . import OutOfMemory, Properties
from .calls import Called

_FAR = 1 << 60
_TOTAL = 1 << 32
_ALIGNMENT = 256


class Simulated(Called):
    """Work is done at once, in the order in which it is asked for, whatever the stream. A device reads and writes its own memory only."""

    exact = True

    def __init__(self, devices: int = 1) -> None:
        super().__init__()
        self._devices = devices
        self._homes: dict[int, int] = {}  # address of a block -> its device
        self._blocks: dict[int, np.ndarray[Any, Any]] = {}  # address on the device -> the bytes
        self._starts: list[int] = []
        self._pinned: dict[int, Any] = {}
        self._used = [0] * devices
        self._events: dict[int, float] = {}
        self._names = itertools.count(1)
        self._running = threading.Lock()  # kernels of several threads run one after another

    def count(self) -> int:
        return self._devices

    def missing(self) -> str:
        return ""

    def properties(self, device: int) -> Properties:
        return Properties("simulated", (9, 0), 2, _TOTAL, 48 << 10, 1 << 20)

    def memory(self, device: int) -> tuple[int, int]:
        return _TOTAL - self._used[device], _TOTAL

    def allocate(self, device: int, size: int) -> int:
        with self._lock:
            if self._used[device] + size > _TOTAL:
                raise OutOfMemory
            room = np.full(size + _ALIGNMENT, 0xA5, np.uint8)  # no zeros: a kernel must write what is read
            skip = -room.ctypes.data % _ALIGNMENT
            memory = room[skip : skip + size]
            address = memory.ctypes.data + _FAR
            self._blocks[address] = memory
            self._homes[address] = device
            bisect.insort(self._starts, address)
            self._used[device] += size
        return int(address)

    def release(self, device: int, address: int) -> None:
        with self._lock:
            self._used[self._homes.pop(address)] -= self._blocks.pop(address).size
            self._starts.remove(address)

    def holder(self, address: int) -> int:
        with self._lock:
            return self._homes.get(self._starts[bisect.bisect_right(self._starts, address) - 1], 0) if self._starts else 0

    def pinned(self, size: int) -> int:
        memory = ctypes.create_string_buffer(max(size, 1))
        address = ctypes.addressof(memory)
        self._pinned[address] = memory
        return address

    def release_pinned(self, address: int) -> None:
        del self._pinned[address]

    def bytes_at(self, address: int, device: int | None = None) -> tuple[np.ndarray[Any, Any], int]:
        """The block (of this device) that holds an address, and the offset in it.

        Raises:
            RuntimeError: where the address is in no block.
        """
        with self._lock:
            k = bisect.bisect_right(self._starts, address) - 1
            start = self._starts[k] if k >= 0 else 0
            block, home = self._blocks.get(start), self._homes.get(start)
        if block is None or address - start > block.size or device not in (None, home):
            raise RuntimeError(f"address {address:#x} is not in the memory of the simulated device")
        return block, address - start

    def load(self, device: int, kernel: Any) -> Any:
        from .. import simulator

        return simulator.Program(kernel.function(), kernel.signature())

    def launch(self, device: int, stream: int, loaded: Any, grid: Any, block: Any, shared: int, arguments: tuple[Any, ...]) -> None:
        with self._running:
            loaded.run(grid, block, shared, arguments, functools.partial(self.bytes_at, device=device))

    def copy(self, device: int, stream: int, to: int, source: int, size: int, kind: str) -> None:
        if size:
            target = device if kind != "between" else self.holder(to)
            source = self._host(source, size, device) if kind != "to device" else source
            ctypes.memmove(self._host(to, size, target) if kind != "to host" else to, source, size)

    def fill(self, device: int, stream: int, address: int, byte: int, size: int) -> None:
        if size:
            ctypes.memset(self._host(address, size, device), byte, size)

    def _host(self, address: int, size: int, device: int) -> int:
        block, offset = self.bytes_at(address, device)
        if offset + size > block.size:
            raise RuntimeError(f"{size} bytes at {address:#x} go beyond their block of {block.size} bytes")
        return int(block.ctypes.data) + offset

    def new_stream(self, device: int, priority: int) -> int:
        return next(self._names)

    def release_stream(self, device: int, stream: int) -> None:
        pass

    def synchronize(self, device: int, stream: int | None) -> None:
        pass

    def finished(self, device: int, stream: int) -> bool:
        return True

    def new_event(self, device: int, timing: bool) -> int:
        return next(self._names)

    def release_event(self, device: int, event: int) -> None:
        self._events.pop(event, None)

    def record(self, device: int, event: int, stream: int) -> None:
        self._events[event] = time.perf_counter()

    def wait(self, device: int, event: int, stream: int) -> None:
        pass

    def reached(self, device: int, event: int) -> bool:
        return True

    def synchronize_event(self, device: int, event: int) -> None:
        pass

    def elapsed(self, device: int, start: int, end: int) -> float:
        return 1e3 * (self._events[end] - self._events[start])
