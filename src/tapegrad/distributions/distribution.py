"""What all distributions have in common."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeVar

from ..modes import no_grad
from ..tensor import Size, Tensor
from .constraints import Constraint, Constraints, is_dependent

D = TypeVar("D", bound="Distribution")


class Distribution:
    """A distribution of random tensors, or a batch of distributions.

    A sample has the shape ``sample_shape + batch_shape + event_shape``: how many were asked for, one for each distribution of the batch,
    and the shape of a single outcome. Draws come from the default generator.

    Attributes:
        arg_constraints: where each parameter may lie, by name.
        support: where samples may lie.
        has_rsample: whether gradients flow from samples to parameters (:meth:`rsample`).
        has_enumerate_support: whether :meth:`enumerate_support` lists all outcomes.

    Args:
        validate_args: check parameters, and values given to :meth:`log_prob` and the like; True unless
            :meth:`set_default_validate_args` or ``python -O`` says otherwise.

    Raises:
        ValueError: for a parameter outside of its region.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    arg_constraints: ClassVar[Constraints] = {}
    _parts: ClassVar[tuple[str, ...]] = ()  # tensors and distributions beside the parameters that begin with the batch's dimensions
    support: Any = None

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions that are made from now on check their arguments, unless they are told."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args expects a bool, got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (), validate_args: bool | None = None) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                value = self.__dict__.get(name)  # not what is computed from another parameter
                if value is not None and not is_dependent(constraint):
                    what = f"parameter {name} (Tensor of shape {tuple(value.shape)}) of distribution {self!r}"
                    self._check(value, constraint, what, f"satisfy the constraint {constraint!r}")

    def _check(self, value: Tensor, constraint: Constraint, what: str, to: str) -> None:
        if not constraint.check(value).all():
            raise ValueError(f"Expected {what} to {to}, but found invalid values:\n{value}")

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one outcome."""
        return self._event_shape

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """The same distribution for a larger batch, of parameters expanded to ``batch_shape``."""
        made = copy.copy(self)
        made._batch_shape = Size(batch_shape)
        before = len(self._batch_shape)
        for name in dict.fromkeys((*self.arg_constraints, *self._parts)):
            value = self.__dict__.get(name)  # absent: computed from another parameter when it is asked for
            if value is not None:
                inner = value.batch_shape if isinstance(value, Distribution) else value.shape
                made.__dict__[name] = value.expand((*batch_shape, *inner[before:]))
        return made

    # ------------------------------------------------------------------------------------------------------------- moments

    def _lacks(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} has no {what}")

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise self._lacks("mean")

    @property
    def mode(self) -> Tensor:
        """The most likely outcome."""
        raise self._lacks("mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise self._lacks("variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    # ------------------------------------------------------------------------------------------------------------- samples

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Samples of shape ``sample_shape + batch_shape + event_shape``, without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Samples through which gradients flow to the parameters ("reparameterized").

        Raises:
            NotImplementedError: for distributions that have none, such as those of discrete outcomes.
        """
        raise self._lacks("rsample; its samples have no gradient (log_prob has)")

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``."""
        return self.sample((n,))

    def _drawn(self, draw: Callable[..., Tensor], sample_shape: Sequence[int], like: Tensor) -> Tensor:
        """``draw``, such as ``rand``, called for one number per element of the samples, with a parameter's dtype and device."""
        return draw(self._extended_shape(sample_shape), dtype=like.dtype, device=like.device)

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    # --------------------------------------------------------------------------------------------------------- probabilities

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density or probability at ``value``, of its shape without that of an outcome.

        Raises:
            ValueError: for values that are no outcomes, unless ``validate_args=False``.
        """
        raise self._lacks("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of outcomes up to ``value``."""
        raise self._lacks("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The outcome up to which the probability is ``value``."""
        raise self._lacks("icdf")

    def entropy(self) -> Tensor:
        """The entropy in nats, of the batch's shape."""
        raise self._lacks("entropy")

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All outcomes along dimension 0; of shape (n, *batch_shape), or (n, 1, ...) without ``expand``."""
        raise self._lacks("list of outcomes")

    def _validate_sample(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        expected = (*self._batch_shape, *self._event_shape)
        events = len(self._event_shape)
        if tuple(value.shape[value.ndim - events :]) != tuple(self._event_shape):
            raise ValueError(
                f"The right-most size of value must match event_shape: {tuple(value.shape)} vs {tuple(self._event_shape)} of {self!r}"
            )
        for i, j in zip(reversed(value.shape), reversed(expected), strict=False):
            if 1 not in (i, j) and i != j:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {tuple(value.shape)} vs {expected}")
        support = self.support
        if support is not None and not is_dependent(support):
            what = f"value argument (Tensor of shape {tuple(value.shape)})"
            self._check(value, support, what, f"be within the support ({support!r}) of the distribution {self!r}")

    def __repr__(self) -> str:
        shown = {n: v for n in self.arg_constraints if (v := self.__dict__.get(n)) is not None}
        return f"{type(self).__name__}({', '.join(f'{n}: {v if v.numel() == 1 else v.size()}' for n, v in shown.items())})"


def validated(function: Any) -> Any:
    """Decorate log_prob, cdf and the like: check the value first, where the distribution does so."""

    @functools.wraps(function)
    def checked(self: Distribution, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return function(self, value)

    return checked
