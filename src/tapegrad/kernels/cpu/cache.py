"""Native code: compiled once, kept as object code on disk, loaded again by llvmlite in under a millisecond.

Kernels are compiled by Numba or a small compiler of our own (``native``), what runs them by the latter (``native_words``). An entry is named by a hash
of everything that shapes its machine code: the key given by the caller (generated source and constants), the source of the modules it
is built from and of those that compile it, the CPU name and features, and the Numba, llvmlite and Python versions. It is a plain
object file with its metadata appended as JSON and a digest over both: no pickle, so a cache entry is never executed as Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import gc
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy

_MAGIC = b"tapegrad-kernel-1\n"
lock = threading.RLock()  # around what happens once in a process: loading and compiling code, starting threads and the pool of memory
# A child forked meanwhile would wait for a thread that it does not have: so forks wait until nobody is at it.
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
_addresses: dict[str, int] = {}
_engines: list[Any] = []  # loaded code must outlive every pointer into it
statistics = {"compiled": 0, "loaded": 0}
_spent = 0.0  # seconds, compiling
_PATIENCE = 1.0  # of those, before a person is told


def directory() -> Path:
    """The cache directory: ``$TAPEGRAD_CACHE_DIR``, else ``$XDG_CACHE_HOME/tapegrad``, else ``~/.cache/tapegrad``."""
    named = os.environ.get("TAPEGRAD_CACHE_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tapegrad"


def size() -> tuple[int, int]:
    """(number of kernels, bytes) in the cache directory."""
    try:
        entries = [entry.stat().st_size for entry in os.scandir(directory()) if entry.name.endswith(".kernel")]
    except (OSError, RuntimeError):
        return 0, 0
    return len(entries), sum(entries)


def clear() -> None:
    """Delete every cached kernel; those already loaded keep working."""
    for path in directory().glob("*.kernel"):
        path.unlink(missing_ok=True)


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


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Around what compiles: it makes many objects and no garbage; and a person who waits is told, once, what for."""
    global _spent
    start, collecting = time.perf_counter(), gc.isenabled()
    if _spent > _PATIENCE or (_spent == 0 and size()[0] == 0):
        _announce()
    gc.disable()
    try:
        yield
    finally:
        _spent += time.perf_counter() - start
        if collecting:
            gc.enable()


@functools.cache
def _announce() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no stderr, or a closed one
        if sys.stderr.isatty() and (home := _usable_directory()) is not None:
            print(f"tapegrad: compiling kernels that this machine has not run before; they are kept in {home}", file=sys.stderr, flush=True)


def _external_symbol(name: str) -> str:
    """What the linker will look for: an LLVM intrinsic such as ``llvm.exp.f32`` becomes a call of libm's ``expf``."""
    if not name.startswith("llvm."):
        return name
    parts = name.split(".")
    suffix = {"f32": "f", "f64": ""}.get(parts[-1])
    libm = {"exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "pow", "sinh", "cosh", "tanh", "asin", "acos", "atan"}
    return parts[1] + suffix if suffix is not None and parts[1] in libm else ""


# ---------------------------------------------------------------------------------------------------------------- keys


def _numba_version() -> str:
    """What Numba writes of its version; read, since importing Numba, or the metadata of packages, would cost more than all else here."""
    spec = PathFinder.find_spec("numba")
    if spec is None or spec.origin is None:
        return "none"
    return Path(spec.origin).with_name("_version.py").read_text("utf8")


@functools.cache
def _environment() -> bytes:
    """What all entries of this process share: CPU and versions."""
    features = ",".join(f"{k}={v}" for k, v in sorted(llvm.get_host_cpu_features().items()))
    settings = {k: v for k, v in sorted(os.environ.items()) if k in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT")}
    versions = [_numba_version(), llvmlite.__version__, numpy.__version__, sys.implementation.cache_tag, sys.abiflags]
    return hashlib.sha256(repr((llvm.get_host_cpu_name(), features, settings, versions)).encode()).digest()


_IMPORTED = re.compile(r"^\s*from (\.+)([\w.]*) import (\([^)]*\)|[^\n]+)", re.MULTILINE)


@functools.cache
def _source(module: str) -> bytes:
    """The source that kernels built in a module are made from: its own and that of the kernel modules that it imports."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return b""
    found, waiting = {}, [Path(file)]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = path.read_bytes()
        for dots, inside, names in _IMPORTED.findall(found[path].decode()):
            if len(dots) > 2:
                continue  # not a kernel's: what lies above is no code that is compiled
            place = path.parents[len(dots) - 1].joinpath(*inside.split("."))
            candidates = [place.with_suffix(".py")] if inside else []
            candidates += [place / f"{name}.py" for name in re.findall(r"\w+", names)]
            waiting += [candidate for candidate in candidates if candidate.exists()]
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(path.name.encode() + found[path])
    return digest.digest()


@functools.cache
def _entry_name(module: str, key: str, flags: tuple[str, ...]) -> str:
    return hashlib.sha256(_environment() + _source(__name__) + _source(module) + repr((key, flags)).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------- disk


@functools.cache
def _usable_directory() -> Path | None:
    """The directory if it is ours alone, created on first use; None, with one warning, when it can't be used."""
    path: Any = "directory"
    try:
        path = directory()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid != os.getuid():
            raise PermissionError(f"it belongs to user {status.st_uid}")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError("others may write to it")
        descriptor, probe = tempfile.mkstemp(dir=path)
        os.close(descriptor)
        os.unlink(probe)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        warnings.warn(
            f"tapegrad: kernel cache {path} is not used ({error}); kernels are compiled in memory, in every process. "
            "Set TAPEGRAD_CACHE_DIR to a directory that only you can write to.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return Path(path)


def _write(name: str, meta: dict[str, Any], code: bytes) -> None:
    home = _usable_directory()
    if home is None:
        return
    header = json.dumps(meta).encode()
    body = len(header).to_bytes(4, "little") + header + code
    temporary = None
    try:  # a full disk costs a recompile, never a training run
        lock = os.open(home / ".lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        descriptor, temporary = tempfile.mkstemp(dir=home, suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(name.encode() + body).digest() + body)
        os.replace(temporary, home / f"{name}.kernel")
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    finally:
        os.close(lock)  # and with it the lock


def _read(name: str) -> int | None:
    """Load a cached entry; anything wrong with it is a miss."""
    home = _usable_directory()
    if home is None:
        return None
    try:
        data = (home / f"{name}.kernel").read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + 32
    body = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : start] != hashlib.sha256(name.encode() + body).digest():
        return None
    size_of_header = int.from_bytes(body[:4], "little")
    try:
        address = _loaded(json.loads(body[4 : 4 + size_of_header]), body[4 + size_of_header :])
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
