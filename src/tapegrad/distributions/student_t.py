"""Student's t-distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..ops.elementwise.basic import where
from ..ops.random.generator import randn
from ..tensor import Tensor
from . import constraints
from .chi2 import Chi2
from .constraints import Constraints
from .distribution import Distribution, validated
from .utils import betaln, broadcast_all


class StudentT(Distribution):
    """Student's t-distribution with ``df`` degrees of freedom, moved by ``loc`` and stretched by ``scale``.

    Gradients of samples are implicit (Figurnov et al., 2018, https://arxiv.org/abs/1805.08498).
    """

    arg_constraints: ClassVar[Constraints] = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        df = self.df
        finite = self.scale**2 * df / (where(df > 2, df, 3.0) - 2)
        return where(df > 2, finite, where(df > 1, math.inf, math.nan))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        x = self._drawn(randn, sample_shape, self.df)
        z = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * x * (z / self.df).rsqrt()

    def _log_normalizer(self) -> Tensor:
        return self.scale.log() + 0.5 * self.df.log() + betaln(0.5 * self.df, self.df.new_tensor(0.5))

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        y = (value - self.loc) / self.scale
        return -0.5 * (self.df + 1) * (y**2 / self.df).log1p() - self._log_normalizer()

    def entropy(self) -> Tensor:
        half = 0.5 * (self.df + 1)
        return self._log_normalizer() + half * (half.digamma() - (0.5 * self.df).digamma())
