"""Dropout: in training, sets elements or channels to 0 at random; in evaluation, passes the input on."""

from __future__ import annotations

from ...tensor import Tensor
from .. import functional as F
from .layer import Layer

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]


class _Dropout(Layer):
    _shown = "p={p}, inplace={inplace}"

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace


class Dropout(_Dropout):
    """In training, sets each element to 0 with probability ``p`` and scales the others by 1 / (1 - p).

    Hinton et al., https://arxiv.org/abs/1207.0580.

    Raises:
        ValueError: when p is not in [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """:class:`Dropout` of whole channels of (n, c, l) or (c, l)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """:class:`Dropout` of whole channels of (n, c, h, w) or (n, c, l)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """:class:`Dropout` of whole channels of (n, c, d, h, w) or (c, d, h, w)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Sets elements to SELU's limit at -inf, and keeps mean 0 and variance 1 (https://arxiv.org/abs/1706.02515).

    Raises:
        ValueError: when p is not in [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """:class:`AlphaDropout` of whole channels of (n, c, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
