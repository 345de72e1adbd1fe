"""A driver of a device that isn't there: it keeps books of memory, streams and events, and runs nothing."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

from . import OutOfMemory, Properties
from .calls import Called

_FIRST = 1 << 40


class Null(Called):
    """Notes everything in ``log``, as tuples (what, ...); allocations beyond ``total`` bytes fail."""

    exact = False

    def __init__(self, total: int = 1 << 30, devices: int = 2) -> None:
        super().__init__()
        self.total = total
        self.devices = devices
        self.log: list[tuple[Any, ...]] = []
        self.blocks: dict[int, dict[int, int]] = {device: {} for device in range(devices)}  # address -> size
        self.events: dict[int, int] = {}  # event -> when it was recorded
        self._addresses = itertools.count(_FIRST, 1 << 36)
        self._pinned: dict[int, Any] = {}
        self._names = itertools.count(1)

    def count(self) -> int:
        return self.devices

    def missing(self) -> str:
        return ""

    def properties(self, device: int) -> Properties:
        return Properties("null", (9, 0), 2, self.total, 48 << 10, 1 << 20)

    def memory(self, device: int) -> tuple[int, int]:
        return self.total - sum(self.blocks[device].values()), self.total

    def allocate(self, device: int, size: int) -> int:
        if size > self.memory(device)[0]:
            raise OutOfMemory
        address = next(self._addresses)
        self.blocks[device][address] = size
        self.log.append(("allocate", device, size))
        return address

    def release(self, device: int, address: int) -> None:
        self.log.append(("release", device, self.blocks[device].pop(address)))

    def holder(self, address: int) -> int:
        return next((device for device, blocks in self.blocks.items() for start, size in blocks.items() if start <= address < start + size), 0)

    def pinned(self, size: int) -> int:
        memory = ctypes.create_string_buffer(size)
        self._pinned[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def release_pinned(self, address: int) -> None:
        del self._pinned[address]
        self.log.append(("release pinned", address))

    def load(self, device: int, kernel: Any) -> Any:
        return kernel

    def launch(self, device: int, stream: int, loaded: Any, grid: Any, block: Any, shared: int, arguments: tuple[Any, ...]) -> None:
        self.log.append(("launch", device, stream, loaded.name, grid, block, arguments))

    def copy(self, device: int, stream: int, to: int, source: int, size: int, kind: str) -> None:
        self.log.append(("copy", device, stream, size, kind))

    def fill(self, device: int, stream: int, address: int, byte: int, size: int) -> None:
        self.log.append(("fill", device, stream, byte, size))

    def new_stream(self, device: int, priority: int) -> int:
        return next(self._names)

    def release_stream(self, device: int, stream: int) -> None:
        self.log.append(("release stream", device, stream))

    def synchronize(self, device: int, stream: int | None) -> None:
        self.log.append(("synchronize", device, stream))

    def finished(self, device: int, stream: int) -> bool:
        return True

    def new_event(self, device: int, timing: bool) -> int:
        return next(self._names)

    def release_event(self, device: int, event: int) -> None:
        self.events.pop(event, None)

    def record(self, device: int, event: int, stream: int) -> None:
        self.log.append(("record", device, event, stream))
        self.events[event] = len(self.log)

    def wait(self, device: int, event: int, stream: int) -> None:
        self.log.append(("wait", device, event, stream))

    def reached(self, device: int, event: int) -> bool:
        return True

    def synchronize_event(self, device: int, event: int) -> None:
        self.log.append(("synchronize event", device, event))

    def elapsed(self, device: int, start: int, end: int) -> float:
        return float(self.events[end] - self.events[start])
