"""Tables for the kernels of convolution: where what is summed over lies relative to a position, and which positions have which windows."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ..array import CudaArray, to_device
from ..recording import lasting_tables
from .conv_kernels import SLAB
from .conv_tile import OUTSIDE

_Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


class Gather(NamedTuple):
    """What ``gathered`` reads beside the arrays.

    Attributes:
        table: (offset, depth, row, column) of each product, of one phase after the other.
        phases: words of each phase.
        phase_count: their number.
        positions: the most that a phase has.
        depth: the most products that a phase has.
        common: what the products of all phases are multiples of.
        flat: whether the positions of a channel lie next to each other in the result.
        places: which places of a window each phase has, one phase after the other; None for those of a convolution, which has all.
        weights: how many weights all phases have in one group.
    """

    table: CudaArray
    phases: CudaArray
    phase_count: int
    positions: int
    depth: int
    common: int
    flat: bool
    places: CudaArray | None
    weights: int


def _steps(size: Sizes) -> list[int]:
    return [math.prod(size[k + 1 :]) for k in range(len(size))]


def _entries(channels: int, plane: int, size: Sizes, deltas: list[_Array]) -> _Array:
    """The table's rows for each channel and, in it, each combination of ``deltas`` along the axes; padded to whole slabs."""
    grids = np.meshgrid(*deltas, indexing="ij") if all(len(d) for d in deltas) else [np.zeros(0, np.int64)] * len(deltas)
    coordinates = [g.ravel() for g in grids]
    inside = sum((c * s for c, s in zip(coordinates, _steps(size), strict=True)), np.zeros(len(coordinates[0]), np.int64))
    offset = (np.arange(channels)[:, None] * plane + inside).ravel()
    rows = np.zeros((-(-max(len(offset), 1) // SLAB) * SLAB, 4), np.int64)
    rows[len(offset) :, 3] = OUTSIDE
    rows[: len(offset), 0] = offset
    for k, c in enumerate(coordinates, 4 - len(size)):
        rows[: len(offset), k] = np.tile(c, channels)
    return rows


def _three(values: Any, fill: int) -> list[int]:
    return [fill] * (3 - len(values)) + [int(v) for v in values]


def entries(channels: int, size: Sizes, kernel: Sizes, dilation: Sizes) -> _Array:
    """The table of windows: for each channel and each place in a window."""
    return _entries(channels, math.prod(size), size, [np.arange(k) * d for k, d in zip(kernel, dilation, strict=True)])


def on_device(rows: _Array, wide: bool) -> CudaArray:
    return to_device(np.ascontiguousarray(rows, np.int64 if wide else np.int32))


@lasting_tables
def forward(
    n: int, channels: int, size: Sizes, out: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, wide: bool, device: int
) -> Gather:
    """Of a convolution of ``n`` images, on the current device, which has this number; ``channels`` are those of a group."""
    rows = entries(channels, size, kernel, dilation)
    depth, plane = channels * math.prod(kernel), math.prod(out)
    spaces = _three(out, 1)
    shift, step = _three([-p[0] for p in padding], 0), _three(stride, 1)
    phase = [depth, 0, 0, n * plane, plane, spaces[1], spaces[2], *shift, *step, 0, *_three(_steps(out), plane), math.prod(kernel), 0]
    return Gather(
        on_device(rows, wide), to_device(np.array(phase, np.int64)), 1, n * plane, depth, depth, True, None, 0
    )


@lasting_tables
def transposed(
    n: int, channels: int, inside: int, size: Sizes, out: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, wide: bool, device: int
) -> Gather:
    """Of the transpose in the input: images of sizes ``out`` with ``channels`` in a group become such of sizes ``size`` with ``inside``.

    An element ``h`` gets something from the window at ``(h + before - k * dilation) / stride`` where that is whole. So elements with the
    same remainder of ``h + before`` have the same places ``k``: they are a phase.
    """
    plane = math.prod(out)
    phases, tables, used = [], [], []
    table_at = weights_at = places_at = 0
    phased: list[list[tuple[int, int, _Array, _Array]]] = []
    for m, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        along = []
        for first in range(min(s, m)):  # elements first, first + s, ...
            places = np.array([j for j in range(k) if (first + p[0] - j * d) % s == 0], np.int64)
            along.append((first, -(-(m - first) // s), places, (first + p[0] - places * d) // s))
        phased.append(along)
    steps = _steps(size)
    for combination in itertools.product(*phased):
        rows = _entries(channels, plane, out, [c[3] for c in combination])
        grids = np.meshgrid(*[c[2] for c in combination], indexing="ij")
        places = np.ravel_multi_index([g.ravel() for g in grids], kernel)
        depth = channels * len(places)
        counts = tuple([c[1] for c in combination])
        counted = _three(counts, 1)
        start = sum(c[0] * step for c, step in zip(combination, steps, strict=True))
        apart = _three([s * step for s, step in zip(stride, steps, strict=True)], 0)
        words = [depth, table_at, weights_at, n * math.prod(counts), math.prod(counts), counted[1], counted[2], 0, 0, 0, 1, 1, 1]
        phases.append([*words, start, *apart, len(places), places_at])
        tables.append(rows)
        used.append(places)
        table_at += len(rows)
        weights_at += depth * inside
        places_at += len(places)
    return Gather(
        on_device(np.concatenate(tables), wide),
        to_device(np.array(phases, np.int64)),
        len(phases),
        max(words[3] for words in phases),
        max(words[0] for words in phases),
        math.gcd(*[words[0] for words in phases]),
        len(phases) == 1 and math.prod(stride) == 1,
        on_device(np.concatenate(used), False),
        weights_at,
    )


@lasting_tables
def columns_of(channels: int, size: Sizes, kernel: Sizes, dilation: Sizes, wide: bool, device: int) -> CudaArray:
    """:func:`entries` on the current device, which has this number."""
    return on_device(entries(channels, size, kernel, dilation), wide)
