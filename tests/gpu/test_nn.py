"""Layers on the GPU: each of them beside itself on the CPU in float64, and kernels at sizes that samples of ops don't have."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, Case, prepared

import tapegrad as tg
from tapegrad import nn

pytestmark = pytest.mark.filterwarnings("ignore")

DEEP = [
    Case("nn.RNN(4, 3, 2, nonlinearity='relu', bidirectional=True)", (5, 2, 4)),
    Case("nn.LSTM(4, 5, 2, batch_first=True, proj_size=3)", (2, 5, 4)),
    Case("nn.GRU(4, 3, bidirectional=True)", (5, 2, 4)),
    *(Case(f"nn.{name}Cell(4, 3)", (2, 4)) for name in ("RNN", "LSTM", "GRU")),
    Case("nn.MultiheadAttention(8, 2)", (4, 2, 8), (5, 2, 8), (5, 2, 8)),
    Case("nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)", (2, 4, 8)),
    Case("nn.TransformerDecoderLayer(8, 2, 16, 0.0, 'gelu', norm_first=True)", (4, 2, 8), (5, 2, 8)),
    Case("nn.Transformer(8, 2, 1, 1, 16, 0.0)", (4, 2, 8), (3, 2, 8)),
]


def floating(output: Any) -> list[Any]:
    """The floating-point tensors of what a layer returned."""
    if isinstance(output, tg.Tensor):
        return [output] if output.is_floating_point() else []
    return [t for part in output for t in floating(part)] if isinstance(output, (tuple, list)) else []


def flat(output: Any) -> list[Any]:
    if isinstance(output, tg.Tensor):
        return [output]
    return [t for part in output for t in flat(part)] if isinstance(output, (tuple, list)) else []


def total(output: Any) -> Any:
    """A number that depends on all elements of the floating-point outputs, each in its own way."""
    return sum(
        (p * tg.tensor(np.cos(np.arange(1, p.numel() + 1)).reshape(p.shape), dtype=p.dtype, device=p.device)).sum() for p in floating(output)
    )


def near(a: Any, b: Any, what: str, factor: float = 1.0) -> None:
    """A float32 result on the GPU, and what it is of float64: relative to the largest of them."""
    assert (a is None) == (b is None), what
    if a is None:
        return
    assert a.is_cuda, what
    assert tuple(a.shape) == tuple(b.shape), what
    x, y = a.detach().cpu().numpy(), b.detach().numpy()
    if y.dtype.kind != "f":
        np.testing.assert_array_equal(x, y, err_msg=what)
        return
    scale = np.abs(y[np.isfinite(y)]).max(initial=0.1)
    np.testing.assert_allclose(x, y, rtol=1e-4 * factor, atol=2e-5 * factor * scale, err_msg=what)


@pytest.mark.parametrize("case", [*CASES, *DEEP], ids=[c.text for c in (*CASES, *DEEP)])
def test_layer(case: Case) -> None:
    tg.manual_seed(0)
    expected = case.build(tg)
    if "Lazy" in case.text:
        expected(tg.tensor(case.arrays()[0], dtype=tg.float32))
    expected.double()
    layer = copy.deepcopy(expected).to("cuda", tg.float32)
    assert all(t.is_cuda for t in layer.state_dict().values())
    for mode in case.modes:
        expected.train(mode == "t"), layer.train(mode == "t")
        arrays = case.arrays()
        y = [tg.tensor(a) for a in arrays]
        x = [tg.tensor(a, dtype=tg.float32 if a.dtype.kind == "f" else None, device="cuda") for a in arrays]
        for i in range(len(arrays) if not isinstance(layer, nn.modules.loss._Loss) else 1):
            if arrays[i].dtype.kind == "f":
                x[i].requires_grad_(), y[i].requires_grad_()
        a, b = layer(*prepared(case, x)), expected(*prepared(case, y))
        for k, (found, wanted) in enumerate(zip(flat(a), flat(b), strict=True)):
            near(found, wanted, f"{mode}: output {k}")
        expected.zero_grad(), layer.zero_grad()
        s, t = total(a), total(b)
        if t.requires_grad:
            s.backward(), t.backward()
        for (name, p), q in zip(layer.named_parameters(), expected.parameters(), strict=True):
            near(p.grad, q.grad, f"{mode}: gradient of {name}")
        for p, q in zip(x, y, strict=True):
            near(p.grad, q.grad, f"{mode}: gradient of an input")
    for (name, p), q in zip(layer.state_dict().items(), expected.state_dict().values(), strict=True):
        near(p, q, name)


# ---------------------------------------------------------------------------------- kernels, at sizes of all their ways to run

F = nn.functional
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def beside(function: Any, arrays: list[Any], dtype: str, factor: float = 16, gradients: bool = True) -> None:
    """Values and gradients of a function on the GPU in some dtype, and on the CPU in float64, of equal numbers."""
    kind = getattr(tg, dtype)
    x = [tg.tensor(a, dtype=kind, device="cuda") if a.dtype.kind == "f" else tg.tensor(a, device="cuda") for a in arrays]
    y = [t.cpu().double() if t.is_floating_point() else t.cpu() for t in x]
    for t in (*x, *y):
        if t.is_floating_point():
            t.requires_grad_()
    a, b = function(*x), function(*y)
    assert a.dtype is kind
    close(a, b, dtype, factor, "output")
    if gradients:
        seed = np.random.default_rng(1).standard_normal(tuple(b.shape))
        g = tg.tensor(seed, dtype=kind, device="cuda")
        a.backward(g), b.backward(g.cpu().double())
        for k, (s, t) in enumerate(zip(x, y, strict=True)):
            if t.is_floating_point():
                assert (s.grad is None) == (t.grad is None)
                if t.grad is not None:
                    close(s.grad, t.grad, dtype, factor, f"gradient {k}")


def close(a: Any, b: Any, dtype: str, factor: float, what: str) -> None:
    x, y = a.detach().cpu().double().numpy(), b.detach().numpy()
    scale = np.abs(y[np.isfinite(y)]).max(initial=0)
    np.testing.assert_allclose(x, y, rtol=factor * EPS[dtype], atol=factor * EPS[dtype] * scale, err_msg=what)


def numbers(*shape: int, spread: float = 3.0) -> Any:
    return np.random.default_rng(0).standard_normal(shape) * spread


ROWS = [(7, 1), (5, 3), (3, 10), (2, 64), (3, 257), (2, 1000), (2, 1028), (1, 2500), (1, 2504)]  # in registers, in those of a block, streamed


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", ROWS)
def test_softmax_of_rows(shape: tuple[int, ...], dtype: str) -> None:
    beside(lambda x: x.softmax(-1), [numbers(*shape)], dtype)
    beside(lambda x: x.log_softmax(-1), [numbers(*shape)], dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(3, 5, 4), (2, 70, 3), (1, 9, 130), (2, 3, 33)])
def test_softmax_of_columns(shape: tuple[int, ...], dtype: str) -> None:
    beside(lambda x: x.softmax(1), [numbers(*shape)], dtype)
    beside(lambda x: x.transpose(1, 2).log_softmax(1), [numbers(*shape)], dtype)


@pytest.mark.parametrize("n", [5, 300, 2500])
def test_softmax_of_what_is_not_finite(n: int) -> None:
    x = np.zeros((5, n), np.float32)
    x[0, 1], x[1, -1], x[2], x[3, ::2] = np.inf, np.nan, -np.inf, -np.inf
    for t in (tg.tensor(x, device="cuda"), tg.tensor(x.T.copy(), device="cuda").T):
        for dim in (0, 1):
            for name in ("softmax", "log_softmax"):
                y = getattr(t, name)(dim).cpu().numpy()
                np.testing.assert_allclose(y, getattr(tg.tensor(x), name)(dim).numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize(("rows", "classes"), [(6, 3), (5, 64), (3, 301), (2, 2500)])
def test_cross_entropy(rows: int, classes: int, dtype: str) -> None:
    target = np.random.default_rng(2).integers(0, classes, rows)
    target[1] = -100
    w = np.random.default_rng(3).random(classes) + 0.5
    kind = getattr(tg, dtype)
    for smoothing, weighted, reduction in ((0.0, False, "mean"), (0.1, False, "sum"), (0.0, True, "none"), (0.2, True, "mean")):
        weight = tg.tensor(w, dtype=kind)

        def loss(x: Any, t: Any, weight: Any = weight if weighted else None, reduction: str = reduction, smoothing: float = smoothing) -> Any:
            given = None if weight is None else weight.to(x.device, x.dtype)
            return F.cross_entropy(x, t, given, reduction=reduction, label_smoothing=smoothing)

        beside(loss, [numbers(rows, classes), target], dtype)
        if dtype == "float32":  # a logsumexp that is too coarse to take probabilities with
            beside(loss, [numbers(rows, classes) + 50.0, target], dtype, 64)


def test_cross_entropy_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapegrad.kernels.cuda.nn.cross_entropy._ROWS", 16)
    target = np.random.default_rng(2).integers(0, 3, 300)
    beside(F.cross_entropy, [numbers(300, 3), target], "float32")


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", [*ROWS[1:], (70, 9)])
def test_layer_norm(shape: tuple[int, int], dtype: str) -> None:
    n = shape[1:]
    arrays = [numbers(*shape), numbers(*n), numbers(*n)]
    beside(lambda x, w, b: F.layer_norm(x, n, w, b), arrays, dtype, 64)
    beside(lambda x, w: F.rms_norm(x, n, w, 1e-5), arrays[:2], dtype, 64)


def test_a_large_mean_loses_nothing() -> None:
    """Rows of numbers whose deviations are what float32 still tells apart at that size."""
    for n in (100, 2500):
        x = tg.tensor(np.random.default_rng(0).integers(0, 9, (2, n)) * 0.5 + 2.0**21, dtype=tg.float32)
        expected = F.layer_norm(x.double(), (n,)).numpy()
        np.testing.assert_allclose(F.layer_norm(x.cuda(), (n,)).cpu().numpy(), expected, rtol=1e-5, atol=1e-6)
        shape = (2, 1, n)
        expected = F.batch_norm(x.double().reshape(shape), None, None, training=True).numpy()
        np.testing.assert_allclose(F.batch_norm(x.cuda().reshape(shape), None, None, training=True).cpu().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", [(40, 3), (70, 35), (5, 3, 7), (3, 4, 33), (2, 3, 9, 16), (1, 2, 200)])
def test_batch_and_group_norm(shape: tuple[int, ...], dtype: str) -> None:
    channels = shape[1]
    arrays = [numbers(*shape), numbers(channels), numbers(channels)]
    beside(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), arrays, dtype, 64)
    beside(lambda x, w, b: F.group_norm(x, channels // 2 if channels % 2 == 0 else channels if len(shape) > 2 else 1, w, b), arrays, dtype, 64)
    if len(shape) > 2:
        beside(lambda x, w: F.instance_norm(x, weight=w), arrays[:2], dtype, 64)


def test_normalising_transposed_and_nothing() -> None:
    x = tg.tensor(numbers(5, 6, 40), dtype=tg.float32)
    for f in (lambda t: F.layer_norm(t.transpose(0, 2), (6, 5)), lambda t: F.batch_norm(t.transpose(0, 1), None, None, training=True)):
        np.testing.assert_allclose(f(x.cuda()).cpu().numpy(), f(x.double()).numpy(), rtol=1e-4, atol=1e-5)
    assert F.layer_norm(tg.zeros(0, 3, device="cuda"), (3,)).shape == (0, 3)
    assert tg.zeros(2, 0, device="cuda").softmax(1).shape == (2, 0)
    assert tg.tensor(2.0, device="cuda").softmax(0).item() == 1
