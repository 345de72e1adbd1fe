"""How the operands of an elementwise operation lie beside each other, found out by native code.

Operands broadcast to one shape; its dimensions of size 1 go, and those over which all operands step evenly become one. What
remains has a kind: ``FLAT`` (one dimension), ``ROWS`` (of an inner loop), or ``TILES``, where an operand lies across the others, its
elements side by side along the rows, so that a tile of it is best turned over first. And each operand has a letter:

==  ===========================================================================================================
c   side by side along the inner loop
s   one value for the whole inner loop
x   any stride
t   lies across (in tiles)
==  ===========================================================================================================

A kernel runs over a part of each of some rows. It is told by its slots: the pointers, each operand's step along a row, the number of
rows, and each operand's step from row to row. What walks over more dimensions or tiles (see ``walk``) finds the same in its slots;
then the address of the kernel, the operands' item sizes, the size of a row, the number of outer dimensions, their sizes, and each
operand's strides over them. Steps and strides are in elements.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..native import cache, runtime as rt
from ..native.words import call, float_bits, get, load, load32, put, store

FLAT, ROWS, TILES = range(3)
LETTERS = "csxt"
_C, _S, _X, _T = range(4)
TILE_ROWS, TILE_COLUMNS = 16, 32  # a cache line of 4-byte elements down
_FEWEST = 8  # rows and columns that are worth a tile
EXACT = 2**53  # integers up to this are passed as float64
_CONTIGUITY = rt.C_CONTIGUOUS | rt.F_CONTIGUOUS

# Words of the memory that an arrangement is worked out in: these, then the sizes of the broadcast shape, then the merged ones, then per
# operand its dtype (0: a float, 1: an int), its number, its letter, whether it has no dimension among others that have, and its strides.
UNITS, RANK, MERGED, COLUMN_MAJOR = range(4)
SHAPE = 4
_SIZES = SHAPE + rt.MOST_DIMS
DTYPES = _SIZES + rt.MOST_DIMS
_PER_OPERAND = 4 + rt.MOST_DIMS


def words(operands: int) -> tuple[int, int]:
    """How many words the slots of so many operands take at most, and the memory to work in."""
    return operands * 4 + 4 + (operands + 1) * rt.MOST_DIMS, DTYPES + operands * _PER_OPERAND


def number(runtime: int, operand: int, slot: int, room: int) -> int:
    """Native code: point a slot at a Python number as a float64, which an int is turned into in ``room``. What stands for its dtype (0: a
    float, 1: an int), or -1 for anything else."""
    kind = load(operand + rt.TYPE)
    if kind == get(runtime, rt.FLOAT):
        store(slot, operand + rt.FLOAT_VALUE)
        return 0
    if kind != get(runtime, rt.INT):
        return -1
    store(room, 0)
    value = call(get(runtime, rt.LONG_AND_OVERFLOW), operand, room)
    if load(room) != 0 or value > EXACT or value < -EXACT:
        return -1
    store(room, float_bits(value))
    store(slot, room)
    return 1


def _operands_of(runtime: int, args: int, given: int, operands: int, inputs: int, slots: int, work: int) -> bool:
    """Fill in pointers and dtypes, and the rank; whether all are what a kernel takes."""
    dtypes, numbers = work + 8 * DTYPES, work + 8 * (DTYPES + operands)
    rank, arrays = 0, 0
    for k in range(given):
        operand, dtype = get(args, k), 0
        kind = load(operand + rt.TYPE)
        if kind == get(runtime, rt.NDARRAY):
            if load32(operand + rt.FLAGS) & rt.ALIGNED == 0:
                return False
            dtype = load(operand + rt.DESCR)
            put(slots, k, load(operand + rt.DATA))
            rank = max(rank, load32(operand + rt.NDIM))
            arrays += k < inputs
        else:
            dtype = number(runtime, operand, slots + 8 * k, numbers + 8 * k) if k < inputs else -1
            if dtype < 0:
                return False
        put(dtypes, k, dtype)
    put(work, RANK, rank)
    return arrays > 0


def _broadcast(args: int, given: int, operands: int, inputs: int, work: int) -> bool:
    """Fill in the broadcast shape, each operand's strides over its dimensions that are not 1, and their number; whether that goes."""
    dtypes, shape, sizes = work + 8 * DTYPES, work + 8 * SHAPE, work + 8 * _SIZES
    alone = work + 8 * (DTYPES + 3 * operands)
    strides = work + 8 * (DTYPES + 4 * operands)
    rank, merged = get(work, RANK), 0
    for d in range(rank):
        put(shape, d, 1)
    for k in range(given):
        if get(dtypes, k) > 1:
            missing = rank - load32(get(args, k) + rt.NDIM)
            for d in range(missing, rank):
                n = get(load(get(args, k) + rt.SHAPE), d - missing)
                if n != 1:
                    if get(shape, d) != 1 and get(shape, d) != n:
                        return False
                    put(shape, d, n)
    column_major = True
    for k in range(inputs):
        if get(dtypes, k) > 1:
            operand = get(args, k)
            column_major = column_major and load32(operand + rt.FLAGS) & _CONTIGUITY == rt.F_CONTIGUOUS and load32(operand + rt.NDIM) == rank
            for d in range(rank if column_major else 0):
                column_major = column_major and get(load(operand + rt.SHAPE), d) == get(shape, d)
    put(work, COLUMN_MAJOR, column_major)
    for d in range(rank):
        if get(shape, d) != 1:
            put(sizes, merged, get(shape, d))
            merged += 1
    for k in range(operands):
        row, m = strides + 8 * rt.MOST_DIMS * k, 0
        put(alone, k, 0)
        if k >= given:
            step = 1
            for i in range(merged):
                d = i if column_major else merged - 1 - i
                put(row, d, step)
                step *= get(sizes, d)
        elif get(dtypes, k) <= 1:
            for d in range(merged):
                put(row, d, 0)
        else:
            operand, item = get(args, k), load(get(dtypes, k) + rt.ITEMSIZE)
            ndim = load32(operand + rt.NDIM)
            put(alone, k, ndim == 0 and rank > 0)
            if (k >= inputs and ndim != rank) or item & (item - 1) or item > 16:
                return False
            shift = (item > 1) + (item > 2) + (item > 4) + (item > 8)
            for d in range(rank):
                here = d - (rank - ndim)
                n = get(load(operand + rt.SHAPE), here) if here >= 0 else 1
                if k >= inputs and n != get(shape, d):
                    return False
                if get(shape, d) != 1:
                    step = get(load(operand + rt.STRIDES), here) if n != 1 else 0
                    if step & (item - 1):
                        return False
                    put(row, m, step >> shift)
                    m += 1
    put(work, MERGED, merged)
    return True


