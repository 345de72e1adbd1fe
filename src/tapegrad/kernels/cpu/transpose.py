"""Turning tiles over: what lies down a tile of the operand lies along a row of the copy. Imported only to compile a kernel."""

from __future__ import annotations

import functools
from typing import Any

from numba import njit

from ..native import abi
from .arrange import TILE_COLUMNS, TILE_ROWS
from .linalg.micro import transpose_block
from .vector import Vector


@functools.cache
def turners() -> dict[str, Any]:
    """By name, ``turn1`` to ``turn8``: ``(source, step, target, height, width)`` for elements of so many bytes.

    ``source`` and ``target`` are addresses, ``step`` the bytes from one column of the tile to the next; its ``height`` rows of at most
    ``TILE_COLUMNS`` go to rows of ``TILE_COLUMNS``.
    """
    return {f"turn{size}": _turner(size) for size in (1, 2, 4, 8)}


def _turner(size: int) -> Any:
    lanes = 64 // size if size >= 4 else 0
    transpose: Any = transpose_block(Vector(size, lanes)) if lanes else None
    pointer, ROW = abi.POINTERS[f"uint{8 * size}"], TILE_COLUMNS * size

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def turn(source, step, target, height, width):  # type: ignore[no-untyped-def]
        done = 0
        if lanes != 0 and height == TILE_ROWS:
            while done + lanes <= width:
                for top in range(0, TILE_ROWS, lanes):
                    transpose(source + done * step + top * size, step, target + top * ROW + done * size, ROW)
                done += lanes
        for j in range(done, width):
            column = pointer(source + j * step)
            for r in range(height):
                pointer(target + r * ROW)[j] = column[r]

    return turn
