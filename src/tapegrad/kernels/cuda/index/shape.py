"""Views and rearrangements of arrays of any strides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...body import Body
from ...diagonals import along_diagonal
from .. import language as L
from ..array import CudaArray, contiguous, empty, strided as _strided, to_device, zeros
from ..context import blocks_for
from ..dimensions import SMALL
from ..elements import stored, to_computed, to_stored, type_of
from ..elementwise import accumulate, assign, run
from ..kernel import family
from ..language import cuda, int32, int64

# -------------------------------------------------------------------------------------------------------------- views


def broadcast_to(x: CudaArray, shape: tuple[int, ...]) -> CudaArray:
    """The read-only view broadcast to ``shape``."""
    return _strided(x, shape, _repeated(x, shape), False)


def expand(x: CudaArray, size: tuple[int, ...]) -> CudaArray:
    """The view broadcast to ``size``, writeable where ``x`` is: a part of it may not overlap itself."""
    return _strided(x, size, _repeated(x, size), x.flags.writeable)


def _repeated(x: CudaArray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of ``x`` broadcast to ``shape``."""
    missing = len(shape) - x.ndim
    if missing < 0 or any(m not in (1, n) for m, n in zip(x.shape, shape[missing:], strict=True)):
        raise ValueError(f"shape {x.shape} does not broadcast to {shape}")
    return (0,) * missing + tuple([0 if m == 1 else s for m, s in zip(x.shape, x.strides, strict=True)])


def spread(g: CudaArray, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> CudaArray:
    """The gradient of a sum over ``axes`` of an array of this shape: ``g`` repeated along them, as a read-only view."""
    wide = g if keepdim else g.reshape([1 if i in axes else n for i, n in enumerate(shape)])
    return broadcast_to(wide, shape)


def diagonal(x: CudaArray, offset: int, dim1: int, dim2: int) -> CudaArray:
    """The view of a diagonal of two axes, as the last axis."""
    return _strided(*along_diagonal(x, offset, dim1, dim2), x.flags.writeable)


def windows(x: CudaArray, dim: int, size: int, step: int) -> CudaArray:
    """The view of windows of ``size`` elements, ``step`` apart along an axis; what is inside a window is the last axis."""
    count = (x.shape[dim] - size) // step + 1
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :], size)
    return _strided(x, shape, (*x.strides[:dim], step * x.strides[dim], *x.strides[dim + 1 :], x.strides[dim]), x.flags.writeable)


