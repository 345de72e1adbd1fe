"""Sums of what comes before, of the int64 counts that other kernels need to know where to write."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import CudaArray, empty
from ..kernel import family
from ..language import SIMULATED, cuda, device, int64

_THREADS = 64 if SIMULATED else 1024
_EACH = 4  # neighbouring counts of a thread


@device
def before_in_block(value, parts):  # type: ignore[no-untyped-def]
    """The sum of the values of the block's threads before this one, and of all; ``parts`` is shared memory, an element per warp."""
    thread = cuda.threadIdx.x
    lane, warp = thread % 32, thread // 32
    total = value
    k = 1
    while k < 32:
        other = cuda.shfl_up_sync(0xFFFFFFFF, total, k)
        if lane >= k:
            total += other
        k *= 2
    if lane == 31:
        parts[warp] = total
    cuda.syncthreads()
    before = total - value
    everything = value - value
    for w in range(cuda.blockDim.x // 32):
        part = parts[w]
        if w < warp:
            before += part
        everything += part
    cuda.syncthreads()
    return before, everything


@family(threads=_THREADS)
def scan_counts() -> Any:
    each, size, warps = _EACH, _EACH * _THREADS, _THREADS // 32

    def kernel(counts, total, n):  # type: ignore[no-untyped-def]
        """One block: counts (n,) become the sums before each, and ``total`` (1,) that of all."""
        parts = cuda.shared.array(warps, int64)
        carry = int64(0)
        start = int64(0)
        while start < n:
            first = start + int64(cuda.threadIdx.x) * each
            mine = int64(0)
            for q in range(each):
                if first + q < n:
                    mine += counts[first + q]
            before, everything = before_in_block(mine, parts)
            before += carry
            for q in range(each):
                if first + q < n:
                    count = counts[first + q]
                    counts[first + q] = before
                    before += count
            carry += everything
            start += size
        if cuda.threadIdx.x == 0:
            total[0] = carry

    return kernel, "int64* int64* int64"


def exclusive(counts: CudaArray) -> CudaArray:
    """Replace int64 counts by the sums of those before; (1,) with the sum of all."""
    total = empty((1,), np.dtype(np.int64))
    scan_counts().launch(1, _THREADS, counts, total, counts.size)
    return total
