"""Linear maps along axes, given by tables: average pooling, padding by existing elements, interpolation; and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...axis_maps import Axis, Table, table
from ..narrow import in_float32

_Array = np.ndarray[Any, Any]


@in_float32
def resample(x: _Array, maps: Sequence[Axis | None], transposed: bool) -> _Array:
    """The maps of the last ``len(maps)`` axes applied to ``x``, or their transposes; None leaves an axis as it is."""
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
