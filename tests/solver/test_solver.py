"""Solver: updates, policies, accumulation, tests, early stopping, and snapshots that go on bit for bit."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F
from tapegrad.solver import Callback, EarlyStopping, Solver, SolverConfig
from tapegrad.solver.policies import rate_factor
from tapegrad.utils.data import DataLoader, TensorDataset

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((24, 3)), RNG.standard_normal((24, 1))


def regression(batch_size: int = 24, rows: slice = slice(None), **options) -> DataLoader:
    return DataLoader(TensorDataset(tg.tensor(X[rows]), tg.tensor(Y[rows])), batch_size=batch_size, **options)


def linear(seed: int = 1) -> nn.Linear:
    """A linear model in float64 with parameters of its own."""
    model = nn.Linear(3, 1, dtype=tg.float64)
    values = np.random.default_rng(seed)
    with tg.no_grad():
        for p in model.parameters():
            p.copy_(tg.tensor(values.standard_normal(p.shape)))
    return model


def gradients(w, b, x=X, y=Y):
    """Of the mean squared error, by hand."""
    residual = x @ w.T + b - y
    return 2 / len(x) * residual.T @ x, 2 / len(x) * residual.sum(0)


def weights(model) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in model.parameters()]


# -------------------------------------------------------------------------------------------------------------- policies


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"lr_policy": "fixed"}, {0: 0.1, 1000: 0.1}),
        ({"lr_policy": "step", "gamma": 0.5, "stepsize": 10}, {0: 0.1, 9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025, 35: 0.0125}),
        ({"lr_policy": "exp", "gamma": 0.9}, {0: 0.1, 1: 0.09, 2: 0.081, 3: 0.0729}),
        ({"lr_policy": "inv", "gamma": 0.5, "power": 2.0}, {0: 0.1, 2: 0.1 / 4, 4: 0.1 / 9, 6: 0.1 / 16}),
        ({"lr_policy": "inv", "gamma": 1e-4, "power": 0.75}, {10000: 0.1 * 2**-0.75, 70000: 0.1 * 8**-0.75}),
        ({"lr_policy": "multistep", "gamma": 0.1, "stepvalue": [5, 8]}, {0: 0.1, 4: 0.1, 5: 0.01, 7: 0.01, 8: 0.001, 99: 0.001}),
        ({"lr_policy": "poly", "power": 2.0, "max_iter": 10}, {0: 0.1, 5: 0.025, 9: 0.001, 10: 0.0, 12: 0.0}),
        ({"lr_policy": "sigmoid", "gamma": -np.log(3.0), "stepsize": 7}, {7: 0.05, 8: 0.025, 9: 0.01, 6: 0.075, 5: 0.09}),
        ({"lr_policy": "sigmoid", "gamma": 1.0, "stepsize": 5000}, {0: 0.0, 5000: 0.05, 10000: 0.1}),
        ({"lr_policy": lambda t: 1 / (1 + t)}, {0: 0.1, 4: 0.02}),
    ],
)
def test_learning_rate_policies(options, expected) -> None:
    """Worked out by hand from the formulas in caffe.proto."""
    config = SolverConfig(base_lr=0.1, **options)
    for iteration, rate in expected.items():
        assert 0.1 * rate_factor(config, iteration) == pytest.approx(rate, rel=1e-12, abs=1e-300), iteration


def test_the_policy_is_what_the_optimizer_uses() -> None:
    model = linear()
    solver = Solver(model, nn.MSELoss(), regression(), base_lr=0.1, lr_policy="step", gamma=0.5, stepsize=2)
    w, b = weights(model)
    for rate in (0.1, 0.1, 0.05, 0.05, 0.025):
        gw, gb = gradients(w, b)
        w, b = w - rate * gw, b - rate * gb
    solver.step(5)
    for value, expected in zip(weights(model), (w, b), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12)
    assert solver.history["lr"] == [(0, 0.1), (1, 0.1), (2, 0.05), (3, 0.05), (4, 0.025)]


# ----------------------------------------------------------------------------------------------------------------- kinds


def caffe_step(kind: str, t: int, g, s: dict, lr: float, m: float, delta: float):
    """The update that Caffe's solvers subtract at a constant rate; ``s`` is the history."""
    if kind in ("SGD", "Nesterov"):
        last, s["h"] = s.get("h", 0.0), m * s.get("h", 0.0) + lr * g
        return s["h"] if kind == "SGD" else (1 + m) * s["h"] - m * last
    if kind == "AdaGrad":
        s["h"] = s.get("h", 0.0) + g**2
        return lr * g / (np.sqrt(s["h"]) + delta)
    if kind == "RMSProp":
        s["h"] = 0.99 * s.get("h", 0.0) + 0.01 * g**2
        return lr * g / (np.sqrt(s["h"]) + delta)
    if kind == "AdaDelta":
        s["h"] = m * s.get("h", 0.0) + (1 - m) * g**2
        u = g * np.sqrt((s.get("u", 0.0) + delta) / (s["h"] + delta))
        s["u"] = m * s.get("u", 0.0) + (1 - m) * u**2
        return lr * u
    s["m"], s["v"] = m * s.get("m", 0.0) + (1 - m) * g, 0.999 * s.get("v", 0.0) + 0.001 * g**2
    return lr * np.sqrt(1 - 0.999**t) / (1 - m**t) * s["m"] / (np.sqrt(s["v"]) + delta)


