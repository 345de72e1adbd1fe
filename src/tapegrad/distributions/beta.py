"""The beta distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..ops.elementwise.basic import where
from ..ops.elementwise.special import xlog1py
from ..ops.shape.join import stack
from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .dirichlet import simplex_draw
from .distribution import Distribution, validated
from .utils import betaln, broadcast_all


class Beta(Distribution):
    """The distribution of density ``x^(a - 1) (1 - x)^(b - 1) / B(a, b)`` on [0, 1], a = ``concentration1`` and b = ``concentration0``.

    Gradients of samples are implicit (Figurnov et al., 2018, https://arxiv.org/abs/1805.08498).
    """

    arg_constraints: ClassVar[Constraints] = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def _total(self) -> Tensor:
        return self.concentration1 + self.concentration0

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / self._total

    @property
    def mode(self) -> Tensor:
        """The most likely outcome: 0 or 1 where a concentration is below 1, NaN where both are."""
        a, b = self.concentration1, self.concentration0
        inner = (a - 1) / (a + b - 2)
        return where(a < 1, where(b < 1, math.nan, 0.0), where(b < 1, 1.0, inner))

    @property
    def variance(self) -> Tensor:
        total = self._total
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        both = stack([self.concentration1.expand(shape), self.concentration0.expand(shape)], -1)
        return simplex_draw(both).select(-1, 0)

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return (a - 1).xlogy(value) + xlog1py(b - 1, -value) - betaln(a, b)

    def entropy(self) -> Tensor:
        a, b, total = self.concentration1, self.concentration0, self._total
        return betaln(a, b) - (a - 1) * a.digamma() - (b - 1) * b.digamma() + (total - 2) * total.digamma()
