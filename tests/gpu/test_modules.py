"""Modules on the GPU: moving them, checkpoints, mixed precision, what surrounds a training loop."""

from __future__ import annotations

import copy
import gc
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import amp, nn
from tapegrad.nn.utils import clip_grad_norm_, parameters_to_vector, rnn, vector_to_parameters
from tapegrad.nn.utils.parametrizations import spectral_norm, weight_norm
from tapegrad.testing.grads import GradientError, check_grads
from tapegrad.utils.data import DataLoader, TensorDataset, default_collate
from tapegrad.utils.tensorboard import SummaryWriter, read_events


def small() -> Any:
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def test_a_module_moves_with_its_gradients() -> None:
    model = small()
    model(tg.randn(5, 4)).sum().backward()
    before, grads = list(model.parameters()), [p.grad.numpy().copy() for p in model.parameters()]
    assert model.cuda() is model
    assert all(a is b for a, b in zip(model.parameters(), before, strict=True))
    assert all(p.is_cuda and p.grad.is_cuda and p.is_leaf for p in model.parameters())
    assert model[1].running_mean.is_cuda
    assert model[1].num_batches_tracked.is_cuda
    for p, g in zip(model.parameters(), grads, strict=True):
        np.testing.assert_array_equal(p.grad.cpu().numpy(), g)
    assert model.half()[0].weight.dtype is tg.float16
    assert model[1].num_batches_tracked.dtype is tg.int64
    assert model.float()[0].weight.dtype is tg.float32
    assert not any(t.is_cuda for t in model.cpu().state_dict().values())


def test_layers_are_made_on_the_gpu() -> None:
    for layer in (
        nn.Linear(3, 2, device="cuda"),
        nn.Conv2d(2, 4, 3, device="cuda"),
        nn.BatchNorm2d(3, device="cuda"),
        nn.Embedding(5, 3, padding_idx=1, device="cuda"),
        nn.LSTM(3, 2, device="cuda"),
        nn.MultiheadAttention(4, 2, device="cuda"),
        nn.LayerNorm(4, device="cuda"),
        nn.PReLU(device="cuda"),
    ):
        assert all(t.is_cuda for t in layer.state_dict().values()), layer
    lazy = nn.LazyLinear(3, device="cuda")
    assert lazy(tg.ones(2, 5, device="cuda")).is_cuda
    with tg.device("cuda"):
        assert nn.Linear(3, 2).weight.is_cuda


def test_state_dicts_across_devices(tmp_path: Any) -> None:
    here, there = small(), copy.deepcopy(small()).cuda()
    with tg.no_grad():
        there[0].weight.fill_(2.0)
        there[1].running_mean.fill_(3.0)
    here.load_state_dict(there.state_dict())
    assert not here[0].weight.is_cuda
    assert here[0].weight.tolist() == there[0].weight.tolist() == [[2.0] * 4] * 6
    assert here[1].running_mean.tolist() == [3.0] * 6
    here[0].weight.data.fill_(1.0)
    parameter = there[0].weight
    there.load_state_dict(here.state_dict())
    assert there[0].weight is parameter
    assert parameter.is_cuda
    assert parameter.tolist() == [[1.0] * 4] * 6
    tied = {"a": parameter, "b": parameter.detach(), "c": [there[1].num_batches_tracked, 1.5], "d": np.arange(2)}
    tg.save(tied, tmp_path / "tied")
    back = tg.load(tmp_path / "tied")
    assert not back["a"].is_cuda
    assert back["a"].requires_grad
    assert back["a"].data_ptr() == back["b"].data_ptr()
    back = tg.load(tmp_path / "tied", map_location="cuda")
    assert back["a"].is_cuda
    assert back["a"].requires_grad
    assert not back["b"].requires_grad
    assert back["a"].data_ptr() == back["b"].data_ptr()
    assert back["a"].tolist() == parameter.tolist()
    assert back["c"][0].device == tg.device("cuda", 0)
    tg.save(there.state_dict(), tmp_path / "model")
    here.load_state_dict(tg.load(tmp_path / "model", map_location=tg.device("cuda")))
    assert tg.load(tmp_path / "model", "cuda", foreign=True)["0.weight"].is_cuda


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uniform_", (0, 1)), ("normal_", ()), ("trunc_normal_", ()), ("constant_", (2,)), ("ones_", ()), ("zeros_", ()), ("eye_", ()),
        ("orthogonal_", ()), ("sparse_", (0.5,)), ("kaiming_uniform_", ()), ("kaiming_normal_", ()), ("xavier_uniform_", ()), ("xavier_normal_", ()),
    ],
)  # fmt: skip
def test_init(name: str, arguments: tuple[Any, ...]) -> None:
    w = nn.Parameter(tg.full((6, 4), 9.0, device="cuda"))
    assert getattr(nn.init, name)(w, *arguments) is w
    values = w.detach().cpu().numpy()
    assert np.abs(values).max() < 9
    if name == "orthogonal_":
        np.testing.assert_allclose(values.T @ values, np.eye(4), atol=1e-5)
    if name == "sparse_":
        assert ((values == 0).sum(0) == 3).all()
    if name == "eye_":
        assert (values == np.eye(6, 4)).all()


