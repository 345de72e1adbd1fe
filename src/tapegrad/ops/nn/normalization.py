"""Normalisation over a batch, a layer, groups and instances: ``standardize`` in the layout of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...modes import no_grad
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_floating
from ..shape.copy import to_dtype
from .standardize import Layout, by_channels, by_groups, by_rows, scale_shift, standardize_by, standardized, with_statistics

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int], dtype: dtypes.dtype) -> Tensor:
    """``y * weight + bias``, these two reshaped to ``shape``, in the input's dtype."""
    if weight is not None and bias is not None:
        y = scale_shift(y, weight.reshape(*shape), bias.reshape(*shape))
    elif weight is not None:
        y = y * weight.reshape(*shape)
    elif bias is not None:
        y = y + bias.reshape(*shape)
    return to_dtype(y, dtype)


def _normalised(input: Tensor, weight: Tensor | None, bias: Tensor | None, layout: Layout, eps: float, shape: Sequence[int]) -> Tensor:
    """:func:`standardized`, also where weight and bias (of ``shape`` beside the input) have another dtype than the input."""
    if _same_dtype(input, weight, bias):
        return standardized(input, weight, bias, layout, float(eps))
    return _affine(standardized(input, None, None, layout, float(eps)), weight, bias, shape, input.dtype)


def _same_dtype(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> bool:
    dtype = input._array.dtype
    return (weight is None or weight._array.dtype == dtype) and (bias is None or bias._array.dtype == dtype)


def _check(name: str, input: Tensor, size: tuple[int, ...], **others: Tensor | None) -> None:
    """The input is floating-point; what else is given has shape ``size``."""
    need_floating(name, input=input)
    for what, tensor in others.items():
        if tensor is not None and tensor._array.shape != size:
            raise RuntimeError(
                f"{name}: {what} needs shape {list(size)} for an input of shape {tuple(input.shape)}, got {tuple(tensor.shape)}"
            )


# ------------------------------------------------------------------------------------------------------------- over layers


def _trailing(name: str, input: Tensor, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    size = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not size:
        raise RuntimeError(f"{name}: normalized_shape is empty; it must name at least the last dimension's size")
    if tuple(input._array.shape[-len(size) :]) != size:
        raise RuntimeError(f"{name}: normalized_shape {list(size)} is not how the input's shape {tuple(input.shape)} ends")
    return size


def _layer_reference(x: Any, weight: Any = None, bias: Any = None, normalized_shape: Any = (), eps: float = 1e-5) -> Any:
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    y = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((4,)), Input((4,))), {"normalized_shape": (4,), "eps": 1e-3}, ("input", "weight", "bias")),
        Sample((Input((2, 3, 4)),), {"normalized_shape": (3, 4)}, ("input",)),
        Sample((Input((2, 3, 4)), Input((3, 4))), {"normalized_shape": (3, 4)}, ("input", "bias")),
    ],
    reference=lambda input, normalized_shape, **rest: _layer_reference(input, normalized_shape=normalized_shape, **rest),
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.layer_norm(tg.ones(2, 3), (4,)), RuntimeError, r"layer_norm: .*\[4\].*\(2, 3\)"),
        ErrorInput(lambda tg: tg.nn.functional.layer_norm(tg.ones(2, 3), (3,), tg.ones(2)), RuntimeError, r"layer_norm: weight needs shape \[3\]"),
        ErrorInput(lambda tg: tg.nn.functional.layer_norm(tg.arange(3), (3,)), RuntimeError, "layer_norm: .*floating-point"),
    ],
)
def layer_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / sqrt(var + eps) over the last dimensions, times ``weight``, plus ``bias``.

    Ba, Kiros and Hinton, https://arxiv.org/abs/1607.06450. ``normalized_shape`` is how the input's shape ends, and the shape of weight
    and bias. The variance's divisor is the number of elements.

    Raises:
        RuntimeError: when shapes don't fit, or for an integer input.
    """
    size = _trailing("layer_norm", input, normalized_shape)
    _check("layer_norm", input, size, weight=weight, bias=bias)
    return _normalised(input, weight, bias, by_rows(input._array.shape, size), eps, size)


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((4,))), {"normalized_shape": (4,), "eps": 1e-3}, ("input", "weight")),
        Sample((Input((2, 3, 4)),), {"normalized_shape": (3, 4), "eps": 1e-6}, ("input",)),
    ],
    reference=lambda input, normalized_shape, weight=1, eps=0: (
        input / np.sqrt((input**2).mean(axis=tuple(range(-len(normalized_shape), 0)), keepdims=True) + eps) * weight
    ),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.rms_norm(tg.ones(2, 3), (2, 4)), RuntimeError, r"rms_norm: .*\[2, 4\].*\(2, 3\)")],
)
def rms_norm(input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last dimensions, times ``weight``. ``eps`` is the dtype's machine epsilon if None.

    Zhang and Sennrich, https://arxiv.org/abs/1910.07467.

    Raises:
        RuntimeError: when shapes don't fit, or for an integer input.
    """
    size = _trailing("rms_norm", input, normalized_shape)
    _check("rms_norm", input, size, weight=weight)
    if eps is None:
        eps = float(dtypes.finfo(dtypes.float32 if input.dtype.itemsize == 2 else input.dtype).eps)
    return _normalised(input, weight, None, by_rows(input._array.shape, size, False), eps, size)