def strided(x: CudaArray, order: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> CudaArray:
    """Elements ``offset + sum(i * stride)`` of ``x`` flattened with its axes in ``order``: a view where memory lies so."""
    flat = x.transpose(order).reshape(-1)
    start = flat[offset:] if offset else flat
    found = _strided(start, size, tuple([s * flat.strides[0] for s in stride]), x.flags.writeable)
    return found if x.size == 0 or np.may_share_memory(flat, x) else found.copy()


# ------------------------------------------------------------------------------------------------------------- copies


def place(x: CudaArray, index: Any, size: tuple[int, ...]) -> CudaArray:
    """Zeros of shape ``size`` with ``x`` written at a basic index."""
    out = zeros(size, x.dtype)
    assign(out[index], x)
    return out


def pad_zeros(x: CudaArray, dim: int, before: int, total: int) -> CudaArray:
    """``x`` within zeros: ``before`` of them ahead of it along ``dim``, ``total`` the size there."""
    return place(x, (slice(None),) * dim + (slice(before, before + x.shape[dim]),), (*x.shape[:dim], total, *x.shape[dim + 1 :]))


def place_diagonal(g: CudaArray, offset: int, dim1: int, dim2: int, size: tuple[int, ...]) -> CudaArray:
    """Zeros of shape ``size`` with ``g`` on a diagonal of two axes."""
    out = zeros(size, g.dtype)
    assign(diagonal(out, offset, dim1, dim2), g)
    return out


def concatenate(arrays: Sequence[CudaArray], axis: int = 0) -> CudaArray:
    """Arrays of one dtype behind each other along ``axis``."""
    first = arrays[0]
    axis %= first.ndim
    sizes = [a.shape[axis] for a in arrays]
    out = empty((*first.shape[:axis], sum(sizes), *first.shape[axis + 1 :]), first.dtype)
    before = (slice(None),) * axis
    for a, end, n in zip(arrays, itertools.accumulate(sizes), sizes, strict=True):
        if a.shape[:axis] != first.shape[:axis] or a.shape[axis + 1 :] != first.shape[axis + 1 :]:
            raise ValueError(f"shapes {first.shape} and {a.shape} must agree in every dimension but {axis}")
        assign(out[(*before, slice(end - n, end))], a)
    return out


def roll(x: CudaArray, shifts: Sequence[int], dims: Sequence[int]) -> CudaArray:
    """A copy moved by ``shifts`` along ``dims``, those at the end to the start."""
    out = empty(x.shape, x.dtype)
    by = [0] * x.ndim
    for shift, dim in zip(shifts, dims, strict=True):
        by[dim] += shift
    pairs = []  # along each axis: which part is written, and from where
    for n, moved in zip(x.shape, by, strict=True):
        k = moved % n if n else 0
        pairs.append([(slice(k, None), slice(None, n - k)), (slice(None, k), slice(n - k, None))] if k else [(slice(None), slice(None))])
    for parts in itertools.product(*pairs):
        assign(out[tuple([p[0] for p in parts])], x[tuple([p[1] for p in parts])])
    return out


_MASKED = Body(("a", "scale", "mask"), ("t0 = a * scale if mask else T(0)",), ("t0",), ("mask",))


def apply_mask(x: CudaArray, mask: Any, scale: float) -> CudaArray:
    """``x * scale`` where the bool array ``mask``, of the device or the host, holds, else 0."""
    out = empty(x.shape, x.dtype)
    mask = mask if mask.__class__ is CudaArray else to_device(mask)
    run(_MASKED, (x, float(scale), mask), (out,), np.dtype(np.float32) if x.itemsize == 2 else x.dtype)
    return out


# ---------------------------------------------------------------------------------------------------------- triangles

_WORDS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64", 16: "complex128"}


@family(threads=256, item=(1, 2, 4, 8, 16), upper=(False, True), wide=(False, True))
def triangle(item: int, upper: bool, wide: bool):  # type: ignore[no-untyped-def]
    """Elements, or 0 beyond a diagonal of the last two of the axes (..., rows, columns)."""
    T = getattr(L, _WORDS[item])
    index = int64 if wide else int32

    def kernel(x, out, n, rows, columns, k):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            line = index(i) // index(columns)
            column = index(i) - line * index(columns)
            right = int64(column) - int64(line % index(rows)) - k  # how far to the right of the diagonal
            out[i] = x[i] if (right >= int64(0) if upper else right <= int64(0)) else T(0)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{_WORDS[item]}* {_WORDS[item]}* int64 int64 int64 int64"


def _triangle(x: CudaArray, k: int, upper: bool) -> CudaArray:
    source = contiguous(x)
    out = empty(x.shape, x.dtype)
    if x.size:
        kernel = triangle(x.itemsize, upper, x.size >= SMALL)
        kernel.launch(blocks_for(x.size, L.BLOCK), L.BLOCK, source, out, x.size, x.shape[-2], x.shape[-1], k)
    return out


def tril(x: CudaArray, k: int) -> CudaArray:
    """A copy with zeros above the ``k``-th diagonal of the last two axes."""
    return _triangle(x, k, False)


def triu(x: CudaArray, k: int) -> CudaArray:
    """A copy with zeros below the ``k``-th diagonal of the last two axes."""
    return _triangle(x, k, True)


# --------------------------------------------------------------------------------------------------- sums of overlaps


@family(threads=256, dtype=("float32", "float64", "float16", "bfloat16", "complex64", "complex128", "int64"), wide=(False, True))
def windows_added(dtype: str, wide: bool):  # type: ignore[no-untyped-def]
    """x (outer, count, inner, size) of windows, summed into out (outer, n, inner): a thread takes an element, windows from the last on."""
    T, get, put = type_of(dtype), to_computed(dtype), to_stored(dtype)
    index = int64 if wide else int32

    def kernel(x, out, total, n, inner, count, size, step):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < total:
            line = index(i) // index(inner)
            r = int64(index(i) - line * index(inner))
            before = line // index(n)
            p = int64(line - before * index(n))
            window = min(p // step, count - 1)
            j = p - window * step
            sum_ = T(0)
            while window >= 0 and j < size:
                sum_ += get(x[((int64(before) * count + window) * inner + r) * size + j])
                window -= 1
                j += step
            out[i] = put(sum_)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* {stored(dtype)}* int64 int64 int64 int64 int64 int64"


def add_windows(g: CudaArray, dim: int, step: int, size: tuple[int, ...]) -> CudaArray:
    """Zeros of shape ``size`` with the elements of windows added where :func:`windows` takes them from, in order."""
    if g.size == 0:
        return zeros(size, g.dtype)
    source = contiguous(g)
    out = empty(size, g.dtype)
    kernel = windows_added(g.dtype.name, max(out.size, g.size) >= SMALL)
    inner = math.prod(size[dim + 1 :])
    kernel.launch(blocks_for(out.size, L.BLOCK), L.BLOCK, source, out, out.size, size[dim], inner, g.shape[dim], g.shape[-1], step)
    return out


def add_strided(g: CudaArray, order: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    """Zeros of shape ``size`` with the elements of ``g`` added where :func:`strided` takes them from, in order."""
    turned = tuple([size[d] for d in order])
    flat = zeros((math.prod(turned),), g.dtype)
    if g.size:
        parts = _strided(flat[offset:], g.shape, tuple([s * g.itemsize for s in stride]), True)
        apart = _apart(g.shape, stride)
        # Along the axes that are left, elements come one after another to places that others have.
        for place in itertools.product(*[[slice(None)] if d in apart else range(n) for d, n in enumerate(g.shape)]):
            accumulate(parts[place], g[place])
    return flat.reshape(turned).transpose(np.argsort(order))


def _apart(shape: tuple[int, ...], stride: tuple[int, ...]) -> set[int]:
    """Axes along which no two elements have one place; the largest ones, as far as is easily seen."""
    chosen: set[int] = set()
    for d in sorted(range(len(shape)), key=lambda d: -shape[d]):
        reach = 0
        for step, n in sorted((abs(stride[e]), shape[e]) for e in (*chosen, d) if shape[e] > 1):
            if step <= reach:
                break
            reach += step * (n - 1)
        else:
            chosen.add(d)
    return chosen
