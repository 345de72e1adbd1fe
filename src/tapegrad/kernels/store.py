"""Compiled code on disk: files named by what they are made of, which every backend reads and writes alike.

A file holds metadata as JSON, the code, and a digest over both: no pickle, so an entry is never executed as Python. What its name must be a
hash of, the backend knows.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

MAGIC = b"tapegrad-kernel-1\n"
lock = threading.RLock()  # around what happens once in a process: loading and compiling code, starting threads and the pool of memory
# A child forked meanwhile would wait for a thread that it does not have: so forks wait until nobody is at it.
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
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


@contextlib.contextmanager
def compiling() -> Iterator[None]:
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
        if sys.stderr.isatty() and (home := usable_directory()) is not None:
            print(f"tapegrad: compiling kernels that this machine has not run before; they are kept in {home}", file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------------ parts of names


@functools.cache
def numba_version() -> str:
    """What Numba writes of its version; read, since importing Numba, or the metadata of packages, would cost more than all else here."""
    spec = PathFinder.find_spec("numba")
    if spec is None or spec.origin is None:
        return "none"
    return Path(spec.origin).with_name("_version.py").read_text("utf8")


_KERNELS = Path(__file__).parent
IMPORTED = re.compile(r"^\s*from (\.+)([\w.]*) import (\([^)]*\)|[^\n]+)", re.MULTILINE)


@functools.cache
def source(module: str) -> bytes:
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
        for dots, inside, names in IMPORTED.findall(found[path].decode()):
            place = path.parents[len(dots) - 1].joinpath(*inside.split("."))
            if len(dots) > 2 and not place.is_relative_to(_KERNELS):
                continue  # not a kernel's: what lies above is no code that is compiled
            candidates = [place.with_suffix(".py")] if inside else []
            candidates += [place / f"{name}.py" for name in re.findall(r"\w+", names)]
            waiting += [candidate for candidate in candidates if candidate.exists()]
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(path.name.encode() + found[path])
    return digest.digest()


# ---------------------------------------------------------------------------------------------------------------- disk


@functools.cache
def usable_directory() -> Path | None:
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


def write(name: str, meta: dict[str, Any], code: bytes) -> None:
    """Keep an entry, where the directory can be used."""
    home = usable_directory()
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
            file.write(MAGIC + hashlib.sha256(name.encode() + body).digest() + body)
        os.replace(temporary, home / f"{name}.kernel")
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    finally:
        os.close(lock)  # and with it the lock


def read(name: str) -> tuple[Any, bytes] | None:
    """The metadata and the code of an entry; anything wrong with it is a miss, None."""
    home = usable_directory()
    if home is None:
        return None
    try:
        data = (home / f"{name}.kernel").read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + 32
    body = data[start:]
    if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : start] != hashlib.sha256(name.encode() + body).digest():
        return None
    end = 4 + int.from_bytes(body[:4], "little")
    try:
        return json.loads(body[4:end]), body[end:]
    except ValueError:
        return None
