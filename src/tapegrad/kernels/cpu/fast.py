"""An operation's fast path: native code that looks at the operands, makes the outputs, finds the kernel and runs it.

``Fast.call`` takes arrays that are all row-major or all column-major and of one shape, which its outputs are then, too, and Python
numbers; ``Fast.wide`` takes arrays of any layout that broadcast. Both return None where the table has no kernel for such operands; the
general path then compiles one and has it learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..native import cache, runtime as rt
from ..native.call import builtin, none, run
from ..native.words import call, get, load, load32, put, stack_words, store
from ..once import once
from . import arrange as layouts
from .arrange import LETTERS, Arrangement
from .arrays import new_array

# Words of a fast path's control block. Its table: the number of rows; then rows of the pattern, the operands' dtypes (0: a float, 1: an
# int), what to launch, the kernel which that calls, the grain, and the outputs' dtypes.
_RUNTIME, _INPUTS, _OUTPUTS, _GIVEN, _ROWS = range(5)
_CAPACITY = 48
MOST_OPERANDS = 15  # and outputs; operations with more take the general path
_FRAME, (_SLOTS, _WORK) = 3 * MOST_OPERANDS + 1, layouts.words(MOST_OPERANDS)
_SCALAR = LETTERS.index("s")


def pattern_of(arrangement: Arrangement) -> int:
    """An arrangement as the word that the table is searched for."""
    word = arrangement.kind
    for k, letter in enumerate(arrangement.letters):
        word |= LETTERS.index(letter) << (2 + 4 * k)
    for k, alone in enumerate(arrangement.alone):
        word |= alone << (5 + 4 * k)
    return word


def _find(control: int, pattern: int, dtypes: int, inputs: int, outputs: int, given: int) -> int:
    """The rest of the table's row for such operands, or 0: what to launch, the kernel it calls, the grain, the outputs' dtypes."""
    table = get(control, _ROWS)
    row = table + 8
    for _ in range(load(table)):
        if load(row) == pattern:
            same = True
            for i in range(inputs):
                same = same and load(row + 8 + 8 * i) == get(dtypes, i)
            for k in range(outputs if given else 0):
                same = same and get(row, 4 + inputs + k) == get(dtypes, inputs + k)
            if same:
                return row + 8 + 8 * inputs
        row += 8 * (4 + inputs + outputs)
    return 0


def _ready(runtime: int, n: int, grain: int) -> int:
    """Whether the threads that a kernel would use have been started; the general path does that."""
    return n <= grain or get(runtime, rt.THREADS) <= 1 or get(runtime, rt.PARALLEL_FOR) != 0


def _finish(
    runtime: int, args: int, given: int, inputs: int, outputs: int, row: int, ndim: int, shape: int, column_major: int, slots: int, n: int, grain: int
) -> int:
    """Make the outputs, unless they are given, and run the kernel; the result, or 0 with an exception set."""
    kernel, result = load(row), 0
    if given:
        result = load(args + 8 * inputs)
        call(get(runtime, rt.INCREF), result)
    else:
        if outputs > 1:
            result = call(get(runtime, rt.TUPLE_NEW), outputs)
            if result == 0:
                return 0
        for k in range(outputs):
            dtype = load(row + 24 + 8 * k)
            call(get(runtime, rt.INCREF), dtype)
            array = new_array(runtime, ndim, shape, dtype, column_major)
            if array == 0:
                if outputs > 1:
                    call(get(runtime, rt.DECREF), result)
                return 0
            store(slots + 8 * (inputs + k), load(array + rt.DATA))
            if outputs > 1:
                call(get(runtime, rt.TUPLE_SET), result, k, array)
            else:
                result = array
    if n > 0:
        run(runtime, kernel, slots, n, grain)
    return result


def _fast(self: int, args: int, nargs: int) -> int:
    control = load(self + rt.DATA)
    runtime = load(control)
    inputs, outputs, given = get(control, _INPUTS), get(control, _OUTPUTS), get(control, _GIVEN)
    if nargs != (inputs + outputs if given else inputs) or inputs + outputs > MOST_OPERANDS:
        return none(runtime)
    first, ndim, shape, pattern, order = 0, 0, 0, 0, rt.C_CONTIGUOUS | rt.F_CONTIGUOUS
    slots, dtypes, numbers = stack_words(_FRAME), stack_words(MOST_OPERANDS), stack_words(MOST_OPERANDS)
    store(slots + 16 * (inputs + outputs), 1)  # row
    for i in range(nargs):
        operand, dtype = get(args, i), 0
        kind = load(operand + rt.TYPE)
        if kind == get(runtime, rt.NDARRAY):
            flags = load32(operand + rt.FLAGS)
            order &= flags
            if order == 0 or flags & rt.ALIGNED == 0:
                return none(runtime)
            if first == 0:
                first, ndim, shape = operand, load32(operand + rt.NDIM), load(operand + rt.SHAPE)
            else:
                if load32(operand + rt.NDIM) != ndim:
                    return none(runtime)
                mine = load(operand + rt.SHAPE)
                for d in range(ndim):
                    if get(mine, d) != get(shape, d):
                        return none(runtime)
            put(slots, i, load(operand + rt.DATA))
            dtype = load(operand + rt.DESCR)
        else:
            dtype = layouts.number(runtime, operand, slots + 8 * i, numbers + 8 * i) if i < inputs else -1
            if dtype < 0:
                return none(runtime)
            pattern |= _SCALAR << (2 + 4 * i)
        put(dtypes, i, dtype)
    if first == 0:
        return none(runtime)
    row, n = _find(control, pattern, dtypes, inputs, outputs, given), 1
    for d in range(ndim):
        n *= get(shape, d)
    if row == 0 or not _ready(runtime, n, load(row + 16)):
        return none(runtime)
    return _finish(runtime, args, given, inputs, outputs, row, ndim, shape, order == rt.F_CONTIGUOUS, slots, n, load(row + 16))


def _wide(self: int, args: int, nargs: int) -> int:
    control = load(self + rt.DATA)
    runtime = load(control)
    inputs, outputs, given = get(control, _INPUTS), get(control, _OUTPUTS), get(control, _GIVEN)
    operands = inputs + outputs
    if nargs != (operands if given else inputs) or operands > MOST_OPERANDS:
        return none(runtime)
    slots, work = stack_words(_SLOTS), stack_words(_WORK)
    pattern = layouts.arrange_native(runtime, args, nargs, operands, inputs, slots, work)
    if pattern < 0:
        return none(runtime)
    tiles, letters = pattern == layouts.TILES, work + 8 * (layouts.DTYPES + 2 * operands)
    for k in range(operands):
        pattern |= (get(letters, k) | get(letters, operands + k) << 3) << (2 + 4 * k)
    row, n = _find(control, pattern, work + 8 * layouts.DTYPES, inputs, outputs, given), load(work + 8 * layouts.UNITS)
    if row == 0:
        return none(runtime)
    store(slots + 8 * (3 * operands + 1), load(row + 8))
    for k in range(outputs):
        store(slots + 8 * (3 * operands + 2 + inputs + k), load(load(row + 24 + 8 * k) + rt.ITEMSIZE))
    grain = load(row + 16)
    if tiles:
        grain = max(1, grain // (layouts.TILE_ROWS * layouts.TILE_COLUMNS))
    if not _ready(runtime, n, grain):
        return none(runtime)
    rank, column_major = load(work + 8 * layouts.RANK), load(work + 8 * layouts.COLUMN_MAJOR)
    return _finish(runtime, args, given, inputs, outputs, row, rank, work + 8 * layouts.SHAPE, column_major, slots, n, grain)


class Fast:
    """An operation's fast path, and the table of kernels it chooses from.

    ``call(*operands)`` and ``wide(*operands)`` return the new output array (a tuple when there are several), or None. With
    ``given=True`` the outputs are passed after the inputs, and the first of them is returned.
    """

    def __init__(self, inputs: int, outputs: int, *, given: bool = False) -> None:
        self._table = np.zeros(1, np.int64)
        self._control = np.array([rt.address, inputs, outputs, given, self._table.ctypes.data], np.int64)
        self._keep: list[Any] = []
        self._known: set[tuple[int, ...]] = set()
        self.call = builtin(_fast, self._control)

    @once
    def wide(self) -> Callable[..., Any]:
        """As ``call``, for arrays of any layout that broadcast."""
        return builtin(_wide, self._control)

    def add(
        self, operands: Sequence[Any], arrangement: Arrangement, kernels: Callable[[], tuple[int, int]], grain: int, out_dtypes: Sequence[np.dtype[Any]]
    ) -> None:
        """Let the fast path run what ``kernels`` compiles on inputs (and given outputs) like these, unless it does already."""
        inputs = (pattern_of(arrangement), *map(_kind, operands))
        outputs = tuple(map(id, out_dtypes))
        key = (*inputs, *outputs)
        if len(self._known) >= _CAPACITY or key in self._known or len(arrangement.letters) > MOST_OPERANDS:
            return
        row = np.array([*inputs, *kernels(), grain, *outputs], np.int64)
        with cache.lock:
            table = np.concatenate([self._table, row])
            table[0] += 1
            # Another thread may be about to read the old table, and it has addresses of dtypes: nothing is let go.
            self._keep += [self._table, *out_dtypes, *[x.dtype for x in operands if isinstance(x, np.ndarray)]]
            self._known.add(key)
            self._table = table
            self._control[_ROWS] = table.ctypes.data


def _kind(operand: Any) -> int:
    if isinstance(operand, np.ndarray):
        return id(operand.dtype)
    return 1 if operand.__class__ is int else 0
