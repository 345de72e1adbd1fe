"""Random numbers whose distributions are given by tensors."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...modes import check_values
from ...public import composite
from ...samples import ErrorInput
from ...tensor import Tensor, wrap
from ..checks import need_floating, need_ndim, need_values
from ..shape.copy import to_dtype
from ..shape.reshape import integer
from .generator import Generator, drawn_like, randn

__all__ = ["bernoulli", "multinomial", "normal", "poisson"]


def need_probabilities(name: str, p: Tensor) -> None:
    """Raise RuntimeError when an element is outside [0, 1]."""

    def check(odds: Any) -> None:
        wrong = odds[~((odds >= 0) & (odds <= 1))]
        if wrong.size:
            raise RuntimeError(f"{name}: p must be in [0, 1], got {wrong.flat[0]}")

    need_values(p, check, 0, 1, f"{name}: p must be in [0, 1]")


def _need_weights(weights: Any) -> None:
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("multinomial: weights must be finite and not negative")
    if not (weights > 0).any(-1).all():
        raise RuntimeError("multinomial: every row needs a positive weight")


def _need_positive(count: int, weights: Any) -> None:
    positive = (weights > 0).sum(-1)
    if positive.size and positive.min() < count:
        raise RuntimeError(f"multinomial: can't draw {count} of {positive.min()} positive weights without replacement=True")


def _need_rates(rates: Any) -> None:
    if not ((rates >= 0) & (rates < 1e18)).all():
        raise RuntimeError("poisson: rates must not be negative, and less than 1e18")


def _need_deviations(std: Any) -> None:
    wrong = std[~(std >= 0)]
    if wrong.size:
        raise RuntimeError(f"normal: std must not be negative, got {wrong.flat[0]}")


@composite(
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.bernoulli(tg.tensor([0.5, -0.5])), RuntimeError, r"bernoulli: p must be in \[0, 1\], got -0.5"),
        ErrorInput(lambda tg: tg.bernoulli(tg.tensor([1, 0])), RuntimeError, "bernoulli: input must be floating-point, got dtype tapegrad.int64"),
    ],
)
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probabilities in ``input`` (with ``p``, if that is given), else 0; of the input's shape and dtype. No gradient.

    Raises:
        RuntimeError: for probabilities outside [0, 1].
    """
    need_floating("bernoulli", input=input)
    odds = input if p is None else wrap(np.asarray(p, np.float64))
    need_probabilities("bernoulli", odds)
    return to_dtype(wrap(drawn_like(generator, "bernoulli", input, odds._array, tuple(input.shape))), input.dtype)


@composite(
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.multinomial(tg.tensor([-1.0, 2.0]), 1), RuntimeError, "multinomial: weights must be finite and not negative"),
        ErrorInput(lambda tg: tg.multinomial(tg.zeros(2), 1), RuntimeError, "multinomial: every row needs a positive weight"),
        ErrorInput(lambda tg: tg.multinomial(tg.tensor([1.0, 0.0]), 2), RuntimeError, "multinomial: can't draw 2 of 1 .* replacement=True"),
        ErrorInput(lambda tg: tg.multinomial(tg.ones(2, 2, 2), 1), RuntimeError, r"multinomial: expected 1 to 2 dimensions, got shape \(2, 2, 2\)"),
        ErrorInput(lambda tg: tg.multinomial(tg.ones(3), 0), RuntimeError, "multinomial: num_samples must be positive, got 0"),
        ErrorInput(lambda tg: tg.multinomial(tg.tensor([1, 1]), 1), RuntimeError, "multinomial: input must be floating-point, got dtype tapegrad.int64"),
    ],
)
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """Indices drawn with probabilities in proportion to weights: (n,) -> (num_samples,), (m, n) -> (m, num_samples); int64.

    Without ``replacement`` no index is drawn twice: those of the largest ``weight / exponential`` (Efraimidis and Spirakis,
    2006, https://doi.org/10.1016/j.ipl.2005.11.003).

    Raises:
        RuntimeError: for weights that are negative, infinite, or not enough positive ones.
    """
    need_floating("multinomial", input=input)
    need_ndim("multinomial", input, 1, 2)
    num_samples = integer(num_samples, "multinomial", "num_samples")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: num_samples must be positive, got {num_samples}")
    need_values(input, _need_weights, 0, np.finfo(np.float64).max, "multinomial: weights must be finite and not negative")
    rows = input if input.ndim == 2 else input.unsqueeze(0)
    if not replacement:
        check_values(rows, functools.partial(_need_positive, num_samples))
    chosen = wrap(drawn_like(generator, "choices", rows, rows._array, num_samples, replacement))
    return chosen if input.ndim == 2 else chosen.squeeze(0)  # type: ignore[no-any-return]


@composite(
    method=False,
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.normal(tg.zeros(2), -1.0), RuntimeError, "normal: std must not be negative"),
        ErrorInput(lambda tg: tg.normal(tg.zeros(2), tg.ones(3)), RuntimeError, r"normal: shapes \(2,\) and \(3,\) can't be broadcast"),
        ErrorInput(lambda tg: tg.normal(0.0, 1.0), TypeError, "normal: give a size, or tensors of means or deviations"),
        ErrorInput(lambda tg: tg.normal(tg.arange(2)), RuntimeError, "normal: mean must be floating-point, got dtype tapegrad.int64"),
    ],
)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of these means and deviations, either a tensor (shapes broadcast) or a number; of ``size`` for two numbers.

    No gradient flows to the means and deviations; for that, write ``mean + std * randn(...)``.

    Raises:
        RuntimeError: for a negative deviation.
    """
    given = {name: x for name, x in (("mean", mean), ("std", std)) if isinstance(x, Tensor)}
    need_floating("normal", complex=False, **given)
    deviations = std if isinstance(std, Tensor) else wrap(np.asarray(std))
    need_values(deviations, _need_deviations, 0, np.inf, "normal: std must not be negative")
    if given and size is not None:
        raise TypeError("normal: size is for numbers; tensors of means or deviations have their own")
    if not given:
        if size is None:
            raise TypeError("normal: give a size, or tensors of means or deviations")
        numbers = randn(size, generator=generator, dtype=dtype, device=device)
    else:
        shape = broadcast_shape("normal", [tuple(x.shape) for x in given.values()])
        first = next(iter(given.values()))
        numbers = randn(shape, generator=generator, dtype=first.dtype, device=first.device if device is None else device)
    parts = [x.detach().to(numbers.dtype) if isinstance(x, Tensor) else x for x in (mean, std)]
    made: Tensor = numbers * parts[1] + parts[0]
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


@composite(
    method=False,
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.poisson(tg.tensor([-1.0])), RuntimeError, "poisson: rates must not be negative"),
        ErrorInput(lambda tg: tg.poisson(tg.tensor([1])), RuntimeError, "poisson: input must be floating-point, got dtype tapegrad.int64"),
    ],
)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of Poisson's distribution with the rates in ``input``, in its shape and dtype. No gradient.

    Raises:
        RuntimeError: for negative rates, or such as are not finite.
    """
    need_floating("poisson", input=input)
    need_values(input, _need_rates, 0, 1e18, "poisson: rates must not be negative, and less than 1e18")
    return wrap(drawn_like(generator, "poisson", input, input._array))
