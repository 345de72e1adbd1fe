"""Values and gradients against torch.distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_pytorch import pytorch

import tapegrad as tg

pytestmark = pytest.mark.compare

REAL, POSITIVE = np.array([-1.5, 0.2, 2.0]), np.array([0.3, 1.0, 4.0])
UNIT, SIMPLEX = np.array([0.1, 0.5, 0.8]), np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
ROOT = np.array([[1.0, 0.0], [0.7, 0.5]])
SPD = ROOT @ ROOT.T
COUNT = np.array([0.0, 1.0, 5.0])

_RNG = np.random.default_rng(0)  # for the cases, not for use inside of tests
# class, parameters, a value
CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("Normal", {"loc": REAL, "scale": POSITIVE}, REAL[::-1].copy()),
    ("LogNormal", {"loc": REAL, "scale": POSITIVE}, POSITIVE),
    ("Laplace", {"loc": REAL, "scale": POSITIVE}, REAL[::-1].copy()),
    ("Uniform", {"low": REAL, "high": REAL + POSITIVE}, REAL + 0.4 * POSITIVE),
    ("Exponential", {"rate": POSITIVE}, POSITIVE[::-1].copy()),
    ("Gamma", {"concentration": POSITIVE, "rate": POSITIVE[::-1].copy()}, POSITIVE),
    ("Chi2", {"df": POSITIVE}, POSITIVE),
    ("Beta", {"concentration1": POSITIVE, "concentration0": POSITIVE[::-1].copy()}, UNIT),
    ("StudentT", {"df": POSITIVE, "loc": REAL, "scale": POSITIVE}, REAL),
    ("HalfNormal", {"scale": POSITIVE}, POSITIVE),
    ("Cauchy", {"loc": REAL, "scale": POSITIVE}, REAL[::-1].copy()),
    ("Gumbel", {"loc": REAL, "scale": POSITIVE}, REAL[::-1].copy()),
    ("Geometric", {"probs": UNIT}, COUNT),
    ("Geometric", {"logits": REAL}, COUNT),
    ("Bernoulli", {"probs": UNIT}, np.array([0.0, 1.0, 1.0])),
    ("Bernoulli", {"logits": REAL}, np.array([0.0, 1.0, 1.0])),
    ("Poisson", {"rate": POSITIVE}, COUNT),
    ("Categorical", {"probs": SIMPLEX * 3}, np.array([2, 0])),
    ("Categorical", {"logits": np.log(SIMPLEX) + 1}, np.array([2, 0])),
    ("OneHotCategorical", {"logits": np.log(SIMPLEX) + 1}, np.eye(3)[[2, 0]]),
    ("Dirichlet", {"concentration": np.array([[0.4, 1.0, 3.0], [2.0, 2.0, 2.0]])}, SIMPLEX),
    ("MultivariateNormal", {"loc": REAL[:2], "covariance_matrix": SPD}, _RNG.normal(size=(4, 2))),
    ("MultivariateNormal", {"loc": _RNG.normal(size=(3, 2)), "precision_matrix": SPD}, _RNG.normal(size=(3, 2))),
    ("MultivariateNormal", {"loc": REAL[:2], "scale_tril": np.stack([ROOT, 2 * ROOT])}, _RNG.normal(size=(4, 1, 2))),
]
IDS = [f"{name}-{'-'.join(parameters)}" for name, parameters, _ in CASES]


def both(parameters: dict[str, Any]) -> Any:
    torch = pytorch()
    return (
        (tg, tg.distributions, {k: tg.tensor(v, requires_grad=True) for k, v in parameters.items()}),
        (torch, torch.distributions, {k: torch.tensor(v, requires_grad=True) for k, v in parameters.items()}),
    )


def agree(a: Any, b: Any, what: str, rtol: float = 1e-10) -> None:
    x, y = a.detach().numpy(), b.detach().numpy()
    assert x.shape == y.shape, f"{what}: {x.shape}, expected {y.shape}"
    assert np.allclose(x, y, rtol=rtol, atol=1e-12, equal_nan=True), f"{what}: {x}, expected {y}"


def compare(results: Any, leaves: Any, what: str) -> None:
    """Values, and gradients of a weighted sum: these to 1e-7, since PyTorch's trigamma is no better."""
    (ours, theirs), (x, y), torch = results, leaves, pytorch()
    agree(ours, theirs, what)
    assert ours.requires_grad == theirs.requires_grad, what
    if not ours.requires_grad:
        return
    weight = np.linspace(0.5, 1.5, ours.numel()).reshape(tuple(ours.shape))
    found = [
        space.autograd.grad((result * space.tensor(weight)).sum(), [*inputs.values()], allow_unused=True, retain_graph=True)
        for space, result, inputs in ((tg, ours, x), (torch, theirs, y))
    ]
    for name, a, b in zip(x, *found, strict=True):
        if a is not None or b is not None:
            agree(tg.zeros_like(x[name]) if a is None else a, b if b is not None else y[name] * 0, f"gradient of {what} for {name}", 1e-7)


