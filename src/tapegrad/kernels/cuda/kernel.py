"""Kernels: declared by what makes their Python, compiled when first launched on a device.

A family of kernels is a function of dtypes and other constants, decorated with :func:`family`, that returns the Python function and the
types of its parameters. What the compile gate and documentation need is in ``FAMILIES``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .array import CudaArray
from .context import context


class Kernel:
    """One kernel, not compiled yet.

    Attributes:
        name: for people: what made it and of what.
        threads: of a block, at most.
        key: what the cache on disk knows it by, with the source of this package: all constants that its code has.
    """

    __slots__ = ("_make", "_made", "key", "loaded", "name", "threads")

    def __init__(self, name: str, make: Callable[[], tuple[Callable[..., Any], str]], threads: int = 1024, key: str = "") -> None:
        self.name = name
        self.key = key or name
        self.threads = threads
        self.loaded: dict[int, Any] = {}  # by device
        self._make = make
        self._made: tuple[Callable[..., Any], str] | None = None

    def _both(self) -> tuple[Callable[..., Any], str]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def function(self) -> Callable[..., Any]:
        """The Python that is compiled."""
        return self._both()[0]

    def signature(self) -> list[str]:
        """The types of its parameters."""
        return self._both()[1].split()

    def launch(self, blocks: int | tuple[int, ...], threads: int | tuple[int, ...], *arguments: Any, shared: int = 0) -> None:
        """Run on the current device and stream: arrays are passed by address, None as 0, ints and floats by value."""
        loaded = self.loaded.get(context.device)
        if loaded is None:
            loaded = self.loaded[context.device] = context.driver.load(context.device, self)
        grid = (blocks, 1, 1) if blocks.__class__ is int else blocks
        block = (threads, 1, 1) if threads.__class__ is int else threads
        values = tuple([x.address if x.__class__ is CudaArray else 0 if x is None else x for x in arguments])
        context.driver.launch(context.device, context.stream, loaded, grid, block, shared, values)


class Family(NamedTuple):
    """Kernels made by one function, and the constants to prove them with: name of the argument -> its values."""

    make: Callable[..., Kernel]
    over: dict[str, Sequence[Any]]

    def members(self) -> Iterator[Kernel]:
        """One kernel for each combination."""
        for values in itertools.product(*self.over.values()):
            yield self.make(**dict(zip(self.over, values, strict=True)))


FAMILIES: dict[str, Family] = {}


def family(threads: int = 1024, **over: Sequence[Any]) -> Callable[[Callable[..., tuple[Callable[..., Any], str]]], Callable[..., Kernel]]:
    """Declare a family; the decorated function makes a :class:`Kernel`, the same one for the same constants.

    Args:
        threads: of a block, at most, which the compiler divides the registers by.
        over: the constants' values that CI compiles, by argument.
    """

    def decorate(build: Callable[..., tuple[Callable[..., Any], str]]) -> Callable[..., Kernel]:
        name = f"{build.__module__.partition('kernels.cuda.')[2]}.{build.__name__}"

        @functools.cache
        @functools.wraps(build)
        def make(*constants: Any, **named: Any) -> Kernel:
            said = ", ".join([*map(str, constants), *[f"{k}={v}" for k, v in named.items()]])
            return Kernel(f"{name}({said})", lambda: build(*constants, **named), threads)

        FAMILIES[name] = Family(make, over)
        return make

    return decorate
