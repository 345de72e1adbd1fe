"""The README's table of Caffe's layers: every line runs, and gives the values and gradients of Caffe's definition.

References are NumPy and follow https://github.com/BVLC/caffe (src/caffe/layers, caffe.proto); gradients are compared with differences
of the references.
"""

from __future__ import annotations

import dbm.dumb
import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import functional as F
from tapegrad.utils.data import DataLoader, Dataset, TensorDataset

README = Path(__file__).parents[1] / "README.md"

# The layer types that Caffe registers, and Recurrent, the base of two of them that its catalogue lists. (LSTMUnit is LSTM's inside.)
CATALOGUE = """
AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data Deconvolution Dropout DummyData
ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss Im2col ImageData InfogainLoss InnerProduct Input LRN
LSTM Log MVN MemoryData MultinomialLogisticLoss PReLU Parameter Pooling Power Python RNN ReLU Recurrent Reduction Reshape SPP Scale
Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData
""".split()


def table() -> dict[str, str]:
    """The lines of the table: what of Caffe -> code."""
    text = README.read_text(encoding="utf-8").partition("## Coming from Caffe")[2].partition("</details>")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    return {re.sub("`", "", row[0].removeprefix("| ").strip()): row[1].strip("`") for row in rows}


ROWS = table()
RNG = np.random.default_rng(0)