@pytest.mark.parametrize(("name", "parameters", "value"), CASES, ids=IDS)
def test_values_and_gradients(name: str, parameters: dict[str, Any], value: Any, torch: Any) -> None:
    pair = both(parameters)
    leaves = [inputs for _, _, inputs in pair]
    p, q = (getattr(space, name)(**inputs) for _, space, inputs in pair)
    for shape in ("batch_shape", "event_shape"):
        assert tuple(getattr(p, shape)) == tuple(getattr(q, shape))
    assert (p.has_rsample, p.has_enumerate_support) == (q.has_rsample, q.has_enumerate_support)
    compare([p.log_prob(tg.tensor(value)), q.log_prob(torch.tensor(value))], leaves, "log_prob")
    for what in ("mean", "variance", "stddev", "mode"):
        if name != "Uniform" or what != "mode":
            compare([getattr(p, what), getattr(q, what)], leaves, what)
    if name != "Poisson":
        compare([p.entropy(), q.entropy()], leaves, "entropy")
        compare([p.perplexity(), q.perplexity()], leaves, "perplexity")
    for what, at in (("cdf", value), ("icdf", UNIT)):
        if type(p).__dict__.get(what) is not None:
            compare([getattr(p, what)(tg.tensor(at)), getattr(q, what)(torch.tensor(at))], leaves, what)
    for what in ("probs", "logits", "scale_tril", "covariance_matrix", "precision_matrix"):
        # PyTorch's gradient of a precision has entries for the triangle of zeros, too
        if hasattr(q, what) and what not in parameters and (what, "scale_tril") != ("precision_matrix", next(reversed(parameters))):
            compare([getattr(p, what), getattr(q, what)], leaves, what)


@pytest.mark.parametrize(("name", "parameters"), [c[:2] for c in CASES if c[0] != "StudentT"])  # which is missing
def test_divergences(name: str, parameters: dict[str, Any]) -> None:
    shift = {"loc": 0.1, "low": -0.5, "high": 0.5}
    other = {k: v * (0.8 if k not in shift else 1.0) + shift.get(k, 0.0) for k, v in parameters.items()}
    results, leaves = [], []
    for library, space, inputs in both(parameters):
        q = getattr(space, name)(**{k: library.tensor(v) for k, v in other.items()})
        results.append(space.kl_divergence(getattr(space, name)(**inputs), q))
        leaves.append(inputs)
    compare(results, leaves, "KL")


@pytest.mark.parametrize(
    ("p", "q"),
    [("Exponential", "Gamma"), ("Gamma", "Exponential"), ("Beta", "Normal"), ("Exponential", "Normal"), ("Gamma", "Normal")]
    + [("Laplace", "Normal"), ("Uniform", "Normal"), ("Uniform", "Beta"), ("Chi2", "Gamma")],
)
def test_divergences_between_families(p: str, q: str) -> None:
    made = dict(zip([name for name, _, _ in CASES], [parameters for _, parameters, _ in CASES], strict=True))
    made |= {name: parameters for name, parameters, _ in CASES[:9]}
    chosen = {f"p_{k}": v for k, v in made[p].items()} | {f"q_{k}": v for k, v in made[q].items()}
    if q == "Beta":
        chosen |= {"p_low": UNIT * 0.5, "p_high": UNIT}
    results, leaves = [], []
    for _, space, inputs in both(chosen):
        pair = [getattr(space, n)(**{k[2:]: v for k, v in inputs.items() if k[0] == which}) for n, which in ((p, "p"), (q, "q"))]
        results.append(space.kl_divergence(*pair))
        leaves.append(inputs)
    compare(results, leaves, f"KL({p}, {q})")


