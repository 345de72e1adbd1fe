"""Streams, which a GPU works through side by side, and events, which order and time what is in them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
from collections.abc import Iterator
from typing import Any

from ..device import device as Device
from .devices import numbered

__all__ = ["Event", "ExternalStream", "Stream", "current_stream", "default_stream", "set_stream", "stream"]

_MOST = 32  # streams of a device and a priority, which are never given back: their work may be under way, their memory is kept by their name


@functools.cache
def _turns(device: int, priority: int) -> Any:
    return itertools.cycle(range(_MOST))


@functools.cache
def _handle(device: int, priority: int, turn: int) -> int:
    return int(_driver().new_stream(device, priority))


def _driver() -> Any:
    from ..kernels.cuda.context import context

    return context.driver


class Stream:
    """A sequence of work of a GPU, beside its default stream. There are 32 of them; more share those.

    Memory of a tensor made in one stream and used in another must be kept until that is done: ``tensor.record_stream(stream)`` does it.
    """

    def __init__(self, device: Any = None, priority: int = 0, **options: Any) -> None:
        self.device_index = numbered(device)
        self.priority = priority
        self.cuda_stream = _handle(self.device_index, priority, next(_turns(self.device_index, priority)))

    @property
    def device(self) -> Device:
        """The GPU."""
        return Device("cuda", self.device_index)

    def synchronize(self) -> None:
        """Wait until all that it was given is done."""
        _driver().synchronize(self.device_index, self.cuda_stream)

    def query(self) -> bool:
        """Whether all that it was given is done."""
        return bool(_driver().finished(self.device_index, self.cuda_stream))

    def record_event(self, event: Event | None = None) -> Event:
        """An event, a new one by default, that is reached when all that it was given is done."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what it is given from here on wait for an event; the host does not wait."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Let what it is given from here on wait for all that another stream was given."""
        self.wait_event(stream.record_event())

    def __enter__(self) -> Stream:
        self._entered = [*getattr(self, "_entered", ()), stream(self)]
        self._entered[-1].__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device_index, self.cuda_stream) == (other.device_index, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.device_index, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<tapegrad.cuda.Stream device=cuda:{self.device_index} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """A stream of another library, by its address, which that keeps alive."""

    def __init__(self, stream_ptr: int, device: Any = None, **options: Any) -> None:
        self.device_index, self.priority, self.cuda_stream = numbered(device), 0, int(stream_ptr)


class Event:
    """A mark in a stream: to wait for, and, with ``enable_timing``, to measure from or to."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self.enable_timing = enable_timing
        self.device_index: int | None = None
        self.cuda_event = 0

    @property
    def device(self) -> Device | None:
        """The GPU that it was recorded on, if it was."""
        return None if self.device_index is None else Device("cuda", self.device_index)

    def record(self, stream: Stream | None = None) -> None:
        """Put it behind what a stream, the current one by default, was given.

        Raises:
            RuntimeError: when it was recorded on another GPU.
        """
        stream = current_stream() if stream is None else stream
        if self.device_index is None:
            driver = _driver()
            self.device_index, self.cuda_event = stream.device_index, driver.new_event(stream.device_index, self.enable_timing)
            weakref.finalize(self, driver.release_event, self.device_index, self.cuda_event).atexit = False
        elif self.device_index != stream.device_index:
            raise RuntimeError(f"an event of cuda:{self.device_index} can't be recorded on cuda:{stream.device_index}")
        _driver().record(self.device_index, self.cuda_event, stream.cuda_stream)

    def wait(self, stream: Stream | None = None) -> None:
        """Let what a stream, the current one by default, is given from here on wait for it."""
        stream = current_stream() if stream is None else stream
        if self.device_index is not None:
            _driver().wait(stream.device_index, self.cuda_event, stream.cuda_stream)

    def query(self) -> bool:
        """Whether what was before it is done; also when it was never recorded."""
        return self.device_index is None or bool(_driver().reached(self.device_index, self.cuda_event))

    def synchronize(self) -> None:
        """Wait until what was before it is done."""
        if self.device_index is not None:
            _driver().synchronize_event(self.device_index, self.cuda_event)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from here to another event. Both must be reached: synchronize first.

        Raises:
            ValueError: when one of them was not recorded, or not made with ``enable_timing=True``.
        """
        for event in (self, end_event):
            if event.device_index is None or not event.enable_timing:
                raise ValueError("elapsed_time needs events that were recorded and made with enable_timing=True")
        return float(_driver().elapsed(self.device_index, self.cuda_event, end_event.cuda_event))

    def __repr__(self) -> str:
        return f"<tapegrad.cuda.Event {'not recorded' if self.device_index is None else f'device=cuda:{self.device_index}'}>"


def current_stream(device: Any = None) -> Stream:
    """The stream that this thread's work on a GPU goes to."""
    from ..kernels.cuda.context import context

    number = numbered(device)
    return ExternalStream(context.stream_of(number), number)


def default_stream(device: Any = None) -> Stream:
    """The stream that work goes to unless told otherwise."""
    return ExternalStream(0, device)


def set_stream(stream: Stream) -> None:
    """Let this thread's work go to a stream, and to its GPU."""
    from ..kernels.cuda.context import context

    context.use(stream.device_index, stream.cuda_stream)


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """``with stream(s):`` lets this thread's work go to a stream, and to its GPU, for a while; None changes nothing."""
    from ..kernels.cuda.context import context

    if stream is None:
        yield
        return
    device, before = context.device, context.stream_of(stream.device_index)
    context.use(stream.device_index, stream.cuda_stream)
    try:
        yield
    finally:
        context.use(stream.device_index, before)
        context.use(device)
