"""Pieces of device memory: native code that takes free ones and gives them back, and the tables in which it finds them.

It holds the interpreter's lock all the while, so nothing here happens at the same time as another thing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..native import runtime as rt
from ..native.call import builtin, none
from ..native.plans import mix, mixed
from ..native.words import call, get, load, put, stack_words
from . import state
from .state import BINS, ENDING, EXACT, FETCH, GIVE_LATER, NEW_INT, PIECES, POOLS, RESTORE, RUNTIME, UNRAISABLE, answer

# Words of a pool, of a bin (the free pieces of one size and stream, the newest first), and of a piece.
ALLOCATED, MOST_ALLOCATED, ALLOCATIONS, RELEASES, WAITING, DEVICE = range(6)
HEAD, POOL, STREAM, ROOM = range(4)
ADDRESS, BIN, NEXT, OTHERS = range(4)
MOST_DEVICES = 64
LARGEST = 1 << 48  # bytes: more than any device has, and few enough to reckon with
SMALL, STEP = 1 << 20, 512  # sizes up to the first are rounded to the second, larger ones to one of eight steps between powers of two


def _room(state: int, size: int) -> int:
    """Native code: the size of the piece that serves ``size`` bytes: these themselves where the driver wants that."""
    if get(state, EXACT) != 0:
        return max(size, 1)
    step = STEP
    if size > SMALL:
        step = SMALL // 8
        while 16 * step <= size:
            step += step
    return (max(size, 1) + step - 1) // step * step


def take(state: int, device: int, stream: int, size: int) -> int:
    """Native code: the address of a free piece of at least ``size`` bytes, 0 where there is none."""
    pool = get(get(state, POOLS), device)
    if pool == 0:
        return 0
    room, key = _room(state, size), stack_words(3)
    put(key, 0, device)
    put(key, 1, stream)
    put(key, 2, room)
    table = get(state, BINS)
    mask = get(table, 0)
    at = mix(key, 3) & mask
    found = get(table, 1 + at)
    while found != 0 and (get(found, ROOM) != room or get(found, STREAM) != stream or get(found, POOL) != pool):
        at = (at + 1) & mask
        found = get(table, 1 + at)
    if found == 0 or get(found, HEAD) == 0:
        return 0
    piece = get(found, HEAD)
    put(found, HEAD, get(piece, NEXT))
    allocated = get(pool, ALLOCATED) + room
    put(pool, ALLOCATED, allocated)
    put(pool, MOST_ALLOCATED, max(allocated, get(pool, MOST_ALLOCATED)))
    put(pool, ALLOCATIONS, get(pool, ALLOCATIONS) + 1)
    return get(piece, ADDRESS)


def quickly_taken(state: int, device: int, stream: int, size: int) -> int:
    """Native code: as :func:`take`; 0 too where dead pieces wait for other streams, which Python looks at first."""
    pool = get(get(state, POOLS), device)
    return take(state, device, stream, size) if pool != 0 and get(pool, WAITING) == 0 else 0


def piece_at(state: int, address: int) -> int:
    """Native code: the piece that begins at an address, or 0."""
    table, key = get(state, PIECES), stack_words(1)
    put(key, 0, address)
    mask = get(table, 0)
    at = mix(key, 1) & mask
    piece = get(table, 1 + at)
    while piece != 0 and get(piece, ADDRESS) != address:
        at = (at + 1) & mask
        piece = get(table, 1 + at)
    return piece


def device_at(state: int, address: int) -> int:
    """Native code: the device with the piece that begins at an address, -1 where none does."""
    piece = piece_at(state, address)
    return get(get(get(piece, BIN), POOL), DEVICE) if piece != 0 else -1


def give(state: int, address: int) -> None:
    """Native code: a piece that nothing refers to any more."""
    piece = piece_at(state, address)
    if piece != 0:
        home = get(piece, BIN)
        pool = get(home, POOL)
        put(pool, ALLOCATED, get(pool, ALLOCATED) - get(home, ROOM))
        put(pool, RELEASES, get(pool, RELEASES) + 1)
        if get(piece, OTHERS) == 0:
            put(piece, NEXT, get(home, HEAD))
            put(home, HEAD, piece)
        elif get(state, ENDING) == 0:
            _give_later(state, address)


def _give_later(state: int, address: int) -> None:
    """Let Python wait for the other streams of a dead piece, whatever exception there may be."""
    error = stack_words(3)
    call(get(state, FETCH), error, error + 8, error + 16)
    done = answer(state, GIVE_LATER, address)
    if done == 0:
        call(get(state, UNRAISABLE), 0)
    else:
        call(get(get(state, RUNTIME), rt.DECREF), done)
    call(get(state, RESTORE), get(error, 0), get(error, 1), get(error, 2))


def free(state: int, address: int, size: int) -> None:
    """What NumPy calls when an array dies that has memory of its own."""
    give(state, address)


def _take(self: int, args: int, nargs: int) -> int:
    """take(device, stream, size): an address, or 0."""
    known = load(load(self + rt.DATA))
    as_int64 = get(get(known, RUNTIME), rt.LONG_AS_INT64)
    device, stream, size = call(as_int64, get(args, 0)), call(as_int64, get(args, 1)), call(as_int64, get(args, 2))
    if call(get(get(known, RUNTIME), rt.ERR_OCCURRED)) != 0:
        return 0
    return call(get(known, NEW_INT), take(known, device, stream, size))


def _round(self: int, args: int, nargs: int) -> int:
    """round(size): the size of the piece that serves ``size`` bytes, at most ``LARGEST``"""
    known = load(load(self + rt.DATA))
    size = call(get(get(known, RUNTIME), rt.LONG_AS_INT64), get(args, 0))
    if call(get(get(known, RUNTIME), rt.ERR_OCCURRED)) != 0:
        return 0
    return call(get(known, NEW_INT), _room(known, min(size, LARGEST)))


def _pop(self: int, args: int, nargs: int) -> int:
    """pop(the address of a bin): a free piece's address, which no longer is in it, or 0."""
    known = load(load(self + rt.DATA))
    found = call(get(get(known, RUNTIME), rt.LONG_AS_INT64), get(args, 0))
    piece = get(found, HEAD)
    if piece != 0:
        put(found, HEAD, get(piece, NEXT))
        piece = get(piece, ADDRESS)
    return call(get(known, NEW_INT), piece)


