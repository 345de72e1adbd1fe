"""Draws of the generator on the device; see ``philox_kernels``. No draw waits for the device."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, empty
from ..context import blocks_for
from ..index.sort import sort
from ..planned import planned_but_for
from . import philox_kernels as kernels

_WORD, _KEY = np.dtype(np.int64), np.dtype(np.uint64)
Drawn = tuple[CudaArray, int]


def filled(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int, a: float = 0.0, b: float = 0.0, c: float = 0.0
) -> Drawn:
    """Numbers by one of ``FORMULAS``, and the next counter."""
    return _filling(name)(shape, dtype, seed, counter, a, b, c), counter + -(-math.prod(shape) // (2 if dtype == np.float64 else 4))


@functools.cache
def _filling(name: str) -> Any:
    @planned_but_for("seed", "counter")
    def fill(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int, a: float, b: float, c: float) -> CudaArray:
        out = empty(shape, dtype)
        n = math.prod(shape)
        if n:
            number = np.float64 if dtype == np.float64 or name in kernels.WIDE else np.float32
            with np.errstate(over="ignore"):
                numbers = number(a), number(b), number(c)
            blocks = blocks_for(-(-n // (2 if dtype == np.float64 else 4)), L.BLOCK)
            kernels.numbers(name, dtype.name).launch(blocks, L.BLOCK, out, n, seed, counter, *numbers)
        return out

    return fill


def uniform(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> Drawn:
    """Uniform numbers in [0, 1) of a floating dtype (those but float64 are made as float32), and the next counter."""
    return filled("uniform", shape, dtype, seed, counter)


def normal(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, counter: int) -> Drawn:
    """Standard normal numbers of a floating dtype (those but float64 are made as float32), and the next counter."""
    return filled("normal", shape, dtype, seed, counter)


def integers(shape: tuple[int, ...], low: int, high: int, seed: int, counter: int) -> Drawn:
    """int64 numbers in [low, high), from 64 random bits each, and the next counter."""
    span, n = high - low, math.prod(shape)
    out, blocks = empty(shape, _WORD), -(-n // 2)
    if n:
        last = 2**64 - 2**64 % span - 1
        numbers = [v - 2**64 if v >= 2**63 else v for v in (span % 2**64, last)]
        kernels.integers(span < 2**32).launch(blocks_for(blocks, L.BLOCK), L.BLOCK, out, n, seed, counter, low, *numbers)
    return out, counter + blocks


def bits(n: int, seed: int, counter: int) -> Drawn:
    """n random uint64 words, and the next counter."""
    return _words(empty((n,), _KEY), 0, seed, counter)


def _words(out: CudaArray, flip: int, seed: int, counter: int) -> Drawn:
    n = out.size
    blocks = -(-n // 2)
    if n:
        kernels.words().launch(blocks_for(blocks, L.BLOCK), L.BLOCK, out, n, seed, counter, flip)
    return out, counter + blocks


def permutation(n: int, seed: int, counter: int) -> Drawn:
    """The integers 0 to n - 1 in random order, int64: the stable order of as many random words; and the next counter."""
    keys, counter = _words(empty((n,), _WORD), -(2**63), seed, counter)  # signed integers that order as the words do
    return sort(keys, 0, False)[1], counter


def blocks(count: int, seed: int, counter: int) -> tuple[tuple[int, int], int]:
    """Where ``count`` blocks of four words begin, for a kernel that makes them as it goes, and the next counter."""
    return (seed, counter), counter + count
