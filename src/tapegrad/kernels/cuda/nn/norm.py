"""Normalisation on a GPU: rows about their mean, in units of their standard deviation, times weights, plus biases; and its gradients.

What a row is, and which weight belongs to which element, says a layout (``tapegrad.ops.nn.standardize.Layout``). 16-bit floats are
computed in float32, and their statistics stay in it. Each sum has a fixed order, which depends on shapes only.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..array import CudaArray, contiguous, empty, zeros
from ..context import blocks_for
from ..elements import widest
from ..elementwise import assign
from ..language import BLOCK
from ..planned import planned
from . import norm_channels as C, norm_rows as N, rows as R

_SHORT = 32  # elements of a run below which columns are taken
_PARTS = 1024  # partial results of a matrix, about, where there are many rows


class _Runs(NamedTuple):
    """Sizes of a layout of channels; ``short``: columns are taken. Those of parts are what ``joined_rows`` and ``joined_sums`` take."""

    short: bool
    rows: int
    each: int
    samples: int
    channels: int
    inner: int
    pieces: int
    share: int
    chunks: int

    def parts(self) -> tuple[int, int, int, int]:
        """Of rows: segments, pieces, and steps from row to row and from segment to segment."""
        if self.short:
            return self.chunks, self.inner, 1, self.channels
        grouped = self.rows != self.channels or self.each > 1
        return (self.each, self.pieces, self.each, 1) if grouped else (self.samples, self.pieces, 1, self.channels)


@functools.lru_cache(maxsize=4096)
def _runs(layout: Any) -> _Runs:
    if layout.axes == (2, 3):
        samples, groups, each, inner = layout.view
        rows, channels, short = samples * groups, groups * each, False
    else:
        samples, channels, inner = layout.view
        rows, each, short = channels, 1, inner < _SHORT
    share = _share(samples, channels * inner)
    return _Runs(short, rows, each, samples, channels, inner, -(-inner // C.PIECE), share, -(-samples // share))


def _share(height: int, columns: int) -> int:
    """Rows of a chunk of a matrix: few enough for many blocks, and many beside the partial results that they leave."""
    return min(height, max(8 * C.DOWN, -(-height * -(-columns // C.ACROSS) // _PARTS)))


class _Layout(NamedTuple):
    """As ``tapegrad.ops.nn.standardize.Layout``."""

    view: tuple[int, ...]
    axes: tuple[int, ...]
    affine: tuple[int, ...]
    size: tuple[int, ...]
    centered: bool


def standardize(x: Any, weight: Any, bias: Any, layout: Any, eps: float, statistics: bool) -> tuple[Any, ...]:
    """((x - mean) / sqrt(var + eps) * weight + bias, what ``standardize_backward`` takes of it): the latter (3, rows).

    That is the mean in two parts that add up to it, and 1 / sqrt(var + eps). If the layout is not centered, the mean is taken to be 0.
    Weight and bias have the dtype of x. With ``statistics``, mean and variance come in between, of the view's shape with size 1
    where they are taken over; the variance's divisor is the number of elements.
    """
    return _standardize(x, weight, bias, eps, statistics, *layout)


@planned
def _standardize(x: Any, weight: Any, bias: Any, eps: float, statistics: bool, *parts: Any) -> tuple[Any, ...]:
    layout = _Layout(*parts)
    wide = R.wide_dtype(x.dtype)
    reduced = tuple([1 if d in layout.axes else n for d, n in enumerate(layout.view)])
    found = tuple([empty(reduced, wide) for _ in range(2 * statistics)])
    if x.size == 0:
        for a in found:
            a.fill(np.nan)
        return empty(x.shape, x.dtype), *found, zeros((3, 0), wide)
    x, y = contiguous(x), empty(x.shape, x.dtype)
    given = tuple([contiguous(a) for a in (weight, bias) if a is not None])
    kinds, name = (weight is not None, bias is not None), x.dtype.name
    as_rows = _rows(layout)
    if as_rows is not None:
        rows, n, groups = as_rows
        given = tuple([_spread(a, layout) for a in given])
        kept = empty((3, rows), wide)
        how = R.plan(rows, n, x, y, *given, per_thread=16 if wide.itemsize == 8 else 32)
        if how.team:
            kernel = N.rows_forward(name, how.width, how.team, how.each, how.full, layout.centered, *kinds, statistics)
        else:
            kernel = N.streamed_forward(name, how.width, layout.centered, *kinds, statistics)
        kernel.launch(how.blocks, how.threads, x, *given, y, kept, *found, rows, n, groups, R.constant(eps, wide))
        return y, *found, kept
    s = _runs(layout)
    kept, sizes = empty((3, s.rows), wide), _sizes(s)
    if s.short:
        means, spreads = empty((2, s.chunks, s.channels * s.inner), wide)[0], empty((s.chunks, s.channels * s.inner), wide)
        _over_columns(C.column_moments(name), s, x, means, spreads, *sizes)
        extents = (s.samples, s.share, s.inner, 1)
    else:
        width = _width(s, x, y)
        means, spreads = empty((s.rows * s.each * s.samples, s.pieces), wide), empty((s.rows * s.each * s.samples, s.pieces), wide)
        _over_runs(C.run_moments(name, width), s, x, means, spreads, s.parts()[2], *sizes)
        extents = (s.samples * s.each, 1, s.inner, C.PIECE)
    join = C.joined_rows(name, statistics)
    row_size = s.parts()[2] * s.inner
    blocks = blocks_for(s.rows * 32, BLOCK)
    join.launch(blocks, BLOCK, x, means, spreads, kept, *found, R.constant(eps, wide), row_size, *extents, s.rows, *s.parts())
    if s.short:
        _over_columns(C.column_forward(name, *kinds), s, x, *given, kept, y, *sizes)
    else:
        _over_runs(C.run_forward(name, width, *kinds), s, x, *given, kept, y, *sizes)
    return y, *found, kept


def _rows(layout: Any) -> tuple[int, int, int] | None:
    """(rows, elements of each, rows with weights of their own) where rows are contiguous and each element has a weight, or is given one."""
    if layout.axes == (1,):
        return *layout.view, 1
    if layout.axes == (2, 3) and layout.view[3] < _SHORT:
        samples, groups, each, inner = layout.view
        return samples * groups, each * inner, groups
    return None


def _spread(a: CudaArray, layout: Any) -> CudaArray:
    """Weights of elements: those of channels, repeated."""
    if layout.axes == (1,) or layout.view[3] == 1:
        return a
    inner = layout.view[3]
    spread = empty((a.size, inner), a.dtype)
    assign(spread, a.reshape(a.size, 1))
    return spread


def _width(s: _Runs, *arrays: CudaArray) -> int:
    width = widest(*arrays)
    while s.inner % width:
        width //= 2
    return width


def _sizes(s: _Runs) -> tuple[int, ...]:
    if s.short:
        return s.samples, s.channels * s.inner, s.inner, s.share
    return s.samples * s.channels, s.pieces, s.inner, s.each, s.rows, s.channels


def _over_runs(kernel: Any, s: _Runs, *arguments: Any) -> None:
    kernel.launch(blocks_for(s.samples * s.channels * s.pieces * 32, BLOCK, 64), BLOCK, *arguments)


def _over_columns(kernel: Any, s: _Runs, *arguments: Any) -> None:
    _over_matrix(kernel, s.samples, s.channels * s.inner, s.share, *arguments)


def _over_matrix(kernel: Any, height: int, columns: int, share: int, *arguments: Any) -> None:
    units = -(-columns // C.ACROSS) * -(-height // share)
    kernel.launch(blocks_for(units, 1, 64), (C.ACROSS, C.DOWN), *arguments)


# ------------------------------------------------------------------------------------------------------------- gradients


def standardize_backward(g: Any, x: Any, weight: Any, kept: Any, layout: Any, biased: bool) -> tuple[Any, Any, Any]:
    """The gradients of ``standardize`` with respect to x, weight and bias, these of ``layout.size`` (of nothing if there are neither).

    With u = g * weight and y = (x - mean) / sqrt(var + eps): (u - mean(u) - y * mean(u * y)) / sqrt(var + eps), sum(g * y) and sum(g).
    """
    return _standardize_backward(g, x, weight, kept, biased, *layout)


@planned
def _standardize_backward(g: Any, x: Any, weight: Any, kept: Any, biased: bool, *fields: Any) -> tuple[Any, Any, Any]:
    layout = _Layout(*fields)
    parts, dtype, size = weight is not None or biased, g.dtype, layout.size
    wanted = size if parts else (0,)
    if g.size == 0:
        return empty(g.shape, dtype), zeros(wanted, dtype), zeros(wanted, dtype)
    g, x, kept, out = contiguous(g), contiguous(x), contiguous(kept), empty(g.shape, dtype)
    weight = None if weight is None else contiguous(weight)
    of_weight, of_bias = empty(wanted, dtype), empty(wanted, dtype)
    if _rows(layout) is not None:
        _backward_of_rows(g, x, weight, kept, out, layout)
        if parts:
            _weights_of_rows(g, x, kept, layout, of_weight, of_bias)
        return out, of_weight, of_bias
    s, wide, name = _runs(layout), kept.dtype, dtype.name
    sizes, given = _sizes(s), () if weight is None else (weight,)
    if s.short:
        levels, slopes = empty((s.chunks, s.channels * s.inner), wide), empty((s.chunks, s.channels * s.inner), wide)
        _over_columns(C.column_sums(name, False, True), s, g, x, kept, levels, slopes, *sizes)
    else:
        width = _width(s, g, x, out)
        levels, slopes = empty((s.samples * s.channels, s.pieces), wide), empty((s.samples * s.channels, s.pieces), wide)
        _over_runs(C.run_sums(name, width), s, g, x, kept, levels, slopes, *sizes)
    of_rows = empty((2, s.rows), wide)
    last = (s.each, s.rows, s.channels)
    join = C.joined_sums(name, "rows", weight is not None)
    join.launch(blocks_for(s.rows * 32, BLOCK), BLOCK, levels, slopes, weight, kept, of_rows[0], of_rows[1], s.rows, *s.parts(), *last)
    if parts:
        whole = s.parts() if s.short else (s.samples, s.pieces, 1, s.channels)
        join = C.joined_sums(name, "channels", False)
        join.launch(blocks_for(s.channels * 32, BLOCK), BLOCK, levels, slopes, None, kept, of_bias, of_weight, s.channels, *whole, *last)
    arguments = (g, x, *given, kept, of_rows[0], of_rows[1], out, R.constant(g.size // s.rows, wide), *sizes)
    if s.short:
        _over_columns(C.column_backward(name, weight is not None), s, *arguments)
    else:
        _over_runs(C.run_backward(name, width, weight is not None), s, *arguments)
    return out, of_weight, of_bias


def _backward_of_rows(g: CudaArray, x: CudaArray, weight: CudaArray | None, kept: CudaArray, out: CudaArray, layout: Any) -> None:
    rows, n, groups = _rows(layout) or (0, 0, 0)
    given = () if weight is None else (_spread(weight, layout),)
    how = R.plan(rows, n, g, x, out, *given, per_thread=16)
    kinds, name = (layout.centered, weight is not None), g.dtype.name
    kernel = N.rows_backward(name, how.width, how.team, how.each, how.full, *kinds) if how.team else N.streamed_backward(name, how.width, *kinds)
    kernel.launch(how.blocks, how.threads, g, x, *given, kept, out, rows, n, groups)


def _weights_of_rows(g: CudaArray, x: CudaArray, kept: CudaArray, layout: Any, of_weight: CudaArray, of_bias: CudaArray) -> None:
    """Sums over the rows that share weights, and over elements that do."""
    rows, n, groups = _rows(layout) or (0, 0, 0)
    name, wide = g.dtype.name, kept.dtype
    height, columns, inner = rows // groups, n * groups, layout.view[3] if layout.axes == (2, 3) else 1
    share = _share(height, columns)
    chunks = -(-height // share)
    levels, slopes = empty((chunks, columns), wide), empty((chunks, columns), wide)
    kernel = C.column_sums(name, True, layout.centered)
    _over_matrix(kernel, height, columns, share, g, x, kept, levels, slopes, height, columns, n, share)
    join, targets = C.joined_sums(name, "elements", False), columns // inner
    sizes = (chunks, inner, 1, targets, 1, 1, 1)
    join.launch(blocks_for(targets * 32, BLOCK), BLOCK, levels, slopes, None, kept, of_bias, of_weight, targets, *sizes)
