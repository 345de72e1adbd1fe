"""The distribution of the number of failures before the first success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..modes import no_grad
from ..ops.create import zeros_like
from ..ops.elementwise.special import xlog1py
from ..ops.loss.classification import binary_cross_entropy_with_logits
from ..ops.random.generator import rand
from ..tensor import Tensor
from . import constraints
from .distribution import validated
from .probs_or_logits import ProbsOrLogits


class Geometric(ProbsOrLogits):
    """k = 0, 1, 2, ... with probability ``(1 - probs)^k probs``; or given by the log odds ``logits``.

    Raises:
        ValueError: unless exactly one of them is given; for a probability of 0.
    """

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(probs, logits, validate_args)
        if self._validate_args and self._given == "probs" and not self.probs.gt(0).all():
            raise ValueError(f"Expected parameter probs of distribution {self!r} to be positive, but found invalid values:\n{self.probs}")

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            u = 1.0 - self._drawn(rand, sample_shape, self.probs)  # in (0, 1]
            return (u.log() / (-self.probs).log1p()).floor()

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        return xlog1py(value, -self.probs) + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
