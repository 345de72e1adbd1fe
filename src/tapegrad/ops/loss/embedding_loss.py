"""Losses of where things are placed: near what is similar, apart from what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...public import composite
from ...samples import ErrorInput, Input, Sample, in_every_reduction, reduced_reference
from ...tensor import Tensor
from ..elementwise.basic import eq, minimum, ne, where
from ..nn.similarity import pairwise_distance
from .reduction import need_reduction, reduce_loss, reduced, reduction_of

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

_LABELS = Input((3, 4), 0, 2, "int")
_SMALL = {"margin": 0.52}


def _over(x: Tensor) -> Tensor:
    """max(0, x), with gradient 1 at 0, as in PyTorch."""
    return x.clamp_min(0.0)


@composite(
    method=False,
    samples=in_every_reduction((Input((3, 4), -0.9, 0.9, apart=True), _LABELS), {"margin": 1.5}),
    reference=reduced_reference(
        lambda x, t, margin=1.0: np.where(t != 1, np.maximum(margin - x, 0), 0) + np.where(t != -1, x, 0)
    ),
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.hinge_embedding_loss(tg.ones(2), tg.ones(3)), RuntimeError, r"hinge_embedding_loss: .*\(2,\).*\(3,\)")
    ],
)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The input (a distance) where the target is 1; max(0, margin - input) where it is -1. Another target counts as both.

    Raises:
        ValueError: for an unknown reduction.
        RuntimeError: when shapes can't be broadcast.
    """
    broadcast_shape("hinge_embedding_loss", [input._array.shape, target._array.shape])
    loss = where(ne(target, 1), _over(margin - input), 0.0) + where(ne(target, -1), input, 0.0)
    return reduce_loss(loss, size_average, reduce, reduction, "hinge_embedding_loss")


