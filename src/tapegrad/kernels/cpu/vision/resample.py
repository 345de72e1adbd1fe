"""Linear maps along axes, given by tables: average pooling, padding by existing elements, interpolation; and their transposes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...axis_maps import Axis, Table, table
from ...narrow import in_float32
from ...native import cache, runtime as rt
from ...native.call import launcher
from ..arrays import constant, empty
from ..reduction.layout import contiguous
from .pool import are_windows, mean_pool, mean_pool_backward

_Array = np.ndarray[Any, Any]

_GRAIN = 16384  # terms below which one thread is faster
_LONG = 512  # sums of more float64 numbers are left to NumPy, which adds in pairs

# Words of a table: three of each, for depth, height and width; then the axes' counts and indices.
SIZE, OUT, ENTRIES, COUNTS, INDEX = range(0, 15, 3)
WORKERS = 15
HEADER = 16


class _Plan(NamedTuple):
    """How the kernel resamples arrays of one shape and dtype."""

    shape: tuple[int, ...]
    kernel: int
    units: int
    grain: int
    space: int
    table: _Array
    weights: _Array | int
    divisors: _Array | int


@in_float32
def resample(x: _Array, maps: tuple[Axis | None, ...], transposed: bool) -> _Array:
    """The maps of the last ``len(maps)`` axes applied to ``x``, or their transposes; None leaves an axis as it is."""
    if x.dtype.char in "fd":
        if are_windows(maps):
            return mean_pool_backward(x, maps) if transposed else mean_pool(x, maps)  # type: ignore[arg-type]
        plan = _native_plan(x.shape, maps, transposed, x.dtype.char, rt.get_num_threads())
        if plan is not None:
            shape, kernel, units, grain, space, made, weights, divisors = plan
            out = empty(shape, x.dtype)
            if units:
                launcher()(kernel, units, grain, contiguous(x), out, empty((space,), np.dtype(np.float64)), made, weights, divisors, units)
            return out
    return _by_axes(x, maps, transposed)


@functools.cache
def _kernel(dtype: str, weighted: bool, divided: str) -> int:
    def build() -> Any:
        from . import resample_kernels

        return resample_kernels.resample(dtype, weighted, divided)

    return cache.native(f"resample:{dtype}:{weighted}:{divided}", build)


@functools.lru_cache(maxsize=1024)
def _native_plan(shape: tuple[int, ...], maps: tuple[Axis | None, ...], transposed: bool, code: str, threads: int) -> _Plan | None:
    """None where the kernel does not apply: to more than three axes, and to long sums in float64."""
    dtype = np.dtype(code).name
    first = next((k for k, m in enumerate(maps) if m is not None), len(maps))
    planes = math.prod(shape[: len(shape) - len(maps) + first])
    sizes = shape[len(shape) - len(maps) + first :]
    if not 1 <= len(sizes) <= 3:
        return None
    none: Any = None
    chosen = [(none, 1)] * (3 - len(sizes)) + list(zip(maps[first:], sizes, strict=True))
    tables = [_identity(size) if m is None else table(m, dtype == "float64", transposed) for m, size in chosen]
    if dtype == "float64" and max(t.index.shape[1] for t in tables) > _LONG:
        return None
    outs = [len(t.index) for t in tables]
    sizes_of = [size for _, size in chosen]
    entries = [t.index.shape[1] for t in tables]
    columns = tables[2]._replace(index=tables[2].index.T, weight=None if tables[2].weight is None else tables[2].weight.T)
    parts: list[_Array] = []
    starts, at = [], HEADER
    for t in (*tables[:2], columns):
        starts.append((at, at + len(t.count)))
        at += len(t.count) + t.index.size
        parts += [t.count, t.index.ravel()]
    header = [*sizes_of, *outs, *entries, *[s[0] for s in starts], *[s[1] for s in starts], threads]
    weights: Any = 0
    if any(t.weight is not None for t in tables):
        weighed = [(t.count, np.ones(t.index.shape) if t.weight is None else t.weight) for t in (*tables[:2], columns)]
        weights = constant(np.concatenate([part.ravel() for pair in weighed for part in pair], dtype=np.float64))
    divisors: Any = 0
    if any(t.divisor is not None for t in tables):
        shapes = sizes_of if transposed else outs
        divided = [np.ones(n) if t.divisor is None else t.divisor for t, n in zip(tables, shapes, strict=True)]
        divisors = constant(np.concatenate(divided, dtype=np.float64))
    units = planes * outs[0] * outs[1] if outs[2] else 0
    grain = max(1, _GRAIN // max(entries[0] * entries[1] * sizes_of[2] + entries[2] * outs[2], 1))
    if units > grain:
        rt.start_threads()
    kernel = _kernel(dtype, not isinstance(weights, int), "" if isinstance(divisors, int) else "in" if transposed else "out")
    out_shape = (*shape[: len(shape) - len(sizes)], *outs[3 - len(sizes) :])
    made = np.concatenate([np.array(header), *parts], dtype=np.int64)
    return _Plan(out_shape, kernel, units, grain, threads * sizes_of[2], made, weights, divisors)


def _identity(size: int) -> Table:
    return Table(np.arange(size)[:, None], np.ones(size, np.int64), None, None)


def _by_axes(x: _Array, maps: Sequence[Axis | None], transposed: bool) -> _Array:
    """One axis after the other, in any dtype."""
    out = x
    wide = x.dtype.itemsize > 4 and x.dtype.name != "complex64"
    tables = [None if m is None else table(m, wide, transposed) for m in maps]
    divisor = _divisor(tables)
    if transposed and divisor is not None:
        out = _divided(out, divisor)
    for axis, t in enumerate(tables, x.ndim - len(maps)):
        if t is not None:
            out = _along(out, axis, t)
    if not transposed and divisor is not None:
        out = _divided(out, divisor)
    return out.copy() if out is x else np.ascontiguousarray(out)


def pad_constant(x: _Array, pads: Sequence[tuple[int, int]], value: Any) -> _Array:
    """``x`` with so many elements before and after it along each axis; negative numbers cut off."""
    shape = [n + before + after for n, (before, after) in zip(x.shape, pads, strict=True)]
    out = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    inside = [(max(before, 0), max(-before, 0)) for before, _ in pads]
    sizes = [max(n + min(before, 0) + min(after, 0), 0) for n, (before, after) in zip(x.shape, pads, strict=True)]
    to = tuple([slice(a, a + n) for (a, _), n in zip(inside, sizes, strict=True)])
    out[to] = x[tuple([slice(b, b + n) for (_, b), n in zip(inside, sizes, strict=True)])]
    return out


def _divisor(tables: Sequence[Table | None]) -> _Array | None:
    """The number that each element of the result is divided by, shaped to broadcast."""
    if all(t is None or t.divisor is None for t in tables):
        return None
    product: Any = 1
    for k, t in enumerate(tables, 1 - len(tables)):
        if t is not None and t.divisor is not None:
            product = product * t.divisor.reshape((-1,) + (1,) * -k)
    return np.asarray(product)


def _divided(x: _Array, divisor: _Array) -> _Array:
    if x.dtype.kind in "biu":  # towards zero, as in PyTorch
        return np.asarray(np.sign(x) * (np.abs(x) // divisor), x.dtype)
    return np.asarray(x / divisor.astype(x.real.dtype))


def _along(x: _Array, axis: int, t: Table) -> _Array:
    rows, entries = t.index.shape
    after = (1,) * (x.ndim - axis - 1)
    weight = None if t.weight is None else t.weight.astype(x.real.dtype)
    if entries > rows > 0:  # few long sums
        part = x.take(t.index, axis)
        if weight is not None:
            part *= weight.reshape(rows, entries, *after)
        inside = np.arange(entries) < t.count[:, None]
        if not inside.all():
            part = np.where(inside.reshape(rows, entries, *after), part, part.dtype.type(0))
        return np.asarray(np.add.reduce(part, axis + 1, part.dtype))
    out = np.zeros((*x.shape[:axis], rows, *x.shape[axis + 1 :]), x.dtype) if not entries or t.count.min(initial=1) == 0 else None
    for k in range(entries):
        used = slice(None) if out is None or t.count.min() > k else np.nonzero(t.count > k)[0]
        part = x.take(t.index[used, k], axis)
        if weight is not None:
            part *= weight[used, k].reshape(-1, *after)
        if out is None:
            out = part
        else:
            out[(slice(None),) * axis + (used,)] += part
    assert out is not None
    return out
