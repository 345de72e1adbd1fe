"""Optimizers with parameters on the GPU, in float32, against the CPU in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.kernels.cuda import optim as kernels

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "sgd with momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "sgd uphill": lambda p: optim.SGD(p, 0.1, momentum=0.5, dampening=0.1, maximize=True),
    "adam": lambda p: optim.Adam(p, 0.05, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, 0.05, weight_decay=0.1),
    "nadam": lambda p: optim.NAdam(p, 0.05),
    "radam": lambda p: optim.RAdam(p, 0.05),
    "adamax": lambda p: optim.Adamax(p, 0.05),
    "adagrad": lambda p: optim.Adagrad(p, 0.1, initial_accumulator_value=0.1),
    "adadelta": lambda p: optim.Adadelta(p),
    "rmsprop": lambda p: optim.RMSprop(p, 0.05, momentum=0.9, centered=True),
    "rprop": lambda p: optim.Rprop(p, 0.05),
    "asgd": lambda p: optim.ASGD(p, 0.05, t0=2),
    "adafactor": lambda p: optim.Adafactor(p, 0.05),
}


def parameters(where: str, dtype: Any = tg.float32) -> list[Any]:
    """Of which one is larger than a chunk, one is no multiple of a vector, and one begins in the middle of one."""
    draws = np.random.default_rng(0)
    shapes = [(3, kernels.CHUNK // 3 + 5), (7,), (2, 2), ()]
    made = [tg.tensor(np.asarray(draws.uniform(0.5, 1.5, s)), dtype=dtype, device=where) for s in shapes]
    made.append(tg.tensor(draws.uniform(0.5, 1.5, 11), dtype=dtype, device=where)[1:])
    return [p.detach().requires_grad_() for p in made]


def train(params: list[Any], optimizer: Any, steps: int, first: int = 0) -> None:
    for k in range(first, first + steps):
        optimizer.zero_grad()
        for j, p in enumerate(params):
            if j != 2 or k != 1:  # one has no gradient in the second step, so that counts differ
                draws = np.random.default_rng([j, k])
                p.grad = tg.tensor(np.asarray(draws.uniform(-0.5, 1.0, tuple(p.shape))), dtype=p.dtype, device=p.device)
        optimizer.step()


def compare(found: list[Any], expected: list[Any], rtol: float = 2e-5) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_the_cpu(name: str) -> None:
    found, expected = parameters("cuda"), parameters("cpu", tg.float64)
    before = [p.detach().clone() for p in expected]
    on_gpu, on_cpu = OPTIMIZERS[name](found), OPTIMIZERS[name](expected)
    train(found, on_gpu, 4)
    train(expected, on_cpu, 4)
    assert all(not np.array_equal(a.numpy(), b.detach().numpy()) for a, b in zip(before, expected, strict=True))
    compare(found, expected)
    for p in found:
        assert all(t.is_cuda for t in on_gpu.state[p].values() if isinstance(t, tg.Tensor) and t.ndim)


def test_one_launch_updates_many_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    params, launches = parameters("cuda"), []
    launch = kernels.Updated.launch
    monkeypatch.setattr(kernels.Updated, "launch", lambda self, *args: (launches.append(len(args)), launch(self, *args)))
    train(params, optim.AdamW(params), 1)
    assert launches == [1 + len(params) + len(optim.AdamW(params).scalars(optim.AdamW(params).param_groups[0], 1.0))]


def test_complex_parameters() -> None:
    found, expected = ([tg.tensor([1 + 2j, 3 - 1j, 0.5j], dtype=tg.complex64, device=where).requires_grad_()] for where in ("cuda", "cpu"))
    for params in (found, expected):
        optimizer = optim.Adam(params, 0.1)
        for k in range(3):
            params[0].grad = tg.tensor([1 - 1j * k, 0.5 + 0j, 2j], dtype=tg.complex64, device=params[0].device)
            optimizer.step()
    compare(found, expected)


@pytest.mark.parametrize("name", ["sgd with momentum", "adam", "rprop"])
@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_state_that_did_not_move_with_the_model_is_refused(name: str, first: str) -> None:
    then = "cuda" if first == "cpu" else "cpu"
    model = tg.nn.Linear(3, 3).to(first)
    optimizer = OPTIMIZERS[name](model.parameters())
    model(tg.ones(2, 3, device=first)).sum().backward()
    optimizer.step()
    model.to(then)
    optimizer.zero_grad()
    model(tg.ones(2, 3, device=then)).sum().backward()
    with pytest.raises(RuntimeError, match="is on .* the parameter on .* state_dict"):
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert all(t.device == p.device for p in model.parameters() for t in optimizer.state[p].values() if isinstance(t, tg.Tensor) and t.ndim)


def test_a_state_of_the_cpu_goes_on_on_the_gpu() -> None:
    found, expected = parameters("cuda"), parameters("cpu", tg.float64)
    on_cpu, on_gpu = optim.Adam(expected, 0.05), optim.Adam(found, 0.05)
    train(expected, on_cpu, 2)
    for p, q in zip(found, expected, strict=True):
        p.detach().copy_(q.detach().to("cuda", tg.float32))
    on_gpu.load_state_dict(copy.deepcopy(on_cpu.state_dict()))
    train(expected, on_cpu, 2, first=2)
    train(found, on_gpu, 2, first=2)
    compare(found, expected)
    assert all(s["exp_avg"].is_cuda and not s["step"].is_cuda for s in on_gpu.state.values())


@pytest.mark.parametrize("name", ["lbfgs", "muon"])
def test_other_optimizers(name: str) -> None:
    made = []
    for where, dtype in (("cuda", tg.float32), ("cpu", tg.float64)):
        x = tg.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, 1.0]], dtype=dtype, device=where).requires_grad_()
        optimizer = optim.LBFGS([x], 0.5, max_iter=4) if name == "lbfgs" else optim.Muon([x], 0.05)

        def closure(x: Any = x, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = ((x - 1) * (x - 1) * tg.tensor([1.0, 2.0, 3.0], dtype=x.dtype, device=x.device)).sum()
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)
        made.append(x)
    compare(made[:1], made[1:], 2e-2 if name == "muon" else 1e-4)  # Muon computes in bfloat16


@pytest.mark.parametrize(("here", "there"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_model_that_moves_away_from_its_state_is_noticed(here: str, there: str) -> None:
    model = nn.Linear(3, 3).to(here)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    for device in (here, there):
        model.to(device).zero_grad()
        model(tg.ones(2, 3, device=device)).sum().backward()
        if device == here:
            optimizer.step()
    before = model.weight.detach().cpu().clone()
    with pytest.raises(RuntimeError, match="'exp_avg' of a parameter of shape"):
        optimizer.step()
    assert model.weight.detach().cpu().equal(before)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert not model.weight.detach().cpu().equal(before)
