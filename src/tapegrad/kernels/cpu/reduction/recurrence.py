"""First-order linear recurrences along one axis: what scans and their gradients are made of."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...native import cache, runtime as rt
from ...native.call import launcher
from ..arrays import empty

Array = np.ndarray[Any, np.dtype[Any]]

_GRAIN = 16384  # elements below which one thread is faster


@functools.cache
def _kernel(dtype: str) -> int:
    def build() -> Any:
        from numba import types

        from ...native import abi

        operand = abi.POINTERS[dtype]
        compute = types.complex128 if dtype.startswith("complex") else types.float64
        given = getattr(types, dtype)

        def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
            factor, term, out = operand(slots[0]), operand(slots[1]), operand(slots[2])
            n, inner = slots[3], slots[4]
            for lane in range(start, stop):
                place, step = lane // inner * n * inner + lane % inner, inner
                if slots[5]:
                    place, step = place + (n - 1) * inner, -inner
                value = compute(term[place])
                out[place] = given(value)
                for _ in range(n - 1):
                    place += step
                    value = compute(term[place]) + compute(factor[place]) * value
                    out[place] = given(value)

        return kernel

    return cache.native(f"recurrence:{dtype}", build)


def linear_recurrence(factor: Array, term: Array, axis: int, reverse: bool) -> Array:
    """``out[j] = term[j] + factor[j] * out[j - 1]`` along an axis (``out[j + 1]`` when ``reverse``), of floats of one shape and dtype.

    Computed in float64, and in order, so that a factor of 0 cuts off exactly what comes before. The first factor is not used.
    """
    dtype = term.dtype
    if dtype.name not in ("float32", "float64", "complex64", "complex128"):
        return linear_recurrence(factor.astype(np.float32), term.astype(np.float32), axis, reverse).astype(dtype)
    out = empty(term.shape, dtype)
    if out.size:
        factor, term = np.ascontiguousarray(factor), np.ascontiguousarray(term)
        n = term.shape[axis] if term.ndim else 1
        inner = math.prod(term.shape[axis + 1 :])
        lanes = out.size // n
        grain = max(1, _GRAIN // n)
        if lanes > grain:
            rt.start_threads()
        launcher()(_kernel(dtype.name), lanes, grain, factor, term, out, n, inner, int(reverse))
    return out
