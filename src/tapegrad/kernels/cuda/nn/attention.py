"""Attention: weighted means of values, with weights that are a softmax of products of queries and keys.

Scores are never all there: each pass makes them again, a tile at a time. The backward pass of the queries and those of keys and values
are separate, so that nothing is added in an order that changes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import language as L
from ..array import CudaArray, contiguous, empty, zeros
from ..context import blocks_for
from ..dimensions import merged, strides_of
from ..elements import computed, widest
from ..index.shape import broadcast_to
from ..kernel import Kernel
from ..linalg.gemm_kernels import vector
from ..linalg.tensor_tile import KINDS
from .attention_kernels import attention_pass, row_dots, tile_of, widths
from .attention_tensor import WIDTHS, tensor_attention, tile_of as tensor_tile_of

_MAX_GRID = 65535
_MAX_PLANS = 1024


class _Layout(NamedTuple):
    """How an array is made: its shape in the order of memory, and the axes that restore its own."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]

    def empty(self, dtype: Any) -> Any:
        return empty(self.shape, dtype).transpose(self.axes)


def _like(model: CudaArray, shape: tuple[int, ...]) -> _Layout:
    """Arrays of this shape whose axes lie in memory as the model's do, but the last one innermost."""
    order = list(range(len(shape)))
    if model.ndim == len(shape) and model.shape[:-1] == shape[:-1]:
        order[:-1] = sorted(order[:-1], key=lambda axis: -abs(model.strides[axis]) if shape[axis] > 1 else 0)
    return _Layout(tuple([shape[i] for i in order]), tuple([order.index(i) for i in range(len(shape))]))


class _Pass(NamedTuple):
    """A kernel of ``attention_kernels`` with all that it takes by value but the scale."""

    kernel: Kernel
    grid: tuple[int, int, int]
    threads: int
    numbers: tuple[int, ...]


_plans: dict[Any, _Pass] = {}


