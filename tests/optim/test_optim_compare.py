"""Optimizers beside PyTorch: trajectories, state dicts, signatures, messages."""

from __future__ import annotations

import numpy as np
import pytest
from beside_pytorch import arguments

import tapegrad as tg
from tapegrad import optim

pytestmark = pytest.mark.compare

DECAY = {"weight_decay": 0.05}
MATRICES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, **DECAY}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, **DECAY}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "foreach": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-6, "amsgrad": True, **DECAY}),
    ("Adam", {"lr": 0.05, "maximize": True, "fused": True}),
    ("Adam", {"lr": 0.05, "decoupled_weight_decay": True, **DECAY}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("Adamax", {"lr": 0.05}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, **DECAY, "maximize": True}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.05, "momentum_decay": 0.1, **DECAY}),
    ("NAdam", {"lr": 0.05, "decoupled_weight_decay": True, "maximize": True, **DECAY}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.05, "betas": (0.7, 0.8), **DECAY}),
    ("RAdam", {"lr": 0.05, "betas": (0.9, 0.99), "eps": 1e-3, "decoupled_weight_decay": True, "maximize": True, **DECAY}),
    ("Adagrad", {"lr": 0.5}),
    ("Adagrad", {"lr": 0.5, "lr_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3, "maximize": True, **DECAY}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 2.0, "rho": 0.7, "eps": 1e-3, "maximize": True, **DECAY}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.5, "centered": True, **DECAY}),
    ("RMSprop", {"centered": True, "eps": 1e-3, "maximize": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.3, "etas": (0.3, 1.5), "step_sizes": (1e-2, 0.5), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.05, "lambd": 0.1, "alpha": 0.5, "t0": 10, "maximize": True, **DECAY}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-4, 1e-2), "d": 1.5, "maximize": True, **DECAY}),
    ("LBFGS", {"max_iter": 3}),
    ("LBFGS", {"lr": 0.3, "max_iter": 2, "history_size": 2, "line_search_fn": "strong_wolfe"}),
]
each_case = pytest.mark.parametrize(("name", "options"), MATRICES, ids=[f"{n}{i}" for i, (n, _) in enumerate(MATRICES)])
NAMES = sorted(name for name in optim.__all__ if name[0].isupper() and name != "Optimizer")


def arrays():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s) for s in ((3, 4), (4,), (), (2, 3, 2))]


def objective(lib, params):
    """A convex function with unequal slopes, so that trajectories don't part from rounding alone."""
    w, b, c, k = params
    scale = lib.tensor(np.linspace(0.1, 3.0, 12).reshape(3, 4))
    return ((w - b) ** 2 * scale).sum() + (b**4).sum() / 4 + (c - 1) ** 2 * 0.5 + ((k - c) ** 2).sum()


def run(lib, optimizer, params, steps):
    sign = -1 if optimizer.defaults.get("maximize") else 1

    def closure():
        optimizer.zero_grad()
        loss = sign * objective(lib, params)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def pair(torch, name, options, groups=lambda params: params):
    """The same optimizer here and there, with the libraries and parameters."""
    made = []
    for lib in (tg, torch):
        params = [lib.tensor(a, requires_grad=True) for a in arrays()]
        made.append((lib, getattr(lib.optim, name)(groups(params), **options), params))
    return made


def compare(name, ours, theirs):
    rtol, atol = (1e-6, 1e-7) if name == "LBFGS" else (1e-8, 1e-12)  # quasi-Newton directions amplify roundings
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=atol)


