"""Attention: weighted means of values, with weights that are a softmax of products of queries and keys.

Forward and backward never hold more of the scores than a tile of each thread. What a matrix (one head of one example) gives
depends on nothing but its operands: sums go over tiles in order, so the number of threads changes no bit.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ...narrow import is_narrow, widen
from ...native import cache, runtime as rt
from ...native.call import launcher
from .. import arrays
from ..linalg.gemm import Tile, host_tile

Array = np.ndarray[Any, np.dtype[Any]]

KEYS = 128  # of a tile of scores
_SERIAL_FLOPS = 1_500_000  # below, waking another thread costs more than it brings
_SHARES = 16  # units per thread, at most
_MAX_PLANS = 1024
_BYTE = np.dtype(np.uint8)

# Words of a plan's table. Then strides (row, column) of query, key, value, mask, output and the gradients of output, query, key and
# value, in bytes; then for each batch dimension its extent and the strides of all these.
LENGTH, SOURCES, DEPTH, VALUES, CAUSAL, TOTAL, UNITS, REGION, WHOLE, BATCH_DIMS, STRIDES = range(11)
_OPERANDS = 9
BATCH = STRIDES + 2 * _OPERANDS
ROW = 1 + _OPERANDS


def masked_softmax(x: Any, softmax: Any) -> Any:
    """``softmax`` along the last axis, but zeros where all of it is -inf (where nothing may be attended to)."""
    if x.shape[-1] == 0:
        return x.copy()
    y = softmax(x, x.ndim - 1)
    nothing = np.isneginf(x.max(axis=-1))
    if nothing.any():
        y[nothing] = 0
    return y


def queries(tile: Tile, itemsize: int) -> int:
    """How many queries a tile of scores has."""
    return tile.vectors * tile.vector_bytes // itemsize


@functools.cache
def _kernel(kind: str, dtype: str, tile: Tile) -> int:
    def build() -> Any:
        from . import attention_kernels

        return getattr(attention_kernels, kind)(dtype, tile)

    return cache.native(f"attention:{kind}:{dtype}:{tuple(tile)}", build)


class _Layout(NamedTuple):
    """How an array is made: its shape in the order of memory, and the axes that restore its own."""

    shape: tuple[int, ...]
    axes: tuple[int, ...] | None

    def empty(self, dtype: Any) -> Array:
        made = arrays.empty(self.shape, dtype)
        return made if self.axes is None else made.transpose(self.axes)


class _Plan(NamedTuple):
    """How to attend with operands of given shapes and strides."""

    made: tuple[_Layout, ...]
    statistics: tuple[int, ...]
    steps: tuple[tuple[int, int, int, Array, tuple[int], bool, bool], ...]  # kernel, units, grain, table, space, into q, into k and v


_plans: dict[Any, _Plan] = {}


def _planned(key: Any, kind: str, causal: bool, operands: tuple[Any, ...]) -> _Plan:
    if len(_plans) >= _MAX_PLANS:
        _plans.clear()
    plan = _plans[key] = _make_plan(kind, causal, operands)
    return plan


def _make_plan(kind: str, causal: bool, given: tuple[Any, ...]) -> _Plan:
    q, k, v, mask = given[:4]
    dtype, tile = q.dtype, host_tile()
    batch = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    length, e, sources, values = q.shape[-2], q.shape[-1], k.shape[-2], v.shape[-1]
    if kind == "forward":
        made: tuple[_Layout, ...] = (_like(q, (*batch, length, values)),)
    else:
        made = (_like(q, (*batch, length, e)), _like(k, (*batch, sources, e)), _like(v, (*batch, sources, values)))
    matrices = math.prod(batch)
    if matrices * length * sources * (e + values) == 0:
        return _Plan(made, (*batch, 2, length), ())
    outputs = [layout.empty(dtype) for layout in made]
    if mask is not None:
        mask = np.broadcast_to(mask, (*mask.shape[:-2], length, sources))
    operands = [q, k, v, mask, *given[4:], *outputs]
    strides = [(0, 0) if a is None else a.strides[-2:] for a in operands]
    moves = [None if a is None else np.broadcast_to(a, (*batch, *a.shape[-2:])).strides for a in operands]
    dims = [(n, *[0 if m is None else m[d] for m in moves]) for d, n in enumerate(batch) if n != 1]

    lanes, wide = tile.vector_bytes // dtype.itemsize, queries(tile, dtype.itemsize)
    e_padded, v_padded = -(-e // lanes) * lanes, -(-values // lanes) * lanes
    threads = rt.get_num_threads()
    large = 2 * matrices * length * sources * (e + values) * (1 if kind == "forward" else 2) >= _SERIAL_FLOPS
    if large and threads > 1:
        rt.start_threads()
    q_tiles, k_tiles = -(-length // wide), -(-sources // KEYS)
    forward_room = wide * (e + KEYS + v_padded) + KEYS * v_padded
    room = wide * (2 * e_padded + v_padded + e + values + KEYS + max(KEYS, values)) + KEYS * e_padded
    into_kv = e_padded + v_padded
    if kind == "forward":
        jobs = [(matrices * q_tiles, forward_room, False, False, False)]
    elif not large or matrices % threads == 0 or matrices >= 8 * threads:
        jobs = [(matrices, room + sources * into_kv, True, True, True)]
    else:
        jobs = [(matrices * q_tiles, room, False, True, False), (matrices * k_tiles, room + KEYS * into_kv, False, False, True)]
    steps = []
    for total, elements, whole, into_q, into_keys in jobs:
        units = min(total, _SHARES * threads)
        region = -(-elements * dtype.itemsize // 64) * 64
        table = [length, sources, e, values, causal, total, units, region, whole, len(dims)]
        for pair in strides + [(0, 0)] * (_OPERANDS - len(strides)):
            table += pair
        for row in dims:
            table += [*row, *[0] * (ROW - len(row))]
        kernel = _kernel(kind, dtype.name, tile)
        steps.append((kernel, units, 1 if large else units, np.array(table, np.int64), (units * region + 64,), into_q, into_keys))
    return _Plan(made, (*batch, 2, length), tuple(steps))


def _like(model: Any, shape: tuple[int, ...]) -> _Layout:
    """Arrays of this shape whose axes lie in memory as the model's do, but the last one innermost."""
    order = list(range(len(shape)))
    if model.ndim == len(shape) and model.shape[:-1] == shape[:-1]:
        order[:-1] = sorted(order[:-1], key=lambda axis: -abs(model.strides[axis]) if shape[axis] > 1 else 0)
    in_order = order == list(range(len(shape)))
    return _Layout(tuple([shape[i] for i in order]), None if in_order else tuple([order.index(i) for i in range(len(shape))]))