def _pass(
    kind: str, causal: bool, batch: tuple[int, ...], rows: CudaArray, columns: CudaArray, second: tuple[CudaArray, CudaArray] | None,
    third: CudaArray, mask: CudaArray | None, out: CudaArray,
) -> _Pass:  # fmt: skip
    """The pass that multiplies weights made of ``rows`` and ``columns`` (and the ``second`` pair) by ``third``."""
    u, w = second or (rows, columns)
    arrays = (rows, columns, u, w, third, mask, out)
    key = (kind, causal, *[a if a is None else (a.dtype.num, a.shape, a.strides, a.address % 16) for a in arrays])
    found = _plans.get(key)
    if found is not None:
        return found
    if len(_plans) >= _MAX_PLANS:
        _plans.clear()
    dtype = rows.dtype.name
    sizes, steps = _stacked(batch, arrays)
    across = [0, 0] if mask is None else [s // mask.itemsize for s in mask.strides[-2:]]
    strides: list[int] = []
    for a, step in zip((*arrays[:5], None, out), steps, strict=True):
        strides += [*across, *step] if a is None else [a.strides[-2] // a.itemsize, *step]
    width = third.shape[-1]
    lanes = vector(dtype)
    operands = [(a, step) for a, step in zip(arrays[:5], steps, strict=False) if a is not None]
    moves = [s for a, step in operands for s in (a.strides[-2] // a.itemsize if a.shape[-2] > 1 else 0, *step)]
    aligned = widest(*[a for a, _ in operands], limit=lanes * rows.itemsize) >= lanes and all(s % lanes == 0 for s in moves)
    masked, matrices = "" if mask is None else mask.dtype.name, sizes[0] * sizes[1]
    depth = rows.shape[-1], u.shape[-1]
    numbers = (rows.shape[-2], columns.shape[-2], *depth, width, matrices, sizes[1], *strides)
    chunks = dtype in KINDS and all(a.address % 16 == 0 for a, _ in operands) and all(n % 8 == 0 for n in (*moves, *depth, width))
    padded = next((n for n in WIDTHS if n >= max(*depth, width)), 0) if chunks else 0
    if padded:
        of_warps = tensor_tile_of(kind, padded, bool(masked))
        kernel = tensor_attention(kind, dtype, masked, causal, padded)
        grid, threads = (-(-rows.shape[-2] // of_warps.rows), min(matrices, _MAX_GRID), 1), of_warps.threads
    else:
        wide, tile = widths(dtype, aligned), tile_of(dtype)
        chunk = next((n for n in wide if n >= width), wide[-1])
        kernel = attention_pass(kind, dtype, masked, causal, chunk, aligned)
        grid, threads = (-(-rows.shape[-2] // tile.side), min(matrices, _MAX_GRID), -(-width // chunk)), tile.threads
    made = _plans[key] = _Pass(kernel, grid, threads, numbers)
    return made


def _stacked(batch: tuple[int, ...], arrays: Any) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Two batch dimensions (or more, where strides leave no choice) that stand for all, and each array's strides in elements along them;
    0 for None.
    """
    strides = [[0] * len(batch) if a is None else strides_of(a, (*batch, *a.shape[-2:]))[:-2] for a in arrays]
    dims = merged([n, *[s[d] for s in strides]] for d, n in enumerate(batch))
    dims = [[1] + [0] * len(strides)] * (2 - len(dims)) + dims
    return tuple([d[0] for d in dims]), [tuple([d[1 + k] for d in dims]) for k in range(len(strides))]


def _readable(batch: tuple[int, ...], made: list[CudaArray], *arrays: CudaArray | None) -> list[Any]:
    """The arrays, or copies: kernels know two batch dimensions in what they read and in what is ``made``, which is replaced in place,
    and elements of a row that are neighbours.
    """
    arrays = tuple([a if a is None or a.strides[-1] == a.itemsize or a.shape[-1] <= 1 else a.copy() for a in arrays])
    if len(batch) <= 2 or len(_stacked(batch, (*arrays, *made))[0]) <= 2:
        return list(arrays)
    made[:] = [empty(x.shape, x.dtype) for x in made]
    return [None if a is None else broadcast_to(a, (*batch, *a.shape[-2:])).copy() for a in arrays]


def _prepared(q: CudaArray, k: CudaArray, v: CudaArray, mask: CudaArray | None) -> tuple[tuple[int, ...], CudaArray | None]:
    """The batch dimensions, and the mask as large as the scores, in a dtype that kernels read."""
    if mask is not None:
        mask = broadcast_to(mask, (*mask.shape[:-2], q.shape[-2], k.shape[-2]))
    return np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2]), mask


def attention(q: CudaArray, k: CudaArray, v: CudaArray, mask: CudaArray | None, scale: float, causal: bool) -> tuple[CudaArray, CudaArray]:
    """``softmax(q @ k.T * scale + mask) @ v`` of (..., l, e), (..., s, e) and (..., s, v), and what the gradient needs of the rows.

    Leading dimensions broadcast. ``mask`` broadcasts to (..., l, s); ``causal`` hides the keys after a query's own place. The result
    lies in memory as the queries do. A row that may attend to nothing is 0. What the gradient needs has shape (..., 2, l): the largest
    scores, and one by the sums of exponentials, of 16-bit floats in float32.
    """
    batch, mask = _prepared(q, k, v, mask)
    wide = np.dtype(computed(q.dtype.name))
    length, values = q.shape[-2], v.shape[-1]
    layout = _like(q, (*batch, length, values))
    if math.prod(batch) * length * k.shape[-2] * values == 0:
        return zeros(layout.shape, q.dtype).transpose(layout.axes), zeros((*batch, 2, length), wide)
    made = [layout.empty(q.dtype)]
    q, k, v, mask = _readable(batch, made, q, k, v, mask)
    out, statistics = made[0], empty((*batch, 2, length), wide)
    plan = _pass("out", causal, batch, q, k, None, v, mask, out)
    plan.kernel.launch(plan.grid, plan.threads, q, k, None, None, v, mask, out, statistics, None, wide.type(scale), *plan.numbers)
    return out, statistics


def attention_backward(
    g: CudaArray, q: CudaArray, k: CudaArray, v: CudaArray, mask: CudaArray | None, out: CudaArray, statistics: CudaArray, scale: float,
    causal: bool,
) -> tuple[CudaArray, CudaArray, CudaArray]:  # fmt: skip
    """The gradients with respect to q, k and v, each of all leading dimensions, of what :func:`attention` returned."""
    batch, mask = _prepared(q, k, v, mask)
    dtype, wide = q.dtype, np.dtype(computed(q.dtype.name))
    length, e, sources, values = q.shape[-2], q.shape[-1], k.shape[-2], v.shape[-1]
    layouts = [_like(q, (*batch, length, e)), _like(k, (*batch, sources, e)), _like(v, (*batch, sources, values))]
    if math.prod(batch) * length * sources * values == 0:
        made = [zeros(layout.shape, dtype).transpose(layout.axes) for layout in layouts]
        return made[0], made[1], made[2]
    into = [layout.empty(dtype) for layout in layouts]
    g, q, k, v, mask, out = _readable(batch, into, g, q, k, v, mask, out)
    statistics = contiguous(statistics)
    delta = empty((*batch, length), wide)
    sizes, steps = _stacked(batch, (out, g))
    strides = [n for a, step in zip((out, g), steps, strict=True) for n in (a.strides[-2] // a.itemsize, *step)]
    matrices = sizes[0] * sizes[1]
    blocks = blocks_for(matrices * length * 32, L.BLOCK)
    row_dots(dtype.name).launch(blocks, L.BLOCK, out, g, delta, length, values, matrices, sizes[1], *strides)
    for kind, rows, columns, second, third, target in (
        ("query", q, k, (g, v), k, into[0]),
        ("key", k, q, (v, g), q, into[1]),
        ("value", k, q, None, g, into[2]),
    ):
        if target.shape[-1]:
            plan = _pass(kind, causal, batch, rows, columns, second, third, mask, target)
            arrays = (rows, columns, *(second or (None, None)), third, mask, target, statistics, delta)
            plan.kernel.launch(plan.grid, plan.threads, *arrays, wide.type(scale), *plan.numbers)
    return into[0], into[1], into[2]
