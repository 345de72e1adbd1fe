"""Which device and which stream this thread's work goes to."""

from __future__ import annotations

import functools
import threading
from typing import Any

from .drivers import Driver, Properties, driver
from .drivers.thread import DEVICE, STREAM, thread_words


class Context(threading.local):
    """This thread's device and, of each device, its stream (0: the default one).

    ``device``, ``stream`` and ``driver`` are what a launch needs; ``streams`` remembers those of other devices. ``only`` is of all threads:
    the one device that arrays were made on, if it is one.
    """

    only: int | None = None

    def __init__(self) -> None:
        self.driver: Driver = driver()
        self.device = 0
        self.stream = 0
        self.streams: dict[int, int] = {}
        self._words = thread_words()  # where native code finds device and stream

    def use(self, device: int, stream: int | None = None) -> None:
        """Make a device current, with this stream or the one it had."""
        self.streams[self.device] = self.stream
        if stream is not None:
            self.streams[device] = stream
        self.device, self.stream = device, self.streams.get(device, 0)
        self._words[DEVICE], self._words[STREAM] = self.device, self.stream

    @classmethod
    def used(cls, device: int) -> None:
        """Note that there are, or will be, arrays on a device."""
        cls.only = device if cls.only in (None, device) else -1

    def stream_of(self, device: int) -> int:
        """The stream that this thread's work on a device goes to."""
        return self.stream if device == self.device else self.streams.get(device, 0)


context = Context()


@functools.cache
def properties(device: int) -> Properties:
    """What is known of a device."""
    return context.driver.properties(device)


def blocks_for(units: int, threads: int, per_multiprocessor: int = 8) -> int:
    """How many blocks of ``threads`` a grid-stride loop over ``units`` wants: what the device runs at a time, at most."""
    return max(1, min(-(-units // threads), properties(context.device).multiprocessors * per_multiprocessor))


class on_device:
    """Make a device current; a context manager."""

    __slots__ = ("_before", "_number")

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None:
        self._before = context.device
        if self._before != self._number:
            context.use(self._number)

    def __exit__(self, *error: object) -> None:
        if self._before != context.device:
            context.use(self._before)


def spans(n: int, tile: int, per_multiprocessor: int) -> tuple[int, int]:
    """How n elements are shared by blocks, a span of neighbours each: the size of a span, a multiple of ``tile``, and how many there are."""
    most = properties(context.device).multiprocessors * per_multiprocessor
    span = -(-n // (most * tile)) * tile
    return span, -(-n // span)


def synchronize(device: int | None = None) -> Any:
    """Wait until a device has done all that it was given."""
    from .errors import check

    number = context.device if device is None else device
    context.driver.synchronize(number, None)
    check(number, None)
