"""Python functions to machine code of a GPU: the one place that knows numba-cuda, which compiles and does nothing else."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

_lock = threading.RLock()  # numba-cuda compiles for one architecture at a time
_ENTRY = re.compile(r"\.visible\s+\.entry\s+(\w+)\(")
_REGISTERS, _SPILLS = re.compile(r"Used (\d+) registers"), re.compile(r"(\d+) bytes spill (?:stores|loads)")
_STACK = re.compile(r"(\d+) bytes stack frame")


class Code(NamedTuple):
    """A compiled kernel: the name of its entry, its machine code, and what the assembler says of it."""

    entry: str
    cubin: bytes
    ptx: str
    registers: int
    spilled: int  # bytes
    stack: int  # bytes


def compile_kernel(
    function: Callable[..., Any], signature: Sequence[str], architectures: Sequence[tuple[int, int]], threads: int | tuple[int, int] = 0
) -> dict[tuple[int, int], Code]:
    """A kernel for each architecture (compute capability), from one intermediate form made for the oldest of them.

    Args:
        function: Python, in the words of ``language``.
        signature: the types of its parameters: "int64", "float32", "float32*", ...
        architectures: such as (9, 0).
        threads: of a block, at most; 0 for any number. Fewer leave more registers to each. Or these and how many blocks a multiprocessor
            is to have registers for.
    """
    entry, ptx = compile_ptx(function, signature, min(architectures), threads)
    with _lock:
        return {arch: _assembled(entry, ptx, arch) for arch in architectures}


def compile_ptx(
    function: Callable[..., Any], signature: Sequence[str], capability: tuple[int, int], threads: int | tuple[int, int] = 0
) -> tuple[str, str]:
    """The name of a kernel's entry, and the intermediate form, for GPUs of this compute capability and newer ones."""
    from .deferred import linked
    from .toolchain import cuda, types

    def type_of(name: str) -> Any:
        found = getattr(types, name.rstrip("*"))
        return types.CPointer(found) if name.endswith("*") else found

    options = {"launch_bounds": threads} if threads else {}
    with _lock, _compiling_for(capability), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ptx, _ = cuda.compile(linked(function), types.void(*map(type_of, signature)), device=False, abi="numba", cc=capability, **options)
    entry = _ENTRY.search(ptx)
    assert entry is not None
    return entry[1], ptx


@contextmanager
def _compiling_for(capability: tuple[int, int]) -> Iterator[None]:
    """numba-cuda asks the current device what functions that a kernel calls are compiled for; there may be none, or another."""
    from .toolchain import dispatcher

    class Target:
        compute_capability = capability

    before = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: Target
    try:
        yield
    finally:
        dispatcher.get_current_device = before


def _assembled(entry: str, ptx: str, capability: tuple[int, int]) -> Code:
    from cuda.bindings import nvjitlink

    major, minor = capability
    handle = nvjitlink.create(3, [f"-arch=sm_{major}{minor}", "-verbose", "-O3"])
    try:
        source = ptx.encode()
        try:
            nvjitlink.add_data(handle, nvjitlink.InputType.PTX, source, len(source), entry[:32])
            nvjitlink.complete(handle)
        except nvjitlink.nvJitLinkError as error:
            log = bytearray(nvjitlink.get_error_log_size(handle))
            nvjitlink.get_error_log(handle, log)
            old = f" (a GPU of compute capability 8.0 or newer is needed, this one has {major}.{minor})" if capability < (8, 0) else ""
            raise RuntimeError(f"assembling {entry[:60]} failed{old}: {log.decode(errors='replace')}") from error
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
        cubin = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, cubin)
    finally:
        nvjitlink.destroy(handle)
    said = log.decode(errors="replace")

    def most(pattern: re.Pattern[str]) -> int:
        return max(map(int, pattern.findall(said)), default=0)

    return Code(entry, bytes(cubin), ptx, most(_REGISTERS), most(_SPILLS), most(_STACK))
