"""The Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..dtypes import finfo
from ..ops.elementwise.basic import where
from ..ops.nn.one_hot import one_hot
from ..ops.nn.softmax import log_softmax
from ..ops.random.gamma import log_gamma_draw
from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .distribution import Distribution, validated


def simplex_draw(concentration: Tensor) -> Tensor:
    """Draws of Dirichlet distributions: gamma numbers, divided by their sum along the last dimension.

    They keep away from 0 and 1, as PyTorch's, where rounding would put them and a density may be infinite.
    """
    limits = finfo(concentration.dtype)
    return log_softmax(log_gamma_draw(concentration), -1).exp().clamp(limits.tiny, 1 - limits.eps / 2)


class Dirichlet(Distribution):
    """The distribution of density proportional to ``prod_i x_i^(a_i - 1)`` on the simplex, with a the ``concentration`` (..., n).

    Gradients of samples are implicit (Figurnov et al., 2018, https://arxiv.org/abs/1805.08498).

    Raises:
        ValueError: for a concentration without dimensions.
    """

    arg_constraints: ClassVar[Constraints] = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        """The most likely outcome; where all concentrations are below 1, the corner of the largest."""
        above = (self.concentration - 1).clamp(min=0)
        total = above.sum(-1, True)
        corner = one_hot(self.concentration.argmax(-1), self.concentration.shape[-1]).to(above.dtype)
        flat = (self.concentration < 1).all(-1, keepdim=True)
        return where(flat, corner, above / total)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return simplex_draw(self.concentration.expand(self._extended_shape(sample_shape)))

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        a = self.concentration
        return (a - 1).xlogy(value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Tensor:
        a, k = self.concentration, self.concentration.shape[-1]
        total = a.sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() - (k - total) * total.digamma() - ((a - 1) * a.digamma()).sum(-1)
