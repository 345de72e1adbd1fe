"""Maxima over windows and where they were; and their gradient.

A thread computes one element; neighbouring threads compute neighbouring ones. The gradient is gathered: each element of the input adds up what
comes from the windows that have it, in their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...axis_maps import Axis
from .. import language as L
from ..array import CudaArray, contiguous, empty, zeros
from ..context import blocks_for
from ..elements import stored, to_computed, to_stored, type_of
from ..kernel import family
from ..language import cuda, device, int32, int64, quotient
from .windows import covering, is_wide, planes_of, steps, three, windows

_INT64 = np.dtype(np.int64)


def _place_of(dims: int, I: Any) -> Any:
    """A device function: the plane and the coordinates in it of the i-th of all elements, for sizes of depth, height and width."""

    @device
    def place_of(i, depth, height, width):  # type: ignore[no-untyped-def]
        plane = quotient(i, width)
        w = I(i - plane * width)
        d = h = I(0)
        if dims > 1:
            rest = quotient(plane, height)
            h = I(plane - rest * height)
            plane = rest
        if dims > 2:
            rest = quotient(plane, depth)
            d = I(plane - rest * depth)
            plane = rest
        return plane, d, h, w

    return place_of


@family(threads=256, dtype=("float32", "bfloat16", "int64"), dims=(2, 3), wide=(False,))
def max_pool_kernel(dtype: str, dims: int, wide: bool) -> Any:
    """The first of the largest elements of each window; a NaN is larger than all before it."""
    get, I = to_computed(dtype), int64 if wide else int32
    place_of = _place_of(dims, I)

    def kernel(x, values, places, table, n, depth, height, width, out_d, out_h, out_w, step_d, step_h, step_w):  # type: ignore[no-untyped-def]
        D, H, W, OD, OH, OW = I(depth), I(height), I(width), I(out_d), I(out_h), I(out_w)
        SD, SH, SW = I(step_d), I(step_h), I(step_w)
        at_h = I(2 * OD)
        at_w = I(at_h + 2 * OH)
        i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))
        while i < I(n):
            plane, d, h, w = place_of(i, OD, OH, OW)
            first_d, first_h, first_w = I(table[d]), I(table[at_h + h]), I(table[at_w + w])
            count_d, count_h, count_w = I(table[OD + d]), I(table[at_h + OH + h]), I(table[at_w + OW + w])
            base = I(plane * D * H * W)
            place = I((first_d * H + first_h) * W + first_w)
            kept = x[base + place]
            best = get(kept)
            for a in range(count_d):
                for b in range(count_h):
                    row = I(((first_d + I(a) * SD) * H + first_h + I(b) * SH) * W + first_w)
                    for c in range(count_w):
                        at = I(row + I(c) * SW)
                        raw = x[base + at]
                        value = get(raw)
                        if value > best or value != value:
                            best, kept, place = value, raw, at
            values[i] = kept
            places[i] = int64(place)
            i = I(i + I(cuda.gridDim.x) * I(cuda.blockDim.x))

    return kernel, f"{stored(dtype)}* {stored(dtype)}* int64* int32* int64 int64 int64 int64 int64 int64 int64 int64 int64 int64"


def max_pool(x: CudaArray, maps: tuple[Axis, ...]) -> tuple[CudaArray, CudaArray]:
    """Maxima over the windows of the last ``len(maps)`` axes, and their positions in these axes, flattened.

    Of equal elements it is the first; a NaN is the maximum, and of several the last.
    """
    dims = len(maps)
    shape = (*x.shape[: x.ndim - dims], *[axis.out for axis in maps])
    values, places = empty(shape, x.dtype), empty(shape, _INT64)
    if values.size:
        sizes, outs = three([axis.size for axis in maps], 1), three([axis.out for axis in maps], 1)
        found = windows((_ONE,) * (3 - dims) + maps)
        kernel = max_pool_kernel(x.dtype.name, dims, is_wide(x, values))
        blocks = blocks_for(values.size, L.BLOCK, 32)
        kernel.launch(blocks, L.BLOCK, contiguous(x), values, places, found, values.size, *sizes, *outs, *steps(maps))
    return values, places


_ONE = Axis("window", 1, 1, (1, 1, 0, 1, ""))


@family(threads=256, dtype=("float32", "float16"), dims=(2,), wide=(False, True))
def gather_kernel(dtype: str, dims: int, wide: bool) -> Any:
    """For each element of the input the sum of what comes from windows whose maximum it is."""
    T, I = type_of(dtype), int64 if wide else int32
    get, put, place_of = to_computed(dtype), to_stored(dtype), _place_of(dims, I)

    def kernel(g, places, out, table, n, depth, height, width, out_d, out_h, out_w):  # type: ignore[no-untyped-def]
        D, H, W, OD, OH, OW = I(depth), I(height), I(width), I(out_d), I(out_h), I(out_w)
        at_h = I(2 * D)
        at_w = I(at_h + 2 * H)
        i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))
        while i < I(n):
            plane, d, h, w = place_of(i, D, H, W)
            own = int64(I((d * H + h) * W + w))
            first_d, first_h, first_w = I(table[d]), I(table[at_h + h]), I(table[at_w + w])
            count_d, count_h, count_w = I(table[D + d]), I(table[at_h + H + h]), I(table[at_w + W + w])
            total = T(0)
            for a in range(count_d):
                for b in range(count_h):
                    row = I(((plane * OD + first_d + I(a)) * OH + first_h + I(b)) * OW + first_w)
                    for c in range(count_w):
                        at = I(row + I(c))
                        if places[at] == own:
                            total += get(g[at])
            out[i] = put(total)
            i = I(i + I(cuda.gridDim.x) * I(cuda.blockDim.x))

    return kernel, f"{stored(dtype)}* int64* {stored(dtype)}* int32* int64 int64 int64 int64 int64 int64 int64"


@family(threads=256, dtype=("float32", "float64"))
def scatter_kernel(dtype: str) -> Any:
    """The same without knowing the windows: a block takes the results of a plane, as many as it has threads at a time.

    Of threads with equal places the first adds up all their values.
    """
    T, get, put, BLOCK = type_of(dtype), to_computed(dtype), to_stored(dtype), L.BLOCK
    S = L.float64 if dtype == "float64" else L.float32

    def kernel(g, places, out, planes, count, elements):  # type: ignore[no-untyped-def]
        to = cuda.shared.array(BLOCK, int64)
        values = cuda.shared.array(BLOCK, S)
        t = int32(cuda.threadIdx.x)
        plane = int64(cuda.blockIdx.x)
        while plane < planes:
            start = int64(0)
            while start < count:
                i = int64(start + t)
                place = places[plane * count + i] if i < count else int64(-1)
                to[t] = place
                values[t] = get(g[plane * count + i]) if i < count else T(0)
                cuda.syncthreads()
                first = place >= 0
                total = T(0)
                for k in range(BLOCK):
                    if to[k] == place:
                        if k < t:
                            first = False
                        total += values[k]
                if first:
                    at = plane * elements + place
                    out[at] = put(get(out[at]) + total)
                cuda.syncthreads()
                start += BLOCK
            plane += cuda.gridDim.x

    return kernel, f"{stored(dtype)}* int64* {stored(dtype)}* int64 int64 int64"


def max_pool_backward(g: CudaArray, places: CudaArray, size: tuple[int, ...], dims: int, maps: tuple[Axis, ...] | None = None) -> CudaArray:
    """Zeros of shape ``size`` with the elements of ``g`` added at their ``places`` in the last ``dims`` dimensions, flattened.

    ``g`` and ``places`` have one shape; places are not checked. Those that are equal add up in order. ``maps`` are the windows that the
    places lie in, where they are known.
    """
    g, places = contiguous(g), contiguous(places)
    if not g.size:
        return zeros(size, g.dtype)
    if maps is not None:
        out = empty(size, g.dtype)
        sizes, outs = three([axis.size for axis in maps], 1), three([axis.out for axis in maps], 1)
        kernel = gather_kernel(g.dtype.name, dims, is_wide(g, out))
        kernel.launch(blocks_for(out.size, L.BLOCK, 32), L.BLOCK, g, places, out, covering((_ONE,) * (3 - dims) + maps), out.size, *sizes, *outs)
        return out
    narrow = g.dtype.itemsize == 2
    wide = g.astype(np.dtype(np.float32)) if narrow else g
    out = zeros(size, wide.dtype)
    planes = planes_of(size, dims)
    scatter_kernel(wide.dtype.name).launch(blocks_for(planes, 1, 8), L.BLOCK, wide, places, out, planes, g.size // planes, out.size // planes)
    return out.astype(g.dtype) if narrow else out


@family(threads=256, dtype=("float32", "bfloat16"), dims=(2, 3))
def fractional_kernel(dtype: str, dims: int) -> Any:
    """Maxima over windows whose places depend on the plane. Positions are computed as ``samples`` are, and rounded down."""
    T, get, I = type_of(dtype), to_computed(dtype), int64
    rounded, place_of = _rounded(dtype), _place_of(dims, int64)

    def kernel(x, samples, values, places, n, depth, height, width, out_d, out_h, out_w, window_d, window_h, window_w):  # type: ignore[no-untyped-def]
        i = I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x)
        while i < n:
            plane, d, h, w = place_of(i, out_d, out_h, out_w)
            first_w = start_of(w, get(samples[plane * dims + dims - 1]), width - window_w, out_w)
            first_d = first_h = I(0)
            if dims > 1:
                first_h = start_of(h, get(samples[plane * dims + dims - 2]), height - window_h, out_h)
            if dims > 2:
                first_d = start_of(d, get(samples[plane * dims]), depth - window_d, out_d)
            base = plane * depth * height * width
            place = (first_d * height + first_h) * width + first_w
            kept = x[base + place]
            best = get(kept)
            for a in range(window_d):
                for b in range(window_h):
                    row = ((first_d + a) * height + first_h + b) * width + first_w
                    for c in range(window_w):
                        raw = x[base + row + c]
                        value = get(raw)
                        if value > best or value != value:
                            best, kept, place = value, raw, row + c
            values[i] = kept
            places[i] = place
            i += I(cuda.gridDim.x) * I(cuda.blockDim.x)

    @device
    def start_of(k, u, room, count):  # type: ignore[no-untyped-def]
        if k == count - 1:
            return I(room)
        step = rounded(T(room) / T(max(count - 1, 1)))
        return I(rounded(rounded(T(k) + u) * step)) - I(rounded(u * step))

    return kernel, f"{stored(dtype)}* {stored(dtype)}* {stored(dtype)}* int64*" + " int64" * 10


def _rounded(dtype: str) -> Any:
    """A device function: a computed number as the dtype stores it, so that positions of 16-bit floats are those of the CPU."""
    get, put = to_computed(dtype), to_stored(dtype)

    @device
    def rounded(x):  # type: ignore[no-untyped-def]
        return get(put(x))

    return rounded


def fractional_max_pool(x: CudaArray, samples: CudaArray, kernel: Sequence[int], size: Sequence[int]) -> tuple[CudaArray, CudaArray]:
    """The same over windows whose places differ between the planes of ``x`` (..., planes, *space): ``samples`` (..., planes, dims).

    Window i begins at int((i + u) a) - int(u a) with a = (space - kernel) / (size - 1), the last one at the end (Graham,
    Fractional Max-Pooling, 2014).
    """
    dims = len(kernel)
    shape = (*x.shape[: x.ndim - dims], *size)
    values, places = empty(shape, x.dtype), empty(shape, _INT64)
    if values.size:
        numbers = (*three(x.shape[x.ndim - dims :], 1), *three(tuple(size), 1), *three(tuple(kernel), 1))
        blocks = blocks_for(math.prod(shape), L.BLOCK, 32)
        made = fractional_kernel(x.dtype.name, dims)
        made.launch(blocks, L.BLOCK, contiguous(x), contiguous(samples), values, places, values.size, *numbers)
    return values, places
