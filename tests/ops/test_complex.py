"""Complex numbers: their parts as views, and reductions of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.testing import check_grads

Z = np.array([[1 + 2j, -3 + 0.5j], [0.25 - 1j, 0.5 + 1j]])


def leaf() -> tg.Tensor:
    return tg.tensor(Z, requires_grad=True)


def test_parts_are_views() -> None:
    z = tg.tensor(Z)
    for view in (z.real, z.imag, tg.view_as_real(z), tg.view_as_complex(tg.view_as_real(z))):
        assert np.shares_memory(view.numpy(), z.numpy())
    z.imag.zero_()
    z.real = tg.ones(2, 2)
    assert z.tolist() == [[1, 1], [1, 1]]
    tg.view_as_real(z)[0, 0, 1] = 5.0
    assert z[0, 0].item() == 1 + 5j


@pytest.mark.parametrize("write", [lambda z: z.real.mul_(2.0), lambda z: tg.view_as_real(z)[..., 0].mul_(2.0), lambda z: z[0].imag.mul_(z[1].real)])
def test_writing_a_part_keeps_the_gradient_of_the_other(write: Callable[[Any], Any]) -> None:
    def function(x: tg.Tensor) -> tg.Tensor:
        z = x * 1.0
        write(z)
        return z * z.conj()

    check_grads(function, [leaf()], order=2)


def test_pairs_become_complex_numbers_in_place() -> None:
    pairs = tg.tensor(np.stack([Z.real, Z.imag], -1), requires_grad=True)

    def function(x: tg.Tensor) -> tg.Tensor:
        y = x * 1.0
        tg.view_as_complex(y)[0].mul_(1j)
        return y * y

    check_grads(function, [pairs], order=2)
    check_grads(tg.view_as_complex, [pairs], order=2)


LONG = ("abs", "angle", "sgn")  # to compile, of which the second derivatives are


@pytest.mark.parametrize("name", [*LONG, "sigmoid", "log1p", "log2", "log10", "var", "std", "mean", "norm"])
def test_gradients_of_complex_numbers(name: str) -> None:
    check_grads(getattr(tg, name), [leaf()], order=1 if name in LONG else 2)


@pytest.mark.nightly
@pytest.mark.parametrize("name", LONG)
def test_second_order_of_complex_numbers(name: str) -> None:
    check_grads(getattr(tg, name), [leaf()], order=2)


def test_values_at_zero_and_infinity() -> None:
    z = tg.tensor([0j], requires_grad=True)
    (tg.abs(z).sum() + tg.sgn(z).real.sum()).backward()
    assert z.grad is not None and z.grad.tolist() == [0j]
    assert tg.log2(z).tolist() == [complex(-np.inf, 0.0)]
    assert tg.angle(tg.tensor([-1.0, 0.0, np.inf])).tolist() == pytest.approx([np.pi, 0.0, 0.0])
    assert tg.angle(tg.tensor([np.nan])).isnan().all()


def test_real_tensors_are_their_own_real_part_and_conjugate() -> None:
    x = tg.ones(2)
    assert x.conj() is x and x.real is x and x.resolve_conj() is x and tg.isreal(x).all()
    assert tg.isreal(tg.tensor([1 + 0j, 1j])).tolist() == [True, False]


def test_var_and_norm_against_numpy() -> None:
    z = tg.tensor(Z)
    assert z.var(correction=0).item() == pytest.approx(np.var(Z))
    assert z.var(0).dtype is tg.float64
    assert z.norm().item() == pytest.approx(np.linalg.norm(Z))
