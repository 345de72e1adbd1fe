"""Distributions: laws of samples, gradients through samples, shapes, and mistakes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import tapegrad as tg
from tapegrad import distributions as D
from tapegrad.distributions import constraints


def t(*values: Any) -> tg.Tensor:
    return tg.tensor(values, dtype=tg.float64)


ONE = t(1.0).squeeze()
LAWS = {
    "Normal": (D.Normal(ONE, 2.0), stats.norm(1, 2)),
    "LogNormal": (D.LogNormal(ONE, 0.5), stats.lognorm(0.5, scale=math.e)),
    "Laplace": (D.Laplace(ONE, 2.0), stats.laplace(1, 2)),
    "Uniform": (D.Uniform(ONE, 3.0), stats.uniform(1, 2)),
    "Exponential": (D.Exponential(2 * ONE), stats.expon(scale=0.5)),
    "Gamma": (D.Gamma(0.7 * ONE, 2.0), stats.gamma(0.7, scale=0.5)),
    "Chi2": (D.Chi2(3 * ONE), stats.chi2(3)),
    "Beta": (D.Beta(0.5 * ONE, 2.0), stats.beta(0.5, 2)),
    "HalfNormal": (D.HalfNormal(2 * ONE), stats.halfnorm(0, 2)),
    "Cauchy": (D.Cauchy(ONE, 2.0), stats.cauchy(1, 2)),
    "Gumbel": (D.Gumbel(ONE, 2.0), stats.gumbel_r(1, 2)),
    "StudentT": (D.StudentT(3 * ONE, 1.0, 2.0), stats.t(3, 1, 2)),
}


@pytest.mark.parametrize("name", LAWS)
def test_samples_follow_their_law(name):
    ours, theirs = LAWS[name]
    tg.manual_seed(11)
    drawn = ours.sample((4000,))
    assert drawn.dtype is tg.float64
    assert not drawn.requires_grad
    assert stats.kstest(drawn.numpy(), theirs.cdf).pvalue > 0.01
    tg.manual_seed(11)
    assert np.array_equal(ours.rsample((4000,)).numpy(), drawn.numpy())


def test_discrete_laws():
    tg.manual_seed(2)
    for law, probabilities in (
        (D.Bernoulli(t(0.3)), [0.7, 0.3]),
        (D.Categorical(t([1.0, 2.0, 5.0])), [1 / 8, 2 / 8, 5 / 8]),
        (D.Geometric(t(0.4)), stats.geom(0.4, -1).pmf(np.arange(4))),
        (D.Poisson(t(1.5)), stats.poisson(1.5).pmf(np.arange(5))),
    ):
        drawn = law.sample((4000,)).numpy().ravel()
        observed = [(drawn == k).sum() for k in range(len(probabilities))]
        expected = 4000 * np.array(probabilities)
        assert (np.abs(observed - expected) < 4 * np.sqrt(expected)).all()
        values = tg.arange(len(probabilities), dtype=tg.from_numpy(drawn).dtype).unsqueeze(1)
        assert np.allclose(law.log_prob(values).exp().numpy().ravel(), probabilities, rtol=1e-6)
    vectors = D.OneHotCategorical(t([1.0, 2.0, 5.0])).sample((500,)).numpy().reshape(500, 3)
    assert (vectors.sum(1) == 1).all()
    assert np.abs(vectors.mean(0) - [1 / 8, 2 / 8, 5 / 8]).max() < 0.07


def test_mixtures():
    tg.manual_seed(4)
    law = D.MixtureSameFamily(D.Categorical(t(0.2, 0.8)), D.Normal(t(-5.0, 3.0), t(1.0, 0.5)))
    drawn = law.sample((4000,)).numpy()
    assert stats.kstest(drawn, lambda x: 0.2 * stats.norm(-5, 1).cdf(x) + 0.8 * stats.norm(3, 0.5).cdf(x)).pvalue > 0.01
    assert np.isclose(law.cdf(t(0.0)).item(), 0.2, rtol=1e-5)
    assert abs(drawn.mean() - law.mean.item()) < 0.2
    assert abs(drawn.std() - law.stddev.item()) < 0.1


def test_vectors():
    tg.manual_seed(3)
    covariance = t([2.0, 0.6], [0.6, 0.5])
    law = D.MultivariateNormal(t(1.0, -1.0), covariance)
    drawn = law.sample((5000,)).numpy()
    assert np.abs(np.cov(drawn.T) - covariance.numpy()).max() < 0.12
    assert np.abs(drawn.mean(0) - [1, -1]).max() < 0.07
    expected = stats.multivariate_normal([1, -1], covariance.numpy())
    assert np.allclose(law.log_prob(tg.tensor(drawn[:5])).numpy(), expected.logpdf(drawn[:5]), rtol=1e-12)
    assert np.isclose(law.entropy().item(), expected.entropy())
    precise = D.MultivariateNormal(t(1.0, -1.0), precision_matrix=law.precision_matrix)
    assert np.allclose(precise.scale_tril.numpy(), law.scale_tril.numpy(), rtol=1e-12)
    simplex = D.Dirichlet(t(0.01, 0.02, 0.03)).sample((2000,))
    assert np.allclose(simplex.sum(-1).numpy(), 1)
    assert np.abs(simplex.numpy().mean(0) - np.array([1, 2, 3]) / 6).max() < 0.04


# ------------------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (D.Normal, (1.0, 2.0)),
        (D.LogNormal, (0.1, 0.3)),
        (D.Laplace, (1.0, 2.0)),
        (D.Uniform, (1.0, 3.0)),
        (D.Exponential, (2.0,)),
        (D.Gamma, (0.7, 2.0)),
        (D.Gamma, (40.0, 2.0)),
        (D.Beta, (0.6, 2.5)),
        (D.StudentT, (7.0, 1.0, 2.0)),
    ],
)
def test_gradients_of_mean_and_variance_through_samples(make, parameters):
    """Of many samples, the mean gradient of x and x^2 is that of the moments, within five standard errors."""
    n = 20_000
    leaves = [tg.full((n,), p, dtype=tg.float64, requires_grad=True) for p in parameters]
    tg.manual_seed(5)
    x = make(*leaves).rsample()
    exact = [tg.tensor(p, dtype=tg.float64, requires_grad=True) for p in parameters]
    law = make(*exact)
    for function, moment in ((lambda x: x, law.mean), (lambda x: x * x, law.variance + law.mean**2)):
        found = tg.autograd.grad(function(x).sum(), leaves, retain_graph=True)
        expected = tg.autograd.grad(moment, exact, retain_graph=True, allow_unused=True, materialize_grads=True)
        for g, e in zip(found, expected, strict=True):
            g = g.numpy()
            assert abs(g.mean() - e.item()) <= 5 * g.std() / math.sqrt(n) + 1e-12


def test_gradients_of_dirichlet_samples():
    n = 20_000
    a = tg.tensor([0.5, 1.0, 3.0], dtype=tg.float64).expand(n, 3).clone().requires_grad_()
    tg.manual_seed(6)
    x = D.Dirichlet(a).rsample()
    (found,) = tg.autograd.grad((x[:, 0] * x[:, 2]).sum(), a)
    b = tg.tensor([0.5, 1.0, 3.0], dtype=tg.float64, requires_grad=True)
    total = b.sum()
    (expected,) = tg.autograd.grad(b[0] * b[2] / (total * (total + 1)), b)
    g = found.numpy()
    assert (np.abs(g.mean(0) - expected.numpy()) < 5 * g.std(0) / math.sqrt(n)).all()


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_samples_on_a_simplex_keep_away_from_its_corners_where_densities_are_infinite(dtype):
    tg.manual_seed(7)
    small = tg.full((200, 2), 1e-5, dtype=dtype)
    for law in (D.Dirichlet(small), D.Beta(small, small)):
        x = law.sample()
        assert x.gt(0).all() and x.lt(1).all() and law.log_prob(x).isfinite().all()


def test_parameters_computed_from_others_have_gradients_even_when_first_needed_without():
    logits = tg.tensor([0.3, -0.2], requires_grad=True)
    law = D.Bernoulli(logits=logits)
    law.sample()  # without recording, it computes probs
    law.probs.sum().backward()
    assert logits.grad.abs().min() > 0
    with pytest.raises(NotImplementedError, match="Bernoulli has no rsample; its samples have no gradient"):
        law.rsample()


# --------------------------------------------------------------------------------------------------------------- shapes

SHAPED = [
    D.Normal(tg.zeros(3), 1.0),
    D.LogNormal(tg.zeros(3), 1.0),
    D.Laplace(0.0, tg.ones(3)),
    D.Uniform(tg.zeros(3), 2.0),
    D.Exponential(tg.ones(3)),
    D.Gamma(tg.ones(3), 1.0),
    D.Chi2(tg.ones(3)),
    D.Beta(tg.ones(3), 1.0),
    D.StudentT(tg.ones(3)),
    D.Bernoulli(tg.full((3,), 0.5)),
    D.Bernoulli(logits=tg.zeros(3)),
    D.Poisson(tg.ones(3)),
    D.Geometric(tg.full((3,), 0.5)),
    D.HalfNormal(tg.ones(3)),
    D.Gumbel(tg.zeros(3), 1.0),
    D.Categorical(tg.ones(3, 4)),
    D.OneHotCategorical(tg.ones(3, 4)),
    D.Dirichlet(tg.ones(3, 4)),
    D.MultivariateNormal(tg.zeros(3, 4), tg.eye(4)),
    D.MultivariateNormal(tg.zeros(4), precision_matrix=tg.eye(4).expand(3, 4, 4)),
    D.Independent(D.Normal(tg.zeros(3, 2, 4), 1.0), 2),
]


@pytest.mark.parametrize("law", SHAPED, ids=lambda d: type(d).__name__)
def test_shapes(law):
    event = law.event_shape
    for d in (law, law.expand((2, 3))):
        batch = d.batch_shape
        value = d.sample((5, 1))
        assert value.shape == (5, 1, *batch, *event)
        assert d.log_prob(value).shape == (5, 1, *batch)
        assert constraints.independent(constraints.real, 0).check(value).all()
        assert d.support.check(value).all()
    assert law.batch_shape == (3,)
    assert d.batch_shape == (2, 3)
    if not isinstance(law, D.Poisson):
        assert d.entropy().shape == (2, 3)
    assert d.mean.shape == (2, 3) if isinstance(law, D.Categorical) else (2, 3, *event)
    assert d.stddev.shape == d.mean.shape
    if isinstance(law, D.StudentT):
        with pytest.raises(NotImplementedError, match="p type StudentT and q type StudentT"):
            tg.distributions.kl_divergence(d, law)
    else:
        assert tg.distributions.kl_divergence(d, law).shape == (2, 3)
    assert type(law).__name__ in repr(d)


def test_enumeration():
    assert D.Bernoulli(t(0.1, 0.2)).enumerate_support().tolist() == [[0, 0], [1, 1]]
    assert D.Categorical(t([1.0, 2, 3])).enumerate_support(expand=False).tolist() == [[0], [1], [2]]
    assert D.OneHotCategorical(t(1.0, 2.0)).enumerate_support().tolist() == [[1, 0], [0, 1]]
    with pytest.raises(NotImplementedError):
        D.Normal(0.0, 1.0).enumerate_support()


def test_repr():
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(D.Independent(D.Normal(tg.zeros(2), 1.0), 1)).startswith("Independent(Normal(loc: tapegrad.Size([2])")
    assert repr(D.Chi2(3.0)) == "Chi2(df: 3.0)"
    assert repr(constraints.greater_than(0.0)) == "GreaterThan(lower_bound=0.0)"
    assert repr(constraints.real) == "Real()"


# ------------------------------------------------------------------------------------------------------------ transforms


@pytest.mark.parametrize(
    "transform",
    [
        D.ExpTransform(),
        D.AffineTransform(1.0, -2.0),
        D.AffineTransform(t(1.0), t(3.0)),
        D.SigmoidTransform(),
        D.TanhTransform(),
        D.ComposeTransform([D.AffineTransform(0.5, 0.3), D.TanhTransform(), D.ExpTransform()]),
        D.ExpTransform().inv,
        D.identity_transform,
    ],
    ids=repr,
)
def test_transforms(transform):
    x = t(0.2, 0.7, 1.4).requires_grad_()
    y = transform(x)
    assert np.allclose(transform.inv(y).detach().numpy(), x.detach().numpy(), rtol=1e-12)
    (slope,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    assert np.allclose(transform.log_abs_det_jacobian(x, y).detach().numpy(), slope.abs().log().detach().numpy(), rtol=1e-8, atol=1e-12)
    assert (slope.sign() == transform.sign).all()
    assert transform.codomain.check(y).all()
    assert transform == transform
    assert hash(transform) == hash(transform)
    assert transform.inv.inv == transform
    assert (transform == D.SigmoidTransform()) is (type(transform) is D.SigmoidTransform)


def test_transformed_laws():
    law = D.TransformedDistribution(D.Normal(t(0.5), 2.0), [D.AffineTransform(1.0, -3.0)])
    same = D.Normal(t(-0.5), 6.0)
    at = t(2.0)
    for what in ("log_prob", "cdf"):
        assert np.isclose(getattr(law, what)(at).item(), getattr(same, what)(at).item())
    assert np.isclose(law.icdf(t(0.3)).item(), same.icdf(t(0.3)).item())
    squashed = D.TransformedDistribution(D.Independent(D.Normal(tg.zeros(2, 3), 30.0), 1), D.TanhTransform(cache_size=1))
    value = squashed.rsample()
    assert (squashed.batch_shape, squashed.event_shape, value.shape) == ((2,), (3,), (2, 3))
    assert value.abs().max() == 1  # where the inverse is lost, but kept
    assert squashed.log_prob(value).isfinite().all()
    assert D.kl_divergence(squashed, squashed).shape == (2,)
    assert squashed.expand((4, 2)).sample().shape == (4, 2, 3)
    assert repr(squashed.support).startswith("IndependentConstraint(Interval(lower_bound=-1.0")
    with pytest.raises(NotImplementedError, match="transformed in different ways"):
        D.kl_divergence(law, D.TransformedDistribution(law.base_dist, D.ExpTransform()))
    with pytest.raises(ValueError, match="transforms must be a Transform"):
        D.TransformedDistribution(same, [tg.exp])
    with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
        D.ExpTransform(cache_size=2)


# ------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: D.Normal(0.0, -1.0), r"parameter scale \(Tensor of shape \(\)\) .* constraint GreaterThan\(lower_bound=0.0\), but found"),
        (lambda: D.Normal(float("nan"), 1.0), r"parameter loc .* constraint Real\(\)"),
        (lambda: D.Normal("a", 1.0), "Number or Tensor, got str"),
        (lambda: D.Bernoulli(1.5), r"Interval\(lower_bound=0.0, upper_bound=1.0\)"),
        (lambda: D.Bernoulli(), "exactly one of `probs` and `logits`, got 0"),
        (lambda: D.Categorical(t(1.0), t(1.0)), "got 2"),
        (lambda: D.Categorical(ONE), "at least one-dimensional"),
        (lambda: D.Dirichlet(t(1.0, -1.0)), "parameter concentration"),
        (lambda: D.Geometric(0.0), "parameter probs of distribution .* to be positive"),
        (lambda: D.MixtureSameFamily(D.Bernoulli(0.5), D.Normal(t(0.0), 1.0)), "must be a Categorical, got Bernoulli"),
        (lambda: D.MixtureSameFamily(D.Categorical(t(1.0, 1.0)), D.Normal(t(0.0), 1.0)), r"2 weights, but components of batch shape \(1,\)"),
        (lambda: D.Chi2(-1.0), "parameter df"),
        (lambda: D.Uniform(1.0, 1.0), "not defined when low >= high"),
        (lambda: D.MultivariateNormal(t(0.0, 0.0), t([1.0, 2.0], [2.0, 1.0])), r"parameter covariance_matrix .*PositiveDefinite\(\)"),
        (lambda: D.MultivariateNormal(t(0.0, 0.0), scale_tril=t([1.0, 2.0], [0.0, 1.0])), r"LowerCholesky\(\)"),
        (lambda: D.Independent(D.Normal(0.0, 1.0), 1), "reinterpreted_batch_ndims"),
        (lambda: D.Normal(0.0, 1.0).log_prob(1.0), "must be a Tensor"),
        (lambda: D.Normal(tg.zeros(3), 1.0).log_prob(tg.zeros(2)), r"not broadcastable with batch_shape\+event_shape: \(2,\) vs \(3,\)"),
        (lambda: D.Gamma(1.0, 1.0).log_prob(tg.tensor(-1.0)), r"within the support \(GreaterThanEq\(lower_bound=0.0\)\) of the distribution Gamma"),
        (lambda: D.Poisson(1.0).log_prob(tg.tensor(0.5)), "within the support"),
        (lambda: D.Dirichlet(t(1.0, 1.0)).log_prob(t(0.5, 0.6)), r"within the support \(Simplex\(\)\)"),
        (lambda: D.Dirichlet(t(1.0, 1.0)).log_prob(t(0.5, 0.2, 0.3)), "right-most size of value must match event_shape"),
        (lambda: D.Categorical(t(1.0, 1.0)).log_prob(tg.tensor(2)), r"IntegerInterval\(lower_bound=0, upper_bound=1\)"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_validation_can_be_switched_off():
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)
    assert D.Bernoulli(0.5, validate_args=False).log_prob(tg.tensor(2.0)).isfinite()


def test_divergences_of_new_classes():
    class Mine(D.Normal):
        pass

    p, q = Mine(0.0, 1.0), D.Normal(1.0, 1.0)
    assert D.kl_divergence(p, q).item() == 0.5
    with pytest.raises(NotImplementedError, match="p type StudentT and q type Mine"):
        D.kl_divergence(D.StudentT(1.0), p)

    class Other(D.Distribution):
        pass

    D.register_kl(Other, Other)(lambda p, q: tg.tensor(7.0))
    assert D.kl_divergence(Other(), Other()).item() == 7
    with pytest.raises(TypeError, match="subclass of Distribution"):
        D.register_kl(int, Other)