def test_dirac() -> None:
    layer = nn.Conv1d(3, 3, 3, padding=1, bias=False, device="cuda")
    nn.init.dirac_(layer.weight)
    x = tg.randn(2, 3, 5, device="cuda")
    np.testing.assert_allclose(layer(x).detach().cpu().numpy(), x.cpu().numpy(), rtol=1e-6)


def test_utilities_of_parameters() -> None:
    model, twin = small().cuda(), small()
    x = tg.randn(5, 4)
    model(x.cuda()).square().sum().backward(), twin(x).square().sum().backward()
    norms = [clip_grad_norm_(m.parameters(), 0.5) for m in (model, twin)]
    assert norms[0].is_cuda
    assert norms[0].item() == pytest.approx(norms[1].item(), rel=1e-4)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.cpu().numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-5)
    vector = parameters_to_vector(model.parameters())
    assert vector.is_cuda
    vector_to_parameters(vector * 0 + 1.5, model.parameters())
    assert model[3].bias.tolist() == [1.5] * 3


@pytest.mark.parametrize("parametrization", [weight_norm, spectral_norm])
def test_parametrizations(parametrization: Any) -> None:
    tg.manual_seed(1)
    twin = parametrization(nn.Linear(4, 3))
    layer = copy.deepcopy(twin).cuda()
    twin.eval(), layer.eval()
    x = tg.randn(2, 4)
    y, expected = layer(x.cuda()), twin(x)
    np.testing.assert_allclose(y.detach().cpu().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    y.sum().backward(), expected.sum().backward()
    for p, q in zip(layer.parameters(), twin.parameters(), strict=True):
        assert p.grad.is_cuda
        np.testing.assert_allclose(p.grad.cpu().numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-4)


def test_batches_on_the_gpu() -> None:
    x = tg.arange(12.0).reshape(6, 2)
    for there in (False, True):
        data = TensorDataset(x.cuda() if there else x, tg.arange(6))
        batches = list(DataLoader(data, 4, pin_memory=True))
        assert [tuple(b[0].shape) for b in batches] == [(4, 2), (2, 2)]
        assert batches[0][0].is_cuda is there
        assert batches[0][1].is_pinned()
        assert batches[1][0].cuda(non_blocking=True).tolist() == [[8, 9], [10, 11]]
    batch = default_collate([{"a": x[0].cuda(), "b": 1}, {"a": x[1].cuda(), "b": 2}])
    assert batch["a"].is_cuda
    assert batch["a"].tolist() == [[0, 1], [2, 3]]


def test_autocast() -> None:
    x, w = tg.ones(2, 3, device="cuda"), tg.ones(3, 2, device="cuda", requires_grad=True)
    with amp.autocast("cuda"):
        assert tg.is_autocast_enabled("cuda")
        assert not tg.is_autocast_enabled("cpu")
        y = x @ w
        assert y.dtype is tg.float16
        assert (tg.ones(2, 3) @ tg.ones(3, 2)).dtype is tg.float32  # on the CPU nothing is cast
        assert nn.functional.cross_entropy(y, tg.tensor([0, 1], device="cuda")).dtype is tg.float32
        with amp.autocast("cpu"):
            assert (tg.ones(2, 3) @ tg.ones(3, 2)).dtype is tg.bfloat16
            assert (x @ w).dtype is tg.float16
        with amp.autocast("cuda", enabled=False):
            assert (x @ w).dtype is tg.float32
    assert (x @ w).dtype is tg.float32
    y.float().sum().backward()
    assert w.grad.dtype is tg.float32
    with amp.autocast("cuda", dtype=tg.bfloat16):
        assert (x @ w).dtype is tg.bfloat16
    with amp.autocast("cpu"):
        assert (x @ w).dtype is tg.float32


def test_grad_scaler() -> None:
    scaler = amp.GradScaler("cuda", init_scale=8.0, growth_interval=1)
    w = nn.Parameter(tg.ones(2, device="cuda"))
    optimizer = tg.optim.SGD([w], 0.5)
    for factor, expected, scale in ((1.0, 0.5, 16.0), (float("inf"), 0.5, 8.0), (1.0, 0.0, 16.0)):
        optimizer.zero_grad()
        scaler.scale((w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert w.tolist() == [expected] * 2
        assert scaler.get_scale() == scale


def test_logs_take_tensors_of_the_gpu(tmp_path: Any) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", tg.tensor(1.5, device="cuda"), 0)
        writer.add_histogram("weights", tg.ones(4, device="cuda"), 0)
        writer.add_image("image", tg.zeros(1, 2, 2, device="cuda"), 0)
    assert read_events(tmp_path)[0]["value"] == 1.5


def test_training_learns() -> None:
    tg.manual_seed(0)
    x = tg.randn(32, 4)
    y = (x[:, 0] > 0).long()
    model = small().cuda()
    optimizer = tg.optim.SGD(model.parameters(), 0.5)
    losses = []
    for _ in range(6):
        for a, b in DataLoader(TensorDataset(x, y), 16, pin_memory=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(a.cuda()), b.cuda())
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_checkpointed_regions() -> None:
    model = small().cuda()
    x = tg.randn(5, 4, device="cuda", requires_grad=True)
    model(x).sum().backward()
    expected = [p.grad.cpu().numpy() for p in model.parameters()]
    model.zero_grad()
    tg.utils.checkpoint.checkpoint(model, x).sum().backward()
    for p, g in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.cpu().numpy(), g, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_packed_sequences(device: str) -> None:
    rows = [tg.arange(8.0, device=device).reshape(2, 4), tg.arange(12.0, device=device).reshape(3, 4)]
    packed = rnn.pack_sequence(rows, enforce_sorted=False)
    assert packed.batch_sizes.device.type == "cpu"
    assert packed.sorted_indices.device == packed.data.device == rows[0].device
    tg.manual_seed(0)
    made, _ = nn.GRU(4, 3, bidirectional=True).to(device)(packed)
    padded, lengths = rnn.pad_packed_sequence(made, batch_first=True, total_length=4)
    assert (tuple(padded.shape), padded.device) == ((2, 4, 6), rows[0].device)
    assert lengths.tolist() == [2, 3]
    assert not padded[0, 2:].any()
    assert padded[0, :2].all()
    for given, back in zip(rows, rnn.unpack_sequence(packed), strict=True):
        assert tg.equal(given, back)
    left = rnn.pad_sequence(rows, batch_first=True, padding_value=-1.0, padding_side="left")
    assert tg.equal(left[0, 1:], rows[0])
    assert (left[0, 0] == -1).all()


def test_gumbel_softmax_gives_one_hot_vectors() -> None:
    logits = tg.zeros(4, 3, device="cuda", requires_grad=True)
    chosen = nn.functional.gumbel_softmax(logits, hard=True)
    np.testing.assert_allclose(np.sort(chosen.detach().cpu().numpy(), 1), np.tile([0, 0, 1], (4, 1)), atol=1e-6)
    (chosen * tg.arange(3.0, device="cuda")).sum().backward()
    assert logits.grad.any()


def test_gradients_are_checked_there() -> None:
    x = tg.tensor([0.5, -1.5], dtype=tg.float64, device="cuda", requires_grad=True)
    check_grads(lambda x: ((x * x).sum(), x.sin()), x)
    with pytest.raises(GradientError, match="wrong"):
        check_grads(lambda x: (x.detach() * x).sum(), x)


@pytest.mark.parametrize("failing", [False, True])
def test_training_keeps_no_memory(failing: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.2), nn.Linear(5, 3)).cuda()
    optimizer, x = tg.optim.Adam(model.parameters()), tg.ones(6, 4, device="cuda")
    held = []
    gc.collect()
    gc.disable()  # everything goes when the last reference does
    try:
        for _ in range(8):
            model(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            if failing:
                with pytest.raises(IndexError):
                    x[tg.tensor([99], device="cuda")].cpu()
            held.append(tg.cuda.memory_allocated())
    finally:
        gc.enable()
    assert len(set(held[3:])) == 1
