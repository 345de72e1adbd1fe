"""The kernels of ``reduce.py``, as Python functions; imported only when one of them has to be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ...native import abi
from ...native.abi import float_of_bits, inline, stack_bytes
from ..vmath import functions as vmath
from ..vmath.value import scalar, sqrt
from .layout import (
    BLOCK_BYTES,
    CHUNKS,
    COUNT,
    DIMS,
    KEPT,
    LEVELS,
    OFFSET,
    OUTPUTS,
    REDUCED,
    ROWS,
    RUNS,
    SHARE,
    STEP,
    TILE_BYTES,
    WIDTH,
    WIDTH_OUT,
    WIDTH_STEP,
)
from .micro import converters
from .tree import offset_of, reducer

_KEPT_WORDS, _REDUCED_WORDS = 3, 2
_TREE_BYTES, _TILE_TREE_BYTES, _ROWS_BYTES = 8 * LEVELS, (LEVELS + 1) * TILE_BYTES, ROWS * TILE_BYTES


def _element_functions(before: str, after: str, compute: str) -> tuple[Any, Any, Any]:
    """(centre at an address and place, what is combined of a value and a centre, result of total, centre and scale)."""
    T, values = getattr(types, compute), abi.POINTERS[compute]
    scope: dict[str, Any] = vmath.functions(compute) if before == "exp" or after == "log" else {}
    exp: Any = scope.get("exp")
    log: Any = scope.get("log")
    root = scalar(sqrt)
    centre = inline(lambda address, place: T(0))
    if before in ("shift", "square") or after == "shift":
        centre = inline(lambda address, place: values(address)[place])
    elif scope:  # never infinite or NaN: nothing becomes inf - inf, and NaN comes back from the elements

        @inline
        def centre(address, place):  # type: ignore[no-untyped-def]
            value = values(address)[place]
            return value if -np.inf < value < np.inf else T(0)

    prepare = {
        "": inline(lambda value, centre: value),
        "shift": inline(lambda value, centre: value - centre),
        "square": inline(lambda value, centre: (value - centre) * (value - centre)),
        "norm": inline(lambda value, centre: value * value),
        "exp": inline(lambda value, centre: T(exp(value - centre))),
    }[before]
    finish = {
        "": inline(lambda value, centre, scale: value),
        "divide": inline(lambda value, centre, scale: value / T(scale)),
        "shift": inline(lambda value, centre, scale: value / T(scale) + centre),
        "log": inline(lambda value, centre, scale: T(log(value)) + centre),
        "norm": inline(lambda value, centre, scale: root(value)),
    }[after]
    return centre, prepare, finish


def reduction(
    by_rows: bool, contiguous: bool, op: str, source: str, compute: str, result: str, before: str, after: str
) -> Any:
    """The kernel that combines elements of dtype ``source`` by ``op`` in dtype ``compute`` into ``result``.

    Slots: operand, output, table (``reduce_layout``), centre (an array shaped as the output, or 0), scale (a float).
    A unit is an output (``by_rows``) or a tile of outputs, or one chunk of such. ``before`` is applied to each element
    and ``after`` to each total, by the names in ``_element_functions``.
    """
    T = getattr(types, compute)
    pieces, read, write = reducer(op, compute), converters(source, compute), converters(result, compute)
    block, push, total = pieces.block, pieces.push, pieces.total
    push_rows, total_rows = pieces.push_rows, pieces.total_rows
    operand, output, values, word = read.pointer, write.pointer, abi.POINTERS[compute], abi.POINTERS["int64"]
    load, store, SIZE, WIDE = read.load, write.store, read.size, np.dtype(compute).itemsize
    centre_at, prepare, finish = _element_functions(before, after, compute)
    BLOCK, TILE = BLOCK_BYTES // WIDE, TILE_BYTES // WIDE
    DIRECT, CONTIGUOUS = contiguous and source == compute and not before, contiguous

    @inline
    def block_of(address, step, count, centre, buffer):  # type: ignore[no-untyped-def]
        """One value from ``count`` elements of a run."""
        if DIRECT:
            return block(address, count)
        elements, prepared = operand(address), values(buffer)
        if CONTIGUOUS:
            for i in range(count):
                prepared[i] = prepare(load(elements[i]), centre)
        else:
            for i in range(count):
                prepared[i] = prepare(load(elements[i * step]), centre)
        return block(buffer, count)

    @inline
    def share_of(table, chunk):  # type: ignore[no-untyped-def]
        """(first run, end, first step of a run, end) of a chunk: some of the runs, or some of the only run."""
        runs, count = table[RUNS], table[COUNT]
        begin = chunk * table[SHARE]
        end = begin + table[SHARE]
        if runs == 1:
            return 0, 1, begin, min(end, count)
        return begin, min(end, runs), 0, count

    def rows(slots, start, stop):  # type: ignore[no-untyped-def]
        table = word(slots[2])
        kept, chunks, step = table[KEPT], table[CHUNKS], table[STEP]
        kept_at = slots[2] + 8 * DIMS
        runs_at = kept_at + 8 * kept * _KEPT_WORDS
        tree, buffer = stack_bytes(_TREE_BYTES), stack_bytes(BLOCK_BYTES)
        scale = float_of_bits(slots[4])
        for unit in range(start, stop):
            index, chunk = unit, 0
            if chunks > 1:
                index, chunk = unit // chunks, unit % chunks
            begin = slots[0] + (table[OFFSET] + offset_of(index, kept_at, kept, _KEPT_WORDS, 1)) * SIZE
            place = offset_of(index, kept_at, kept, _KEPT_WORDS, 2)
            centre = centre_at(slots[3], place)
            run, last_run, first, last = share_of(table, chunk)
            pushed = 0
            while run < last_run:
                base = begin + offset_of(run, runs_at, table[REDUCED], _REDUCED_WORDS, 1) * SIZE
                for i in range(first, last, BLOCK):
                    value = block_of(base + i * step * SIZE, step, min(BLOCK, last - i), centre, buffer)
                    pushed = push(tree, pushed, value)
                run += 1
            value = total(tree, pushed) if pushed else T(0)
            output(slots[1])[place + chunk * table[OUTPUTS]] = store(finish(value, centre, scale))

    def columns(slots, start, stop):  # type: ignore[no-untyped-def]
        table = word(slots[2])
        kept, chunks, step = table[KEPT], table[CHUNKS], table[STEP]
        width, width_step, width_out = table[WIDTH], table[WIDTH_STEP], table[WIDTH_OUT]
        kept_at = slots[2] + 8 * DIMS
        runs_at = kept_at + 8 * kept * _KEPT_WORDS
        tiles = (width + TILE - 1) // TILE
        tree, buffer, centres = stack_bytes(_TILE_TREE_BYTES), stack_bytes(_ROWS_BYTES), stack_bytes(TILE_BYTES)
        scale = float_of_bits(slots[4])
        prepared, centre = values(buffer), values(centres)
        for unit in range(start, stop):
            chunk, tile, index = unit % chunks, unit // chunks % tiles, unit // chunks // tiles
            column = tile * TILE
            wide = min(TILE, width - column)
            begin = slots[0] + SIZE * (
                table[OFFSET] + column * width_step + offset_of(index, kept_at, kept, _KEPT_WORDS, 1)
            )
            place = column * width_out + offset_of(index, kept_at, kept, _KEPT_WORDS, 2)
            for j in range(wide):
                centre[j] = centre_at(slots[3], place + j * width_out)
            run, last_run, first, last = share_of(table, chunk)
            pushed = 0
            while run < last_run:
                base = begin + offset_of(run, runs_at, table[REDUCED], _REDUCED_WORDS, 1) * SIZE
                for i in range(first, last, ROWS):
                    number = min(ROWS, last - i)
                    if DIRECT:
                        pushed = push_rows(tree, pushed, base + i * step * SIZE, step * SIZE, number, wide)
                    else:
                        for r in range(number):
                            elements, row = operand(base + (i + r) * step * SIZE), r * wide
                            if CONTIGUOUS:
                                for j in range(wide):
                                    prepared[row + j] = prepare(load(elements[j]), centre[j])
                            else:
                                for j in range(wide):
                                    prepared[row + j] = prepare(load(elements[j * width_step]), centre[j])
                        pushed = push_rows(tree, pushed, buffer, wide * WIDE, number, wide)
                run += 1
            results = output(slots[1])
            place += chunk * table[OUTPUTS]
            sums = values(total_rows(tree, pushed, wide) if pushed else tree)
            if not pushed:
                for j in range(wide):
                    sums[j] = T(0)
            for j in range(wide):
                results[place + j * width_out] = store(finish(sums[j], centre[j], scale))

    return rows if by_rows else columns