# ------------------------------------------------------------------------------------------------------ over channels' values


def _channels(name: str, input: Tensor, least: int = 2) -> int:
    if input.ndim < least:
        raise RuntimeError(f"{name}: expected at least {least} dimensions (batch, channels, ...), got shape {tuple(input.shape)}")
    return int(input._array.shape[1])


def _need_values(name: str, input: Tensor, count: int) -> None:
    if count == 1:
        raise ValueError(f"{name}: expected more than 1 value per channel to take the variance of, got an input of shape {tuple(input.shape)}")


def _batch_reference(x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, training: bool = False, eps: float = 1e-5) -> Any:
    axes, wide = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
    if training:
        mean, var = x.mean(axes), x.var(axes)
    y = (x - mean.reshape(wide)) / np.sqrt(var.reshape(wide) + eps)
    return y * (1 if weight is None else weight.reshape(wide)) + (0 if bias is None else bias.reshape(wide))


_STATISTICS = (Input((3,), constant=True), Input((3,), 0.5, 2.0, constant=True))


@composite(
    method=False,
    samples=[
        Sample((Input((4, 3)), *_STATISTICS, Input((3,)), Input((3,)))),
        Sample((Input((2, 3, 4)), *_STATISTICS, Input((3,)), Input((3,))), {"eps": 1e-3}),
        Sample((Input((4, 3)),), {"running_mean": None, "running_var": None, "training": True, "eps": 1e-3}),
    ],
    reference=lambda x, running_mean, running_var, weight=None, bias=None, training=False, eps=1e-5: _batch_reference(
        x, running_mean, running_var, weight, bias, training, eps
    ),
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.batch_norm(tg.ones(2, 3), None, None), RuntimeError, "batch_norm: without training.*running"),
        ErrorInput(lambda tg: tg.nn.functional.batch_norm(tg.ones(2, 3), tg.ones(2), tg.ones(2)), RuntimeError, r"running_mean needs shape \[3\]"),
        ErrorInput(lambda tg: tg.nn.functional.batch_norm(tg.ones(1, 3), None, None, training=True), ValueError, "more than 1 value per channel"),
        ErrorInput(lambda tg: tg.nn.functional.batch_norm(tg.ones(3), None, None, training=True), RuntimeError, r"batch_norm: .*at least 2 dim"),
        ErrorInput(
            lambda tg: tg.nn.functional.batch_norm(tg.ones(2, 3), tg.ones(3), tg.ones(3), training=True, momentum=None),
            TypeError,
            "batch_norm: momentum",
        ),
    ],
)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) per channel of (n, channels, ...), times ``weight``, plus ``bias``.

    Ioffe and Szegedy, https://arxiv.org/abs/1502.03167. In training the statistics are the batch's, and ``running_mean`` and
    ``running_var`` (where given) move towards them in place, by ``momentum``; the running variance is the unbiased one. Otherwise the
    running statistics are used, as constants.

    Raises:
        RuntimeError: when shapes don't fit, for an integer input, or when running statistics are missing.
        ValueError: in training, for one value per channel.
        TypeError: when there are running statistics to update and the momentum is None: a cumulative average needs the number of batches
            so far; pass 1 / number.
    """
    channels = _channels("batch_norm", input)
    _check("batch_norm", input, (channels,), running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    shape = (channels, *[1] * (input.ndim - 2))
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: without training=True, running_mean and running_var must be given")
        scale = (running_var.detach() + eps).rsqrt()
        scale, shift = scale if weight is None else scale * weight, 0.0 if bias is None else bias.reshape(*shape)
        return to_dtype(standardize_by(input, running_mean.detach().reshape(*shape), scale.reshape(*shape), shift), input.dtype)
    count = input.numel() // max(channels, 1)
    _need_values("batch_norm", input, count)
    layout = by_channels(input._array.shape)
    if count == 0 or (running_mean is None and running_var is None):  # nothing was seen, or is to be kept
        return _normalised(input, weight, bias, layout, eps, shape)
    y, mean, var = _with_statistics(input, weight, bias, layout, eps, shape)
    with no_grad():
        _move("batch_norm", running_mean, mean.reshape(-1), momentum)
        _move("batch_norm", running_var, var.reshape(-1) * (count / max(count - 1, 1)), momentum)
    return y


def _with_statistics(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, layout: Layout, eps: float, shape: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`_normalised`, the mean and the variance."""
    if _same_dtype(input, weight, bias):
        return with_statistics(input, weight, bias, layout, float(eps))
    y, mean, var = with_statistics(input, None, None, layout, float(eps))
    return _affine(y, weight, bias, shape, input.dtype), mean, var


