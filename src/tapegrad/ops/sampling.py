"""Random numbers whose laws are given by tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..computation import broadcast_shape
from ..public import composite
from ..samples import ErrorInput
from ..tensor import Tensor, wrap
from .fillers import open_uniform, successes
from .random import Generator, default_generator, drawn, randn
from .shape import integer

__all__ = ["bernoulli", "multinomial", "normal", "poisson"]


def _need_floating(name: str, **tensors: Tensor) -> None:
    for argument, x in tensors.items():
        if not x.dtype.is_floating_point:
            raise RuntimeError(f"{name}: {argument} must be floating-point, got {x.dtype}")


@composite(
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.bernoulli(tg.tensor([0.5, -0.5])), RuntimeError, r"bernoulli: p must be in \[0, 1\], got -0.5"),
        ErrorInput(lambda tg: tg.bernoulli(tg.tensor([1, 0])), RuntimeError, "bernoulli: input must be floating-point, got tapegrad.int64"),
    ],
)
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probabilities in ``input`` (with ``p``, if that is given), else 0; of the input's shape and dtype. No gradient.

    Raises:
        RuntimeError: for probabilities outside [0, 1].
    """
    _need_floating("bernoulli", input=input)
    odds = input._array if p is None else np.asarray(p, np.float64)
    return wrap(successes("bernoulli", odds, tuple(input.shape), generator).astype(input._array.dtype))


@composite(
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.multinomial(tg.tensor([-1.0, 2.0]), 1), RuntimeError, "multinomial: weights must be finite and not negative"),
        ErrorInput(lambda tg: tg.multinomial(tg.zeros(2), 1), RuntimeError, "multinomial: every row needs a positive weight"),
        ErrorInput(lambda tg: tg.multinomial(tg.tensor([1.0, 0.0]), 2), RuntimeError, "multinomial: can't draw 2 of 1 .* replacement=True"),
        ErrorInput(lambda tg: tg.multinomial(tg.ones(2, 2, 2), 1), RuntimeError, r"multinomial: expected 1 or 2 dimensions, got shape \(2, 2, 2\)"),
        ErrorInput(lambda tg: tg.multinomial(tg.ones(3), 0), RuntimeError, "multinomial: num_samples must be positive, got 0"),
        ErrorInput(lambda tg: tg.multinomial(tg.tensor([1, 1]), 1), RuntimeError, "multinomial: input must be floating-point, got tapegrad.int64"),
    ],
)
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """Indices drawn with probabilities in proportion to weights: (n,) -> (num_samples,), (m, n) -> (m, num_samples); int64.

    Without ``replacement`` no index is drawn twice: those of the largest ``weight / exponential`` (Efraimidis and Spirakis, 2006).

    Raises:
        RuntimeError: for weights that are negative, infinite, or not enough positive ones.
    """
    _need_floating("multinomial", input=input)
    if input.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: expected 1 or 2 dimensions, got shape {tuple(input.shape)}")
    num_samples = integer(num_samples, "multinomial", "num_samples")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: num_samples must be positive, got {num_samples}")
    weights = np.atleast_2d(input._array).astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("multinomial: weights must be finite and not negative")
    positive = (weights > 0).sum(-1)
    if (positive == 0).any():
        raise RuntimeError("multinomial: every row needs a positive weight")
    if not replacement and positive.min() < num_samples:
        raise RuntimeError(f"multinomial: can't draw {num_samples} of {positive.min()} positive weights without replacement=True")
    if replacement:
        places = drawn("uniform", (len(weights), num_samples), np.dtype(np.float64), generator)
        reached = np.cumsum(weights / weights.max(-1, keepdims=True), -1)
        found = [np.searchsorted(row / row[-1], place, side="right") for row, place in zip(reached, places, strict=True)]
        chosen = np.array(found, np.int64).reshape(places.shape)
    else:
        arrivals = -np.log(open_uniform(weights.shape, np.dtype(np.float64), generator))
        with np.errstate(divide="ignore"):
            chosen = np.argsort(arrivals / weights, -1, kind="stable")[:, :num_samples].astype(np.int64)
    return wrap(np.ascontiguousarray(chosen[0] if input.ndim == 1 else chosen))


@composite(
    method=False,
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.normal(tg.zeros(2), -1.0), RuntimeError, "normal: std must not be negative"),
        ErrorInput(lambda tg: tg.normal(tg.zeros(2), tg.ones(3)), RuntimeError, r"normal: shapes \(2,\) and \(3,\) can't be broadcast"),
        ErrorInput(lambda tg: tg.normal(0.0, 1.0), TypeError, "normal: give a size, or tensors of means or deviations"),
        ErrorInput(lambda tg: tg.normal(tg.arange(2)), RuntimeError, "normal: mean must be floating-point, got tapegrad.int64"),
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
    _need_floating("normal", **given)
    spread = std._array if isinstance(std, Tensor) else np.asarray(std)
    if not (spread >= 0).all():
        raise RuntimeError(f"normal: std must not be negative, got {spread[~(spread >= 0)].flat[0]}")
    if given and size is not None:
        raise TypeError("normal: size is for numbers; tensors of means or deviations have their own")
    if not given:
        if size is None:
            raise TypeError("normal: give a size, or tensors of means or deviations")
        drawn_ = randn(size, generator=generator, dtype=dtype, device=device)
    else:
        shape = broadcast_shape("normal", [tuple(x.shape) for x in given.values()])
        drawn_ = randn(shape, generator=generator, dtype=next(iter(given.values())).dtype, device=device)
    parts = [x.detach().to(drawn_.dtype) if isinstance(x, Tensor) else x for x in (mean, std)]
    made: Tensor = drawn_ * parts[1] + parts[0]
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


@composite(
    method=False,
    differentiable=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.poisson(tg.tensor([-1.0])), RuntimeError, "poisson: rates must not be negative"),
        ErrorInput(lambda tg: tg.poisson(tg.tensor([1])), RuntimeError, "poisson: input must be floating-point, got tapegrad.int64"),
    ],
)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of Poisson's law with the rates in ``input``, in its shape and dtype. No gradient.

    Raises:
        RuntimeError: for negative rates, or such as are not finite.
    """
    _need_floating("poisson", input=input)
    rates = input._array.astype(np.float64)
    if not ((rates >= 0) & (rates < 1e18)).all():
        raise RuntimeError("poisson: rates must not be negative, and less than 1e18")
    key = (generator or default_generator).draw("bits", 2)  # NumPy's own generator, started from ours
    counts = np.random.Generator(np.random.Philox(key=key)).poisson(rates)
    return wrap(np.asarray(counts).astype(input._array.dtype))
