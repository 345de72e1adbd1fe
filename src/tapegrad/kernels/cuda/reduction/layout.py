"""How a reduction is laid out: which kernel, how many threads for a lane, and how long lanes are cut.

All of it depends on shape, strides, dtype and alignment, so that results have the same bits each time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .. import language as L
from ..array import CudaArray
from ..dimensions import Dims, merged
from .kernels import UNROLLED

Axes = tuple[int, ...]

_BLOCKS = 8 if L.SIMULATED else 1024  # that lanes are cut for
_LANES = 1024 if L.SIMULATED else 1 << 18  # of which each may have a thread of its own
_BYTES = 16


class Layout(NamedTuple):
    """A launch: by rows (``threads`` of a lane) or columns (a block of ``threads`` times ``beside``), and the kernel's numbers."""

    by_rows: bool
    width: int
    kept: int
    reduced: int
    threads: int
    beside: int
    units: int  # blocks that have something to do
    chunks: int
    numbers: tuple[int, ...]
    wide: bool


def reduced_shape(shape: tuple[int, ...], axes: Axes, keepdims: bool) -> tuple[int, ...]:
    """The shape of a reduction's result."""
    if keepdims:
        return tuple(1 if d in axes else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in axes)


def _power(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << max(n - 1, 0).bit_length()


def layout(x: CudaArray, axes: Axes) -> Layout:
    """The layout of a reduction of ``x``, which has elements, over ``axes``."""
    strides = [s // x.itemsize for s in x.strides]
    places, at = [0] * x.ndim, 1  # where lanes lie in the result
    for d in range(x.ndim - 1, -1, -1):
        if d not in axes:
            places[d], at = at, at * x.shape[d]
    kept = merged([[x.shape[d], strides[d], places[d]] for d in range(x.ndim) if d not in axes])
    reduced = merged([[x.shape[d], strides[d]] for d in range(x.ndim) if d in axes]) or [[1, 1]]
    wide = max(math.prod(d[0] for d in reduced), x.size) >= 1 << 31
    near = min([abs(d[1]) or 1 << 62 for d in kept], default=1 << 62)
    run = min(range(len(reduced)), key=lambda d: (abs(reduced[d][1]) or 1 << 62, -d))
    if near < (abs(reduced[run][1]) or 1 << 62):
        return _columns(x, kept, reduced, near, wide)
    return _rows(x, kept, reduced, run, wide)


def _rows(x: CudaArray, kept: Dims, reduced: Dims, run: int, wide: bool) -> Layout:
    """Rows: the dimension ``run`` of the reduced ones has the runs' elements."""
    count, step = reduced[run]
    runs_dims = [d for k, d in enumerate(reduced) if k != run]
    runs, lanes = math.prod(d[0] for d in runs_dims), math.prod(d[0] for d in kept)
    width = max(1, _BYTES // x.itemsize) if step == 1 and x.address % x.itemsize == 0 else 1
    width = width if count >= 2 * width else 1
    vectors = -(-count // width)  # of a run
    work = runs * vectors
    threads = L.BLOCK if work > L.BLOCK else 32 if work > 32 else _power(-(-work // 2))
    sub = min(threads, _power(-(-vectors // 2))) if runs > 1 else threads
    chunks = parts = 1
    share, run_share = count, runs
    least = L.BLOCK * UNROLLED  # vectors that a block reads at a time
    wanted = min(_BLOCKS // max(lanes, 1), work // least)
    if threads == L.BLOCK and wanted > 1:
        if runs >= wanted:
            run_share = -(-runs // wanted)
            chunks = -(-runs // run_share)
        else:
            run_share, parts = 1, max(1, wanted // runs)
            share = -(-count // parts)
            share += -share % width
            parts = -(-count // share)
            chunks = runs * parts
    skew = x.address // x.itemsize % width
    sizes = [v for d in kept for v in d[:2]] + [v for d in runs_dims for v in d]
    numbers = (count, step, skew, lanes, chunks, parts, share, run_share, runs, sub, *sizes)
    units = -(-lanes * chunks // (L.BLOCK // threads))
    return Layout(True, width, len(kept), len(runs_dims), threads, 1, units, chunks, numbers, wide)


def _columns(x: CudaArray, kept: Dims, reduced: Dims, near: int, wide: bool) -> Layout:
    """Columns: the kept dimension whose elements are the nearest has the lanes that lie side by side."""
    side = max(k for k, d in enumerate(kept) if abs(d[1]) == near)
    width, step, out_step = kept[side]
    outer_dims = [d for k, d in enumerate(kept) if k != side]
    outer, n = math.prod(d[0] for d in outer_dims), math.prod(d[0] for d in reduced)
    W = max(1, _BYTES // x.itemsize) if step == 1 else 1
    others = [d[1] for d in (*outer_dims, *reduced)]
    while W > 1 and (width % W or x.address % (W * x.itemsize) or any(s % W for s in others)):
        W //= 2
    threads = -(-width // W)
    TX = min(L.BLOCK, _power(threads))
    if outer * threads < _LANES and n >= 8:  # the rows of a block share lanes
        TX = min(TX, 32)
        while TX * min(n // 4, L.BLOCK // TX) < L.BLOCK and min(L.BLOCK, _power(threads)) > TX:
            TX *= 2
    TY = max(1, L.BLOCK // TX)
    while TY > 1 and n < TY:
        TY //= 2
    tiles = -(-threads // TX)
    chunks, share = 1, n
    wanted = min(_BLOCKS // max(tiles * outer, 1), n // (TY * UNROLLED * 2))
    if wanted > 1:
        share = -(-n // wanted)
        chunks = -(-n // share)
    sizes = [v for d in outer_dims for v in d] + [v for d in reduced for v in d]
    numbers = (width, step, out_step, outer, n, chunks, share, width * outer, *sizes)
    return Layout(False, W, len(outer_dims), len(reduced), TX, TY, tiles * outer * chunks, chunks, numbers, wide)


def join_threads(lanes: int, chunks: int) -> int:
    """How many threads combine the states of a lane."""
    if lanes >= _LANES // 64 or chunks < 8:
        return 1
    return 32 if chunks <= 64 or lanes > 1024 else L.BLOCK
