"""Tables of plans, which native code searches by what a plan may depend on: the layouts of arrays and the values of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import cache, runtime as rt
from .call import as_word, builtin
from .words import call, get, load, load32, put

# Words of a builtin's control block; of a table: a mask, then the addresses of plans, by hash. Of a plan: the number of words
# of its key, what the builtin makes of the others; then the key; then more of the builtin's.
RUNTIME, TABLE, MORE = range(3)
KEY, FREE, HEAD = 0, 1, 7
MOST_WORDS, MOST_ARGUMENTS = 96, 16
_CAPACITY = 2048  # plans in a table
_SMALLEST = 32  # places of a table at first
_MIX = 0x1E3779B97F4A7C15
_PLACE = 256  # the rank of an array is below
_EXACT = 2**53


def _describe_one(runtime: int, x: int, key: int, length: int) -> int:
    """What is no array and no tuple: two words, the second of which says which one of its type it is."""
    kind, value, fits = load(x + rt.TYPE), x, 1
    if kind == get(runtime, rt.INT):
        overflow = key + 8 * length
        put(overflow, 0, 0)
        value = call(get(runtime, rt.LONG_AND_OVERFLOW), x, overflow)
        fits = 1 if get(overflow, 0) == 0 else 0
    elif kind == get(runtime, rt.FLOAT):
        value = load(x + rt.FLOAT_VALUE)
    put(key, length, kind)
    put(key, length + 1, value)
    return fits


def _number(runtime: int, x: int, kind: int, whole: int, to: int) -> int:
    """The bits of a float, or an int that a float holds exactly or that is to be ``whole``; 0 for what is neither."""
    if kind == get(runtime, rt.FLOAT):
        put(to, 0, load(x + rt.FLOAT_VALUE))
        return 1
    if kind != get(runtime, rt.INT):
        return 0
    value = call(get(runtime, rt.LONG_AND_OVERFLOW), x, to)
    overflow = load32(to)
    put(to, 0, value)
    return overflow == 0 and (whole != 0 or (value >= -_EXACT and value <= _EXACT))


def describe(runtime: int, array_type: int, place: int, free: int, ints: int, slice_type: int, args: int, nargs: int, key: int, data: int) -> int:
    """Native code: write down the key of arguments and where arrays have their data; the number of words, -1 for arguments without a key.

    ``place`` are the bits of an array's address that belong to the key. Numbers whose argument's bit is set in ``free`` are known by
    their type; their value, a float's bits, is written beside the arrays' data. Those that a float does not hold exactly must be in ``ints``.
    """
    length = 0
    for i in range(nargs):
        argument = get(args, i)
        kind = load(argument + rt.TYPE)
        if kind == array_type:
            ndim, shape, strides = load32(argument + rt.NDIM), load(argument + rt.SHAPE), load(argument + rt.STRIDES)
            if length + 2 + 2 * ndim > MOST_WORDS or load32(argument + rt.FLAGS) & rt.ALIGNED == 0:
                return -1
            put(key, length, load(argument + rt.DESCR))
            put(key, length + 1, ndim + (load(argument + rt.DATA) & place) * _PLACE)
            for d in range(ndim):
                put(key, length + 2 + d, get(shape, d))
                put(key, length + 2 + ndim + d, get(strides, d))
            length += 2 + 2 * ndim
            put(data, i, load(argument + rt.DATA))
            continue
        if free >> i & 1 != 0:
            if length + 2 > MOST_WORDS or _number(runtime, argument, kind, ints >> i & 1, data + 8 * i) == 0:
                return -1
            put(key, length, kind)
            put(key, length + 1, 0)
            length += 2
            continue
        items, count = args + 8 * i, 1
        if kind == get(runtime, rt.TUPLE):
            items, count = argument + rt.ITEMS, load(argument + rt.COUNT)
            if length + 2 > MOST_WORDS:
                return -1
            put(key, length, kind)
            put(key, length + 1, count)
            length += 2
        for k in range(count):
            x = get(items, k)
            parts, within = 1, items + 8 * k
            inner = load(x + rt.TYPE)
            if inner == slice_type or (inner == get(runtime, rt.TUPLE) and kind == inner):
                parts, within = 3, x + rt.SLICE
                if inner != slice_type:
                    parts, within = load(x + rt.COUNT), x + rt.ITEMS
                if length + 2 > MOST_WORDS:
                    return -1
                put(key, length, inner)
                put(key, length + 1, parts)
                length += 2
            if length + 2 * parts > MOST_WORDS:
                return -1
            for p in range(parts):
                if _describe_one(runtime, get(within, p), key, length) == 0:
                    return -1
                length += 2
    return length


def mix(key: int, length: int) -> int:
    """Native code: a hash of words."""
    mixed = length
    for w in range(length):
        mixed = (mixed ^ get(key, w)) * _MIX
        mixed ^= mixed >> 29
    return mixed


def find(table: int, key: int, length: int) -> int:
    """Native code: the plan with this key, or 0."""
    mask = get(table, 0)
    at = mix(key, length) & mask
    while get(table, 1 + at) != 0:
        plan = get(table, 1 + at)
        if get(plan, KEY) == length:
            same = True
            for w in range(length):
                same = same and get(plan, HEAD + w) == get(key, w)
            if same:
                return plan
        at = (at + 1) & mask
    return 0


def key_of(args: tuple[Any, ...], array_type: Any = np.ndarray, place: int = 0, free: int = 0, ints: int = 0) -> tuple[int, ...] | None:
    """What ``describe`` writes down of arguments; None where that does not say all about one."""
    key: list[int] = []
    for i, x in enumerate(args):
        if x.__class__ is array_type:
            if not x.flags.aligned:
                return None
            at = np.ndarray.ctypes.__get__(x).data & place if place else 0
            key += [id(x.dtype), x.ndim + at * _PLACE, *x.shape, *x.strides]
            continue
        if free >> i & 1:
            most = 2**63 - 1 if ints >> i & 1 else _EXACT
            if x.__class__ is not float and not (x.__class__ is int and -most <= x <= most):
                return None
            key += [id(x.__class__), 0]
            continue
        if x.__class__ is tuple:
            key += [id(tuple), len(x)]
        for item in x if x.__class__ is tuple else (x,):
            parts: tuple[Any, ...] = (item,)
            if item.__class__ is slice:
                parts = (item.start, item.stop, item.step)
            elif item.__class__ is tuple and x.__class__ is tuple:
                parts = item
            if item.__class__ is slice or parts is item:
                key += [id(item.__class__), len(parts)]
            for part in parts:
                word = _identified(part)
                if word is None:
                    return None
                key += [id(part.__class__), word]
    fits = len(key) <= MOST_WORDS and len(args) <= MOST_ARGUMENTS and all(-(1 << 63) <= word < 1 << 63 for word in key)
    return tuple(key) if fits else None


def _identified(x: Any) -> int | None:
    if x.__class__ is int or x.__class__ is float:
        return as_word(x)
    constant = x is None or x is Ellipsis or x.__class__ is bool or (isinstance(x, np.dtype) and x.isbuiltin)
    return id(x) if constant else None  # which does not change, and so its identity says all


class _Control(np.ndarray[Any, Any]):
    """A builtin's control block, which keeps what native code finds by it: a thread may be in there when nothing else does."""

    plans: Plans


