"""The kernels of ``scan.py``: they walk one axis of a contiguous (outer, n, inner) array.

Imported only when one of them has to be compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ...native import abi
from ...native.abi import inline, stack_bytes
from .layout import BLOCK_BYTES, LEVELS, TILE_BYTES
from .micro import converters
from .tree import reducer

_TREE_BYTES = 8 * LEVELS
_SEEK = 256  # elements looked at together
_INDEX_BYTES = 8 * TILE_BYTES


def _comparison(op: str) -> Any:
    """Whether a value takes the place of the best before it: strictly better, or the first NaN."""
    if op == "max":
        return inline(lambda value, best: (value > best) | ((value != value) & (best == best)))
    return inline(lambda value, best: (value < best) | ((value != value) & (best == best)))


def find(op: str, dtype: str) -> Any:
    """Extremum and first index along contiguous lanes: slots operand, values, indices, (n, chunks, share).

    A unit is a chunk of a lane.
    """
    pieces = reducer(op, dtype)
    block, push, total = pieces.block, pieces.push, pieces.total
    operand, word = abi.POINTERS[dtype], abi.POINTERS["int64"]
    SIZE = np.dtype(dtype).itemsize
    BLOCK = BLOCK_BYTES // SIZE

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        n, chunks, share = slots[3], slots[4], slots[5]
        tree = stack_bytes(_TREE_BYTES)
        values, indices = operand(slots[1]), word(slots[2])
        for unit in range(start, stop):
            lane = slots[0] + unit // chunks * n * SIZE
            first = unit % chunks * share
            last = min(n, first + share)
            pushed = 0
            for i in range(first, last, BLOCK):
                pushed = push(tree, pushed, block(lane + i * SIZE, min(BLOCK, last - i)))
            best = total(tree, pushed)
            values[unit] = best
            elements = operand(lane)
            i = first
            while i + _SEEK < last:
                found = False
                for k in range(i, i + _SEEK):  # there are NaNs only when the best is one
                    found |= (elements[k] == best) | (elements[k] != elements[k])
                if found:
                    break
                i += _SEEK
            while not (elements[i] == best) | (elements[i] != elements[i]):
                i += 1
            indices[unit] = i

    return kernel


def find_columns(op: str, dtype: str) -> Any:
    """Extremum and first index along strided lanes: slots operand, values, indices, n, inner, chunks, share.

    A unit is a tile of lanes, or a chunk of it; the results are (outer, chunks, inner).
    """
    better = _comparison(op)
    operand, word = abi.POINTERS[dtype], abi.POINTERS["int64"]
    SIZE = np.dtype(dtype).itemsize
    TILE = TILE_BYTES // SIZE

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        n, inner, chunks, share = slots[3], slots[4], slots[5], slots[6]
        tiles = (inner + TILE - 1) // TILE
        best, where = operand(stack_bytes(TILE_BYTES)), word(stack_bytes(_INDEX_BYTES))
        for unit in range(start, stop):
            chunk, tile, outer = unit % chunks, unit // chunks % tiles, unit // chunks // tiles
            wide = min(TILE, inner - tile * TILE)
            first = chunk * share
            begin = slots[0] + (outer * n * inner + tile * TILE) * SIZE
            row = operand(begin + first * inner * SIZE)
            for j in range(wide):
                best[j] = row[j]
                where[j] = first
            for i in range(first + 1, min(n, first + share)):
                row = operand(begin + i * inner * SIZE)
                for j in range(wide):
                    take = better(row[j], best[j])
                    best[j] = row[j] if take else best[j]
                    where[j] = i if take else where[j]
            place = (outer * chunks + chunk) * inner + tile * TILE
            values, indices = operand(slots[1]), word(slots[2])
            for j in range(wide):
                values[place + j] = best[j]
                indices[place + j] = where[j]

    return kernel


def join(op: str, dtype: str) -> Any:
    """The first best of the chunks of each lane: slots part values, part indices, values, indices, chunks, inner."""
    better = _comparison(op)
    operand, word = abi.POINTERS[dtype], abi.POINTERS["int64"]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        parts, places, values, indices = operand(slots[0]), word(slots[1]), operand(slots[2]), word(slots[3])
        chunks, inner = slots[4], slots[5]
        for unit in range(start, stop):
            at = unit // inner * chunks * inner + unit % inner
            best, where = parts[at], places[at]
            for chunk in range(1, chunks):
                value = parts[at + chunk * inner]
                if better(value, best):
                    best, where = value, places[at + chunk * inner]
            values[unit] = best
            indices[unit] = where

    return kernel


def running_sum(source: str, compute: str, result: str) -> Any:
    """Sums from the start (or the end) of each lane: slots operand, output, n, inner, whether from the end.

    A unit is a tile of lanes. One accumulator a lane, of dtype ``compute``.
    """
    read, write, T = converters(source, compute), converters(result, compute), getattr(types, compute)
    load, store, operand, output = read.load, write.store, read.pointer, write.pointer
    sums_at = abi.POINTERS[compute]
    SIZE, WIDE = read.size, write.size
    TILE = TILE_BYTES // np.dtype(compute).itemsize

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        n, inner = slots[2], slots[3]
        tiles = (inner + TILE - 1) // TILE
        sums = sums_at(stack_bytes(TILE_BYTES))
        for unit in range(start, stop):
            outer, tile = unit // tiles, unit % tiles
            wide = min(TILE, inner - tile * TILE)
            place, step = outer * n * inner + tile * TILE, inner
            if slots[4]:
                place, step = place + (n - 1) * inner, -inner
            if wide == 1:
                source, target = operand(slots[0]), output(slots[1])
                running = T(0)
                for _ in range(n):
                    running = T(running + load(source[place]))
                    target[place] = store(running)
                    place += step
                continue
            for j in range(wide):
                sums[j] = T(0)
            for _ in range(n):
                source, target = operand(slots[0] + place * SIZE), output(slots[1] + place * WIDE)
                for j in range(wide):
                    sums[j] = T(sums[j] + load(source[j]))
                    target[j] = store(sums[j])
                place += step

    return kernel
