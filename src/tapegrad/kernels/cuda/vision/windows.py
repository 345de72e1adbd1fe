"""Tables of windows and other maps along axes, in the memory of a device, and what kernels over planes share."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...axis_maps import Axis, table
from ..array import CudaArray, to_device
from ..context import context

SMALL = 2**31 - 2**22  # places below fit into 32 bits, also when a grid's step is added
_NARROW = np.dtype(np.int32)


def is_wide(*arrays: Any) -> bool:
    """Whether places in one of the arrays need 64 bits."""
    return any(a.size >= SMALL for a in arrays)


def three(values: Sequence[int], fill: int) -> tuple[int, ...]:
    """Numbers of up to three axes as those of depth, height and width."""
    return (*(fill,) * (3 - len(values)), *values)


def steps(maps: Sequence[Axis]) -> tuple[int, ...]:
    """How far the elements of a window are from each other, along depth, height and width."""
    return three([m.options[3] if m.kind == "window" else 1 for m in maps], 1)


def windows(maps: tuple[Axis, ...]) -> CudaArray:
    """(first element of each window, number of its elements) along each axis, behind each other; int32."""
    return _windows(maps, context.device)


@functools.lru_cache(maxsize=1024)
def _windows(maps: tuple[Axis, ...], device: int) -> CudaArray:
    parts = []
    for axis in maps:
        t = table(axis)
        parts += [t.index[:, 0] if t.index.size else 0 * t.count, t.count]
    return to_device(np.concatenate(parts).astype(_NARROW))


def covering(maps: tuple[Axis, ...]) -> CudaArray:
    """(first window that can have the element, number of such windows) for each element along each axis; int32."""
    return _covering(maps, context.device)


@functools.lru_cache(maxsize=1024)
def _covering(maps: tuple[Axis, ...], device: int) -> CudaArray:
    return to_device(np.concatenate([part for axis in maps for part in covered(axis)]).astype(_NARROW))


def covered(axis: Axis) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """:func:`covering` of one axis, on the host."""
    i = np.arange(axis.size)
    if axis.kind == "window":
        kernel, stride, before, dilation = axis.options[:4]
        first = np.maximum(-((i + before - (kernel - 1) * dilation) // -stride), 0)
        last = np.minimum((i + before) // stride, axis.out - 1)
    else:
        first, last = i * axis.out // axis.size, -((i + 1) * axis.out // -axis.size) - 1
    return first, np.maximum(last - first + 1, 0)


def planes_of(shape: tuple[int, ...], dims: int) -> int:
    """How many planes an array has whose last ``dims`` axes are those of a plane."""
    return math.prod(shape[: len(shape) - dims])
