"""Dropout whose pattern is made again when it is needed, rather than kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...narrow import in_float32
from .. import arrays
from .philox import kernel, launch_blocks


@in_float32
def dropout(x: Any, p: float, seed: int, counter: int) -> Any:
    """0 where a uniform float32 number is below ``p``, else ``x / (1 - p)``; element i draws from block ``counter + i / 4``.

    C-contiguous, whatever the strides of ``x``, which is of a floating-point or complex dtype.
    """
    threshold = math.ceil(float(np.float32(p)) * 2.0**24)  # of the 24 bits that make such a number
    scale = 0.0 if p == 1 else 1.0 / (1.0 - p)
    x = np.ascontiguousarray(x).reshape(x.shape)
    out = arrays.empty(x.shape, x.dtype)
    if x.dtype.kind == "c":
        kept = dropout(np.ones(x.shape, np.float32), p, seed, counter) != 0 if p < 1 else np.zeros(x.shape, np.bool_)
        with np.errstate(all="ignore"):  # what overflows may be what is dropped
            return np.where(kept, x * x.dtype.type(scale), x.dtype.type(0))
    launch_blocks(kernel("dropout", x.dtype.name), -(-x.size // 4), x, out, seed, counter, x.size, threshold, scale)
    return out
