"""Convolution of float32 or float64 images without im2col: register tiles that read the padded input itself.

A tile is a few positions next to each other in a row of the output, by a few vectors of output channels. For every tap (a channel of
the input and a place in the window) it multiplies that many elements of the input, which lie next to each other, too, by the tap's
weights, packed so that the output channels are. A table says where the elements of each tap lie. The input of a block of rows is
copied within zeros first, into a region that stays in the L2 cache; where columns are a stride apart, they are sorted by their
remainder, so that those of a tap lie next to each other again.

The transpose is the same with other taps: the positions of the result with one remainder by the stride (a *phase*) see only the taps
with the same remainder, so each phase is a convolution of its own with stride 1.

A sum runs over all taps in order, whatever the blocks, tiles and threads: those change no bit.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ...native import cache, runtime as rt
from ...native.call import launcher
from ..arrays import empty
from ..linalg.gemm import Tile, host_tile
from ..reduction.layout import contiguous

_Array = np.ndarray[Any, Any]
_Sizes = tuple[int, ...]
_Pads = tuple[tuple[int, int], ...]

BYTE = np.dtype(np.uint8)
_ROWS = 14  # positions in a tile where there are 32 vector registers
REGION_BYTES = 384 << 10  # of the padded input of a block, which shares the L2 cache with weights
NARROW = 4  # up to so many output channels are the rows of tiles, with positions across
NARROW_VECTORS = 8
_TOGETHER = 256  # positions of small images, at most, that are convolved together
_SHARE = 192  # taps that are summed at a time
SERIAL_FLOPS = 1_500_000  # below, waking another thread costs more than it brings
ALIGN = 64

# Words of a table.
(
    CHANNELS, GROUPS, DEPTH, HEIGHT, WIDTH, BEFORE_D, BEFORE_H, BEFORE_W, SPLIT, IN_PLACE, DEPTHS, ROWS, ROW, STEP_D, STEP_H, REACH_H,
    MOST_ROWS, BLOCK_ROWS, BLOCK_COLUMNS, ROW_BLOCKS, COLUMN_BLOCKS, REGION, WORKS, UNITS, OUT_CHANNELS, OUT_SIZE, PANELS, PACKED,
    WEIGHT_LANE, WEIGHT_GROUP, BIAS_AT, REGIONS_AT, PARTIAL, SHARE, TOGETHER, BATCH, INPUT,
    PHASES, HEADER,
) = range(39)  # fmt: skip
# Words of a phase; its tables of taps come after all phases.
P_DEPTH, P_OFFSETS, P_TAPS, P_WEIGHTS, Q_D, Q_H, Q_W, P_OUT, P_STEP_D, P_STEP_H, P_STEP_W, PHASE_WORDS = range(12)


class _Phase(NamedTuple):
    """Along one axis: results ``first + step * q`` for q < ``results``, each the sum over (tap, place) of input[q * stride + place]."""

    first: int
    step: int
    results: int
    taps: tuple[tuple[int, int], ...]


class _Axis(NamedTuple):
    """What happens along one axis: the input's size, zeros before it, the stride, the size of the output, its phases."""

    size: int
    before: int
    stride: int
    out: int
    phases: tuple[_Phase, ...]


