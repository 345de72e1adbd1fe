"""Optimizers: steps, groups, state dicts, and 50 steps beside PyTorch."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim

OPTIMIZERS = [
    (optim.SGD, {"lr": 0.05}),
    (optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.02, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.05, "maximize": True}),
    (optim.Adamax, {"lr": 0.05}),
    (optim.NAdam, {"lr": 0.05}),
    (optim.RAdam, {"lr": 0.05, "betas": (0.7, 0.8)}),
    (optim.Adagrad, {"lr": 0.5, "lr_decay": 0.1}),
    (optim.Adadelta, {"lr": 1.5}),
    (optim.RMSprop, {"lr": 0.05, "momentum": 0.5, "centered": True}),
    (optim.Rprop, {"lr": 0.05}),
    (optim.ASGD, {"lr": 0.05, "t0": 3}),
    (optim.Adafactor, {"lr": 0.05}),
    (optim.LBFGS, {"lr": 0.05, "max_iter": 2, "line_search_fn": "strong_wolfe"}),
]
each_optimizer = pytest.mark.parametrize(("kind", "options"), OPTIMIZERS, ids=lambda v: getattr(v, "__name__", str(v)))


def parameters(requires_grad: bool = True) -> list[tg.Tensor]:
    rng = np.random.default_rng(0)
    return [tg.tensor(rng.standard_normal(s), requires_grad=requires_grad) for s in ((3, 4), (4,), ())]


def objective(params, lib=tg):
    """A smooth function with unequal slopes."""
    w, b, c = params
    scale = lib.tensor(np.linspace(0.1, 3.0, 12).reshape(3, 4))
    return ((w - b) ** 2 * scale).sum() + (b**4).sum() / 4 + (c - 1) ** 2 * 0.5


def steps(optimizer, params, count: int) -> None:
    def closure():
        optimizer.zero_grad()
        loss = objective(params)
        loss.backward()
        return loss

    for _ in range(count):
        optimizer.step(closure)


# ------------------------------------------------------------------------------------------------------------- formulas


def test_sgd_formula():
    p = tg.tensor([1.0, -2.0], requires_grad=True)
    opt = optim.SGD([p], lr=0.1, momentum=0.5)
    p.grad = tg.tensor([1.0, 2.0])
    opt.step()
    np.testing.assert_allclose(p.detach(), [0.9, -2.2], rtol=1e-6)
    opt.step()
    np.testing.assert_allclose(p.detach(), [0.9 - 0.15, -2.2 - 0.3], rtol=1e-6)
    assert p.grad.tolist() == [1, 2]


def test_adam_formula():
    p = tg.tensor([1.0, -2.0], dtype=tg.float64, requires_grad=True)
    opt = optim.Adam([p], lr=0.1)
    m = v = np.zeros(2)
    x = p.detach().numpy().copy()
    for t, g in enumerate(([1.0, 2.0], [-3.0, 0.5], [0.0, 0.0]), start=1):
        g = np.array(g)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        p.grad = tg.tensor(g)
        opt.step()
        np.testing.assert_allclose(p.detach(), x, rtol=1e-12)


@each_optimizer
def test_memory_and_leafs_stay(kind, options):
    params = parameters()
    before = [(p.data_ptr(), id(p)) for p in params]
    steps(kind(params, **options), params, 3)
    assert [(p.data_ptr(), id(p)) for p in params] == before
    assert all(p.is_leaf and p.requires_grad for p in params)


@each_optimizer
def test_float32_stays_float32(kind, options):
    net = nn.Linear(3, 2)
    opt = kind(net.parameters(), **options)

    def closure():
        opt.zero_grad()
        loss = (net(tg.ones(4, 3)) ** 2).sum()
        loss.backward()
        return loss

    for _ in range(2):
        opt.step(closure)
    assert all(p.dtype is tg.float32 for p in net.parameters())
    tensors = [v for state in opt.state.values() for v in state.values() if isinstance(v, tg.Tensor)]
    assert all(v.dtype is tg.float32 and not v.requires_grad for v in tensors)


def test_missing_gradients_are_skipped():
    params = parameters()
    opt = optim.AdamW(params, lr=0.1)
    before = params[1].tolist()
    (params[0] ** 2).sum().backward()
    opt.step()
    assert params[1].tolist() == before
    assert list(opt.state) == [params[0]]


def test_a_saved_value_changed_by_a_step_is_noticed():
    p = tg.tensor([1.0, 2.0], requires_grad=True)
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified in place"):
        loss.backward()


def test_closure():
    params = parameters()
    opt = optim.SGD(params, lr=0.01)

    def closure():
        opt.zero_grad()
        loss = objective(params)
        loss.backward()
        return loss

    with tg.no_grad():
        first = opt.step(closure)
    assert first.requires_grad
    assert objective(params).item() < first.item()
    assert opt.step() is None


def test_zero_grad():
    params = parameters()
    opt = optim.SGD(params)
    objective(params).backward()
    grads = [p.grad for p in params]
    opt.zero_grad(set_to_none=False)
    assert [p.grad for p in params] == grads
    assert not any(g.numpy().any() for g in grads)
    opt.zero_grad()
    assert all(p.grad is None for p in params)


def test_subclass_defines_update_only():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def update(self, param, grad, state, group):
            param.sub_(grad.sign(), alpha=group["lr"])

    p = tg.tensor([1.0, -1.0], requires_grad=True)
    opt = SignDescent([p])
    (p * p).sum().backward()
    opt.step()
    np.testing.assert_allclose(p.detach(), [0.9, -0.9], rtol=1e-6)
    plain = optim.Optimizer([p], {})
    with pytest.raises(NotImplementedError, match="update"):
        plain.step()


# --------------------------------------------------------------------------------------------------------------- groups


def test_groups():
    w, b, c = parameters()
    opt = optim.SGD([{"params": [w], "lr": 1.0}, {"params": b}], lr=0.1)
    opt.add_param_group({"params": [c], "momentum": 0.9})
    assert [(g["lr"], g["momentum"]) for g in opt.param_groups] == [(1.0, 0), (0.1, 0), (0.1, 0.9)]
    opt.param_groups[0]["lr"] = 0.0
    before = w.tolist()
    steps(opt, [w, b, c], 1)
    assert w.tolist() == before
    assert list(opt.state_dict()["state"]) == [2]
    assert "Parameter Group 2\n    dampening: 0\n    differentiable: False" in repr(opt)
    with pytest.raises(ValueError, match="more than one parameter group"):
        opt.add_param_group({"params": [w]})
    with pytest.raises(TypeError, match="must be a dict"):
        opt.add_param_group([w])


def test_bad_parameters():
    p = tg.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="empty parameter list"):
        optim.SGD([])
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        optim.SGD(p)
    net = tg.nn.Linear(1, 1)
    for params, fix in ((net, "pass its .parameters"), (net.parameters, "call it: parameters")):
        with pytest.raises(TypeError, match=fix):
            optim.SGD(params)
    with pytest.raises(TypeError, match="can only optimize Tensors, but one of the params is int"):
        optim.SGD([1])
    with pytest.raises(ValueError, match="non-leaf"):
        optim.SGD([p * 2])
    with pytest.raises(TypeError, match="ordered collections"):
        optim.SGD([{"params": {p}}])
    with pytest.raises(ValueError, match="Some param names are missing"):
        optim.SGD([("p", p), tg.ones(1, requires_grad=True)])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (optim.SGD, {"lr": -1}, "Invalid learning rate: -1"),
        (optim.SGD, {"lr": math.nan}, "Invalid learning rate: nan"),
        (optim.SGD, {"momentum": -0.5}, "Invalid momentum value: -0.5"),
        (optim.SGD, {"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
        (optim.SGD, {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov momentum requires"),
        (optim.Adam, {"lr": -1}, "Invalid learning rate: -1"),
        (optim.Adam, {"eps": -1}, "Invalid epsilon value: -1"),
        (optim.Adam, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.Adam, {"betas": (0.9, -1)}, "Invalid beta parameter at index 1: -1"),
        (optim.AdamW, {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ],
)
def test_bad_options(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind([tg.ones(1, requires_grad=True)], **options)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_matrix_optimizers_refuse_complex(name):
    p = tg.ones(2, 2, dtype=tg.complex64, requires_grad=True)
    p.grad = tg.ones(2, 2, dtype=tg.complex64)
    with pytest.raises(RuntimeError, match=f"{name} does not support complex parameters"):
        getattr(optim, name)([p]).step()


# ----------------------------------------------------------------------------------------------------------- state dict


@each_optimizer
def test_resuming_gives_the_same_bits(kind, options, tmp_path):
    params = parameters()
    opt = kind(params, **options)
    steps(opt, params, 5)
    tg.save({"params": params, "optimizer": opt.state_dict()}, tmp_path / "run.safetensors")
    steps(opt, params, 5)
    loaded = tg.load(tmp_path / "run.safetensors")
    resumed = loaded["params"]
    again = kind(resumed, lr=1.0)
    again.load_state_dict(loaded["optimizer"])
    steps(again, resumed, 5)
    assert [p.tolist() for p in resumed] == [p.tolist() for p in params]
    assert again.param_groups[0]["lr"] == options["lr"]


def test_state_dict_is_numbered():
    params = parameters()
    opt = optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], lr=0.1, momentum=0.9)
    steps(opt, params, 1)
    state = opt.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [[0], [1, 2]]
    assert sorted(state["state"]) == [0, 1, 2]
    assert state["state"][0]["momentum_buffer"] is opt.state[params[0]]["momentum_buffer"]


def test_loading_copies_and_converts():
    params = parameters()
    opt = optim.Adam(params)
    steps(opt, params, 1)
    halves = [tg.tensor(p.detach().numpy(), dtype=tg.float32, requires_grad=True) for p in params]
    other = optim.Adam(halves)
    other.load_state_dict(opt.state_dict())
    loaded = other.state[halves[0]]
    assert loaded["exp_avg"].dtype is tg.float32
    assert loaded["step"] == 1
    loaded["exp_avg"].zero_()
    assert opt.state[params[0]]["exp_avg"].numpy().any()
    assert list(other.state_dict()["state"]) == [0, 1, 2]


def test_loading_reports_everything_and_changes_nothing():
    params = parameters()
    opt = optim.Adam(params)
    steps(opt, params, 1)
    good = copy.deepcopy(opt.state_dict())
    state = {k: dict(v) for k, v in good["state"].items()}
    state[0]["exp_avg"] = tg.ones(2, 2)
    group = {k: v for k, v in good["param_groups"][0].items() if k != "betas"}
    group["params"] = [0, 1]
    other = optim.Adam(parameters(), lr=0.5)
    with pytest.raises(ValueError, match="2 parameters in the state dict, 3 here") as caught:
        other.load_state_dict({"state": state, "param_groups": [group]})
    assert "group 0 lacks betas" in str(caught.value)
    assert "parameter 0: exp_avg has shape (2, 2), the parameter (3, 4)" in str(caught.value)
    assert other.param_groups[0]["lr"] == 0.5
    assert not other.state
    with pytest.raises(ValueError, match="different number of parameter groups: 2, this optimizer has 1"):
        other.load_state_dict({"state": {}, "param_groups": good["param_groups"] * 2})


def test_counters_are_tensors_in_a_dtype_of_their_own():
    params = parameters()
    opt = optim.Adam(params)
    steps(opt, params, 2)
    assert [(s["step"].dtype, s["step"].item()) for s in opt.state.values()] == [(tg.float32, 2.0)] * 3
    state = opt.state_dict()
    state["state"][0]["step"] = 7  # as PyTorch wrote before 1.12
    for group in state["param_groups"]:
        del group["foreach"], group["decoupled_weight_decay"]  # and without later options
    other = optim.AdamW(parameters())
    other.load_state_dict(state)
    first = other.state[other.param_groups[0]["params"][0]]["step"]
    assert (first.dtype, first.item()) == (tg.float32, 7.0)
    assert other.param_groups[0]["decoupled_weight_decay"] is True


def test_names_of_parameters():
    w, b, _ = parameters()
    opt = optim.SGD([("w", w)], lr=0.1)
    opt.add_param_group({"params": [("b", b)]})
    state = opt.state_dict()
    assert [g["param_names"] for g in state["param_groups"]] == [["w"], ["b"]]
    with pytest.raises(ValueError, match="cannot add param group without names"):
        opt.add_param_group({"params": [tg.ones(1, requires_grad=True)]})
    del state["param_groups"][0]["param_names"]
    opt.load_state_dict(state)
    assert opt.param_groups[0]["param_names"] == ["w"]


@each_optimizer
def test_a_tensor_is_a_learning_rate(kind, options):
    ends = []
    for wrap in (float, lambda lr: tg.tensor(lr, dtype=tg.float64)):
        params = parameters()
        steps(kind(params, **{**options, "lr": wrap(options["lr"])}), params, 3)
        ends.append([p.tolist() for p in params])
    assert ends[0] == ends[1]


def test_gradients_flow_through_steps():
    """The derivative of two steps by learning rate and start, from the closed form."""
    start, lr = tg.tensor([2.0], dtype=tg.float64, requires_grad=True), tg.tensor(0.1, dtype=tg.float64, requires_grad=True)
    p = start.clone()
    opt = optim.SGD([p], lr=lr, differentiable=True)
    for _ in range(2):  # the loss p^2 / 2, whose gradient is p
        p.grad = p.clone()
        opt.step()
    dstart, dlr = tg.autograd.grad(p.sum(), [start, lr])
    np.testing.assert_allclose(p.detach(), 0.9**2 * 2)  # (1 - lr)^2 start
    np.testing.assert_allclose([dstart.item(), dlr.item()], [0.9**2, -2 * 0.9 * 2])


def test_options_of_fused_kernels_exclude_each_other():
    p = tg.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        optim.Adam([p], fused=True, differentiable=True)
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        optim.SGD([p], lr=tg.ones(2))


def test_lbfgs_needs_a_closure_and_one_group():
    p = tg.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        optim.LBFGS([{"params": [p]}, {"params": [tg.ones(1, requires_grad=True)]}])
    with pytest.raises(TypeError, match="needs a closure"):
        optim.LBFGS([p]).step()
    with pytest.raises(TypeError, match="must return the loss"):
        optim.LBFGS([p]).step(lambda: None)
    opt = optim.LBFGS([p], line_search_fn="other")

    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported, got line_search_fn='other'"):
        opt.step(closure)


def test_lbfgs_finds_the_minimum_of_rosenbrock():
    p = tg.tensor([-1.2, 1.0], dtype=tg.float64, requires_grad=True)
    opt = optim.LBFGS([p], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    first = opt.step(closure)
    np.testing.assert_allclose(first.item(), 24.2)
    np.testing.assert_allclose(p.detach(), [1, 1], atol=1e-4)
    assert opt.state[p]["func_evals"] < 60


def test_muon_takes_matrices_and_makes_them_orthogonal():
    from tapegrad.optim.muon import orthogonalized

    rng = np.random.default_rng(0)
    matrix = tg.tensor(rng.standard_normal((6, 4)) * [1, 3, 0.5, 2])
    values = np.linalg.svd(orthogonalized(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7).double().numpy(), compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.3
    with pytest.raises(ValueError, match="only supports 2D parameters"):
        optim.Muon([tg.ones(3, requires_grad=True)])


def test_complex_parameters_are_two_real_ones():
    z = tg.tensor([1 + 2j, -3 + 0.5j], requires_grad=True)
    x = tg.tensor([[1.0, 2.0], [-3.0, 0.5]], requires_grad=True)
    opt = optim.Adam([z, x], lr=0.1)
    for _ in range(3):
        z.grad, x.grad = tg.tensor([1 - 1j, 2j]), tg.tensor([[1.0, -1.0], [0.0, 2.0]])
        opt.step()
    assert tg.view_as_real(z.detach()).tolist() == x.tolist()
    assert opt.state[z]["exp_avg"].is_complex() and opt.state[z]["exp_avg"].shape == z.shape
