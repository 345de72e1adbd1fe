"""Clipping gradients, and parameters as one vector."""

from __future__ import annotations

import math
from typing import Any

import pytest
from beside_pytorch import arguments, pytorch

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import utils

INF = math.inf


def parameters(lib: Any, *grads: list[float]) -> list[Any]:
    made = [lib.nn.Parameter(lib.zeros(len(g), dtype=lib.float64)) for g in grads]
    for p, g in zip(made, grads, strict=True):
        p.grad = lib.tensor(g, dtype=lib.float64)
    return [*made, lib.nn.Parameter(lib.zeros(1))]


def test_a_norm_is_brought_to_its_limit() -> None:
    params = parameters(tg, [3.0, 0.0], [-4.0])
    grad = params[0].grad
    assert utils.clip_grad_norm_(params, 2.5).item() == 5
    assert params[0].grad is grad
    assert [p.grad.tolist() for p in params[:2]] == [pytest.approx([1.5, 0], rel=1e-6), pytest.approx([-2], rel=1e-6)]
    assert utils.clip_grad_norm_(iter(params), 2.6).item() == pytest.approx(2.5, rel=1e-6)
    assert utils.get_total_norm([p.grad for p in params[:2]]).item() == pytest.approx(2.5, rel=1e-6)
    utils.clip_grads_with_norm_(params, 1.0, tg.tensor(2.0))
    assert params[1].grad.item() == pytest.approx(-1, rel=1e-5)


def test_values_are_brought_to_their_limit() -> None:
    params = parameters(tg, [3.0, -0.5, -7.0])
    utils.clip_grad_value_(params, 2)
    assert params[0].grad.tolist() == [2, -0.5, -2]


def test_clipping_mistakes() -> None:
    with pytest.raises(RuntimeError, match="the total norm of order 2.0 of the gradients is inf"):
        utils.clip_grad_norm_(parameters(tg, [1.0, INF]), 1.0, error_if_nonfinite=True)
    with pytest.raises(TypeError, match=r"got Linear; pass its .parameters\(\)"):
        utils.clip_grad_norm_(nn.Linear(2, 2), 1.0)
    with pytest.warns(UserWarning, match="empty generator"):
        utils.clip_grad_norm_((p for p in ()), 1.0)
    with pytest.warns(FutureWarning, match="nn.utils.clip_grad_norm is deprecated"):
        utils.clip_grad_norm(parameters(tg, [1.0]), 1.0)


def test_parameters_as_a_vector_and_back() -> None:
    layer = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.tolist() == [*layer.weight.flatten().tolist(), *layer.bias.tolist()]
    vector.sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1]] * 3
    weight = layer.weight
    utils.vector_to_parameters(tg.arange(9.0), layer.parameters())
    assert layer.weight is weight and weight.requires_grad
    assert (weight.tolist(), layer.bias.tolist()) == ([[0, 1], [2, 3], [4, 5]], [6, 7, 8])
    with pytest.raises(RuntimeError, match=r"the parameters have 9 elements, vec has shape \(8,\)"):
        utils.vector_to_parameters(tg.ones(8), layer.parameters())
    assert weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(TypeError, match="expected a Tensor, got list"):
        utils.vector_to_parameters([1.0], layer.parameters())
    with pytest.raises(ValueError, match="no parameters"):
        utils.parameters_to_vector([])


@pytest.mark.compare
@pytest.mark.parametrize("limit", [1.0, 100.0])
@pytest.mark.parametrize("kind", [1, 2, 2.5, 0, 0.5, -1, INF, -INF, "inf"])
def test_norms_like_torch(kind: Any, limit: float) -> None:
    found = []
    for lib in (tg, pytorch()):
        params = parameters(lib, [3.0, 4.0, 0.5], [1.0, -7.0])
        norm = lib.nn.utils.clip_grad_norm_(params, limit, kind, foreach=False)
        found.append([norm.item(), *params[0].grad.tolist(), *params[1].grad.tolist()])
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.compare
def test_signatures_like_torch(torch: Any) -> None:
    theirs = torch.nn.utils
    names = ("clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm", "parameters_to_vector", "vector_to_parameters")
    for name in names:
        assert arguments(getattr(utils, name)) == arguments(getattr(theirs, name)), name
    for lib in (tg, pytorch()):
        params = parameters(lib, [1.0, INF])
        lib.nn.utils.clip_grad_norm_(params, 1.0)
        assert [math.isnan(g) for g in params[0].grad.tolist()] == [False, True]
        assert lib.nn.utils.clip_grad_norm_([], 1.0).item() == 0
