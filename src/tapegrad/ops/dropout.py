"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.cpu import random as philox
from ..public import public
from ..registry import Op, apply, register
from ..samples import Input, Sample
from ..tensor import Tensor
from .random import default_generator

__all__ = ["dropout"]

_dropout = register(
    Op(
        "dropout",
        ("input",),
        lambda B, x, *, p, mask: _masked(B, x, p, mask),
        {"input": lambda K, g, p, mask: K.dropout(g, p=p, mask=mask)},
        random=True,
        method=False,
        batch="elementwise",
        samples=[Sample((Input((3, 4)),), {"p": 0.5, "mask": np.arange(12).reshape(3, 4) % 3 > 0})],
        reference=lambda x, p, mask: np.where(mask, x / (1 - p), 0),
        kinds="fc",
    )
)


def _masked(B: Any, x: Any, p: float, mask: Any) -> Any:
    with np.errstate(all="ignore"):  # what overflows may be what is dropped
        return B.apply_mask(x, mask, 0.0 if p == 1 else 1.0 / (1.0 - p))


@public(_dropout)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, set each element to 0 with probability ``p`` and scale the others by 1 / (1 - p); else the input.

    Raises:
        ValueError: when p is not in [0, 1].
        RuntimeError: when numbers of the input's dtype can't be scaled.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be between 0 and 1, got {p}")
    if not training or p == 0:
        return input
    if not input.dtype.differentiable:
        raise RuntimeError(f"dropout: expected a floating-point or complex input, got dtype {input.dtype}")
    kept = default_generator.draw(philox.uniform, tuple(input.shape), np.dtype(np.float32)) >= p
    result: Tensor = apply(_dropout, (input,), {"p": p, "mask": kept})
    return input.copy_(result) if inplace else result  # type: ignore[no-any-return]
