"""Products of tensors: einsum's syntax, in-place sums of products, powers and chains of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd
from tapegrad.tensor import wrap
from tapegrad.testing import check_grads

EQUATIONS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(3, 4), (4, 2)]),
    (" b i j , bjk -> b i k ", [(2, 3, 4), (2, 4, 2)]),
    ("ij,jk,kl", [(2, 3), (3, 2), (2, 4)]),
    ("ba", [(2, 3)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("iij,jj->ij", [(2, 2, 3), (3, 3)]),
    ("iii->i", [(2, 2, 2)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (3, 4, 2)]),
    ("i...,i...", [(3, 2), (3, 2)]),
    ("...,...", [(2, 3), (3,)]),
    ("...i->...", [(2, 3, 4)]),
    ("i...j->j...i", [(2, 3, 4)]),
    ("bn,anm,bm->ba", [(2, 3), (4, 3, 2), (2, 2)]),
    ("iBa,Bj", [(2, 3, 2), (3, 2)]),
    ("aB,Ba", [(2, 3), (3, 2)]),
    ("ij->", [(2, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i,i->i", [(3,), (3,), (3,)]),
    ("ij,kj->", [(2, 3), (4, 3)]),
    (",i->i", [(), (3,)]),
    ("ij,jk->ik", [(0, 3), (3, 2)]),
    ("ij,jk->ik", [(2, 0), (0, 3)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 3, 2), (2, 2, 2, 2)]),
]
IDS = [f"{e.strip()} {s}" for e, s in EQUATIONS]


def operands(shapes: list[tuple[int, ...]], dtype: Any = np.float64) -> list[Any]:
    rng = np.random.default_rng(len(shapes))
    return [np.asarray(rng.uniform(0.5, 2.0, shape).astype(dtype)) for shape in shapes]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS, ids=IDS)
def test_einsum_equals_numpy(equation: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = operands(shapes)
    expected = np.einsum(equation, *arrays)
    out = tg.einsum(equation, *map(wrap, arrays))
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-13)
    assert tg.einsum(equation, list(map(wrap, arrays))).tolist() == out.tolist()
    whole = tg.einsum(equation, *[wrap(np.asarray(a * 4, np.int64)) for a in arrays])
    assert whole.tolist() == np.einsum(equation, *[(a * 4).astype(np.int64) for a in arrays]).tolist()


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS, ids=IDS)
def test_einsum_gradients(equation: str, shapes: list[tuple[int, ...]]) -> None:
    check_grads(lambda *x: tg.einsum(equation, *x), tuple(wrap(a).requires_grad_() for a in operands(shapes)), order=2)


@pytest.mark.compare
@pytest.mark.parametrize(
    ("equation", "shapes"), [*EQUATIONS, ("...ij->ij", [(5, 2, 3)]), ("ij,ij->ij", [(1, 3), (2, 3)]), ("ij,jk->ik", [(2, 1), (3, 4)])]
)
def test_einsum_equals_pytorch(torch: Any, equation: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = operands(shapes)
    mine, theirs = [wrap(a).requires_grad_() for a in arrays], [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    out, expected = tg.einsum(equation, *mine), torch.einsum(equation, *theirs)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    found = autograd.grad(out, mine, tg.ones_like(out))
    for g, h in zip(found, torch.autograd.grad(expected, theirs, torch.ones_like(expected)), strict=True):
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-12)


def test_einsum_of_sublists() -> None:
    a, b = (wrap(x) for x in operands([(2, 3, 4), (3, 4)]))
    assert tg.einsum(a, [0, 1, 2], b, [1, 2], [0]).tolist() == tg.einsum("abc,bc->a", a, b).tolist()
    assert tg.einsum(a, [..., 0], b, [..., 0]).tolist() == tg.einsum("...a,...a", a, b).tolist()
    assert tg.einsum(b, [30, 2]).tolist() == b.T.tolist()  # capitals come first: 2 before 30


def test_sums_of_products_write_in_place() -> None:
    rng = np.random.default_rng(2)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "addmm": [(2, 4), (2, 3), (3, 4)],
        "addmv": [(2,), (2, 3), (3,)],
        "addr": [(2, 3), (2,), (3,)],
        "baddbmm": [(2, 2, 4), (2, 2, 3), (2, 3, 4)],
        "addbmm": [(2, 4), (3, 2, 3), (3, 3, 4)],
    }
    for name, sizes in shapes.items():
        x, a, b = (wrap(rng.normal(size=s)).requires_grad_() for s in sizes)
        expected = getattr(x, name)(a, b, beta=0.5, alpha=2)
        y = x.clone()
        assert getattr(y, f"{name}_")(a, b, beta=0.5, alpha=2) is y
        assert y.tolist() == expected.tolist()
        for g, h in zip(autograd.grad(y.sum(), (x, a, b)), autograd.grad(expected.sum(), (x, a, b)), strict=True):
            assert g.tolist() == h.tolist()
        with pytest.raises(RuntimeError, match=f"{name}_: the result has shape"):
            getattr(tg.ones(1, dtype=tg.float64), f"{name}_")(a, b)


def test_beta_zero_ignores_the_input() -> None:
    given = tg.full((2,), math.nan, requires_grad=True)
    out = tg.addmm(given, tg.ones(2, 3), tg.ones(3, 2), beta=0)
    out.sum().backward()
    assert given.grad.tolist() == [0, 0]
    assert out.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    with pytest.raises(RuntimeError, match="addmm: beta and alpha must be integers"):
        tg.addmm(tg.ones(2, 2).long(), tg.ones(2, 3).long(), tg.ones(3, 2).long(), beta=0.5)


def test_powers_and_chains_of_matrices() -> None:
    x = wrap(np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert x.matrix_power(0).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert x.matrix_power(10).tolist() == [[89.0, 55.0], [55.0, 34.0]]
    assert not np.shares_memory(x.matrix_power(1).numpy(), x.numpy())
    assert x.reshape(1, 2, 2).matrix_power(0).shape == (1, 2, 2)
    chain = [wrap(m) for m in operands([(2, 30), (30, 3), (3, 40), (40, 2)])]
    with autograd.record() as tape:
        out = tg.chain_matmul(*[m.requires_grad_() for m in chain])
    np.testing.assert_allclose(out.detach().numpy(), np.linalg.multi_dot([m.detach().numpy() for m in chain]), rtol=1e-12)
    assert sum(e.op == "matmul" for e in tape) == 3


def test_the_correlation_of_one_variable_is_one() -> None:
    assert tg.tensor([1.0, 2.0, 4.0]).corrcoef().item() == 1.0
    assert tg.tensor([1.0, 2.0, 4.0]).cov().item() == pytest.approx(7 / 3)


def test_complex_products() -> None:
    a = wrap(np.array([1 + 2j, 3 - 1j]))
    b = wrap(np.array([2 - 1j, 1j]))
    assert tg.vdot(a, b).item() == np.vdot(a.numpy(), b.numpy())
    assert tg.dot(a, b).item() == np.dot(a.numpy(), b.numpy())
    x = a.clone().requires_grad_()
    check_grads(tg.vdot, (x, b.clone().requires_grad_()), order=1)
    check_grads(lambda x: x.prod(), (x,), order=2)
    check_grads(lambda x: x.cumprod(0), (x,), order=2)