def draw(*shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Numbers apart from each other and from 0, so that no kink or tie is near."""
    n = math.prod(shape)
    values = (RNG.permutation(n) + 0.5) / n * (high - low) + low
    return values.reshape(shape)


class Case(NamedTuple):
    """What a line is tried with.

    Attributes:
        reference: Caffe's definition, of the arrays it names.
        arrays: what the code refers to; floating-point ones get gradients, but for those in ``fixed``.
        backward: whether Caffe's layer has a backward.
        fixed: floating-point arrays that get no gradient in Caffe.
        extra: other names in the code, made of the tensors.
    """

    reference: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    backward: bool = True
    fixed: tuple[str, ...] = ()
    extra: Callable[[dict[str, Any]], dict[str, Any]] = lambda tensors: {}


# ------------------------------------------------------------------------------------------------------------ references


def windows(x, k: int, stride: int, pad: int, round_up: bool) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """PoolingLayer: per output place, its row, column, window with padding counted, and the part of the image in it."""

    def size(n: int) -> int:
        out = (math.ceil if round_up else math.floor)((n + 2 * pad - k) / stride) + 1
        return out - 1 if pad and (out - 1) * stride >= n + pad else out

    height, width = x.shape[2:]
    for i, j in itertools.product(range(size(height)), range(size(width))):
        top, left = i * stride - pad, j * stride - pad
        bottom, right = min(top + k, height + pad), min(left + k, width + pad)
        count = (bottom - top) * (right - left)
        yield i, j, count, x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]


def pool(x, how: str, k: int, stride: int, pad: int = 0, round_up: bool = True):
    cells = list(windows(x, k, stride, pad, round_up))
    out = np.zeros((*x.shape[:2], cells[-1][0] + 1, cells[-1][1] + 1))
    for i, j, count, part in cells:
        out[:, :, i, j] = part.max((2, 3)) if how == "max" else part.sum((2, 3)) / count
    return out


def conv(x, w, b, stride: int, pad: int, dilation: int = 1, groups: int = 1):
    """ConvolutionLayer, as sums over windows."""
    n, _, height, width = x.shape
    outputs, inputs, kh, kw = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, columns = ((s + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for s, k in ((height, kh), (width, kw)))
    out = np.zeros((n, outputs, rows, columns))
    for o, i, j in itertools.product(range(outputs), range(rows), range(columns)):
        first = o // (outputs // groups) * inputs
        top, left = i * stride, j * stride
        part = x[:, first : first + inputs, top : top + dilation * (kh - 1) + 1 : dilation, left : left + dilation * (kw - 1) + 1 : dilation]
        out[:, o, i, j] = (part * w[o]).sum((1, 2, 3)) + b[o]
    return out


def deconv(x, w, b, stride: int, pad: int):
    """DeconvolutionLayer: every input pixel spreads a scaled kernel."""
    n, _, height, width = x.shape
    _, outputs, kh, kw = w.shape
    full = np.zeros((n, outputs, stride * (height - 1) + kh, stride * (width - 1) + kw))
    for i, j in itertools.product(range(height), range(width)):
        full[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw] += np.einsum("nc,cohw->nohw", x[:, :, i, j], w)
    return full[:, :, pad : full.shape[2] - pad, pad : full.shape[3] - pad] + b[:, None, None]


def spatial_pyramid(x):
    """SPPLayer of height 3, MAX."""
    levels = []
    for bins in (1, 2, 4):
        k = math.ceil(x.shape[2] / bins)
        levels.append(pool(x, "max", k, k, (k * bins - x.shape[2] + 1) // 2).reshape(len(x), -1))
    return np.concatenate(levels, 1)


def im2col(x):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    parts = [padded[:, c, i : i + 5 : 2, j : j + 5 : 2] for c in range(x.shape[1]) for i in range(3) for j in range(3)]
    return np.stack(parts, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrent(x, h, w, v, cont):
    """RecurrentLayer: an unrolled net whose state is multiplied by ``cont``; the step is RNN's."""
    states = []
    for x_t, c_t in zip(x, cont, strict=True):
        h = np.tanh(x_t @ w.T + (c_t[:, None] * h) @ v.T)
        states.append(h)
    return np.stack(states)


def rnn(x, wx, bh, wh, w, b):
    cont = np.r_[0.0, np.ones(len(x) - 1)][:, None] * np.ones(x.shape[1])
    h, outputs = np.zeros((x.shape[1], len(wh))), []
    for x_t, c_t in zip(x, cont, strict=True):
        h = np.tanh((c_t[:, None] * h) @ wh.T + x_t @ wx.T + bh)
        outputs.append(np.tanh(h @ w.T + b))
    return np.stack(outputs)


def lstm(x, wx, bc, wh):
    """LSTMLayer and LSTMUnitLayer."""
    h = c = np.zeros((x.shape[1], len(wh) // 4))
    outputs = []
    for t, x_t in enumerate(x):
        i, f, o, g = np.split((h if t else 0 * h) @ wh.T + x_t @ wx.T + bc, 4, 1)
        c = (t > 0) * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs)


def lrn(x, size: int, alpha: float, beta: float, k: float):
    half = (size - 1) // 2
    total = np.stack([(x[:, max(c - half, 0) : c + half + 1] ** 2).sum(1) for c in range(x.shape[1])], 1)
    return x * (k + alpha / size * total) ** -beta


def mvn(x, axes: tuple[int, ...], variance: bool = True):
    centred = x - x.mean(axes, keepdims=True)
    return centred / (np.sqrt((centred**2).mean(axes, keepdims=True)) + 1e-9) if variance else centred


def batch_norm(x):
    mean = x.mean((0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean((0, 2, 3), keepdims=True) + 1e-5)


def column(v):
    return v[None, :, None, None]


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_loss(x, t, ignored: int | None, mode: str):
    """SoftmaxWithLossLayer and its normalizer."""
    places = [i for i in np.ndindex(t.shape) if t[i] != ignored]
    p = softmax(x)
    normalizer = {"VALID": len(places), "FULL": t.size, "BATCH_SIZE": len(x), "NONE": 1}[mode]
    return -sum(np.log(p[i[0], t[i], *i[1:]]) for i in places) / normalizer


def hinge(x, t, power: int):
    margin = x.copy()
    margin[np.arange(len(x)), t] *= -1
    return (np.maximum(0, 1 + margin) ** power).sum() / len(x)


def sigmoid_loss(x, y):
    """Before its normalization."""
    return -(x * (y - (x >= 0)) - np.log(1 + np.exp(x - 2 * x * (x >= 0))))


def contrastive(x, y, s, legacy: bool):
    square = ((x - y) ** 2).sum(1)
    unlike = np.maximum(1.5 - square, 0) if legacy else np.maximum(1.5 - np.sqrt(square), 0) ** 2
    return np.where(s == 1, square, unlike).sum() / len(x) / 2


def accuracy(x, t, k: int = 1, ignored: int | None = None):
    """AccuracyLayer: right when fewer than k other classes score at least as much."""
    rows = [i for i in range(len(x)) if t[i] != ignored]
    return sum((x[i] >= x[i, t[i]]).sum() - 1 < k for i in rows) / len(rows)


def largest(x, k: int):
    """ArgMaxLayer: places of the k largest, in order."""
    return np.argsort(-x.reshape(len(x), -1), 1)[:, :k]


def modules(**kinds: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A recurrent module whose parameters are the tensors ``wx``, ``wh`` and a bias."""

    def make(tensors: dict[str, Any]) -> dict[str, Any]:
        ((name, kind),) = kinds.items()
        module = kind(tensors["wx"].shape[1], tensors["wh"].shape[1]).double()
        bias = tensors["bh" if "bh" in tensors else "bc"].detach()
        rows = [part for i in (0, 1, 3, 2) for part in range(3 * i, 3 * i + 3)] if kind is nn.LSTM else slice(None)
        values = {"weight_ih_l0": tensors["wx"].detach()[rows], "weight_hh_l0": tensors["wh"].detach()[rows], "bias_ih_l0": bias[rows]}
        module.load_state_dict({**values, "bias_hh_l0": tg.zeros_like(bias)})
        return {name: module}

    return make


# ----------------------------------------------------------------------------------------------------------------- cases

X = draw(2, 4, 6, 6)
Y = draw(2, 4, 6, 6, low=-1.1, high=0.9)  # nowhere equal to X
POSITIVE = draw(2, 4, 6, 6, low=0.1, high=2.0)
CHANNELS = {"w": draw(4, low=0.5, high=2.0), "b": draw(4)}
SCORES = {"x": draw(5, 4, low=-2, high=2), "t": np.array([1, 3, 0, 2, 3])}
GUESSES = {"x": draw(12, 4), "t": np.array([0, 1, 2, 3] * 3)}
PLACES = {"x": draw(2, 4, 2, 3, low=-2, high=2), "t": RNG.integers(0, 4, (2, 2, 3))}
MASKED = {"x": draw(3, 4, low=-2, high=2), "y": np.array([[0.0, 1, -1, 1], [1, -1, 0, 0], [1, 0, 1, -1]])}
PAIRS = {"x": draw(6, 3), "y": draw(6, 3), "s": np.array([1.0, 0, 0, 1, 0, 0])}
STATE = {"x": draw(4, 2, 4), "h": draw(2, 3), "w": draw(3, 4), "v": draw(3, 3), "cont": np.array([[0.0, 1], [1, 1], [1, 0], [0, 1]])}
GATES = {"x": draw(5, 2, 4), "wx": draw(12, 4), "bc": draw(12), "wh": draw(12, 3)}


class Square(tg.autograd.Function):
    """A layer in Python."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def simple(reference: Callable[..., Any], x=X, **options: Any) -> Case:
    return Case(reference, {"x": x}, **options)


CASES = {
    "Convolution": Case(lambda x, w, b: conv(x, w, b, 2, 1, 2, 2), {"x": X, "w": draw(6, 2, 3, 2), "b": draw(6)}),
    "Pooling MAX": simple(lambda x: pool(x, "max", 3, 2)),
    "Pooling MAX, round_mode FLOOR": simple(lambda x: pool(x, "max", 3, 2, round_up=False)),
    "Pooling AVE": simple(lambda x: pool(x, "ave", 3, 2, 1)),
    "Pooling STOCHASTIC, test": simple(lambda x: pool(x**2, "ave", 2, 2) / pool(x, "ave", 2, 2), POSITIVE),
    "Pooling global": simple(lambda x: pool(x, "ave", 6, 1)),
    "SPP": simple(spatial_pyramid, draw(2, 3, 8, 8)),
    "Crop": Case(lambda x, y: x[:, :, 1:3, 2:5], {"x": X, "y": draw(2, 4, 2, 3)}, fixed=("y",)),
    "Deconvolution": Case(lambda x, w, b: deconv(x, w, b, 2, 1), {"x": draw(2, 3, 4, 3), "w": draw(3, 2, 3, 4), "b": draw(2)}),
    "Im2col": simple(im2col, draw(2, 3, 5, 5)),
    "Recurrent": Case(recurrent, STATE, fixed=("cont",)),
    "RNN": Case(rnn, {"x": draw(5, 2, 4), "wx": draw(3, 4), "bh": draw(3), "wh": draw(3, 3), "w": draw(2, 3), "b": draw(2)}, fixed=("wx", "bh", "wh"), extra=modules(rnn=nn.RNN)),
    "LSTM": Case(lstm, GATES, fixed=("wx", "bc", "wh"), extra=modules(lstm=nn.LSTM)),
    "InnerProduct": Case(lambda x, w, b: x.reshape(2, -1) @ w.T + b, {"x": X, "w": draw(3, 144), "b": draw(3)}),
    "Embed": Case(lambda i, w, b: w[i] + b, {"i": np.array([[2, 0], [4, 2]]), "w": draw(5, 3), "b": draw(3)}),
    "LRN ACROSS_CHANNELS": simple(lambda x: lrn(x, 3, 0.5, 0.75, 2.0)),
    "LRN WITHIN_CHANNEL": simple(lambda x: x * (1 + 0.5 * np.stack([p.sum((2, 3)) / 9 for *_, p in windows(x**2, 3, 1, 1, True)], -1).reshape(x.shape)) ** -0.75),
    "MVN": simple(lambda x: mvn(x, (2, 3))),
    "MVN normalize_variance: false": simple(lambda x: mvn(x, (2, 3), False)),
    "MVN across_channels": simple(lambda x: mvn(x, (1, 2, 3))),
    "BatchNorm training": simple(batch_norm),
    "BatchNorm use_global_stats": Case(lambda x, mean, var: (x - column(mean)) / np.sqrt(column(var) + 1e-5), {"x": X, "mean": draw(4), "var": draw(4, low=0.5, high=2.0)}, fixed=("mean", "var")),
    "BatchNorm and Scale": Case(lambda x, w, b: batch_norm(x) * column(w) + column(b), {"x": X, **CHANNELS}),
    "ReLU": simple(lambda x: np.maximum(x, 0)),
    "ReLU negative_slope": simple(lambda x: np.maximum(x, 0) + 0.1 * np.minimum(x, 0)),
    "PReLU": Case(lambda x, w: np.maximum(x, 0) + column(w) * np.minimum(x, 0), {"x": X, "w": draw(4)}),
    "ELU": simple(lambda x: np.maximum(x, 0) + 0.7 * (np.exp(np.minimum(x, 0)) - 1)),
    "Sigmoid": simple(sigmoid),
    "TanH": simple(lambda x: 2 * sigmoid(2 * x) - 1),
    "AbsVal": simple(lambda x: np.abs(x)),
    "Power": simple(lambda x: (2.0 + 0.5 * x) ** 3),
    "Exp": simple(lambda x: np.exp(np.log(2) * (0.1 + 0.5 * x))),
    "Exp of e": simple(lambda x: np.exp(x)),
    "Log": simple(lambda x: np.log10(2.0 + 0.5 * x)),
    "Log of e": simple(lambda x: np.log(x), POSITIVE),
    "BNLL": simple(lambda x: np.where(x > 0, x + np.log(1 + np.exp(-x)), np.log(1 + np.exp(x))), draw(3, 4, low=-60, high=60)),
    "Threshold": simple(lambda x: (x > 0.3) * 1.0, backward=False),
    "Clip": simple(lambda x: np.maximum(-0.5, np.minimum(x, 0.5))),
    "Swish": simple(lambda x: x * sigmoid(1.7 * x)),
    "Bias": Case(lambda x, b: x + column(b), {"x": X, "b": CHANNELS["b"]}),
    "Scale": Case(lambda x, w, b: x * column(w) + column(b), {"x": X, **CHANNELS}),
    "Flatten": simple(lambda x: x.reshape(2, 144)),
    "Flatten axis, end_axis": simple(lambda x: x.reshape(2, 24, 6)),
    "Reshape": simple(lambda x: x.reshape(2, 2, 72)),
    "BatchReindex": Case(lambda x, i: x[i], {"x": draw(3, 2, 2), "i": np.array([2, 0, 2, 1, 2])}),
    "Split": simple(lambda x: (x, x)),
    "Concat": Case(lambda x, y: np.concatenate([x, y], 1), {"x": X, "y": draw(2, 3, 6, 6)}),
    "Slice": simple(lambda x: (x[:, :1], x[:, 1:3], x[:, 3:])),
    "Eltwise PROD": Case(lambda x, y, z: x * y * z, {"x": X, "y": Y, "z": POSITIVE}),
    "Eltwise SUM": Case(lambda x, y, z: x + y + z, {"x": X, "y": Y, "z": POSITIVE}),
    "Eltwise SUM, coeff": Case(lambda x, y: 2 * x - 0.5 * y, {"x": X, "y": Y}),
    "Eltwise MAX": Case(lambda x, y: np.where(x > y, x, y), {"x": X, "y": Y}),
    "Filter": Case(lambda x, s: np.stack([item for item, keep in zip(x, s, strict=True) if keep]), {"x": draw(5, 3, 2), "s": np.array([1, 0, 2, 0, 1])}),
    "Reduction SUM": simple(lambda x: 0.5 * x.reshape(2, -1).sum(1)),
    "Reduction ASUM": simple(lambda x: np.abs(x).reshape(2, 4, -1).sum(2)),
    "Reduction SUMSQ": simple(lambda x: (x.ravel() ** 2).sum()),
    "Reduction MEAN": simple(lambda x: 3 / 144 * x.reshape(2, -1).sum(1)),
    "ArgMax": simple(lambda x: largest(x, 1)[:, 0], backward=False),
    "ArgMax top_k": simple(lambda x: largest(x, 3)[:, None], backward=False),
    "ArgMax out_max_val": simple(lambda x: np.stack([largest(x, 3), -np.sort(-x.reshape(2, -1), 1)[:, :3]], 1), backward=False),
    "ArgMax axis": simple(lambda x: np.argsort(-x, 1)[:, :2], backward=False),
    "Softmax": simple(softmax),
    "Python": simple(lambda x: x**2),
    "Tile": simple(lambda x: np.concatenate([x, x, x], 1)),
    "MultinomialLogisticLoss": Case(lambda p, t: -np.log(p[np.arange(5), t]).mean(), {"p": softmax(SCORES["x"]), "t": SCORES["t"]}),
    "InfogainLoss": Case(lambda x, t, h: -(h[t] * np.log(softmax(x))).sum() / len(x), {**SCORES, "h": draw(4, 4, low=0.1)}, fixed=("h",)),
    "SoftmaxWithLoss VALID": Case(lambda x, t: softmax_loss(x, t, 3, "VALID"), PLACES),
    "SoftmaxWithLoss FULL": Case(lambda x, t: softmax_loss(x, t, 3, "FULL"), PLACES),
    "SoftmaxWithLoss BATCH_SIZE": Case(lambda x, t: softmax_loss(x, t, 3, "BATCH_SIZE"), PLACES),
    "SoftmaxWithLoss NONE": Case(lambda x, t: softmax_loss(x, t, None, "NONE"), PLACES),
    "EuclideanLoss": Case(lambda x, y: ((x - y).ravel() @ (x - y).ravel()) / len(x) / 2, {"x": draw(3, 5), "y": draw(3, 5)}),
    "HingeLoss L1": Case(lambda x, t: hinge(x, t, 1), SCORES),
    "HingeLoss L2": Case(lambda x, t: hinge(x, t, 2), SCORES),
    "SigmoidCrossEntropyLoss": Case(lambda x, y: sigmoid_loss(x, y).sum() / len(x), {"x": SCORES["x"], "y": draw(5, 4, low=0, high=1)}, fixed=("y",)),
    "SigmoidCrossEntropyLoss VALID": Case(lambda x, y: sigmoid_loss(x, y)[y != -1].sum() / (y != -1).sum(), MASKED, fixed=("y",)),
    "ContrastiveLoss": Case(lambda x, y, s: contrastive(x, y, s, False), PAIRS, fixed=("s",)),
    "ContrastiveLoss legacy_version": Case(lambda x, y, s: contrastive(x, y, s, True), PAIRS, fixed=("s",)),
    "Accuracy": Case(lambda x, t: accuracy(x, t), GUESSES, backward=False),
    "Accuracy top_k": Case(lambda x, t: accuracy(x, t, 3), GUESSES, backward=False),
    "Accuracy ignore_label": Case(lambda x, t: accuracy(x, t, 1, 3), GUESSES, backward=False),
}  # fmt: skip

# ----------------------------------------------------------------------------------------------------------------- tests


def run(row: str, **names: Any) -> Any:
    """What the README's code gives."""
    scope = {"tg": tg, "nn": nn, "F": F, "math": math, "DataLoader": DataLoader, "TensorDataset": TensorDataset, "Square": Square, **names}
    return eval(ROWS[row], scope)  # code of our own README


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def test_every_layer_is_in_the_table_and_every_row_has_a_test() -> None:
    assert sorted({row.split()[0] for row in ROWS}) == sorted(CATALOGUE)
    elsewhere = {name.split("row_")[1] for name in globals() if name.startswith("test_row_")}
    told = {re.sub(r"\W+", "_", row).lower() for row in ROWS}
    assert told - {re.sub(r"\W+", "_", row).lower() for row in CASES} == elsewhere
    assert set(CASES) <= set(ROWS)


@pytest.mark.parametrize("row", CASES)
def test_values_and_gradients_are_caffes(row: str) -> None:
    case = CASES[row]
    slopes = [n for n, a in case.arrays.items() if a.dtype == np.float64 and case.backward and n not in case.fixed]
    tensors = {n: tg.tensor(a, requires_grad=n in slopes) for n, a in case.arrays.items()}
    outputs = parts(run(row, **tensors, **case.extra(tensors)))

    names = list(inspect.signature(case.reference).parameters)

    def reference(**changed: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(r) for r in parts(case.reference(*({**case.arrays, **changed}[n] for n in names)))]

    expected = reference()
    for output, e in zip(outputs, expected, strict=True):
        assert output.shape == e.shape
        np.testing.assert_allclose(output.detach(), e, rtol=1e-12, atol=1e-13)
        assert output.requires_grad == bool(slopes)
    if not slopes:
        return

    rng = np.random.default_rng(1)
    seeds = [rng.standard_normal(e.shape) for e in expected]
    sum((output * tg.tensor(s)).sum() for output, s in zip(outputs, seeds, strict=True)).backward()
    step = 1e-5
    for name in slopes:
        for _ in range(3):
            direction = rng.standard_normal(case.arrays[name].shape)
            up, down = (reference(**{name: case.arrays[name] + sign * step * direction}) for sign in (1, -1))
            slope = sum(float(((u - d) * s).sum()) for u, d, s in zip(up, down, seeds, strict=True)) / (2 * step)
            ours = float((tensors[name].grad.numpy() * direction).sum())
            assert ours == pytest.approx(slope, rel=1e-6, abs=1e-6), name


def test_row_pooling_stochastic_training() -> None:
    tg.manual_seed(0)
    one = np.array([[0.1, 0.2], [0.3, 0.4]])
    x = tg.tensor(np.tile(one, (50, 50))[None, None], requires_grad=True)
    out = run("Pooling STOCHASTIC, training", x=x)
    assert out.shape == (1, 1, 50, 50)
    values, counts = np.unique(out.detach().numpy(), return_counts=True)
    assert values.tolist() == [0.1, 0.2, 0.3, 0.4]
    np.testing.assert_allclose(counts / 2500, values, atol=4 * 0.01)  # four standard deviations
    out.sum().backward()
    chosen = x.grad.numpy().reshape(50, 2, 50, 2)
    assert (chosen.sum((1, 3)) == 1).all()
    np.testing.assert_array_equal((chosen * np.tile(one, (50, 50)).reshape(50, 2, 50, 2)).sum((1, 3)), out.detach()[0, 0])


def test_row_dropout() -> None:
    tg.manual_seed(0)
    x = tg.tensor(draw(50, 40, low=0.5, high=2.0), requires_grad=True)
    out = run("Dropout", x=x)
    kept = out.detach().numpy() != 0
    assert abs(kept.mean() - 0.6) < 0.05
    np.testing.assert_allclose(out.detach(), kept * x.detach().numpy() / 0.6, rtol=1e-12)
    out.sum().backward()
    np.testing.assert_allclose(x.grad, kept / 0.6, rtol=1e-12)


def test_row_parameter() -> None:
    p = run("Parameter")
    assert p.requires_grad and p.is_leaf and tuple(p.shape) == (3, 4)


def test_row_silence() -> None:
    assert run("Silence") is None


def test_pooling_rounds_up_as_caffe_does() -> None:
    x = tg.tensor(X)
    assert run("Pooling MAX", x=x).shape[2:] == (3, 3)
    assert run("Pooling MAX, round_mode FLOOR", x=x).shape[2:] == (2, 2)


# ------------------------------------------------------------------------------------------------------------ data layers

T = np.arange(5)


class Records(Dataset):
    """Samples that a function reads."""

    def __init__(self, read: Callable[[int], Any]) -> None:
        self.read = read

    def __getitem__(self, index: int) -> Any:
        return self.read(index)

    def __len__(self) -> int:
        return len(T)


def check_batches(loader: Any, x: np.ndarray, t: np.ndarray) -> None:
    batches = list(loader)
    assert [len(b[0]) for b in batches] == [2, 2, 1]
    order = np.concatenate([b[1] for b in batches])
    assert sorted(order) == sorted(t)
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), x[order])


def test_row_data(tmp_path: Path) -> None:
    x = draw(5, 3)
    with dbm.dumb.open(str(tmp_path / "base"), "c") as base:
        for i, row in enumerate(x):
            base[str(i)] = row.tobytes()
        check_batches(run("Data", database=Records(lambda i: (np.frombuffer(base[str(i)]).copy(), i))), x, T)


def test_row_imagedata(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    for i, image in enumerate(x):
        np.save(tmp_path / f"{i}.npy", image)
    scaled = Records(lambda i: (np.load(tmp_path / f"{i}.npy").transpose(2, 0, 1) * 0.5 - 3.0, i))
    check_batches(run("ImageData", images=scaled), x.transpose(0, 3, 1, 2) * 0.5 - 3.0, T)


def test_row_windowdata() -> None:
    image, corners = draw(9, 9), [(0, 0), (1, 2), (5, 5), (3, 0), (2, 4)]
    crops = np.stack([image[i : i + 4, j : j + 4] for i, j in corners])
    check_batches(run("WindowData", windows=Records(lambda n: (image[corners[n][0] :, corners[n][1] :][:4, :4], n))), crops, T)


def test_row_hdf5data(tmp_path: Path) -> None:
    x = draw(5, 3)
    np.savez(tmp_path / "file.npz", data=x, label=T)
    with np.load(tmp_path / "file.npz") as file:
        check_batches(run("HDF5Data", file=file), x, T)


def test_row_hdf5output(tmp_path: Path) -> None:
    x = draw(5, 3)
    run("HDF5Output", x=tg.tensor(x), t=tg.tensor(T), path=tmp_path / "out.safetensors")
    back = tg.load(tmp_path / "out.safetensors")
    assert set(back) == {"data", "label"}
    np.testing.assert_array_equal(back["data"], x)
    np.testing.assert_array_equal(back["label"], T)


def test_row_memorydata() -> None:
    x = draw(5, 3)
    check_batches(run("MemoryData", x=tg.tensor(x), t=tg.tensor(T)), x, T)


def test_row_dummydata() -> None:
    np.testing.assert_array_equal(run("DummyData"), np.full((2, 3), 0.5, np.float32))


def test_row_input() -> None:
    x = tg.tensor(draw(5, 3))
    assert run("Input", x=x, model=nn.Identity()) is x
