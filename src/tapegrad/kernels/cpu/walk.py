"""From any number of dimensions to the rows that an elementwise operation is compiled for: kernels that call its kernel.

They depend on how many operands there are and not on what is computed, so a new layout of operands compiles nothing for most
operations. See ``arrange`` for the slots.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..native import cache
from .arrange import TILE_COLUMNS, TILE_ROWS, TILES, Arrangement


def walker(where: Arrangement, dtypes: tuple[Any, ...]) -> int:
    """The address of what runs a kernel over operands of these dtypes (None: a number) that lie as ``where`` says."""
    count = len(where.letters)
    if where.kind != TILES:
        return cache.native(f"rows of {count}", lambda: _rows(count))
    across = tuple([(k, np.dtype(dtypes[k]).itemsize) for k, letter in enumerate(where.letters) if letter == "t"])
    return cache.native(f"tiles of {count}, turning {across}", lambda: _tiles(count, across))


def _entering(count: int) -> Any:
    """Native code that points a kernel's slots, in ``frame``, at a row and a column of a plane."""
    from numba import njit

    from ..native.abi import get, put

    DOWN, SIZES, OUTER = 2 * count + 1, 3 * count + 2, 4 * count + 3

    @njit(error_model="numpy", forceinline=True)  # type: ignore[untyped-decorator]
    def enter(slots, frame, plane, row, column):  # type: ignore[no-untyped-def]
        outer = slots[OUTER]
        sizes, strides = OUTER + 1, OUTER + 1 + outer
        for k in range(count):
            put(frame, k, slots[k] + (row * slots[DOWN + k] + column * slots[count + k]) * slots[SIZES + k])
        for d in range(outer - 1, -1, -1):
            size = slots[sizes + d]
            index = plane % size
            plane = plane // size
            for k in range(count):
                put(frame, k, get(frame, k) + index * slots[strides + k * outer + d] * slots[SIZES + k])

    return enter


def _rows(count: int) -> Any:
    from ..native.abi import call_kernel, put, stack_words

    enter = _entering(count)
    ROWS, FRAME, KERNEL, INNER = 2 * count, 3 * count + 1, 3 * count + 1, 4 * count + 2

    def walk(slots, start, stop):  # type: ignore[no-untyped-def]
        """Over elements; the first row and the last may be cut."""
        kernel, rows, inner = slots[KERNEL], slots[ROWS], slots[INNER]
        frame = stack_words(FRAME)
        for word in range(count, FRAME):
            put(frame, word, slots[word])
        position, first = start, start % inner
        row, plane = start // inner % rows, start // inner // rows
        while position < stop:
            enter(slots, frame, plane, row, 0)
            last = min(inner, first + stop - position)
            whole = 1 if last - first < inner else min(rows - row, (stop - position) // inner)
            put(frame, ROWS, whole)
            call_kernel(kernel, frame, first, last)
            position += whole * (last - first)
            first = 0
            row += whole
            if row == rows:
                row, plane = 0, plane + 1

    return walk


def _tiles(count: int, across: tuple[tuple[int, int], ...]) -> Any:
    from ..native.abi import call_kernel, put, stack_words

    enter, (turn, BYTES) = _entering(count), _turning(count, across)
    ROWS, FRAME, KERNEL, INNER, WORDS = 2 * count, 3 * count + 1, 3 * count + 1, 4 * count + 2, BYTES // 8

    def walk(slots, start, stop):  # type: ignore[no-untyped-def]
        """Over tiles, going down; an operand that lies across is turned over into memory on the stack."""
        kernel, rows, inner = slots[KERNEL], slots[ROWS], slots[INNER]
        frame, memory = stack_words(FRAME), stack_words(WORDS)
        for word in range(count, FRAME):
            put(frame, word, slots[word])
        down = (rows + TILE_ROWS - 1) // TILE_ROWS
        in_plane = down * ((inner + TILE_COLUMNS - 1) // TILE_COLUMNS)
        for tile in range(start, stop):
            place = tile % in_plane
            top, left = place % down * TILE_ROWS, place // down * TILE_COLUMNS
            height, width = min(TILE_ROWS, rows - top), min(TILE_COLUMNS, inner - left)
            enter(slots, frame, tile // in_plane, top, left)
            turn(slots, frame, memory, height, width)
            put(frame, ROWS, height)
            call_kernel(kernel, frame, 0, width)

    return walk


def _turning(count: int, across: tuple[tuple[int, int], ...]) -> tuple[Any, int]:
    """Native code that turns over the tile of each operand in ``across`` (its number and item size), and the bytes that takes."""
    from numba import njit

    from ..native.abi import get, put
    from .transpose import turners

    out, bytes_ = ["def turn(slots, frame, memory, height, width):"], 0
    for k, size in across:
        out += [f"    turn{size}(get(frame, {k}), slots[{count + k}] * {size}, memory + {bytes_}, height, width)"]
        out += [f"    put(frame, {k}, memory + {bytes_})", f"    put(frame, {2 * count + 1 + k}, {TILE_COLUMNS})"]
        bytes_ += TILE_ROWS * TILE_COLUMNS * size
    scope: dict[str, Any] = {"get": get, "put": put, **turners()}
    exec(compile("\n".join(out), "<tapegrad tiles>", "exec"), scope)
    return njit(error_model="numpy", forceinline=True)(scope["turn"]), bytes_