def to(lib, other, value):
    """A state dict in the other library's tensors."""
    if isinstance(value, other.Tensor):
        return lib.tensor(value.detach().numpy().copy())
    if isinstance(value, dict):
        return {k: to(lib, other, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to(lib, other, v) for v in value)
    return value


@each_case
def test_fifty_steps(name, options, torch):
    (_, ours, params), (_, theirs, others) = pair(torch, name, options)
    for _ in range(50):
        run(tg, ours, params, 1)
        run(torch, theirs, others, 1)
        compare(name, params, others)


@each_case
def test_state_dicts_go_both_ways(name, options, torch):
    (_, ours, params), (_, theirs, others) = pair(torch, name, options)
    run(tg, ours, params, 12)
    run(torch, theirs, others, 12)
    here, there = ours.state_dict(), theirs.state_dict()
    assert here["param_groups"] == there["param_groups"]
    assert here["state"].keys() == there["state"].keys()
    for key, values in here["state"].items():
        assert values.keys() == there["state"][key].keys()
        for entry, value in values.items():
            other = there["state"][key][entry]
            if isinstance(other, torch.Tensor) and entry not in ("t", "H_diag"):
                assert value.dtype.name == str(other.dtype).removeprefix("torch.")
                assert tuple(value.shape) == tuple(other.shape)
                if name != "LBFGS":  # whose last directions are rounding
                    np.testing.assert_allclose(value.numpy(), other.numpy(), rtol=1e-8, atol=1e-12)
    ours.load_state_dict(to(tg, torch, there))
    theirs.load_state_dict(to(torch, tg, here))
    for p, q in zip(params, others, strict=True):
        p.detach().copy_(tg.tensor(q.detach().numpy()))
    run(tg, ours, params, 12)
    run(torch, theirs, others, 12)
    for p, q in zip(params, others, strict=True):  # 1e-6: PyTorch loads the float32 numbers of NAdam and ASGD as float64
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", sorted({name for name, _ in MATRICES} - {"LBFGS"}))
def test_groups_with_options_of_their_own(name, torch):
    different = {"weight_decay": 0.1} if name != "Rprop" else {"etas": (0.4, 1.3)}

    def groups(params):
        return [{"params": params[:2], "lr": 0.02}, {"params": params[2], **different}, {"params": params[3:], "maximize": True}]

    (_, ours, params), (_, theirs, others) = pair(torch, name, {"lr": 0.1}, groups)
    for _ in range(50):
        run(tg, ours, params, 1)
        run(torch, theirs, others, 1)
        compare(name, params, others)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", sorted({name for name, _ in MATRICES}))
def test_a_tensor_as_learning_rate(name, torch):
    (_, ours, params), (_, theirs, others) = pair(torch, name, {})
    for lib, optimizer in ((tg, ours), (torch, theirs)):
        optimizer.param_groups[0]["lr"] = lib.tensor(0.03, dtype=lib.float64)
    run(tg, ours, params, 10)
    run(torch, theirs, others, 10)
    compare(name, params, others)


@pytest.mark.parametrize("name", sorted({name for name, _ in MATRICES} - {"Adafactor"}))
def test_complex_parameters(name, torch):
    start, target = (np.random.default_rng(0).standard_normal((2, 3, 2)) @ (1, 1j) for _ in range(2))
    ends = []
    for lib in (tg, torch):
        p = lib.tensor(start, requires_grad=True)
        options = {"initial_accumulator_value": 0.1} if name == "Adagrad" else {}
        optimizer = getattr(lib.optim, name)([p], lr=0.05, **options)

        def closure(lib=lib, p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (p - lib.tensor(target)).abs().square().sum()
            loss.backward()
            return loss

        for _ in range(20):
            optimizer.step(closure)
        state = {k: v.numpy() for k, v in optimizer.state[p].items() if isinstance(v, lib.Tensor) and v.ndim}
        ends.append({"p": p.detach().numpy(), **state})
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        np.testing.assert_allclose(value, ends[1][key], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("start", [(-1.2, 1.0), (2.0, -2.0), (0.0, 0.0)])
def test_lbfgs_on_rosenbrock(search, start, torch):
    lr = 1.0 if search else 1e-3
    paths = []
    for lib in (tg, torch):
        x = lib.tensor(list(start), dtype=lib.float64, requires_grad=True)
        optimizer = lib.optim.LBFGS([x], lr=lr, max_iter=4, history_size=5, line_search_fn=search)

        def closure(lib=lib, x=x, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
            loss.backward()
            return loss

        paths.append([(optimizer.step(closure).item(), *x.tolist()) for _ in range(20)])
        evaluations = optimizer.state[x]["func_evals"]
        paths[-1].append((evaluations, 0, 0))
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-6, atol=1e-9)
    if search:
        np.testing.assert_allclose(paths[0][-2][1:], (1, 1), atol=1e-3)


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5)])
@pytest.mark.parametrize("options", [{}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "weight_decay": 0.5}])
def test_muon(shape, options, torch):
    """Orthogonalized in bfloat16, whose roundings (2^-8 of a direction) depend on the order of sums."""
    start, slope = np.random.default_rng(1).standard_normal((2, *shape))
    ends = []
    for lib in (tg, torch):
        p = lib.tensor(start, requires_grad=True)
        optimizer = lib.optim.Muon([p], lr=0.01, **options)
        for _ in range(20):
            p.grad = lib.tensor(slope) + p.detach()
            optimizer.step()
        ends.append(p.detach().numpy())
    moved = np.abs(ends[1] - start).max()
    np.testing.assert_allclose(ends[0], ends[1], atol=2**-8 * moved)


