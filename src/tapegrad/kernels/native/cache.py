"""Native code: compiled once, kept as object code on disk, loaded again by llvmlite in under a millisecond.

Kernels are compiled by Numba or a small compiler of our own (``native``), what runs them by the latter (``native_words``). An entry is named by a hash
of everything that shapes its machine code: the key given by the caller (generated source and constants), the source of the modules it
is built from and of those that compile it, the CPU name and features, and the Numba, llvmlite and Python versions. It is a plain
object file with its metadata appended as JSON and a digest over both: no pickle, so a cache entry is never executed as Python.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy

from ..store import (
    clear as clear,
    compiling as _compiling,
    directory as directory,
    lock as lock,
    numba_version as _numba_version,
    read as _stored,
    size as size,
    source as _source,
    write as _write,
)

_addresses: dict[str, int] = {}
_engines: list[Any] = []  # loaded code must outlive every pointer into it
statistics = {"compiled": 0, "loaded": 0}


def native(key: str, build: Callable[[], Any], *, fastmath: Iterable[str] = (), translated: bool = False) -> int:
    """The address of a kernel, compiled by Numba, or by the translator (see ``direct``), which is quicker at long ones.

    ``build`` returns the Python function to compile; it is called only when neither this process nor the disk has the code.
    ``key`` must name every constant and generated text that ``build`` uses. ``fastmath`` are LLVM flags (CONVENTIONS: only
    ``reassoc`` inside reductions).
    """
    flags = tuple(sorted(fastmath))
    name = _entry_name(build.__module__, f"translated:{key}" if translated else key, flags)
    return _addresses.get(name) or _found_or_made(name, lambda: _compile(name, build, flags, translated))


def native_words(function: Callable[..., Any]) -> int:
    """The address of a function of 64-bit words (see ``words``), which only depends on the source of its module and of those that this imports."""
    name = _entry_name(function.__module__, f"words:{function.__qualname__}", ())
    return _addresses.get(name) or _found_or_made(name, lambda: _compile_words(name, function))


def _found_or_made(name: str, make: Callable[[], int]) -> int:
    with lock:
        if name not in _addresses:
            _addresses[name] = _read(name) or _made(make)
        return _addresses[name]


def _made(make: Callable[[], int]) -> int:
    with _compiling():
        return make()


def keep_until_exit(*objects: Any) -> None:
    """Never free these, nor any code: NumPy arrays may outlive the interpreter's modules, and call code when they die."""
    for kept in (_engines, *objects):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


def _compile(name: str, build: Callable[[], Any], flags: tuple[str, ...], translated: bool) -> int:
    from numba import cfunc

    from . import abi, direct

    kernel = direct.direct(build()) if translated else build()
    compiled = cfunc(abi.KERNEL, nopython=True, error_model="numpy", fastmath=set(flags) if flags else False)(kernel)
    statistics["compiled"] += 1
    _engines.append(compiled)
    library = compiled._library
    _write(name, _metadata(compiled._wrapper_name, library._final_module), library._get_compiled_object())
    return int(compiled.address)


def _compile_words(name: str, function: Callable[..., Any]) -> int:
    from . import direct

    machine = _machine()
    symbol, module = direct.compiled_words(function, machine)
    statistics["compiled"] += 1
    meta, code = _metadata(symbol, module), machine.emit_object(module)
    address = _loaded(meta, code)
    if not address:
        raise RuntimeError(f"{symbol} can't be loaded: one of {meta['needs']} is missing")
    _write(name, meta, code)
    return address


def _metadata(symbol: str, module: Any) -> dict[str, Any]:
    """What an entry says of its code: the function's name, and those of the functions it calls by name."""
    declared = sorted(_external_symbol(f.name) for f in module.functions if f.is_declaration)
    return {"symbol": symbol, "needs": [name for name in declared if name]}


def _external_symbol(name: str) -> str:
    """What the linker will look for: an LLVM intrinsic such as ``llvm.exp.f32`` becomes a call of libm's ``expf``."""
    if not name.startswith("llvm."):
        return name
    parts = name.split(".")
    suffix = {"f32": "f", "f64": ""}.get(parts[-1])
    libm = {"exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "pow", "sinh", "cosh", "tanh", "asin", "acos", "atan"}
    return parts[1] + suffix if suffix is not None and parts[1] in libm else ""


# ---------------------------------------------------------------------------------------------------------------- keys


@functools.cache
def _environment() -> bytes:
    """What all entries of this process share: CPU and versions."""
    features = ",".join(f"{k}={v}" for k, v in sorted(llvm.get_host_cpu_features().items()))
    settings = {k: v for k, v in sorted(os.environ.items()) if k in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT")}
    versions = [_numba_version(), llvmlite.__version__, numpy.__version__, sys.implementation.cache_tag, sys.abiflags]
    return hashlib.sha256(repr((llvm.get_host_cpu_name(), features, settings, versions)).encode()).digest()


@functools.cache
def _entry_name(module: str, key: str, flags: tuple[str, ...]) -> str:
    return hashlib.sha256(_environment() + _source(__name__) + _source(module) + repr((key, flags)).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------- disk


def _read(name: str) -> int | None:
    """Load a cached entry; anything wrong with it is a miss."""
    found = _stored(name)
    if found is None:
        return None
    try:
        address = _loaded(*found)
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError):
        return None
    if address:
        statistics["loaded"] += 1
    return address or None


def _loaded(meta: dict[str, Any], code: bytes) -> int:
    """The address of object code, 0 where it lacks something: LLVM would end the process."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())  # first: LLVM finds no symbols until the process has an engine
    if not code or not all(_resolve(symbol) for symbol in meta["needs"]):
        return 0
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = int(engine.get_function_address(meta["symbol"]))
    if address:
        _engines.append(engine)
    return address


# Numba's wrapper around a kernel can report an exception. A kernel raises none, so these calls are never reached, and any
# function satisfies the linker; that spares a warm process the import of Numba.
_UNREACHED = {"numba_gil_ensure": "PyGILState_Ensure", "numba_gil_release": "PyGILState_Release"}


def _resolve(symbol: str) -> bool:
    if llvm.address_of_symbol(symbol) is not None:
        return True
    if symbol in _UNREACHED:
        stand_in = ctypes.cast(getattr(ctypes.pythonapi, _UNREACHED[symbol]), ctypes.c_void_p).value
        llvm.add_symbol(symbol, stand_in)
        return True
    import numba.core.runtime  # noqa: F401  (registers Numba's helper symbols)

    return llvm.address_of_symbol(symbol) is not None


@functools.cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _machine() -> Any:
    _initialize()
    return llvm.Target.from_default_triple().create_target_machine()