def test_independent(torch: Any, rng: np.random.Generator) -> None:
    parameters = {"loc": rng.normal(size=(2, 3)), "scale": rng.uniform(0.5, 2, (2, 3))}
    value = rng.normal(size=(5, 2, 3))
    for n in (0, 1, 2):
        pair = both(parameters)
        leaves = [inputs for _, _, inputs in pair]
        p, q = (space.Independent(space.Normal(**inputs), n) for _, space, inputs in pair)
        assert (tuple(p.batch_shape), tuple(p.event_shape)) == (tuple(q.batch_shape), tuple(q.event_shape))
        compare([p.log_prob(tg.tensor(value)), q.log_prob(torch.tensor(value))], leaves, "log_prob")
        compare([p.entropy(), q.entropy()], leaves, "entropy")
        others = [space.Independent(space.Normal(0.0, 1.0).expand(p.base_dist.batch_shape), n) for _, space, _ in pair]
        compare([pair[0][1].kl_divergence(p, others[0]), pair[1][1].kl_divergence(q, others[1])], leaves, "KL")


def test_transformed(torch: Any) -> None:
    parameters = {"loc": REAL, "scale": POSITIVE}
    pair = both(parameters)
    leaves = [inputs for _, _, inputs in pair]
    for make in (
        lambda d: [d.TanhTransform()],
        lambda d: [d.SigmoidTransform(), d.AffineTransform(0.1, -0.5)],
        lambda d: [d.AffineTransform(1.0, 0.3), d.ExpTransform(), d.AffineTransform(0.0, 2.0).inv],
    ):
        p, q = (d.TransformedDistribution(d.Normal(**inputs), make(d)) for _, d, inputs in pair)
        value = q.icdf(torch.tensor(UNIT)).detach().numpy()
        compare([p.icdf(tg.tensor(UNIT)), q.icdf(torch.tensor(UNIT))], leaves, "icdf")
        compare([p.log_prob(tg.tensor(value)), q.log_prob(torch.tensor(value))], leaves, "log_prob")
        compare([p.cdf(tg.tensor(value)), q.cdf(torch.tensor(value))], leaves, "cdf")


@pytest.mark.parametrize("events", [0, 1])
def test_mixtures(events: int, torch: Any, rng: np.random.Generator) -> None:
    parameters = {"logits": rng.normal(size=(2, 3)), "loc": rng.normal(size=(2, 3, 4)[: 2 + events]), "scale": rng.uniform(0.5, 2, (2, 3, 4)[: 2 + events])}
    pair = both(parameters)
    leaves = [inputs for _, _, inputs in pair]
    p, q = (
        d.MixtureSameFamily(d.Categorical(logits=x["logits"]), d.Independent(d.Normal(x["loc"], x["scale"]), events)) for _, d, x in pair
    )
    value = rng.normal(size=(5, 2, 4)[: 2 + events])
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == (tuple(q.batch_shape), tuple(q.event_shape))
    assert p.sample((6,)).shape == tuple(q.sample((6,)).shape)
    assert p.expand((3, 2)).sample().shape == tuple(q.expand((3, 2)).sample().shape)
    compare([p.log_prob(tg.tensor(value)), q.log_prob(torch.tensor(value))], leaves, "log_prob")
    compare([p.mean, q.mean], leaves, "mean")
    compare([p.variance, q.variance], leaves, "variance")


def test_float32_and_numbers(torch: Any) -> None:
    assert tg.distributions.Normal(0.0, 1.0).sample().dtype is tg.float32
    value = np.array([0.5, 3.0], np.float32)
    for name, parameters in (("Normal", (0, 1.0)), ("Gamma", (2.0, 3)), ("Beta", (2.0, 3.0)), ("Laplace", (0.0, 2.0))):
        value = value if name != "Beta" else value / 4
        ours = getattr(tg.distributions, name)(*parameters).log_prob(tg.tensor(value))
        theirs = getattr(torch.distributions, name)(*parameters).log_prob(torch.tensor(value))
        assert ours.dtype is tg.float32
        assert np.allclose(ours.numpy(), theirs.numpy(), rtol=2e-6)
