"""The caching allocator: blocks of device memory that are kept, by size, for the stream they were used on.

A block that a tensor lets go may still be in use by work that its stream has not done; the next tensor of the same stream may have it at
once, since that stream's work comes later. What other streams do with it is known only through ``Block.used_on``, as in PyTorch.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from ..device_errors import OutOfMemoryError as DeviceOutOfMemory
from .context import context
from .drivers import OutOfMemory

_SMALL = 1 << 20  # sizes below are rounded to 512 bytes, larger ones to one of eight steps between powers of two
_STEP = 512


def rounded(size: int) -> int:
    """The size of the block that serves ``size`` bytes."""
    step = _STEP if size <= _SMALL else 1 << (size.bit_length() - 4)
    return (max(size, 1) + step - 1) // step * step


class Block:
    """Device memory, given back to the pool when nothing refers to it any more."""

    __slots__ = ("address", "device", "others", "pool", "room", "size", "stream")

    def __init__(self, pool: Pool, address: int, size: int, room: int, stream: int) -> None:
        self.pool, self.address, self.size, self.room, self.stream = pool, address, size, room, stream
        self.device = pool.device
        self.others: tuple[int, ...] = ()  # streams whose work uses it, too

    def used_on(self, stream: int) -> None:
        """Note that work of another stream uses the block: nobody gets it before what that stream has when the block dies is done."""
        if stream != self.stream and stream not in self.others:
            self.others += (stream,)

    def __del__(self) -> None:
        self.pool.take_back(self)


class Pool:
    """One device's memory.

    Attributes:
        allocated, reserved: bytes that tensors have, and that are taken from the device; ``most_allocated`` and ``most_reserved`` are the
            highest since they were reset.
    """

    def __init__(self, device: int) -> None:
        self.device = device
        context.used(device)
        self.driver = context.driver
        self.free: dict[tuple[int, int], list[int]] = {}  # (stream, size) -> addresses
        self.waiting: list[tuple[int, int, int, list[int]]] = []  # address, stream, size, events
        self.allocated = self.reserved = self.most_allocated = self.most_reserved = 0
        self.allocations = self.releases = self.retries = self.failures = 0
        self.pieces = 0  # of memory that are taken from the device
        self.limit = 1.0  # the share of the device's memory that may be reserved
        self._lock = threading.RLock()  # a finalizer may run in the middle of an allocation

    def allocate(self, size: int) -> Block:
        """A block of at least ``size`` bytes for the current stream.

        Raises:
            DeviceOutOfMemory: when the device has none left, also after unused blocks were given back to it.
        """
        stream = context.stream
        room = max(size, 1) if self.driver.exact else rounded(size)
        with self._lock:
            if self.waiting:
                self._collect()
            addresses = self.free.get((stream, room))
            address = addresses.pop() if addresses else self._from_device(room, size)
            self.allocations += 1
            self.allocated += room
            self.most_allocated = max(self.most_allocated, self.allocated)
        return Block(self, address, size, room, stream)

    def _from_device(self, room: int, size: int) -> int:
        driver = self.driver
        for attempt in (1, 2):
            try:
                if self.limit < 1 and self.reserved + room > self.limit * driver.memory(self.device)[1]:
                    raise OutOfMemory
                address = driver.allocate(self.device, room)
                break
            except OutOfMemory:
                if attempt == 1:
                    self.retries += 1
                    self.release_unused()
                    continue
                self.failures += 1
                free, total = driver.memory(self.device)
                raise DeviceOutOfMemory(
                    f"cuda:{self.device} is out of memory: tried to allocate {shown(size)}; of {shown(total)}, {shown(free)} are free, and this "
                    f"process has {shown(self.reserved)}, of which tensors use {shown(self.allocated)}"
                    + (f" (limited to {self.limit:.0%})" if self.limit < 1 else "")
                ) from None
        self.pieces += 1
        self.reserved += room
        self.most_reserved = max(self.most_reserved, self.reserved)
        return address

    def take_back(self, block: Block, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """A block that nothing refers to; called when it dies."""
        if is_finalizing():
            return
        with self._lock:
            self.allocated -= block.room
            self.releases += 1
            if block.others:
                events = [self._event(stream) for stream in block.others]
                self.waiting.append((block.address, block.stream, block.room, events))
            else:
                self.free.setdefault((block.stream, block.room), []).append(block.address)

    def _event(self, stream: int) -> int:
        event = self.driver.new_event(self.device, False)
        self.driver.record(self.device, event, stream)
        return event

    def _collect(self) -> None:
        """Take the blocks whose other streams are done."""
        waiting, self.waiting = self.waiting, []
        for address, stream, room, events in waiting:
            if all(self.driver.reached(self.device, event) for event in events):
                for event in events:
                    self.driver.release_event(self.device, event)
                self.free.setdefault((stream, room), []).append(address)
            else:
                self.waiting.append((address, stream, room, events))

    def release_unused(self) -> None:
        """Give blocks that nobody uses back to the device, which waits for all that it was given."""
        with self._lock:
            if self.reserved:
                self.driver.synchronize(self.device, None)
            self._collect()
            free, self.free = self.free, {}
            for (_, room), addresses in free.items():
                for address in addresses:
                    self.driver.release(self.device, address)
                    self.reserved -= room
                    self.pieces -= 1

    def reset_peaks(self) -> None:
        """Count the highest numbers from here on."""
        with self._lock:
            self.most_allocated, self.most_reserved = self.allocated, self.reserved

    def reset_counts(self) -> None:
        """Count allocations from here on."""
        with self._lock:
            self.allocations, self.releases = self.allocations - self.releases, 0
            self.retries = self.failures = 0

    def statistics(self) -> dict[str, Any]:
        """The numbers that :func:`tapegrad.cuda.memory_stats` gives."""
        return {
            "allocated_bytes.all.current": self.allocated,
            "allocated_bytes.all.peak": self.most_allocated,
            "reserved_bytes.all.current": self.reserved,
            "reserved_bytes.all.peak": self.most_reserved,
            "allocation.all.current": self.allocations - self.releases,
            "allocation.all.allocated": self.allocations,
            "allocation.all.freed": self.releases,
            "segment.all.current": self.pieces,
            "inactive_split_bytes.all.current": self.reserved - self.allocated,
            "num_alloc_retries": self.retries,
            "num_ooms": self.failures,
        }


def shown(size: int) -> str:
    """Bytes as a person reads them."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.2f} {unit}"
        amount /= 1024
    return f"{amount:.2f} TiB"


_pools: dict[int, Pool] = {}


def pool(device: int | None = None) -> Pool:
    """The memory of a device, the current one by default."""
    device = context.device if device is None else device
    found = _pools.get(device)
    return _pools.setdefault(device, Pool(device)) if found is None else found


def pools() -> list[Pool]:
    """The memory of all devices used so far."""
    return list(_pools.values())
