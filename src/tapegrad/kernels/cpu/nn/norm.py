"""Normalisation: rows about their mean, in units of their standard deviation, times weights, plus biases; and the gradients of that.

What a row is, and which weight belongs to which element, says a layout (``tapegrad.ops.nn.standardize.Layout``). Arrays of any strides
in, C-contiguous arrays out. A row is the unit of parallel work and weights' gradients are added up in chunks of fixed size, so the bits
don't depend on the number of threads. 16-bit floats are computed in float32, and their statistics stay in it.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ...narrow import is_narrow, widen
from ...native import cache, runtime as rt
from ...native.call import launcher
from ..arrays import empty
from ..elementwise import copy
from ..reduction.layout import contiguous
from ..reduction.reduce import sum as pairwise_sum

Array = np.ndarray[Any, np.dtype[Any]]

_GRAIN = 16384  # elements below which one thread is faster
_CHUNKS = 32  # of rows whose contributions to the weights' gradients are added up apart, at most
_CHUNK_ROWS = 16  # in such a chunk at least, unless there are few
_SHORT = 16  # contiguous elements of a channel below which it is gathered first


class _Plan(NamedTuple):
    """How a layout is computed: the kernels (forward's address, and backward's name, for when there is one), their units and sizes.

    With ``elements``, weights belong to elements of a row, else to channels. ``gathered`` is the shape in which short runs of channels
    are gathered to rows first.
    """

    elements: bool
    gathered: tuple[int, int, int] | None
    forward: int
    backward: tuple[Any, ...]
    rows: int
    grain: int
    sizes: tuple[int, ...]
    reduced: tuple[int, ...]
    units: int
    unit_rows: int
    backward_grain: int
    samples: int


@functools.cache
def _kernel(name: str, *args: Any) -> int:
    def build() -> Any:
        from . import norm_kernels

        return getattr(norm_kernels, name)(*args)

    return cache.native(f"norm:{name}:{args}", build, translated=True)


@functools.lru_cache(maxsize=4096)
def _plan(layout: Any, dtype: np.dtype[Any], weighted: bool, biased: bool) -> _Plan:
    view, name, centered = layout.view, dtype.name, layout.centered
    reduced = tuple([1 if d in layout.axes else n for d, n in enumerate(view)])
    if layout.axes == (1,):
        rows, n = view
        grain = max(1, _GRAIN // n)
        share = max(-(-rows // _CHUNKS), min(_CHUNK_ROWS, -(-rows // 4))) if rows > grain else rows
        chunks = -(-rows // share)
        forward = _kernel("elements_forward", name, centered, weighted, biased)
        backward = ("elements_backward", name, centered, weighted, weighted or biased)
        return _Plan(True, None, forward, backward, rows, grain, (rows, n), reduced, chunks, share, 1, chunks)
    gathered = None
    if layout.axes == (2, 3):  # groups of channels of a sample
        samples, groups, segments, inner = view
        sizes = (samples * groups, segments, inner, segments * inner, inner, groups, segments, 1)
    else:
        segments, groups, inner = view
        samples = 1
        sizes = (groups, segments, inner, inner, groups * inner, groups, 1, 0)
        if inner < _SHORT and segments > 1:
            gathered = (segments, groups, inner)
            sizes = (groups, 1, segments * inner, segments * inner, segments * inner, groups, 1, 0)
    rows, grain = sizes[0], max(1, _GRAIN // (sizes[1] * sizes[2]))
    forward = _kernel("channels_forward", name, centered)
    return _Plan(False, gathered, forward, ("channels_backward", name, centered), rows, grain, sizes, reduced, rows, 1, grain, samples)


def standardize(
    x: Array, weight: Array | None, bias: Array | None, layout: Any, eps: float, statistics: bool
) -> tuple[Array, ...]:
    """((x - mean) / sqrt(var + eps) * weight + bias, what ``standardize_backward`` takes of it): the latter (3, rows).

    That is the mean in two parts that add up to it, and 1 / sqrt(var + eps). If the layout is not centered, the mean is taken to be 0.
    Weight and bias have the dtype of x. With ``statistics``, mean and variance come in between, of the view's shape with size 1
    where they are taken over; the variance's divisor is the number of elements.
    """
    if is_narrow(x.dtype):
        y, *rest = standardize(
            widen(x), None if weight is None else widen(weight), None if bias is None else widen(bias), layout, eps, statistics
        )
        return y.astype(x.dtype), *rest
    dtype, shape = x.dtype, x.shape
    if x.size == 0:
        reduced = tuple([1 if d in layout.axes else n for d, n in enumerate(layout.view)])
        return empty(shape, dtype), *[np.full(reduced, np.nan, dtype) for _ in range(2 * statistics)], np.zeros((3, 0), dtype)
    plan = _plan(layout, dtype, weight is not None, bias is not None)
    x = _gather(x, plan.gathered)
    y, kept = empty(x.shape, dtype), empty((3, plan.rows), dtype)
    mean: Any = empty(plan.reduced, dtype) if statistics else 0
    var: Any = empty(plan.reduced, dtype) if statistics else 0
    if plan.rows > plan.grain:
        rt.start_threads()
    slots = (x, 0 if weight is None else contiguous(weight), 0 if bias is None else contiguous(bias), y, kept, mean, var)
    launcher()(plan.forward, plan.rows, plan.grain, *slots, *plan.sizes, eps)
    y = _scatter(y, plan.gathered, shape)
    return (y, mean, var, kept) if statistics else (y, kept)


def standardize_backward(g: Array, x: Array, weight: Array | None, kept: Array, layout: Any, biased: bool) -> tuple[Array, Array, Array]:
    """The gradients of ``standardize`` with respect to x, weight and bias, these of ``layout.size`` (of nothing if there are neither).

    With u = g * weight and y = (x - mean) / sqrt(var + eps): (u - mean(u) - y * mean(u * y)) / sqrt(var + eps), sum(g * y) and sum(g).
    """
    if is_narrow(g.dtype):
        found = standardize_backward(widen(g), widen(x), None if weight is None else widen(weight), kept, layout, biased)
        return found[0].astype(g.dtype), found[1].astype(g.dtype), found[2].astype(g.dtype)
    parts, dtype, shape, size = weight is not None or biased, g.dtype, g.shape, layout.size
    if g.size == 0:
        none = np.zeros(size if parts else 0, dtype)
        return empty(shape, dtype), none, none.copy()
    plan = _plan(layout, dtype, weight is not None, biased)
    g, x = _gather(g, plan.gathered), _gather(x, plan.gathered)
    out = empty(g.shape, dtype)
    slots = (g, x, 0 if weight is None else contiguous(weight), contiguous(kept), out)
    if plan.units > plan.backward_grain:
        rt.start_threads()
    if plan.elements:
        n = plan.sizes[1]
        whole = empty((plan.units, 4, n) if parts else 0, dtype)
        launcher()(_kernel(*plan.backward), plan.units, plan.backward_grain, *slots, whole, *plan.sizes, plan.unit_rows)
        if not parts:
            return out, whole, whole
        of_weight, of_bias = whole[:, 0], whole[:, 1]
    else:
        channels = plan.sizes[5] * plan.sizes[6]
        shape_of_parts = (plan.samples, channels) if plan.samples > 1 or not parts else size
        of_weight, of_bias = empty(shape_of_parts, dtype), empty(shape_of_parts, dtype)
        launcher()(_kernel(*plan.backward), plan.units, plan.backward_grain, *slots, of_weight, of_bias, *plan.sizes, channels)
        out = _scatter(out, plan.gathered, shape)
        if not parts:
            return out, of_weight, of_bias
    if plan.samples > 1:
        of_weight, of_bias = (pairwise_sum(a, (0,), False, dtype) for a in (of_weight, of_bias))
    return out, _as(of_weight, size), _as(of_bias, size)


def _as(a: Array, shape: tuple[int, ...]) -> Array:
    return a if a.shape == shape else a.reshape(shape)


def _gather(x: Array, shape: tuple[int, int, int] | None) -> Array:
    """Short runs of channels as rows."""
    return contiguous(x) if shape is None else copy(contiguous(x).reshape(shape).transpose(1, 0, 2))


def _scatter(y: Array, gathered: tuple[int, int, int] | None, shape: tuple[int, ...]) -> Array:
    return y if gathered is None else copy(y.transpose(1, 0, 2)).reshape(shape)
