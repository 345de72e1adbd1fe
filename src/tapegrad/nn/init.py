"""Starting values, as ``torch.nn.init``. All functions work in place, unrecorded, and return the tensor."""

from __future__ import annotations

import math
import numbers
import warnings

import numpy as np

from .. import dtypes
from ..modes import no_grad
from ..ops.create import eye as identity, from_numpy
from ..ops.random.generator import Generator, rand, randn
from ..ops.ranges import arange
from ..ops.shape.join import cat
from ..tensor import Tensor
from .old_names import without_underscore


@no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers uniform in [a, b)."""
    tensor.uniform_(a, b, generator=generator)
    return tensor


@no_grad()
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers."""
    tensor.normal_(mean, std, generator=generator)
    return tensor


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    tensor.fill_(val)
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


@no_grad()
def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers given that they are in [a, b], by the inverse of the distribution function.

    Warns:
        UserWarning: when the mean is more than 2 ``std`` outside of [a, b], where the inverse loses its precision.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            f"trunc_normal_: mean {mean} is more than 2 std from [{a}, {b}]; the distribution of values may be incorrect", stacklevel=3
        )
    low, high = (math.erf((x - mean) / (std * math.sqrt(2.0))) for x in (a, b))
    tensor.uniform_(low, high, generator=generator)
    tensor.erfinv_().mul_(std * math.sqrt(2.0)).add_(mean).clamp_(a, b)
    return tensor


@no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix, else zeros: inputs are passed through, as far as possible.

    Raises:
        ValueError: unless there are 2 dimensions.
    """
    _need_dims("eye_", tensor, (2,))
    tensor.copy_(identity(*tensor.shape, dtype=tensor.dtype, device=tensor.device))
    return tensor


@no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Ones in the middle of the kernels from a channel to the same one, else zeros: channels are passed through, per group.

    Args:
        tensor: shape (out, in / groups, *kernel), with 1 to 3 kernel dimensions.
        groups: of the convolution.

    Raises:
        ValueError: for another number of dimensions, or when ``groups`` does not divide the outputs.
    """
    _need_dims("dirac_", tensor, (3, 4, 5))
    outputs, inputs, *kernel = tensor.shape
    if outputs % groups:
        raise ValueError(f"dirac_: groups={groups} must divide dim 0 of shape {tuple(tensor.shape)}")
    channels = arange(min(outputs // groups, inputs), device=tensor.device)
    rows = cat([channels + g * (outputs // groups) for g in range(groups)])
    tensor.zero_()
    tensor[(rows, cat([channels] * groups), *[n // 2 for n in kernel])] = 1.0
    return tensor


@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A random orthogonal matrix (Saxe et al., https://arxiv.org/abs/1312.6120), all equally likely.

    Args:
        tensor: shape (rows, ...), filled as a matrix of (rows, rest): its rows, or columns if there are more rows, are orthonormal.
        gain: what all is multiplied by.
        generator: where the numbers come from.

    Raises:
        ValueError: for fewer than 2 dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: expected 2 or more dimensions, got shape {tuple(tensor.shape)}")
    if not tensor.numel():
        return tensor
    rows, columns = int(tensor.shape[0]), tensor.numel() // int(tensor.shape[0])
    wide = dtypes.float64 if tensor.dtype is dtypes.float64 else dtypes.float32
    start = randn(max(rows, columns), min(rows, columns), generator=generator, dtype=wide, device=tensor.device).cpu()
    q, r = np.linalg.qr(start.numpy())
    q = q * np.where(np.diagonal(r) < 0, -1, 1)  # makes the decomposition, and so the law, the unique one
    made = from_numpy(np.ascontiguousarray(q if rows >= columns else q.T, start.numpy().dtype))
    tensor.copy_((made * gain).reshape(tensor.shape))
    return tensor


@no_grad()
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal numbers, but in every column a fraction ``sparsity`` (rounded up) of zeros; Martens, 2010.

    Raises:
        ValueError: unless there are 2 dimensions.
    """
    _need_dims("sparse_", tensor, (2,))
    rows, columns = tensor.shape
    tensor.normal_(0, std, generator=generator)
    order = rand(rows, columns, generator=generator, device=tensor.device).argsort(0)
    tensor.masked_fill_(order < math.ceil(sparsity * rows), 0.0)
    return tensor


def _need_dims(name: str, tensor: Tensor, allowed: tuple[int, ...]) -> None:
    if tensor.ndim not in allowed:
        raise ValueError(f"{name}: expected {' or '.join(map(str, allowed))} dimensions, got shape {tuple(tensor.shape)}")


# ----------------------------------------------------------------------------------------------- variance from layer to layer

# What keeps the variance of activations at 1; each is sqrt(1 / E[f(z)^2]) or PyTorch's convention.
_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid"), 1.0),
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the scale of activations behind ``nonlinearity``; ``param`` is leaky ReLU's slope (0.01).

    Raises:
        ValueError: for an unknown nonlinearity, or a slope that is no number.
    """
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, (type(None), numbers.Real)):
            raise ValueError(f"negative_slope {param!r} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity!r}; known are {', '.join((*_GAINS, 'leaky_relu'))}")
    return _GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs feed one output, and how many outputs one input feeds: shape (out, in, *receptive field)."""
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out need a tensor with at least 2 dimensions, got shape {tuple(tensor.shape)}")
    outputs, inputs, *field = tensor.shape
    return inputs * math.prod(field), outputs * math.prod(field)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", UserWarning, stacklevel=3)
        return 0.0
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode!r} not supported, please use one of {modes}")
    return calculate_gain(nonlinearity, a) / math.sqrt(_fans(tensor)[modes.index(mode.lower())])


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform numbers that keep the variance through rectifiers (He et al., 2015, https://arxiv.org/abs/1502.01852).

    Args:
        tensor: shape (out, in, ...).
        a: the negative slope, for leaky ReLU.
        mode: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: see :func:`calculate_gain`.
        generator: where the numbers come from.

    Raises:
        ValueError: for fewer than 2 dimensions, an unknown mode or nonlinearity.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """:func:`kaiming_uniform_` with normal numbers."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    total = sum(_fans(tensor))
    return gain * math.sqrt(2.0 / total) if total else 0.0


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform numbers that balance the variance forward and backward (Glorot and Bengio, 2010).

    Raises:
        ValueError: for fewer than 2 dimensions.
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """:func:`xavier_uniform_` with normal numbers."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


# ------------------------------------------------------------------------------------------------- names of old scripts

uniform = without_underscore(uniform_, "nn.init")
normal = without_underscore(normal_, "nn.init")
constant = without_underscore(constant_, "nn.init")
eye = without_underscore(eye_, "nn.init")
dirac = without_underscore(dirac_, "nn.init")
xavier_uniform = without_underscore(xavier_uniform_, "nn.init")
xavier_normal = without_underscore(xavier_normal_, "nn.init")
kaiming_uniform = without_underscore(kaiming_uniform_, "nn.init")
kaiming_normal = without_underscore(kaiming_normal_, "nn.init")
orthogonal = without_underscore(orthogonal_, "nn.init")
sparse = without_underscore(sparse_, "nn.init")
