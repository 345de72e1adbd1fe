"""What the host asks about values on the device; each waits for its answer."""

from __future__ import annotations

import numpy as np

from ..body import Body
from . import language as L
from .array import CudaArray, contiguous, empty, to_host, zeros
from .complex_parts import as_pairs
from .context import blocks_for
from .elements import stored
from .elementwise import run
from .index.compact import true_count
from .kernel import family
from .language import cuda, int64, uint64

_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)


@family(threads=256, dtype=("uint8", "int8", "int16", "int32", "int64"))
def bounds(dtype: str):  # type: ignore[no-untyped-def]
    """out (2,): the least and the largest element."""
    atomic_min, atomic_max = L.atomic_min, L.atomic_max

    def kernel(x, out, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        least, most = int64(x[0]), int64(x[0])
        while i < n:
            value = int64(x[i])
            least, most = min(least, value), max(most, value)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
        k = 16
        while k > 0:
            least = min(least, cuda.shfl_xor_sync(0xFFFFFFFF, least, k))
            most = max(most, cuda.shfl_xor_sync(0xFFFFFFFF, most, k))
            k //= 2
        if cuda.threadIdx.x % 32 == 0:
            atomic_min(out, 0, least)
            atomic_max(out, 1, most)

    return kernel, f"{stored(dtype)}* int64* int64"


def span(x: CudaArray) -> tuple[int, int]:
    """The least and the largest of at least one integer. Waits for them."""
    x = contiguous(x)
    out = empty((2,), _INT64)
    out[0] = np.iinfo(np.int64).max
    out[1] = np.iinfo(np.int64).min
    bounds(x.dtype.name).launch(blocks_for(x.size, L.BLOCK), L.BLOCK, x, out, x.size)
    least, most = to_host(out).tolist()
    return least, most


_IS_NAN = Body(("a",), ("t0 = a != a",), ("t0",))


def has_nan(x: CudaArray) -> bool:
    """Whether an element of a floating or complex array is NaN. Waits for the answer."""
    x = as_pairs(x) if x.dtype.kind == "c" else x
    found = empty(x.shape, _BOOL)
    run(_IS_NAN, (x,), (found,), np.dtype(np.float32) if x.itemsize == 2 else x.dtype)
    return true_count(found) > 0


@family(threads=256, item=(1, 4))
def hashed(item: int):  # type: ignore[no-untyped-def]
    """out[0] += a number for each word, which depends on where the word is."""
    atomic_add = L.atomic_add

    def kernel(words, out, n):  # type: ignore[no-untyped-def]
        total = int64(0)
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            h = (uint64(words[i]) + uint64(1)) * uint64(0x9E3779B97F4A7C15) + uint64(i) * uint64(0xBF58476D1CE4E5B9)
            h = (h ^ (h >> uint64(29))) * uint64(0x94D049BB133111EB)
            total += int64((h ^ (h >> uint64(32))) >> uint64(1))
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
        k = 16
        while k > 0:
            total += cuda.shfl_xor_sync(0xFFFFFFFF, total, k)
            k //= 2
        if cuda.threadIdx.x % 32 == 0:
            atomic_add(out, 0, total)

    return kernel, f"uint{item * 8}* int64* int64"


def checksum(x: CudaArray) -> int:
    """A number that other values very likely don't have."""
    flat = contiguous(x).reshape(-1)
    out = zeros((1,), _INT64)
    if x.size:
        item = 4 if x.nbytes % 4 == 0 and x.address % 4 == 0 else 1
        n = x.nbytes // item
        hashed(item).launch(blocks_for(n, L.BLOCK), L.BLOCK, flat, out, n)
    return int(to_host(out)[0])