DIFFERENTIABLE = [
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"weight_decay": None}),
    ("SGD", {"lr": None, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": None}),
    ("AdamW", {"lr": None}),
    ("NAdam", {}),
    ("RAdam", {"betas": (0.7, 0.8)}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("ASGD", {}),
]


@pytest.mark.parametrize(("name", "options"), DIFFERENTIABLE, ids=[f"{n}-{'-'.join(o)}" for n, o in DIFFERENTIABLE])
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_gradients_through_steps(name, options, torch):
    """By the start, the gradients, and the option given as None; PyTorch's bias corrections are float32 here."""
    found = []
    for lib in (tg, torch):
        start = lib.tensor(np.linspace(-1, 1, 4), requires_grad=True)
        slope = lib.tensor(np.array([0.3, -0.2, 0.5, 1.0]), requires_grad=True)
        option = lib.tensor(0.05, dtype=lib.float64, requires_grad=True)
        given = {k: option if v is None else v for k, v in options.items()}
        p = start.clone()
        optimizer = getattr(lib.optim, name)([p], differentiable=True, **given)
        for k in range(3):
            p.grad = slope * (k + 1) + start
            optimizer.step()
        leaves = [start, slope, *([option] if None in options.values() else [])]
        found.append([g.numpy() for g in lib.autograd.grad((p**2).sum(), leaves)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


# -------------------------------------------------------------------------------------------------------------- surface


@pytest.mark.parametrize("name", NAMES)
def test_signatures_and_defaults(name, torch):
    ours, theirs = getattr(optim, name), getattr(torch.optim, name)
    assert arguments(ours) == arguments(theirs)
    shape = (2, 2)
    made, other = ours([tg.ones(shape, requires_grad=True)]), theirs([torch.ones(shape, requires_grad=True)])
    assert made.defaults == other.defaults
    assert repr(made) == repr(other)


def test_public_names(torch):
    theirs = set(torch.optim.__all__) - {"SparseAdam", "swap_in_optimizer_params_and_state", "swa_utils"}
    assert theirs <= set(optim.__all__)


BAD = [
    *((name, {"lr": -1.0}) for name in NAMES),
    *((name, {"weight_decay": -1.0}) for name in NAMES if name not in ("LBFGS", "Rprop")),
    *((name, {"eps": -1.0}) for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop")),
    *((name, {"betas": (1.0, 0.5)}) for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")),
    *((name, {"betas": (0.5, -0.1)}) for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")),
    *((name, {"momentum": -1.0}) for name in ("SGD", "RMSprop", "Muon")),
    *((name, {"fused": True, "foreach": True}) for name in ("SGD", "Adam", "AdamW", "Adagrad")),
    *((name, {"fused": True, "differentiable": True}) for name in ("SGD", "Adam", "AdamW", "Adagrad")),
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("NAdam", {"momentum_decay": -1.0}),
    ("Adagrad", {"lr_decay": -1.0}),
    ("Adagrad", {"initial_accumulator_value": -1.0}),
    ("Adadelta", {"rho": 1.5}),
    ("RMSprop", {"alpha": -1.0}),
    ("Rprop", {"etas": (1.5, 1.2)}),
    ("Adafactor", {"beta2_decay": 1.0}),
    ("Adafactor", {"eps": (-1.0, 1e-3)}),
    ("Adafactor", {"eps": (None, -1.0)}),
    ("Adafactor", {"d": 0.5}),
    ("Muon", {"adjust_lr_fn": "other"}),
]


@pytest.mark.parametrize(("name", "options"), BAD, ids=[f"{n}-{'-'.join(o)}" for n, o in BAD])
def test_bad_options(name, options, torch):
    errors = []
    for lib in (tg, torch):
        with pytest.raises((ValueError, RuntimeError)) as caught:
            getattr(lib.optim, name)([lib.ones(2, 2, requires_grad=True)], **options)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
