"""Stable sorting of lanes: tiles in shared memory by a bitonic network, and runs of tiles by merging.

What is sorted are items, no two of which are equal: a key, unsigned integers ordered as the elements are, and the element's place in its
lane. Keys of up to 32 bits are packed with a place into one uint64; else (``wide``) the place is an int64 of its own.
"""

from __future__ import annotations

from typing import Any

from .. import language as L
from ..elements import stored, to_computed
from ..kernel import family
from ..language import cuda, device, int32, int64, uint32, uint64

THREADS = L.BLOCK
TILE = 128 if L.SIMULATED else 2048  # items that a block sorts or merges at a time
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")


def fits_in_32_bits(dtype: str) -> bool:
    """Whether keys of a dtype do."""
    return dtype not in ("int64", "float64")


def key_of(dtype: str) -> Any:
    """A device function: what lies in memory as a uint64 that orders as the values do, NaN last and -0 as 0."""
    get, long = to_computed(dtype), dtype == "float64"
    bits_of, U, most = (L.bits_of_float64, uint64, 2**64 - 1) if long else (L.bits_of_float32, uint32, 2**32 - 1)
    sign = most // 2 + 1

    @device
    def of_float(x):  # type: ignore[no-untyped-def]
        value = get(x)
        bits = bits_of(value)
        top = U(sign)
        key = U(~bits) if (bits & top) != 0 else U(bits | top)
        if value == 0:
            key = top
        if value != value:
            key = U(most)
        return uint64(key)

    @device
    def of_short(x):  # type: ignore[no-untyped-def]
        return uint64(uint32(int64(x) + int64(0x80000000)))

    @device
    def of_int64(x):  # type: ignore[no-untyped-def]
        return uint64(x) ^ uint64(0x8000000000000000)

    if dtype == "int64":
        return of_int64
    return of_float if "float" in dtype else of_short


@family(threads=THREADS, dtype=DTYPES, wide=(False, True), final=(False, True))
def sort_tiles(dtype: str, wide: bool, final: bool):  # type: ignore[no-untyped-def]
    """Sort segments of ``width`` (a power of two) elements of x (outer, n, inner) along its middle axis; the last of a lane may be shorter.

    ``final``: to ``values`` and ``places``, shaped like x. Else to ``keys`` (lanes, n) and, if ``wide``, ``places``.
    ``flip`` is xor-ed to keys: -1 makes the order descending.
    """
    key = key_of(dtype)
    half, tile, threads, shift = TILE // 2, TILE, THREADS, uint64(32)
    most = uint64(0xFFFFFFFFFFFFFFFF) if wide else uint64(0xFFFFFFFF)

    def kernel(x, values, keys, places, segments, per_lane, n, inner, bits, flip):  # type: ignore[no-untyped-def]
        k = cuda.shared.array(tile, uint64)
        p = cuda.shared.array(tile if wide else 1, int64)
        width = int32(1) << int32(bits)
        inside = width - int32(1)
        at_a_time = int64(tile >> int32(bits))
        first = int64(cuda.blockIdx.x) * at_a_time
        while first < segments:
            for s in range(int32(cuda.threadIdx.x), tile, threads):
                segment = first + int64(s >> int32(bits))
                lane = segment // per_lane
                e = (segment - lane * per_lane) * int64(width) + int64(s & inside)
                item = most
                if segment < segments and e < n:
                    outer = lane // inner
                    item = (key(x[(outer * n + e) * inner + lane - outer * inner]) ^ uint64(flip)) & most
                if wide:
                    k[s] = item
                    p[s] = e
                else:
                    k[s] = (item << shift) | uint64(e)
            cuda.syncthreads()
            size = int32(2)
            while size <= width:
                step = size >> int32(1)
                while step > int32(0):
                    for t in range(int32(cuda.threadIdx.x), half, threads):
                        i = int32(2) * t - (t & (step - int32(1)))
                        j = i + step
                        a, b = k[i], k[j]
                        if wide:
                            c, d = p[i], p[j]
                            wrong = a > b or (a == b and c > d)
                            if wrong == (((i & inside) & size) == 0):
                                k[i], k[j] = b, a
                                p[i], p[j] = d, c
                        elif (a > b) == (((i & inside) & size) == 0):
                            k[i], k[j] = b, a
                    cuda.syncthreads()
                    step = step >> int32(1)
                size = size << int32(1)
            for s in range(int32(cuda.threadIdx.x), tile, threads):
                segment = first + int64(s >> int32(bits))
                lane = segment // per_lane
                e = (segment - lane * per_lane) * int64(width) + int64(s & inside)
                if segment < segments and e < n:
                    if final:
                        place = p[s] if wide else int64(k[s] & most)
                        outer = lane // inner
                        start = outer * n * inner + lane - outer * inner
                        values[start + e * inner] = x[start + place * inner]
                        places[start + e * inner] = place
                    else:
                        keys[lane * n + e] = k[s]
                        if wide:
                            places[lane * n + e] = p[s]
            cuda.syncthreads()
            first += int64(cuda.gridDim.x) * at_a_time

    return kernel, f"{stored(dtype)}* {stored(dtype)}* uint64* int64* int64 int64 int64 int64 int64 int64"


