"""Optimizers given by a formula: the kernel over many tensors, beside the same formula on one tensor after the other."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim

OPTIMIZERS = [
    (optim.SGD, {"lr": 0.05}),
    (optim.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "maximize": True}),
    (optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (optim.Adam, {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.05, "betas": (0.4, 0.9)}),
    (optim.Adamax, {"lr": 0.05, "weight_decay": 0.1}),
    (optim.RAdam, {"lr": 0.05, "betas": (0.7, 0.8)}),
    (optim.Adagrad, {"lr": 0.5, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    (optim.Adadelta, {"lr": 1.5, "rho": 0.8}),
    (optim.RMSprop, {"lr": 0.05, "momentum": 0.5, "centered": True}),
    (optim.Rprop, {"lr": 0.05}),
]
each_optimizer = pytest.mark.parametrize(("kind", "options"), OPTIMIZERS, ids=lambda v: getattr(v, "__name__", str(v)))
SHAPES = [(3, 7), (), (5000,), (0,), (1, 33), (130, 101)]


def tensor_by_tensor(kind):
    """The same optimizer, whose own update() keeps it from launching kernels over many tensors."""

    class Single(kind):
        def update(self, param, grad, state, group):
            super().update(param, grad, state, group)

    return Single


def parameters(dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for shape in SHAPES:
        value = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype.startswith("complex") else 0)
        made.append(tg.tensor(np.asarray(value, dtype), requires_grad=True))
    return made


def give_gradients(params, step, skip=()):
    rng = np.random.default_rng(100 + step)
    for i, p in enumerate(params):
        value = rng.standard_normal(p.shape) + (1j * rng.standard_normal(p.shape) if p.is_complex() else 0)
        p.grad = None if i in skip else tg.tensor(np.asarray(value, p.detach().numpy().dtype))


def contents(optimizer):
    """The bytes of all parameters and of what is remembered of them."""
    found = []
    for group in optimizer.param_groups:
        for p in group["params"]:
            state = optimizer.state.get(p, {})
            found.append([p.detach().numpy().tobytes(), *(state[name].numpy().tobytes() for name in sorted(state))])
    return found


def same(a, b):
    return [x[0] for x in a] == [y[0] for y in b] and a == b


def run_both(kind, options, dtype, between=lambda optimizer, step: None, skip=lambda step: ()):
    found = []
    for make in (kind, tensor_by_tensor(kind)):
        params = parameters(dtype)
        optimizer = make(params, **options)
        for step in range(4):
            give_gradients(params, step, skip(step))
            between(optimizer, step)
            optimizer.step()
        found.append(contents(optimizer))
    assert same(*found)
    return found[0]


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_launch_gives_the_bits_of_tensor_operations(kind, options, dtype):
    start = [p.detach().numpy().tobytes() for p in parameters(dtype)]
    moved = [x[0] for x in run_both(kind, options, dtype)]
    assert [a == b for a, b in zip(start, moved, strict=True)] == [0 in shape for shape in SHAPES]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats(dtype):
    found = []
    for make in (optim.Adam, tensor_by_tensor(optim.Adam)):
        params = [p.detach().to(getattr(tg, dtype)).requires_grad_() for p in parameters()]
        optimizer = make(params, lr=0.05)
        for step in range(3):
            for p, q in zip(params, parameters(seed=step + 1), strict=True):
                p.grad = q.detach().to(p.dtype)
            optimizer.step()
        found.append([p.tolist() for p in params])
    assert found[0] == found[1]


def test_complex_numbers_are_two_real_ones():
    run_both(optim.Adagrad, {"initial_accumulator_value": 0.5}, "complex128")


@each_optimizer
def test_threads_change_nothing(kind, options):
    before, found = tg.get_num_threads(), []
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            params = parameters()
            optimizer = kind(params, **options)
            for step in range(2):
                give_gradients(params, step)
                optimizer.step()
            found.append(contents(optimizer))
    finally:
        tg.set_num_threads(before)
    assert same(*found)


def test_gradients_come_and_go():
    run_both(optim.AdamW, {}, "float32", skip=lambda step: ((), (0, 2), (1,), range(6))[step])
    run_both(optim.SGD, {"momentum": 0.9, "dampening": 0.5}, "float32", skip=lambda step: ((0,), (2,), (), (1, 5))[step])


@pytest.mark.parametrize("layout", [lambda p: p, lambda p: p.T, lambda p: p[:, ::2], lambda p: p.half(), lambda p: p.bfloat16()])
@pytest.mark.parametrize("late", [False, True])
def test_the_first_step_adds_all_of_the_gradient(layout, late):
    """Whether one launch updates a parameter, or tensor operations do, and whether it begins together with the others."""
    params = [tg.zeros(4, 4).requires_grad_(), layout(tg.zeros(4, 4)).detach().requires_grad_()]
    optimizer = optim.SGD(params, lr=1.0, momentum=0.5, dampening=0.75)
    for step in range(3):
        for p in params[: 1 if late and step == 0 else 2]:
            p.grad = tg.full_like(p, 8.0)
        optimizer.step()
    moved = [-8, -8 - 6, -14 - 5]  # by v = 8, then v / 2 + 2
    assert params[0].unique().tolist() == [moved[2]]
    assert params[1].unique().tolist() == [moved[1 if late else 2]]


def test_a_first_gradient_that_shares_memory_with_the_parameter():
    found = []
    for make in (optim.SGD, tensor_by_tensor(optim.SGD)):
        p = tg.full((5,), 8.0, requires_grad=True)
        optimizer = make([p], lr=0.5, momentum=0.5, dampening=0.75)
        for step in range(3):
            p.grad = p.detach() if step == 0 else tg.ones(5)
            optimizer.step()
        found.append(p.tolist())
    assert found[0] == found[1]


def test_options_change_between_steps():
    def between(optimizer, step):
        group = optimizer.param_groups[0]
        group["lr"] *= 0.9
        group["weight_decay"] = (0.0, 0.1, 0.2, 0.0)[step]
        group["maximize"] = step == 2

    run_both(optim.Adam, {}, "float32", between)
    run_both(optim.SGD, {"momentum": 0.5}, "float32", between)


def test_memory_changes_between_steps():
    def between(optimizer, step):
        params = optimizer.param_groups[0]["params"]
        if step == 1:
            params[0].data = params[0].detach() * 2
            optimizer.state[params[2]]["exp_avg"] = tg.ones(5000)
        elif step == 2:
            optimizer.state[params[5]] = {}
            optimizer.state[params[4]]["step"].fill_(7.0)  # its memory stays
        elif step == 3:
            optimizer.load_state_dict(optimizer.state_dict())

    run_both(optim.Adam, {"lr": 0.1}, "float32", between)


def test_any_layout():
    found = []
    for make in (optim.Adam, tensor_by_tensor(optim.Adam)):
        rng = np.random.default_rng(3)
        across = tg.tensor(rng.standard_normal((6, 4)).astype(np.float32)).t().requires_grad_()
        plain = tg.tensor(rng.standard_normal((6, 4)).astype(np.float32), requires_grad=True)
        optimizer = make([across, plain])
        for _ in range(3):
            across.grad = tg.tensor(rng.standard_normal((4, 6)).astype(np.float32))
            plain.grad = tg.tensor(rng.standard_normal((4, 6)).astype(np.float32)).t()
            optimizer.step()
        found.append([across.tolist(), plain.tolist()])
    assert found[0] == found[1]


def test_parameters_that_share_memory_move_one_after_the_other():
    found = []
    for make in (optim.SGD, tensor_by_tensor(optim.SGD)):
        memory = tg.tensor(np.linspace(-1, 1, 20, dtype=np.float32))
        params = [memory[:12].requires_grad_(), memory[8:].requires_grad_()]
        optimizer = make(params, lr=0.1, weight_decay=0.5)
        for p in params:
            p.grad = tg.ones(12)
        optimizer.step()
        found.append(memory.tolist())
    assert found[0] == found[1]


def test_a_gradient_may_be_another_parameter():
    found = []
    for make in (optim.SGD, tensor_by_tensor(optim.SGD)):
        a, b = (tg.tensor(np.linspace(lo, 3, 5000, dtype=np.float32), requires_grad=True) for lo in (1, 2))
        a.grad, b.grad = b.detach(), a.detach()
        make([a, b], lr=0.1).step()
        found.append([a.tolist(), b.tolist()])
    assert found[0] == found[1]


def test_copies_have_memory_of_their_own():
    params = parameters()
    optimizer = optim.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    twin = copy.deepcopy(optimizer)
    before = contents(optimizer)
    for p in twin.param_groups[0]["params"]:
        p.grad = tg.ones_like(p)
    twin.step()
    assert same(contents(optimizer), before)
    assert not same(contents(twin), before)


def test_saved_values_are_known_to_be_old():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([w])
    for _ in range(2):  # the second step is the one whose addresses were kept
        loss = (w * w).sum()
        loss.backward(retain_graph=True)
        optimizer.step()
    with pytest.raises(RuntimeError, match="modified in place by an optimizer's step"):
        loss.backward()


@each_optimizer
def test_replays_give_the_bits_of_eager_steps(kind, options):
    found = []
    for compiled in (False, True):
        params = parameters("float64")
        optimizer = kind(params, **options)

        def step(target, params=params, optimizer=optimizer):
            optimizer.zero_grad()
            loss = sum(((p - target) ** 2).sum() for p in params)
            loss.backward()
            optimizer.step()
            return loss

        run = tg.compile(step) if compiled else step
        losses = [run(tg.tensor(0.1 * k, dtype=tg.float64)).item() for k in range(8)]
        found.append((losses, contents(optimizer)))
        assert not compiled or run.program is not None
    assert found[0] == found[1]
