"""Attention: weighted means of values, with weights that are a softmax of products of queries and keys."""

from __future__ import annotations

from typing import Any

import numpy as np


def masked_softmax(x: Any, softmax: Any) -> Any:
    """``softmax`` along the last axis, but zeros where all of it is -inf (where nothing may be attended to)."""
    if x.shape[-1] == 0:
        return x.copy()
    y = softmax(x, x.ndim - 1)
    nothing = np.isneginf(x.max(axis=-1))
    if nothing.any():
        y[nothing] = 0
    return y


def scores(q: Any, k: Any, mask: Any, scale: float, matmul: Any) -> Any:
    """``q @ k.T * scale + mask``."""
    s = matmul(q * q.dtype.type(scale), k.swapaxes(-1, -2))
    return s if mask is None else s + mask