def attention(q: Any, k: Any, v: Any, mask: Any | None, scale: float, causal: bool) -> tuple[Any, Any]:
    """``softmax(q @ k.T * scale + mask) @ v`` of (..., l, e), (..., s, e) and (..., s, v), and what the gradient needs of the rows.

    Leading dimensions broadcast. ``mask`` broadcasts to (..., l, s); ``causal`` hides the keys after a query's own place. All float32 or
    all float64. The result lies in memory as the queries do. A row that may attend to nothing is 0. What the gradient needs has
    shape (..., 2, l): the largest scores, and one by the sums of exponentials.
    """
    dtype = q.dtype
    if is_narrow(dtype):
        out, statistics = attention(widen(q), widen(k), widen(v), None if mask is None else widen(mask), scale, causal)
        return out.astype(dtype), statistics
    masked = None if mask is None else (mask.shape, mask.strides)
    key = (causal, dtype, q.shape, q.strides, k.shape, k.strides, v.shape, v.strides, masked)
    plan = _plans.get(key) or _planned(key, "forward", causal, (q, k, v, mask))
    out, statistics = plan.made[0].empty(dtype), arrays.empty(plan.statistics, dtype)
    for kernel, units, grain, table, space, _, _ in plan.steps:
        launcher()(kernel, units, grain, q, k, v, 0 if mask is None else mask, out, statistics, arrays.empty(space, _BYTE), table, scale)
    if not plan.steps:
        out[...] = 0
        statistics[...] = 0
    return out, statistics


def attention_backward(
    g: Any, q: Any, k: Any, v: Any, mask: Any | None, out: Any, statistics: Any, scale: float, causal: bool
) -> tuple[Any, Any, Any]:
    """The gradients with respect to q, k and v, each of all leading dimensions, of what :func:`attention` returned."""
    dtype = q.dtype
    if is_narrow(dtype):
        mask = None if mask is None else widen(mask)
        grads = attention_backward(widen(g), widen(q), widen(k), widen(v), mask, widen(out), statistics, scale, causal)
        return grads[0].astype(dtype), grads[1].astype(dtype), grads[2].astype(dtype)
    masked = None if mask is None else (mask.shape, mask.strides)
    key = (causal, dtype, q.shape, q.strides, k.shape, k.strides, v.shape, v.strides, masked, out.strides, g.strides)
    plan = _plans.get(key) or _planned(key, "backward", causal, (q, k, v, mask, out, g))
    into_q, into_k, into_v = [layout.empty(dtype) for layout in plan.made]
    for kernel, units, grain, table, space, for_q, for_kv in plan.steps:
        launcher()(
            *(kernel, units, grain, q, k, v, 0 if mask is None else mask, out, g, statistics),
            *(into_q if for_q else 0, into_k if for_kv else 0, into_v if for_kv else 0),
            *(arrays.empty(space, _BYTE), table, scale),
        )
    if not plan.steps:
        for made in (into_q, into_k, into_v):
            made[...] = 0
    return into_q, into_k, into_v
