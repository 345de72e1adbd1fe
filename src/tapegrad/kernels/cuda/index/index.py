"""Picking elements by index, and writing to places that may repeat: the last one written wins, sums go in order.

Indices may be arrays of the device, which stay there, or of the host. What is out of range on the device is noted (see ``errors``): nothing
is read or written there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...body import Body
from .. import errors, language as L
from ..array import CudaArray, contiguous, empty, to_device, zeros
from ..context import blocks_for
from ..elementwise import assign, run
from ..kernel import family
from ..language import cuda, int64
from ..planned import planned
from .combine import FEW, combine_along, combine_rows
from .move import gather_along, survivors, take_rows, write_rows
from .places import Along, Flat, Target, as_int64, rows_of, target_of
from .shape import broadcast_to

_INT64 = np.dtype(np.int64)


def pick(x: Any, index: tuple[Any, ...]) -> Any:
    """A copy of the elements at an index that holds integer or bool arrays."""
    if index[0].__class__ is Along:
        return gather(x, index[1], index[0].dim)
    if len(index) == 1 and index[0].__class__ is CudaArray and index[0].dtype.kind != "b" and x.ndim:
        return _taken(x, index[0], 0, False)
    target = target_of(x.shape, index)
    out = empty(target.shape, x.dtype)
    if out.size:
        rows = as_int64(target.entries[0][0]) if len(target.entries) == 1 else rows_of(target, "indexing")
        take_rows(contiguous(target.view(x)), rows, out, target.outer, target.size, target.inner, "indexing")
    return out


def take(x: Any, index: Any, axis: int) -> Any:
    """The slices of ``x`` along an axis that an integer array names, which takes that axis' place."""
    return _taken(x, index, axis, True)


@planned
def _taken(x: Any, index: Any, axis: int, embedding: bool) -> Any:
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    out = empty((*before, *index.shape, *after), x.dtype)
    if out.size:
        take_rows(contiguous(x), as_int64(index), out, math.prod(before), x.shape[axis], math.prod(after), "embedding" if embedding else "indexing")
    return out


def _line(x: Any, index: Any, dim: int) -> tuple[int, int, int] | None:
    """(outer, size, inner) of an array and an index along one of its dimensions, where they have the same others; else None."""
    if index.shape[:dim] != x.shape[:dim] or index.shape[dim + 1 :] != x.shape[dim + 1 :]:
        return None
    return math.prod(x.shape[:dim]), x.shape[dim], math.prod(x.shape[dim + 1 :])


@planned
def gather(x: Any, index: Any, dim: int) -> Any:
    """``out[i, j, ...] = x[index[i, j, ...], j, ...]`` for dim 0, and so on."""
    if x.ndim == 0:
        return x.copy()
    out = empty(index.shape, x.dtype)
    if out.size == 0:
        return out
    sizes = _line(x, index, dim)
    if sizes is None:
        target = target_of(x.shape, grid(index, dim))
        take_rows(contiguous(x), target.entries[0][0], out, 1, target.size, 1, "gather")
    else:
        gather_along(contiguous(x), as_int64(index), out, *sizes)
    return out


def grid(index: Any, dim: int, distinct: bool = False) -> tuple[Any, ...]:
    """The index tuple that means ``index[i, j, ...]`` along ``dim`` and ``i, j, ...`` along the other axes; ``distinct``: these are places
    that differ."""
    return Along(dim, distinct), index


