"""Where diagonals of arrays lie, whatever memory they are in."""

from __future__ import annotations

from typing import Any


def along_diagonal(x: Any, offset: int, dim1: int, dim2: int) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """A diagonal of two axes, as the last axis of a view: the part of ``x`` that it begins, and the view's shape and strides in bytes."""
    rows, columns = x.shape[dim1] + min(offset, 0), x.shape[dim2] - max(offset, 0)
    n = max(0, min(rows, columns))
    start: list[Any] = [slice(None)] * x.ndim
    start[dim1], start[dim2] = slice(-min(offset, 0), None), slice(max(offset, 0), None)
    corner = x[tuple(start)] if n else x
    rest = [d for d in range(x.ndim) if d not in (dim1, dim2)]
    shape = (*(x.shape[d] for d in rest), n)
    return corner, shape, (*(x.strides[d] for d in rest), x.strides[dim1] + x.strides[dim2])
