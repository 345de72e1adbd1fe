"""Mixtures of distributions of one family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..modes import no_grad
from ..ops.index.gather import gather
from ..ops.nn.softmax import log_softmax
from ..tensor import Tensor
from .categorical import Categorical
from .distribution import Distribution, validated


class MixtureSameFamily(Distribution):
    """One of the distributions along the last batch dimension of ``component_distribution``, chosen by ``mixture_distribution``.

    Raises:
        ValueError: unless the first is a Categorical, with as many classes as there are components, and the batches fit.
    """

    def __init__(self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: bool | None = None) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(f"mixture_distribution must be a Categorical, got {type(mixture_distribution).__name__}")
        mixture, components = mixture_distribution.batch_shape, component_distribution.batch_shape
        if not components or mixture_distribution.param_shape[-1] != components[-1]:
            raise ValueError(
                f"MixtureSameFamily: {mixture_distribution.param_shape[-1]} weights, but components of batch shape {tuple(components)}; "
                "its last dimension must be the number of weights"
            )
        if any(1 not in (i, j) and i != j for i, j in zip(reversed(mixture), reversed(components[:-1]), strict=False)):
            raise ValueError(f"MixtureSameFamily: batch shapes {tuple(mixture)} and {tuple(components[:-1])} are not compatible")
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        super().__init__(components[:-1], component_distribution.event_shape, validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        """Which component it is."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last dimension of its batch."""
        return self._component_distribution

    @property
    def support(self) -> Any:
        """The components'."""
        return self._component_distribution.support

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> MixtureSameFamily:
        parts = self._component_distribution
        return MixtureSameFamily(
            self._mixture_distribution.expand(batch_shape), parts.expand((*batch_shape, parts.batch_shape[-1])), self._validate_args
        )

    @property
    def _dim(self) -> int:
        """The components' dimension in samples."""
        return -1 - len(self._event_shape)

    def _weights(self) -> Tensor:
        weights = self._mixture_distribution.probs
        return weights.reshape(*weights.shape, *[1] * len(self._event_shape))

    @property
    def mean(self) -> Tensor:
        return (self._weights() * self._component_distribution.mean).sum(self._dim)

    @property
    def variance(self) -> Tensor:
        """The mean of the variances and the variance of the means."""
        parts = self._component_distribution
        off = parts.mean - self.mean.unsqueeze(self._dim)
        return (self._weights() * (parts.variance + off**2)).sum(self._dim)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            chosen = self._mixture_distribution.expand(self._batch_shape).sample(sample_shape)
            drawn = self._component_distribution.sample(sample_shape)
            events = len(self._event_shape)
            index = chosen.reshape(*chosen.shape, *[1] * (events + 1))
            index = index.expand(*chosen.shape, 1, *self._event_shape)
            return gather(drawn, self._dim, index).squeeze(self._dim)

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        each = self._component_distribution.log_prob(value.unsqueeze(self._dim))
        return (each + log_softmax(self._mixture_distribution.logits, -1)).logsumexp(-1)

    @validated
    def cdf(self, value: Tensor) -> Tensor:
        return (self._component_distribution.cdf(value.unsqueeze(self._dim)) * self._mixture_distribution.probs).sum(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
