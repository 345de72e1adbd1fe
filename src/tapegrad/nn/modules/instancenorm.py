"""Instance normalization of (n, channels, *space) or (channels, *space)."""

from __future__ import annotations

import warnings
from typing import Any

from ...tensor import Tensor
from .. import functional as F
from .batchnorm import _NormBase

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        single = input.ndim == self._ranks[0]  # without a batch
        dim = 0 if single else 1
        if input.shape[dim] != self.num_features:
            text = f"expected input's size at dim={dim} to match num_features ({self.num_features}), but got: {input.shape[dim]}."
            if self.affine:
                raise ValueError(f"{type(self).__name__}: {text}")
            warnings.warn(f"{type(self).__name__}: {text} Since affine is False, num_features is not used", stacklevel=3)
        output = F.instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return output.squeeze(0) if single else output


class InstanceNorm1d(_InstanceNorm):
    """``(x - mean) / sqrt(var + eps)`` over the space of each channel of each sample, (n, c, l) or (c, l).

    Ulyanov et al., https://arxiv.org/abs/1607.08022. Arguments and attributes are those of :class:`BatchNorm1d`, but by default there is
    neither a learned scale nor running statistics, which, where there are some, evaluation uses.

    Raises:
        ValueError: for an input of another number of dimensions or, if ``affine``, of channels.
    """

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """:class:`InstanceNorm1d` of (n, c, h, w) or (c, h, w)."""

    _ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """:class:`InstanceNorm1d` of (n, c, d, h, w) or (c, d, h, w)."""

    _ranks = (4, 5)
