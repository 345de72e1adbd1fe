"""Layers, losses and starting values."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

# ------------------------------------------------------------------------------------------------------------- layers


def test_linear():
    tg.manual_seed(0)
    layer = nn.Linear(5, 3)
    x = tg.randn(2, 4, 5)
    expected = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    layer(x).sum().backward()
    assert layer.weight.grad.shape == (3, 5)
    assert layer.bias.grad.tolist() == [8, 8, 8]
    bare = nn.Linear(5, 3, bias=False, dtype=tg.float64)
    assert bare.bias is None
    assert list(bare.state_dict()) == ["weight"]
    assert bare.weight.dtype is tg.float64
    with pytest.raises(RuntimeError, match=r"linear: shapes don't fit"):
        layer(tg.ones(2, 4))


def test_linear_without_inputs():
    assert nn.Linear(0, 2)(tg.ones(3, 0)).shape == (3, 2)


def test_linear_starts_within_its_bound():
    tg.manual_seed(0)
    layer = nn.Linear(100, 400)
    for values in (layer.weight, layer.bias):
        values = values.detach().numpy()
        assert np.abs(values).max() <= 0.1
        assert np.abs(values).max() > 0.09
        assert abs(values.mean()) < 0.02
    tg.manual_seed(0)
    assert nn.Linear(100, 400).weight.tolist() == layer.weight.tolist()


@pytest.mark.parametrize(
    ("layer", "reference"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.GELU(), lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
        (
            nn.GELU("tanh"),
            lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        (nn.Softmax(dim=1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        (nn.LogSoftmax(dim=0), lambda x: x - np.log(np.exp(x).sum(0, keepdims=True))),
        (nn.Identity(1, a=2), lambda x: x),
        (nn.Flatten(0), np.ravel),
    ],
)
def test_layers_without_parameters(layer, reference):
    x = tg.tensor(np.linspace(-3, 3, 12).reshape(3, 4), requires_grad=True)
    np.testing.assert_allclose(layer(x).detach().numpy(), reference(x.detach().numpy()), rtol=1e-12, atol=1e-14)
    layer(x).sum().backward()
    assert x.grad.shape == x.shape
    assert not list(layer.parameters())


def test_relu_in_place():
    x = tg.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.tolist() == [0, 2]
    y = tg.tensor([-1.0, 2.0], requires_grad=True)
    nn.ReLU(inplace=True)(y * 1).sum().backward()
    assert y.grad.tolist() == [0, 1]


def test_flatten():
    x = tg.ones(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)


def test_dropout():
    tg.manual_seed(0)
    layer = nn.Dropout(0.25)
    y = layer(tg.ones(10000)).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    x = tg.ones(3)
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_embedding():
    layer = nn.Embedding(5, 3, padding_idx=-1)
    assert layer.padding_idx == 4
    assert layer.weight.requires_grad
    assert not layer.weight.detach().numpy()[4].any()
    index = tg.tensor([[1, 4], [1, 0]])
    y = layer(index)
    assert y.shape == (2, 2, 3)
    assert np.array_equal(y.detach().numpy(), layer.weight.detach().numpy()[index.numpy()])
    y.sum().backward()
    assert layer.weight.grad.numpy()[:, 0].tolist() == [1, 2, 0, 0, 0]
    with pytest.raises(ValueError, match="padding_idx"):
        nn.Embedding(5, 3, padding_idx=5)
    with pytest.raises(IndexError, match="out of range"):
        layer(tg.tensor([5]))


# ------------------------------------------------------------------------------------------------------------- losses


def test_cross_entropy():
    logits, target = tg.tensor([[1.0, 2.0, 0.5], [0.1, 0.2, 0.3]]), tg.tensor([1, 2])
    x = logits.numpy()
    rows = np.log(np.exp(x).sum(1)) - x[[0, 1], [1, 2]]
    assert nn.CrossEntropyLoss()(logits, target).item() == pytest.approx(rows.mean(), rel=1e-6)
    assert nn.CrossEntropyLoss(reduction="sum")(logits, target).item() == pytest.approx(rows.sum(), rel=1e-6)
    weighted = nn.CrossEntropyLoss(weight=tg.tensor([1.0, 2.0, 3.0]))
    assert weighted(logits, target).item() == pytest.approx((2 * rows[0] + 3 * rows[1]) / 5, rel=1e-6)
    assert list(weighted.state_dict()) == ["weight"]
    ignoring = nn.CrossEntropyLoss(ignore_index=2)
    assert ignoring(logits, target).item() == pytest.approx(rows[0], rel=1e-6)


def test_mse():
    x, y = tg.tensor([1.0, 2.0]), tg.tensor([0.0, 4.0])
    assert nn.MSELoss()(x, y).item() == 2.5
    assert nn.MSELoss(reduction="none")(x, y).tolist() == [1, 4]
    with pytest.raises(ValueError, match="reduction"):
        nn.MSELoss(reduction="maximum")(x, y)


# ---------------------------------------------------------------------------------------------------- starting values


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: nn.init.uniform_(t, -1, 3), 4 / math.sqrt(12)),
        (lambda t: nn.init.normal_(t, 1.0, 2.0), 2.0),
        (nn.init.kaiming_uniform_, math.sqrt(2 / 300)),
        (lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / 200)),
        (nn.init.xavier_uniform_, math.sqrt(2 / 500)),
        (lambda t: nn.init.xavier_normal_(t, gain=nn.init.calculate_gain("tanh")), 5 / 3 * math.sqrt(2 / 500)),
    ],
)
def test_spread(fill, std):
    tg.manual_seed(1)
    t = tg.empty(200, 300, requires_grad=True)
    assert fill(t) is t  # in place on a leaf that requires grad
    assert t.is_leaf
    assert t.requires_grad
    assert float(t.detach().numpy().std()) == pytest.approx(std, rel=0.02)


def test_constants_and_generator():
    assert nn.init.constant_(tg.empty(2), 3).tolist() == [3, 3]
    assert nn.init.zeros_(tg.empty(2)).tolist() == [0, 0]
    assert nn.init.ones_(tg.empty(2)).tolist() == [1, 1]
    draw = [
        nn.init.kaiming_uniform_(tg.empty(3, 3), generator=tg.Generator().manual_seed(7)).tolist() for _ in range(2)
    ]
    assert draw[0] == draw[1]


def test_convolution_fans():
    t = tg.empty(64, 16, 5, 5)  # fan in 16 * 25
    nn.init.kaiming_normal_(t, nonlinearity="linear")
    assert float(t.numpy().std()) == pytest.approx(1 / 20, rel=0.03)


def test_gains_and_errors():
    assert nn.init.calculate_gain("linear") == 1
    assert nn.init.calculate_gain("relu") == pytest.approx(math.sqrt(2))
    assert nn.init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.init.calculate_gain("cube")
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        nn.init.xavier_uniform_(tg.empty(3))
    with pytest.raises(ValueError, match="Mode"):
        nn.init.kaiming_uniform_(tg.empty(3, 3), mode="fan")


# ----------------------------------------------------------------------------------------------------- beside PyTorch


@pytest.mark.compare
def test_network_gives_torch_values():
    torch = pytest.importorskip("torch")

    def build(lib, double):
        return lib.Sequential(
            lib.Embedding(7, 4, padding_idx=2, dtype=double),
            lib.Flatten(),
            lib.Linear(12, 8, dtype=double),
            lib.GELU(approximate="tanh"),
            lib.Dropout(0.5),
            lib.Linear(8, 8, dtype=double),
            lib.Tanh(),
            lib.Linear(8, 5, dtype=double),
        ).eval()

    ours, theirs = build(nn, tg.float64), build(torch.nn, torch.float64)
    ours.load_state_dict({name: tg.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 7, (6, 3)), rng.integers(0, 5, 6)
    weight = rng.random(5)
    a = nn.CrossEntropyLoss(tg.tensor(weight), label_smoothing=0.1)(ours(tg.tensor(x)), tg.tensor(y))
    b = torch.nn.CrossEntropyLoss(torch.tensor(weight), label_smoothing=0.1)(theirs(torch.tensor(x)), torch.tensor(y))
    a.backward()
    b.backward()
    assert a.item() == pytest.approx(b.item(), rel=1e-12)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.compare
def test_gains_like_torch():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for shape in ((4, 6), (3, 5, 2), (2, 3, 4, 5)):
        fans = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        assert nn.init._fans(tg.empty(shape)) == fans
