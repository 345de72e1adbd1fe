"""The regularised perceptron: gradients through every node of its graph equal the closed forms.

One hidden layer, z = W1 x, h = phi(z), o = W2 h, a loss L = l(o, y), the regularisation s = lambda / 2 (|W1|^2 + |W2|^2) in Frobenius
norms and the objective J = L + s, as in https://d2l.ai/chapter_multilayer-perceptrons/backprop.html. Everything in float64.
"""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F
from tapegrad.utils.memory import memory_report

DECAY, D, H, Q = 0.3, 5, 7, 3


def softmax(o):
    e = np.exp(o - o.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# phi of tensors, phi' of arrays
ACTIVATIONS = {
    "relu": (F.relu, lambda z: (z > 0) * 1.0),
    "sigmoid": (F.sigmoid, lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": (F.tanh, lambda z: np.cosh(z) ** -2),
}
# l of tensors, dL/do of arrays; of one example
LOSSES = {
    "cross entropy": (F.cross_entropy, lambda o: np.array(1), lambda o, y: softmax(o) - np.eye(Q)[y]),
    "squared": (lambda o, y: (o - y).square().sum() / 2, lambda o: np.linspace(-1, 1, Q), lambda o, y: o - y),
}


def draws(bias: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"W1": (H, D), "W2": (Q, H), **({"b1": (H,), "b2": (Q,)} if bias else {})}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()} | {"x": rng.standard_normal(D)}


@pytest.mark.parametrize("bias", [False, True], ids=["no biases", "biases"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_every_node_equal_the_closed_forms(activation: str, loss: str, bias: bool) -> None:
    phi, slope = ACTIVATIONS[activation]
    l, make_target, dl = LOSSES[loss]
    arrays = draws(bias)
    x = arrays.pop("x")
    p = {name: tg.tensor(a, requires_grad=True) for name, a in arrays.items()}
    z = p["W1"] @ tg.tensor(x)
    z = z + p["b1"] if bias else z
    h = phi(z)
    o = p["W2"] @ h
    o = o + p["b2"] if bias else o
    y = make_target(o)
    L = l(o, tg.tensor(y))
    s = DECAY / 2 * (p["W1"].square().sum() + p["W2"].square().sum())
    J = L + s
    for node in (z, h, o, L, s, J):
        node.retain_grad()
    J.backward()

    do = dl(o.detach().numpy(), y)
    dh = arrays["W2"].T @ do
    dz = dh * slope(z.detach().numpy())
    expected = {"W1": np.outer(dz, x) + DECAY * arrays["W1"], "W2": np.outer(do, h.detach().numpy()) + DECAY * arrays["W2"]}
    expected |= {"b1": dz, "b2": do} if bias else {}
    assert J.grad.item() == L.grad.item() == s.grad.item() == 1
    for node, value in ((o, do), (h, dh), (z, dz), *((p[name], value) for name, value in expected.items())):
        np.testing.assert_allclose(node.grad, value, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("bias", [False, True])
def test_a_batch_through_modules_and_weight_decay(bias: bool) -> None:
    """A step on L with ``weight_decay`` for the weights is a step on J."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, D)), rng.integers(0, Q, 6)
    model = nn.Sequential(nn.Linear(D, H, bias=bias), nn.Tanh(), nn.Linear(H, Q, bias=bias)).double()
    values = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    groups = {kind: [p for name, p in model.named_parameters() if name.endswith(kind)] for kind in ("weight", "bias")}
    optimizer = optim.SGD([{"params": groups["weight"], "weight_decay": DECAY}, *([{"params": groups["bias"]}] if bias else [])], lr=0.1)
    F.cross_entropy(model(tg.tensor(x)), tg.tensor(y)).backward()
    optimizer.step()

    W1, W2 = values["0.weight"], values["2.weight"]
    h = np.tanh(x @ W1.T + values.get("0.bias", 0.0))
    do = (softmax(h @ W2.T + values.get("2.bias", 0.0)) - np.eye(Q)[y]) / len(x)
    dz = do @ W2 * (1 - h**2)
    steps = {"0.weight": dz.T @ x + DECAY * W1, "2.weight": do.T @ h + DECAY * W2, "0.bias": dz.sum(0), "2.bias": do.sum(0)}
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.detach(), values[name] - 0.1 * steps[name], rtol=1e-12, atol=1e-14)


def test_the_forward_pass_keeps_only_what_the_closed_forms_name() -> None:
    """h = tanh(z), for W2's gradient and, since phi'(z) = 1 - h^2, for z's. A prediction has let it go."""
    model = nn.Sequential(nn.Linear(D, H, bias=False), nn.Tanh(), nn.Linear(H, Q, bias=False)).double()
    x = tg.tensor(draws(bias=False)["x"])
    report = memory_report(lambda: model(x).sum(), model)
    assert report.saved == {"tanh": 8 * H}
