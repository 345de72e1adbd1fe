"""Factorizations and solutions of linear systems, by LAPACK as NumPy comes with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...narrow import in_float32

Array = np.ndarray[Any, np.dtype[Any]]


@in_float32
def cholesky(x: Array) -> Array:
    """The lower triangular factors of positive definite matrices (..., n, n), of which only the lower triangles are read.

    Raises:
        numpy.linalg.LinAlgError: when one is not positive definite.
    """
    return np.linalg.cholesky(x)


@in_float32
def solve_triangular(a: Array, b: Array, upper: bool, unitriangular: bool) -> Array:
    """X with A X = B for triangular A (..., n, n), of which the other triangle is not read, and B (..., n, k) of the same batch."""
    a = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        np.einsum("...ii->...i", a)[...] = 1
    with np.errstate(all="ignore"):
        try:
            return np.linalg.solve(a, b)
        except np.linalg.LinAlgError:  # a zero on a diagonal: infinities where it divides
            return _substituted(a, b, upper)


def _substituted(a: Array, b: Array, upper: bool) -> Array:
    n = a.shape[-1]
    out = b.copy()
    for i in range(n - 1, -1, -1) if upper else range(n):
        known = slice(i + 1, None) if upper else slice(0, i)
        out[..., i, :] -= np.einsum("...j,...jk->...k", a[..., i, known], out[..., known, :])
        out[..., i, :] /= a[..., i, i, None]
    return out
