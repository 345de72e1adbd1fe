"""Losses that ask the scores of right classes to exceed those of others by a margin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...device import backend
from ...public import composite
from ...samples import REDUCE, ErrorInput, Input, Sample, in_every_reduction
from ...tensor import Tensor, wrap
from ..checks import index_array
from ..index.gather import gather
from ..nn.activation import relu
from .class_targets import check_class_weight, class_indices
from .reduction import reduce_loss

__all__ = ["multi_margin_loss", "multilabel_margin_loss"]


def _rows(input: Tensor, name: str) -> Tensor:
    """Scores (n, c) from those, (c,), or the score of a single class."""
    if input.ndim == 0:
        return input.reshape(1, 1)
    if input.ndim > 2 or input._array.shape[-1] == 0:
        raise RuntimeError(f"{name}: expected scores of shape (n, classes) or (classes,), got {tuple(input.shape)}")
    return input if input.ndim == 2 else input.unsqueeze(0)


def _multi_margin_reference(x: Any, t: Any, w: Any = None, p: int = 1, margin: float = 1.0, reduction: str = "mean") -> Any:
    rows, classes = np.atleast_2d(x), x.shape[-1]
    loss = [
        sum(max(0.0, margin - row[y] + row[j]) ** p for j in range(classes) if j != y) / classes * (1 if w is None else w[y])
        for row, y in zip(rows, np.atleast_1d(t), strict=True)
    ]
    return REDUCE[reduction](np.array(loss).reshape(t.shape))


@composite(
    method=False,
    samples=[
        *in_every_reduction((Input((4, 3), apart=True), Input((4,), 0, 3, "int")), {"p": 2, "margin": 0.75}),
        Sample((Input((4, 3), apart=True), Input((4,), 0, 3, "int"), Input((3,), 0.5, 1.5, constant=True)), {"margin": 0.72}, ("input", "target", "weight")),
        Sample((Input((3,), apart=True), Input((), 0, 3, "int")), {"margin": 0.72}),
    ],
    reference=lambda input, target, weight=None, p=1, margin=1.0, reduction="mean": _multi_margin_reference(input, target, weight, p, margin, reduction),
    smooth=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.multi_margin_loss(tg.ones(2, 3), tg.tensor([0, 3])), IndexError, "multi_margin_loss: target 3"),
        ErrorInput(lambda tg: tg.nn.functional.multi_margin_loss(tg.ones(2, 3), tg.tensor([0, 1]), p=3), ValueError, "multi_margin_loss: p must be 1 or 2"),
        ErrorInput(lambda tg: tg.nn.functional.multi_margin_loss(tg.ones(2, 3, 4), tg.tensor([0, 1])), RuntimeError, r"multi_margin_loss: .*\(2, 3, 4\)"),
    ],
)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes j of max(0, margin - x[target] + x[j])^p, j not the target, times weight[target].

    Shapes (n, classes) and (n,), or (classes,) and ().

    Raises:
        ValueError: for a ``p`` other than 1 and 2, or an unknown reduction.
        IndexError: when a target is not a class.
        RuntimeError: when shapes or dtypes don't fit.
    """
    name = "multi_margin_loss"
    if p not in (1, 2):
        raise ValueError(f"{name}: p must be 1 or 2, got {p}")
    x = _rows(input, name)
    n, classes = (int(s) for s in x._array.shape)
    check_class_weight(weight, input, classes, name)
    t = target if target.ndim else target.unsqueeze(0)
    indices, _ = class_indices(input, t, (n,), classes, name)
    over = relu(x - gather(x, 1, wrap(indices[:, None])) + margin)
    given = None if weight is None else index_array(weight, f"{name}()", input)
    factors = backend(indices).margin_factors(given, indices, classes, x._array.dtype)
    loss = ((over if p == 1 else over * over) * wrap(factors)).sum(1)
    return reduce_loss(loss if target.ndim else loss.squeeze(0), size_average, reduce, reduction, name)


def _multilabel_reference(x: Any, t: Any, reduction: str = "mean") -> Any:
    losses = []
    for row, labels in zip(np.atleast_2d(x), np.atleast_2d(t), strict=True):
        chosen = []
        for y in labels:
            if y < 0:
                break
            chosen.append(y)
        losses.append(sum(max(0.0, 1 - (row[y] - row[j])) for y in chosen for j in range(len(row)) if j not in chosen) / len(row))
    return REDUCE[reduction](np.array(losses).reshape(t.shape[:-1]))


@composite(
    method=False,
    samples=[
        *in_every_reduction((Input((4, 3), -1.5, 1.6, apart=True), Input((4, 3), -1, 3, "int"))),
        Sample((Input((3,), -1.5, 1.6, apart=True), Input((3,), -1, 3, "int"))),
    ],
    reference=_multilabel_reference,
    smooth=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.multilabel_margin_loss(tg.ones(2, 3), tg.tensor([[0, 1, 2]])), RuntimeError, "multilabel_margin_loss: .*shape"),
        ErrorInput(lambda tg: tg.nn.functional.multilabel_margin_loss(tg.ones(2), tg.tensor([0, 2])), IndexError, "multilabel_margin_loss: target 2"),
    ],
)
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """The sum of max(0, 1 - (x[y] - x[j])) over labels y and classes j that are none, divided by the number of classes.

    ``target`` has the input's shape, (n, classes) or (classes,), and lists labels up to the first -1.

    Raises:
        ValueError: for an unknown reduction.
        IndexError: when a label is not a class.
        RuntimeError: when shapes don't fit.
    """
    name = "multilabel_margin_loss"
    x = _rows(input, name)
    n, classes = (int(s) for s in x._array.shape)
    if target._array.shape != input._array.shape:
        raise RuntimeError(f"{name}: the target needs the input's shape {tuple(input.shape)}, got {tuple(target.shape)}")
    if target.dtype.category != 1:
        raise RuntimeError(f"{name}: class targets need an integer dtype, got {target.dtype}; use .long()")
    t = index_array(target, f"{name}()", input).reshape(n, classes)
    indices, pairs = backend(t).label_pairs(t, x._array.dtype, name)
    over = relu(x.unsqueeze(1) - gather(x, 1, wrap(indices)).unsqueeze(2) + 1.0)
    loss = (over * wrap(pairs)).sum((1, 2))
    return reduce_loss(loss if input.ndim == 2 else loss.squeeze(0), size_average, reduce, reduction, name)
