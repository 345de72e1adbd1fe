"""Norms of vectors and matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import linalg
from tapegrad.testing import check_grads

X = np.random.default_rng(0).normal(size=(2, 3, 4))


@pytest.mark.parametrize("order", ["fro", 1, -1, math.inf, -math.inf])
@pytest.mark.parametrize("keepdim", [False, True])
def test_matrix_norms_are_numpys(order, keepdim):
    x = tg.tensor(X)
    for dim in ((-2, -1), (2, 0)):
        expected = np.linalg.norm(X, order, dim, keepdim)
        for found in (linalg.matrix_norm(x, order, dim, keepdim), linalg.norm(x, order, dim, keepdim)):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)
    check_grads(lambda a: linalg.matrix_norm(a, order, (2, 0), keepdim), (x.clone().requires_grad_(),))


def test_vector_norms_are_numpys():
    x = tg.tensor(X)
    for order in (2, 1, 0, 3.5, math.inf, -math.inf):
        np.testing.assert_allclose(linalg.vector_norm(x, order, 1).numpy(), np.linalg.norm(X, order, 1), rtol=1e-14)
        np.testing.assert_allclose(linalg.norm(x, order, dim=1, keepdim=True).numpy(), np.linalg.norm(X, order, 1, True), rtol=1e-14)
        np.testing.assert_allclose(linalg.vector_norm(x, order).item(), np.linalg.norm(X.ravel(), order), rtol=1e-14)
    np.testing.assert_allclose(linalg.norm(x).item(), np.linalg.norm(X), rtol=1e-14)
    np.testing.assert_allclose(linalg.norm(x[0], 1).item(), np.linalg.norm(X[0], 1), rtol=1e-14)
    assert linalg.norm(x.float(), dtype=tg.float64).dtype is linalg.matrix_norm(x.float(), 1, dtype=tg.float64).dtype is tg.float64


def test_mistakes():
    x = tg.ones(2, 3, 4)
    with pytest.raises(NotImplementedError, match="ord='nuc' needs singular values"):
        linalg.matrix_norm(x, "nuc")
    with pytest.raises(RuntimeError, match="ord must be .* got 3"):
        linalg.matrix_norm(x, 3)
    with pytest.raises(RuntimeError, match=r"needs two dimensions, got an input of shape \(3,\)"):
        linalg.matrix_norm(tg.ones(3))
    with pytest.raises(RuntimeError, match="linalg.matrix_norm: dim appears twice"):
        linalg.matrix_norm(x, 1, (1, -2))
    with pytest.raises(RuntimeError, match="give one or two dimensions"):
        linalg.norm(x, 1)
    with pytest.raises(TypeError, match="ord must be a number, got 'fro'"):
        linalg.vector_norm(x, "fro")
