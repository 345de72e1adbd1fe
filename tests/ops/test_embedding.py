"""Embeddings beyond their samples: rows limited in place, gradients by frequency, bags of every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F

RNG = np.random.default_rng(0)


def test_max_norm_limits_the_rows_that_are_used_in_place() -> None:
    table = RNG.normal(size=(5, 3)) * 3
    weight = tg.tensor(table, requires_grad=True)
    out = F.embedding(tg.tensor([3, 1, 3]), weight, max_norm=1.5)
    lengths = np.linalg.norm(table, axis=1)
    expected = table.copy()
    for r in (1, 3):
        if lengths[r] > 1.5:
            expected[r] *= 1.5 / (lengths[r] + 1e-7)
    np.testing.assert_allclose(weight.detach().numpy(), expected)
    np.testing.assert_allclose(out.detach().numpy(), expected[[3, 1, 3]])
    out.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0.0] * 3, [1.0] * 3, [0.0] * 3, [2.0] * 3, [0.0] * 3]


def test_gradients_by_frequency() -> None:
    weight = tg.ones(4, 2, requires_grad=True)
    index = tg.tensor([[0, 2, 2], [2, 3, 1]])
    F.embedding(index, weight, padding_idx=1, scale_grad_by_freq=True).sum().backward()
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy(), [[1, 1], [0, 0], [1, 1], [1, 1]], rtol=1e-6)


BAGS: list[tuple[list[int], bool]] = [([0, 2, 2, 5], False), ([0, 3, 6], True), ([0, 0, 6, 6], False), ([0, 2, 4], True)]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize(("offsets", "last"), BAGS)
@pytest.mark.parametrize("padding", [None, 2])
def test_bags_of_all_sizes(offsets: list[int], last: bool, mode: str, padding: int | None) -> None:
    index, table = np.array([4, 2, 0, 2, 2, 1]), RNG.normal(size=(5, 3))
    weight = tg.tensor(table, requires_grad=True)
    out = F.embedding_bag(tg.tensor(index), weight, tg.tensor(offsets), mode=mode, include_last_offset=last, padding_idx=padding)
    ends = offsets[1:] if last else [*offsets[1:], len(index)]
    rows, gradient = [], np.zeros_like(table)
    for a, b in zip(offsets, ends, strict=False):
        bag = [r for r in index[a:b] if r != padding]
        if not bag:
            rows.append(np.zeros(3))
            continue
        picked = table[bag]
        rows.append({"sum": np.sum, "mean": np.mean, "max": np.max}[mode](picked, axis=0))
        for column in range(3):
            if mode == "max":
                gradient[bag[int(np.argmax(picked[:, column]))], column] += 1
            else:
                for r in bag:
                    gradient[r, column] += 1 if mode == "sum" else 1 / len(bag)
    np.testing.assert_allclose(out.detach().numpy(), rows)
    out.sum().backward()
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy(), gradient)


@pytest.mark.compare
@pytest.mark.parametrize("options", [{"mode": "sum"}, {"mode": "mean"}, {"mode": "max"}, {"mode": "mean", "max_norm": 1.0}])
def test_bags_as_pytorch(options: dict[str, Any], torch: Any) -> None:
    index, offsets, table = np.array([4, 2, 0, 2, 2, 1]), np.array([0, 2, 2, 5]), RNG.normal(size=(5, 3))
    mine, theirs = tg.tensor(table, requires_grad=True), torch.tensor(table, requires_grad=True)
    a = F.embedding_bag(tg.tensor(index), mine, tg.tensor(offsets), padding_idx=1, **options)
    b = torch.nn.functional.embedding_bag(torch.tensor(index), theirs, torch.tensor(offsets), padding_idx=1, **options)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy())
    a.sum().backward()
    b.sum().backward()
    assert mine.grad is not None
    np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy())


def test_gradients_of_bags_by_frequency() -> None:
    """PyTorch 2.13 takes the frequency of another index here, where one appears twice."""
    weight = tg.ones(5, 1, requires_grad=True)
    F.embedding_bag(tg.tensor([4, 2, 0, 2, 2, 1]), weight, tg.tensor([0, 2, 2, 5]), mode="sum", scale_grad_by_freq=True).sum().backward()
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy(), [[1], [1], [1], [0], [1]], rtol=1e-6)


def test_an_empty_bag_of_nothing_at_all() -> None:
    out = F.embedding_bag(tg.zeros(0, dtype=tg.int64), tg.ones(3, 2), tg.tensor([0, 0]), mode="max")
    assert out.tolist() == [[0.0, 0.0], [0.0, 0.0]]
