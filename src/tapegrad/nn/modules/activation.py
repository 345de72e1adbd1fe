"""Activations: functions of each element, and of the elements along one dimension. Shapes stay, except in GLU.

Those with ``inplace`` may write the result into the input.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from ...ops.create import empty
from ...ops.shape.reshape import integer
from ...tensor import Tensor
from .. import functional as F, init as initial
from ..parameter import Parameter
from .layer import InPlace, Layer
from .module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

# ----------------------------------------------------------------------------------------------------- piecewise linear


class ReLU(InPlace):
    """``max(x, 0)``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


class LeakyReLU(InPlace):
    """``x`` where positive, else ``negative_slope x``."""

    _shown = "negative_slope={negative_slope}"

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)


class RReLU(InPlace):
    """``x`` where positive, else ``a x``; in training ``a`` is drawn for each element from [lower, upper), else their mean.

    Xu et al., https://arxiv.org/abs/1505.00853.
    """

    _shown = "lower={lower}, upper={upper}"

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class PReLU(Layer):
    """``x`` where positive, else ``weight x`` with a learned slope (He et al., https://arxiv.org/abs/1502.01852).

    Attributes:
        weight: the slopes, shape (num_parameters,): one, or one for each channel (dimension 1); starts at ``init``.
    """

    _shown = "num_parameters={num_parameters}"

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to their starting value."""
        initial.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)


class Hardtanh(InPlace):
    """``x`` limited to [min_val, max_val]; ``min_value`` and ``max_value`` are deprecated names of the same.

    Raises:
        ValueError: when max_val is not above min_val.
    """

    _shown = "min_val={min_val}, max_val={max_val}"

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__(inplace)
        if min_value is not None or max_value is not None:
            warnings.warn("Hardtanh: min_value and max_value are deprecated, use min_val and max_val", FutureWarning, stacklevel=2)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        if not self.max_val > self.min_val:
            raise ValueError(f"{type(self).__name__}: max_val must be above min_val, got {self.max_val} and {self.min_val}")

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class ReLU6(Hardtanh):
    """``min(max(x, 0), 6)``."""

    _shown = ""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)


class Threshold(InPlace):
    """``x`` above the threshold, else ``value``."""

    _shown = "threshold={threshold}, value={value}"

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)


class Hardshrink(Layer):
    """0 within [-lambd, lambd], else ``x``."""

    _shown = "{lambd}"

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


class Softshrink(Layer):
    """0 within [-lambd, lambd], else ``x`` moved towards 0 by ``lambd``."""

    _shown = "{lambd}"

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


class Hardsigmoid(InPlace):
    """``x / 6 + 1 / 2`` limited to [0, 1]."""

    _shown_unless: ClassVar[dict[str, Any]] = {}  # PyTorch does not show ``inplace`` here

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)


class Hardswish(InPlace):
    """``x hardsigmoid(x)`` (Howard et al., https://arxiv.org/abs/1905.02244)."""

    _shown_unless: ClassVar[dict[str, Any]] = {}  # as Hardsigmoid

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)


# --------------------------------------------------------------------------------------------------------------- smooth


class ELU(InPlace):
    """``x`` where positive, else ``alpha (exp(x) - 1)`` (Clevert et al., https://arxiv.org/abs/1511.07289)."""

    _shown = "alpha={alpha}"

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)


class CELU(InPlace):
    """``x`` where positive, else ``alpha (exp(x / alpha) - 1)`` (Barron, https://arxiv.org/abs/1704.07483)."""

    _shown = "alpha={alpha}"

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)


class SELU(InPlace):
    """ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al., https://arxiv.org/abs/1706.02515)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


class GELU(Layer):
    """``x Phi(x)`` with the normal distribution's Phi, exact or with ``approximate="tanh"`` (https://arxiv.org/abs/1606.08415)."""

    _shown = "approximate={approximate!r}"

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)


class SiLU(InPlace):
    """``x sigmoid(x)``, also called swish (https://arxiv.org/abs/1702.03118)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


class Mish(InPlace):
    """``x tanh(softplus(x))`` (Misra, https://arxiv.org/abs/1908.08681)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


class Softplus(Layer):
    """``log(1 + exp(beta x)) / beta``; ``x`` itself where ``beta x`` is above the threshold."""

    _shown = "beta={beta}, threshold={threshold}"

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class LogSigmoid(Module):
    """``log(sigmoid(x))``, stable far from 0."""

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class Tanhshrink(Module):
    """``x - tanh(x)``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class Softsign(Module):
    """``x / (1 + |x|)``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


# ------------------------------------------------------------------------------------------------- along one dimension


class GLU(Layer):
    """``a sigmoid(b)`` of the halves of the input along ``dim`` (Dauphin et al., https://arxiv.org/abs/1612.08083)."""

    _shown = "dim={dim}"

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)


class _AlongDim(Layer):
    _shown = "dim={dim}"

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        if dim is not None:
            integer(dim, type(self).__name__)
        self.dim = dim


class Softmax(_AlongDim):
    """``exp(x)`` normalised to sum 1 along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class Softmin(_AlongDim):
    """``exp(-x)`` normalised to sum 1 along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)


class LogSoftmax(_AlongDim):
    """The logarithm of :class:`Softmax`, computed without it."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of (n, c, h, w) or (c, h, w).

    Raises:
        ValueError: for another number of dimensions.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D (got {input.ndim}D input)")
        return F.softmax(input, -3)
