"""Layers that multiply by a learned matrix, and the one that does nothing."""

from __future__ import annotations

import math
from typing import Any

from ...ops.create import empty
from ...tensor import Tensor
from .. import functional as F, init
from ..parameter import Parameter
from .layer import Layer
from .module import Module
from .utils import check_sizes, declare_parameters

__all__ = ["Bilinear", "Identity", "Linear"]


class Identity(Module):
    """The input itself; takes and ignores any arguments, to stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Layer):
    """``x @ weight.T + bias``: shape (..., in_features) -> (..., out_features).

    Attributes:
        weight: shape (out_features, in_features), uniform within 1 / sqrt(in_features).
        bias: shape (out_features,), likewise; None without ``bias``.

    Raises:
        TypeError: when a size is no integer.
        RuntimeError: when a size is negative.
    """

    _shown = "in_features={in_features}, out_features={out_features}, bias={bias}"

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        declare_parameters(self, (out_features,), device, dtype, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        # With a = sqrt(5), He's bound sqrt(6 / ((1 + a^2) in_features)) is 1 / sqrt(in_features).
        if self.in_features:
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)


class Bilinear(Layer):
    """``x1 @ weight[k] @ x2 + bias[k]`` for each k: (..., in1_features) and (..., in2_features) -> (..., out_features).

    Attributes:
        weight: shape (out_features, in1_features, in2_features), uniform within 1 / sqrt(in1_features).
        bias: shape (out_features,), likewise; None without ``bias``.

    Raises:
        TypeError: when a size is no integer.
        RuntimeError: when a size is negative.
        ValueError: when ``in1_features`` is 0.
    """

    _shown = "in1_features={in1_features}, in2_features={in2_features}, out_features={out_features}, bias={bias}"

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        check_sizes("Bilinear", in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        if in1_features == 0:
            raise ValueError("Bilinear: in1_features must be > 0")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features, device=device, dtype=dtype))
        declare_parameters(self, (out_features,), device, dtype, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)
