"""Evenly spaced numbers, and the places of triangles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def arange(start: Any, end: Any, step: Any, dtype: np.dtype[Any]) -> Any:
    """Numbers from ``start`` up to, not including, ``end``."""
    if dtype.kind in "iu" and not all(isinstance(x, (int, np.integer)) for x in (start, end, step)):
        return (int(start) + int(step) * np.arange(math.ceil((end - start) / step))).astype(dtype)  # PyTorch counts in floats, and steps in integers
    return np.arange(start, end, step).astype(dtype)


def linspace(start: float, end: float, steps: int, dtype: np.dtype[Any]) -> Any:
    """``steps`` numbers from ``start`` to ``end``."""
    with np.errstate(all="ignore"):
        return np.linspace(start, end, steps).astype(dtype)


def triangle_places(rows: int, columns: int, diagonal: int, upper: bool, dtype: np.dtype[Any]) -> Any:
    """(2, count): the places of a matrix on and below a diagonal, or on and above, row by row."""
    all_places = np.ones((rows, columns), np.bool_)
    return np.stack(np.nonzero((np.triu if upper else np.tril)(all_places, diagonal))).astype(dtype)
