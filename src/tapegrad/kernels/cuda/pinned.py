"""Pinned memory of the host, which a GPU copies from and to while the host goes on: NumPy arrays on blocks that are kept by size."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .context import context

_LEAST = 512  # bytes of a block; all have powers of two


class Pinned:
    """Pinned memory, given back when no array lies on it any more; NumPy arrays on it have it as their base."""

    __slots__ = ("__array_interface__", "__weakref__", "_uses", "address", "room")

    def __init__(self, address: int, room: int) -> None:
        self.address, self.room = address, room
        self._uses: tuple[tuple[int, int], ...] = ()
        self.__array_interface__ = {"shape": (room,), "typestr": "|u1", "data": (address, False), "version": 3}

    def used_on(self, device: int, stream: int) -> None:
        """Note that a copy of this stream uses it: nobody gets it before what the stream has when it dies is done."""
        if (device, stream) not in self._uses:
            self._uses += ((device, stream),)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing():
            _pool.take_back(self.address, self.room, self._uses)


class _Pool:
    def __init__(self) -> None:
        self.free: dict[int, list[int]] = {}
        self.waiting: list[tuple[int, int, list[tuple[int, int]]]] = []  # address, size, (device, event)
        self._lock = threading.RLock()  # a finalizer may run in the middle of an allocation

    def allocate(self, size: int) -> Pinned:
        room = max(_LEAST, 1 << (size - 1).bit_length())
        with self._lock:
            if self.waiting:
                self._collect()
            addresses = self.free.get(room)
            return Pinned(addresses.pop() if addresses else context.driver.pinned(room), room)

    def take_back(self, address: int, room: int, uses: tuple[tuple[int, int], ...]) -> None:
        driver, events = context.driver, []
        with self._lock:
            for device, stream in uses:
                event = driver.new_event(device, False)
                driver.record(device, event, stream)
                events.append((device, event))
            self.waiting.append((address, room, events))

    def _collect(self) -> None:
        driver = context.driver
        waiting, self.waiting = self.waiting, []
        for address, room, events in waiting:
            if all(driver.reached(device, event) for device, event in events):
                for device, event in events:
                    driver.release_event(device, event)
                self.free.setdefault(room, []).append(address)
            else:
                self.waiting.append((address, room, events))

    def release_unused(self) -> None:
        with self._lock:
            self._collect()
            free, self.free = self.free, {}
        for addresses in free.values():
            for address in addresses:
                context.driver.release_pinned(address)


_pool = _Pool()
release_unused = _pool.release_unused


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An array of the host in pinned memory, with arbitrary contents."""
    size = math.prod(shape) * dtype.itemsize
    return np.asarray(_pool.allocate(max(size, 1)))[:size].view(dtype).reshape(shape)


def copied(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy of an array of the host in pinned memory."""
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


def memory_of(array: Any) -> Pinned | None:
    """The pinned memory that an array of the host lies in, if it does."""
    while array is not None and array.__class__ is not Pinned:
        array = getattr(array, "base", None)
    return array  # type: ignore[no-any-return]
