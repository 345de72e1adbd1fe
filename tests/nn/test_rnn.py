"""Recurrent layers and cells: by hand, against each other, and beside PyTorch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from beside_pytorch import arguments, assert_same, assert_same_gradients, loss, pair, twice

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.utils.rnn import pack_sequence, unpack_sequence


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def filled(module: nn.Module, *values: Any) -> nn.Module:
    for parameter, value in zip(module.parameters(), values, strict=True):
        parameter.data = tg.tensor(value, dtype=tg.float64)
    return module


def test_an_lstm_step_by_hand() -> None:
    cell = filled(nn.LSTMCell(1, 1), [[0.1], [0.2], [0.3], [0.4]], [[0.5], [0.6], [0.7], [0.8]], [0.0, 0.1, 0.2, 0.3], [0.1] * 4)
    x, h, c = 2.0, -0.5, 0.7
    i, f, g, o = (0.1 * k * x + (0.4 + 0.1 * k) * h + 0.1 * (k - 1) + 0.1 for k in (1, 2, 3, 4))
    state = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
    got = cell(*(tg.tensor([[v]], dtype=tg.float64) for v in (x,)), tuple(tg.tensor([[v]], dtype=tg.float64) for v in (h, c)))
    assert got[1].item() == pytest.approx(state, rel=1e-14)
    assert got[0].item() == pytest.approx(sigmoid(o) * math.tanh(state), rel=1e-14)


def test_a_gru_step_by_hand() -> None:
    cell = filled(nn.GRUCell(1, 1), [[0.1], [0.2], [0.3]], [[0.4], [0.5], [0.6]], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    x, h = 2.0, -0.5
    r, z = (sigmoid(0.1 * k * x + 0.1 * k + (0.3 + 0.1 * k) * (h + 1)) for k in (1, 2))
    n = math.tanh(0.3 * x + 0.3 + r * (0.6 * h + 0.6))
    assert cell(tg.tensor([x], dtype=tg.float64), tg.tensor([h], dtype=tg.float64)).item() == pytest.approx((1 - z) * n + z * h, rel=1e-14)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_layer_repeats_its_cell(kind: str) -> None:
    tg.manual_seed(0)
    layer = getattr(nn, kind)(3, 4, dtype=tg.float64)
    cell = getattr(nn, f"{kind}Cell")(3, 4, dtype=tg.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = tg.randn(5, 2, 3, dtype=tg.float64)
    outputs, state = layer(x)
    mine: Any = None
    for t in range(5):
        mine = cell(x[t], mine)
        np.testing.assert_allclose(outputs[t].tolist(), (mine[0] if kind == "LSTM" else mine).tolist(), rtol=1e-12)
    np.testing.assert_allclose(state[1][0].tolist() if kind == "LSTM" else state[0].tolist(), (mine[1] if kind == "LSTM" else mine).tolist())
    alone = layer(x[:, 1])
    np.testing.assert_allclose(alone[0].tolist(), outputs[:, 1].tolist(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_are_computed_as_each_alone(kind: str) -> None:
    tg.manual_seed(0)
    layer = getattr(nn, kind)(3, 4, 2, bidirectional=True, dtype=tg.float64)
    sequences = [tg.randn(n, 3, dtype=tg.float64, requires_grad=True) for n in (2, 5, 1, 5)]
    packed, state = layer(pack_sequence(sequences, enforce_sorted=False))
    (packed.data * packed.data).sum().backward()
    together = [x.grad.tolist() for x in sequences]
    for i, (x, got) in enumerate(zip(sequences, unpack_sequence(packed), strict=True)):
        x.grad = None
        expected, final = layer(x)
        np.testing.assert_allclose(got.tolist(), expected.tolist(), rtol=1e-12)
        pairs = zip(state, final, strict=True) if kind == "LSTM" else [(state, final)]
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours[:, i].tolist(), theirs.tolist(), rtol=1e-12)
        (expected * expected).sum().backward()
        np.testing.assert_allclose(together[i], x.grad.tolist(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_batch_of_no_sequences(kind: str) -> None:
    output, final = getattr(nn, kind)(2, 3, num_layers=2, bidirectional=True)(tg.ones(4, 0, 2))
    assert output.shape == (4, 0, 6)
    assert (final[0] if kind == "LSTM" else final).shape == (4, 0, 3)


def test_dropout_is_between_layers_and_in_training() -> None:
    tg.manual_seed(0)
    layer, x = nn.GRU(3, 4, 2, dropout=1.0), tg.randn(5, 2, 3)
    dropped = layer(x)[0]
    assert dropped.tolist() == layer(x * 2)[0].tolist()
    assert dropped.tolist() != layer.eval()(x)[0].tolist()
    with pytest.warns(UserWarning, match="dropout=0.5 has no effect with num_layers=1"):
        nn.GRU(3, 4, dropout=0.5)


@pytest.mark.parametrize("kind, most", [("RNN", 4), ("LSTM", 13), ("GRU", 10)])
def test_the_tape_of_a_step_is_short(kind: str, most: int) -> None:
    layer = getattr(nn, kind)(3, 4)

    def entries(steps: int) -> int:
        with tg.record() as tape:
            layer(tg.ones(steps, 2, 3))
        return len(list(tape))

    assert (entries(9) - entries(4)) / 5 <= most


def test_parameters_start_within_their_bound() -> None:
    tg.manual_seed(0)
    layer = nn.LSTM(8, 25, 2, bidirectional=True, proj_size=5)
    for name, p in layer.named_parameters():
        assert 0.15 < p.abs().max().item() <= 0.2, name
    assert layer.weight_hh_l1_reverse.shape == (100, 5)
    assert [[w.shape for w in ws] for ws in layer.all_weights][3] == [(100, 10), (100, 5), (100,), (100,), (5, 25)]


def inputs(lib: Any) -> Any:
    return lib.ones(5, 2, 3)


def hidden(lib: Any) -> Any:
    return lib.ones(1, 2, 4)


MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda lib: lib.nn.LSTM(3, 4)(lib.ones(5, 2, 7)), RuntimeError, r"LSTM: expected input of shape (steps, batch, input_size=3), got shape (5, 2, 7)"),
    (lambda lib: lib.nn.GRU(3, 4, batch_first=True)(lib.ones(5, 7)), RuntimeError, "(steps, input_size=3), got shape (5, 7)"),
    (lambda lib: lib.nn.RNN(3, 4)(lib.ones(1, 1, 2, 3)), ValueError, "RNN: expected input of 2 or 3 dimensions, got shape (1, 1, 2, 3)"),
    (lambda lib: lib.nn.RNN(3, 4)([1.0]), TypeError, "RNN: input must be a Tensor or a PackedSequence, not list"),
    (lambda lib: lib.nn.RNN(3, 4)(inputs(lib).double()), ValueError, "input dtype tapegrad.float64 does not match the weights' tapegrad.float32"),
    (lambda lib: lib.nn.RNN(3, 4)(lib.ones(0, 2, 3)), RuntimeError, "sequence length larger than 0"),
    (lambda lib: lib.nn.GRU(3, 4)(inputs(lib), lib.ones(1, 3, 4)), RuntimeError, "h_0 of shape (1, 2, 4) (layers * directions, batch, size), got (1, 3, 4)"),
    (lambda lib: lib.nn.LSTM(3, 4)(inputs(lib), (hidden(lib), lib.ones(2, 2, 4))), RuntimeError, "expected c_0 of shape (1, 2, 4)"),
    (lambda lib: lib.nn.LSTM(3, 4)(inputs(lib), hidden(lib)), TypeError, "expected hx to be a tuple of two tensors (h_0, c_0), got Tensor"),
    (lambda lib: lib.nn.GRU(3, 4)(inputs(lib)[:, 0], hidden(lib)), RuntimeError, "expected h_0 of shape (1, 4)"),
    (lambda lib: lib.nn.GRU(3, 4)(inputs(lib), hidden(lib).double()), RuntimeError, "h_0 of the input's dtype tapegrad.float32, got tapegrad.float64"),
    (lambda lib: lib.nn.GRU(4, 4)(lib.nn.utils.rnn.pack_padded_sequence(inputs(lib), [5, 2])), RuntimeError, "packed data of shape (total length, input_size=4), got"),
    (lambda lib: lib.nn.RNN(3, 4, nonlinearity="sin"), ValueError, "Unknown nonlinearity 'sin'"),
    (lambda lib: lib.nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size has to be smaller than hidden_size"),
    (lambda lib: lib.nn.LSTM(3, 4, 2, dropout=1.5), ValueError, "dropout should be a number in range [0, 1]"),
    (lambda lib: lib.nn.LSTM(3, 0), ValueError, "hidden_size must be greater than zero"),
    (lambda lib: lib.nn.LSTM(3, 4.0), TypeError, "hidden_size should be of type int, got: float"),
    (lambda lib: lib.nn.LSTMCell(3, 4)(lib.ones(2, 5)), RuntimeError, "LSTMCell: expected input_size 3, got input of shape (2, 5)"),
    (lambda lib: lib.nn.LSTMCell(3, 4)(lib.ones(2, 3), (lib.ones(2, 4), lib.ones(3, 4))), RuntimeError, "expected hx[1] of shape (2, 4)"),
    (lambda lib: lib.nn.GRUCell(3, 4)(lib.ones(2, 3), lib.ones(1, 2, 4)), ValueError, "expected hidden of shape (2, 4)"),
    (lambda lib: lib.nn.RNNCell(3, 4)(lib.ones(1, 2, 3)), ValueError, "expected input of shape (batch, 3) or (3,)"),
    (lambda lib: lib.nn.RNNCell(3, 4, nonlinearity="sin")(lib.ones(3)), RuntimeError, "unknown nonlinearity 'sin'"),
]


@pytest.mark.parametrize("call, error, message", MISTAKES)
def test_mistakes_name_the_expected_shapes(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call(tg)
    assert message in str(caught.value)


# ------------------------------------------------------------------------------------------------------- beside PyTorch

KINDS: list[tuple[str, dict[str, Any]]] = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("LSTM", {"proj_size": 2}), ("GRU", {})]
OPTIONS = [
    dict(zip(("num_layers", "bias", "batch_first", "bidirectional"), values, strict=True))
    for values in itertools.product((1, 2), (True, False), (True, False), (True, False))
]


@pytest.mark.compare
@pytest.mark.parametrize("form", ["one sequence", "batch", "packed", "packed unsorted"])
@pytest.mark.parametrize("kind, extra", KINDS)
def test_layers_like_torch(kind: str, extra: dict[str, Any], form: str, torch: Any, rng: np.random.Generator) -> None:
    for options in OPTIONS:
        batch_first, single = options["batch_first"], form == "one sequence"
        ours, theirs = pair(lambda lib, options=options: getattr(lib.nn, kind)(3, 4, **options, **extra))
        x = twice(rng.normal(size=(5, 3) if single else (4, 5, 3) if batch_first else (5, 4, 3)))
        count = options["num_layers"] * (1 + options["bidirectional"])
        sizes = (extra.get("proj_size", 4), 4)[: 1 + (kind == "LSTM")]
        states = [twice(rng.normal(size=(count, size) if single else (count, 4, size))) for size in sizes]
        for given in (False, True):
            results = []
            for side, (lib, module) in enumerate(((tg, ours), (torch, theirs))):
                state = [s[side] for s in states]
                input = x[side]
                if "packed" in form:
                    lengths, ordered = ([2, 5, 1, 5], False) if "un" in form else ([5, 3, 3, 1], True)
                    input = lib.nn.utils.rnn.pack_padded_sequence(input, lengths, batch_first, ordered)
                args = [tuple(state) if len(state) > 1 else state[0]] if given else []
                y, final = module(input, *args)
                if "packed" in form:
                    y, _ = lib.nn.utils.rnn.pad_packed_sequence(y, batch_first)
                results.append([y, *(final if len(sizes) > 1 else [final])])
            for a, b in zip(*results, strict=True):
                assert_same(a, b)
            for outputs in results:
                loss(*outputs).backward()
        assert_same_gradients(ours, theirs, x, *states)


@pytest.mark.compare
@pytest.mark.parametrize("kind, extra", [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {})])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(2,), ()])
def test_cells_like_torch(kind: str, extra: dict[str, Any], bias: bool, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    ours, theirs = pair(lambda lib: getattr(lib.nn, kind)(3, 4, bias, **extra))
    x = twice(rng.normal(size=(*shape, 3)))
    states = [twice(rng.normal(size=(*shape, 4))) for _ in range(1 + (kind == "LSTMCell"))]
    outputs: list[list[Any]] = [[], []]
    for side, module in enumerate((ours, theirs)):
        state = tuple(s[side] for s in states)
        for made in (module(x[side], state if len(state) > 1 else state[0]), module(x[side])):
            outputs[side] += made if len(state) > 1 else [made]
        loss(*outputs[side]).backward()
    for a, b in zip(*outputs, strict=True):
        assert_same(a, b)
    assert_same_gradients(ours, theirs, x, *states)


@pytest.mark.compare
def test_signatures_like_torch(torch: Any) -> None:
    for name in ("RNNBase", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"):
        assert arguments(getattr(nn, name)) == arguments(getattr(torch.nn, name)), name
    for name in ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"):
        assert arguments(getattr(nn, name).forward) == arguments(getattr(torch.nn, name).forward), name
    # PyTorch's take (*args, **kwargs); positions are compared by what they set
    options = (False, True, 0.5, True)
    for name, args in (("RNN", ("relu", *options)), ("LSTM", (*options, 3)), ("GRU", options)):
        assert repr(getattr(nn, name)(3, 4, 2, *args)) == repr(getattr(torch.nn, name)(3, 4, 2, *args))


# calls that PyTorch answers with another exception, some by accident
OTHER_TYPE = ("not list", "float64 does not match", "got Tensor", "packed data")


@pytest.mark.compare
@pytest.mark.parametrize("call, error, message", MISTAKES)
def test_mistakes_are_mistakes_in_torch(call: Any, error: type[Exception], message: str, torch: Any) -> None:
    with pytest.raises(Exception if any(part in message for part in OTHER_TYPE) else error):
        call(torch)


@pytest.mark.parametrize("mode", ["RNN", "GRU", "LSTM"])
def test_replayed_steps_give_the_bits_of_eager_ones(mode):
    found = []
    for compiled in (False, True):
        tg.manual_seed(0)
        net = getattr(nn, mode)(5, 7)
        optimizer = tg.optim.AdamW(net.parameters(), lr=0.01)

        def step(x, net=net, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (net(x)[0] ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = tg.compile(step) if compiled else step
        rng = np.random.default_rng(3)
        losses = [run(tg.tensor(rng.standard_normal((6, 3, 5)).astype(np.float32))).item() for _ in range(5)]
        found.append((losses, [p.detach().numpy().tobytes() for p in net.parameters()]))
    assert found[0] == found[1]


@pytest.mark.parametrize("mode", ["GRU", "LSTM"])
def test_threads_change_no_bit(mode):
    before, found = tg.get_num_threads(), []
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            tg.manual_seed(0)
            net = getattr(nn, mode)(9, 33, bidirectional=True)
            x = tg.tensor(np.random.default_rng(1).standard_normal((5, 67, 9)).astype(np.float32), requires_grad=True)
            out, _ = net(x)
            (out * out).sum().backward()
            found.append([t.detach().numpy().tobytes() for t in (out, x.grad, *[p.grad for p in net.parameters()])])
    finally:
        tg.set_num_threads(before)
    assert found[0] == found[1]
