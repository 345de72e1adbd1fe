"""The caching allocator: pieces of device memory that are kept, by size, for the stream they were used on.

A piece that a tensor lets go may still be in use by work that its stream has not done; the next tensor of the same stream may have it at
once, since that stream's work comes later. What other streams do with it is known only through ``Block.used_on``, as in PyTorch.

Taking a free piece and giving it back is native code (see ``pieces``), the rest is Python's.
"""

from __future__ import annotations

import atexit
import threading
from typing import Any

import numpy as np

from ..device_errors import OutOfMemoryError as DeviceOutOfMemory
from ..native import cache
from ..native.handlers import Handler, capsule_of
from . import pieces, state
from .context import context
from .drivers import OutOfMemory, driver
from .pieces import LARGEST, MOST_DEVICES, Table, popped, pushed, rounded, taken


class Block:
    """The piece of device memory that an array has.

    Attributes:
        device, stream: whose it is.
    """

    __slots__ = ("_pool", "address", "stream")

    def __init__(self, address: int) -> None:
        piece = _pieces.rows[address,]
        self.address = address
        self._pool, self.stream = _homes[int(piece[pieces.BIN])]

    @property
    def device(self) -> int:
        return self._pool.device

    def used_on(self, stream: int) -> None:
        """Note that work of another stream uses it: nobody gets it before what that stream has when the array dies is done."""
        if stream != self.stream:
            self._pool.share(self.address, stream)


