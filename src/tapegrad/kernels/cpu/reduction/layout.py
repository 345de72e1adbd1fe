"""How a reduction walks its operand: which dimensions are kept, which are reduced, and where long ones are cut.

Also the small questions about shapes and dtypes that the modules of reductions share.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays import constant
from ..elementwise import copy

Array = np.ndarray[Any, np.dtype[Any]]
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")

BLOCK_BYTES = 4096  # contiguous elements reduced at once
TILE_BYTES = 4096  # columns reduced at once; a page, so that long rows are read as streams
ROWS = 16  # rows of them
LEVELS = 40  # of a tree: 2**40 blocks

# Words of a table; then rows (size, stride, output stride) for kept dimensions and (size, stride) for reduced ones.
OFFSET, RUNS, COUNT, STEP, CHUNKS, SHARE, OUTPUTS, WIDTH, WIDTH_STEP, WIDTH_OUT, KEPT, REDUCED = range(12)
DIMS = 12

_SPLIT_ELEMENTS = 65536  # below, one thread does it
_CHUNK_ELEMENTS = 16384
_UNITS = 16  # wanted, however few the outputs are
_SHORT = 16  # rows of fewer elements go by columns


class Walk(NamedTuple):
    """The walk of one launch: ``rows`` (each unit reduces one output) or columns (a tile of outputs), and its table.

    ``unit_elements`` is the work of a unit. With ``chunks`` above 1 the outputs are (chunks, outputs) partial results.
    """

    rows: bool
    contiguous: bool
    table: np.ndarray[Any, Any]
    units: int
    unit_elements: int
    chunks: int


def walk(shape: tuple[int, ...], strides: tuple[int, ...], reduced: frozenset[int], itemsize: int) -> Walk:
    """Plan a reduction over the dimensions in ``reduced`` to a C-contiguous output; strides are in elements.

    Nothing here depends on the number of threads. ``itemsize`` is that of the values that are combined.
    """
    kept, cut, offset, outputs = [], [], 0, 1
    for d in range(len(shape) - 1, -1, -1):
        size, stride = shape[d], strides[d]
        if d in reduced:
            if stride < 0:  # the order of a reduction is ours
                offset += (size - 1) * stride
                stride = -stride
            if size != 1:
                cut.append((size, stride))
        else:
            if size != 1:
                kept.append((size, stride, outputs))
            outputs *= size
    if any(size == 0 for size, _ in cut):
        cut, offset = [(0, 1)], 0
    kept = _merged([(n, s, o) for n, s, o in reversed(kept)])
    cut = _merged(cut)
    total = math.prod([n for n, *_ in cut])

    rows = not kept or (bool(cut) and _near(cut[-1][1]) < _near(kept[-1][1]))
    if rows and kept and cut[-1][0] < _SHORT and kept[-1][0] >= 2 * _SHORT and len(cut) == 1:
        rows = False
    width, width_step, width_out = (1, 1, 1) if rows else kept.pop()
    tile = TILE_BYTES // itemsize
    tiles = -(-width // tile)
    outer = math.prod([n for n, *_ in kept])
    units = outer * tiles
    count, step = cut.pop() if cut else (1, 1)
    runs = math.prod([n for n, _ in cut])

    chunks, share = 1, max(runs, 1) if runs > 1 else count
    if units < _UNITS // 2 and total * outputs >= _SPLIT_ELEMENTS:
        piece = 1 if runs > 1 else BLOCK_BYTES // itemsize if rows else ROWS
        pieces = -(-share // piece)
        wanted = min(pieces, -(-_UNITS // units), total * outputs // (units * _CHUNK_ELEMENTS))
        if wanted > 1:
            share = -(-pieces // wanted) * piece
            chunks = -(-(runs if runs > 1 else count) // share)
    table = [offset, runs, count, step, chunks, share, outputs, width, width_step, width_out, len(kept), len(cut)]
    for dim in (*kept, *cut):
        table += dim
    return Walk(
        rows,
        (step if rows else width_step) == 1,
        constant(np.array(table, np.int64)),
        units * chunks if outputs else 0,
        total * min(width, tile) // chunks,
        chunks,
    )


def _near(stride: int) -> float:
    return abs(stride) or float("inf")


def _merged(dims: list[Any]) -> list[Any]:
    """Dimensions, the widest steps first, joined where all their strides allow it."""
    joined: list[Any] = []
    for dim in sorted(dims, key=lambda dim: -_near(dim[1])):
        size, *steps = dim
        if joined and all(outer == inner * size for outer, inner in zip(joined[-1][1:], steps, strict=True)):
            joined[-1] = (joined[-1][0] * size, *steps)
        else:
            joined.append(dim)
    return joined


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    if keepdims:
        return tuple(1 if d in axes else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in axes)


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that values of ``dtype`` are combined in; complex numbers as pairs."""
    name = dtype.name
    if name in ("float16", "bfloat16", "complex64"):
        return FLOAT32
    return FLOAT64 if name == "complex128" else np.dtype("uint8" if name == "bool" else name)


def along(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """(outer, n, inner) around an axis."""
    n = shape[axis] if shape else 1
    return math.prod(shape[:axis]), n, math.prod(shape[axis + 1 :])


def contiguous(x: Array) -> Array:
    """``x`` itself where it is aligned and C-contiguous, else such a copy."""
    flags = x.flags
    if flags.c_contiguous and flags.aligned:
        return x
    return copy(x)
