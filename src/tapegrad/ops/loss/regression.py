"""Losses of numbers and distributions: absolute errors and their smooth forms, Poisson, Gaussian, Kullback-Leibler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...modes import check_values
from ...primitives import E
from ...public import composite, public
from ...samples import REDUCE, EdgePoint, ErrorInput, Input, Sample, in_every_reduction, reduced_reference, wrong_reduction
from ...scalarops import elementwise, elementwise_op
from ...tensor import Tensor
from ..elementwise.basic import abs
from .reduction import reduce_loss, reduced, reduction_of, warn_of_broadcasting

__all__ = [
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]

_PAIR = (Input((3, 4), apart=True), Input((3, 4), 3.0, 4.0))  # never equal
_NEAR = (Input((3, 4), 0.1, 1.6, apart=True), Input((3, 4), 0.0, 0.0))

# --------------------------------------------------------------------------------------------------------- absolute errors


@composite(
    method=False,
    samples=[*in_every_reduction(_PAIR), Sample((*_PAIR, Input((3, 4), 0.5, 2.0)), {}, ("input", "target", "weight"))],
    reference=lambda input, target, weight=1.0, reduction="mean": (
        REDUCE[reduction](np.abs(input - target) * weight) / (np.mean(weight) if reduction == "mean" else 1)
    ),
    error_inputs=[
        wrong_reduction("l1_loss"),
        ErrorInput(
            lambda tg: tg.nn.functional.l1_loss(tg.ones(2), tg.ones(2), weight=tg.ones(3)), ValueError, r"l1_loss: weight needs .*\(2,\), got \(3,\)"
        ),
    ],
)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|, averaged (by ``weight``, where given), summed or per element; the gradient where they are equal is 0.

    Raises:
        ValueError: for an unknown reduction, or a weight that has not the input's shape.
    """
    warn_of_broadcasting(input, target, "l1_loss")
    _check_weight(input, weight, "l1_loss")
    errors = abs(input - target)
    reduction = reduction_of(size_average, reduce, reduction, "l1_loss")
    if weight is None:
        return reduced(errors, reduction, "l1_loss")
    return (errors * weight).sum() / weight.sum() if reduction == "mean" else reduced(errors * weight, reduction, "l1_loss")


def _check_weight(input: Tensor, weight: Tensor | None, name: str) -> None:
    if weight is not None and weight._array.shape != input._array.shape:
        raise ValueError(f"{name}: weight needs the input's shape {tuple(input.shape)}, got {tuple(weight.shape)}")


