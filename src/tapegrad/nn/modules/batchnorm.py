"""Batch normalization of (n, channels, ...), and what it shares with instance normalization."""

from __future__ import annotations

from typing import Any, ClassVar

from ... import dtypes
from ...ops.create import ones, tensor, zeros
from ...tensor import Tensor
from .. import functional as F, init
from ..parameter import Parameter
from .layer import Layer
from .utils import declare_parameters

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


class _NormBase(Layer):
    """A learned scale and shift per channel, and running statistics.

    Attributes:
        weight, bias: shape (num_features,), 1 and 0 at first; None unless ``affine`` (and ``bias``).
        running_mean, running_var: buffers of shape (num_features,), 0 and 1 at first; None unless ``track_running_stats``.
        num_batches_tracked: a buffer, the number of training batches (int64); None unless ``track_running_stats``.
    """

    _version = 2  # 1 had no num_batches_tracked
    _ranks: ClassVar[tuple[int, ...]] = ()  # numbers of dimensions of the input
    _shown = "{num_features}, eps={eps}, momentum={momentum}, affine={affine}, bias={bias}, track_running_stats={track_running_stats}"
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        declare_parameters(self, (num_features,), device, dtype, weight=affine, bias=affine and bias)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=dtypes.int64, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen so far."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Forget the batches seen so far; scale by 1 and shift by 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if self._ranks and input.ndim not in self._ranks:
            wanted = " or ".join(f"{n}D" for n in self._ranks)
            raise ValueError(f"{type(self).__name__}: expected {wanted} input (got {input.ndim}D input)")

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any) -> None:
        key = f"{prefix}num_batches_tracked"
        if self.num_batches_tracked is not None and local_metadata.get("version", 1) < 2 and key not in state_dict:
            state_dict[key] = self.num_batches_tracked.clone()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        if self.training and self.track_running_stats and count is not None:
            count.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(count)  # a cumulative average
        if (mean is None) != (var is None):
            raise ValueError(f"{type(self).__name__}: running_mean and running_var must both be None or neither")
        by_batch = self.training or mean is None
        if self.training and not self.track_running_stats:
            mean = var = None
        return F.batch_norm(input, mean, var, self.weight, self.bias, by_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """``(x - mean) / sqrt(var + eps)`` per channel of (n, c) or (n, c, l), times ``weight``, plus ``bias``.

    Ioffe and Szegedy, https://arxiv.org/abs/1502.03167. In training, mean and variance are the batch's, and the running ones move
    towards them; in evaluation they are the running ones, or the batch's where there are none.

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        momentum: how far running statistics move; None for their average over all batches.
        affine: whether there are ``weight`` and ``bias``.
        track_running_stats: whether there are running statistics.
        bias: False to have ``weight`` only.

    Attributes:
        weight, bias: shape (num_features,), 1 and 0 at first.
        running_mean, running_var: buffers of shape (num_features,), 0 and 1 at first.
        num_batches_tracked: a buffer, the number of batches seen in training.

    Raises:
        ValueError: for an input of another number of dimensions; in training, for one value per channel.
    """

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """:class:`BatchNorm1d` of (n, c, h, w)."""

    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """:class:`BatchNorm1d` of (n, c, d, h, w)."""

    _ranks = (5,)
