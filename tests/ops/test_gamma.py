"""Draws of gamma distributions and how they move with the shape."""

from __future__ import annotations

import numpy as np
import pytest
from distribution_references import log_gamma_slope
from scipy import special, stats

import tapegrad as tg
from tapegrad.ops.random.gamma import log_gamma_draw
from tapegrad.registry import REGISTRY


@pytest.mark.parametrize("shape", [0.01, 0.4, 1.0, 3.7, 1e3, 1e6])
def test_laws(shape):
    a = tg.full((3000,), shape, dtype=tg.float64)
    drawn = log_gamma_draw(a, tg.Generator().manual_seed(3)).numpy()
    assert stats.kstest(drawn, lambda y: special.gammainc(shape, np.exp(y))).pvalue > 0.01
    assert np.array_equal(drawn, log_gamma_draw(a, tg.Generator().manual_seed(3)).numpy())


def test_tiny_shapes_do_not_underflow():
    drawn = log_gamma_draw(tg.full((2000,), 1e-3, dtype=tg.float64), tg.Generator().manual_seed(0)).numpy()
    assert np.isfinite(drawn).all()
    # log(u) / a, but for a factor near 1
    assert stats.kstest(np.exp(1e-3 * drawn), "uniform").pvalue > 0.01
    assert np.isnan(log_gamma_draw(tg.tensor([0.0, -1.0, float("nan"), float("inf")])).numpy()).all()


@pytest.mark.parametrize("shape", [1e-3, 0.05, 1.0, 30.0, 3e3])
def test_gradients(shape):
    quantiles = np.array([1e-3, 0.2, 0.5, 0.9, 0.999])
    drawn = (np.log(quantiles) + special.gammaln(shape + 1)) / shape if shape < 0.01 else np.log(special.gammaincinv(shape, quantiles))
    a = tg.full((5,), shape, dtype=tg.float64, requires_grad=True)
    y = REGISTRY["log_gamma_draw"].call(a, draw=drawn)
    y.sum().backward()
    assert np.allclose(a.grad.numpy(), log_gamma_slope(shape, drawn), rtol=1e-9, atol=0)


def test_gradients_of_large_shapes_meet_the_series():
    drawn = np.log(special.gammaincinv(1e4, np.array([1e-3, 0.2, 0.5, 0.9, 0.999])))
    below, above = (REGISTRY["log_gamma_slope"].call(tg.full((5,), a, dtype=tg.float64), tg.tensor(drawn)) for a in (1e4 * (1 - 1e-12), 1e4))
    assert np.allclose(below.numpy(), above.numpy(), rtol=1e-7, atol=0)


def test_the_second_derivative_is_refused():
    a = tg.tensor([2.0, 3.0], requires_grad=True)
    (first,) = tg.autograd.grad(log_gamma_draw(a).sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative of a gamma distribution's samples .* not implemented"):
        first.sum().backward()