def _sides(slope: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """VJPs of an even function of input - target, from its slope."""
    return {
        "input": lambda g, input, target, width: g * slope(input - target, width),
        "target": lambda g, input, target, width: g * slope(target - input, width),
    }


elementwise(
    "smooth_l1_loss",  # Girshick, https://arxiv.org/abs/1504.08083
    lambda input, target, width: E.where(
        E.abs(input - target) < width, 0.5 * (input - target) * (input - target) / width, E.abs(input - target) - 0.5 * width
    ),
    _sides(lambda d, width: E.where(E.abs(d) < width, d / width, E.sign(d))),
    dtype="float",
    method=False,
    samples=[Sample(_NEAR, {"width": 0.77})],
    reference=lambda x, t, width: np.where(np.abs(x - t) < width, (x - t) ** 2 / (2 * width), np.abs(x - t) - width / 2),
    edge_points=[
        EdgePoint((0.0, 0.0), (0.0, 0.0), {"width": 0.0}),
        EdgePoint((2.0, 0.0), (1.0, -1.0), {"width": 2.0}),
        EdgePoint((-2.0, 0.0), (-1.0, 1.0), {"width": 2.0}),
    ],
    kinds="f",
)
elementwise(
    "huber_loss",  # Huber, Robust estimation of a location parameter, 1964
    lambda input, target, width: E.where(
        E.abs(input - target) <= width, 0.5 * (input - target) * (input - target), width * (E.abs(input - target) - 0.5 * width)
    ),
    _sides(lambda d, width: E.where(E.abs(d) <= width, d, width * E.sign(d))),
    dtype="float",
    method=False,
    samples=[Sample(_NEAR, {"width": 0.77})],
    reference=lambda x, t, width: np.where(np.abs(x - t) < width, (x - t) ** 2 / 2, width * (np.abs(x - t) - width / 2)),
    edge_points=[EdgePoint((0.0, 0.0), (0.0, 0.0), {"width": 1.0}), EdgePoint((2.0, 0.0), (2.0, -2.0), {"width": 2.0})],
    kinds="f",
)


@public(
    "smooth_l1_loss",
    samples=in_every_reduction(_NEAR, {"beta": 0.77}, {"beta": 0.0}),
    reference=reduced_reference(
        lambda x, t, beta=1.0: np.where(np.abs(x - t) < beta, (x - t) ** 2 / (2 * (beta or 1)), np.abs(x - t) - beta / 2)
    ),
    error_inputs=[
        wrong_reduction("smooth_l1_loss"),
        ErrorInput(lambda tg: tg.nn.functional.smooth_l1_loss(tg.ones(2), tg.ones(2), beta=-1), RuntimeError, "smooth_l1_loss: beta .*negative"),
    ],
)
def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """With d = |input - target|: d^2 / (2 beta) below ``beta``, else d - beta / 2.

    Raises:
        ValueError: for an unknown reduction.
        RuntimeError: for a negative ``beta``.
    """
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    warn_of_broadcasting(input, target, "smooth_l1_loss")
    return reduce_loss(elementwise_op("smooth_l1_loss").call(input, target, beta), size_average, reduce, reduction, "smooth_l1_loss")


@public(
    "huber_loss",
    samples=[*in_every_reduction(_NEAR, {"delta": 0.77}), Sample((*_NEAR, Input((3, 4), 0.5, 2.0)), {}, ("input", "target", "weight"))],
    reference=lambda input, target, weight=1.0, reduction="mean", delta=1.0: REDUCE[reduction](
        weight * np.where(np.abs(input - target) < delta, (input - target) ** 2 / 2, delta * (np.abs(input - target) - delta / 2))
    ),
    error_inputs=[
        wrong_reduction("huber_loss"),
        ErrorInput(lambda tg: tg.nn.functional.huber_loss(tg.ones(2), tg.ones(2), delta=0), RuntimeError, "huber_loss: delta must be positive"),
    ],
)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """With d = |input - target|: d^2 / 2 up to ``delta``, else delta * (d - delta / 2); times ``weight``, where given.

    Raises:
        ValueError: for an unknown reduction, or a weight that has not the input's shape.
        RuntimeError: when ``delta`` is not positive.
    """
    if not delta > 0:
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}")
    warn_of_broadcasting(input, target, "huber_loss")
    _check_weight(input, weight, "huber_loss")
    return reduce_loss(elementwise_op("huber_loss").call(input, target, delta), None, None, reduction, "huber_loss", weight)


# ---------------------------------------------------------------------------------------------- negative log-likelihoods

