"""Losses beyond their samples: extremes, ignored elements, PyTorch's old keywords, CTC beside PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_logits_may_be_extreme(dtype: Any) -> None:
    x = tg.tensor([1e4, -1e4, 1e4, -1e4, math.inf, -math.inf], dtype=dtype, requires_grad=True)
    t = tg.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0], dtype=dtype)
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert loss.tolist() == [0.0, 0.0, 1e4, 1e4, 0.0, 0.0]
    loss.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 1.0, -1.0, 0.0, 0.0]


def test_soft_margin_does_not_overflow() -> None:
    x = tg.tensor([-1e4, 1e4], requires_grad=True)
    F.soft_margin_loss(x, tg.tensor([1.0, 1.0]), reduction="sum").backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, 0.0]


def test_what_is_ignored_may_be_infinite() -> None:
    x = tg.tensor([[-math.inf, -1.0], [-0.5, -2.0]], requires_grad=True)
    loss = F.nll_loss(x, tg.tensor([0, 1]), ignore_index=0)
    assert loss.item() == 2.0
    loss.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, -1.0]]


def test_nothing_left_of_a_mean_is_nan() -> None:
    assert math.isnan(F.nll_loss(tg.zeros(2, 3), tg.tensor([1, 1]), ignore_index=1).item())


def test_nan_probabilities_stay_nan() -> None:
    loss = F.binary_cross_entropy(tg.tensor([math.nan, 0.5]), tg.tensor([1.0, 1.0]), reduction="none")
    assert math.isnan(loss[0].item())
    assert loss[1].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("old", "reduction"),
    [({"size_average": True}, "mean"), ({"size_average": False}, "sum"), ({"reduce": False}, "none"), ({"size_average": False, "reduce": True}, "sum")],
)
def test_deprecated_keywords(old: dict[str, bool], reduction: str) -> None:
    a, b = tg.tensor(RNG.normal(size=(3, 4))), tg.tensor(RNG.uniform(1, 2, (3, 4)))
    for name in ("l1_loss", "smooth_l1_loss", "kl_div", "poisson_nll_loss", "soft_margin_loss", "binary_cross_entropy_with_logits"):
        with pytest.warns(UserWarning, match=f"{name}: size_average and reduce are deprecated, use reduction='{reduction}'"):
            found = getattr(F, name)(a, b, **old)
        assert found.tolist() == getattr(F, name)(a, b, reduction=reduction).tolist()


@pytest.mark.parametrize("name", ["l1_loss", "smooth_l1_loss", "huber_loss"])
def test_broadcasting_warns(name: str) -> None:
    with pytest.warns(UserWarning, match=rf"{name}: target of size \(3, 1\) and input of size \(3,\) differ"):
        assert getattr(F, name)(tg.ones(3), tg.ones(3, 1), reduction="none").shape == (3, 3)


def test_a_distance_of_your_own() -> None:
    a, p, n = (tg.tensor(RNG.normal(size=(4, 3))) for _ in range(3))
    found = F.triplet_margin_with_distance_loss(a, p, n, distance_function=lambda x, y: 1 - F.cosine_similarity(x, y), margin=0.5, reduction="none")
    cos = [[np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a.numpy(), b.numpy(), strict=True)] for b in (p, n)]
    np.testing.assert_allclose(found.numpy(), np.maximum(0, 0.5 - np.array(cos[0]) + np.array(cos[1])))


# -------------------------------------------------------------------------------------------------------------------- ctc


def test_an_impossible_sequence_costs_infinity_or_nothing() -> None:
    x = tg.tensor(np.log(np.full((2, 1, 3), 1 / 3)), requires_grad=True)
    targets = tg.tensor([[1, 1]])  # takes three times: 1, blank, 1
    loss = F.ctc_loss(x, targets, (2,), (2,))
    assert loss.item() == math.inf
    for zero in (False, True):
        (g,) = tg.autograd.grad(F.ctc_loss(x, targets, (2,), (2,), zero_infinity=zero), x)
        assert not g.numpy().any()
    assert F.ctc_loss(x, targets, (2,), (2,), zero_infinity=True).item() == 0.0


def test_impossible_labels_leave_no_nan() -> None:
    x = np.log(np.full((4, 1, 3), 1 / 3))
    x[:, :, 2] = -math.inf
    x = tg.tensor(x, requires_grad=True)
    loss = F.ctc_loss(x, tg.tensor([[1]]), (4,), (1,))
    (g,) = tg.autograd.grad(loss, x, create_graph=True)
    assert np.isfinite(g.detach().numpy()).all()
    (h,) = tg.autograd.grad((g * g).sum(), x)
    assert np.isfinite(h.numpy()).all()


@pytest.mark.compare
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("flat", [False, True])
def test_ctc_behind_log_softmax_as_pytorch(reduction: str, flat: bool, torch: Any) -> None:
    logits = RNG.normal(size=(30, 4, 6))
    targets = RNG.integers(1, 6, (4, 9))
    inputs, counts = np.array([30, 22, 17, 1]), np.array([9, 5, 0, 1])
    given = np.concatenate([row[:n] for row, n in zip(targets, counts, strict=True)]) if flat else targets
    results = []
    for t, space in ((tg, F), (torch, torch.nn.functional)):
        x = t.tensor(logits, requires_grad=True)
        loss = space.ctc_loss(x.log_softmax(2), t.tensor(given), t.tensor(inputs), t.tensor(counts), reduction=reduction)
        (loss * loss).sum().backward()
        results.append((loss.detach().numpy(), x.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
