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

from ..native import cache, runtime as rt
from ..native.handlers import Handler, capsule_of
from ..native.words import call, get, load, put, store, swap_if

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
_MMAP, _MUNMAP, _MADVISE, _MEMCPY, _MEMSET, _PROTECTION, _FLAGS, _ADVICE = range(10, 18)
_HEADS = 18
_STATE_WORDS = _HEADS + _CLASSES
_TRIM, _EMPTY = range(2)  # what ``manage`` does


def _acquire(pool: int) -> None:
    while swap_if(pool + 8 * _LOCK, 0, 1) == 0:
        pass


def _release(pool: int) -> None:
    swap_if(pool + 8 * _LOCK, 1, 0)


def _add(word: int, amount: int) -> None:
    store(word, load(word) + amount)


def _unlink(pool: int, block: int) -> None:
    """Take a free block out of both lists."""
    following, previous = get(block, _NEXT), get(block, _PREVIOUS)
    store(pool + 8 * (_HEADS + get(block, _CLASS)) if previous == 0 else previous + 8 * _NEXT, following)
    if following != 0:
        put(following, _PREVIOUS, previous)
    newer, older = get(block, _NEWER), get(block, _OLDER)
    store(pool + 8 * _OLDEST if older == 0 else older + 8 * _NEWER, newer)
    store(pool + 8 * _NEWEST if newer == 0 else newer + 8 * _OLDER, older)
    _add(pool + 8 * _FREE, -get(block, _CAPACITY))


def _trim(pool: int, most: int) -> None:
    """Return free blocks to the system, the oldest first, until at most so many bytes are free."""
    while get(pool, _FREE) > max(most, 0):
        block = get(pool, _OLDEST)
        _unlink(pool, block)
        call(get(pool, _MUNMAP), block, get(block, _CAPACITY))
        _add(pool + 8 * _RETURNED, 1)


def _from_system(pool: int, capacity: int, size: int) -> int:
    """The address of new pages, or 0; huge ones where the data fills them."""
    if size < _HUGE:
        block = call(get(pool, _MMAP), 0, capacity, get(pool, _PROTECTION), get(pool, _FLAGS), -1, 0)
        return 0 if block == -1 else block
    room = call(get(pool, _MMAP), 0, capacity + _HUGE, get(pool, _PROTECTION), get(pool, _FLAGS), -1, 0)
    if room == -1:
        return 0
    block = (room + _HUGE - 1) // _HUGE * _HUGE
    if block > room:
        call(get(pool, _MUNMAP), room, block - room)
    call(get(pool, _MUNMAP), block + capacity, room + _HUGE - block)
    if get(pool, _ADVICE) >= 0:
        call(get(pool, _MADVISE), block, min((size + _HUGE // 2) // _HUGE * _HUGE, capacity), get(pool, _ADVICE))
    return block


def _malloc(pool: int, size: int) -> int:
    if size < 0 or size > _LARGEST:
        return 0
    size += _HEADER
    step, kind = _SMALLEST // 8, 0
    while size > 16 * step:
        step, kind = 2 * step, kind + 8
    eighths = max((size - 8 * step + step - 1) // step, 0)
    kind, capacity = kind + eighths, (8 + eighths) * step
    _acquire(pool)
    block = get(pool, _HEADS + kind)
    if block != 0:
        _unlink(pool, block)
        _add(pool + 8 * _RECYCLED, 1)
    else:
        used = get(pool, _USED) + capacity
        _trim(pool, max(get(pool, _PEAK), used) + _SPARE - used)
        block = _from_system(pool, capacity, size)
        if block == 0:
            _trim(pool, 0)
            block = _from_system(pool, capacity, size)
        if block != 0:
            _add(pool + 8 * _MAPPED, 1)
            put(block, _CAPACITY, capacity)
            put(block, _CLASS, kind)
    if block != 0:
        _add(pool + 8 * _USED, capacity)
        put(pool, _PEAK, max(get(pool, _PEAK), get(pool, _USED)))
        block += _HEADER
    _release(pool)
    return block


def _calloc(pool: int, count: int, size: int) -> int:
    if size > 0 and count > _LARGEST // size:
        return 0
    address = _malloc(pool, count * size)
    if address != 0:
        call(get(pool, _MEMSET), address, 0, count * size)
    return address


def _realloc(pool: int, address: int, size: int) -> int:
    if address == 0:
        return _malloc(pool, size)
    room = load(address - _HEADER + 8 * _CAPACITY) - _HEADER
    if 0 <= size <= room:
        return address
    new = _malloc(pool, size)
    if new != 0:
        call(get(pool, _MEMCPY), new, address, room)
        _free(pool, address, room)
    return new


def _free(pool: int, address: int, size: int) -> None:
    """The size is what NumPy computes from the shape; the header knows."""
    if address == 0:
        return
    block = address - _HEADER
    _acquire(pool)
    capacity, head = get(block, _CAPACITY), pool + 8 * (_HEADS + get(block, _CLASS))
    following, older = load(head), get(pool, _NEWEST)
    put(block, _NEXT, following)
    put(block, _PREVIOUS, 0)
    if following != 0:
        put(following, _PREVIOUS, block)
    store(head, block)
    put(block, _OLDER, older)
    put(block, _NEWER, 0)
    store(pool + 8 * _OLDEST if older == 0 else older + 8 * _NEWER, block)
    put(pool, _NEWEST, block)
    _add(pool + 8 * _USED, -capacity)
    _add(pool + 8 * _FREE, capacity)
    _trim(pool, get(pool, _LIMIT))
    _release(pool)


def _manage(pool: int, what: int) -> None:
    _acquire(pool)
    if what == _TRIM:
        _trim(pool, get(pool, _LIMIT))
    elif what == _EMPTY:
        _trim(pool, 0)
        put(pool, _PEAK, get(pool, _USED))
    _release(pool)


class _Pool:
    """The pool's state, its native functions, and the handler that NumPy calls."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        malloc, calloc, realloc, free, manage = [cache.native_words(f) for f in (_malloc, _calloc, _realloc, _free, _manage)]
        self.words = (ctypes.c_int64 * _STATE_WORDS)()
        for word, name in {_MMAP: "mmap", _MUNMAP: "munmap", _MADVISE: "madvise", _MEMCPY: "memcpy", _MEMSET: "memset"}.items():
            self.words[word] = ctypes.cast(getattr(libc, name), ctypes.c_void_p).value or 0
        self.words[_PROTECTION] = mmap.PROT_READ | mmap.PROT_WRITE
        self.words[_FLAGS] = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.words[_ADVICE] = getattr(mmap, "MADV_HUGEPAGE", -1)
        self.words[_LIMIT] = default_limit()
        self.address = ctypes.addressof(self.words)
        self.handler = Handler(b"tapegrad_pool", 1, self.address, malloc, calloc, realloc, free)
        # Whoever takes the lock keeps the GIL until it is free again: so nobody holds the lock when a thread forks, and nobody waits
        # for it with a GIL that its holder needs.
        self._manage = ctypes.PYFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(manage)
        self.capsule = capsule_of(self.handler)

    def forget(self) -> None:
        """What a forked child does: free pages that it shares would be copied before they serve."""
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
