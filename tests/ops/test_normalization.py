"""Normalisation beyond its samples: running statistics, the fused op beside a composite, large means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F
from tapegrad.testing import check_grads

RNG = np.random.default_rng(0)


def composite(x: Any, dims: Any, weight: Any, bias: Any, eps: float) -> Any:
    centred = x - x.mean(dims, keepdim=True)
    return centred / (x.var(dims, unbiased=False, keepdim=True) + eps).sqrt() * weight + bias


def test_layer_norm_equals_the_composite_to_second_order() -> None:
    x, w, b = (tg.tensor(RNG.normal(size=s), requires_grad=True) for s in ((3, 4, 5), (4, 5), (4, 5)))
    seed = tg.tensor(RNG.normal(size=(3, 4, 5)))
    results = []
    for y in (F.layer_norm(x, (4, 5), w, b, 0.01), composite(x, (1, 2), w, b, 0.01)):
        first = tg.autograd.grad((y * seed).sum(), (x, w, b), create_graph=True)
        second = tg.autograd.grad(sum((g * g).sum() for g in first), (x, w))
        results.append([y, *first, *second])
    for fused, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fused.detach().numpy(), plain.detach().numpy(), rtol=1e-10, atol=1e-11)


_FORMS = {
    "rms_norm": (lambda x, w, b: F.rms_norm(x, (2, 2), w, 0.01), lambda x, w, b: x / ((x * x).mean((2, 3), keepdim=True) + 0.01).sqrt() * w, (2, 2)),
    "group_norm": (
        lambda x, w, b: F.group_norm(x, 3, w, b, 0.01),
        lambda x, w, b: composite(x, (2, 3), w.reshape(3, 1, 1), b.reshape(3, 1, 1), 0.01),
        (3,),
    ),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=0.01),
        lambda x, w, b: composite(x, (0, 2, 3), w.reshape(3, 1, 1), b.reshape(3, 1, 1), 0.01),
        (3,),
    ),
    "batch_norm that keeps statistics": (
        lambda x, w, b: F.batch_norm(x, tg.zeros(3, dtype=tg.float64), None, w, b, True, eps=0.01),
        lambda x, w, b: composite(x, (0, 2, 3), w.reshape(3, 1, 1), b.reshape(3, 1, 1), 0.01),
        (3,),
    ),
}


@pytest.mark.parametrize("form", _FORMS)
def test_the_fused_backward_is_differentiable_again(form: str) -> None:
    fused, plain, size = _FORMS[form]
    x, w, b = (tg.tensor(RNG.normal(size=s), requires_grad=True) for s in ((2, 3, 2, 2), size, size))
    results = []
    for function in (fused, plain):
        first = tg.autograd.grad((function(x, w, b) ** 3).sum(), (x, w, b), create_graph=True, allow_unused=True)
        second = tg.autograd.grad(sum((g * g * g).sum() for g in first if g is not None), (x, w))
        results.append([*[g for g in first if g is not None], *second])
    for a, c in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), c.detach().numpy(), rtol=1e-8, atol=1e-9 * float(c.abs().max()))


def test_batch_norm_in_training_equals_the_composite() -> None:
    x = tg.tensor(RNG.normal(size=(6, 3, 2)), requires_grad=True)
    w, b = tg.tensor(RNG.normal(size=3), requires_grad=True), tg.tensor(RNG.normal(size=3), requires_grad=True)
    fused = F.batch_norm(x, None, None, w, b, training=True)
    plain = composite(x, (0, 2), w.reshape(3, 1), b.reshape(3, 1), 1e-5)
    np.testing.assert_allclose(fused.detach().numpy(), plain.detach().numpy(), rtol=1e-10, atol=1e-12)
    for f, p in zip(*(tg.autograd.grad((y * y * y).sum(), (x, w, b)) for y in (fused, plain)), strict=True):
        np.testing.assert_allclose(f.numpy(), p.numpy(), rtol=1e-8, atol=1e-9)


def test_gradients_flow_through_the_running_form_and_not_into_its_statistics() -> None:
    mean, var = tg.tensor([0.5, -1.0], dtype=tg.float64, requires_grad=True), tg.tensor([1.0, 4.0], dtype=tg.float64, requires_grad=True)
    x = tg.tensor(RNG.normal(size=(3, 2)), requires_grad=True)
    F.batch_norm(x, mean, var).sum().backward()
    assert mean.grad is None
    assert var.grad is None
    np.testing.assert_allclose(x.grad.numpy(), np.tile([1, 0.5], (3, 1)), rtol=1e-4)


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_running_statistics_move_in_place(shape: tuple[int, ...]) -> None:
    x = RNG.normal(2.0, 3.0, shape)
    mean, var = tg.zeros(3, dtype=tg.float64), tg.ones(3, dtype=tg.float64)
    kept = mean, mean._version
    F.batch_norm(tg.tensor(x), mean, var, training=True, momentum=0.25)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean(axes))
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var(axes, ddof=1))
    assert kept[0] is mean
    assert mean._version > kept[1]
    before = mean.tolist(), var.tolist()
    F.batch_norm(tg.tensor(x), mean, var, training=False)
    assert (mean.tolist(), var.tolist()) == before


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0)])
def test_an_empty_batch_leaves_running_statistics(shape: tuple[int, ...]) -> None:
    mean, var = tg.zeros(3), tg.ones(3)
    assert F.batch_norm(tg.ones(shape), mean, var, training=True).shape == shape
    assert (mean.tolist(), var.tolist()) == ([0.0] * 3, [1.0] * 3)


def test_running_statistics_of_instance_norm() -> None:
    x = RNG.normal(2.0, 3.0, (4, 3, 5))
    mean, var = tg.zeros(3, dtype=tg.float64), tg.ones(3, dtype=tg.float64)
    F.instance_norm(tg.tensor(x), mean, var, momentum=0.25)
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean((0, 2)))
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var(2, ddof=1).mean(0))


@pytest.mark.compare
def test_running_statistics_are_pytorchs(torch: Any) -> None:
    x = RNG.normal(2.0, 3.0, (4, 3, 5)).astype(np.float32)
    for name in ("batch_norm", "instance_norm"):
        options = {"training": True} if name == "batch_norm" else {}
        mine, theirs = (tg.zeros(3), tg.ones(3)), (torch.zeros(3), torch.ones(3))
        for _ in range(3):
            a = getattr(F, name)(tg.tensor(x), *mine, **options)
            b = getattr(torch.nn.functional, name)(torch.tensor(x), *theirs, **options)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
        for m, t in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(m.numpy(), t.numpy(), rtol=1e-6)


def test_a_large_mean_costs_no_digits() -> None:
    x = RNG.normal(size=(4, 64)).astype(np.float32)
    shifted = np.float32(4096.0) + np.round(x * 64) / 64  # exact in float32
    expected = np.round(x.astype(np.float64) * 64) / 64
    expected = (expected - expected.mean(1, keepdims=True)) / np.sqrt(expected.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(F.layer_norm(tg.tensor(shifted), (64,)).numpy(), expected, atol=2e-5)


def test_sixteen_bit_inputs_keep_their_dtype_beside_wide_weights() -> None:
    x = tg.tensor(RNG.normal(size=(3, 4)), dtype=tg.float16)
    assert F.layer_norm(x, (4,), tg.ones(4), tg.zeros(4)).dtype is tg.float16
    assert F.batch_norm(x, tg.zeros(4), tg.ones(4)).dtype is tg.float16


def test_a_constant_has_gradient_zero() -> None:
    x = tg.full((2, 4), 3.0, requires_grad=True)
    F.layer_norm(x, (4,)).sum().backward()
    assert x.grad.tolist() == [[0.0] * 4] * 2


def test_nothing_to_normalise() -> None:
    assert F.layer_norm(tg.ones(0, 3), (3,)).shape == (0, 3)
    assert F.batch_norm(tg.ones(0, 3), tg.zeros(3), tg.ones(3)).shape == (0, 3)


def test_gradients_through_both_uses_of_an_input() -> None:
    check_grads(lambda x: F.group_norm(x, 2, eps=0.1) * F.rms_norm(x, (3,)), [tg.tensor(RNG.normal(size=(2, 4, 3)), requires_grad=True)], order=2)
