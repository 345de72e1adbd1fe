"""The gamma distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from .. import dtypes
from ..ops.random.gamma import log_gamma_draw
from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .distribution import Distribution, validated
from .utils import broadcast_all


class Gamma(Distribution):
    """The distribution of density ``rate^a x^(a - 1) exp(-rate x) / gamma(a)`` for x >= 0, with a the ``concentration``.

    Gradients of samples are implicit (Figurnov et al., 2018, https://arxiv.org/abs/1805.08498).
    """

    arg_constraints: ClassVar[Constraints] = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        value = log_gamma_draw(self.concentration.expand(shape)).exp() / self.rate
        return value.clamp(min=dtypes.finfo(value.dtype).tiny)  # 0 has no log_prob

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        a, rate = self.concentration, self.rate
        return a.xlogy(rate) + (a - 1).xlogy(value) - rate * value - a.lgamma()

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()
