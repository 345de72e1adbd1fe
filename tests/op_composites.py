"""Functions made of several ops, with samples and references of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from op_matrix import Case, resolved
from scipy import special

import tapegrad as tg
from tapegrad.registry import REGISTRY
from tapegrad.samples import Input
from tapegrad.scalarops import ElementwiseOp
from tapegrad.tensor import wrap

M, V, C, S = Input((3, 4)), Input((4,)), Input((2, 3, 4)), Input(())
APART = Input((3, 4), apart=True)
MASK = Input((3, 4), kind="bool")
INDEX = np.array([[2, 0, 1, 1], [0, 0, 2, 1]])


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


def _elementwise_cases() -> list[Case]:
    return [
        _case("where scalar", lambda c, x: tg.where(c, x, 1.5), lambda c, x: np.where(c, x, 1.5), MASK, M),
        _case("scalars", lambda x: 2 / (x * x + 3) - 1, lambda x: 2 / (x * x + 3) - 1, M),
        _case("scalar power", lambda x: x**3 + 2.0**x, lambda x: x**3 + 2.0**x, M),
        _case("same operand twice", lambda x: x * x + x, lambda x: x * x + x, M),
        _case("diamond", lambda x: x.exp() * x.sin() + x.exp(), lambda x: np.exp(x) * (np.sin(x) + 1), M),
    ]  # fmt: skip


def _reduction_cases() -> list[Case]:
    return [
        _case("logsumexp large", lambda x: (x * 1e3).logsumexp(1), lambda x: special.logsumexp(x * 1e3, axis=1),
              Input((3, 4), -0.01, 0.01)),
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
    ]  # fmt: skip


def _linalg_cases() -> list[Case]:
    def positive(x: Any) -> Any:
        return x @ x.swapaxes(-1, -2) + (tg.eye(3, dtype=x.dtype) if isinstance(x, tg.Tensor) else np.eye(3))

    return [
        _case("cholesky", lambda x: tg.linalg.cholesky(positive(x)), lambda x: np.linalg.cholesky(positive(x)), Input((3, 3))),
        _case("cholesky upper", lambda x: tg.linalg.cholesky(positive(x), upper=True),
              lambda x: np.linalg.cholesky(positive(x)).swapaxes(-1, -2), Input((2, 3, 3))),
        _case("solve_triangular from the right", lambda a, b: tg.linalg.solve_triangular(a, b, upper=True, left=False),
              lambda a, b: b @ np.linalg.inv(np.triu(a)), Input((2, 1, 3, 3), 0.5, 1.5), Input((2, 2, 3)), smooth=False),
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
    return _elementwise_cases() + _reduction_cases() + _shape_cases() + _linalg_cases() + _in_place_cases()
