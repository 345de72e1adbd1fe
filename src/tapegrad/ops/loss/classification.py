"""Losses of classes and labels: negative log-likelihood and binary cross entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...device import backend
from ...primitives import E
from ...public import composite, public
from ...samples import REDUCE, EdgePoint, ErrorInput, Input, Sample, in_every_reduction, reduced_reference, wrong_reduction
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor, wrap
from ..checks import index_array, need_floating, need_values
from ..elementwise.basic import where
from ..index.gather import gather
from ..nn.smooth_activation import logsigmoid, softplus_of
from ..shape.copy import to_dtype
from .class_targets import check_class_weight, class_indices
from .reduction import need_equal_shapes, reduce_loss, reduced, reduction_of

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "soft_margin_loss",
]

# ------------------------------------------------------------------------------------------------- negative log-likelihood


def _nll_reference(x: Any, t: Any, w: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    w = np.ones(x.shape[1 if x.ndim > 1 else 0]) if w is None else w
    weights = w[t] * (t != ignore_index)
    loss = -np.take_along_axis(x, np.expand_dims(t, 1 if x.ndim > 1 else 0), 1 if x.ndim > 1 else 0).reshape(t.shape) * weights
    return loss.sum() / weights.sum() if reduction == "mean" else REDUCE[reduction](loss)


_ROWS = (Input((4, 3)), Input((4,), 0, 3, "int"), Input((3,), 0.5, 1.5, constant=True))


@composite(
    method=False,
    samples=[
        *[Sample(_ROWS, {"reduction": r, "ignore_index": i}) for r, i in (("mean", -100), ("sum", 1), ("none", 1), ("mean", 1))],
        Sample(_ROWS[:2]),
        Sample((Input((2, 3, 4)), Input((2, 4), 0, 3, "int")), {"reduction": "none"}),
        Sample((Input((2, 3, 2, 2)), Input((2, 2, 2), 0, 3, "int"))),
        Sample((Input((3,)), Input((), 0, 3, "int"))),
    ],
    reference=_nll_reference,
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.nll_loss(tg.ones(2, 3), tg.tensor([0, 3])), IndexError, "nll_loss: target 3 is out of range for 3"),
        ErrorInput(lambda tg: tg.nn.functional.nll_loss(tg.ones(2, 3), tg.tensor([0])), RuntimeError, r"nll_loss: the target needs shape \(2,\)"),
        ErrorInput(lambda tg: tg.nn.functional.nll_loss(tg.ones(2, 3), tg.ones(2)), RuntimeError, "nll_loss: class targets need an integer"),
        ErrorInput(
            lambda tg: tg.nn.functional.nll_loss(tg.ones(2, 3), tg.tensor([0, 1]), tg.ones(2)), RuntimeError, r"nll_loss: weight needs .*\(3,\)"
        ),
    ],
)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[target] * input[target]: the negative log-likelihood, from log-probabilities.

    Args:
        input: log-probabilities, shape (n, c), (c,), or (n, c, d1, ...).
        target: class indices, shape (n,), (), or (n, d1, ...).
        weight: a factor per class, shape (c,).
        size_average: deprecated.
        ignore_index: targets of this value count for nothing.
        reduce: deprecated.
        reduction: "mean" (weighted by ``weight``), "sum" or "none".

    Raises:
        IndexError: when a target is not a class.
        RuntimeError: when shapes or dtypes don't fit.
        ValueError: for an unknown reduction.
    """
    reduction = reduction_of(size_average, reduce, reduction, "nll_loss")
    if input.ndim == 0:
        raise RuntimeError("nll_loss: the input needs at least 1 dimension, its classes; got a 0-d tensor")
    need_floating("nll_loss", input=input)
    dim = min(input.ndim - 1, 1)
    sizes = tuple(input._array.shape)
    classes = sizes[dim]
    check_class_weight(weight, input, classes, "nll_loss")
    indices, kept = class_indices(input, target, sizes[:dim] + sizes[dim + 1 :], classes, "nll_loss", ignore_index)
    given = None if weight is None else index_array(weight, "nll_loss()", input)
    B = backend(indices)
    factors = B.class_factors(given, indices, kept, classes, input._array.dtype)
    picked = gather(input, dim, wrap(np.expand_dims(indices, dim))).squeeze(dim)
    # what is ignored may be infinite
    loss = where(wrap(kept), picked, 0.0) * -wrap(factors)
    if reduction != "mean":
        return reduced(loss, reduction, "nll_loss")
    divisor = B.mean_divisor(factors)
    if isinstance(divisor, float):
        return loss.sum() / divisor
    return to_dtype(loss.sum() / wrap(divisor), loss.dtype)