@composite(
    method=False,
    samples=in_every_reduction((Input((3, 4), apart=True), Input((3, 4), 3.0, 3.5), Input((1, 4), 0.5, 1.0)), _SMALL),
    reference=reduced_reference(lambda a, b, t, margin=0.0: np.maximum(-t * (a - b) + margin, 0)),
    error_inputs=[
        ErrorInput(
            lambda tg: tg.nn.functional.margin_ranking_loss(tg.ones(2), tg.ones(2), tg.ones(2, 2)), RuntimeError, r"margin_ranking_loss: .*target \(2, 2\)"
        )
    ],
)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - target * (input1 - input2)): the first is to rank higher where the target is 1, the second where it is -1.

    Raises:
        ValueError: for an unknown reduction.
        RuntimeError: when the numbers of dimensions differ.
    """
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            f"margin_ranking_loss: expected equal numbers of dimensions, got input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)} and "
            f"target {tuple(target.shape)}"
        )
    loss = _over(-target * (input1 - input2) + margin)
    return reduce_loss(loss, size_average, reduce, reduction, "margin_ranking_loss")


def _cosine_loss_reference(a: Any, b: Any, t: Any, margin: float = 0.0) -> Any:
    cos = (a * b).sum(-1) / np.sqrt(((a * a).sum(-1) + 1e-12) * ((b * b).sum(-1) + 1e-12))
    return np.where(t == 1, 1 - cos, np.where(t == -1, np.maximum(cos - margin, 0), 0))


@composite(
    method=False,
    samples=[
        *in_every_reduction((Input((4, 3), 0.2, 2.0), Input((4, 3), 0.2, 2.0), Input((4,), -1, 2, "int")), {"margin": 0.25}),
        Sample((Input((3,)), Input((3,)), Input((), 1, 2, "int"))),
    ],
    reference=reduced_reference(_cosine_loss_reference),
    error_inputs=[
        ErrorInput(
            lambda tg: tg.nn.functional.cosine_embedding_loss(tg.ones(2, 3), tg.ones(2, 3), tg.ones(3)),
            RuntimeError,
            r"cosine_embedding_loss: .*target \(3,\)",
        )
    ],
)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1, else 0.

    Inputs (n, d) and a target (n,), or (d,) and ().

    Raises:
        ValueError: for an unknown reduction.
        RuntimeError: when shapes don't fit.
    """
    if input1.ndim not in (1, 2) or input1._array.shape != input2._array.shape or target._array.shape not in ((), input1._array.shape[:-1]):
        raise RuntimeError(
            f"cosine_embedding_loss: expected shapes (n, d), (n, d) and (n,), or (d,), (d,) and (), got input1 {tuple(input1.shape)}, "
            f"input2 {tuple(input2.shape)} and target {tuple(target.shape)}"
        )
    eps = 1e-12  # PyTorch's
    lengths = ((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)
    cos = (input1 * input2).sum(-1) / lengths.sqrt()
    loss = where(eq(target, 1), 1.0 - cos, 0.0) + where(eq(target, -1), _over(cos - margin), 0.0)
    return reduce_loss(loss, size_average, reduce, reduction, "cosine_embedding_loss")


# --------------------------------------------------------------------------------------------------------------- triplets


def _triplet_reference(a: Any, b: Any, c: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False) -> Any:
    def distance(x: Any, y: Any) -> Any:
        return (np.abs(x - y + eps) ** p).sum(-1) ** (1 / p)

    other = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
    return np.maximum(margin + distance(a, b) - other, 0)


_TRIPLET = (Input((3, 4)), Input((3, 4), 2.5, 3.0), Input((3, 4), -3.0, -2.5))


@composite(
    method=False,
    samples=in_every_reduction(_TRIPLET, {"margin": 6.0, "p": 3.0}, {"margin": 9.0, "swap": True, "eps": 1e-3}),
    reference=reduced_reference(_triplet_reference),
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.triplet_margin_loss(tg.ones(2), tg.ones(2), tg.ones(2), 0.0), ValueError, "triplet_margin_loss: margin"),
        ErrorInput(
            lambda tg: tg.nn.functional.triplet_margin_loss(tg.ones(2), tg.ones(2), tg.ones(1, 2)), RuntimeError, r"triplet_margin_loss: .*negative \(1, 2\)"
        ),
    ],
)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), with :func:`pairwise_distance` as d.

    ``swap``: with the smaller of d(anchor, negative) and d(positive, negative) (Balntas et al., 2016,
    https://doi.org/10.5244/C.30.119).

    Raises:
        ValueError: for an unknown reduction, or a margin that is not positive.
        RuntimeError: when shapes don't fit.
    """
    reduction = reduction_of(size_average, reduce, reduction, "triplet_margin_loss")
    return _triplet(anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, reduction, "triplet_margin_loss")


@composite(
    method=False,
    samples=in_every_reduction(_TRIPLET, {"margin": 6.0}, {"margin": 9.0, "swap": True}),
    reference=reduced_reference(_triplet_reference),
    error_inputs=[
        ErrorInput(
            lambda tg: tg.nn.functional.triplet_margin_with_distance_loss(tg.ones(2), tg.ones(2), tg.ones(2), margin=-1.0),
            ValueError,
            "triplet_margin_with_distance_loss: margin",
        ),
    ],
)
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of your own; :func:`pairwise_distance` by default.

    Raises:
        ValueError, RuntimeError: as :func:`triplet_margin_loss`.
    """
    d = pairwise_distance if distance_function is None else distance_function
    return _triplet(anchor, positive, negative, d, margin, swap, reduction, "triplet_margin_with_distance_loss")


def _triplet(
    anchor: Tensor, positive: Tensor, negative: Tensor, distance: Callable[..., Tensor], margin: float, swap: bool, reduction: str, name: str
) -> Tensor:
    need_reduction(name, reduction)
    if not margin > 0:
        raise ValueError(f"{name}: margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            f"{name}: expected equal numbers of dimensions, got anchor {tuple(anchor.shape)}, positive {tuple(positive.shape)} and negative "
            f"{tuple(negative.shape)}"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(_over(margin + near - far), reduction, name)
