"""Which device and which stream this thread's work goes to."""

from __future__ import annotations

import functools
import threading
from typing import Any

from .drivers import Driver, Properties, driver


class Context(threading.local):
    """This thread's device and, of each device, its stream (0: the default one).

    ``device``, ``stream`` and ``driver`` are what a launch needs; ``streams`` remembers those of other devices.
    """

    def __init__(self) -> None:
        self.driver: Driver = driver()
        self.device = 0
        self.stream = 0
        self.streams: dict[int, int] = {}

    def use(self, device: int, stream: int | None = None) -> None:
        """Make a device current, with this stream or the one it had."""
        self.streams[self.device] = self.stream
        if stream is not None:
            self.streams[device] = stream
        self.device, self.stream = device, self.streams.get(device, 0)


context = Context()


@functools.cache
def properties(device: int) -> Properties:
    """What is known of a device."""
    return context.driver.properties(device)


def blocks_for(units: int, threads: int, per_multiprocessor: int = 8) -> int:
    """How many blocks of ``threads`` a grid-stride loop over ``units`` wants: what the device runs at a time, at most."""
    return max(1, min(-(-units // threads), properties(context.device).multiprocessors * per_multiprocessor))


def synchronize(device: int | None = None) -> Any:
    """Wait until a device has done all that it was given."""
    context.driver.synchronize(context.device if device is None else device, None)
