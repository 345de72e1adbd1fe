"""How rows are given to threads: few elements stay in the registers of a team, more are read by a block as often as needed."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..array import CudaArray, empty
from ..context import blocks_for
from ..elements import widest
from ..language import SIMULATED
from .teams import WARP

BLOCK_TEAM = 64 if SIMULATED else 256  # threads of a team that is a block
STREAMED = 128 if SIMULATED else 512  # threads for a row that no registers hold


class Rows(NamedTuple):
    """How a kernel runs over rows of n elements.

    Attributes:
        width: elements of a vector.
        team: threads of a row; 0: a block reads the row piece by piece.
        each: vectors that a thread has.
        full: whether they make a row, with none left over.
        blocks, threads: of the launch.
    """

    width: int
    team: int
    each: int
    full: bool
    blocks: int
    threads: int


def plan(rows: int, n: int, *arrays: CudaArray, per_thread: int = 32) -> Rows:
    """How to run over contiguous rows of n elements of all arrays, each thread with ``per_thread`` of them in registers at most."""
    width = widest(*arrays)
    while n % width:
        width //= 2
    return _plan(rows, n, width, per_thread)


@functools.lru_cache(maxsize=4096)
def _plan(rows: int, n: int, width: int, per_thread: int) -> Rows:
    vectors = -(-n // width)
    most = max(1, per_thread // width)
    if vectors > most * BLOCK_TEAM:
        return Rows(width, 0, 1, True, min(rows, 1 << 20), STREAMED)
    team = 1
    while team < WARP and (team * 4 * width < n or team * most < vectors):  # few threads for short rows, each with a few elements
        team *= 2
    if team * most < vectors:
        team = BLOCK_TEAM
    count = _rounded(-(-vectors // team))
    threads = team if team > WARP else 64 if SIMULATED else 128
    return Rows(width, team, count, count * team == vectors, blocks_for(rows * team, threads, 64), threads)


def _rounded(vectors: int) -> int:
    """Up to a number of the kind 1, 2, 3, 4, 6, 8, 12, 16, ..., so that few kernels do."""
    power = 1
    while power < vectors:
        power *= 2
    return power // 4 * 3 if power >= 4 and power // 4 * 3 >= vectors else power


def constant(value: float, dtype: np.dtype[Any]) -> Any:
    """A number as a kernel on elements of this dtype takes it."""
    return np.float64(value) if dtype == np.float64 else np.float32(value)


def wide_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What elements of a floating-point dtype are computed in."""
    return dtype if dtype == np.float64 else np.dtype(np.float32)


def like(x: CudaArray) -> CudaArray:
    """A new array of the shape and dtype."""
    return empty(x.shape, x.dtype)
