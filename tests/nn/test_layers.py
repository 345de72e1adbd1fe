"""Layers and losses."""

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


def test_mistakes_name_what_to_change():
    with pytest.raises(RuntimeError, match=r"input \(2, 144\).* the input has 144 features, the weight takes 10"):
        nn.Linear(10, 2)(tg.ones(2, 144))
    with pytest.raises(RuntimeError, match=r"64 channels .* takes 1; without a batch, the first dimension is that of channels"):
        nn.Conv2d(1, 8, 3)(tg.ones(64, 28, 28))
    with pytest.raises(TypeError, match=r"must be a Tensor, not numpy.ndarray; tapegrad.tensor\(...\) makes one of it"):
        nn.Linear(2, 2)(np.ones((3, 2)))
    with pytest.raises(RuntimeError, match="class probabilities must be floating-point, got tapegrad.int64"):
        nn.CrossEntropyLoss()(tg.zeros(2, 3), tg.zeros(2, 3, dtype=tg.int64))


def test_a_layer_made_of_its_input_says_how_to_call_it():
    with pytest.raises(TypeError, match=r"ReLU: inplace is a flag, got a Tensor; make the layer first, then call it: ReLU\(\)\(input\)"):
        nn.ReLU(tg.ones(3))


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


def test_embedding_from_a_matrix():
    rows = tg.ones(4, 2)
    frozen = nn.Embedding.from_pretrained(rows)
    assert not frozen.weight.requires_grad
    assert frozen.weight.data_ptr() == rows.data_ptr()
    assert nn.EmbeddingBag.from_pretrained(rows, freeze=False, mode="sum").weight.requires_grad
    with pytest.raises(ValueError, match="2-dimensional"):
        nn.Embedding.from_pretrained(tg.ones(4))
    with pytest.raises(ValueError, match=r"weight's shape \(4, 2\)"):
        nn.Embedding(4, 3, _weight=rows)
    sparse = nn.Embedding(4, 2, sparse=True)  # accepted, with a dense gradient
    sparse(tg.tensor([1])).sum().backward()
    assert sparse.weight.grad.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0]]


def test_embedding_scales_rows_that_are_looked_up():
    layer = nn.Embedding(3, 2, max_norm=1.0)
    nn.init.constant_(layer.weight, 3.0)
    layer(tg.tensor([1]))
    assert np.allclose(np.linalg.norm(layer.weight.detach().numpy(), axis=1), [math.sqrt(18), 1, math.sqrt(18)])


def test_convolution_arguments():
    assert nn.Conv2d(2, 4, 3, padding="same", dilation=2)(tg.ones(1, 2, 5, 6)).shape == (1, 4, 5, 6)
    assert nn.Conv1d(2, 4, 3, stride=[2]).stride == (2,)
    for mistake, error, pattern in (
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, "groups must be a positive"),
        (lambda: nn.Conv2d(4, 4, 3, padding="full"), ValueError, "invalid padding string 'full'"),
        (lambda: nn.Conv2d(4, 4, 3, 2, padding="same"), ValueError, "'same' is not supported for strided"),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"), ValueError, "padding_mode must be one of"),
        (lambda: nn.Conv2d(4.0, 4, 3), TypeError, "in_channels must be an integer"),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), ValueError, "only padding_mode='zeros'"),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding="same"), TypeError, "padding must be an integer or 2 integers"),
    ):
        with pytest.raises(error, match=pattern):
            mistake()


def test_transposed_convolution_to_a_size():
    down, up = nn.Conv2d(1, 1, 3, stride=3), nn.ConvTranspose2d(1, 1, 3, stride=3)
    for size in ((9, 10), (11, 11)):
        small = down(tg.ones(2, 1, *size))
        assert tuple(up(small, output_size=size).shape[2:]) == size
        assert tuple(up(small, output_size=(2, 1, *size)).shape[2:]) == size
    with pytest.raises(ValueError, match="valid sizes range from 9 to 11"):
        up(small, output_size=(12, 11))
    with pytest.raises(ValueError, match="must have 2 or 4 elements"):
        up(small, output_size=(11,))


def test_batch_norm_keeps_statistics():
    x = tg.tensor([[1.0], [3.0]])
    layer = nn.BatchNorm1d(1, momentum=0.5)
    np.testing.assert_allclose(layer(x).detach().numpy(), [[-1], [1]], rtol=1e-5)
    assert (layer.running_mean.item(), layer.running_var.item(), layer.num_batches_tracked.item()) == (1.0, 1.5, 1)
    assert layer.eval()(x).detach().numpy()[0, 0] == 0
    assert layer.num_batches_tracked.item() == 1
    average = nn.BatchNorm1d(1, momentum=None)
    for shift in (0.0, 1.0, 5.0):
        average(x + shift)
    assert average.running_mean.item() == pytest.approx(4.0)
    assert average.running_var.item() == pytest.approx(2.0)
    average.reset_running_stats()
    assert (average.running_mean.item(), average.running_var.item(), average.num_batches_tracked.item()) == (0, 1, 0)
    bare = nn.BatchNorm1d(1, affine=False, track_running_stats=False)
    assert not bare.state_dict()
    np.testing.assert_allclose(bare.eval()(x).numpy(), [[-1], [1]], rtol=1e-5)
    with pytest.raises(ValueError, match="expected 4D input \\(got 2D input\\)"):
        nn.BatchNorm2d(1)(x)


