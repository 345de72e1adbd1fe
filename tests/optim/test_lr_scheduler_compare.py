"""Learning-rate schedulers beside PyTorch, step by step, bit by bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from beside_pytorch import arguments

import tapegrad as tg
from tapegrad.optim import lr_scheduler

pytestmark = pytest.mark.compare
STEPS = 60


class Inverse:
    def __init__(self, power=1.0):
        self.power = power

    def __call__(self, epoch):
        return (1 + epoch) ** -self.power


SCHEDULERS = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.95**epoch}),
    ("LambdaLR", {"lr_lambda": [Inverse(0.5), lambda epoch: 1 + math.sin(epoch)]}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9 if epoch % 3 else 1.1}),
    ("StepLR", {"step_size": 7}),
    ("StepLR", {"step_size": 1, "gamma": 0.9}),
    ("MultiStepLR", {"milestones": [5, 11, 11, 40], "gamma": 0.3}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.7, "total_iters": 9}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.6, "total_iters": 33}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 20}),
    ("ExponentialLR", {"gamma": 0.93}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 40, "power": 1.7}),
    ("CosineAnnealingLR", {"T_max": 13}),
    ("CosineAnnealingLR", {"T_max": 1, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 50, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 10}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 2, "eta_min": 0.02}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": [0.1, 0.3], "step_size_up": 7}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "step_size_down": 9, "mode": "triangular2", "cycle_momentum": False}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "mode": "exp_range", "gamma": 0.97, "base_momentum": 0.6}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5, "scale_fn": lambda x: 1 / (1 + x), "scale_mode": "iterations"}),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": STEPS}),
    ("OneCycleLR", {"max_lr": [0.4, 0.1], "epochs": 6, "steps_per_epoch": 10, "pct_start": 0.2, "anneal_strategy": "linear", "three_phase": True}),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": STEPS + 5, "cycle_momentum": False, "div_factor": 10.0, "final_div_factor": 100.0}),
]
each_case = pytest.mark.parametrize(("name", "options"), SCHEDULERS, ids=[f"{n}{i}" for i, (n, _) in enumerate(SCHEDULERS)])
CLOSED = sorted({n for n, _ in SCHEDULERS} & {"StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR"})


def optimizers(lib, kind="SGD", tensor=False):
    first, second = (lib.ones(1, requires_grad=True) for _ in range(2))
    lrs = [lib.tensor(v, dtype=lib.float64) if tensor else v for v in (0.1, 0.25)]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(lib.optim, kind)([{"params": [first], "lr": lrs[0]}, {"params": [second]}], lr=lrs[1], **options)


def settings(optimizer):
    return [
        {k: v.item() if hasattr(v, "item") else v for k, v in group.items() if k != "params" and v is not None}
        for group in optimizer.param_groups
    ]


def walk(optimizer, scheduler, steps=STEPS, arguments=lambda t: ()):
    """The options after each step."""
    path = [settings(optimizer)]
    for t in range(steps):
        optimizer.step()
        scheduler.step(*arguments(t))
        path.append([*settings(optimizer), [float(lr) for lr in scheduler.get_last_lr()]])
    return path


def pair(torch, name, options, **kinds):
    made = []
    for lib in (tg, torch):
        optimizer = optimizers(lib, **kinds)
        made.append((optimizer, getattr(lib.optim.lr_scheduler, name)(optimizer, **options)))
    return made


def state_of(scheduler):
    return {k: v for k, v in scheduler.state_dict().items() if k not in ("lr_lambdas",)}


@each_case
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_step_by_step(name, options, kind, torch):
    ours, theirs = pair(torch, name, options, kind=kind)
    assert walk(*ours) == walk(*theirs)
    assert state_of(ours[1]) == state_of(theirs[1])
    assert state_of(ours[1]).keys() == state_of(theirs[1]).keys()


@each_case
def test_resuming(name, options, torch):
    ours, theirs = pair(torch, name, options)
    walk(*ours, steps=17), walk(*theirs, steps=17)
    again = optimizers(tg)
    scheduler = getattr(lr_scheduler, name)(again, **options)
    again.load_state_dict(ours[0].state_dict())
    scheduler.load_state_dict(ours[1].state_dict())
    assert walk(again, scheduler, 30)[1:] == walk(*theirs, steps=30)[1:]


@each_case
def test_tensor_learning_rates(name, options, torch):
    ours, theirs = pair(torch, name, options, tensor=True)
    lr = ours[0].param_groups[0]["lr"]
    for a, b in zip(walk(*ours), walk(*theirs), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(_numbers(x), _numbers(y), rtol=1e-6)
    assert ours[0].param_groups[0]["lr"] is lr


def _numbers(values):
    values = list(values.items()) if isinstance(values, dict) else list(enumerate(values))
    return [v for k, v in sorted(values) if isinstance(v, float)]


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_closed_forms(name, torch):
    options = next(o for n, o in reversed(SCHEDULERS) if n == name)
    ours, theirs = pair(torch, name, options)
    epochs = [3, 1, 20, 14, 50]
    assert walk(*ours, 5, lambda t: (epochs[t],)) == walk(*theirs, 5, lambda t: (epochs[t],))
    with pytest.warns(UserWarning, match="The epoch parameter in `scheduler.step"):
        ours[1].step(3)


@pytest.mark.parametrize(("start", "multiple"), [(10, 1), (4, 2), (3, 3)])
def test_warm_restarts_at_fractions(start, multiple, torch):
    ours, theirs = pair(torch, "CosineAnnealingWarmRestarts", {"T_0": start, "T_mult": multiple})
    assert walk(*ours, 50, lambda t: (t * 0.7,)) == walk(*theirs, 50, lambda t: (t * 0.7,))


def test_continuing_with_last_epoch(torch):
    for name, options in SCHEDULERS:
        if name in ("CosineAnnealingWarmRestarts", "OneCycleLR"):
            continue  # whose state is more than the step
        paths = []
        for lib in (tg, torch):
            optimizer = optimizers(lib)
            walk(optimizer, getattr(lib.optim.lr_scheduler, name)(optimizer, **options), 8)
            paths.append(walk(optimizer, getattr(lib.optim.lr_scheduler, name)(optimizer, **options, last_epoch=8), 20))
        assert paths[0] == paths[1], name


PLATEAUS = [
    {},
    {"patience": 2, "factor": 0.5, "cooldown": 3, "min_lr": [0.02, 0.001]},
    {"patience": 1, "mode": "max", "threshold": 0.1, "threshold_mode": "abs", "min_lr": 1e-3},
    {"patience": 0, "mode": "max", "threshold": 0.05},
    {"patience": 3, "threshold_mode": "abs", "threshold": 0.3, "eps": 1e-2},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_plateau(options, torch):
    metrics = np.random.default_rng(0).uniform(0.5, 1.5, STEPS) + np.linspace(1, 0, STEPS)
    ours, theirs = pair(torch, "ReduceLROnPlateau", options)
    assert walk(*ours, arguments=lambda t: (metrics[t],)) == walk(*theirs, arguments=lambda t: (metrics[t],))
    assert state_of(ours[1]) == state_of(theirs[1])
    again = lr_scheduler.ReduceLROnPlateau(optimizers(tg), **options)
    again.load_state_dict(ours[1].state_dict())
    assert state_of(again) == state_of(ours[1])


def combined(lib, optimizer, nested=False):
    s = lib.optim.lr_scheduler
    first = s.LinearLR(optimizer, start_factor=0.1, total_iters=10)
    second = s.CosineAnnealingLR(optimizer, T_max=20)
    third = s.CosineAnnealingWarmRestarts(optimizer, 7)
    sequence = s.SequentialLR(optimizer, [first, second, third], [10, 35])
    return s.SequentialLR(optimizer, [sequence, s.ExponentialLR(optimizer, 0.9)], [50]) if nested else sequence


@pytest.mark.filterwarnings("ignore:Detected call")  # nesting steps the inner ones, here and there
@pytest.mark.parametrize("nested", [False, True])
def test_sequential(nested, torch):
    paths = []
    for lib in (tg, torch):
        optimizer = optimizers(lib)
        scheduler = combined(lib, optimizer, nested)
        paths.append(walk(optimizer, scheduler))
        again = combined(lib, optimizers(lib), nested)
        again.load_state_dict(scheduler.state_dict())
        assert again.state_dict() == scheduler.state_dict()
        paths[-1].append(scheduler.state_dict())
    assert paths[0] == paths[1]


def test_chained(torch):
    paths = []
    for lib in (tg, torch):
        optimizer = optimizers(lib)
        s = lib.optim.lr_scheduler
        parts = [s.ConstantLR(optimizer, 0.1, 12), s.ExponentialLR(optimizer, 0.95), s.StepLR(optimizer, 20)]
        scheduler = s.ChainedScheduler(parts, optimizer)
        paths.append([*walk(optimizer, scheduler), scheduler.state_dict()])
    assert paths[0] == paths[1]


# -------------------------------------------------------------------------------------------------------------- surface


@pytest.mark.parametrize("name", sorted(lr_scheduler.__all__))
def test_signatures(name, torch):
    assert arguments(getattr(lr_scheduler, name)) == arguments(getattr(torch.optim.lr_scheduler, name))


def test_public_names(torch):
    assert set(lr_scheduler.__all__) == set(torch.optim.lr_scheduler.__all__)


BAD = [
    ("LambdaLR", {"lr_lambda": [abs]}),
    ("MultiplicativeLR", {"lr_lambda": 0.5}),
    ("ConstantLR", {"factor": 1.5}),
    ("LinearLR", {"start_factor": 0.0}),
    ("LinearLR", {"end_factor": 1.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "eta_min": "0"}),
    ("CyclicLR", {"base_lr": [0.1], "max_lr": 1.0}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "mode": "other"}),
    ("OneCycleLR", {"max_lr": 1.0}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 0}),
    ("OneCycleLR", {"max_lr": 1.0, "epochs": 3, "steps_per_epoch": -1}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 10, "pct_start": 2.0}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 10, "anneal_strategy": "other"}),
    ("ReduceLROnPlateau", {"factor": 1.0}),
    ("ReduceLROnPlateau", {"mode": "other"}),
    ("ReduceLROnPlateau", {"threshold_mode": "other"}),
    ("ReduceLROnPlateau", {"min_lr": [0.1]}),
    ("SequentialLR", {"schedulers": [], "milestones": []}),
]


@pytest.mark.parametrize(("name", "options"), BAD, ids=[f"{n}-{'-'.join(o)}" for n, o in BAD])
def test_mistakes(name, options, torch):
    errors = []
    for lib in (tg, torch):
        with pytest.raises((ValueError, TypeError)) as caught:
            getattr(lib.optim.lr_scheduler, name)(optimizers(lib), **options)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