def _forward(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> _Axis:
    count = (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1
    return _Axis(size, pads[0], stride, count, (_Phase(0, 1, count, tuple((k, k * dilation) for k in range(kernel))),))


def _transposed(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int, out: int) -> _Axis:
    """From the convolution's output of ``size`` elements to its input of ``out``: u = t * stride + k * dilation - padding."""
    phases = []
    for remainder in range(stride):
        first = (remainder - pads[0]) % stride  # the first u with u + padding = remainder, modulo the stride
        taps = [(k, (first + pads[0] - k * dilation) // stride) for k in range(kernel) if (first + pads[0] - k * dilation) % stride == 0]
        phases.append(_Phase(first, stride, len(range(first, out, stride)), tuple(reversed(taps))))
    before = max([-place for phase in phases for _, place in phase.taps], default=0)
    before = max(before, 0)
    phases = [p._replace(taps=tuple((k, place + before) for k, place in p.taps)) for p in phases if p.results]
    return _Axis(size, before, 1, out, tuple(phases))


class _Plan(NamedTuple):
    """How to convolve arrays of given shapes: see ``_run``."""

    shape: _Sizes
    table: _Array
    pack: int
    pack_units: int
    correlate: int
    product: int
    units: int
    serial: bool
    space_bytes: int


@functools.cache
def tile_shape() -> Tile:
    """That of matrix products, or higher where registers are many: its rows need no address of their own."""
    tile = host_tile()
    return tile._replace(rows=_ROWS) if tile.vector_bytes == 64 else tile


@functools.cache
def kernel_of(name: str, dtype: str, *options: bool) -> int:
    """The address of a kernel of convolution."""
    def build() -> Any:
        from . import conv_kernels, conv_weight_kernels

        return getattr(conv_kernels if hasattr(conv_kernels, name) else conv_weight_kernels, name)(dtype, tile_shape(), *options)

    return cache.native(f"conv:{name}:{dtype}:{tuple(tile_shape())}:{options}", build, translated=True)


class _Cut(NamedTuple):
    """How images are cut into works, and the region that a work's padded input is copied to."""

    in_place: bool  # nothing is copied
    depths: int  # of a region
    rows: int
    row: int  # elements of a row whose columns have one remainder by the stride
    input_bytes: int  # of an image in a region
    region_bytes: int
    partial: int  # bytes at the end of a region: of sums that wait for more taps, or behind the last row
    block_rows: int  # of results
    block_columns: int
    row_blocks: int
    column_blocks: int
    together: int  # images
    works: int


def _cut(axes: list[_Axis], n: int, groups: int, channels: int, narrow: bool, item: int, threads: int) -> _Cut:
    """The fewest blocks of rows (of columns, in one dimension) whose input fits the cache and that threads can share evenly."""
    tile, split = tile_shape(), axes[2].stride
    reach = _reach(axes)
    most = [max(phase.results for phase in axis.phases) for axis in axes]
    inside = all((m - 1) * axis.stride + r < axis.size and axis.before == 0 for m, r, axis in zip(most, reach, axes, strict=True))
    in_place = split == 1 and not narrow and inside
    depths = (most[0] - 1) * axes[0].stride + reach[0] + 1
    long = most[0] == most[1] == 1
    blocks = 1
    while True:
        block_rows, block_columns = (1, -(-most[2] // blocks)) if long else (-(-most[1] // blocks), most[2])
        rows, row = (block_rows - 1) * axes[1].stride + reach[1] + 1, block_columns + reach[2] // split
        input_bytes = channels * depths * rows * row * split * item
        works = n * groups * blocks
        even = works % threads == 0 or works >= 8 * threads
        if (even and (in_place or input_bytes <= REGION_BYTES)) or blocks >= (most[2] // tile.rows + 1 if long else most[1]):
            break
        blocks += 1
    row_blocks, column_blocks = -(-most[1] // block_rows), -(-most[2] // block_columns)
    if in_place:
        depths, rows, row, input_bytes = axes[0].size, axes[1].size, axes[2].size, 0
    together = 1
    if row_blocks == column_blocks == 1 and not narrow:  # small images share the weights that they bring into the cache
        together = max(1, min(_TOGETHER // math.prod(most), REGION_BYTES // max(input_bytes, 1), n * groups // threads))
        together = -(-n // -(-n // together))
    taps = channels * math.prod([max(len(phase.taps) for phase in axis.phases) for axis in axes])
    partial = 64 * NARROW_VECTORS if narrow else 0  # vectors read behind the last row
    if taps > _SHARE and not narrow:
        partial = together * most[0] * block_rows * block_columns * tile.vectors * tile.vector_bytes
    region_bytes = -(-(together * input_bytes + partial) // ALIGN) * ALIGN
    works = -(-n // together) * groups * row_blocks * column_blocks
    return _Cut(in_place, depths, rows, row, input_bytes, region_bytes, partial, block_rows, block_columns, row_blocks, column_blocks, together, works)


def _reach(axes: list[_Axis]) -> list[int]:
    """How far behind a result's own place in the input a tap can lie."""
    return [max([place for phase in axis.phases for _, place in phase.taps], default=0) for axis in axes]


@functools.lru_cache(maxsize=512)
def plan_of(
    transposed: bool, n: int, weight: _Sizes, size: _Sizes, out: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int,
    code: str, threads: int,
) -> _Plan:  # fmt: skip
    """The convolution from ``size`` to ``out``, or its transpose, also from ``size`` to ``out``; the batch has ``n`` images."""
    dtype, item, tile = np.dtype(code).name, np.dtype(code).itemsize, tile_shape()
    kernel = weight[2:]
    per_axis: Any = zip(size, kernel, stride, padding, dilation, out, strict=True)
    axes = [_transposed(*options) if transposed else _forward(*options[:-1]) for options in per_axis]
    trivial = _Axis(1, 0, 1, 1, (_Phase(0, 1, 1, ((0, 0),)),))
    axes = [trivial] * (3 - len(axes)) + axes
    outer, inner = weight[0] // groups, weight[1]  # the convolution's output and input channels in a group
    channels, out_channels = (outer, inner) if transposed else (inner, outer)
    taps_in_window = math.prod(kernel)
    lane, next_channel = (taps_in_window, inner * taps_in_window) if transposed else (inner * taps_in_window, taps_in_window)
    kernels = (1,) * (3 - len(kernel)) + kernel

    split, narrow = axes[2].stride, out_channels <= NARROW
    cut = _cut(axes, n, groups, channels, narrow, item, threads)
    lanes = tile.vector_bytes // item
    columns_of_panel = tile.vectors * lanes
    panels, padded_channels = -(-out_channels // columns_of_panel), -(-out_channels // lanes) * lanes
    line, out_strides = cut.row * split, (axes[1].out * axes[2].out, axes[2].out, 1)
    phases, tables, packed, flops = [], [], 0, 0
    combinations = list(itertools.product(*[axis.phases for axis in axes]))
    at = HEADER + len(combinations) * PHASE_WORDS
    for parts in combinations:
        offsets, taps = [], []
        for c in range(channels):
            for (kd, d), (kh, h), (kw, w) in itertools.product(*[part.taps for part in parts]):
                offsets.append((((c * cut.depths + d) * cut.rows + h) * line + w % split * cut.row + w // split) * item)
                taps.append(c * next_channel + (kd * kernels[1] + kh) * kernels[2] + kw)
        depth = len(taps)
        first = sum(part.first * step for part, step in zip(parts, out_strides, strict=True))
        steps = [part.step * step for part, step in zip(parts, out_strides, strict=True)]
        phases += [depth, at, at + depth, packed, *[part.results for part in parts], first, *steps]
        tables += [*offsets, *taps]
        at += 2 * depth
        packed += depth * padded_channels
        flops += 2 * n * groups * math.prod([part.results for part in parts]) * depth * padded_channels
    serial = flops < SERIAL_FLOPS
    units = 1 if serial else min(threads, cut.works)
    if units > 1:
        rt.start_threads()
    bias_at = -(-groups * packed * item // ALIGN) * ALIGN
    regions_at = bias_at + groups * panels * columns_of_panel * item
    header = [
        channels, groups, *[axis.size for axis in axes], *[axis.before for axis in axes], split, cut.in_place, cut.depths, cut.rows, cut.row,
        axes[0].stride, axes[1].stride, _reach(axes)[1], max(phase.results for phase in axes[1].phases), cut.block_rows, cut.block_columns,
        cut.row_blocks, cut.column_blocks, cut.region_bytes, cut.works, units, out_channels, math.prod(out), panels, packed, lane,
        outer * inner * taps_in_window, bias_at, regions_at, cut.partial, _SHARE, cut.together, n, cut.input_bytes, len(combinations),
    ]  # fmt: skip
    return _Plan(
        (n, groups * out_channels, *out),
        np.array(header + phases + tables, np.int64),
        kernel_of("pack", dtype),
        groups * len(combinations) * panels,
        kernel_of("correlate", dtype, narrow),
        kernel_of("narrow_product" if narrow else "product", dtype),
        units,
        serial,
        regions_at + units * cut.region_bytes + ALIGN,
    )


def _run(plan: _Plan, x: _Array, weight: _Array, bias: _Array | None) -> _Array:
    shape, table, pack, pack_units, correlate, product, units, serial, space_bytes = plan
    out, space = empty(shape, x.dtype), empty((space_bytes,), BYTE)
    launch = launcher()
    launch(pack, pack_units, pack_units if serial else 1, contiguous(weight), 0 if bias is None else contiguous(bias), space, table)
    launch(correlate, units, 1, contiguous(x), out, space, table, product)
    return out


def convolution(x: _Array, weight: _Array, bias: _Array | None, out: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int) -> _Array:
    """(N, C, *S), (O, C / groups, *K), (O,) -> (N, O, *T) with ``out`` T; nothing is empty."""
    threads = rt.get_num_threads()
    plan = plan_of(False, x.shape[0], weight.shape, x.shape[2:], out, stride, padding, dilation, groups, x.dtype.char, threads)
    return _run(plan, x, weight, bias)


def convolution_input(g: _Array, weight: _Array, size: _Sizes, stride: _Sizes, padding: _Pads, dilation: _Sizes, groups: int) -> _Array:
    """The transpose in the input: (N, O, *T), (O, C / groups, *K) -> (N, C, *S) with ``size`` S; nothing is empty."""
    threads = rt.get_num_threads()
    plan = plan_of(True, g.shape[0], weight.shape, g.shape[2:], size, stride, padding, dilation, groups, g.dtype.char, threads)
    return _run(plan, g, weight, None)
