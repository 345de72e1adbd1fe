"""Kernels: declared by what makes their Python, compiled when first launched on a device.

A family of kernels is a function of dtypes and other constants, decorated with :func:`family`, that returns the Python function and the
types of its parameters. What the compile gate and documentation need is in ``FAMILIES``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..device_errors import ApartError
from . import recording, state
from .array import CudaArray
from .context import context
from .launching import launched

# What parameters are, or point to; 16-bit floats are read as uint16 (see ``elements``).
PARAMETERS = frozenset("int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split())


class Kernel:
    """One kernel, not compiled yet.

    Attributes:
        name: for people: what made it and of what.
        threads: of a block, at most; or these and how many blocks a multiprocessor is to have registers for.
        key: what the cache on disk knows it by, with the source of its module: all constants and generated text that its code has, and
            its signature where those don't say it.
        module: the name of the module that makes it.
    """

    __slots__ = ("_made", "_make", "handles", "key", "module", "name", "threads")

    def __init__(
        self, name: str, make: Callable[[], tuple[Callable[..., Any], str]], threads: int | tuple[int, int] = 1024, key: str = "", module: str = ""
    ) -> None:
        self.name = name
        self.key = key or name
        self.module = module or make.__module__
        self.threads = threads
        self.handles: dict[int, tuple[int, Any]] = {}  # by device: as it is launched, and what keeps that
        self._make = make
        self._made: tuple[Callable[..., Any], str] | None = None

    def _both(self) -> tuple[Callable[..., Any], str]:
        if self._made is None:
            function, types = self._make()
            if unknown := [name for name in types.split() if name.rstrip("*") not in PARAMETERS]:
                raise TypeError(f"{self.name} can't be compiled: no kernel takes {unknown[0]}")  # the simulator would
            self._made = function, types
        return self._made

    def function(self) -> Callable[..., Any]:
        """The Python that is compiled."""
        return self._both()[0]

    def signature(self) -> list[str]:
        """The types of its parameters."""
        return self._both()[1].split()

    def handle_on(self, device: int) -> int:
        """The kernel as native code launches it on a device; compiled where that is needed."""
        found = self.handles.get(device)
        if found is None:
            state.start()
            loaded = context.driver.load(device, self)
            found = self.handles.setdefault(device, (context.driver.handle(loaded), loaded))  # the first thread's: plans may have it
        return found[0]

    def launch(self, blocks: int | tuple[int, ...], threads: int | tuple[int, ...], *arguments: Any, shared: int = 0) -> None:
        """Run on the current device and stream: arrays are passed by address, None as 0, ints and floats by value.

        Raises:
            ApartError: for arrays of another device.
        """
        found = self.handles.get(context.device)
        handle = self.handle_on(context.device) if found is None else found[0]
        if context.only != context.device:
            _need_here(arguments)
        if recording.recorders:
            recording.launched(self, handle, blocks, threads, shared, arguments)
        try:
            launched(handle, blocks, threads, shared, *arguments)
        except RuntimeError as error:
            error.add_note(f"in the launch of {self.name}: grid {blocks}, block {threads}, {shared} bytes of dynamic shared memory")
            raise


def _need_here(arguments: Sequence[Any]) -> None:
    for x in arguments:
        if x.__class__ is CudaArray and x.device != context.device:
            raise ApartError(f"an array of shape {x.shape} is on cuda:{x.device}, and work goes to cuda:{context.device}")


def from_text(text: str, scope: dict[str, Any], what: str = "kernel", name: str = "kernel") -> Any:
    """The function ``name`` that Python text defines, which may use what is in ``scope``; tracebacks call the text ``what``."""
    exec(compile(text, f"<tapegrad CUDA {what}>", "exec"), scope)
    return scope[name]


class Family(NamedTuple):
    """Kernels made by one function, and the constants to prove them with: name of the argument -> its values."""

    make: Callable[..., Kernel]
    over: dict[str, Sequence[Any]]
    vectors: bool = False
    doubles: bool = False
    local: bool = False

    def members(self) -> Iterator[Kernel]:
        """One kernel for each combination."""
        for values in itertools.product(*self.over.values()):
            yield self.make(**dict(zip(self.over, values, strict=True)))


FAMILIES: dict[str, Family] = {}


def family(
    threads: int | tuple[int, int] = 1024, *, vectors: bool = False, doubles: bool = False, local: bool = False, **over: Sequence[Any]
) -> Callable[[Callable[..., tuple[Callable[..., Any], str]]], Callable[..., Kernel]]:
    """Declare a family; the decorated function makes a :class:`Kernel`, the same one for the same constants.

    What CI holds it to: no spilled registers, and

    Args:
        threads: of a block, at most, which the compiler divides the registers by; or these and how many blocks a multiprocessor is to
            have registers for.
        vectors: some member reads or writes several elements at a time.
        doubles: members may compute in double precision though none of their dtypes is.
        local: members may keep arrays in local memory.
        over: the constants' values that CI compiles, by argument.
    """

    def decorate(build: Callable[..., tuple[Callable[..., Any], str]]) -> Callable[..., Kernel]:
        name = f"{build.__module__.partition('kernels.cuda.')[2]}.{build.__name__}"

        @functools.cache
        @functools.wraps(build)
        def make(*constants: Any, **named: Any) -> Kernel:
            said = ", ".join([*map(str, constants), *[f"{k}={v}" for k, v in named.items()]])
            key = f"{name}{constants!r}{sorted(named.items())!r}"  # 1 is another constant than "1"
            return Kernel(f"{name}({said})", lambda: build(*constants, **named), threads, key, build.__module__)

        FAMILIES[name] = Family(make, over, vectors, doubles, local)
        return make

    return decorate
