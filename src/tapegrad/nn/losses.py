"""Losses as modules; the mathematics is in ``functional``."""

from __future__ import annotations

from ..ops.loss_reduction import reduction_of
from ..tensor import Tensor
from . import functional as F
from .module import Module


class CrossEntropyLoss(Module):
    """The negative log-likelihood of classes under softmax(input); see :func:`tapegrad.nn.functional.cross_entropy`.

    Attributes:
        weight: a factor per class, shape (c,), or None; a buffer.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.reduction = reduction_of(size_average, reduce, reduction, "CrossEntropyLoss")
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        output: Tensor = F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction, label_smoothing=self.label_smoothing
        )
        return output


class MSELoss(Module):
    """(input - target)^2, averaged, summed or per element (``reduction`` "mean", "sum" or "none")."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction_of(size_average, reduce, reduction, "MSELoss")

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        output: Tensor = F.mse_loss(input, target, reduction=self.reduction)
        return output
