"""``tapegrad.dropout`` and others whose arguments at the top level differ from those in ``nn.functional``, as PyTorch's do.

Losses take ``reduction`` as a number there: 0 is "none", 1 "mean", 2 "sum".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..public import named
from ..tensor import Tensor
from .loss import classification as classification_loss, ctc, embedding_loss, regression as regression_loss
from .nn import dropout as dropouts, embedding as embeddings, normalization
from .vision import max_pool

__all__ = [
    "adaptive_max_pool1d",
    "alpha_dropout",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "ctc_loss",
    "dropout",
    "embedding",
    "feature_alpha_dropout",
    "hinge_embedding_loss",
    "instance_norm",
    "kl_div",
    "margin_ranking_loss",
    "max_pool1d_with_indices",
    "poisson_nll_loss",
    "triplet_margin_loss",
]

_REDUCTIONS = ("none", "mean", "sum")
_MEAN = 1


def _reduction(number: int | str, name: str) -> str:
    """The name of a reduction given by number; names pass.

    Raises:
        ValueError: for another number.
    """
    if isinstance(number, str):
        return number
    if number not in (0, 1, 2):
        raise ValueError(f"{name}: reduction must be 0 (none), 1 (mean) or 2 (sum), got {number!r}")
    return _REDUCTIONS[number]


def _dropout(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(input: Tensor, p: float, train: bool) -> Tensor:
        return function(input, p, train)

    return named(call, function.__name__, f":func:`tapegrad.nn.functional.{function.__name__}`, with all its arguments given.")


dropout = _dropout(dropouts.dropout)
alpha_dropout = _dropout(dropouts.alpha_dropout)
feature_alpha_dropout = _dropout(dropouts.feature_alpha_dropout)


def embedding(weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """:func:`tapegrad.nn.functional.embedding` with the table first; a negative ``padding_idx`` is none."""
    return embeddings.embedding(indices, weight, padding_idx if padding_idx >= 0 else None, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """:func:`tapegrad.nn.functional.batch_norm`, with all its arguments given and the factors first."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """:func:`tapegrad.nn.functional.instance_norm`, with all its arguments given and the factors first."""
    return normalization.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """:func:`tapegrad.nn.functional.adaptive_max_pool1d` with ``return_indices=True``."""
    return max_pool.adaptive_max_pool1d(input, output_size, return_indices=True)  # type: ignore[no-any-return]


def max_pool1d_with_indices(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`tapegrad.nn.functional.max_pool1d` with ``return_indices=True``."""
    return max_pool.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)  # type: ignore[no-any-return]


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int | str = _MEAN
) -> Tensor:
    """:func:`tapegrad.nn.functional.binary_cross_entropy_with_logits`, the reduction by number."""
    how = _reduction(reduction, "binary_cross_entropy_with_logits")
    return classification_loss.binary_cross_entropy_with_logits(input, target, weight, reduction=how, pos_weight=pos_weight)


def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int | str = _MEAN) -> Tensor:
    """:func:`tapegrad.nn.functional.cosine_embedding_loss`, the reduction by number."""
    return embedding_loss.cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction, "cosine_embedding_loss"))


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: int | str = _MEAN,
    zero_infinity: bool = False,
) -> Tensor:
    """:func:`tapegrad.nn.functional.ctc_loss`, the reduction by number."""
    return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _reduction(reduction, "ctc_loss"), zero_infinity)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int | str = _MEAN) -> Tensor:
    """:func:`tapegrad.nn.functional.hinge_embedding_loss`, the reduction by number."""
    return embedding_loss.hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction, "hinge_embedding_loss"))


def kl_div(input: Tensor, target: Tensor, reduction: int | str = _MEAN, *, log_target: bool = False) -> Tensor:
    """:func:`tapegrad.nn.functional.kl_div`, the reduction by number."""
    return regression_loss.kl_div(input, target, reduction=_reduction(reduction, "kl_div"), log_target=log_target)


def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int | str = _MEAN) -> Tensor:
    """:func:`tapegrad.nn.functional.margin_ranking_loss`, the reduction by number."""
    return embedding_loss.margin_ranking_loss(input1, input2, target, margin, reduction=_reduction(reduction, "margin_ranking_loss"))


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int | str) -> Tensor:
    """:func:`tapegrad.nn.functional.poisson_nll_loss`, with all its arguments given and the reduction by number."""
    return regression_loss.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_reduction(reduction, "poisson_nll_loss"))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-06,
    swap: bool = False,
    reduction: int | str = _MEAN,
) -> Tensor:
    """:func:`tapegrad.nn.functional.triplet_margin_loss`, the reduction by number."""
    how = _reduction(reduction, "triplet_margin_loss")
    return embedding_loss.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=how)
