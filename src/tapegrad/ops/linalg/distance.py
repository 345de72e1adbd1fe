"""Distances between the rows of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..elementwise.basic import sub
from ..reduction.vector_norm import norm

__all__ = ["cdist", "pdist"]


def _lengths(x: Any, p: float) -> Any:
    return np.sum(x != 0, -1).astype(x.dtype) if p == 0 else np.linalg.norm(x, p, axis=-1)


def _reference(x1: Any, x2: Any, p: float = 2.0) -> Any:
    difference = x1[..., :, None, :] - x2[..., None, :, :]
    flat = difference.reshape(-1, difference.shape[-1])
    return np.array([_lengths(row, p) for row in flat]).reshape(difference.shape[:-1])


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((2, 4)))),
        *(Sample((Input((2, 3, 4)), Input((2, 4))), {"p": p}) for p in (0.0, 0.5, 1.0, 1.5, 3.0, math.inf)),
        Sample((Input((0, 4)), Input((2, 4)))),
    ],
    reference=_reference,
    smooth=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.cdist(tg.ones(3), tg.ones(2, 3)), RuntimeError, r"cdist: expected matrices .* got shapes \(3,\) and \(2, 3\)"),
        ErrorInput(lambda tg: tg.cdist(tg.ones(2, 3), tg.ones(2, 4)), RuntimeError, r"cdist: rows of shapes \(2, 3\) and \(2, 4\) differ"),
        ErrorInput(lambda tg: tg.cdist(tg.ones(2, 3), tg.ones(2, 3), p=-1), RuntimeError, "cdist: p must not be negative, got -1"),
        ErrorInput(lambda tg: tg.cdist(tg.arange(3).reshape(1, 3), tg.arange(3).reshape(1, 3)), RuntimeError, "norm: input must be floating-point.*int64"),
    ],
)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norms of differences of rows: (..., m, k) and (..., n, k) -> (..., m, n); leading dimensions broadcast.

    Differences are taken one by one whatever ``compute_mode``, so that close rows lose no digits. The gradient of distance 0 is 0.

    Raises:
        RuntimeError: for vectors, rows of different lengths, or a negative p.
    """
    if x1.ndim < 2 or x2.ndim < 2:
        raise RuntimeError(f"cdist: expected matrices (or batches of them), got shapes {tuple(x1.shape)} and {tuple(x2.shape)}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"cdist: rows of shapes {tuple(x1.shape)} and {tuple(x2.shape)} differ in length")
    if p < 0:
        raise RuntimeError(f"cdist: p must not be negative, got {p}")
    shape = (*broadcast_shape("cdist", [tuple(x1.shape[:-2]), tuple(x2.shape[:-2])]), x1.shape[-2], x2.shape[-2])
    if x1.shape[-1] == 0:
        return x1.new_zeros(*shape)  # type: ignore[no-any-return]
    return norm(sub(x1.unsqueeze(-2), x2.unsqueeze(-3)), p, -1)


def _pairs(x: Any, p: float = 2.0) -> Any:
    upper = np.triu_indices(len(x), 1)
    return _reference(x, x, p)[upper]


@composite(
    method=False,
    samples=[Sample((Input((4, 3)),)), *(Sample((Input((3, 4)),), {"p": p}) for p in (1.0, 3.0, math.inf))],
    reference=_pairs,
    smooth=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.pdist(tg.ones(3)), RuntimeError, r"pdist: expected a matrix, got shape \(3,\)"),
        ErrorInput(lambda tg: tg.pdist(tg.ones(3, 2), -2), RuntimeError, "pdist: p must not be negative, got -2"),
    ],
)
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of differences of pairs of rows i < j of a matrix (n, k), as a vector of n (n - 1) / 2.

    Raises:
        RuntimeError: for what is not a matrix, or a negative p.
    """
    if input.ndim != 2:
        raise RuntimeError(f"pdist: expected a matrix, got shape {tuple(input.shape)}")
    if p < 0:
        raise RuntimeError(f"pdist: p must not be negative, got {p}")
    i, j = np.triu_indices(int(input.shape[0]), 1)
    return norm(sub(input[i], input[j]), p, -1)