def _push(self: int, args: int, nargs: int) -> int:
    """push(address): a piece that is free, and was not counted as allocated."""
    known = load(load(self + rt.DATA))
    runtime = get(known, RUNTIME)
    piece = piece_at(known, call(get(runtime, rt.LONG_AS_INT64), get(args, 0)))
    home = get(piece, BIN)
    put(piece, OTHERS, 0)
    put(piece, NEXT, get(home, HEAD))
    put(home, HEAD, piece)
    return none(runtime)


_control = np.array([state.address], np.int64)
taken, rounded, popped, pushed = (builtin(f, _control) for f in (_take, _round, _pop, _push))


class Table:
    """Words by keys, which native code searches: an array of a mask, and the addresses of rows."""

    def __init__(self, word: int) -> None:
        self._word = word
        self.rows: dict[tuple[int, ...], Any] = {}
        self._build(64)

    def add(self, key: tuple[int, ...], row: Any) -> None:
        """A new row."""
        self.rows[key] = row
        if 2 * len(self.rows) > len(self._table):
            self._build(2 * (len(self._table) - 1))
        else:
            self._enter(self._table, key, row)

    def remove(self, keys: list[tuple[int, ...]]) -> None:
        """Forget rows."""
        gone = [self.rows.pop(key) for key in keys]
        self._build(len(self._table) - 1)
        del gone  # now that no table has them

    def _build(self, places: int) -> None:
        rows: list[tuple[tuple[int, ...], Any]] | None = None
        while rows is None or [key for key, _ in rows] != list(self.rows):  # else a finalizer has changed them meanwhile
            rows = list(self.rows.items())
            table = np.zeros(1 + places, np.int64)
            table[0] = places - 1
            for key, row in rows:
                self._enter(table, key, row)
            address = table.ctypes.data
        state.block[self._word] = address
        self._table = table

    @staticmethod
    def _enter(table: Any, key: tuple[int, ...], row: Any) -> None:
        mask = int(table[0])
        at = mixed(key) & mask
        while table[1 + at]:
            at = (at + 1) & mask
        table[1 + at] = row.ctypes.data
