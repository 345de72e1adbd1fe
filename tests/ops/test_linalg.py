"""Triangular systems and Cholesky's factorization."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import linalg


def test_a_zero_on_the_diagonal_gives_infinities():
    a = tg.tensor([[2.0, 0.0], [1.0, 0.0]])
    b = tg.tensor([[4.0], [3.0]])
    assert linalg.solve_triangular(a, b, upper=False).tolist() == [[2.0], [float("inf")]]
    found = linalg.solve_triangular(a.mT, b, upper=True)
    assert found.numpy()[1, 0] == np.inf


def test_the_other_triangle_is_not_read():
    rng = np.random.default_rng(0)
    a = rng.uniform(0.5, 1.5, (3, 3))
    garbage = np.where(np.tri(3), a, np.nan)
    b = rng.normal(size=(3, 2))
    x = linalg.solve_triangular(tg.tensor(garbage), tg.tensor(b), upper=False)
    assert np.allclose(np.tril(a) @ x.numpy(), b)
    spd = a @ a.T + np.eye(3)
    assert np.array_equal(linalg.cholesky(tg.tensor(np.where(np.tri(3), spd, 7.0))).numpy(), np.linalg.cholesky(spd))


def test_mistakes():
    with pytest.raises(RuntimeError, match=r"A must be square matrices \(..., n, n\), got shape \(2, 3\)"):
        linalg.solve_triangular(tg.ones(2, 3), tg.ones(2, 1), upper=True)
    with pytest.raises(RuntimeError, match=r"A of shape \(2, 2\) and B of shape \(3, 1\) don't fit"):
        linalg.solve_triangular(tg.ones(2, 2), tg.ones(3, 1), upper=True)
    with pytest.raises(RuntimeError, match="expected equal dtypes"):
        linalg.solve_triangular(tg.ones(2, 2), tg.ones(2, 1, dtype=tg.float64), upper=True)
    with pytest.raises(RuntimeError, match="floating-point or complex, got dtype tapegrad.int64"):
        linalg.cholesky(tg.ones(2, 2, dtype=tg.int64))


@pytest.mark.compare
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("upper", [False, True])
def test_cholesky_like_torch(dtype, upper, torch):
    rng = np.random.default_rng(1)
    m = (rng.normal(size=(2, 3, 3)) + (1j * rng.normal(size=(2, 3, 3)) if dtype == "complex128" else 0)).astype(dtype)
    spd = m @ m.conj().swapaxes(-1, -2) + np.eye(3)
    weight = rng.normal(size=(2, 3, 3)).astype(dtype)
    ours, theirs = tg.tensor(spd, requires_grad=True), torch.tensor(spd, requires_grad=True)
    y, z = linalg.cholesky(ours, upper=upper), torch.linalg.cholesky(theirs, upper=upper)
    y.backward(tg.tensor(weight))
    z.backward(torch.tensor(weight))
    assert np.allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-13)
    expected = theirs.grad.numpy()  # may have an anti-Hermitian part, along which inputs can't move
    assert np.allclose(ours.grad.numpy(), (expected + expected.conj().swapaxes(-1, -2)) / 2, rtol=1e-11)
