"""The uniform distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..ops.create import full_like
from ..ops.random.generator import rand
from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .distribution import Distribution, validated
from .utils import broadcast_all


class Uniform(Distribution):
    """The uniform distribution on [low, high).

    Raises:
        ValueError: unless low < high.
    """

    arg_constraints: ClassVar[Constraints] = {"low": constraints.dependent, "high": constraints.dependent}
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and not (self.low < self.high).all():
            raise ValueError(f"Uniform is not defined when low >= high, got {self!r}")

    @property
    def support(self) -> Any:
        """The interval."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: all outcomes are equally likely."""
        return full_like(self.low, math.nan)

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) / 12**0.5

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.low + self._drawn(rand, sample_shape, self.low) * (self.high - self.low)

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        inside = value.ge(self.low) & value.lt(self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    @validated
    def cdf(self, value: Tensor) -> Tensor:
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()
