"""Learning-rate schedulers: closed forms, the order of calls, saving."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim
from tapegrad.optim import lr_scheduler as schedulers


def made(lr=0.4, **options):
    return optim.SGD([tg.ones(1, requires_grad=True)], lr=lr, momentum=0.9, **options)


def rates(optimizer, scheduler, steps):
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    assert scheduler.get_last_lr() == found[-1:]
    return found


FORMULAS = [
    (schedulers.LambdaLR, {"lr_lambda": lambda t: 1 / (1 + t)}, lambda t: 1 / (1 + t)),
    (schedulers.MultiplicativeLR, {"lr_lambda": lambda t: 0.9}, lambda t: 0.9**t),
    (schedulers.StepLR, {"step_size": 3}, lambda t: 0.1 ** (t // 3)),
    (schedulers.MultiStepLR, {"milestones": [2, 5, 5], "gamma": 0.5}, lambda t: 0.5 ** ((t >= 2) + 2 * (t >= 5))),
    (schedulers.ConstantLR, {"factor": 0.25, "total_iters": 4}, lambda t: 0.25 if t < 4 else 1),
    (schedulers.LinearLR, {"start_factor": 0.1, "total_iters": 6}, lambda t: 0.1 + 0.9 * min(t, 6) / 6),
    (schedulers.ExponentialLR, {"gamma": 0.8}, lambda t: 0.8**t),
    (schedulers.PolynomialLR, {"total_iters": 8, "power": 2}, lambda t: (1 - min(t, 8) / 8) ** 2),
    (schedulers.CosineAnnealingLR, {"T_max": 4}, lambda t: (1 + math.cos(math.pi * t / 4)) / 2),
    (schedulers.CosineAnnealingWarmRestarts, {"T_0": 5}, lambda t: (1 + math.cos(math.pi * (t % 5) / 5)) / 2),
]
each_formula = pytest.mark.parametrize(("kind", "options", "formula"), FORMULAS, ids=lambda v: getattr(v, "__name__", ""))


@each_formula
def test_formulas(kind, options, formula):
    optimizer = made()
    found = rates(optimizer, kind(optimizer, **options), 12)
    np.testing.assert_allclose(found, [0.4 * formula(t) for t in range(13)], rtol=1e-12, atol=1e-15)


@each_formula
def test_resuming_from_a_file_gives_the_same_bits(kind, options, formula, tmp_path):
    optimizer = made()
    scheduler = kind(optimizer, **options)
    rates(optimizer, scheduler, 4)
    tg.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, tmp_path / "run.safetensors")
    expected = rates(optimizer, scheduler, 6)
    loaded = tg.load(tmp_path / "run.safetensors")
    again = made(lr=9.0)
    resumed = kind(again, **options)
    again.load_state_dict(loaded["optimizer"])
    resumed.load_state_dict(loaded["scheduler"])
    assert rates(again, resumed, 6) == expected


def test_cycles_move_momentum_the_other_way():
    optimizer = made()
    scheduler = schedulers.CyclicLR(optimizer, 0.1, 0.5, step_size_up=2, base_momentum=0.6, max_momentum=0.9)
    group, path = optimizer.param_groups[0], []
    for _ in range(5):
        path.append((group["lr"], group["momentum"]))
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(path, [(0.1, 0.9), (0.3, 0.75), (0.5, 0.6), (0.3, 0.75), (0.1, 0.9)])


def test_one_cycle_ends():
    optimizer = optim.Adam([tg.ones(1, requires_grad=True)])
    scheduler = schedulers.OneCycleLR(optimizer, 1.0, total_steps=10, div_factor=10.0, final_div_factor=100.0)
    found = rates(optimizer, scheduler, 9)
    np.testing.assert_allclose([found[0], max(found), found[-1]], [0.1, 1.0, 0.001])
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 11 times. The specified number of total steps is 10"):
        scheduler.step()


def test_plateaus():
    optimizer = made(lr=1.0)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1, min_lr=0.3)
    found = []
    for loss in (tg.tensor(1.0), 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4):
        scheduler.step(loss)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3]


def test_sequences_and_chains():
    optimizer = made(lr=1.0)
    parts = [schedulers.ConstantLR(optimizer, 0.1, total_iters=9), schedulers.ExponentialLR(optimizer, 0.5)]
    assert rates(optimizer, schedulers.SequentialLR(optimizer, parts, [3]), 5) == pytest.approx([0.1, 0.1, 0.1, 1, 0.5, 0.25])
    optimizer = made(lr=1.0)
    chain = schedulers.ChainedScheduler([schedulers.ConstantLR(optimizer, 0.1, 2), schedulers.ExponentialLR(optimizer, 0.5)])
    assert rates(optimizer, chain, 3) == pytest.approx([0.1, 0.05, 0.25, 0.125])
    with pytest.raises(ValueError, match="all schedulers to belong to the same optimizer"):
        schedulers.ChainedScheduler([schedulers.StepLR(made(), 1)], made())
    with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
        schedulers.ChainedScheduler([schedulers.ReduceLROnPlateau(optimizer)])


def test_the_order_of_calls_is_checked():
    optimizer = made()
    scheduler = schedulers.StepLR(optimizer, 3)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    scheduler.step()  # says so once
    other = made()
    scheduler = schedulers.StepLR(other, 3)
    other.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden after learning rate scheduler initialization"):
        scheduler.step()
    with pytest.warns(UserWarning, match="use `get_last_lr"):
        scheduler.get_lr()


def test_a_tensor_learning_rate_stays_the_same_tensor():
    lr = tg.tensor(0.4, dtype=tg.float64)
    optimizer = made(lr=lr)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    (last,) = scheduler.get_last_lr()
    assert optimizer.param_groups[0]["lr"] is lr and lr.item() == 0.2
    assert last is not lr and scheduler.base_lrs[0].item() == 0.4


def test_subclasses_define_get_lr():
    class InverseSquareRoot(schedulers._LRScheduler):
        def get_lr(self):
            return [base / math.sqrt(self.last_epoch + 1) for base in self.base_lrs]

    optimizer = made(lr=1.0)
    assert rates(optimizer, InverseSquareRoot(optimizer), 3) == pytest.approx([1, 0.5**0.5, 3**-0.5, 0.5])


def test_beginnings():
    with pytest.raises(TypeError, match="list is not an Optimizer"):
        schedulers.StepLR([], 1)
    with pytest.raises(KeyError, match=r"'initial_lr' is not specified in param_groups\[0\]"):
        schedulers.StepLR(made(), 1, last_epoch=3)
    with pytest.raises(ValueError, match="max_lr has 2 values, param_groups has 1"):
        schedulers.OneCycleLR(made(), [1.0, 2.0], total_steps=3)
