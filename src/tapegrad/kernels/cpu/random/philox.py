"""Philox4x32-10, the counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

Element i of a draw depends on (seed, counter + i / 4) alone, so results are the same for any number of threads, and the same
numbers can be made again instead of being kept.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...native import cache, runtime as rt
from ...native.call import launcher
from .. import arrays

_GRAIN = 8192  # blocks of four 32-bit words
_SINGLE, _DOUBLE, _WORD, _HALF = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.uint32)


@functools.cache
def kernel(name: str, *args: str) -> int:
    """A kernel of ``philox_kernels``."""

    def build() -> Any:
        from . import philox_kernels

        return getattr(philox_kernels, name)(*args)

    return cache.native(f"philox:{name}:{args}", build)


def launch_blocks(address: int, blocks: int, *slots: Any) -> None:
    """Run a kernel whose units are blocks of random words."""
    if blocks > _GRAIN:
        rt.start_threads()
    if blocks:
        launcher()(address, blocks, _GRAIN, *slots)


def uniform(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> tuple[Any, int]:
    """Uniform numbers in [0, 1) of a floating dtype (those but float64 are made as float32), and the next counter."""
    if dtype.itemsize != 2:
        return _floats("uniform", shape, dtype, seed, counter)
    array, counter = _floats("uniform", shape, _SINGLE, seed, counter)
    steps = np.float32(2**11 if dtype == np.float16 else 2**8)  # as many bits as the dtype holds, so that none rounds up to 1
    return (np.floor(array * steps) / steps).astype(dtype), counter


def normal(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> tuple[Any, int]:
    """Standard normal numbers of a floating dtype (those but float64 are made as float32), and the next counter."""
    return _floats("normal", shape, dtype, seed, counter)


def _floats(distribution: str, shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> tuple[Any, int]:
    double = dtype == _DOUBLE
    out, n = arrays.empty(shape, _DOUBLE if double else _SINGLE), math.prod(shape)
    blocks = -(-n // (2 if double else 4))
    launch_blocks(kernel("fill", f"{distribution} float64" if double else f"{distribution} float32"), blocks, out, seed, counter, n)
    return out if dtype.itemsize > 2 else out.astype(dtype), counter + blocks


def integers(shape: tuple[int, ...], low: int, high: int, seed: int, counter: int) -> tuple[Any, int]:
    """int64 numbers in [low, high), from 64 random bits each, and the next counter."""
    span, n = high - low, math.prod(shape)
    if span < 2**63:
        out, flag, blocks = arrays.empty(shape, _WORD), np.zeros(1, np.int64), -(-n // 2)
        last = 2**64 - 2**64 % span - 1  # words above it would favour the small numbers
        slots = (out, seed, counter, n, low, span, last - 2**64 if last >= 2**63 else last, flag)
        launch_blocks(kernel("integers", "narrow" if span <= 2**32 else "wide"), blocks, *slots)
        if not flag[0]:
            return out, counter + blocks
    words, counter = bits(n, seed, counter)
    if 2**64 % span:
        last_word = np.uint64(2**64 - 2**64 % span - 1)
        while (again := words > last_word).any():  # draw those again
            words[again], counter = bits(int(again.sum()), seed, counter)
    offsets = words % np.uint64(span) if span < 2**64 else words
    return (offsets + np.uint64(low % 2**64)).view(np.int64).reshape(shape), counter


def bits(n: int, seed: int, counter: int) -> tuple[Any, int]:
    """n random uint64 words, and the next counter."""
    out, blocks = arrays.empty((2 * n,), _HALF), -(-n // 2)
    launch_blocks(kernel("fill", "bits"), blocks, out, seed, counter, 2 * n)
    return out.view(np.uint64), counter + blocks


def permutation(n: int, seed: int, counter: int) -> tuple[Any, int]:
    """The integers 0 to n - 1 in random order, int64: the stable order of as many random words; and the next counter."""
    keys, counter = bits(n, seed, counter)
    out, depth = arrays.empty((n,), _WORD), max(n - 1, 1).bit_length()
    if n:
        launcher()(kernel("order"), 1, 1, keys, np.zeros((1 << depth) + 1, np.int64), out, n, depth)
    return out, counter


def blocks(count: int, seed: int, counter: int) -> tuple[tuple[int, int], int]:
    """Where ``count`` blocks of four words begin, for a kernel that makes them as it goes, and the next counter."""
    return (seed, counter), counter + count
