"""Normalization within a sample: over its last dimensions, groups of channels, or neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...tensor import Tensor
from .. import functional as F, init
from ..parameter import Parameter
from .layer import Layer
from .utils import declare_parameters

__all__ = [
    "GroupNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class LayerNorm(Layer):
    """``(x - mean) / sqrt(var + eps)`` over the last dimensions, times ``weight``, plus ``bias``.

    Ba et al., https://arxiv.org/abs/1607.06450.

    Args:
        normalized_shape: the sizes of these dimensions.
        eps: added to the variance.
        elementwise_affine: whether there are ``weight`` and ``bias``.
        bias: False to have ``weight`` only.

    Attributes:
        weight, bias: of shape ``normalized_shape``, 1 and 0 at first.
    """

    _shown = "{normalized_shape}, eps={eps}, elementwise_affine={elementwise_affine}, bias={bias}"
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        declare_parameters(self, self.normalized_shape, device, dtype, weight=elementwise_affine, bias=elementwise_affine and bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale by 1 and shift by 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(Layer):
    """``x / sqrt(mean(x^2) + eps)`` over the last dimensions, times ``weight`` (https://arxiv.org/abs/1910.07467).

    Args:
        normalized_shape: the sizes of these dimensions.
        eps: None for the smallest step of the input's dtype at 1.
        elementwise_affine: whether there is a ``weight``.

    Attributes:
        weight: of shape ``normalized_shape``, 1 at first.
    """

    _shown = "{normalized_shape}, eps={eps}, elementwise_affine={elementwise_affine}"
    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        declare_parameters(self, self.normalized_shape, device, dtype, weight=elementwise_affine)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale by 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(Layer):
    """``(x - mean) / sqrt(var + eps)`` over groups of channels of (n, c, ...), times ``weight``, plus ``bias``, per channel.

    Wu and He, https://arxiv.org/abs/1803.08494.

    Attributes:
        weight, bias: shape (num_channels,), 1 and 0 at first; None unless ``affine`` (and ``bias``).

    Raises:
        ValueError: when the number of channels is no multiple of the number of groups.
    """

    _shown = "{num_groups}, {num_channels}, eps={eps}, affine={affine}, bias={bias}"
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_channels must be divisible by num_groups, got {num_channels} and {num_groups}")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        declare_parameters(self, (num_channels,), device, dtype, weight=affine, bias=affine and bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale by 1 and shift by 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class LocalResponseNorm(Layer):
    """``x / (k + alpha mean(x^2))^beta``, the mean over ``size`` neighbouring channels of (n, c, ...), zeros beyond the ends.

    Krizhevsky et al., 2012, section 3.3, https://doi.org/10.1145/3065386.
    """

    _shown = "{size}, alpha={alpha}, beta={beta}, k={k}"

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)
