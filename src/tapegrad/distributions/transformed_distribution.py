"""Distributions of transformed numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..modes import no_grad
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution, validated
from .transforms import Transform
from .utils import sum_rightmost


class TransformedDistribution(Distribution):
    """The distribution of ``t(x)`` for x of another distribution, where t is a :class:`Transform` or several, one after the other.

    >>> from tapegrad.distributions import Normal, TanhTransform, TransformedDistribution
    >>> squashed = TransformedDistribution(Normal(0.0, 1.0), [TanhTransform(cache_size=1)])
    >>> action = squashed.rsample((2,))
    >>> squashed.log_prob(action).shape
    tapegrad.Size([2])

    Raises:
        ValueError: for what is no Transform.
    """
    _parts = ("base_dist",)

    def __init__(
        self, base_distribution: Distribution, transforms: Transform | Sequence[Transform], validate_args: bool | None = None
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(f"transforms must be a Transform or a list of Transforms, got {transforms!r}")
        self.base_dist = base_distribution
        super().__init__(base_distribution.batch_shape, base_distribution.event_shape, validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As the base distribution's."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:
        """The last transform's codomain."""
        if not self.transforms:
            return self.base_dist.support
        dims = len(self._event_shape)
        last = self.transforms[-1].codomain
        return constraints.independent(last, dims) if dims else last

    def _transformed(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._transformed(self.base_dist.rsample(sample_shape))

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        slopes: Any = 0.0
        for transform in reversed(self.transforms):
            x = transform.inverse(value)
            slopes, value = slopes + transform.log_abs_det_jacobian(x, value), x
        dims = len(self._event_shape)
        return self.base_dist.log_prob(value) - (sum_rightmost(slopes, dims) if self.transforms else 0.0)

    def _sign(self) -> Any:
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return sign

    @validated
    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inverse(value)
        return self._sign() * (self.base_dist.cdf(value) - 0.5) + 0.5  # falling functions turn the order around

    def icdf(self, value: Tensor) -> Tensor:
        return self._transformed(self.base_dist.icdf(self._sign() * (value - 0.5) + 0.5))
