"""Maxima over windows, where they were, and means; and their gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...axis_maps import Axis, table
from ...narrow import in_float32, widen
from ...native import cache, runtime as rt
from ...native.call import launcher
from ..arrays import constant, empty
from ..reduction.layout import contiguous

_Array = np.ndarray[Any, Any]

_INT64 = np.dtype(np.int64)
_GRAIN = 16384  # elements in windows below which one thread is faster
_VECTOR = 16  # windows that are taken together; they cost as much as one

# Words of a table; then (first element, number of them) of each window along depth, height and width.
HEIGHT, WIDTH, SIZE, OUT_DEPTH, OUT_HEIGHT, OUT_WIDTH, STEP_D, STEP_H, STEP_W, STRIDE, WINDOW, BEFORE = range(12)
HEADER = 12


class Plan(NamedTuple):
    """The windows in planes of one shape, for kernels."""

    shape: tuple[int, ...]  # of one result a window
    kernel: int
    rows: int  # of windows
    planes: int
    grain: int  # rows
    table: _Array
    divisors: _Array | int


@functools.cache
def _kernel(name: str, code: str, *options: str) -> int:
    """The address of a kernel, for arrays of this dtype character."""
    dtype = np.dtype(code).name

    def build() -> Any:
        from . import pool_kernels

        return getattr(pool_kernels, name)(dtype, *options)

    return cache.native(f"pool:{name}:{dtype}:{options}", build)


@functools.lru_cache(maxsize=4096)
def _plan(what: str, shape: tuple[int, ...], maps: tuple[Axis, ...], code: str) -> Plan:
    """Of windows in the last ``len(maps)`` of the dimensions ``shape``: for their "max", "mean" or "mean_backward"."""
    lead = shape[: len(shape) - len(maps)]
    axes = [Axis("window", 1, 1, (1, 1, 0, 1, ""))] * (3 - len(maps)) + list(maps)
    tables = [table(axis) for axis in axes]
    ends = [np.stack([t.index[:, 0] if t.index.size else 0 * t.count, np.maximum(t.count, 1)], 1) for t in tables]
    steps = [axis.options[3] if axis.kind == "window" else 1 for axis in axes]
    size, planes = math.prod([axis.size for axis in axes]), math.prod(lead)
    last = axes[-1]
    window, stride, before = last.options[:3] if last.kind == "window" else (0, 0, 0)
    header = [axes[1].size, last.size, size, *[axis.out for axis in axes], *steps, stride, window, before]
    divisors: Any = 0
    if what != "max":
        parts = [np.ones(axis.out) if t.divisor is None else t.divisor for axis, t in zip(axes, tables, strict=True)]
        divisors = constant(np.concatenate(parts, dtype=np.dtype(code)))
    rows = planes * axes[0].out * axes[1].out if last.out else 0
    elements = math.prod([int(e[:, 1].max(initial=1)) for e in ends]) * -(-last.out // _VECTOR) * _VECTOR
    grain = max(1, _GRAIN // max(elements, 1))
    if rows > grain:
        rt.start_threads()
    made = np.concatenate([np.array(header), *[e.ravel() for e in ends]], dtype=np.int64)
    if what == "mean_backward":
        kernel = _kernel(what, code)
    elif last.kind == "window" and size < 2**31:
        kernel = _kernel("regular", code, "max" if what == "max" else "sum")
    else:
        kernel = _kernel(f"irregular_{what}", code)
    return Plan((*lead, *[axis.out for axis in maps]), kernel, rows, planes, grain, made, divisors)


def max_pool(x: _Array, maps: tuple[Axis, ...]) -> tuple[_Array, _Array]:
    """Maxima over the windows of the last ``len(maps)`` axes, and their positions in these axes, flattened.

    Of equal elements it is the first; a NaN is the maximum, and of several the last.
    """
    wide = contiguous(widen(x))
    plan = _plan("max", wide.shape, maps, wide.dtype.char)
    values, places = empty(plan.shape, wide.dtype), empty(plan.shape, _INT64)
    if plan.rows:
        launcher()(plan.kernel, plan.rows, plan.grain, wide, values, places, plan.table)
    return values if values.dtype is x.dtype else values.astype(x.dtype, copy=False), places


@functools.lru_cache(maxsize=4096)
def are_windows(maps: tuple[Axis | None, ...]) -> bool:
    """Whether ``mean_pool`` takes these maps: a few axes of windows without gaps."""
    return 1 <= len(maps) <= 3 and all(m is not None and m.kind in ("window", "adaptive") and m.options[3:4] in ((), (1,)) for m in maps)


def mean_pool(x: _Array, maps: tuple[Axis, ...]) -> _Array:
    """Sums over the windows of the last ``len(maps)`` axes, divided as the maps say; float32 or float64."""
    plan = _plan("mean", x.shape, maps, x.dtype.char)
    out = empty(plan.shape, x.dtype)
    if plan.rows:
        launcher()(plan.kernel, plan.rows, plan.grain, contiguous(x), out, plan.divisors, plan.table)
    return out


def mean_pool_backward(g: _Array, maps: tuple[Axis, ...]) -> _Array:
    """The transpose of :func:`mean_pool`."""
    lead = g.shape[: g.ndim - len(maps)]
    shape = (*lead, *[axis.size for axis in maps])
    plan = _plan("mean_backward", shape, maps, g.dtype.char)
    if not plan.rows:
        return np.zeros(shape, g.dtype)
    out = empty(shape, g.dtype)
    grain = max(1, plan.grain * plan.planes // plan.rows)
    launcher()(plan.kernel, plan.planes, grain, contiguous(g), out, plan.divisors, plan.table)
    return out


@in_float32
def max_pool_backward(g: _Array, places: _Array, size: tuple[int, ...], dims: int, maps: tuple[Axis, ...] | None = None) -> _Array:
    """Zeros of shape ``size`` with the elements of ``g`` added at their ``places`` in the last ``dims`` dimensions, flattened.

    ``g`` and ``places`` have one shape; places are not checked. Those that are equal add up in order. ``maps`` are the windows that the
    places lie in, which nothing here depends on.
    """
    g, places = contiguous(g), contiguous(places)
    out = empty(size, g.dtype)
    split = len(size) - dims
    planes, elements = math.prod(size[:split]), math.prod(size[split:])
    grain = max(1, _GRAIN // max(elements, 1))
    if planes > grain:
        rt.start_threads()
    launcher()(_kernel("max_backward", g.dtype.char), planes, grain, g, places, out, math.prod(g.shape[split:]), elements)
    return out


def fractional_max_pool(x: _Array, samples: _Array, kernel: Sequence[int], size: Sequence[int]) -> tuple[_Array, _Array]:
    """The same over windows whose places differ between the planes of ``x`` (..., planes, *space): ``samples`` (..., planes, dims).

    Window i begins at int((i + u) a) - int(u a) with a = (space - kernel) / (size - 1), the last one at the end (Graham,
    Fractional Max-Pooling, 2014).
    """
    dims = len(kernel)

    def along(values: _Array, axis: int, k: int) -> tuple[_Array, _Array]:
        room = x.shape[axis] - kernel[k]
        u = samples[..., k, None]
        step = u.dtype.type(room) / u.dtype.type(max(size[k] - 1, 1))
        start = ((np.arange(size[k]).astype(u.dtype) + u) * step).astype(np.int64) - (u * step).astype(np.int64)
        start[..., -1] = room
        start = start.reshape((*start.shape[:-1],) + (1,) * k + (size[k],) + (1,) * (dims - k - 1))
        places = (start + j for j in range(kernel[k]))
        return _running((np.take_along_axis(values, place, axis), place) for place in places)

    return _over_axes(x, dims, along)


def _over_axes(x: _Array, dims: int, along: Callable[[_Array, int, int], tuple[_Array, _Array]]) -> tuple[_Array, _Array]:
    """One axis after the other, the last one first, so that of equal elements the first in memory order is found."""
    values = widen(x)
    flat, stride = None, 1
    for k in range(dims - 1, -1, -1):
        axis = x.ndim - dims + k
        values, place = along(values, axis, k)
        flat = place * stride + (0 if flat is None else np.take_along_axis(flat, place, axis))
        stride *= x.shape[axis]
    assert flat is not None
    return np.ascontiguousarray(values.astype(x.dtype, copy=False)), np.ascontiguousarray(flat)


def _running(candidates: Iterable[tuple[_Array, _Array]]) -> tuple[_Array, _Array]:
    """The largest of (values, their places along the axis), one after the other."""
    best: Any = None
    place: Any = None
    for value, at in candidates:
        if best is None:
            best, place = value, np.broadcast_to(at, value.shape)
        else:
            better = (value > best) | (value != value)
            best, place = np.where(better, value, best), np.where(better, at, place)
    return best, place
