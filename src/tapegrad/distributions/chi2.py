"""The chi-squared distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from . import constraints
from .constraints import Constraints
from .gamma import Gamma
from .utils import broadcast_all


class Chi2(Gamma):
    """The distribution of sums of ``df`` squares of standard normal numbers.

    Gradients of samples are implicit (Figurnov et al., 2018, https://arxiv.org/abs/1805.08498).

    Attributes:
        df: degrees of freedom.
    """

    arg_constraints: ClassVar[Constraints] = {"df": constraints.positive}
    _parts = ("concentration", "rate")

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (self.df,) = broadcast_all(df)
        super().__init__(0.5 * self.df, 0.5, validate_args=validate_args)
