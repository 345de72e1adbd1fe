"""softmax, log_softmax and their gradients on a GPU; 16-bit floats are computed in float32.

Along the last dimension a warp keeps a short row in registers, a block a longer one; others are read twice. Along another one,
neighbouring threads take neighbouring columns. Each sum has a fixed order.
"""

from __future__ import annotations

import math
from typing import Any

from ..array import CudaArray, contiguous
from ..context import blocks_for
from ..elements import widest
from ..planned import planned
from . import rows as R
from .softmax_kernels import COLUMNS, softmax_columns, softmax_rows, softmax_streamed


def along(kind: str, a: CudaArray, b: CudaArray | None, axis: int) -> CudaArray:
    """One of the kinds, of a (and b, of equal shape) along an axis."""
    if a.ndim == 0:
        whole: CudaArray = along(kind, a.reshape(1), None if b is None else b.reshape(1), 0).reshape(())
        return whole
    a, out = contiguous(a), R.like(a)
    arrays = (a, out) if b is None else (a, contiguous(b), out)
    if a.size == 0:
        return out
    axis %= a.ndim
    n, inner = a.shape[axis], math.prod(a.shape[axis + 1 :])
    outer = a.size // (n * inner)
    if inner == 1:
        rows = R.plan(outer, n, *arrays, per_thread=32 if b is None and a.itemsize < 8 else 16)
        if rows.team:
            kernel = softmax_rows(kind, a.dtype.name, rows.width, rows.team, rows.each, rows.full)
        else:
            kernel = softmax_streamed(kind, a.dtype.name, rows.width)
        kernel.launch(rows.blocks, rows.threads, *arrays, outer, n)
        return out
    width = 2 if inner % 2 == 0 and inner >= 128 and widest(*arrays, limit=max(8, a.itemsize)) >= 2 else 1
    across = 1
    while across < 32 and across * width < inner:
        across *= 2
    tiles = outer * -(-inner // (across * width))
    softmax_columns(kind, a.dtype.name, width).launch(blocks_for(tiles, 1, 64), (across, COLUMNS // across), *arrays, outer, n, inner)
    return out


@planned
def softmax(x: Any, axis: int) -> Any:
    """exp(x) / sum(exp(x)) along an axis; NaN in a lane that has NaN or inf, or nothing but -inf."""
    return along("softmax", x, None, axis)


@planned
def log_softmax(x: Any, axis: int) -> Any:
    """x - log(sum(exp(x))) along an axis; NaN where ``softmax`` is."""
    return along("log_softmax", x, None, axis)


@planned
def masked_softmax(x: Any) -> Any:
    """softmax along the last axis; zeros where all of it is -inf."""
    return along("masked_softmax", x, None, -1)


@planned
def softmax_backward(g: Any, y: Any, axis: int) -> Any:
    """y * (g - sum(g * y)): the gradient of softmax, whose result was ``y``; shapes and dtypes equal."""
    return along("softmax_backward", g, y, axis)


@planned
def log_softmax_backward(g: Any, y: Any, axis: int) -> Any:
    """g - exp(y) * sum(g): the gradient of log_softmax, whose result was ``y``; shapes and dtypes equal."""
    return along("log_softmax_backward", g, y, axis)
