"""The memory report counts exactly."""

from __future__ import annotations

import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F
from tapegrad.utils.memory import memory_report

N, D, H, C = 7, 5, 11, 3
WEIGHTS = 4 * (D * H + H + H * C + C)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.Linear(H, C))


def test_every_byte_of_a_perceptron() -> None:
    model, x, y = network(), tg.ones(N, D), tg.zeros(N, C)
    report = memory_report(lambda: F.mse_loss(model(x), y), model)
    assert (report.parameters, report.gradients, report.buffers, report.optimizer_state) == (WEIGHTS, WEIGHTS, 0, 0)
    assert report.saved == {"tanh": 4 * N * H, "squared_error": 4 * N * C}  # x, y and the weights exist anyway
    assert report.results == 2 * 4 * N * H  # tanh reads one hidden layer and writes another
    assert report.prediction == WEIGHTS + 8 * N * H
    assert report.passing == 4 * N * (H - C)  # the most is held when tanh runs: its input, besides what will be saved
    assert report.training == 2 * WEIGHTS + 8 * N * H


def test_gradients_of_frozen_parameters_buffers_and_optimizer_state() -> None:
    model = nn.Sequential(nn.Linear(D, C))
    model.register_buffer("scale", tg.ones(9, dtype=tg.float64))
    model[0].bias.requires_grad_(False)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss = F.mse_loss(model(tg.ones(N, D)), tg.zeros(N, C))
    loss.backward()
    optimizer.step()
    report = memory_report(lambda: model(tg.ones(N, D)).sum(), model, optimizer)
    assert (report.parameters, report.buffers) == (4 * (D * C + C), 72)
    assert report.gradients == report.optimizer_state == 4 * D * C


def test_training_never_needs_less_than_prediction() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    report = memory_report(lambda: model(tg.ones(4, 1, 8, 8)).sum(), model)
    assert report.training > report.prediction + report.gradients - 1


def test_depth_costs_training_but_not_prediction() -> None:
    def report(depth: int):
        layers = [layer for _ in range(depth) for layer in (nn.Linear(H, H), nn.Sigmoid())]
        model = nn.Sequential(*layers)
        return memory_report(lambda: model(tg.ones(N, H)).sum(), model)

    shallow, deep = report(2), report(20)
    assert deep.results == shallow.results == 2 * 4 * N * H
    assert deep.saved["sigmoid"] == 10 * shallow.saved["sigmoid"] == 20 * 4 * N * H


def test_views_and_shared_values_count_once() -> None:
    model = nn.Linear(4, 4, bias=False)

    def forward():
        h = model(tg.ones(2, 4))
        return (h.view(8) * h.t().reshape(8)).sum() + h.exp().sum()

    report = memory_report(forward, model)
    assert report.saved == {"mul": 4 * 8 * 2, "exp": 4 * 8}  # h and its transposed copy; what exp made


def test_the_table() -> None:
    model, x, y = network(), tg.ones(N, D), tg.zeros(N, C)
    lines = repr(memory_report(lambda: F.mse_loss(model(x), y), model)).splitlines()
    assert lines[0].split() == ["prediction", "training"]
    assert lines[1].split() == ["parameters", "408", "B", "408", "B"]
    assert lines[-1].split() == ["total", "1.0", "KiB", "1.4", "KiB"]


def test_a_loss_without_a_tape_is_refused() -> None:
    with pytest.raises(RuntimeError, match="the loss does not require grad"):
        memory_report(lambda: tg.ones(()), network())