KINDS = [("SGD", 0.0), ("SGD", 0.9), ("Nesterov", 0.9), ("AdaGrad", None), ("RMSProp", None), ("AdaDelta", 0.95), ("Adam", 0.9)]


@pytest.mark.parametrize("kind, momentum", KINDS)
def test_each_kind_makes_caffes_steps(kind, momentum) -> None:
    delta = 1e-30 if kind == "Adam" else 1e-4  # Adam's stands elsewhere than Caffe's
    model = linear()
    values, states = weights(model), [{}, {}]
    for t in range(1, 9):
        for value, g, state in zip(values, gradients(*values), states, strict=True):
            value -= caffe_step(kind, t, g, state, 0.05, momentum, delta)
    solver = Solver(model, nn.MSELoss(), regression(), type=kind, base_lr=0.05, momentum=momentum, delta=delta)
    solver.step(8)
    for value, expected in zip(weights(model), values, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_weight_decay_of_both_kinds_with_multipliers() -> None:
    for kind, slope in (("L2", lambda p: p), ("L1", np.sign)):
        model = linear()
        w, b = weights(model)
        groups = [{"params": model.weight}, {"params": model.bias, "lr_mult": 2.0, "decay_mult": 0.0}]
        solver = Solver(model, nn.MSELoss(), regression(), base_lr=0.1, weight_decay=0.3, regularization_type=kind, param_groups=groups)
        solver.step(3)
        for _ in range(3):
            gw, gb = gradients(w, b)
            w, b = w - 0.1 * (gw + 0.3 * slope(w)), b - 0.2 * gb
        np.testing.assert_allclose(weights(model)[0], w, rtol=1e-12)
        np.testing.assert_allclose(weights(model)[1], b, rtol=1e-12)


def test_clipping_bounds_the_norm_of_all_gradients() -> None:
    model = linear()
    w, b = weights(model)
    gw, gb = gradients(w, b)
    norm = np.sqrt((gw**2).sum() + (gb**2).sum())
    Solver(model, nn.MSELoss(), regression(), base_lr=1.0, clip_gradients=norm / 4).step()
    np.testing.assert_allclose(weights(model)[0], w - gw / 4, rtol=1e-5)
    model = linear()
    Solver(model, nn.MSELoss(), regression(), base_lr=1.0, clip_gradients=norm * 1.01).step()
    np.testing.assert_allclose(weights(model)[0], w - gw, rtol=1e-12)


def test_accumulation_equals_the_larger_batch() -> None:
    """Also with clipping and momentum."""
    options = {"base_lr": 0.05, "momentum": 0.9, "clip_gradients": 0.5, "weight_decay": 0.1}
    whole, parts = linear(), linear()
    Solver(whole, nn.MSELoss(), regression(24), **options).step(4)
    solver = Solver(parts, nn.MSELoss(), regression(6), iter_size=4, **options)
    solver.step(4)
    for a, b in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)
    assert (solver.iteration, solver.epoch) == (4, 3)  # the pass that was used up ends when the next batch is wanted