def test_batch_norm_needs_both_running_statistics():
    layer = nn.BatchNorm1d(2)
    layer.running_mean = None
    with pytest.raises(ValueError, match="running_mean and running_var must both be None or neither"):
        layer(tg.ones(4, 2))


def test_instance_norm_checks_channels():
    with pytest.raises(ValueError, match="to match num_features"):
        nn.InstanceNorm1d(3, affine=True)(tg.ones(2, 4, 5))
    with pytest.warns(UserWarning, match="num_features is not used"):
        nn.InstanceNorm1d(3)(tg.randn(2, 4, 5))


def test_pooling_and_its_inverse():
    x = tg.arange(16.0).reshape(1, 1, 4, 4)
    y, at = nn.MaxPool2d(2, return_indices=True)(x)
    assert y.flatten().tolist() == [5, 7, 13, 15]
    assert nn.MaxUnpool2d(2)(y, at).sum().item() == 40
    tg.manual_seed(0)
    assert nn.FractionalMaxPool2d(2, output_ratio=0.6)(tg.randn(1, 1, 10, 10)).shape == (1, 1, 6, 6)
    for mistake in ({}, {"output_size": 2, "output_ratio": 0.5}):
        with pytest.raises(ValueError, match="exactly one of output_size and output_ratio"):
            nn.FractionalMaxPool2d(2, **mistake)
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.FractionalMaxPool2d(2, output_ratio=(0.5, 1.5))


def test_random_slopes():
    tg.manual_seed(0)
    layer = nn.RReLU(0.1, 0.3)
    slopes = -layer(-tg.ones(1000)).numpy()
    assert slopes.min() >= 0.1
    assert slopes.max() < 0.3
    assert slopes.std() == pytest.approx(0.2 / math.sqrt(12), rel=0.1)
    assert layer.eval()(-tg.ones(1)).item() == pytest.approx(-0.2)


def test_arguments_that_make_no_sense():
    for mistake, error, pattern in (
        (lambda: nn.Hardtanh(1.0, -1.0), ValueError, "max_val must be above min_val"),
        (lambda: nn.Softmax2d()(tg.ones(2, 2)), ValueError, "expected input to be 3D or 4D"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "divisible by num_groups"),
        (lambda: nn.Unflatten(1, 3), TypeError, "must be a tuple of ints"),
        (lambda: nn.Unflatten(1, ("a", 2)), TypeError, "type str at pos 0"),
        (lambda: nn.Bilinear(0, 1, 1), ValueError, "in1_features must be > 0"),
        (lambda: nn.MultiMarginLoss(p=3), ValueError, "only p == 1 and p == 2"),
        (lambda: nn.TripletMarginLoss(0.0), ValueError, "greater than 0"),
        (lambda: nn.TripletMarginWithDistanceLoss(margin=-1.0), ValueError, "greater than 0"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, []), ValueError, "length larger than 0"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, [5, 3]), ValueError, "unique, positive integers"),
    ):
        with pytest.raises(error, match=pattern):
            mistake()
    with pytest.warns(FutureWarning, match="min_value and max_value are deprecated"):
        assert nn.Hardtanh(min_value=-3.0).min_val == -3


# ------------------------------------------------------------------------------------------------------------- losses


def test_adaptive_softmax():
    tg.manual_seed(0)
    layer = nn.AdaptiveLogSoftmaxWithLoss(6, 9, [2, 5], div_value=2.0)
    x, target = tg.randn(5, 6), tg.tensor([0, 8, 3, 1, 5])
    logs = layer.log_prob(x)
    np.testing.assert_allclose(logs.exp().sum(1).detach().numpy(), np.ones(5), rtol=1e-5)
    output, loss = layer(x, target)
    np.testing.assert_allclose(output.detach().numpy(), logs.detach().numpy()[np.arange(5), target.numpy()], rtol=1e-5)
    assert loss.item() == pytest.approx(-output.detach().numpy().mean(), rel=1e-6)
    assert layer.predict(x).tolist() == logs.argmax(1).tolist()
    with pytest.raises(RuntimeError, match=r"target values should be in \[0, 8\], but they are in \[0, 9\]"):
        layer(x, tg.tensor([0, 9, 3, 1, 5]))
    with pytest.raises(RuntimeError, match="same size in the batch dimension"):
        layer(x, target[:3])


def test_reductions_are_checked_when_a_loss_is_made():
    with pytest.raises(ValueError, match="MSELoss: reduction must be 'mean', 'sum' or 'none', got 'batchmean'"):
        nn.MSELoss(reduction="batchmean")
    x, y = tg.tensor([[0.5], [0.25]]).log(), tg.tensor([[1.0], [1.0]])
    assert nn.KLDivLoss(reduction="batchmean")(x, y).item() == pytest.approx(1.5 * np.log(2))


def test_old_keywords_of_losses():
    with pytest.warns(UserWarning, match="MSELoss: size_average and reduce are deprecated, use reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.raises(TypeError, match=r"make the loss first, then call it: MSELoss\(\)\(input, target\)"):
        nn.MSELoss(tg.ones(2), tg.ones(2))




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


# ----------------------------------------------------------------------------------------------------- beside PyTorch


@pytest.mark.compare
def test_network_gives_torch_values(torch):
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