def _move(name: str, running: Tensor | None, value: Tensor, momentum: float | None) -> None:
    """A running statistic towards a new value, in place."""
    if running is None:
        return
    if momentum is None:
        raise TypeError(f"{name}: momentum is None, but only the caller knows the number of batches for a cumulative average; pass 1 / number")
    running.mul_(1 - momentum).add_(to_dtype(value, running.dtype) * momentum)


@composite(
    method=False,
    samples=[
        Sample((Input((2, 4, 3)), Input((4,)), Input((4,))), {"num_groups": 2, "eps": 1e-3}, ("input", "weight", "bias")),
        Sample((Input((3, 6)),), {"num_groups": 2, "eps": 0.1}, ("input",)),
    ],
    reference=lambda input, num_groups, weight=None, bias=None, eps=1e-5: _batch_reference(
        _layer_reference(
            input.reshape(len(input), num_groups, -1), normalized_shape=(input.size // len(input) // num_groups,), eps=eps
        ).reshape(input.shape),
        np.zeros(input.shape[1]),
        np.ones(input.shape[1]),
        weight,
        bias,
        eps=0,
    ),
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.group_norm(tg.ones(2, 3, 4), 2), RuntimeError, "group_norm: 3 channels .* 2 groups"),
        ErrorInput(lambda tg: tg.nn.functional.group_norm(tg.ones(2, 4, 4), 2, tg.ones(2)), RuntimeError, r"group_norm: weight needs shape \[4\]"),
    ],
)
def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) per sample and group of channels of (n, channels, ...), times ``weight``, plus ``bias`` per channel.

    Wu and He, https://arxiv.org/abs/1803.08494.

    Raises:
        RuntimeError: when shapes don't fit, or the channels can't be divided into groups.
        ValueError: for one value per group in all.
    """
    channels = _channels("group_norm", input)
    if num_groups < 1 or channels % num_groups:
        raise RuntimeError(f"group_norm: {channels} channels can't be divided into {num_groups} groups (input of shape {tuple(input.shape)})")
    _check("group_norm", input, (channels,), weight=weight, bias=bias)
    _need_values("group_norm", input, input.numel() // num_groups)
    return _normalised(input, weight, bias, by_groups(input._array.shape, num_groups), eps, (channels, *[1] * (input.ndim - 2)))


@composite(
    method=False,
    samples=[
        Sample((Input((2, 3, 4)), Input((3,)), Input((3,))), {"eps": 1e-3}, ("input", "weight", "bias")),
        Sample((Input((2, 3, 4)), *_STATISTICS, Input((3,)), Input((3,))), {"use_input_stats": False}),
    ],
    reference=lambda input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, eps=1e-5: (
        np.concatenate([_batch_reference(x[None], None, None, weight, bias, True, eps) for x in input])
        if use_input_stats
        else _batch_reference(input, running_mean, running_var, weight, bias, False, eps)
    ),
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.instance_norm(tg.ones(2, 3, 1)), ValueError, "more than 1 .*value per channel"),
        ErrorInput(
            lambda tg: tg.nn.functional.instance_norm(tg.ones(2, 3, 4), use_input_stats=False), RuntimeError, "instance_norm: without use_input_stats"
        ),
    ],
)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """:func:`batch_norm` with the statistics of each sample by itself (Ulyanov et al., https://arxiv.org/abs/1607.08022).

    With ``use_input_stats=False``, the running statistics are used; otherwise these move towards the samples' mean statistics.

    Raises:
        RuntimeError, ValueError, TypeError: as :func:`batch_norm`.
    """
    channels = _channels("instance_norm", input, 3)
    _check("instance_norm", input, (channels,), running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("instance_norm: without use_input_stats=True, running_mean and running_var must be given")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = math.prod(input._array.shape[2:])
    _need_values("instance_norm", input, count)
    layout, shape = by_groups(input._array.shape, channels), (channels, *[1] * (input.ndim - 2))
    if running_mean is None and running_var is None:
        return _normalised(input, weight, bias, layout, eps, shape)
    y, mean, var = _with_statistics(input, weight, bias, layout, eps, shape)
    with no_grad():
        _move("instance_norm", running_mean, mean.reshape(-1, channels).mean(0), momentum)
        _move("instance_norm", running_var, var.reshape(-1, channels).mean(0) * (count / max(count - 1, 1)), momentum)
    return y