@family(threads=THREADS, wide=(False, True))
def split_runs(wide: bool):  # type: ignore[no-untyped-def]
    """For each tile of what merging pairs of sorted runs of ``run`` items gives: how many of the left run's items come before it."""
    tile = int64(TILE)

    def kernel(keys, places, splits, tiles, per_lane, n, run):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < tiles:
            lane = i // per_lane
            at = (i - lane * per_lane) * tile
            start = at // (run + run) * (run + run)
            left = min(run, n - start)
            right = min(run, n - start - left)
            before = at - start
            a, b = lane * n + start, lane * n + start + left
            low, high = max(int64(0), before - right), min(before, left)
            while low < high:
                middle = (low + high) >> int64(1)
                u, v = a + middle, b + before - int64(1) - middle
                x, y = keys[u], keys[v]
                less = x < y
                if wide:
                    less = less or (x == y and places[u] < places[v])
                if less:
                    low = middle + int64(1)
                else:
                    high = middle
            splits[i] = low
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "uint64* int64* int64* int64 int64 int64 int64"


@family(threads=THREADS, wide=(False, True))
def merge_runs(wide: bool):  # type: ignore[no-untyped-def]
    """Merge pairs of sorted runs of ``run`` items of each lane: a block merges a tile, from where ``splits`` says."""
    size, tile, threads = TILE, int64(TILE), THREADS

    def kernel(keys, places, splits, keys_out, places_out, tiles, per_lane, n, run):  # type: ignore[no-untyped-def]
        k = cuda.shared.array(size, uint64)
        p = cuda.shared.array(size if wide else 1, int64)
        i = int64(cuda.blockIdx.x)
        while i < tiles:
            lane = i // per_lane
            at = (i - lane * per_lane) * tile
            start = at // (run + run) * (run + run)
            left = min(run, n - start)
            right = min(run, n - start - left)
            before = at - start
            after = min(before + tile, left + right)
            i0 = splits[i]
            i1 = left if after == left + right else splits[i + int64(1)]
            ours, count = int32(i1 - i0), int32(after - before)  # items of the left run, and all
            a = lane * n + start + i0
            b = lane * n + start + left + before - i0 - int64(ours)
            for s in range(int32(cuda.threadIdx.x), count, threads):
                source = (a if s < ours else b) + int64(s)
                k[s] = keys[source]
                if wide:
                    p[s] = places[source]
            cuda.syncthreads()
            for s in range(int32(cuda.threadIdx.x), count, threads):
                item = k[s]
                low, high = (ours, count) if s < ours else (int32(0), ours)
                first = low
                while low < high:
                    middle = (low + high) >> int32(1)
                    less = k[middle] < item
                    if wide:
                        less = less or (k[middle] == item and p[middle] < p[s])
                    if less:
                        low = middle + int32(1)
                    else:
                        high = middle
                to = lane * n + at + int64((s if s < ours else s - ours) + low - first)
                keys_out[to] = item
                if wide:
                    places_out[to] = p[s]
            cuda.syncthreads()
            i += int64(cuda.gridDim.x)

    return kernel, "uint64* int64* int64* uint64* int64* int64 int64 int64 int64"


@family(threads=THREADS, item=(1, 2, 4, 8), wide=(False, True))
def sorted_values(item: int, wide: bool):  # type: ignore[no-untyped-def]
    """``values`` and ``places``, shaped like x (outer, n, inner), of sorted items (lanes, n)."""
    word = f"uint{item * 8}*"

    def kernel(x, keys, sources, values, places, total, n, inner):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < total:
            lane = i // n
            outer = lane // inner
            start = outer * n * inner + lane - outer * inner
            place = sources[i] if wide else int64(keys[i] & uint64(0xFFFFFFFF))
            to = start + (i - lane * n) * inner
            values[to] = x[start + place * inner]
            places[to] = place
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{word} uint64* int64* {word} int64* int64 int64 int64"
