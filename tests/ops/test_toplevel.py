"""Functions whose arguments at the top level are not those of nn.functional, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

X = np.random.default_rng(0).normal(size=(4, 3, 8))
SIGNS = np.array([1.0, -1.0, 1.0])

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "dropout": lambda m, t: m.dropout(t(X), 0.5, False),
    "alpha_dropout": lambda m, t: m.alpha_dropout(t(X), 0.5, False),
    "feature_alpha_dropout": lambda m, t: m.feature_alpha_dropout(t(X), 0.5, False),
    "embedding": lambda m, t: m.embedding(t(X[0]), t(np.array([0, 2])), 0),
    "batch_norm": lambda m, t: m.batch_norm(t(X), t(X[0, :, 0]), None, None, None, True, 0.1, 1e-3, False),
    "instance_norm": lambda m, t: m.instance_norm(t(X), t(X[0, :, 0]), t(X[0, :, 1]), None, None, True, 0.1, 1e-3, False),
    "adaptive_max_pool1d": lambda m, t: m.adaptive_max_pool1d(t(X), 3),
    "max_pool1d_with_indices": lambda m, t: m.max_pool1d_with_indices(t(X), 3, 2),
    "max_pool1d": lambda m, t: m.max_pool1d(t(X), 3, 2),
    "avg_pool1d": lambda m, t: m.avg_pool1d(t(X), 3, 2, 1),
    "adaptive_avg_pool1d": lambda m, t: m.adaptive_avg_pool1d(t(X), 3),
    "conv1d": lambda m, t: m.conv1d(t(X), t(X[:, :, :3]), padding="same"),
    "conv_transpose1d": lambda m, t: m.conv_transpose1d(t(X), t(X[:3, :, :3])),
    "pixel_shuffle": lambda m, t: m.pixel_shuffle(t(X.reshape(4, 4, 3, 2)), 2),
    "bce": lambda m, t: m.binary_cross_entropy_with_logits(t(X), t(X * 0 + 0.25), None, t(X[0, 0] ** 2), 2),
    "cosine": lambda m, t: m.cosine_embedding_loss(t(X[0]), t(X[1]), t(SIGNS), 0.2, 0),
    "hinge": lambda m, t: m.hinge_embedding_loss(t(X[0]), t(SIGNS[:, None] + 0 * X[0]), 0.7, 2),
    "kl": lambda m, t: m.kl_div(t(X[0]), t(np.abs(X[1])), 1),
    "ranking": lambda m, t: m.margin_ranking_loss(t(X[0, :, 0]), t(X[1, :, 0]), t(SIGNS), 0.3, 0),
    "poisson": lambda m, t: m.poisson_nll_loss(t(X), t(np.abs(X)), True, False, 1e-8, 2),
    "triplet": lambda m, t: m.triplet_margin_loss(t(X[0]), t(X[1]), t(X[2]), 0.5, 2.0, 1e-6, True, 0),
    "ctc": lambda m, t: m.ctc_loss(m.log_softmax(t(X), 2), t(np.array([[1], [2], [1]])), t(np.array([4, 4, 4])), t(np.array([1, 1, 1])), 0, 0),
}


@pytest.mark.compare
@pytest.mark.parametrize("name", CALLS)
def test_as_pytorch(name: str, torch: Any) -> None:
    found, expected = CALLS[name](tg, tg.tensor), CALLS[name](torch, torch.tensor)
    for a, b in zip(found, expected, strict=True) if isinstance(expected, tuple) else ((found, expected),):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_a_reduction_may_be_named() -> None:
    x = tg.tensor(X)
    assert tg.kl_div(x, x.abs(), "sum").item() == tg.kl_div(x, x.abs(), 2).item() == tg.nn.functional.kl_div(x, x.abs(), reduction="sum").item()
