"""Kullback-Leibler divergences: KL(p || q) = E_p[log p(x) - log q(x)], by a table of pairs of classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from ..ops.elementwise.basic import where
from ..ops.linalg.cholesky import solve_triangular
from ..tensor import Tensor
from .bernoulli import Bernoulli
from .beta import Beta
from .categorical import Categorical
from .cauchy import Cauchy
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .multivariate_normal import MultivariateNormal, half_log_det, squared_distance
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import EULER, betaln, sum_rightmost

F = TypeVar("F", bound=Callable[[Any, Any], Tensor])
_TABLE: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[F], F]:
    """Decorate a function ``(p, q) -> Tensor`` that computes the divergence for two classes and their subclasses.

    Raises:
        TypeError: for classes that are no distributions.
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected a subclass of Distribution but got {kind!r}")

    def decorate(function: F) -> F:
        _TABLE[type_p, type_q] = function
        return function

    return decorate


def _found(type_p: type, type_q: type) -> Callable[[Any, Any], Tensor] | None:
    """The entry for the nearest classes: that of p counts first."""
    pairs = ((p, q) for p in type_p.__mro__ for q in type_q.__mro__)
    return next((_TABLE[pair] for pair in pairs if pair in _TABLE), None)


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q) in nats, of the shape of the two batches broadcast.

    Raises:
        NotImplementedError: for a pair of classes without a formula; :func:`register_kl` adds one.
    """
    function = _found(type(p), type(q))
    if function is None:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}; add it with register_kl")
    return function(p, q)


def _log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """``p log(p / q)``, 0 where p is 0, and infinite where only q is."""
    return p.xlogy(p) - p.xlogy(q)


# ------------------------------------------------------------------------------------------------------------ same families


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    return _log_ratio(p.probs, q.probs) + _log_ratio(1 - p.probs, 1 - q.probs)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    normal = betaln(c, d) - betaln(a, b)
    return normal + (a - c) * a.digamma() + (b - d) * b.digamma() + (c + d - a - b) * (a + b).digamma()


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t = where(q.probs.eq(0), math.inf, t)
    return where(p.probs.eq(0), 0.0, t).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_categorical(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    """Chyzak and Nielsen (2019), https://arxiv.org/abs/1905.10965."""
    return (((p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2) / (4 * p.scale * q.scale)).log()


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    normal = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return normal + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    rates = b * (p.rate / q.rate).log()
    return rates + b.lgamma() - a.lgamma() + (a - b) * a.digamma() + (q.rate - p.rate) * (a / p.rate)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(f"KL of Independents of {p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims} dimensions is not implemented")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, shift, offset = p.scale / q.scale, q.loc / q.scale, p.loc / q.scale
    moved = (shift - offset + (ratio + 1).lgamma()).exp()
    return ratio * EULER - ratio.log() - (1 + EULER) - shift + offset + moved


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two MultivariateNormals of different sizes, {tuple(p.event_shape)} and {tuple(q.event_shape)}")
    a, b = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    trace = (solve_triangular(b, a, upper=False) ** 2).sum((-2, -1))
    return half_log_det(b) - half_log_det(a) + 0.5 * (trace + squared_distance(b, q.loc - p.loc) - p.event_shape[0])


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            f"KL of distributions transformed in different ways is not implemented: by {p.transforms} and {q.transforms}"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return _log_ratio(p.rate, q.rate) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    inside = q.low.le(p.low) & q.high.ge(p.high)
    return where(inside, ((q.high - q.low) / (p.high - p.low)).log(), math.inf)


# ---------------------------------------------------------------------------------------------------------- other families


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    ratio, a = q.rate / p.rate, q.concentration
    return -a * ratio.log() + ratio + a.lgamma() + a * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Uniform, Beta)
def _uniform_beta(p: Uniform, q: Beta) -> Tensor:
    spread = p.high - p.low

    def integral(x: Tensor) -> Tensor:  # of log
        return x.xlogy(x) - x

    up = (q.concentration1 - 1) * (integral(p.high) - integral(p.low)) / spread
    down = (q.concentration0 - 1) * (integral(1 - p.low) - integral(1 - p.high)) / spread
    inside = p.low.ge(0) & p.high.le(1)
    return where(inside, betaln(q.concentration1, q.concentration0) - spread.log() - up - down, math.inf)


@register_kl(Beta, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
def _to_normal(p: Any, q: Normal) -> Tensor:
    """From a distribution that has mean, variance and entropy: the cross entropy with a normal distribution needs no more."""
    squares = (p.variance + (p.mean - q.loc) ** 2) / (2 * q.scale**2)
    return -p.entropy() + q.scale.log() + 0.5 * math.log(2 * math.pi) + squares