_poisson_log = elementwise(
    "poisson_nll_log",
    lambda input, target: E.exp(input) - target * input,
    {"input": lambda g, input, target: g * (E.exp(input) - target), "target": lambda g, input: -g * input},
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4)), Input((3, 4), 3.0, 4.0)))],
    reference=lambda x, t: np.exp(x) - t * x,
    kinds="f",
)
_poisson = elementwise(
    "poisson_nll",
    lambda input, target, eps: input - target * E.log(input + eps),
    {"input": lambda g, input, target, eps: g * (1.0 - target / (input + eps)), "target": lambda g, input, eps: -g * E.log(input + eps)},
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4), 1.5, 2.0), Input((3, 4), -4.0, -3.0)), {"eps": 1e-3})],
    reference=lambda x, t, eps: x - t * np.log(x + eps),
    kinds="f",
)
_stirling = elementwise(
    "stirling",  # of log(n!), and 0 up to 1
    lambda input: E.where(input > 1.0, input * E.log(input) - input + 0.5 * E.log((2 * math.pi) * input), 0.0),
    {"input": lambda g, input: E.where(input > 1.0, g * (E.log(input) + 0.5 / input), 0.0)},
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4), 3.5, 6.0),))],
    reference=lambda n: n * np.log(n) - n + 0.5 * np.log(2 * np.pi * n),
    edge_points=[EdgePoint((1.0,), (0.0,)), EdgePoint((0.0,), (0.0,))],
    kinds="f",
)
_COUNTS = Input((3, 4), 3.5, 6.0)


def _poisson_reference(x: Any, t: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> Any:
    loss = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    return REDUCE[reduction](loss + full * (t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t)))


@composite(
    method=False,
    samples=in_every_reduction((Input((3, 4), 0.5), _COUNTS), {"full": True}, {"log_input": False, "eps": 0.01}),
    reference=_poisson_reference,
    error_inputs=[wrong_reduction("poisson_nll_loss")],
)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(input) - target * input, or input - target * log(input + eps) without ``log_input``; ``full`` adds Stirling's log(target!).

    Raises:
        ValueError: for an unknown reduction.
    """
    loss = _poisson_log(input, target) if log_input else _poisson(input, target, eps)
    return reduce_loss(loss + _stirling(target) if full else loss, size_average, reduce, reduction, "poisson_nll_loss")


_gaussian = elementwise(
    "gaussian_nll",
    # A variance below eps counts as eps, but gets the gradient there, so that it can grow.
    lambda input, target, var, eps: 0.5 * (E.log(E.maximum(var, eps)) + (input - target) * (input - target) / E.maximum(var, eps)),
    {
        "input": lambda g, input, target, var, eps: g * ((input - target) / E.maximum(var, eps)),
        "target": lambda g, input, target, var, eps: g * ((target - input) / E.maximum(var, eps)),
        "var": lambda g, input, target, var, eps: (
            g * (0.5 * (1.0 - (input - target) * (input - target) / E.maximum(var, eps)) / E.maximum(var, eps))
        ),
    },
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4)), Input((3, 4), 3.0, 4.0), Input((3, 4), 1.5, 2.0)), {"eps": 1e-6})],
    reference=lambda x, t, var, eps: 0.5 * (np.log(var) + (x - t) ** 2 / var),
    edge_points=[EdgePoint((2.0, 1.0, 0.25), (2.0, -2.0, -1.0), {"eps": 0.5})],
    kinds="f",
)


def _gaussian_reference(x: Any, t: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
    var = np.maximum(var[:, None] if var.ndim < x.ndim else var, eps)
    return REDUCE[reduction](0.5 * (np.log(var) + (x - t) ** 2 / var + full * np.log(2 * np.pi)))


def _check_variance(var: Any) -> None:
    if bool((var < 0).any()):
        raise ValueError("gaussian_nll_loss: var has negative elements; a variance must not be negative")


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((3, 4), 3.0, 4.0), Input((3, 4), 0.5, 2.0)), {"reduction": "none"}),
        Sample((Input((3, 4)), Input((3, 4), 3.0, 4.0), Input((3, 1), 0.5, 2.0)), {"full": True}),
        Sample((Input((3, 4)), Input((3, 4), 3.0, 4.0), Input((3,), 0.5, 2.0)), {"reduction": "sum"}),
    ],
    reference=_gaussian_reference,
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.gaussian_nll_loss(tg.ones(2), tg.ones(2), -tg.ones(2)), ValueError, "gaussian_nll_loss: var .*negative"),
        ErrorInput(
            lambda tg: tg.nn.functional.gaussian_nll_loss(tg.ones(2, 3), tg.ones(2, 3), tg.ones(3)),
            ValueError,
            r"gaussian_nll_loss: var of shape \(3,\) .*\(2, 3\)",
        ),
    ],
)
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log(var) + (input - target)^2 / var) / 2, where ``var`` is at least ``eps``; ``full`` adds log(2 pi) / 2.

    ``var`` is a number, or has the input's shape, that without its last dimension, or that with one dimension of size 1.

    Raises:
        ValueError: for an unknown reduction, a negative variance, or a shape of ``var`` that does not fit.
    """
    if isinstance(var, Tensor):
        check_values(var, _check_variance)
        have, want = var._array.shape, input._array.shape
        if have != want:
            if have == want[:-1]:
                var = var.unsqueeze(-1)
            elif len(have) != len(want) or sum(b for a, b in zip(want, have, strict=True) if a != b) != 1:
                raise ValueError(f"gaussian_nll_loss: var of shape {tuple(have)} does not fit an input of shape {tuple(want)}")
    elif var < 0:
        raise ValueError(f"gaussian_nll_loss: var must not be negative, got {var}")
    loss = _gaussian(input, target, var, eps)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction, "gaussian_nll_loss")


