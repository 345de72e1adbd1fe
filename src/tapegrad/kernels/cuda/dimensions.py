"""The dimensions that kernels walk: sizes, and strides in elements, as few as mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .array import CudaArray

SMALL = 2**31  # elements below which 32-bit indices do
Dims = list[list[int]]  # [size, stride of an array, of another one, ...] of each dimension, outermost first


def strides_of(x: CudaArray, shape: Sequence[int]) -> list[int]:
    """Strides in elements of an array that is broadcast to ``shape``: 0 along what is repeated."""
    return [0] * (len(shape) - x.ndim) + [0 if n == 1 else s // x.itemsize for n, s in zip(x.shape, x.strides, strict=True)]


def merged(dims: Iterable[Sequence[int]]) -> Dims:
    """Fewer dimensions that mean the same: without those of size 1, neighbours joined where all strides allow it."""
    out: Dims = []
    for size, *strides in dims:
        if size == 1:
            continue
        if out and all(before == size * stride for before, stride in zip(out[-1][1:], strides, strict=True)):
            out[-1] = [out[-1][0] * size, *strides]
        else:
            out.append([size, *strides])
    return out
