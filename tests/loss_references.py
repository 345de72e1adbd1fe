"""Losses one row at a time, as references for the fused ones."""

from __future__ import annotations

from typing import Any

import numpy as np


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Any:
    """As PyTorch's, of logits (n, c, ...) or (c,), for class indices or probabilities; all in loops but the logarithm of a sum."""
    whole = target.dtype.kind == "i"
    shape = target.shape if whole else target.shape[:1] + target.shape[2:] if target.ndim > 1 else ()
    x = np.moveaxis(input, 1, -1) if input.ndim > 1 else input
    y = target if whole or target.ndim == 1 else np.moveaxis(target, 1, -1)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else weight
    rows, counts = np.zeros(shape), np.ones(shape)
    for at in np.ndindex(*shape):
        logits = x[at]
        logp = logits - logits.max() - np.log(sum(np.exp(v - logits.max()) for v in logits))
        if whole and y[at] == ignore_index:
            counts[at] = 0.0
            continue
        for c in range(classes):
            hit = float(y[at] == c) if whole else y[at][c]
            rows[at] -= (hit * (1 - label_smoothing) + label_smoothing / classes) * w[c] * logp[c]
        if whole:
            counts[at] = w[y[at]]
    return {"none": rows, "sum": rows.sum(), "mean": rows.sum() / counts.sum()}[reduction]
