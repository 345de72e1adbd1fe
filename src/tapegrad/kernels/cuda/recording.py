"""What a function does while it runs: the kernels that it launches, and the arrays that it makes. ``planned`` makes plans of that."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from . import state
from .context import context

R = TypeVar("R")
recorders: list[Recorder] = []  # of all threads


KERNEL, FILLED, PRODUCT = range(3)  # what a launch is


class Launch(NamedTuple):
    """A kernel that was launched, bytes that were filled (``sizes``: the byte and how many), or a product by cuBLAS (``handle``: its
    function's address; ``arguments``: all but cuBLAS's handle)."""

    kind: int
    what: Any
    handle: int
    sizes: tuple[int, ...]
    arguments: tuple[Any, ...]


class Recorder:
    """What this thread does; a context manager.

    Attributes:
        launches, made: of what it does, and the arrays that it makes.
        lasting: arrays of others that live until the process ends.
        noted: kernels may note errors.
        mode: that products need cuBLAS to be in, if there are any.
        lost: it did something else, too, which can't be done again without Python.
    """

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.made: list[Any] = []
        self.lasting: list[Any] = []
        self.noted = self.lost = False
        self.mode: int | None = None
        self.thread = threading.get_ident()

    def __enter__(self) -> Recorder:
        recorders.append(self)
        state.block[state.RECORDERS] = len(recorders)
        self._driver = context.driver
        context.driver = _Watched(self._driver, self)  # type: ignore[assignment]
        return self

    def __exit__(self, *error: object) -> None:
        context.driver = self._driver
        recorders.remove(self)
        state.block[state.RECORDERS] = len(recorders)


_HARMLESS = {"count", "properties", "memory", "load", "handle", "activate", "exact", "described", "missing", "functions"}


class _Watched:
    """A driver; what is asked of it beside launches can't be planned."""

    def __init__(self, driver: Any, recorder: Recorder) -> None:
        self._driver, self._recorder = driver, recorder

    def __getattr__(self, name: str) -> Any:
        if name not in _HARMLESS:
            self._recorder.lost = True
        return getattr(self._driver, name)


def current() -> Recorder | None:
    """This thread's recorder, the innermost."""
    if not recorders:
        return None
    thread = threading.get_ident()
    return next((r for r in reversed(recorders) if r.thread == thread), None)


@contextlib.contextmanager
def unnoted() -> Iterator[None]:
    """Let what is done once for the whole process be no part of what a function does."""
    recorder = current()
    if recorder is not None:
        recorder.__exit__()
    try:
        yield
    finally:
        if recorder is not None:
            recorder.__enter__()


def lasting_tables(function: Callable[..., R]) -> Callable[..., R]:
    """A decorator for what makes constant arrays, alone or in a tuple: the results are kept, and plans may point to them."""
    cached = functools.lru_cache(maxsize=1024)(function)

    @functools.wraps(function)
    def find(*args: Any) -> R:
        if not recorders:
            return cached(*args)
        with unnoted():
            found = cached(*args)
        for x in found if isinstance(found, tuple) else (found,):
            lasting(x)
        return found

    return find


def lose() -> None:
    """Say that something is done that can't be done again without Python."""
    recorder = current()
    if recorder is not None:
        recorder.lost = True


def launched(kernel: Any, handle: int, blocks: Any, threads: Any, shared: int, arguments: tuple[Any, ...]) -> None:
    """Note a launch."""
    recorder = current()
    if recorder is not None:
        sizes = [(*((x,) if x.__class__ is int else x), 1, 1)[:3] for x in (blocks, threads)]
        recorder.launches.append(Launch(KERNEL, kernel, handle, (*sizes[0], *sizes[1], shared), arguments))


def filled(array: Any, byte: int) -> None:
    """Note that all bytes of an array are set."""
    recorder = current()
    if recorder is not None:
        recorder.launches.append(Launch(FILLED, None, 0, (byte, array.nbytes), (array,)))


def product(function: Any, address: int, mode: int, arguments: tuple[Any, ...]) -> None:
    """Note a product by cuBLAS."""
    recorder = current()
    if recorder is not None:
        recorder.lost = recorder.lost or recorder.mode not in (None, mode)
        recorder.mode = mode
        recorder.launches.append(Launch(PRODUCT, function, address, (0,) * 7, arguments))


def made(array: Any) -> None:
    """Note a new array."""
    recorder = current()
    if recorder is not None:
        recorder.made.append(array)


def lasting(array: Any) -> None:
    """Say of an array that is launched that it lives until the process ends."""
    recorder = current()
    if recorder is not None:
        recorder.lasting.append(array)


def notes() -> None:
    """Say that a kernel to be launched may note errors."""
    recorder = current()
    if recorder is not None:
        recorder.noted = True