# ------------------------------------------------------------------------------------------------------------- yes or no


def _bounded(p: Any) -> Any:
    """log(p), at least -100 (as PyTorch), so that a certain error costs much, but not everything."""
    return E.where(E.log(p) < -100.0, -100.0, E.log(p))


def _bounded1m(p: Any) -> Any:
    return E.where(E.log1p(-p) < -100.0, -100.0, E.log1p(-p))


elementwise(
    "binary_cross_entropy",
    lambda input, target: (target - 1.0) * _bounded1m(input) - target * _bounded(input),
    {
        "input": lambda g, input, target: g * ((input - target) / E.maximum((1.0 - input) * input, 1e-12)),
        "target": lambda g, input: g * (_bounded1m(input) - _bounded(input)),
    },
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4), 0.1, 0.45), Input((3, 4), 0.5, 1.0)))],
    reference=lambda p, t: -t * np.log(p) - (1 - t) * np.log(1 - p),
    edge_points=[EdgePoint((1.0, 1.0), (0.0, -100.0)), EdgePoint((0.0, 0.0), (0.0, 100.0))],
    kinds="f",
)
_PROBABILITIES = (Input((3, 4), 0.1, 0.45), Input((3, 4), 0.5, 1.0))
_WEIGHTED = (*_PROBABILITIES, Input((4,), 0.5, 1.5, constant=True))