def test_an_optimizer_of_ones_own() -> None:
    model, same = linear(), linear()
    groups = [{"params": [model.weight], "lr": 0.2}, {"params": [model.bias], "lr": 0.1}]
    solver = Solver(model, nn.MSELoss(), regression(), optimizer=optim.AdamW(groups), lr_policy=lambda t: 0.5**t)
    solver.step(3)
    adamw = optim.AdamW([{"params": [same.weight], "lr": 0.2}, {"params": [same.bias], "lr": 0.1}])
    for t in range(3):
        adamw.param_groups[0]["lr"], adamw.param_groups[1]["lr"] = 0.2 * 0.5**t, 0.1 * 0.5**t
        adamw.zero_grad()
        nn.MSELoss()(same(tg.tensor(X)), tg.tensor(Y)).backward()
        adamw.step()
    for a, b in zip(weights(model), weights(same), strict=True):
        np.testing.assert_array_equal(a, b)


# ----------------------------------------------------------------------------------------------------------------- tests


def test_tests_average_over_samples_and_leave_the_modes_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 4, dtype=tg.float64), nn.Dropout(0.5), nn.Linear(4, 1, dtype=tg.float64))
    model[2].eval()
    loaders = {"all": regression(7), "first": regression(5)}
    solver = Solver(model, nn.MSELoss(), regression(), loaders, metrics={"error": lambda o, t: (o - t).abs().mean()}, base_lr=0.1)
    results = solver.test()
    assert [m.training for m in model.modules()] == [True, True, True, False]
    error = model.eval()(tg.tensor(X)).detach().numpy() - Y
    assert results["all/loss"] == pytest.approx((error**2).mean(), rel=1e-12)
    assert results["all/error"] == results["first/error"] == pytest.approx(np.abs(error).mean(), rel=1e-12)
    assert solver.history["all/loss"] == [(0, results["all/loss"])]
    solver.config.test_iter = 2
    assert solver.test()["first/loss"] == pytest.approx((error[:10] ** 2).mean(), rel=1e-12)


def test_when_tests_snapshots_and_the_log_are_due(tmp_path) -> None:
    lines: list[str] = []
    options = {"base_lr": 0.1, "max_iter": 6, "test_interval": 2, "display": 3, "average_loss": 2, "snapshot": 4, "log": lines.append}
    solver = Solver(linear(), nn.MSELoss(), regression(), regression(), snapshot_prefix=str(tmp_path / "net"), **options)
    solver.solve()
    losses = [value for _, value in solver.history["loss"]]
    assert [i for i, _ in solver.history["loss"]] == [0, 1, 2, 3, 4, 5]
    assert [i for i, _ in solver.history["test/loss"]] == [0, 2, 4, 6]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net_iter_4.safetensors", "net_iter_6.safetensors"]
    assert [line for line in lines if "lr" in line] == [
        f"iteration 0, lr 0.1, loss {losses[0]:.4g}",
        f"iteration 3, lr 0.1, loss {(losses[2] + losses[3]) / 2:.4g}",
    ]
    assert lines[0].startswith("iteration 0, test/loss ")
    quiet = Solver(linear(), nn.MSELoss(), regression(), regression(), base_lr=0.1, max_iter=3, test_interval=2, test_initialization=False)
    quiet.solve()
    assert [i for i, _ in quiet.history["test/loss"]] == [2]


def test_early_stopping_counts_tests_without_improvement() -> None:
    scores = iter([5.0, 4.0, 4.0, 3.995, 3.5, 3.6, 3.7, 3.5, 1.0])
    stopping = EarlyStopping("test/score", patience=2, min_delta=0.01)
    lines: list[str] = []
    solver = Solver(
        linear(), nn.MSELoss(), regression(), regression(), metrics={"score": lambda o, t: next(scores)}, callbacks=[stopping],
        base_lr=0.1, max_iter=100, test_interval=10, log=lines.append,
    )  # fmt: skip
    solver.solve()
    assert (solver.iteration, stopping.best, stopping.best_iteration, stopping.waited) == (70, 3.5, 40, 3)
    assert solver.stopped == "test/score has not improved on 3.5 since iteration 40"
    assert lines == [f"iteration 70, stopped: {solver.stopped}"]
    rising = EarlyStopping("test/score", patience=0, mode="max")
    rising.on_test(solver, {"test/score": 1.0})
    rising.on_test(solver, {"test/score": 1.5})
    assert rising.best == 1.5
    broken = EarlyStopping("test/score", patience=0)
    broken.on_test(solver, {"test/score": float("nan")})
    assert solver.stopped == "test/score was never a number"
    broken.on_test(solver, {"test/score": 2.0})
    assert (broken.best, broken.waited) == (2.0, 0)
    with pytest.raises(ValueError, match="no test result 'test/score', only test/loss"):
        rising.on_test(solver, {"test/loss": 1.0})


