"""Copies whose rows are the source's columns: tiles turned over in shared memory, so that both are read and written along rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from . import language as L
from .kernel import Kernel, family
from .language import cuda, int32, int64

THREADS = L.BLOCK
_BATCH = 3  # dimensions beside the two that change places, at most
_SMALL = 16  # rows or columns below which turning tiles is no gain


class Turn(NamedTuple):
    """What to launch: the kernel, how many tiles there are, and its parameters after the arrays."""

    kernel: Kernel
    tiles: int
    numbers: tuple[int, ...]


def turn(sizes: Sequence[int], source: Sequence[int], target: Sequence[int], item: int) -> Turn | None:
    """How to copy, from joined dimensions (sizes and strides in elements) and the bytes of an element; None where it is no transposed copy."""
    last = len(sizes) - 1
    if item > 8 or not 1 <= last <= _BATCH + 1 or target[last] != 1 or source[last] <= 1 or 1 not in source:
        return None
    fast = list(source).index(1)
    rows, columns = sizes[fast], sizes[last]
    if rows < _SMALL or columns < _SMALL or min(*source, *target) < 0:
        return None
    others = [d for d in range(last) if d != fast]
    missing = _BATCH - len(others)
    edge = edge_of(item)
    down, across = -(-rows // edge), -(-columns // edge)
    tiles = down * across * math.prod(sizes[d] for d in others)
    batch = [*[1] * missing, *[sizes[d] for d in others]]
    steps = [[0] * missing + [strides[d] for d in others] for strides in (source, target)]
    return Turn(turned(item), tiles, (tiles, rows, columns, source[last], target[fast], down, across, *batch[1:], *steps[0], *steps[1]))


def edge_of(item: int) -> int:
    """Rows and columns of a tile."""
    return 64 if item < 4 else 32


@family(threads=256, item=(1, 2, 4, 8))
def turned(item: int):  # type: ignore[no-untyped-def]
    """x, out, then as :func:`turn` says: tiles, rows (neighbours in x), columns (neighbours in out), the strides of columns in x and of rows in
    out, tiles down and across, the sizes of two batch dimensions, the strides of three in x and in out."""
    edge, element = edge_of(item), getattr(L, f"uint{8 * item}")
    step, shape = THREADS // edge, (edge, edge + 1)

    def kernel(x, out, tiles, rows, columns, sx, so, down, across, m1, m2, x0, x1, x2, o0, o1, o2):  # type: ignore[no-untyped-def]
        tile = cuda.shared.array(shape, element)
        lane, line = int32(cuda.threadIdx.x) % int32(edge), int32(cuda.threadIdx.x) // int32(edge)
        t = int64(cuda.blockIdx.x)
        while t < tiles:
            rest = t // across
            c0 = (t - rest * across) * edge
            batch = rest // down
            r0 = (rest - batch * down) * edge
            rest = batch // m2
            b2 = batch - rest * m2
            b0 = rest // m1
            b1 = rest - b0 * m1
            read, write = b0 * x0 + b1 * x1 + b2 * x2, b0 * o0 + b1 * o1 + b2 * o2
            r = r0 + lane
            for j in range(line, edge, step):
                c = c0 + j
                if (r < rows) & (c < columns):
                    tile[j, lane] = x[read + r + c * sx]
            cuda.syncthreads()
            c = c0 + lane
            for j in range(line, edge, step):
                r = r0 + j
                if (r < rows) & (c < columns):
                    out[write + r * so + c] = tile[lane, j]
            cuda.syncthreads()
            t += int64(cuda.gridDim.x)

    return kernel, f"uint{8 * item}* uint{8 * item}* " + " ".join(["int64"] * 15)
