"""Rows in ascending order, those of equal numbers in the order they had: a stable radix sort of int64 keys with their places.

Each pass sorts by one digit. Blocks count the digits of their spans; the counts' sums, digit by digit and block by block, say where each
block's elements of each digit begin; within a block, warps rank equal digits by ballots. Nothing depends on timing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, empty
from ..context import spans
from ..kernel import family
from ..language import cuda, int32, int64, uint32
from .scan import exclusive

_THREADS = L.BLOCK
_INT64 = np.dtype(np.int64)


@family(threads=_THREADS, bits=(4, 8))
def count_digits(bits: int) -> Any:
    digits, mask = 1 << bits, (1 << bits) - 1

    def kernel(keys, counts, n, span, shift):  # type: ignore[no-untyped-def]
        """counts[digit, block]: how many keys of the block's span have that digit."""
        own = cuda.shared.array(digits, int32)
        for d in range(cuda.threadIdx.x, digits, cuda.blockDim.x):
            own[d] = 0
        cuda.syncthreads()
        start = int64(cuda.blockIdx.x) * span
        stop = min(start + span, n)
        i = start + int64(cuda.threadIdx.x)
        while i < stop:
            cuda.atomic.add(own, int32((keys[i] >> shift) & mask), 1)
            i += cuda.blockDim.x
        cuda.syncthreads()
        for d in range(cuda.threadIdx.x, digits, cuda.blockDim.x):
            counts[int64(d) * cuda.gridDim.x + cuda.blockIdx.x] = int64(own[d])

    return kernel, "int64* int64* int64 int64 int64"


@family(threads=_THREADS, bits=(4, 8), numbered=(False, True))
def move_by_digit(bits: int, numbered: bool) -> Any:
    """``numbered``: the places are those of the keys themselves."""
    digits, mask, warps, popcount = 1 << bits, (1 << bits) - 1, _THREADS // 32, L.popcount

    def kernel(keys, places, starts, keys_out, places_out, n, span, shift):  # type: ignore[no-untyped-def]
        """Move the block's keys and places to where starts[digit, block] on, in order."""
        begins = cuda.shared.array(digits, int64)  # where the tile's first key of each digit goes
        before = cuda.shared.array((warps, digits), int32)  # how many keys of a digit the warps before have
        thread = int32(cuda.threadIdx.x)
        lane, warp = thread % int32(32), thread // int32(32)
        for d in range(thread, digits, _THREADS):
            begins[d] = starts[int64(d) * cuda.gridDim.x + cuda.blockIdx.x]
        first = int64(cuda.blockIdx.x) * span
        stop = min(first + span, n)
        while first < stop:
            for d in range(thread, digits, _THREADS):
                for w in range(warps):
                    before[w, d] = 0
            cuda.syncthreads()
            i = first + int64(thread)
            valid = i < stop
            key = keys[i] if valid else int64(0)
            digit = int32((key >> shift) & mask)
            peers = uint32(cuda.ballot_sync(0xFFFFFFFF, valid))
            for bit in range(bits):
                have = uint32(cuda.ballot_sync(0xFFFFFFFF, (digit >> bit) & 1))
                peers &= have if (digit >> bit) & 1 else ~have
            rank = popcount(peers & uint32((uint32(1) << uint32(lane)) - uint32(1)))
            if valid and rank == 0:
                before[warp, digit] = popcount(peers)
            cuda.syncthreads()
            for d in range(thread, digits, _THREADS):
                total = int32(0)
                for w in range(warps):
                    own = before[w, d]
                    before[w, d] = total
                    total += own
            cuda.syncthreads()
            if valid:
                to = begins[digit] + int64(before[warp, digit] + rank)
                keys_out[to] = key
                places_out[to] = i if numbered else places[i]
            cuda.syncthreads()
            if valid and rank == 0:
                cuda.atomic.add(begins, digit, int64(popcount(peers)))
            cuda.syncthreads()
            first += _THREADS

    return kernel, "int64* int64* int64* int64* int64* int64 int64 int64"


def in_order(rows: CudaArray, most: int) -> tuple[CudaArray, CudaArray]:
    """Numbers from 0 to ``most`` in ascending order, and the place that each had: int64, like ``rows``."""
    n = rows.size
    needed = max(most.bit_length(), 1)
    bits = 4 if needed <= 4 else 8
    span, blocks = spans(n, _THREADS, 2)
    counts = empty((blocks << bits,), _INT64)
    keys, places = rows, None
    for shift in range(0, needed, bits):
        count_digits(bits).launch(blocks, _THREADS, keys, counts, n, span, shift)
        exclusive(counts)
        sorted_keys, sorted_places = empty((n,), _INT64), empty((n,), _INT64)
        kernel = move_by_digit(bits, places is None)
        kernel.launch(blocks, _THREADS, keys, places, counts, sorted_keys, sorted_places, n, span, shift)
        keys, places = sorted_keys, sorted_places
    assert places is not None
    return keys, places
