"""Where parameters and samples of distributions may lie, as ``torch.distributions.constraints``.

A constraint's ``check(value)`` says where it holds: a bool tensor, without the last ``event_dim`` dimensions of the value.
"""

from __future__ import annotations

from typing import Any

from ..ops.create import zeros_like
from ..ops.linalg.cholesky import LinAlgError, cholesky
from ..tensor import Tensor

__all__ = [
    "Constraint",
    "boolean",
    "dependent",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer_interval",
    "interval",
    "is_dependent",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "positive",
    "positive_definite",
    "positive_integer",
    "real",
    "real_vector",
    "simplex",
    "symmetric",
    "unit_interval",
]


class Constraint:
    """A region. ``is_discrete`` says whether it holds isolated points, ``event_dim`` how many dimensions one point has."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Where the value lies in the region: a bool tensor, without the last ``event_dim`` dimensions."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__[1:] + "()"


Constraints = dict[str, Constraint]  # of parameters, by name


class _Dependent(Constraint):
    """A region that depends on the distribution's parameters, so that its class can't tell it; nothing to check."""

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("cannot determine the region of a dependent constraint; ask an instance of the distribution")


class _Boolean(Constraint):
    """0 and 1."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return value.eq(0) | value.eq(1)


class _OneHot(Constraint):
    """Vectors of zeros and a single one."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return value.sum(-1).eq(1) & boolean.check(value).all(-1)


class _Real(Constraint):
    """All numbers but NaN."""

    def check(self, value: Tensor) -> Tensor:
        return ~value.isnan()


class _Bounded(Constraint):
    """Numbers between bounds; either may be missing, and the upper or lower one belong to it or not."""

    def __init__(self, lower: Any = None, upper: Any = None, *, closed: tuple[bool, bool] = (True, True), name: str = "", whole: bool = False):
        self.lower_bound, self.upper_bound = lower, upper
        self._closed, self._name, self.is_discrete = closed, name, whole

    def check(self, value: Tensor) -> Tensor:
        found = ~value.isnan()
        if self.lower_bound is not None:
            found = found & (value.ge(self.lower_bound) if self._closed[0] else value.gt(self.lower_bound))
        if self.upper_bound is not None:
            found = found & (value.le(self.upper_bound) if self._closed[1] else value.lt(self.upper_bound))
        return found & value.remainder(1).eq(0) if self.is_discrete else found

    def __repr__(self) -> str:
        bounds = {"lower_bound": self.lower_bound, "upper_bound": self.upper_bound}
        return f"{self._name}({', '.join(f'{k}={v}' for k, v in bounds.items() if v is not None)})"


class _Simplex(Constraint):
    """Vectors of numbers that are not negative and sum to 1 (within 1e-6)."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return value.ge(0).all(-1) & (value.sum(-1) - 1).abs().lt(1e-6)


class _LowerTriangular(Constraint):
    """Matrices with zeros above the diagonal."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        return value.tril().eq(value).flatten(-2).all(-1)


class _LowerCholesky(_LowerTriangular):
    """Lower triangular matrices with a positive diagonal."""

    def check(self, value: Tensor) -> Tensor:
        return super().check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _Symmetric(Constraint):
    """Symmetric matrices (within 1e-6)."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        return value.isclose(value.mT, atol=1e-6).flatten(-2).all(-1)


class _PositiveDefinite(_Symmetric):
    """Symmetric matrices with positive eigenvalues."""

    def check(self, value: Tensor) -> Tensor:
        symmetric = super().check(value)
        if value.ndim > 2:
            return symmetric if _factors(value) else symmetric.new_tensor([self.check(part).tolist() for part in value])
        return symmetric if _factors(value) else zeros_like(symmetric)


def _factors(value: Tensor) -> bool:
    try:
        cholesky(value)
    except LinAlgError:
        return False
    return True


class independent(Constraint):
    """Another constraint whose last ``reinterpreted_batch_ndims`` dimensions make one point, where it must hold everywhere."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        """See :class:`Constraint`."""
        found = self.base_constraint.check(value)
        for _ in range(self.reinterpreted_batch_ndims):
            found = found.all(-1)
        return found

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above a bound."""
    return _Bounded(lower_bound, closed=(False, False), name="GreaterThan")


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers from a bound on."""
    return _Bounded(lower_bound, name="GreaterThanEq")


def less_than(upper_bound: Any) -> Constraint:
    """Numbers below a bound."""
    return _Bounded(None, upper_bound, closed=(False, False), name="LessThan")


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers between two bounds, which belong to it."""
    return _Bounded(lower_bound, upper_bound, name="Interval")


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers between two bounds, of which the upper one does not belong to it."""
    return _Bounded(lower_bound, upper_bound, closed=(True, False), name="HalfOpenInterval")


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers between two bounds, which belong to it."""
    return _Bounded(lower_bound, upper_bound, name="IntegerInterval", whole=True)


def is_dependent(constraint: Constraint) -> bool:
    """Whether only an instance of the distribution knows the region."""
    return isinstance(constraint, _Dependent)


dependent = _Dependent()
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _Bounded(0, name="IntegerGreaterThan", whole=True)
positive_integer = _Bounded(1, name="IntegerGreaterThan", whole=True)
real = _Real()
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _Simplex()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
symmetric = _Symmetric()
positive_definite = _PositiveDefinite()
