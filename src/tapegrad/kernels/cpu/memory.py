"""Memory for large arrays: a block that a dying array gives back serves the next one, without page faults.

A page touched for the first time costs more than most kernels spend on it, and the C library returns large blocks to the system
at once. So arrays of ``LARGE`` bytes and more come from a pool, by NumPy's allocation hook
(https://numpy.org/neps/nep-0049.html): an array remembers the handler that made it and calls its ``free`` when it dies. Views and
aliases keep the array alive, so nothing that somebody holds is ever recycled. The handler is installed only while tapegrad makes an
array; arrays that users make are NumPy's as ever.

Blocks come in size classes, eight to a power of two. A free block joins the list of its class, and the list of all free blocks
by age. All blocks together, used and free, never hold more than ``_SPARE`` over the most that was in use at once, and the free ones
no more than a limit: the oldest go first. The native functions and their state live until the process ends, since arrays may
outlive the interpreter.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from collections.abc import Callable
from typing import Any

from . import cache, runtime as rt

LARGE = 128 << 10  # from here on a fresh block costs page faults at every use; below, the C library recycles well
_HEADER = 64  # bytes ahead of the data, which so stays aligned to a cache line
_SMALLEST = 128 << 10
_LARGEST = 1 << 56
_CLASSES = 8 * (56 - 17) + 9
_HUGE = 2 << 20  # bytes of a huge page
_SPARE = 16 << 20

# Words of a block's header; the links only mean something in a free one.
_CAPACITY, _CLASS, _NEXT, _PREVIOUS, _NEWER, _OLDER = range(6)
# Words of the pool's state.
_LOCK, _OLDEST, _NEWEST, _LIMIT, _USED, _FREE, _PEAK, _RECYCLED, _MAPPED, _RETURNED = range(10)
_MMAP, _MUNMAP, _MADVISE, _MEMCPY, _MEMSET, _MALLOC, _RELEASE, _PROTECTION, _FLAGS, _ADVICE = range(10, 20)
_HEADS = 20
_STATE_WORDS = _HEADS + _CLASSES
_UNLOCK, _TRIM, _EMPTY = range(3)  # what ``manage`` does


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    """The native functions, as Python source for Numba (imported only when they must be compiled)."""
    import numba

    from .abi import call2, call3, call6, load, store, swap_if

    njit = numba.njit(error_model="numpy")

    @numba.njit(inline="always")  # type: ignore[untyped-decorator]
    def acquire(pool):  # type: ignore[no-untyped-def]
        while swap_if(pool + 8 * _LOCK, 0, 1) == 0:
            pass

    @numba.njit(inline="always")  # type: ignore[untyped-decorator]
    def release(pool):  # type: ignore[no-untyped-def]
        swap_if(pool + 8 * _LOCK, 1, 0)

    @numba.njit(inline="always")  # type: ignore[untyped-decorator]
    def add(word, amount):  # type: ignore[no-untyped-def]
        store(word, load(word) + amount)

    @njit  # type: ignore[untyped-decorator]
    def unlink(pool, block):  # type: ignore[no-untyped-def]
        """Take a free block out of both lists."""
        following, previous = load(block + 8 * _NEXT), load(block + 8 * _PREVIOUS)
        store(pool + 8 * (_HEADS + load(block + 8 * _CLASS)) if previous == 0 else previous + 8 * _NEXT, following)
        if following != 0:
            store(following + 8 * _PREVIOUS, previous)
        newer, older = load(block + 8 * _NEWER), load(block + 8 * _OLDER)
        store(pool + 8 * _OLDEST if older == 0 else older + 8 * _NEWER, newer)
        store(pool + 8 * _NEWEST if newer == 0 else newer + 8 * _OLDER, older)
        add(pool + 8 * _FREE, -load(block + 8 * _CAPACITY))

    @njit  # type: ignore[untyped-decorator]
    def trim(pool, most):  # type: ignore[no-untyped-def]
        """Return free blocks to the system, the oldest first, until at most so many bytes are free."""
        while load(pool + 8 * _FREE) > max(most, 0):
            block = load(pool + 8 * _OLDEST)
            unlink(pool, block)
            call2(load(pool + 8 * _MUNMAP), block, load(block + 8 * _CAPACITY))
            add(pool + 8 * _RETURNED, 1)

    @njit  # type: ignore[untyped-decorator]
    def from_system(pool, capacity, size):  # type: ignore[no-untyped-def]
        """The address of new pages, or 0; huge ones where the data fills them."""
        if size < _HUGE:
            block = call6(load(pool + 8 * _MMAP), 0, capacity, load(pool + 8 * _PROTECTION), load(pool + 8 * _FLAGS), -1, 0)
            return 0 if block == -1 else block
        room = call6(load(pool + 8 * _MMAP), 0, capacity + _HUGE, load(pool + 8 * _PROTECTION), load(pool + 8 * _FLAGS), -1, 0)
        if room == -1:
            return 0
        block = (room + _HUGE - 1) // _HUGE * _HUGE
        if block > room:
            call2(load(pool + 8 * _MUNMAP), room, block - room)
        call2(load(pool + 8 * _MUNMAP), block + capacity, room + _HUGE - block)
        if load(pool + 8 * _ADVICE) >= 0:
            call3(load(pool + 8 * _MADVISE), block, min((size + _HUGE // 2) // _HUGE * _HUGE, capacity), load(pool + 8 * _ADVICE))
        return block

    def malloc(pool, size):  # type: ignore[no-untyped-def]
        if size < 0 or size > _LARGEST:
            return 0
        size += _HEADER
        step, kind = _SMALLEST // 8, 0
        while size > 16 * step:
            step, kind = 2 * step, kind + 8
        eighths = max((size - 8 * step + step - 1) // step, 0)
        kind, capacity = kind + eighths, (8 + eighths) * step
        acquire(pool)
        block = load(pool + 8 * (_HEADS + kind))
        if block != 0:
            unlink(pool, block)
            add(pool + 8 * _RECYCLED, 1)
        else:
            used = load(pool + 8 * _USED) + capacity
            trim(pool, max(load(pool + 8 * _PEAK), used) + _SPARE - used)
            block = from_system(pool, capacity, size)
            if block == 0:
                trim(pool, 0)
                block = from_system(pool, capacity, size)
            if block != 0:
                add(pool + 8 * _MAPPED, 1)
                store(block + 8 * _CAPACITY, capacity)
                store(block + 8 * _CLASS, kind)
        if block != 0:
            add(pool + 8 * _USED, capacity)
            store(pool + 8 * _PEAK, max(load(pool + 8 * _PEAK), load(pool + 8 * _USED)))
            block += _HEADER
        release(pool)
        return block

    def calloc(pool, count, size):  # type: ignore[no-untyped-def]
        address = call2(load(pool + 8 * _MALLOC), pool, count * size)
        if address != 0:
            call3(load(pool + 8 * _MEMSET), address, 0, count * size)
        return address

    def realloc(pool, address, size):  # type: ignore[no-untyped-def]
        if address == 0:
            return call2(load(pool + 8 * _MALLOC), pool, size)
        room = load(address - _HEADER + 8 * _CAPACITY) - _HEADER
        if 0 <= size <= room:
            return address
        new = call2(load(pool + 8 * _MALLOC), pool, size)
        if new != 0:
            call3(load(pool + 8 * _MEMCPY), new, address, room)
            call3(load(pool + 8 * _RELEASE), pool, address, room)
        return new

    def free(pool, address, size):  # type: ignore[no-untyped-def]
        """The size is what NumPy computes from the shape; the header knows."""
        if address == 0:
            return
        block = address - _HEADER
        acquire(pool)
        capacity, head = load(block + 8 * _CAPACITY), pool + 8 * (_HEADS + load(block + 8 * _CLASS))
        following, older = load(head), load(pool + 8 * _NEWEST)
        store(block + 8 * _NEXT, following)
        store(block + 8 * _PREVIOUS, 0)
        if following != 0:
            store(following + 8 * _PREVIOUS, block)
        store(head, block)
        store(block + 8 * _OLDER, older)
        store(block + 8 * _NEWER, 0)
        store(pool + 8 * _OLDEST if older == 0 else older + 8 * _NEWER, block)
        store(pool + 8 * _NEWEST, block)
        add(pool + 8 * _USED, -capacity)
        add(pool + 8 * _FREE, capacity)
        trim(pool, load(pool + 8 * _LIMIT))
        release(pool)

    def manage(pool, what):  # type: ignore[no-untyped-def]
        if what != _UNLOCK:
            acquire(pool)
        if what == _TRIM:
            trim(pool, load(pool + 8 * _LIMIT))
        elif what == _EMPTY:
            trim(pool, 0)
            store(pool + 8 * _PEAK, load(pool + 8 * _USED))
        release(pool)

    return {"malloc": malloc, "calloc": calloc, "realloc": realloc, "free": free, "manage": manage}


def _words(count: int, returns: bool) -> Callable[[], Any]:
    def signature() -> Any:
        from numba import types

        return (types.int64 if returns else types.void)(*[types.int64] * count)

    return signature


_SIGNATURES = {"malloc": (2, True), "calloc": (3, True), "realloc": (3, True), "free": (3, False), "manage": (2, False)}


class _Handler(ctypes.Structure):
    """``PyDataMem_Handler`` of numpy/ndarraytypes.h."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("pool", ctypes.c_void_p),
        *[(name, ctypes.c_void_p) for name in ("malloc", "calloc", "realloc", "free")],
    )


