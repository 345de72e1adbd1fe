"""Matrices that tests of products share: values of any dtype, and the ways that they can lie in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

Views = Callable[[Any], Any]
EPS = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7, "complex64": 2.0**-23, "complex128": 2.0**-52}


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    if dtype in EPS:
        x = rng.uniform(-1, 1, shape)
        return (x + 1j * rng.uniform(-1, 1, shape) if "complex" in dtype else x).astype(dtype_of(dtype))
    return rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def same(x: Any) -> Any:
    return x


VIEWS: dict[str, tuple[Callable[[int, int], tuple[int, ...]], Views]] = {
    "rows": (lambda r, c: (r, c), same),
    "columns": (lambda r, c: (c, r), lambda x: x.T),
    "steps": (lambda r, c: (r, 2 * c), lambda x: x[::-1, ::2]),
    "an odd place": (lambda r, c: (r, c + 1), lambda x: x[:, 1:]),
}
