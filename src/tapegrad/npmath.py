"""The few elementary functions that NumPy lacks, on arrays: a second opinion for tests, never the library's kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x)))


def erf(x: Any) -> Any:
    """The error function, elementwise, in the dtype of ``x``."""
    x = np.asarray(x)
    return _erf(x).astype(x.dtype if x.dtype.kind == "f" else np.float64) if x.size else x.astype(np.float64)