def test_callbacks_are_called_at_their_moments(tmp_path) -> None:
    class Recorder(Callback):
        def __init__(self) -> None:
            self.events: list[str] = []

        def on_step(self, solver) -> None:
            self.events.append(f"step {solver.iteration}")

        def on_test(self, solver, results) -> None:
            self.events.append(f"test {solver.iteration}")

        def on_snapshot(self, solver, path) -> None:
            self.events.append("snapshot")

        def on_end(self, solver) -> None:
            self.events.append("end")

    recorder, seen = Recorder(), []
    options = {"base_lr": 0.1, "max_iter": 2, "test_interval": 1, "snapshot_prefix": str(tmp_path / "a")}
    solver = Solver(linear(), nn.MSELoss(), regression(), regression(), callbacks=[recorder, lambda s: seen.append(s.iteration)], **options)
    solver.solve()
    assert recorder.events == ["test 0", "step 1", "test 1", "step 2", "snapshot", "test 2", "end"]
    assert seen == [1, 2]


# ------------------------------------------------------------------------------------------------------------- snapshots


class Noisy(TensorDataset):
    """Draws from three generators for every sample."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 0.1 * tg.randn(x.shape, dtype=x.dtype) + 0.01 * random.random() + 0.01 * np.random.random(), y


def dropout_run(kind: str = "Adam", dataset=TensorDataset, generator: bool = True) -> Solver:
    """A solver with everything that can go wrong: shuffling, dropout, running statistics, accumulation, early stopping."""
    tg.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.4), nn.Linear(8, 1))
    data = dataset(tg.tensor(X, dtype=tg.float32), tg.tensor(Y, dtype=tg.float32))
    own = tg.Generator().manual_seed(11) if generator else None
    train = DataLoader(data, batch_size=5, shuffle=True, generator=own)
    test = DataLoader(data, batch_size=6, shuffle=True)
    return Solver(
        model, F.mse_loss, train, test, callbacks=[EarlyStopping("test/loss", patience=50)], type=kind, base_lr=0.02,
        lr_policy="inv", gamma=0.1, power=0.75, iter_size=2, test_interval=3, weight_decay=1e-3, clip_gradients=1.0, max_iter=17,
    )  # fmt: skip


def everything(solver: Solver) -> list:
    state = solver.optimizer.state_dict()
    tensors = [t for s in state["state"].values() for t in s.values() if isinstance(t, tg.Tensor)]
    bits = [t.detach().numpy().tobytes() for t in [*solver.model.state_dict().values(), *tensors]]
    stopping = solver.callbacks[0].state_dict()
    return [bits, state["param_groups"], solver.history, stopping, solver.iteration, solver.epoch, solver._randomness.get()]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("dataset", [TensorDataset, Noisy])
@pytest.mark.parametrize("generator", [True, False])
def test_a_restored_run_equals_the_uninterrupted_one_bit_for_bit(kind, dataset, generator, tmp_path) -> None:
    whole = dropout_run(kind, dataset, generator)
    whole.solve()
    for at in (4, 5, 9):  # in the middle of a pass, at the end of one, where a test is due
        first = dropout_run(kind, dataset, generator)
        first.step(at)
        path = first.snapshot(tmp_path / "snapshot")
        second = dropout_run(kind, dataset, generator)
        second.step(2)  # what it did before is forgotten
        tg.manual_seed(99)
        random.seed(99)
        np.random.seed(99)
        second.restore(path)
        second.solve()
        assert everything(second) == everything(whole), at


def test_a_sampler_that_draws_within_the_pass_from_the_generator_of_dropout(tmp_path) -> None:
    """Its later order depends on draws that training made between its own."""

    class Lazy:
        def __iter__(self):
            for _ in range(6):
                yield tg.randint(24, (4,)).tolist()

    def run() -> Solver:
        tg.manual_seed(5)
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        data = TensorDataset(tg.tensor(X, dtype=tg.float32), tg.tensor(Y, dtype=tg.float32))
        return Solver(model, F.mse_loss, DataLoader(data, batch_sampler=Lazy()), base_lr=0.05, callbacks=[Callback()])

    whole, first, second = run(), run(), run()
    tg.manual_seed(8)
    whole.step(9)
    tg.manual_seed(8)
    first.step(3)
    second.restore(first.snapshot(tmp_path / "s"))
    second.step(6)
    assert everything(second) == everything(whole)


class Remembering(Callback):
    """Its state is no other callback's, and loading one that does not fit leaves a trace."""

    def __init__(self) -> None:
        self.seen = 1

    def state_dict(self) -> dict:
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict) -> None:
        self.seen = 0
        self.seen = state_dict["seen"]


