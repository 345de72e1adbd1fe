"""Functions made of several ops, with samples and references of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from op_matrix import Case, resolved
from scipy import special

import tapegrad as tg
from tapegrad.nn import functional as F
from tapegrad.registry import REGISTRY
from tapegrad.samples import Input
from tapegrad.scalarops import ElementwiseOp
from tapegrad.tensor import wrap

M, V, C, S = Input((3, 4)), Input((4,)), Input((2, 3, 4)), Input(())
APART = Input((3, 4), apart=True)
MASK = Input((3, 4), kind="bool")
INDEX = np.array([[2, 0, 1, 1], [0, 0, 2, 1]])
TARGETS = np.array([2, 0, 1, 2])


def _case(name: str, fn: Callable[..., Any], reference: Callable[..., Any], *inputs: Input, smooth: bool = True) -> Case:
    return Case(name, fn, reference, inputs, gradient=tuple(i.kind == "real" for i in inputs), smooth=smooth)


def _added(x: Any, index: Any, src: Any, dim: int) -> Any:
    out = x.copy()
    for at in np.ndindex(index.shape):
        to = list(at)
        to[dim] = index[at]
        out[tuple(to)] += src[at]
    return out


def _written(x: Any, index: Any, value: Any) -> Any:
    out = x.copy()
    out[index] = value
    return out


def _wrote(index: Any) -> Callable[..., Any]:
    def fn(x: Any, v: Any) -> Any:
        y = x.clone()
        y[index] = v
        return y

    return fn


def _nll(x: Any, w: Any = None, ignore: int = -100, reduction: str = "mean", smoothing: float = 0.0) -> Any:
    """Cross entropy with TARGETS from log-probabilities, one row at a time."""
    logp = special.log_softmax(x, axis=1)
    w = np.ones(x.shape[1]) if w is None else w
    rows, weights = [], []
    for row, t in zip(logp, TARGETS, strict=True):
        kept = float(t != ignore)
        rows.append(-kept * ((1 - smoothing) * w[t] * row[t] + smoothing * np.mean(w * row)))
        weights.append(kept * w[t])
    return {"none": np.array(rows), "sum": np.sum(rows), "mean": np.sum(rows) / np.sum(weights)}[reduction]


def _cross_entropy(weight: Any = None, **options: Any) -> Callable[..., Any]:
    def fn(x: Any) -> Any:
        return F.cross_entropy(x, wrap(TARGETS), None if weight is None else _like(weight, x), **options)

    return fn


def _like(values: Any, x: Any) -> Any:
    return wrap(values.astype(x._array.dtype))


CLASSES = np.array([0.5, 1.5, 1.0])
LOGITS = Input((4, 3))


def _loss_cases() -> list[Case]:
    cases = [
        _case(f"cross_entropy {reduction} {smoothing} {ignore}",
              _cross_entropy(reduction=reduction, label_smoothing=smoothing, ignore_index=ignore),
              lambda x, r=reduction, s=smoothing, i=ignore: _nll(x, None, i, r, s), LOGITS)
        for reduction in ("mean", "sum", "none") for smoothing in (0.0, 0.1) for ignore in (-100, 2)
    ]  # fmt: skip
    cases += [
        _case(f"cross_entropy weighted {reduction}", _cross_entropy(weight=CLASSES, reduction=reduction, ignore_index=0),
              lambda x, r=reduction: _nll(x, CLASSES, 0, r), LOGITS)
        for reduction in ("mean", "sum", "none")
    ]  # fmt: skip
    soft = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])
    cases += [
        _case("cross_entropy probabilities", lambda x: F.cross_entropy(x, _like(soft, x), _like(CLASSES, x), label_smoothing=0.1),
              lambda x: -np.sum(special.log_softmax(x, 1) * (soft * 0.9 + 0.1 / 3) * CLASSES) / 4, LOGITS),
        _case("cross_entropy one row", lambda x: F.cross_entropy(x, wrap(np.array(1))), lambda x: -special.log_softmax(x)[1], V),
        _case("cross_entropy images", lambda x: F.cross_entropy(x, wrap(np.array([[0, 2, 1, 1], [2, 2, 0, 1]])), reduction="none"),
              lambda x: -np.take_along_axis(special.log_softmax(x, 1), np.array([[0, 2, 1, 1], [2, 2, 0, 1]])[:, None], 1)[:, 0], C),
    ]  # fmt: skip
    for reduction in ("mean", "sum", "none"):
        finish = {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction]
        cases.append(_case(f"mse_loss {reduction}", lambda x, t, r=reduction: F.mse_loss(x, t, reduction=r),
                           lambda x, t, f=finish: f((x - t) ** 2), M, M))  # fmt: skip
    return cases


def _elementwise_cases() -> list[Case]:
    return [
        _case("where", tg.where, np.where, MASK, M, V),
        _case("where scalar", lambda c, x: tg.where(c, x, 1.5), lambda c, x: np.where(c, x, 1.5), MASK, M),
        _case("clamp", lambda x: x.clamp(-0.75, 0.75), lambda x: np.clip(x, -0.75, 0.75), APART),
        _case("clamp min", lambda x: tg.clamp(x, min=0.05), lambda x: np.maximum(x, 0.05), APART),
        _case("clamp tensors", lambda x, a, b: x.clamp(a, b), np.clip, APART, Input((4,), -1.0, -0.5), Input((3, 1), 0.5, 1.0)),
        _case("gelu exact", F.gelu, lambda x: x * special.ndtr(x), M),
        _case("gelu tanh", lambda x: F.gelu(x, approximate="tanh"),
              lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), M),
        _case("add alpha", lambda x, y: tg.add(x, y, alpha=0.3), lambda x, y: x + 0.3 * y, M, V),
        _case("sub alpha", lambda x, y: tg.sub(x, y, alpha=3), lambda x, y: x - 3 * y, V, M),
        _case("scalars", lambda x: 2 / (x * x + 3) - 1, lambda x: 2 / (x * x + 3) - 1, M),
        _case("scalar power", lambda x: x**3 + 2.0**x, lambda x: x**3 + 2.0**x, M),
        _case("same operand twice", lambda x: x * x + x, lambda x: x * x + x, M),
        _case("diamond", lambda x: x.exp() * x.sin() + x.exp(), lambda x: np.exp(x) * (np.sin(x) + 1), M),
        _case("dropout off", lambda x: F.dropout(x, 0.5, training=False), np.asarray, M),
    ]  # fmt: skip


def _reduction_cases() -> list[Case]:
    return [
        _case("sum of a list of dims", lambda x: x.sum([0, -1]), lambda x: x.sum((0, 2)), C),
        _case("logsumexp large", lambda x: (x * 1e3).logsumexp(1), lambda x: special.logsumexp(x * 1e3, axis=1),
              Input((3, 4), -0.01, 0.01)),
        _case("softmax dim 0", lambda x: x.softmax(0), lambda x: special.softmax(x, 0), C),
        _case("log_softmax negative dim", lambda x: x.log_softmax(-2), lambda x: special.log_softmax(x, -2), C),
        _case("normalised", lambda x: (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True),
              lambda x: (x - x.mean(1, keepdims=True)) / x.std(1, ddof=1, keepdims=True), M, smooth=False),
    ]  # fmt: skip


def _shape_cases() -> list[Case]:
    return [
        _case("T", lambda x: x.T, np.transpose, M),
        _case("mT", lambda x: x.mT, lambda x: x.swapaxes(-1, -2), C),
        _case("reshape after transpose", lambda x: x.T.reshape(-1), lambda x: x.T.reshape(-1), M),
        _case("view of a view", lambda x: x[1:, ::2].T[1], lambda x: x[1:, ::2].T[1], M),
        _case("index with a list", lambda x: x[[2, 0, 2]], lambda x: x[[2, 0, 2]], M),
        _case("index mixed", lambda x: x[:, None, [2, 0], 0], lambda x: x[:, None, [2, 0], 0], C),
        _case("linear", lambda x, w: F.linear(x, w), lambda x, w: x @ w.T, C, Input((5, 4))),
    ]  # fmt: skip


def _in_place_cases() -> list[Case]:
    def add_to_view(x: Any, v: Any) -> Any:
        y = x * 1.0
        y[1:].T.mul_(v.unsqueeze(1))
        return y * y

    def fill_view(x: Any, v: Any) -> Any:
        y = x.clone()
        y[:, 0].fill_(v)
        return y.exp()

    return [
        _case("copy_", lambda x, v: x.clone().copy_(v) + 0 * x, lambda x, v: np.broadcast_to(v, x.shape), M, V),
        _case("setitem basic", _wrote((slice(1, None), 2)), lambda x, v: _written(x, (slice(1, None), 2), v), M, Input((2,))),
        _case("setitem list", _wrote([0, 2]), lambda x, v: _written(x, [0, 2], v), M, V),
        _case("setitem mask", _wrote(np.array([True, False, True])), lambda x, v: _written(x, [0, 2], v), M, S),
        _case("in place on a view", add_to_view, lambda x, v: np.vstack([x[:1], x[1:] * v]) ** 2, M, V),
        _case("fill a view", fill_view, lambda x, v: np.exp(_written(x, (slice(None), 0), v)), M, S),
        _case("clamp_", lambda x: x.clone().clamp_(-1.05, 1.05), lambda x: np.clip(x, -1.05, 1.05), APART),
        _case("masked_fill_", lambda x, m: x.clone().masked_fill_(m, 2.0), lambda x, m: np.where(m, 2.0, x), M, MASK),
        _case("scatter_add_", lambda x, s: x.clone().scatter_add_(0, wrap(INDEX), s), lambda x, s: _added(x, INDEX, s, 0), M,
              Input((2, 4))),
        *(_in_place(op) for op in REGISTRY.values() if isinstance(op, ElementwiseOp) and op.method and op.formulas),
    ]  # fmt: skip


def _in_place(op: ElementwiseOp) -> Case:
    """The in-place method of an elementwise op, on the result of another."""
    sample = op.samples[1 if len(op.inputs) > 1 else 0]  # with broadcasting

    def fn(x: Any, *others: Any) -> Any:
        y = x.clone()
        result = getattr(y, f"{op.name}_")(*others)
        assert result is y
        return result

    return _case(f"{op.name}_", fn, resolved(op.reference), *sample.inputs)


def composite_cases() -> list[Case]:
    """All of them."""
    return _loss_cases() + _elementwise_cases() + _reduction_cases() + _shape_cases() + _in_place_cases()
