"""The distribution of absolute values of normal numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..ops.elementwise.basic import where
from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .distribution import Distribution, validated
from .normal import Normal


class HalfNormal(Distribution):
    """The distribution of ``|x|`` for normal x with mean 0 and standard deviation ``scale``."""

    arg_constraints: ClassVar[Constraints] = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _parts = ("base_dist",)

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self.base_dist = Normal(0.0, scale, validate_args=False)
        self.scale = self.base_dist.scale
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        return self.base_dist.loc

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).abs()

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        found = self.base_dist.log_prob(value) + math.log(2)
        return where(value.ge(0), found, -math.inf)

    @validated
    def cdf(self, value: Tensor) -> Tensor:
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)