def test_a_restore_that_fails_changes_nothing(tmp_path) -> None:
    path = dropout_run()
    path.step(5)
    file = path.snapshot(tmp_path / "good")
    solver = dropout_run()
    solver.step(3)
    before = everything(solver)

    other_model = dropout_run()
    other_model.step()
    other_model.model = nn.Linear(3, 1)
    other_loaders = Solver(nn.Linear(3, 1), F.mse_loss, regression(), base_lr=0.1, callbacks=[Callback()])
    short = dropout_run()
    short._batches._loader = [(tg.ones(5, 3), tg.ones(5, 1))]
    tg.save({"a": 1}, tmp_path / "foreign")
    other_kind = dropout_run("SGD")
    other_callback = dropout_run()
    other_callback.callbacks = [Remembering()]
    cut = {name: value for name, value in tg.load(file).items() if name != "history"}
    tg.save(cut, tmp_path / "cut")
    for victim, name, error, match in (
        (other_model, file, RuntimeError, "state_dict for Linear"),  # the optimizer has taken its part by then
        (other_loaders, file, ValueError, "the state has generator 1, but the solver's loaders use 1 generators"),
        (other_kind, file, ValueError, "lacks|group"),
        (short, file, ValueError, "has 1 batches, but the snapshot was taken after"),
        (other_callback, file, ValueError, "good lacks 'seen'"),
        (solver, tmp_path / "cut", ValueError, "cut lacks 'history'"),
        (solver, tmp_path / "foreign", ValueError, "foreign is no snapshot of a Solver"),
        (solver, tmp_path / "missing", FileNotFoundError, "missing"),
    ):
        state = everything(victim)
        with pytest.raises(error, match=match):
            victim.restore(name)
        assert everything(victim) == state
    tg.default_generator.set_state(tg.tensor(list(before[-1]["generator 0"])))
    random.setstate(before[-1]["python"])
    np.random.set_state(before[-1]["numpy"])
    assert everything(solver)[:-1] == before[:-1]


# -------------------------------------------------------------------------------------------------------------- mistakes


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="SolverConfig:") as caught:
        SolverConfig(
            base_lr=-1, lr_policy="inv", gamma=float("nan"), type="Adamax", iter_size=0, stepvalue=[3, 2], momentum=1.0, test_iter=2.5,
            regularization_type="L3", snapshot=5,
        )  # fmt: skip
    lines = str(caught.value).split("\n\t")
    assert lines == [
        "SolverConfig:",
        "base_lr must be at least 0, got -1",
        "gamma must be finite, got nan",
        "momentum must be below 1, got 1.0",
        "iter_size must be at least 1, got 0",
        "test_iter must be an integer, got 2.5",
        "stepvalue must be integers in ascending order, got [3, 2]",
        "lr_policy 'inv' needs power",
        "type must be one of SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam; got 'Adamax'",
        "regularization_type must be L1 or L2, got 'L3'",
        "snapshot=5 needs a snapshot_prefix",
    ]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lr_policy": "cosine"}, "lr_policy must be a function or one of fixed, step, exp, inv, multistep, poly, sigmoid; got 'cosine'"),
        ({"lr_policy": "poly", "power": 1}, "lr_policy 'poly' needs max_iter"),
        ({"lr_policy": "multistep", "gamma": 0.1}, "lr_policy 'multistep' needs stepvalue"),
        ({"lr_policy": "exp", "gamma": -0.1}, "lr_policy 'exp' needs a gamma of at least 0"),
        ({"type": "AdaGrad", "momentum": 0.9}, "AdaGrad has no momentum"),
        ({"type": "Nesterov", "momentum": 0}, "Nesterov needs a momentum above 0"),
        ({"lr_policy": "multistep", "gamma": 0.1, "stepvalue": 3}, "stepvalue must be integers in ascending order, got 3"),
    ],
)
def test_wrong_options(options, message) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        SolverConfig(base_lr=0.1, **options)