def _swap(work: int, operands: int, a: int, b: int) -> None:
    """Exchange two dimensions: only which is the last one matters."""
    row = work + 8 * _SIZES
    for k in range(operands + 1):
        first = get(row, a)
        put(row, a, get(row, b))
        put(row, b, first)
        row = work + 8 * (DTYPES + 4 * operands + rt.MOST_DIMS * k)


def _merge(operands: int, work: int) -> None:
    """Join neighbouring dimensions where every operand steps evenly over both."""
    sizes, strides = work + 8 * _SIZES, work + 8 * (DTYPES + 4 * operands)
    last = 0
    for d in range(1, get(work, MERGED)):
        even = True
        for k in range(operands):
            row = strides + 8 * rt.MOST_DIMS * k
            even = even and get(row, last) == get(row, d) * get(sizes, d)
        if even:
            put(sizes, last, get(sizes, last) * get(sizes, d))
        else:
            last += 1
            put(sizes, last, get(sizes, d))
        for k in range(operands):
            row = strides + 8 * rt.MOST_DIMS * k
            put(row, last, get(row, d))
    put(work, MERGED, last + 1)


def arrange_native(runtime: int, args: int, given: int, operands: int, inputs: int, slots: int, work: int) -> int:
    """Native code: look at ``given`` Python objects, inputs and then outputs (outputs that are not given are new: row-major, or column-major
    where all arrays among the inputs are that and of one shape), and fill in the slots and the memory to work in; the kind, or -1 where no
    kernel can run on them. It raises nothing and needs the interpreter's lock."""
    if not _operands_of(runtime, args, given, operands, inputs, slots, work):
        return -1
    if not _broadcast(args, given, operands, inputs, work):
        return -1
    dtypes, sizes, letters = work + 8 * DTYPES, work + 8 * _SIZES, work + 8 * (DTYPES + 2 * operands)
    strides = letters + 16 * operands
    merged, n = get(work, MERGED), 1
    for d in range(merged):
        n *= get(sizes, d)
    if merged == 0 or n == 0:
        merged = 1
        put(sizes, 0, n)
        for k in range(operands):
            put(strides + 8 * rt.MOST_DIMS * k, 0, k >= given or get(dtypes, k) > 1)
    elif given > inputs or get(work, COLUMN_MAJOR) != 0:  # in the order of the output's memory
        row = strides + 8 * rt.MOST_DIMS * inputs
        for d in range(1, merged):
            e = d
            while e > 0 and abs(get(row, e - 1)) < abs(get(row, e)):
                _swap(work, operands, e - 1, e)
                e -= 1
    put(work, MERGED, merged)
    _merge(operands, work)
    merged = get(work, MERGED)
    inner, beside = merged - 1, merged - 2
    kind = FLAT if merged == 1 else ROWS
    across = -1
    for k in range(operands):
        row = strides + 8 * rt.MOST_DIMS * k
        step, letter = get(row, inner), _X
        if step == 0:
            letter = _S
        elif step == 1:
            letter = _C
        elif k < inputs and get(sizes, inner) >= _FEWEST and get(dtypes, k) > 1 and load(get(dtypes, k) + rt.ITEMSIZE) <= 8:
            for d in range(inner):
                if across < 0 and get(row, d) == 1 and get(sizes, d) >= _FEWEST:
                    across = d
        put(letters, k, letter)
    if across >= 0:
        kind = TILES
        if across != beside:
            _swap(work, operands, across, beside)
        for k in range(inputs):
            if get(letters, k) == _X and get(strides + 8 * rt.MOST_DIMS * k, beside) == 1 and load(get(dtypes, k) + rt.ITEMSIZE) <= 8:
                put(letters, k, _T)
    outer, units = max(beside, 0), n
    rows = get(sizes, beside) if merged > 1 else 1
    steps, down, item_sizes = slots + 8 * operands, slots + 8 * (2 * operands + 1), slots + 8 * (3 * operands + 2)
    beyond = slots + 8 * (4 * operands + 4)
    put(slots, 2 * operands, rows)
    put(slots, 3 * operands + 1, 0)
    put(slots, 4 * operands + 2, get(sizes, inner))
    put(slots, 4 * operands + 3, outer)
    for k in range(operands):
        row = strides + 8 * rt.MOST_DIMS * k
        put(steps, k, get(row, inner))
        put(down, k, get(row, beside) if merged > 1 else 0)
        put(item_sizes, k, load(get(dtypes, k) + rt.ITEMSIZE) if k < given and get(dtypes, k) > 1 else 8)
        for d in range(outer):
            put(beyond, outer + k * outer + d, get(row, d))
    if kind == TILES:
        units = (rows + TILE_ROWS - 1) // TILE_ROWS * ((get(sizes, inner) + TILE_COLUMNS - 1) // TILE_COLUMNS)
    for d in range(outer):
        put(beyond, d, get(sizes, d))
        if kind == TILES:
            units *= get(sizes, d)
    put(work, UNITS, units)
    return kind


