"""Layers: what they hold, how it starts, and the function of ``functional`` they call."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..ops.create import empty
from ..tensor import Tensor
from . import functional as F, init
from .module import Module
from .parameter import Parameter


def check_sizes(layer: str, **sizes: Any) -> None:
    """Raise when a layer's sizes are no sizes.

    Raises:
        TypeError: for one that is no integer.
        RuntimeError: for a negative one.
    """
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)):
            raise TypeError(f"{layer}: {name} must be an integer, got {size!r}")
        if size < 0:
            raise RuntimeError(f"{layer}: {name} must not be negative, got {size}")


# ---------------------------------------------------------------------------------------------------- with parameters


class Linear(Module):
    """``x @ weight.T + bias``: shape (..., in_features) -> (..., out_features).

    Attributes:
        weight: shape (out_features, in_features), uniform within 1 / sqrt(in_features).
        bias: shape (out_features,), likewise; None without ``bias``.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.linear(input, self.weight, self.bias)
        return output

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """Rows of a table: integers of any shape (...) -> (..., embedding_dim).

    Attributes:
        weight: shape (num_embeddings, embedding_dim), standard normal; row ``padding_idx`` is 0 and gets no gradient.

    Raises:
        ValueError: when ``padding_idx`` is not a row.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"padding_idx must be within num_embeddings: {padding_idx} is not among {num_embeddings} rows"
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.embedding(input, self.weight, self.padding_idx)
        return output

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


# -------------------------------------------------------------------------------------------------------- activations


class ReLU(Module):
    """max(x, 0); with ``inplace``, written into the input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = input.relu_() if self.inplace else F.relu(input)
        return output

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.tanh(input)
        return output


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.sigmoid(input)
        return output


class GELU(Module):
    """x * Phi(x), exact or with ``approximate="tanh"``."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.gelu(input, approximate=self.approximate)
        return output

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """exp(x) normalised to sum 1 along ``dim``."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.softmax(input, _softmax_dim(self, input))
        return output

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def _softmax_dim(layer: Softmax | LogSoftmax, input: Tensor) -> int:
    """The layer's dimension, or the one that PyTorch chooses where none was given."""
    if layer.dim is not None:
        return layer.dim
    dim = 0 if input.ndim in (0, 1, 3) else 1
    warnings.warn(f"{type(layer).__name__}: dim was not given, and dim={dim} is a guess; name it", UserWarning, stacklevel=4)
    return dim


class LogSoftmax(Module):
    """The logarithm of :class:`Softmax`, computed without it."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.log_softmax(input, _softmax_dim(self, input))
        return output

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


# ------------------------------------------------------------------------------------------------------------- others


class Dropout(Module):
    """In training, sets each element to 0 with probability ``p`` and scales the others by 1 / (1 - p).

    Raises:
        ValueError: when p is not in [0, 1].
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = F.dropout(input, self.p, self.training, self.inplace)
        return output

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Flatten(Module):
    """Dimensions ``start_dim`` to ``end_dim`` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = input.flatten(self.start_dim, self.end_dim)
        return output

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """The input itself; takes and ignores any arguments, to stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input
