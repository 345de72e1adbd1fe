"""cross_entropy of class indices and its gradient on a GPU; 16-bit logits are computed in float32, in which logsumexps stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import errors
from ..array import CudaArray, contiguous, empty, zeros
from ..context import blocks_for
from ..language import BLOCK
from ..planned import planned
from . import rows as R
from .cross_entropy_kernels import (
    SUM_THREADS,
    gradient_rows,
    gradient_streamed,
    loss_of_rows,
    loss_rows,
    loss_streamed,
    row_weights,
    sums,
    weight_sum,
)

_ROWS = 8192  # that one block adds up


@planned
def cross_entropy(logits: Any, target: Any, weight: Any, ignore_index: int, label_smoothing: float) -> tuple[Any, Any]:
    """Losses of the rows of (n, c) logits and their logsumexps, both (n,), for int64 targets (n,).

    A loss is weight[target] * (logsumexp - logits[target]), mixed with the same of all classes when smoothed, and 0
    where the target is ``ignore_index``. ``weight`` (c,) has the logits' dtype. A target that is out of range is noted (see ``errors``)
    and clamped.
    """
    losses, level, _ = _losses(logits, target, weight, ignore_index, label_smoothing)
    return losses.astype(logits.dtype, copy=False), level


@planned
def reduced_cross_entropy(
    logits: Any, target: Any, weight: Any, ignore_index: int, label_smoothing: float, mean: bool
) -> tuple[Any, Any, Any]:
    """(loss, logsumexps, divisor): the sum of the losses of ``cross_entropy``, or their mean weighted as their targets are."""
    wide = R.wide_dtype(logits.dtype)
    loss, divisor = empty((), logits.dtype), empty((), wide)
    if logits.size == 0:
        loss.fill(np.nan if mean else 0)
        divisor.fill(0)
        return loss, empty((len(logits),), wide), divisor
    losses, level, counts = _losses(logits, target, weight, ignore_index, label_smoothing)
    n = len(logits)
    if n > _ROWS:
        blocks = min(256, -(-n // _ROWS) * 4)
        parts = empty((2, blocks), wide)
        sums(wide.name).launch(blocks, SUM_THREADS, losses, counts, parts[0], parts[1], n, -(-n // blocks))
        losses, counts, n = parts[0], parts[1], blocks
    loss_of_rows(logits.dtype.name, mean).launch(1, SUM_THREADS, losses, counts, loss, divisor, n)
    return loss, level, divisor


def _losses(logits: Any, target: Any, weight: Any, ignored: int, smoothing: float) -> tuple[CudaArray, CudaArray, CudaArray]:
    """Of each row the loss, the logsumexp and the weight of its target, in the precision of the computation."""
    (rows, n), wide, name = logits.shape, R.wide_dtype(logits.dtype), logits.dtype.name
    if logits.size == 0:
        return zeros((rows,), wide), zeros((rows,), wide), zeros((rows,), wide)
    losses, level, counts = empty((rows,), wide), empty((rows,), wide), empty((rows,), wide)
    logits, target = contiguous(logits), contiguous(target)
    given = () if weight is None else (contiguous(weight),)
    how = R.plan(rows, n, logits, *given, per_thread=16 if wide.itemsize == 8 else 32)
    kinds = (weight is not None, smoothing != 0)
    kernel = loss_rows(name, how.width, how.team, how.each, how.full, *kinds) if how.team else loss_streamed(name, how.width, *kinds)
    factors = R.constant(1.0 - smoothing, wide), R.constant(smoothing / n, wide)
    noting = errors.words(), errors.operation("cross_entropy")
    kernel.launch(how.blocks, how.threads, logits, target, *given, losses, level, counts, rows, n, ignored, *factors, *noting)
    return losses, level, counts


@planned
def cross_entropy_backward(
    g_rows: Any, logits: Any, target: Any, logsumexp: Any, weight: Any, ignore_index: int, label_smoothing: float
) -> Any:
    """The gradient (n, c) of ``cross_entropy`` with respect to its logits, from the gradients (n,) of its losses."""
    (rows, n), wide, name = logits.shape, R.wide_dtype(logits.dtype), logits.dtype.name
    logits, target = contiguous(logits), contiguous(target)
    out = R.like(logits)
    if logits.size == 0:
        return out
    g_rows, logsumexp = (contiguous(a.astype(wide, copy=False)) for a in (g_rows, logsumexp))
    kinds = (weight is not None, label_smoothing != 0)
    given = () if weight is None else (contiguous(weight), _total(weight, wide))
    how = R.plan(rows, n, logits, out, *given[:1], per_thread=16 if wide.itemsize == 8 else 32)
    kernel = gradient_rows(name, how.width, how.team, how.each, how.full, *kinds) if how.team else gradient_streamed(name, how.width, *kinds)
    factors = R.constant(1.0 - label_smoothing, wide), R.constant(label_smoothing / n, wide)
    kernel.launch(how.blocks, how.threads, g_rows, logits, target, logsumexp, *given, out, rows, n, ignore_index, *factors)
    return out


@planned
def cross_entropy_weights(logits: Any, target: Any, weight: Any, ignore_index: int, label_smoothing: float) -> Any:
    """What each row counts for in ``cross_entropy``, (n,): its class weights mixed as its losses are, 0 where it is ignored."""
    (rows, n), wide = logits.shape, R.wide_dtype(logits.dtype)
    out = empty((rows,), logits.dtype)
    if out.size and n:
        given = (None, None) if weight is None else (contiguous(weight), _total(weight, wide))
        factors = R.constant(1.0 - label_smoothing, wide), R.constant(label_smoothing / n, wide)
        kernel = row_weights(logits.dtype.name, weight is not None)
        kernel.launch(blocks_for(rows, BLOCK), BLOCK, contiguous(target), *given, out, rows, n, ignore_index, *factors)
    return out


def _total(weight: Any, wide: np.dtype[Any]) -> CudaArray:
    """The sum of the class weights, as an array of one element."""
    total = empty((1,), wide)
    weight_sum(weight.dtype.name).launch(1, SUM_THREADS, contiguous(weight), total, weight.size)
    return total