def flat_index(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The index tuple that counts, from the end where negative, in all elements of an array of this shape."""
    return Flat(), index


def from_start(index: Any, size: int) -> Any:
    """Indices counted from the start."""
    out = empty(index.shape, _INT64)
    run(_FROM_START, (index, size), (out,), _INT64)
    return out


_FROM_START = Body(("a", "n"), ("t0 = a + n if a < 0 else a",), ("t0",))


# ------------------------------------------------------------------------------------------------------------- writing


def number(value: Any, like: CudaArray | None = None) -> Any:
    """A 0-d array of the host, on the device."""
    if value.dtype.kind == "c":
        return to_device(value)
    made = empty((), value.dtype)
    assign(made, value.item())
    return made


def _values(value: Any, target: Target, dtype: np.dtype[Any]) -> Any:
    """Contiguous values of the dtype, of the target's shape or a single one.

    Raises:
        ValueError: when they can't be broadcast.
    """
    if value.__class__ is not CudaArray:
        return number(np.asarray(value).astype(dtype))
    if np.broadcast_shapes(value.shape, target.shape) != target.shape:
        raise ValueError(f"shape mismatch: value array of shape {value.shape} could not be broadcast to indexing result of shape {target.shape}")
    if value.dtype != dtype:
        value = value.astype(dtype)
    return contiguous(value if value.size == 1 or value.shape == target.shape else broadcast_to(value, target.shape))


def _written_at(x: Any, target: Target, write: Any) -> Any:
    """A copy of ``x`` whose part that rows count in was written by ``write(part)``, which takes a contiguous array."""
    out = x.copy()
    part = target.view(out)
    if part.flags.c_contiguous:
        write(part)
    else:
        own = part.copy()
        write(own)
        assign(part, own)
    return out


def put(x: Any, index: tuple[Any, ...], value: Any) -> Any:
    """A copy of ``x`` with ``value`` (broadcast, cast) at an index; of values for one place, the last in row-major order."""
    mask = _mask_of(x, index)
    if mask is not None and (value.__class__ is not CudaArray or value.size == 1 >= value.ndim):
        out = empty(x.shape, x.dtype)
        compute = np.dtype(np.int64) if x.dtype.kind in "bui" else np.dtype(np.float32) if x.itemsize == 2 else x.dtype
        given = number(np.asarray(value).astype(x.dtype)) if value.__class__ is not CudaArray else value.astype(x.dtype, copy=False)
        run(_CHOSEN, (mask, given.reshape(()), x), (out,), compute)
        return out
    target = target_of(x.shape, index)
    values = _values(value, target, x.dtype)
    if math.prod(target.shape) == 0:
        return x.copy()
    rows = rows_of(target, "writing at an index")
    return _written_at(x, target, lambda part: write_rows(part, rows, values, target.outer, target.size, target.inner, target.unique))


_CHOSEN = Body(("mask", "a", "b"), ("t0 = a if mask else b",), ("t0",), ("mask",))


def _mask_of(x: Any, index: tuple[Any, ...]) -> Any | None:
    """The only part of an index, where that is a mask of the first dimensions, in a shape that broadcasts to ``x``; else None. What is
    the same for all its true elements can be written without counting them."""
    mask = index[0] if index else None
    if mask.__class__ is not CudaArray or mask.dtype.kind != "b" or mask.ndim == 0 or mask.shape != x.shape[: mask.ndim]:
        return None
    if any(p is not Ellipsis and not (isinstance(p, slice) and p == slice(None)) for p in index[1:]):
        return None
    return mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))


def last_written(x: CudaArray, index: tuple[Any, ...]) -> Any | None:
    """Which values :func:`put` leaves in an array like ``x``: bools that broadcast to the values; None for all."""
    target = target_of(x.shape, index)
    if target.unique or math.prod(target.shape) == 0:
        return None
    return survivors(rows_of(target, "writing at an index"), target.size).reshape(*target.index_shape, *(1,) * len(target.after))


def _combined(x: Any, index: tuple[Any, ...], value: Any, how: str) -> Any:
    along = _short_line(x, index)
    if along is not None:
        outer, n, inner, count = along
        whole = Target(None, None, 1, x.size, 1, (), index[1].shape, (), ())
        out = x.copy()
        combine_along(out, as_int64(index[1]), _values(value, whole, x.dtype), outer, n, count, inner, how)
        return out
    target = target_of(x.shape, index)
    values = _values(value, target, x.dtype)
    if math.prod(target.shape) == 0:
        return x.copy()
    rows = rows_of(target, "adding at an index")
    return _written_at(
        x, target, lambda part: combine_rows(part, rows, values, target.outer, target.size, target.inner, how, unique=target.unique)
    )


def _short_line(x: Any, index: tuple[Any, ...]) -> tuple[int, int, int, int] | None:
    """(outer, size, inner, count) where an index along a dimension has few elements there; else None."""
    if not index or index[0].__class__ is not Along or x.dtype.kind == "c":
        return None
    dim, array = index[0].dim, index[1]
    sizes = _line(x, array, dim)
    if sizes is None or array.size == 0 or array.shape[dim] > FEW:
        return None
    return *sizes, array.shape[dim]


def add_at(x: Any, index: tuple[Any, ...], value: Any) -> Any:
    """A copy of ``x`` with ``value`` added at an index, repeated places adding up; 16-bit floats are summed in float32."""
    return _combined(x, index, value, "add")


def combine_at(x: Any, index: tuple[Any, ...], value: Any, how: str) -> Any:
    """A copy of ``x`` with values combined into the places of an index by "prod", "amax" or "amin"."""
    return _combined(x, index, value, how)


def scatter_at(x: Any, index: tuple[Any, ...], size: tuple[int, ...]) -> Any:
    """Zeros of shape ``size`` with ``x`` added at an index, repeated places adding up in order."""
    return _combined(zeros(size, x.dtype), index, x, "add")


@planned
def scatter_rows(x: Any, index: Any, size: tuple[int, ...], skip: int | None) -> Any:
    """Zeros (n, d) with the rows of ``x`` (..., d) added at rows ``index`` (...), but none at row ``skip``."""
    out = zeros(size, x.dtype)
    if x.size:
        target = target_of(size, (index,))
        rows = rows_of(target, "embedding's backward")
        combine_rows(out, rows, contiguous(x), 1, size[0], math.prod(size[1:]), "add", skip=-1 if skip is None else skip)
    return out


# ------------------------------------------------------------------------------------------------------------ counting


@family(threads=L.BLOCK)
def counted_rows() -> Any:
    """out[o, rows[k], j] += 1."""
    atomic_add = L.atomic_add

    def kernel(rows, out, n, count, inner, total):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            line = i // inner
            o = line // count
            row = rows[line - o * count]
            if row < n:
                atomic_add(out, (o * n + row) * inner + (i - line * inner), int64(1))
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* int64 int64 int64 int64"


def count_at(size: tuple[int, ...], index: tuple[Any, ...], start: int) -> Any:
    """How often an index names each place, plus ``start``: int64 of shape ``size``."""
    counts = empty(size, _INT64)
    counts.fill(start)
    target = target_of(size, index)
    total = math.prod(target.shape)
    if total == 0:
        return counts
    rows = rows_of(target, "counting at an index")

    def write(part: Any) -> None:
        numbers = (target.size, rows.size, target.inner, total)
        counted_rows().launch(blocks_for(total, L.BLOCK), L.BLOCK, rows, part, *numbers)

    return _written_at(counts, target, write)


@family(threads=L.BLOCK)
def hot() -> Any:
    """out[i, c]: 1 where c is x[i], else 0."""
    report = errors.report

    def kernel(x, out, words, code, classes, total):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            row = i // classes
            c = i - row * classes
            wanted = x[row]
            if c == 0 and not 0 <= wanted < classes:
                report(words, code, wanted, classes)
            out[i] = 1 if wanted == c else 0
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* int64* int64 int64 int64"


def one_hot(x: Any, classes: int) -> Any:
    """Zeros (int64) of one more axis, with a one at each class."""
    out = empty((*x.shape, classes), _INT64)
    if out.size:
        code = errors.operation("one_hot")
        hot().launch(blocks_for(out.size, L.BLOCK), L.BLOCK, as_int64(x), out, errors.words(), code, classes, out.size)
    return out
