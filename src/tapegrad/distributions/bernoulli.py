"""The distribution of a single trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..modes import no_grad
from ..ops.elementwise.basic import where
from ..ops.loss.classification import binary_cross_entropy_with_logits
from ..ops.random.sampling import bernoulli
from ..ops.ranges import arange
from ..tensor import Tensor
from . import constraints
from .distribution import validated
from .probs_or_logits import ProbsOrLogits
from .utils import broadcast_all


class Bernoulli(ProbsOrLogits):
    """1 with probability ``probs``, else 0; or given by the log odds ``logits``.

    Raises:
        ValueError: unless exactly one of them is given.
    """

    support = constraints.boolean
    has_enumerate_support = True

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return self._param.shape

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The most likely outcome, NaN where there are two."""
        p = self.probs
        return where(p.eq(0.5), float("nan"), p.ge(0.5).to(p.dtype))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = arange(2, dtype=self._param.dtype, device=self._param.device).reshape(2, *[1] * len(self._batch_shape))
        return values.expand(2, *self._batch_shape) if expand else values
