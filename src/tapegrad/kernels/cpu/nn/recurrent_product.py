"""A small matrix product by weights that are packed once and used many times, for kernels to call by address.

The register tile is that of ``linalg.micro``. Imports Numba only inside the functions that build kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...native import cache
from ...native.call import launcher
from ..arrays import empty
from ..linalg.gemm_kernels import ALIGN, Tile, host_blocking, panel_packer

Array = np.ndarray[Any, Any]


def packed(weight: Array) -> tuple[int, Array, int]:
    """The product's kernel, weights (depth, n) as it reads them, and the number of their panels, the kernel's units.

    Its slots: A, the packed weights, C, A's rows, depth, n, bytes between A's rows. It writes C, (rows, n), whose elements depend on
    nothing but their row and column.
    """
    tile, size = host_blocking().tile, weight.itemsize
    depth, n = weight.shape
    columns = tile.vectors * tile.vector_bytes // size
    panels = -(-n // columns)
    space = empty((panels * columns * depth * size + ALIGN,), np.dtype(np.uint8))
    launcher()(_kernel("pack", weight.dtype.name, tile), panels, max(panels, 1), weight, space, depth, n, *weight.strides)
    return _kernel("product", weight.dtype.name, tile), space, panels


@functools.cache
def _kernel(kind: str, name: str, tile: Tile) -> int:
    return cache.native(f"recurrent {kind}:{name}:{tuple(tile)}", lambda: _sources(name, tile)[kind])


def _sources(name: str, tile: Tile) -> dict[str, Callable[..., None]]:
    from ...native.abi import stack_words
    from ..linalg.micro import micro_kernel, partial_store
    from ..vector import Vector

    SIZE = np.dtype(name).itemsize
    LANES = tile.vector_bytes // SIZE
    COLUMNS, ROWS = tile.vectors * LANES, tile.rows
    EDGE_WORDS = ROWS * tile.vectors * tile.vector_bytes // 8
    vector = Vector(SIZE, LANES)
    multiply = micro_kernel(vector, [tile.vectors] * ROWS, tile.fused)
    put, pack_panel = partial_store(vector), panel_packer(name, tile)

    def pack(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: weights, space, depth, n, bytes between rows and columns. A unit is a panel: its rows, padded to whole vectors."""
        depth, n, b_row, b_column = slots[2], slots[3], slots[4], slots[5]
        for panel in range(start, stop):
            width = min(COLUMNS, n - panel * COLUMNS)
            source = slots[0] + panel * COLUMNS * b_column
            target = ((slots[1] + ALIGN - 1) & -ALIGN) + panel * depth * COLUMNS * SIZE
            pack_panel(source, b_row, b_column, target, depth, width)

    def product(slots, start, stop):  # type: ignore[no-untyped-def]
        rows, depth, n, a_row = slots[3], slots[4], slots[5], slots[6]
        space = (slots[1] + ALIGN - 1) & -ALIGN
        tiles = (rows + ROWS - 1) // ROWS
        edge = stack_words(EDGE_WORDS)
        for panel in range(start, stop):
            column = panel * COLUMNS
            width = min(COLUMNS, n - column)
            vectors = (width + LANES - 1) // LANES
            whole = width == vectors * LANES
            for t in range(tiles):
                first = t * rows // tiles
                count = (t + 1) * rows // tiles - first
                target = slots[2] + (first * n + column) * SIZE
                multiply(
                    count,
                    vectors,
                    depth,
                    slots[0] + first * a_row,
                    a_row,
                    SIZE,
                    space + panel * depth * COLUMNS * SIZE,
                    vectors * LANES * SIZE,
                    target if whole else edge,
                    n * SIZE if whole else COLUMNS * SIZE,
                    0,
                )
                if not whole:  # the tile is wider than C
                    for i in range(count):
                        for j in range(0, width, LANES):
                            put(edge + (i * COLUMNS + j) * SIZE, target + (i * n + j) * SIZE, width - j, 0)

    return {"pack": pack, "product": product}