@public(
    "binary_cross_entropy",
    samples=[*in_every_reduction(_PROBABILITIES), Sample(_WEIGHTED), Sample(_WEIGHTED, {"reduction": "none"})],
    reference=reduced_reference(lambda p, t, w=1.0: w * (-t * np.log(p) - (1 - t) * np.log(1 - p))),
    error_inputs=[
        wrong_reduction("binary_cross_entropy"),
        ErrorInput(
            lambda tg: tg.nn.functional.binary_cross_entropy(tg.ones(2), tg.ones(3)), ValueError, r"binary_cross_entropy: .*\(2,\), target \(3,\)"
        ),
        ErrorInput(
            lambda tg: tg.nn.functional.binary_cross_entropy(tg.full((2,), 1.5), tg.ones(2)), RuntimeError, "binary_cross_entropy: .*between 0 and 1"
        ),
    ],
)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(target * log(input) + (1 - target) * log(1 - input)), times ``weight``, for probabilities ``input``; logarithms are at least -100.

    Raises:
        ValueError: for an unknown reduction, or shapes that differ.
        RuntimeError: for inputs outside [0, 1].
    """
    need_equal_shapes("binary_cross_entropy", input=input, target=target)
    need_values(input, _check_probabilities, 0, 1, _NO_PROBABILITIES, nan=True)
    loss = elementwise_op("binary_cross_entropy").call(input, target)
    return reduce_loss(loss, size_average, reduce, reduction, "binary_cross_entropy", weight)


_NO_PROBABILITIES = "binary_cross_entropy: the input needs probabilities, between 0 and 1; use binary_cross_entropy_with_logits for others"


def _check_probabilities(x: Any) -> None:
    if x.size and not bool(((x >= 0) & (x <= 1)).all()):
        if not bool(np.isnan(x).any()) or bool(((x < 0) | (x > 1)).any()):
            raise RuntimeError(_NO_PROBABILITIES)


elementwise(
    "binary_cross_entropy_with_logits",
    # A term of weight 0 is left out, so that certainty (an infinite logit) costs nothing where it is right.
    lambda input, target, pos_weight: E.where(target == 0.0, 0.0, pos_weight * target * softplus_of(-input))
    + E.where(target == 1.0, 0.0, (1.0 - target) * softplus_of(input)),
    {
        "input": lambda g, input, target, pos_weight: g * ((1.0 - target) * E.sigmoid(input) - pos_weight * target * E.sigmoid(-input)),
        "target": lambda g, input, pos_weight: g * (pos_weight * softplus_of(-input) - softplus_of(input)),
        "pos_weight": lambda g, input, target: E.where(target == 0.0, 0.0, g * (target * softplus_of(-input))),
    },
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4)), Input((3, 4), 0.1, 0.9), Input((4,), 0.5, 1.5))), Sample((Input((3, 4)), Input((3, 4), 0.1, 0.9)), {"pos_weight": 1.0})],
    reference=lambda x, t, pos_weight: pos_weight * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x),
    edge_points=[
        EdgePoint((0.0, 0.25), (0.25, 0.0), {"pos_weight": 1.0}),
        EdgePoint((1e4, 1.0), (0.0, -1e4), {"pos_weight": 1.0}),
        EdgePoint((math.inf, 1.0), (0.0, -math.inf), {"pos_weight": 1.0}),
        EdgePoint((-math.inf, 1.0), (-1.0, math.inf), {"pos_weight": 1.0}),
    ],
    kinds="f",
)
_LOGITS = (Input((3, 4)), Input((3, 4), 0.1, 0.9))


@public(
    "binary_cross_entropy_with_logits",
    samples=[
        *in_every_reduction(_LOGITS),
        Sample((*_LOGITS, Input((3, 4), 0.5, 1.5, constant=True), Input((4,), 0.5, 1.5, constant=True)), {}, ("input", "target", "weight", "pos_weight")),
    ],
    reference=lambda input, target, weight=1.0, pos_weight=1.0, reduction="mean": REDUCE[reduction](
        weight * (pos_weight * target * np.logaddexp(0, -input) + (1 - target) * np.logaddexp(0, input))
    ),
    error_inputs=[
        wrong_reduction("binary_cross_entropy_with_logits"),
        ErrorInput(
            lambda tg: tg.nn.functional.binary_cross_entropy_with_logits(tg.ones(2), tg.ones(1)),
            ValueError,
            r"binary_cross_entropy_with_logits: .*\(2,\), target \(1,\)",
        ),
        ErrorInput(
            lambda tg: tg.nn.functional.binary_cross_entropy_with_logits(tg.ones(2), tg.ones(2), pos_weight=tg.ones(3)),
            RuntimeError,
            r"binary_cross_entropy_with_logits: .*\(3,\)",
        ),
    ],
)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """:func:`binary_cross_entropy` of sigmoid(input), stable for any logits; ``pos_weight`` multiplies the terms of target 1.

    ``weight`` and ``pos_weight`` broadcast to the input's shape.

    Raises:
        ValueError: for an unknown reduction, or shapes that differ.
        RuntimeError: when a weight's shape can't be broadcast.
    """
    name = "binary_cross_entropy_with_logits"
    need_equal_shapes(name, input=input, target=target)
    for w in (weight, pos_weight):
        if w is not None:
            broadcast_shape(name, [input._array.shape, w._array.shape])
    loss = elementwise_op(name).call(input, target, 1.0 if pos_weight is None else pos_weight)
    return reduce_loss(loss, size_average, reduce, reduction, name, weight)


@composite(
    method=False,
    samples=in_every_reduction((Input((3, 4)), Input((3, 4), 0.5, 1.0, constant=True))),
    reference=reduced_reference(lambda x, t: np.log1p(np.exp(-t * x))),
    error_inputs=[wrong_reduction("soft_margin_loss")],
)
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """log(1 + exp(-target * input)) for targets 1 and -1, without overflow.

    Raises:
        ValueError: for an unknown reduction.
    """
    return reduce_loss(-logsigmoid(input * target), size_average, reduce, reduction, "soft_margin_loss")


@composite(
    method=False,
    samples=[
        *in_every_reduction((Input((3, 4)), Input((3, 4), 0.1, 0.9))),
        Sample((Input((3, 4)), Input((3, 4), 0.1, 0.9), Input((4,), 0.5, 1.5))),
        Sample((Input((4,)), Input((4,), 0.1, 0.9))),
    ],
    reference=reduced_reference(lambda x, t, w=1.0: (w * (t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x))).mean(-1)),
    error_inputs=[
        wrong_reduction("multilabel_soft_margin_loss"),
        ErrorInput(lambda tg: tg.nn.functional.multilabel_soft_margin_loss(tg.ones(2, 3), tg.ones(3)), ValueError, "multilabel_soft_margin_loss: .*equal"),
    ],
)
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """:func:`binary_cross_entropy_with_logits`, times ``weight``, averaged over the last dimension (the labels).

    Raises:
        ValueError: for an unknown reduction, or shapes that differ.
    """
    need_equal_shapes("multilabel_soft_margin_loss", input=input, target=target)
    loss = elementwise_op("binary_cross_entropy_with_logits").call(input, target, 1.0)
    loss = (loss if weight is None else loss * weight).mean(-1)
    return reduce_loss(loss, size_average, reduce, reduction, "multilabel_soft_margin_loss")