class _Pool:
    """The pool's state, its native functions, and the handler that NumPy calls."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        addresses = {
            name: cache.native(f"memory:{name}", lambda name=name: _functions()[name], signature=_words(*_SIGNATURES[name]))  # type: ignore[misc]
            for name in _SIGNATURES
        }
        self.words = (ctypes.c_int64 * _STATE_WORDS)()
        for word, name in {_MMAP: "mmap", _MUNMAP: "munmap", _MADVISE: "madvise", _MEMCPY: "memcpy", _MEMSET: "memset"}.items():
            self.words[word] = ctypes.cast(getattr(libc, name), ctypes.c_void_p).value or 0
        self.words[_MALLOC], self.words[_RELEASE] = addresses["malloc"], addresses["free"]
        self.words[_PROTECTION] = mmap.PROT_READ | mmap.PROT_WRITE
        self.words[_FLAGS] = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.words[_ADVICE] = getattr(mmap, "MADV_HUGEPAGE", -1)
        self.words[_LIMIT] = default_limit()
        self.address = ctypes.addressof(self.words)
        self.handler = _Handler(b"tapegrad_pool", 1, self.address, *[addresses[n] for n in ("malloc", "calloc", "realloc", "free")])
        # Whoever takes the lock keeps the GIL until it is free again: so nobody holds the lock when a thread forks, and nobody waits
        # for it with a GIL that its holder needs.
        self._manage = ctypes.PYFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(addresses["manage"])
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self.name = b"mem_handler"
        self.capsule = make(ctypes.addressof(self.handler), self.name, None)

    def forget(self) -> None:
        """What a forked child does: free pages that it shares would be copied before they serve."""
        self.manage(_UNLOCK)
        self.manage(_EMPTY)

    def manage(self, what: int) -> None:
        """Run one of the commands."""
        self._manage(self.address, what)


def default_limit() -> int:
    """Bytes that may lie free unless somebody sets another limit: an eighth of the memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
    except (ValueError, OSError):
        return 1 << 30