def test_mistakes_of_the_solver() -> None:
    model, loader = linear(), regression()
    with pytest.raises(ValueError, match="test_interval=5 needs test_loaders\n\tbase_lr must be given where no optimizer is"):
        Solver(model, nn.MSELoss(), loader, test_interval=5)
    with pytest.raises(ValueError, match="type belongs to the optimizer that was given\n\tdelta belongs"):
        Solver(model, nn.MSELoss(), loader, optimizer=optim.SGD(model.parameters(), lr=1), type="Adam", delta=0.1)
    with pytest.raises(TypeError, match="base_lrr"):
        Solver(model, nn.MSELoss(), loader, base_lrr=0.1)
    with pytest.raises(TypeError, match="config or options, not both: gamma"):
        Solver(model, nn.MSELoss(), loader, config=SolverConfig(base_lr=0.1), gamma=2.0)
    solver = Solver(model, nn.MSELoss(), loader, base_lr=0.1)
    with pytest.raises(ValueError, match=r"solve\(\) needs max_iter"):
        solver.solve()
    with pytest.raises(ValueError, match=r"test\(\) needs test_loaders"):
        solver.test()
    with pytest.raises(ValueError, match="needs a path, or the option snapshot_prefix"):
        solver.snapshot()
    with pytest.raises(ValueError, match="train_loader has no batches"):
        Solver(model, nn.MSELoss(), [], base_lr=0.1).step()
    with pytest.raises(ValueError, match="no batches in its second pass; give an iterable that can be gone through again"):
        Solver(model, nn.MSELoss(), iter(list(loader)), base_lr=0.1).step(100)
    with pytest.raises(ValueError, match="the test loader 'test' has no batches"):
        Solver(model, nn.MSELoss(), loader, [], base_lr=0.1).test()
    with pytest.raises(TypeError, match=r"batches \(input, ..., target\), got dict; override Solver.forward"):
        Solver(model, nn.MSELoss(), [{"x": 1}], base_lr=0.1).step()


# ---------------------------------------------------------------------------------------------------------------- README


def test_the_readme_s_example(tmp_path, monkeypatch, capsys) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "import EarlyStopping, Solver" in block)
    monkeypatch.chdir(tmp_path)
    tg.manual_seed(0)
    scope: dict[str, Any] = {}
    exec(code.replace("max_iter=2000", "max_iter=1002"), scope)  # code of our own README
    assert "iteration 1000, lr" in capsys.readouterr().out
    first, second = weights(scope["model"]), scope["solver"]
    second.restore("runs/net_iter_1000.safetensors")
    second.solve()
    for a, b in zip(first, weights(scope["model"]), strict=True):
        np.testing.assert_array_equal(a, b)


# -------------------------------------------------------------------------------------------------------------- progress


def test_progress_is_text_without_rich(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    lines: list[str] = []
    Solver(linear(), nn.MSELoss(), regression(), base_lr=0.1, max_iter=3, progress=True, log=lines.append).solve()
    assert len(lines) == 1
    assert lines[0].startswith("3/3  loss ") and lines[0].endswith("  lr 0.1")


def test_progress_is_rich_s_bar_where_it_is_installed(capsys) -> None:
    pytest.importorskip("rich")
    Solver(linear(), nn.MSELoss(), regression(), base_lr=0.1, max_iter=3, progress=True).solve()
    out = capsys.readouterr().out
    assert "3/3" in out and "lr 0.1" in out
