"""Softmax and log-softmax: fused forward, fused backward, and the backward's own derivative."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ... import dtypes
from ...observing import level_outside
from ...public import public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample, along_dim
from ...tensor import Tensor
from ..checks import need_floating
from ..shape.copy import to_dtype
from ..shape.reshape import normalize_dim

__all__ = [
    "log_softmax",
    "softmax",
]

def _softmax_reference(x: Any, dim: int) -> Any:
    e = np.exp(x)
    return e / e.sum(axis=dim, keepdims=True)


def _log_softmax_reference(x: Any, dim: int) -> Any:
    return np.log(_softmax_reference(x, dim))


def _mistakes(name: str) -> list[ErrorInput]:
    return [
        ErrorInput(lambda tg: getattr(tg, name)(tg.arange(3), 0), RuntimeError, f"{name}: input must be floating-point.*int64"),
        ErrorInput(lambda tg: getattr(tg, name)(tg.ones(2, 3), 2), IndexError, f"{name}: dimension 2 is out of range"),
    ]


_softmax = register(
    Op(
        "softmax",
        ("input",),
        lambda B, x, *, dim: B.softmax(x, dim),
        {"input": lambda K, g, out, dim: K.softmax_backward(g, out, dim=dim)},
        batch="reduce",
        samples=along_dim(keepdims=False),
        reference=_softmax_reference,
        error_inputs=_mistakes("softmax"),
        kinds="f",
    )
)

_log_softmax = register(
    Op(
        "log_softmax",
        ("input",),
        lambda B, x, *, dim: B.log_softmax(x, dim),
        {"input": lambda K, g, out, dim: K.log_softmax_backward(g, out, dim=dim)},
        batch="reduce",
        samples=along_dim(keepdims=False),
        reference=_log_softmax_reference,
        error_inputs=_mistakes("log_softmax"),
        kinds="f",
    )
)

# With y = softmax(x): grad = y * (g - sum(g y)), linear in g and quadratic in y.
register(
    Op(
        "softmax_backward",
        ("g_out", "y"),
        lambda B, g, y, *, dim: B.softmax_backward(g, y, dim),
        {
            "g_out": lambda K, g, y, dim: K.softmax_backward(g, y, dim=dim),
            "y": lambda K, g, g_out, y, dim: K.sub(
                K.mul(g, K.sub(g_out, K.sum(K.mul(g_out, y), axes=(dim,), keepdim=True))),
                K.mul(g_out, K.sum(K.mul(g, y), axes=(dim,), keepdim=True)),
            ),
        },
        batch="reduce",
        method=False,
        samples=[Sample((Input((3, 4)), Input((3, 4))), {"dim": d}) for d in (0, 1)],
        reference=lambda g, y, dim: y * (g - (g * y).sum(axis=dim, keepdims=True)),
        kinds="f",
    )
)

# With y = log_softmax(x): grad = g - exp(y) sum(g).
register(
    Op(
        "log_softmax_backward",
        ("g_out", "y"),
        lambda B, g, y, *, dim: B.log_softmax_backward(g, y, dim),
        {
            "g_out": lambda K, g, y, dim: K.sub(g, K.sum(K.mul(g, K.exp(y)), axes=(dim,), keepdim=True)),
            "y": lambda K, g, g_out, y, dim: K.neg(K.mul(K.mul(g, K.exp(y)), K.sum(g_out, axes=(dim,), keepdim=True))),
        },
        batch="reduce",
        method=False,
        samples=[Sample((Input((3, 4)), Input((3, 4))), {"dim": d}) for d in (0, 1)],
        reference=lambda g, y, dim: g - np.exp(y) * g.sum(axis=dim, keepdims=True),
        kinds="f",
    )
)


def _prepared(input: Tensor, dim: int | None, dtype: dtypes.dtype | None, name: str) -> tuple[Tensor, int]:
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1  # what PyTorch falls back to
        warnings.warn(
            f"{name}: without dim, the dimension along which values sum to 1, {dim} is taken for {input.ndim}-d tensors; give dim={dim}",
            UserWarning,
            stacklevel=level_outside(),
        )
    if dtype is not None:
        input = to_dtype(input, dtype)
    if input._array.dtype.kind != "f":
        need_floating(name, input=input)
    return input, normalize_dim(dim, input._array.ndim, name)


_SHAPES = (((3, 4), 1), ((2, 3, 4), -2), ((2, 3, 4), 0), ((5,), 0))


@public(_softmax, samples=[Sample((Input(shape),), {"dim": dim}) for shape, dim in _SHAPES], reference=_softmax_reference)
def softmax(input: Tensor, dim: int | None = None, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """exp(input) normalised to sum 1 along ``dim``, without overflow. Without it, warns and takes dimension 0 or 1, as PyTorch.

    Raises:
        RuntimeError: for an integer tensor without ``dtype``.
    """
    x, at = _prepared(input, dim, dtype, "softmax")
    return _softmax.call(x, dim=at)  # type: ignore[no-any-return]


@public(_log_softmax, samples=[Sample((Input(shape),), {"dim": dim}) for shape, dim in _SHAPES], reference=_log_softmax_reference)
def log_softmax(input: Tensor, dim: int | None = None, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The logarithm of :func:`softmax`, computed without it.

    Raises:
        RuntimeError: for an integer tensor without ``dtype``.
    """
    x, at = _prepared(input, dim, dtype, "log_softmax")
    return _log_softmax.call(x, dim=at)  # type: ignore[no-any-return]