@functools.cache
def _started() -> _Pool:
    pool = _Pool()
    cache.keep_until_exit(pool)
    os.register_at_fork(after_in_child=pool.forget)
    return pool


def _start() -> _Pool:
    """Let large arrays come from the pool from now on; native code calls this before the first."""
    with cache.lock:
        rt.block[rt.POOL] = id(_started().capsule)
        return _started()


rt.block[rt.POOL_FROM] = LARGE
rt.block[rt.START_POOL] = id(_start)


# -------------------------------------------------------------------------------------------------------------- public


def empty_cache() -> None:
    """Return the memory that tapegrad keeps for CPU arrays to come, and no array uses now, to the system."""
    if rt.block[rt.POOL]:
        _started().manage(_EMPTY)


def set_cache_limit(size: int) -> None:
    """Keep at most ``size`` bytes of memory that no array uses for CPU arrays to come; 0 keeps none.

    Without this, an eighth of the machine's memory.

    Raises:
        ValueError: for a negative size.
    """
    if size < 0:
        raise ValueError(f"set_cache_limit expects a number of bytes, got {size}")
    pool = _start()
    pool.words[_LIMIT] = size
    pool.manage(_TRIM)


def memory_stats() -> dict[str, int]:
    """What the pool of memory behind large CPU arrays (128 KB and more) has done.

    Bytes ``used`` by arrays, ``free`` for arrays to come, the most that were used at once (``peak``, since the last
    :func:`empty_cache`) and the ``limit`` of those free; how often memory was ``recycled``, ``mapped`` anew, and ``returned`` to
    the system.
    """
    words = _start().words
    names = {"used": _USED, "free": _FREE, "peak": _PEAK, "limit": _LIMIT, "recycled": _RECYCLED, "mapped": _MAPPED, "returned": _RETURNED}
    return {name: int(words[word]) for name, word in names.items()}
