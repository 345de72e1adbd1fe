"""Local response normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...public import composite
from ...registry import REGISTRY
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor

__all__ = ["local_response_norm"]


def _response_reference(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    total = np.zeros_like(x)
    for c in range(x.shape[1]):
        first, last = c - size // 2, c + (size - 1) // 2
        total[:, c] = (x[:, max(first, 0) : last + 1] ** 2).sum(axis=1)
    return x / (k + alpha / size * total) ** beta


@composite(
    method=False,
    samples=[
        Sample((Input((2, 4, 3)),), {"size": 3, "alpha": 0.3}),
        Sample((Input((2, 4, 3)),), {"size": 2, "alpha": 0.5, "beta": 0.5, "k": 2.0}),
    ],
    reference=_response_reference,
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.local_response_norm(tg.ones(2, 3), 2), ValueError, "local_response_norm: .*3 dimensions")],
)
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of x^2 over ``size`` neighbouring channels)^beta; channels beyond the ends count as 0.

    Krizhevsky et al., 2012, https://doi.org/10.1145/3065386. Shape (n, channels, ...), with at least 3 dimensions.

    Raises:
        ValueError: for fewer dimensions, or a size below 1.
    """
    if input.ndim < 3:
        raise ValueError(f"local_response_norm: expected at least 3 dimensions, got shape {tuple(input.shape)}")
    if size < 1:
        raise ValueError(f"local_response_norm: size must be at least 1, got {size}")
    channels = int(input._array.shape[1])
    squares = input * input
    total = squares
    for offset in range(-(size // 2), (size - 1) // 2 + 1):
        if offset and abs(offset) < channels:
            total = total + _shifted(squares, offset, channels)
    return input / (total * (alpha / size) + k) ** beta


def _shifted(x: Tensor, offset: int, channels: int) -> Tensor:
    """Channel c + offset in the place of channel c, zeros where there is none."""
    kept = channels - abs(offset)
    part = x.narrow(1, max(offset, 0), kept)
    return REGISTRY["pad_zeros"].call(part, dim=1, before=max(-offset, 0), total=channels)
