"""Distributions of one of several classes, as a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import dtypes
from ..computation import broadcast_shape
from ..ops.elementwise.basic import clamp
from ..ops.random.sampling import multinomial
from ..ops.ranges import arange
from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .distribution import validated
from .probs_or_logits import ProbsOrLogits


class Categorical(ProbsOrLogits):
    """A class from 0 to n - 1, with probabilities in proportion to ``probs`` (..., n), or given by log-probabilities ``logits``.

    ``probs`` and ``logits`` as attributes are normalised. Samples are int64.

    Raises:
        ValueError: unless exactly one of them is given; for one without dimensions.
    """

    arg_constraints: ClassVar[Constraints] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    _is_binary = False

    def __init__(self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None) -> None:
        super().__init__(probs, logits, validate_args)
        self._num_events = int(self._param.shape[-1])

    def _prepared(self, value: Tensor) -> Tensor:
        if value.ndim < 1:
            raise ValueError(f"`{self._given}` parameter must be at least one-dimensional.")
        return value / value.sum(-1, keepdim=True) if self._given == "probs" else value - value.logsumexp(-1, keepdim=True)

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return self._param.shape

    @property
    def support(self) -> Any:
        """Whole numbers below n."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        """NaN: classes are no quantities."""
        return self.probs.new_full(self._batch_shape, float("nan"))

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        """NaN: classes are no quantities."""
        return self.mean

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        rows = self.probs.detach().reshape(-1, self._num_events)
        return multinomial(rows, math.prod(sample_shape), True).T.reshape(self._extended_shape(sample_shape))

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        index = value.to(dtypes.int64).unsqueeze(-1)
        shape = broadcast_shape("Categorical.log_prob", [tuple(index.shape[:-1]), tuple(self._batch_shape)])
        return self.logits.expand(*shape, self._num_events).gather(-1, index.expand(*shape, 1)).squeeze(-1)

    def entropy(self) -> Tensor:
        finite = clamp(self.logits, min=dtypes.finfo(self.logits.dtype).min)  # 0 * -inf is 0 here
        return -(finite * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = arange(self._num_events, device=self._param.device).reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values
