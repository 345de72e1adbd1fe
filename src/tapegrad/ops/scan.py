"""Scans: running sums along a dimension."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..public import public
from ..registry import Op, apply, register
from ..samples import ErrorInput, along_dim
from ..tensor import Tensor
from .copy import to_dtype
from .reduce import sum_dtype
from .shape import normalize_dim

__all__ = ["cumsum"]

_cumsum = register(
    Op(
        "cumsum",
        ("input",),
        lambda B, x, *, dim, reverse=False: B.cumsum(x, dim, sum_dtype(x.dtype), reverse),
        {"input": lambda K, g, dim, reverse: K.cumsum(g, dim=dim, reverse=not reverse)},
        batch="reduce",
        samples=along_dim(keepdims=False, reverse=False),
        reference=lambda x, dim, reverse: np.cumsum(x, axis=dim),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).cumsum(2), IndexError, "cumsum: dimension 2 is out of range")],
    )
)


@public(_cumsum)
def cumsum(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The running sum along ``dim``. Integers and bools sum as int64."""
    if dtype is not None:
        input = to_dtype(input, dtype)
    at = normalize_dim(dim, input.ndim, "cumsum")
    return apply(_cumsum, (input,), {"dim": at, "reverse": False})  # type: ignore[no-any-return]
