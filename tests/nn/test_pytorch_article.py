"""The net that introductions to PyTorch begin with: two linear layers, ReLU, mean squared error, SGD. Only the imports change."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

SCRIPT = """
import torch
import torch.nn as nn
import torch.optim as optim


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(10, 5)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(5, 1)

    def forward(self, x):
        x = self.fc1(x)
        x = self.relu(x)
        x = self.fc2(x)
        return x


net = Net()
net.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
criterion = nn.MSELoss()
optimizer = optim.SGD(net.parameters(), lr=0.05)
inputs = torch.tensor(x)
targets = torch.tensor(y)

losses = []
for epoch in range(30):
    optimizer.zero_grad()
    outputs = net(inputs)
    loss = criterion(outputs, targets)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
text = str(net)
"""
OURS = SCRIPT.replace("import torch\n", "import tapegrad as torch\n").replace("import torch.", "import tapegrad.")
SHAPES = {"fc1.weight": (5, 10), "fc1.bias": (5,), "fc2.weight": (1, 5), "fc2.bias": (1,)}


def given() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal(shape) / 2 for name, shape in SHAPES.items()}
    return {"start": start, "x": rng.standard_normal((16, 10)), "y": rng.standard_normal((16, 1))}


def by_hand(start: dict[str, Any], x: Any, y: Any) -> tuple[list[float], dict[str, Any]]:
    """Losses and parameters of gradient descent, written out."""
    w1, b1, w2, b2 = (start[name].copy() for name in SHAPES)
    losses = []
    for _ in range(30):
        z = x @ w1.T + b1
        h = np.maximum(z, 0)
        residual = h @ w2.T + b2 - y
        losses.append(float((residual**2).mean()))
        do = 2 * residual / residual.size
        dz = (do @ w2) * (z > 0)
        w1, b1, w2, b2 = w1 - 0.05 * dz.T @ x, b1 - 0.05 * dz.sum(0), w2 - 0.05 * do.T @ h, b2 - 0.05 * do.sum(0)
    return losses, dict(zip(SHAPES, (w1, b1, w2, b2), strict=True))


@pytest.fixture
def float64() -> Any:
    before = tg.get_default_dtype()
    tg.set_default_dtype(tg.float64)
    yield
    tg.set_default_dtype(before)


@pytest.mark.usefixtures("float64")
def test_the_trajectory_is_the_one_by_hand() -> None:
    scope = given()
    losses, final = by_hand(**scope)
    exec(OURS, scope)
    np.testing.assert_allclose(scope["losses"], losses, rtol=1e-12)
    assert losses[-1] < losses[0] / 2
    for name, value in scope["net"].state_dict().items():
        np.testing.assert_allclose(value, final[name], rtol=1e-10, atol=1e-14)


@pytest.mark.compare
@pytest.mark.usefixtures("float64")
def test_the_trajectory_is_pytorch_s(torch: Any) -> None:
    ours, theirs = given(), given()
    exec(OURS, ours)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():  # importing torch.optim adds filters
            exec(SCRIPT, theirs)
    finally:
        torch.set_default_dtype(before)
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-12)
    assert ours["text"] == theirs["text"]
