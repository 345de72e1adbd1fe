"""The norms of ``linalg``: of vectors, and of matrices."""

from __future__ import annotations

import math
from typing import Any

from ... import dtypes
from ...tensor import Tensor
from ..reduction.vector_norm import norm as _norm
from ..shape.copy import to_dtype
from ..shape.reshape import normalize_dims


def vector_norm(x: Tensor, ord: float = 2, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """``sum(abs(x) ** ord) ** (1 / ord)`` over ``dim`` (all by default), as of one vector; see :func:`tapegrad.norm`.

    Raises:
        TypeError: for an ``ord`` that is no number.
        RuntimeError: for a tensor that is not floating-point, or ord = inf and -inf over no elements.
    """
    if isinstance(ord, str):
        raise TypeError(f"linalg.vector_norm: ord must be a number, got {ord!r}")
    return _norm(x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(A: Tensor, ord: float | str = "fro", dim: tuple[int, int] = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The norm of matrices in the dimensions ``dim``: "fro" (Frobenius), 1 and -1 (largest and smallest sum of magnitudes of a
    column), inf and -inf (of a row).

    Raises:
        NotImplementedError: for 2, -2 and "nuc", which need singular values.
        RuntimeError: for another ``ord``, or fewer than 2 dimensions.
    """
    if A.ndim < 2 or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: needs two dimensions, got an input of shape {tuple(A.shape)} and dim={dim}")
    rows, columns = normalize_dims(tuple(dim), A.ndim, "linalg.matrix_norm")
    if ord == "fro":
        return _norm(A, "fro", (rows, columns), keepdim, dtype=dtype)
    if ord in ("nuc", 2, -2):
        raise NotImplementedError(f"linalg.matrix_norm: ord={ord!r} needs singular values, which tapegrad doesn't compute (yet)")
    if ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    summed, compared = (rows, columns) if abs(ord) == 1 else (columns, rows)  # type: ignore[arg-type]
    sums = (A if dtype is None else to_dtype(A, dtypes.to_dtype(dtype))).abs().sum(summed, keepdim=True)
    found = sums.amax(compared, keepdim=True) if ord > 0 else sums.amin(compared, keepdim=True)  # type: ignore[operator]
    return found if keepdim else found.squeeze((rows, columns))  # type: ignore[no-any-return]


def norm(
    A: Tensor, ord: float | str | None = None, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A vector's norm for one dimension, a matrix's for two; without ``ord`` the 2-norm of all elements of ``dim``.

    Raises:
        RuntimeError: when ``ord`` is given for neither vectors nor matrices, and as :func:`vector_norm` and :func:`matrix_norm` do.
    """
    if ord is None:
        return _norm(A, 2, dim, keepdim, dtype=dtype)
    if isinstance(dim, int):
        dim = (dim,)
    count = A.ndim if dim is None else len(dim)
    if count == 1 and not isinstance(ord, str):
        return vector_norm(A, ord, dim, keepdim, dtype=dtype)
    if count != 2:
        raise RuntimeError(f"linalg.norm: with ord={ord!r}, give one or two dimensions, got an input of shape {tuple(A.shape)} and dim={dim}")
    return matrix_norm(A, ord, (-2, -1) if dim is None else (dim[0], dim[1]), keepdim, dtype=dtype)
