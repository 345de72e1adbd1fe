"""The matrix product of arrays of any dtype and strides, by kernels of our own: tiles, where needed cut along the sum, too.

Floats of 16 bits are multiplied by tensor cores, and those of 32 where ``allowed.tf32`` says so. They read 16 bytes at a time: operands that
are not aligned to that are copied before.

The order of sums depends on shapes, strides and the number of multiprocessors only, so equal operands give equal bits in every run.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...precision import allowed
from .. import language as L
from ..array import CudaArray, at, empty
from ..context import blocks_for, context, properties
from ..dimensions import merged, strides_of
from ..kernel import Kernel
from .gemm_kernels import accumulated, product, sum_parts, tiles, vector
from .tensor_kernels import tensor_product, tiles_of as tensor_tiles_of
from .tensor_tile import KINDS, kind_of

_MAX_PLANS = 4096
_MAX_GRID = 65535  # blocks along y and z
_WAVES = 2  # blocks for each multiprocessor that a product is cut into, along the sum, where tiles are too few
_SHORTEST = 128  # products of a part, at least


class Layout(NamedTuple):
    """Sizes of a product, and strides in elements: of A (rows, products), B (products, columns) and start (rows, columns).

    ``batch`` has for each dimension that matrices are stacked in its size and the strides of A, B and start, at most joined.
    """

    m: int
    n: int
    k: int
    a: tuple[int, int]
    b: tuple[int, int]
    start: tuple[int, int]
    batch: tuple[tuple[int, int, int, int], ...]


class _Plan(NamedTuple):
    shape: tuple[int, ...]
    kernel: Kernel | None
    grid: tuple[int, int, int]
    threads: int
    numbers: tuple[int, ...]
    offsets: tuple[tuple[int, int, int, int], ...]  # one launch for each: elements of A, B, start and C ahead
    collect: Kernel | None  # adds the parts
    collected: tuple[int, ...]
    copied: tuple[bool, bool] = (False, False)  # operands that are copied first, and the product planned again


_plans: dict[Any, _Plan] = {}


def layout(a: CudaArray, b: CudaArray, start: CudaArray | None) -> tuple[tuple[int, ...], Layout]:
    """The shape of ``a @ b``, and how it is computed with as few stacked matrices as possible.

    Raises:
        ValueError: when shapes don't fit.
    """
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul expects shapes (..., m, k) and (..., k, n), got {a.shape} and {b.shape}")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*batch, a.shape[-2], b.shape[-1])
    a_strides, b_strides = strides_of(a, shape), strides_of(b, shape)
    s_strides = strides_of(start, shape) if start is not None else [0] * len(shape)
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    a_row, s_row = a_strides[-2], s_strides[-2]
    dims = merged(zip(batch, a_strides, b_strides, s_strides, strict=False))
    # One B for many stacked A: more rows of a single product. (One A, too, stays a stack: a matrix whose rows are one has no leading dimension.)
    while dims and dims[-1][1] != 0 == dims[-1][2] and (m == 1 or (dims[-1][1] == m * a_row and dims[-1][3] == m * s_row)):
        size, a_step, _, s_step = dims.pop()
        if m == 1:
            a_row, s_row = a_step, s_step
        m *= size
    stacked = tuple([(d[0], d[1], d[2], d[3]) for d in dims])
    return shape, Layout(m, n, k, (a_row, a_strides[-1]), (b_strides[-2], b_strides[-1]), (s_row, s_strides[-1]), stacked)


def _key(x: CudaArray | None) -> Any:
    return None if x is None else (x.shape, x.strides, x.address % 16)


def matmul(a: CudaArray, b: CudaArray, start: CudaArray | None = None) -> CudaArray:
    """``a @ b``, plus ``start`` that broadcasts to it: (..., m, k) @ (..., k, n), leading dimensions broadcast, one dtype."""
    key = (context.device, allowed.tf32, a.dtype, _key(a), _key(b), _key(start))
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        plan = _plans[key] = _make_plan(a, b, start)
    if plan.copied != (False, False):
        return matmul(_padded(a) if plan.copied[0] else a, _padded(b) if plan.copied[1] else b, start)
    out = empty(plan.shape, a.dtype)
    if plan.kernel is None:
        return out
    if plan.collect is None and len(plan.offsets) == 1:
        plan.kernel.launch(plan.grid, plan.threads, a, b, start, out, *plan.numbers)
        return out
    for moves in plan.offsets:
        places = [None if x is None else ahead(x, n) for x, n in zip((a, b, start, out), moves, strict=True)]
        if plan.collect is None:
            plan.kernel.launch(plan.grid, plan.threads, *places, *plan.numbers)
            continue
        size = plan.collected[1]
        parts = empty((plan.grid[2], size), np.dtype(accumulated(a.dtype.name)))
        plan.kernel.launch(plan.grid, plan.threads, *places[:3], parts, *plan.numbers)
        plan.collect.launch(blocks_for(size, L.BLOCK), L.BLOCK, parts, places[2], places[3], *plan.collected)
    return out


def ahead(x: CudaArray, n: int) -> CudaArray:
    """What lies n elements behind the first one of x: the memory that a launch is given."""
    return x if n == 0 else at(x.address + n * x.itemsize, (1,), x.dtype, None, x)


def _make_plan(a: CudaArray, b: CudaArray, start: CudaArray | None) -> _Plan:
    shape, plan = layout(a, b, start)
    if 0 in shape:
        return _Plan(shape, None, (0, 0, 0), 0, (), (), None, ())
    dtype = a.dtype.name
    m, n, k = plan.m, plan.n, plan.k
    *outside, outer, inner = (1, 0, 0, 0), (1, 0, 0, 0), *plan.batch
    outside = [dim for dim in outside if dim[0] > 1]
    matrices = outer[0] * inner[0]
    kind = kind_of(dtype, allowed.tf32)
    along = _chunked(a, *plan.a, m, k, plan.batch, 1, kind), _chunked(b, *plan.b[::-1], n, k, plan.batch, 2, kind)
    if kind and "" in along and k:
        return _Plan(shape, None, (0, 0, 0), 0, (), (), None, (), (not along[0], not along[1]))
    shaped: Any
    if kind:
        choice = tensor_tiles_of(kind)
        tile = _tile(choice, m, n, matrices)
        shaped, depth = choice[tile], KINDS[kind].depth
    else:
        tile = _tile(tiles(dtype), m, n, matrices)
        shaped = tiles(dtype)[tile]
        depth = shaped.depth
    count = -(-m // shaped.rows) * -(-n // shaped.columns)
    parts, chunk = _cut(k, count * matrices, depth)
    extra = "parts" if parts > 1 else "" if start is None else "start"
    steps = [(outer[i], inner[i]) for i in (1, 2, 3)]
    if kind:
        kernel = tensor_product(tile, kind, *along, extra)
    else:
        a_layout = _operand(a, *plan.a, k, m, steps[0], outside, 1)
        b_layout = _operand(b, plan.b[1], plan.b[0], k, n, steps[1], outside, 2)
        kernel = product(tile, dtype, a_layout, b_layout, extra)
    numbers = (m, n, k, matrices, inner[0], chunk, *plan.a, *steps[0], *plan.b, *steps[1], *plan.start, *steps[2])
    offsets = [(0, 0, 0, 0)]
    for size, *moves in outside:
        offsets = [(x + i * moves[0], y + i * moves[1], z + i * moves[2], 0) for x, y, z, _ in offsets for i in range(size)]
    offsets = [(x, y, z, i * matrices * m * n) for i, (x, y, z, _) in enumerate(offsets)]
    collect = sum_parts(dtype, "" if start is None else "start") if parts > 1 else None
    collected = (parts, matrices * m * n, m, n, inner[0], *plan.start, *steps[2])
    return _Plan(shape, kernel, (count, min(matrices, _MAX_GRID), parts), shaped.threads, numbers, tuple(offsets), collect, collected)


def _operand(
    x: CudaArray, outer: int, inner: int, k: int, extent: int, batch: tuple[int, int], outside: list[tuple[int, int, int, int]], which: int
) -> str:
    """The layout, of ``gemm_kernels.LAYOUTS``, of an operand with strides ``outer`` (rows or columns) and ``inner`` (products)."""
    along_inner = k > 1 and (extent == 1 or (inner == 1 or (outer != 1 and abs(inner) < abs(outer))))
    near, far = (inner, outer) if along_inner else (outer, inner)
    single = (extent if along_inner else k) == 1
    width = vector(x.dtype.name)
    aligned = x.address % (width * x.itemsize) == 0 and all(s % width == 0 for s in (*batch, *[dim[which] for dim in outside]))
    vectors = width > 1 and near == 1 and aligned and (single or far % width == 0)
    return ("inner" if along_inner else "outer") + (" vectors" if vectors else "")


def _chunked(
    x: CudaArray, outer: int, inner: int, extent: int, k: int, batch: tuple[tuple[int, int, int, int], ...], which: int, kind: str
) -> str:
    """Along what tensor cores' 16 bytes of an operand lie, "inner" (products) or "outer"; "" where they don't, or there are none."""
    if not kind or x.address % 16 or any(dim[which] % KINDS[kind].lanes for dim in batch):
        return ""
    lanes = KINDS[kind].lanes
    if (inner == 1 or k == 1) and (outer % lanes == 0 or extent == 1):
        return "inner"
    return "outer" if (outer == 1 or extent == 1) and (inner % lanes == 0 or k == 1) else ""


def _padded(x: CudaArray) -> CudaArray:
    """A copy whose rows begin at multiples of 16 bytes."""
    lanes = 16 // x.itemsize
    made: CudaArray = empty((*x.shape[:-1], -(-x.shape[-1] // lanes) * lanes), x.dtype)[..., : x.shape[-1]]
    made[...] = x
    return made


def _tile(kinds: dict[str, Any], m: int, n: int, matrices: int) -> str:
    """The largest tile that is not mostly outside of the matrix, and of which there are enough for all multiprocessors."""
    *larger, last = kinds.items()
    for name, tile in larger:
        if m > tile.rows // 2 and n > tile.columns // 2:
            if -(-m // tile.rows) * -(-n // tile.columns) * matrices >= properties(context.device).multiprocessors:
                return name
    return last[0]


def _cut(k: int, blocks: int, depth: int) -> tuple[int, int]:
    """In how many parts the sum of ``k`` products is computed, and how many products each has."""
    wanted = _WAVES * properties(context.device).multiprocessors // blocks
    parts = max(1, min(wanted, k // _SHORTEST, _MAX_GRID))
    chunk = -(-math.ceil(k / parts) // depth) * depth
    return max(1, -(-k // max(chunk, 1))), chunk
