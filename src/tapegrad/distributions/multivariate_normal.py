"""The normal distribution of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from ..computation import broadcast_shape
from ..ops.create import eye
from ..ops.linalg.cholesky import cholesky, solve_triangular
from ..ops.random.generator import randn
from ..tensor import Tensor
from . import constraints
from .constraints import Constraints
from .distribution import Distribution, validated
from .utils import lazy_property, one_of


def _inverse(lower: Tensor) -> Tensor:
    return solve_triangular(lower, eye(lower.shape[-1], dtype=lower.dtype, device=lower.device), upper=False)


def half_log_det(lower: Tensor) -> Tensor:
    """Half of the log-determinant of ``lower @ lower.mT``, for lower triangular matrices with a positive diagonal."""
    return lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def squared_distance(lower: Tensor, diff: Tensor) -> Tensor:
    """Mahalanobis' ``diff^T (lower lower^T)^-1 diff`` of vectors (..., n)."""
    if lower.ndim == 2:  # one system for all vectors
        n = diff.shape[-1]
        solved = solve_triangular(lower, diff.reshape(-1, n).mT, upper=False)
        return (solved**2).sum(-2).reshape(diff.shape[:-1])
    return (solve_triangular(lower, diff.unsqueeze(-1), upper=False) ** 2).sum((-2, -1))


class MultivariateNormal(Distribution):
    """The normal distribution of vectors with mean ``loc`` (..., n), and one of three matrices (..., n, n).

    Args:
        covariance_matrix: positive definite.
        precision_matrix: its inverse.
        scale_tril: lower triangular with a positive diagonal, the covariance's Cholesky factor; needs no factorization.

    Raises:
        ValueError: unless exactly one matrix is given; for too few dimensions.
    """

    arg_constraints: ClassVar[Constraints] = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = one_of(self, covariance_matrix=covariance_matrix, precision_matrix=precision_matrix, scale_tril=scale_tril)
        if matrix.ndim < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        batch = broadcast_shape("MultivariateNormal", [tuple(matrix.shape[:-2]), tuple(loc.shape[:-1])])
        self.loc = loc.expand((*batch, -1))
        self.__dict__[name] = matrix.expand((*batch, -1, -1))
        super().__init__(batch, self.loc.shape[-1:], validate_args)
        if name == "scale_tril":
            factor = matrix
        elif name == "covariance_matrix":
            factor = cholesky(matrix)
        else:  # of the matrix turned around: L^-T is an upper factor of P
            factor = _inverse(cholesky(matrix.flip(-2, -1)).flip(-2, -1).mT)
        self._unbroadcasted_scale_tril = factor  # a matrix for the whole batch is one system to solve, so expand() leaves it

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        n = self._event_shape[0]
        return self._unbroadcasted_scale_tril.expand((*self._batch_shape, n, n))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        inverse = _inverse(self.scale_tril)
        return inverse.mT @ inverse

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self._unbroadcasted_scale_tril ** 2).sum(-1).expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        noise = self._drawn(randn, sample_shape, self.loc)
        return self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    @validated
    def log_prob(self, value: Tensor) -> Tensor:
        n, factor = self._event_shape[0], self._unbroadcasted_scale_tril
        return -0.5 * (n * math.log(2 * math.pi) + squared_distance(factor, value - self.loc)) - half_log_det(factor)

    def entropy(self) -> Tensor:
        found = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi)) + half_log_det(self._unbroadcasted_scale_tril)
        return found.expand(self._batch_shape)
