"""What distributions share that are given by probabilities, or by logarithms."""

from __future__ import annotations

from typing import Any, ClassVar

from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .distribution import Distribution
from .utils import broadcast_all, lazy_property, logits_to_probs, one_of, probs_to_logits


class ProbsOrLogits(Distribution):
    """A distribution given by exactly one of ``probs`` and ``logits``; the other is computed when it is first asked for.

    Raises:
        ValueError: for none and for both.
    """

    arg_constraints: ClassVar[Constraints] = {"probs": constraints.unit_interval, "logits": constraints.real}
    _is_binary = True  # logits are log odds; else the logarithms of the probabilities of classes

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._given, value = one_of(self, probs=probs, logits=logits)
        value = self._prepared(value)
        self.__dict__[self._given] = value
        super().__init__(value.shape if self._is_binary else value.shape[:-1], validate_args=validate_args)

    def _prepared(self, value: Any) -> Tensor:
        """What is kept of the parameter."""
        return broadcast_all(value)[0]

    @property
    def _param(self) -> Tensor:
        """The parameter that was given."""
        value: Tensor = self.__dict__[self._given]
        return value

    @lazy_property
    def probs(self) -> Tensor:
        """The probabilities: of 1, of success, of the classes."""
        return logits_to_probs(self.logits, self._is_binary)

    @lazy_property
    def logits(self) -> Tensor:
        """The log odds of ``probs``; of classes, the logarithms."""
        return probs_to_logits(self.probs, self._is_binary)
