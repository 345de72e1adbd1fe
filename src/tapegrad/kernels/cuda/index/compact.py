"""Which elements are not zero: counted per block, the counts summed up, and the places written; the host waits for their number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...body import Body
from .. import language as L
from ..array import CudaArray, contiguous, empty, to_host
from ..context import blocks_for, spans
from ..elementwise import run
from ..kernel import family, from_text
from ..language import cuda, device, int32, int64
from .scan import before_in_block, exclusive

_THREADS = L.BLOCK
_EACH = 8  # neighbouring elements of a thread
_TILE = _THREADS * _EACH
_IS_NOT_ZERO = Body(("a",), ("t0 = a != 0",), ("t0",))
_INT64 = np.dtype(np.int64)


def _true_in(aligned: bool) -> Any:
    """A device function: how many of a thread's elements, from ``first`` on, are true."""
    each, load8 = _EACH, L.load8

    @device
    def true_in(mask, first, stop):  # type: ignore[no-untyped-def]
        found = int32(0)
        if aligned and first + each <= stop:
            for value in load8(mask, first):
                found += int32(value != 0)
        else:
            for q in range(each):
                if first + q < stop:
                    found += int32(mask[first + q] != 0)
        return int32(found)

    return true_in


@family(threads=_THREADS, aligned=(False, True))
def count_true(aligned: bool) -> Any:
    """``aligned``: the mask begins at a multiple of 8 bytes, which are read at a time."""
    warps, tile, each, true_in = _THREADS // 32, _TILE, _EACH, _true_in(aligned)

    def kernel(mask, counts, n, span):  # type: ignore[no-untyped-def]
        """counts[b]: how many of block b's ``span`` elements are true."""
        parts = cuda.shared.array(warps, int32)
        at = int64(cuda.blockIdx.x) * span
        stop = min(at + span, n)
        mine = int32(0)
        while at < stop:
            mine += true_in(mask, at + int64(cuda.threadIdx.x) * each, stop)
            at += tile
        _, everything = before_in_block(mine, parts)
        if cuda.threadIdx.x == 0:
            counts[cuda.blockIdx.x] = int64(everything)

    return kernel, "uint8* int64* int64 int64"


@family(threads=_THREADS, aligned=(False, True))
def write_true(aligned: bool) -> Any:
    warps, tile, each, true_in = _THREADS // 32, _TILE, _EACH, _true_in(aligned)

    def kernel(mask, starts, out, n, span):  # type: ignore[no-untyped-def]
        """out: the places of the true elements, in order; block b's begin at starts[b]."""
        parts = cuda.shared.array(warps, int32)
        at = int64(cuda.blockIdx.x) * span
        stop = min(at + span, n)
        written = starts[cuda.blockIdx.x]
        while at < stop:
            first = at + int64(cuda.threadIdx.x) * each
            before, everything = before_in_block(true_in(mask, first, stop), parts)
            to = written + int64(before)
            for q in range(each):
                if first + q < stop and mask[first + q] != 0:
                    out[to] = first + q
                    to += 1
            written += int64(everything)
            at += tile

    return kernel, "uint8* int64* int64* int64 int64"


@family(threads=L.BLOCK, rank=(2, 3))
def unravelled(rank: int) -> Any:
    lines = ["def kernel(places, out, n" + "".join(f", m{d}" for d in range(1, rank)) + "):"]
    lines += ["    i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x", "    while i < n:", "        rest = places[i]"]
    for d in range(rank - 1, 0, -1):
        lines += [f"        next{d} = rest // m{d}", f"        out[i * {rank} + {d}] = rest - next{d} * m{d}", f"        rest = next{d}"]
    lines += [f"        out[i * {rank}] = rest", "        i += int64(cuda.gridDim.x) * cuda.blockDim.x"]
    scope: dict[str, Any] = {"cuda": cuda, "int64": int64}
    return from_text("\n".join(lines), scope, "places"), "int64* int64* int64" + " int64" * (rank - 1)


def as_mask(x: CudaArray) -> CudaArray:
    """Contiguous bools: what is not zero."""
    if x.dtype.kind == "b":
        return contiguous(x)
    mask = empty(x.shape, np.dtype(np.bool_))
    compute = np.dtype(np.float32) if x.dtype.name in ("float16", "bfloat16") else x.dtype
    run(_IS_NOT_ZERO, (x,), (mask,), compute)
    return mask


def _counted(mask: CudaArray) -> tuple[CudaArray, int, int]:
    """Counts of contiguous spans of a contiguous mask, the elements of a span, and the number of spans."""
    n = mask.size
    span, blocks = spans(n, _TILE, 8)
    counts = empty((blocks,), _INT64)
    count_true(mask.address % _EACH == 0).launch(blocks, _THREADS, mask, counts, n, span)
    return counts, span, blocks


def true_places(x: CudaArray) -> CudaArray:
    """The row-major numbers of the elements that are not zero: int64 (n,). Waits for n."""
    if x.size == 0:
        return empty((0,), _INT64)
    mask = as_mask(x)
    counts, span, blocks = _counted(mask)
    out = empty((int(to_host(exclusive(counts))[0]),), _INT64)
    if out.size:
        write_true(mask.address % _EACH == 0).launch(blocks, _THREADS, mask, counts, out, mask.size, span)
    return out


def true_count(x: CudaArray) -> int:
    """How many elements are not zero. Waits for it."""
    return int(to_host(exclusive(_counted(as_mask(x))[0]))[0]) if x.size else 0


def nonzero(x: Any) -> Any:
    """The places that are not zero: int64, one row each. Waits for their number."""
    places = true_places(x)
    n, rank = places.size, x.ndim
    if rank == 1 or n == 0:
        return places.reshape(n, 1) if rank == 1 else empty((n, rank), _INT64)
    out = empty((n, rank), _INT64)
    if rank:
        unravelled(rank).launch(blocks_for(n, _THREADS), _THREADS, places, out, n, *x.shape[1:])
    return out
