"""Dropout whose pattern is made again when it is needed, rather than kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, contiguous, empty
from ..context import blocks_for
from ..planned import planned_but_for
from . import philox_kernels as kernels


@planned_but_for("seed", "counter")
def dropout(x: CudaArray, p: float, seed: int, counter: int) -> CudaArray:
    """0 where a uniform float32 number is below ``p``, else ``x / (1 - p)``; element i draws from block ``counter + i / 4``.

    C-contiguous, whatever the strides of ``x``, which is of a floating-point or complex dtype.
    """
    threshold = math.ceil(float(np.float32(p)) * 2.0**24)  # of the 24 bits that make such a number
    scale = 0.0 if p == 1 else 1.0 / (1.0 - p)
    x = contiguous(x)
    out = empty(x.shape, x.dtype)
    if x.size:
        name, parts = {"complex64": ("float32", 2), "complex128": ("float64", 2)}.get(x.dtype.name, (x.dtype.name, 1))
        number: Any = np.float64 if name == "float64" else np.float32
        with np.errstate(over="ignore"):
            scaled = number(scale)
        kernel = kernels.dropout(name, x.address % 16 == 0, parts)
        kernel.launch(blocks_for(-(-x.size // 4), L.BLOCK), L.BLOCK, x, out, x.size, seed, counter, threshold, scaled)
    return out
