"""Numbers that take a varying number of random words: of gamma and Poisson distributions.

A thread goes on with blocks that only its element has, until one is accepted, so nothing is collected or counted in between. The numbers
differ from the CPU's, which draws anew for all elements that are left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import special
from ...scalar_bodies import bound
from .. import language as L
from ..array import CudaArray, contiguous, empty
from ..context import blocks_for
from ..elements import stored, to_computed, to_stored
from ..elementwise import cast
from ..kernel import family
from ..language import cuda, float32, float64, int64, uint32
from .philox import Drawn
from .philox_kernels import FLOATS, double, normals64, philox

_DOUBLE = np.dtype(np.float64)
_MOST = 1000  # attempts; each is accepted with a probability of at least 0.7


@family(threads=256, doubles=True, local=True)
def log_gammas():  # type: ignore[no-untyped-def]
    """Of shapes (n): out, n, seed, counter. By rejection: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000."""
    log, log1p, sqrt, nan = L.log, L.log1p, L.sqrt, math.nan

    def kernel(shapes, out, n, seed, counter):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            a, found = shapes[i], float64(nan)
            usable = (a > 0.0) & (a - a == 0.0)
            d = (a + 1.0 if a < 1.0 else a) - 1.0 / 3.0
            attempt = _MOST if not usable else 0
            while attempt < _MOST:
                w = philox(seed, counter + i, uint32(2 * attempt))
                x = normals64(w[0], w[1], w[2], w[3])[0]
                w = philox(seed, counter + i, uint32(2 * attempt + 1))
                u, v = double(w[0], w[1]), double(w[2], w[3])
                root = 1.0 + x / sqrt(9.0 * d)
                attempt += 1
                if root > 0.0:
                    log_cube = 3.0 * log(root)
                    if log1p(-u) < 0.5 * x * x + d * (1.0 - root * root * root + log_cube):
                        found = log(d) + log_cube
                        if a < 1.0:
                            found += log1p(-v) / a
                        attempt = _MOST
            out[i] = found
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "float64* float64* int64 int64 int64"


@family(threads=256, doubles=True, local=True)
def log_gamma_slopes():  # type: ignore[no-untyped-def]
    """Of shapes, draws and digammas (n): out, n."""
    slope = bound(special, L.device, {name: getattr(L, name) for name in ("exp", "sqrt", "floor")})["log_gamma_slope"]

    def kernel(a, y, psi, out, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            out[i] = slope(a[i], y[i], psi[i])
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "float64* float64* float64* float64* int64"


@family(threads=256, doubles=True, local=True, dtype=FLOATS)
def poissons(dtype):  # type: ignore[no-untyped-def]
    """Of rates (n): out, n, seed, counter. Below 10 by inversion, else by transformed rejection (W. Hoermann, "The transformed rejection
    method for generating Poisson random variables", 1993, PTRS). 0 for rates that are not positive, NaN for those that are not finite."""
    get, put = to_computed(dtype), to_stored(dtype)
    exp, log, sqrt, lgamma, floor, nan = L.exp, L.log, L.sqrt, L.lgamma, L.floor, math.nan
    narrow = float64 if dtype == "float64" else float32

    def kernel(rates, out, n, seed, counter):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            rate = float64(get(rates[i]))
            k = float64(0.0)
            if rate - rate != 0.0:  # also where it is NaN
                k = float64(nan)
            elif rate < 10.0:
                w = philox(seed, counter + i, uint32(0))
                u, p = double(w[0], w[1]), exp(-rate)
                while (u > p) & (k < 1000.0) & (rate > 0.0):
                    u -= p
                    k += 1.0
                    p *= rate / k
            else:
                b = 0.931 + 2.53 * sqrt(rate)
                a = -0.059 + 0.02483 * b
                scale, least = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2.0)
                attempt = 0
                while attempt < _MOST:
                    w = philox(seed, counter + i, uint32(attempt))
                    u, v = double(w[0], w[1]) - 0.5, double(w[2], w[3])
                    attempt += 1
                    edge = 0.5 - abs(u)
                    k = floor((2.0 * a / edge + b) * u + rate + 0.43)
                    if (edge >= 0.07) & (v <= least):
                        attempt = _MOST
                    elif (k >= 0.0) & ((edge >= 0.013) | (v <= edge)):
                        if log(v * scale / (a / (edge * edge) + b)) <= k * log(rate) - rate - lgamma(k + 1.0):
                            attempt = _MOST
            out[i] = put(narrow(k))
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* {stored(dtype)}* int64 int64 int64"


def log_gamma(shape: CudaArray, seed: int, counter: int) -> Drawn:
    """Logarithms of numbers of gamma distributions of these shapes and of rate 1, float64, and the next counter; NaN for shapes that are not
    positive. A number of shape a < 1 is one of shape a + 1 times ``u ** (1 / a)`` with a uniform u."""
    a = cast(shape, _DOUBLE)
    out = empty(a.shape, _DOUBLE)
    if a.size:
        log_gammas().launch(blocks_for(a.size, L.BLOCK), L.BLOCK, a, out, a.size, seed, counter)
    return out, counter + a.size


def log_gamma_slope(shape: CudaArray, log_x: CudaArray, digamma: CudaArray) -> CudaArray:
    """d log(x) / d a, for x that moves with the shape a so that its quantile stays; all of one shape, float64.

    ``digamma`` is that of a + 1; see ``special.log_gamma_slope``.
    """
    arrays = [contiguous(x) for x in (shape, log_x, digamma)]
    out = empty(shape.shape, _DOUBLE)
    if out.size:
        log_gamma_slopes().launch(blocks_for(out.size, L.BLOCK), L.BLOCK, *arrays, out, out.size)
    return out


def poisson(rates: Any, seed: int, counter: int) -> Drawn:
    """Poisson's counts of these rates, of their dtype."""
    rates = contiguous(rates)
    out = empty(rates.shape, rates.dtype)
    if rates.size:
        poissons(rates.dtype.name).launch(blocks_for(rates.size, L.BLOCK), L.BLOCK, rates, out, rates.size, seed, counter)
    return out, counter + rates.size