@functools.cache
def _native() -> Any:
    return ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 7)(cache.native_words(arrange_native))


class Arrangement(NamedTuple):
    """``slots`` are those after the pointers; ``alone`` says which operands have no dimension among others that have."""

    kind: int
    letters: str
    alone: tuple[bool, ...]
    units: int
    slots: tuple[int, ...]

    @property
    def row(self) -> str:
        """The letters as a kernel sees them: what lies across is turned over before."""
        return self.letters.replace("t", "c")

    def slots_with(self, kernel: int) -> tuple[int, ...]:
        """The slots, with the address of the kernel where there is a walk."""
        count = len(self.letters)
        return self.slots if self.kind == FLAT else (*self.slots[: 2 * count + 1], kernel, *self.slots[2 * count + 2 :])


def arrange(inputs: Sequence[Any], outputs: Sequence[Any]) -> Arrangement:
    """How inputs (arrays and numbers) and outputs (arrays of the broadcast shape) lie beside each other.

    Raises:
        ValueError: when no kernel can run on them: misaligned, or not of one shape.
    """
    count = len(inputs) + len(outputs)
    slots, work = (np.empty(n, np.int64) for n in words(count))
    args = np.array([id(operand) for operand in (*inputs, *outputs)], np.int64)
    kind = _native()(rt.address, args.ctypes.data, count, count, len(inputs), slots.ctypes.data, work.ctypes.data)
    if kind < 0:
        raise ValueError("operands that no elementwise kernel can run on: misaligned, or their shapes don't broadcast to the outputs'")
    first = DTYPES + 2 * count
    letters = "".join([LETTERS[i] for i in work[first : first + count]])
    alone = tuple(work[first + count : first + 2 * count].astype(bool).tolist())
    used = 2 * count + 1 if kind == FLAT else 3 * count + 4 + int(slots[4 * count + 3]) * (count + 1)
    return Arrangement(kind, letters, alone, int(work[UNITS]), tuple(slots[count : count + used].tolist()))