# ----------------------------------------------------------------------------------------------------------- divergences

_kl = elementwise(
    "kl_elements",
    lambda input, target: E.where(target == 0.0, 0.0, target * (E.log(target) - input)),
    {"input": lambda g, target: -g * target, "target": lambda g, input, target: g * (E.log(target) - input + 1.0)},
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4), -3.0, -2.0), Input((3, 4), 0.5, 1.0)))],
    reference=lambda x, t: t * (np.log(t) - x),
    edge_points=[EdgePoint((-1.0, 0.0), (0.0, -math.inf))],
    kinds="f",
)
_kl_log = elementwise(
    "kl_elements_log",
    lambda input, target: E.where(target == -math.inf, 0.0, E.exp(target) * (target - input)),
    {
        "input": lambda g, target: -g * E.exp(target),
        "target": lambda g, input, target: E.where(target == -math.inf, 0.0, g * (E.exp(target) * (target - input + 1.0))),
    },
    dtype="float",
    method=False,
    samples=[Sample((Input((3, 4), -3.0, -2.0), Input((3, 4), -1.0, -0.5)))],
    reference=lambda x, t: np.exp(t) * (t - x),
    edge_points=[EdgePoint((-1.0, -math.inf), (0.0, 0.0))],
    kinds="f",
)


def _kl_reference(x: Any, t: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    loss = np.exp(t) * (t - x) if log_target else t * (np.log(t) - x)
    return loss.sum() / len(x) if reduction == "batchmean" else REDUCE[reduction](loss)


@composite(
    method=False,
    samples=[
        *in_every_reduction((Input((3, 4), -3.0, -2.0), Input((3, 4), 0.5, 1.0)), {"reduction": "batchmean"}),
        Sample((Input((3, 4), -3.0, -2.0), Input((3, 4), -1.0, -0.5)), {"log_target": True}),
    ],
    reference=_kl_reference,
    error_inputs=[wrong_reduction("kl_div")],
)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log(target) - input), for log-probabilities ``input``; with ``log_target``, ``target`` is given as its logarithm, too.

    A target of probability 0 counts as 0. ``reduction`` may be "batchmean": the sum over the size of dimension 0, which is the
    divergence as it is defined.

    Raises:
        ValueError: for an unknown reduction.
    """
    reduction = reduction_of(size_average, reduce, reduction, "kl_div", "batchmean")
    loss = (_kl_log if log_target else _kl)(input, target)
    if reduction == "batchmean":
        total = loss.sum()
        return total / int(input._array.shape[0]) if input.ndim else total
    return reduced(loss, reduction, "kl_div")
