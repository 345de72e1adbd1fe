"""Compiled kernels, by what they are made of: in this process, and on disk, from where a kernel comes without Numba.

An entry is named by a hash of everything that shapes its code: the kernel's key (its family and constants, or its generated source), the
source of the modules it is built from and of those that compile it, the GPU's compute capability, and the versions of what compiles.
"""

from __future__ import annotations

import functools
import hashlib
import os
from importlib import metadata
from typing import Any

from .. import store
from . import compiler
from .compiler import Code

statistics = {"compiled": 0, "loaded": 0}
_codes: dict[str, Code] = {}
_COMPILERS = (
    "numba-cuda", "llvmlite", "cuda-bindings", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12",
)  # fmt: skip
_SETTINGS = ("NUMBA_OPT", "NUMBA_DEBUGINFO", "NUMBA_CUDA_DEBUGINFO", "CUDA_HOME", "CUDA_PATH")


def code(kernel: Any, capability: tuple[int, int]) -> Code:
    """The machine code of a kernel for a GPU of this compute capability; without its PTX when it comes from disk."""
    name = _entry_name(kernel.module, kernel.key, kernel.threads, capability)
    found = _codes.get(name)
    if found is None:
        with store.lock:
            found = _codes.get(name) or _read(name) or _compiled(name, kernel, capability)
            _codes[name] = found
    return found


def ptx(kernel: Any, capability: tuple[int, int]) -> str:
    """The intermediate form of a kernel, for a driver that runs that."""
    name = _entry_name(kernel.module, f"PTX of {kernel.key}", kernel.threads, capability)
    with store.lock:
        found = store.read(name)
        if found is not None:
            statistics["loaded"] += 1
            return found[1].decode()
        with store.compiling():
            entry, text = compiler.compile_ptx(kernel.function(), kernel.signature(), capability, kernel.threads)
        statistics["compiled"] += 1
        store.write(name, {"entry": entry}, text.encode())
        return text


def _compiled(name: str, kernel: Any, capability: tuple[int, int]) -> Code:
    with store.compiling():
        made = compiler.compile_kernel(kernel.function(), kernel.signature(), [capability], kernel.threads)[capability]
    statistics["compiled"] += 1
    store.write(name, {"entry": made.entry, "registers": made.registers, "spilled": made.spilled, "stack": made.stack}, made.cubin)
    return made._replace(ptx="")


def _read(name: str) -> Code | None:
    found = store.read(name)
    if found is None:
        return None
    meta, cubin = found
    try:
        made = Code(str(meta["entry"]), cubin, "", *[int(meta[key]) for key in ("registers", "spilled", "stack")])
    except (LookupError, TypeError, ValueError):
        return None
    if not cubin.startswith(b"\x7fELF"):
        return None
    statistics["loaded"] += 1
    return made


@functools.cache
def _environment() -> bytes:
    """What all entries of this process share: the versions of what compiles."""
    settings = {name: os.environ.get(name) for name in _SETTINGS}
    return hashlib.sha256(repr((store.numba_version(), {name: _version(name) for name in _COMPILERS}, settings)).encode()).digest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


@functools.cache
def _source(module: str) -> bytes:
    return store.source(compiler.__name__) + store.source(module)


def _entry_name(module: str, key: str, threads: int | tuple[int, int], capability: tuple[int, int]) -> str:
    made_of = repr(("cuda", module, key, threads, capability)).encode()
    return hashlib.sha256(_environment() + _source(module) + made_of).hexdigest()