class Pool:
    """One device's memory.

    Attributes:
        reserved: bytes that are taken from the device; ``most_reserved`` is the highest since it was reset.
    """

    def __init__(self, device: int) -> None:
        state.start()
        self.device = device
        context.used(device)
        self.driver = driver()  # not one that is watched (see ``recording``)
        self.words = np.zeros(6, np.int64)
        self.words[pieces.DEVICE] = device
        self.others: dict[int, set[int]] = {}  # address -> streams, but the piece's own, whose work uses it
        self.waiting: list[tuple[int, list[int]]] = []  # addresses of dead pieces, and events of other streams
        self.reserved = self.most_reserved = 0
        self.retries = self.failures = 0
        self.pieces = 0  # of memory that are taken from the device
        self.limit = 1.0  # the share of the device's memory that may be reserved
        self._released = 0  # arrays, when counting began
        state.block[state.EXACT] = self.driver.exact
        _pools_by_number[device] = self.words.ctypes.data

    @property
    def allocated(self) -> int:
        """Bytes that tensors have."""
        return int(self.words[pieces.ALLOCATED])

    @property
    def free(self) -> dict[tuple[int, int], list[int]]:
        """The addresses of the pieces that nobody uses, by stream and size."""
        found: dict[tuple[int, int], list[int]] = {}
        for (device, stream, room), row in _bins.rows.items():
            at = int(row[pieces.HEAD]) if device == self.device else 0
            while at:
                piece = _rows[at]
                found.setdefault((stream, room), []).append(int(piece[pieces.ADDRESS]))
                at = int(piece[pieces.NEXT])
        return found

    def allocate(self, size: int) -> int:
        """The address of at least ``size`` bytes for the current stream.

        Raises:
            DeviceOutOfMemory: when the device has none left, also after unused pieces were given back to it.
        """
        if size > LARGEST:
            raise self._failure(size)
        stream = context.stream
        while True:
            if self.waiting:
                self._collect()
            address: int = taken(self.device, stream, size)
            if address:
                return address
            self._add(stream, rounded(size), size)

    def _add(self, stream: int, room: int, size: int) -> None:
        """Another free piece, from the device."""
        address = self._from_device(room, size)
        with _lock:
            home = _bins.rows.get((self.device, stream, room))
            if home is None:
                home = np.array([0, self.words.ctypes.data, stream, room], np.int64)
                _homes[home.ctypes.data] = self, stream
                _bins.add((self.device, stream, room), home)
            piece = np.array([address, home.ctypes.data, 0, 0], np.int64)
            _rows[piece.ctypes.data] = piece
            _pieces.add((address,), piece)
            self.pieces += 1
            self.reserved += room
            self.most_reserved = max(self.most_reserved, self.reserved)
        pushed(address)

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
                raise self._failure(size) from None
        return address

    def _failure(self, size: int) -> DeviceOutOfMemory:
        self.failures += 1
        free, total = self.driver.memory(self.device)
        return DeviceOutOfMemory(
            f"cuda:{self.device} is out of memory: tried to allocate {shown(size)}; of {shown(total)}, {shown(free)} are free, and this "
            f"process has {shown(self.reserved)}, of which tensors use {shown(self.allocated)}"
            + (f" (limited to {self.limit:.0%})" if self.limit < 1 else "")
        )

    def share(self, address: int, stream: int) -> None:
        """Let a piece wait for another stream when it dies."""
        with _lock:
            self.others.setdefault(address, set()).add(stream)
            _pieces.rows[address,][pieces.OTHERS] = 1

    def retire(self, address: int) -> None:
        """A piece that died, and that other streams use."""
        with _lock:
            streams = self.others.pop(address)
            self.waiting.append((address, [self._event(stream) for stream in streams]))
            self.words[pieces.WAITING] = 1

    def _event(self, stream: int) -> int:
        event = self.driver.new_event(self.device, False)
        self.driver.record(self.device, event, stream)
        return event

    def _collect(self) -> None:
        """Take the pieces whose other streams are done."""
        with _lock:
            waiting, self.waiting = self.waiting, []
            for address, events in waiting:
                if all(self.driver.reached(self.device, event) for event in events):
                    for event in events:
                        self.driver.release_event(self.device, event)
                    pushed(address)
                else:
                    self.waiting.append((address, events))
            self.words[pieces.WAITING] = bool(self.waiting)

    def release_unused(self) -> None:
        """Give pieces that nobody uses back to the device, which waits for all that it was given."""
        with _lock:
            if self.reserved:
                self.driver.synchronize(self.device, None)
            self._collect()
            gone: list[tuple[int, ...]] = []
            for (device, _, room), home in list(_bins.rows.items()):
                while device == self.device and (address := popped(home.ctypes.data)):
                    gone.append((address,))
                    self.reserved -= room
                    self.pieces -= 1
            for key in gone:
                del _rows[_pieces.rows[key].ctypes.data]
            _pieces.remove(gone)
            for key in gone:
                self.driver.release(self.device, key[0])

    def reset_peaks(self) -> None:
        """Count the highest numbers from here on."""
        with _lock:
            self.words[pieces.MOST_ALLOCATED], self.most_reserved = self.words[pieces.ALLOCATED], self.reserved

    def reset_counts(self) -> None:
        """Count allocations from here on."""
        with _lock:
            self._released = int(self.words[pieces.RELEASES])
            self.retries = self.failures = 0

    def statistics(self) -> dict[str, Any]:
        """The numbers that :func:`tapegrad.cuda.memory_stats` gives."""
        allocated, most_allocated, allocations, releases = map(int, self.words[:4])
        return {
            "allocated_bytes.all.current": allocated,
            "allocated_bytes.all.peak": most_allocated,
            "reserved_bytes.all.current": self.reserved,
            "reserved_bytes.all.peak": self.most_reserved,
            "allocation.all.current": allocations - releases,
            "allocation.all.allocated": allocations - self._released,
            "allocation.all.freed": releases - self._released,
            "segment.all.current": self.pieces,
            "inactive_split_bytes.all.current": self.reserved - allocated,
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


# Everything that native code may look at when an array dies is kept until the process ends, since that may be later than this module.
_lock = threading.RLock()  # of what Python changes; a finalizer may run in the middle of that
_rows: dict[int, Any] = {}  # pieces by the address of their words
_homes: dict[int, tuple[Pool, int]] = {}  # of a bin, by the address of its words: pool and stream
_pools: dict[int, Pool] = {}
_pools_by_number = np.zeros(MOST_DEVICES, np.int64)
_bins, _pieces = Table(state.BINS), Table(state.PIECES)
_handler = Handler(b"tapegrad_device", 1, state.address, free=cache.native_words(pieces.free))
cache.keep_until_exit(_rows, _homes, _pools, _pools_by_number, _bins, _pieces, _handler)


def _allocate(size: int) -> int:
    return pool().allocate(size)


def _retire(address: int) -> None:
    _homes[int(_pieces.rows[address,][pieces.BIN])][0].retire(address)


def _end() -> None:
    state.block[state.ENDING] = 1


state.block[state.POOLS] = _pools_by_number.ctypes.data
state.set_object(state.HANDLER, capsule_of(_handler))
state.set_object(state.ALLOCATE, _allocate)
state.set_object(state.GIVE_LATER, _retire)
atexit.register(_end)


def pool(device: int | None = None) -> Pool:
    """The memory of a device, the current one by default."""
    device = context.device if device is None else device
    found = _pools.get(device)
    if found is None:
        with _lock:
            found = _pools.get(device)
            if found is None:
                found = _pools[device] = Pool(device)
    return found


def pools() -> list[Pool]:
    """The memory of all devices used so far."""
    return list(_pools.values())
