"""Hooks around steps and state dicts, and what subclasses that define step() get."""

from __future__ import annotations

import pytest

import tapegrad as tg
from tapegrad import optim
from tapegrad.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


def made(kind=optim.SGD, **options):
    p = tg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = kind([p], lr=0.5, **options)
    p.grad = tg.tensor([1.0, 1.0])
    return p, optimizer


def test_hooks_run_around_a_step_in_order():
    p, optimizer = made()
    seen = []
    hooks = [
        optimizer.register_step_pre_hook(lambda opt, args, kwargs: seen.append(("pre", opt is optimizer, args[1:], kwargs, p.tolist()))),
        optimizer.register_step_post_hook(lambda opt, args, kwargs: seen.append(("post", p.tolist()))),
        register_optimizer_step_pre_hook(lambda opt, args, kwargs: seen.append("every pre")),
        register_optimizer_step_post_hook(lambda opt, args, kwargs: seen.append("every post")),
    ]
    optimizer.step(closure=None)
    assert seen == ["every pre", ("pre", True, (), {"closure": None}, [1, 2]), ("post", [0.5, 1.5]), "every post"]
    for hook in hooks:
        hook.remove()
    optimizer.step()
    assert len(seen) == 4


def test_a_pre_hook_may_change_the_arguments():
    p, optimizer = made()
    with optimizer.register_step_pre_hook(lambda opt, args, kwargs: ((opt,), {"closure": lambda: "loss"})):
        assert optimizer.step() == "loss"
    with (
        optimizer.register_step_pre_hook(lambda opt, args, kwargs: 3),
        pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3"),
    ):
        optimizer.step()
    assert optimizer.step() is None


def test_hooks_run_once_when_a_subclass_calls_its_base():
    class Halving(optim.SGD):
        def step(self, closure=None):
            self.param_groups[0]["lr"] /= 2
            return super().step(closure)

    p, optimizer = made(Halving)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(p.tolist()))
    optimizer.step()
    assert (seen, p.tolist()) == ([[1, 2]], [0.75, 1.75])


def test_a_subclass_may_define_step_itself():
    class Signs(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @tg.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad.sign(), alpha=-group["lr"])
                    self.state[p]["count"] = self.state[p].get("count", 0) + 1

    p, optimizer = made(Signs)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(p.tolist()))
    optimizer.step()
    assert seen == [[0.5, 1.5]]
    assert optimizer.state_dict()["state"] == {0: {"count": 1}}
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.05]


def test_hooks_of_state_dicts():
    p, optimizer = made(momentum=0.9)
    optimizer.step()
    seen = []
    optimizer.register_state_dict_pre_hook(lambda opt: seen.append("second"))
    optimizer.register_state_dict_pre_hook(lambda opt: seen.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda opt, state: {**state, "note": "kept"})
    state = optimizer.state_dict()
    assert (seen, state["note"]) == (["first", "second"], "kept")

    _, other = made()
    other.register_load_state_dict_pre_hook(lambda opt, state: seen.append(state.pop("note")))
    other.register_load_state_dict_post_hook(lambda opt: seen.append(opt.param_groups[0]["momentum"]))
    other.load_state_dict(state)
    assert seen[2:] == ["kept", 0.9]
    assert state["note"] == "kept"  # the hook got a copy