class Plans:
    """A table of plans, and the builtin that searches it.

    Args:
        function: the builtin, as native code on words.
        more: words of its control block after the table.
    """

    def __init__(self, function: Callable[[int, int, int], int], more: Callable[[], list[int]] = list) -> None:
        self._function, self._more = function, more
        self._table = np.zeros(1 + _SMALLEST, np.int64)
        self._table[0] = _SMALLEST - 1
        self._known: dict[tuple[int, ...], Any] = {}
        self._control: Any = None
        self._old: list[Any] = []  # tables that a thread may be at

    def quick(self) -> Callable[..., Any]:
        """The builtin."""
        with cache.lock:
            if self._control is None:
                self._control = np.array([rt.address, self._table.ctypes.data, *self._more()], np.int64).view(_Control)
                self._control.plans = self
        return builtin(self._function, self._control)

    def wanted(self) -> bool:
        """Whether there is room for another plan."""
        return len(self._known) < _CAPACITY

    def add(self, key: tuple[int, ...], free: list[int], more: list[int], keep: list[Any]) -> None:
        """Add a plan: the words beside the key, and what they and the key point to. It stays for good: a thread may be at it at any time."""
        plan = np.array([len(key), *free, *[0] * (HEAD - FREE - len(free)), *key, *more], np.int64)
        with cache.lock:
            if key in self._known or not self.wanted():
                return
            self._known[key] = plan, keep
            if 2 * len(self._known) > len(self._table):
                self._grow()
            else:
                self._enter(self._table, key, plan)

    def _grow(self) -> None:
        table = np.zeros(1 + 2 * (len(self._table) - 1), np.int64)
        table[0] = len(table) - 2
        for key, (plan, _) in self._known.items():
            self._enter(table, key, plan)
        self._old.append(self._table)
        self._table = table
        if self._control is not None:
            self._control[TABLE] = table.ctypes.data

    @staticmethod
    def _enter(table: Any, key: tuple[int, ...], plan: Any) -> None:
        mask = int(table[0])
        at = mixed(key) & mask
        while table[1 + at]:
            at = (at + 1) & mask
        table[1 + at] = plan.ctypes.data


def mixed(key: tuple[int, ...]) -> int:
    """What ``mix`` makes of a key."""
    result = len(key)
    for word in key:
        result = (result ^ word) * _MIX
        result = (result + (1 << 63)) % (1 << 64) - (1 << 63)
        result ^= result >> 29
    return result
