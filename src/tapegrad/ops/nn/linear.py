"""The affine map of a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...public import composite, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_same_dtype
from ..linalg.matmul import conjugate, matmul, mT

__all__ = ["bilinear", "linear"]

_linear = register(
    Op(
        "linear",
        ("input", "weight", "bias"),
        lambda B, x, w, b: B.linear(x, w, b),
        {
            "input": lambda K, g, weight, input_shape: _shaped(K, K.matmul(_rows(K, g), conjugate(K, weight)), input_shape),
            "weight": lambda K, g, input: K.matmul(mT(K, _rows(K, g)), conjugate(K, _rows(K, input))),
            "bias": lambda K, g: K.sum(g, axes=tuple(range(len(g.shape) - 1)), keepdim=False),
        },
        dtype="promote",
        method=False,
        samples=[
            Sample((Input((3, 4)), Input((5, 4)), Input((5,)))),
            Sample((Input((2, 3, 4)), Input((5, 4)), Input((5,)))),
            Sample((Input((4,)), Input((5, 4)), Input((5,)))),
            Sample((Input((0, 4)), Input((5, 4)), Input((5,)))),
        ],
        reference=lambda x, w, b: x @ w.T + b,
        error_inputs=[
            ErrorInput(lambda tg: tg.nn.functional.linear(tg.ones(2, 3), tg.ones(4, 5)), RuntimeError, r"linear: .*\(2, 3\).*\(4, 5\)"),
            ErrorInput(
                lambda tg: tg.nn.functional.linear(tg.ones(2, 3), tg.ones(4, 3), tg.ones(4, dtype=tg.float64)),
                RuntimeError,
                "input tapegrad.float32, weight tapegrad.float32, bias tapegrad.float64",
            ),
            ErrorInput(lambda tg: tg.nn.functional.linear(tg.ones(2, 3), None), TypeError, "argument 'weight' must be a Tensor, not None"),
        ],
        kinds="ifc",
    )
)


def _shaped(K: Any, x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else K.reshape(x, shape=shape)


def _rows(K: Any, x: Any) -> Any:
    """All leading dimensions as rows."""
    return x if len(x.shape) == 2 else K.reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))


@public(
    _linear,
    samples=[
        Sample((Input((3, 4)), Input((5, 4)), Input((5,)))),
        Sample((Input((2, 3, 4)), Input((5, 4)))),
        Sample((Input((4,)), Input((5, 4)), Input((5,)))),
    ],
    reference=lambda x, w, b=0.0: np.einsum("...i,oi->...o", x, w) + b,
    kinds="ifc",
)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: shapes (..., in), (out, in), (out,) -> (..., out).

    Raises:
        RuntimeError: when the sizes or dtypes don't fit.
    """
    if weight is None:
        raise TypeError("linear(): argument 'weight' must be a Tensor, not None")
    x, w = input._array, weight._array
    if w.ndim == 1 and bias is None:  # PyTorch takes a vector
        return linear(input, weight.unsqueeze(0)).squeeze(-1)  # type: ignore[no-any-return]
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1] or (bias is not None and bias._array.shape != (w.shape[0],)):
        got = f"input {tuple(x.shape)}, weight {tuple(w.shape)}" + ("" if bias is None else f", bias {tuple(bias.shape)}")
        hint = f": the input has {x.shape[-1]} features, the weight takes {w.shape[1]}" if x.ndim and w.ndim == 2 and x.shape[-1] != w.shape[1] else ""
        raise RuntimeError(f"linear: shapes don't fit: {got}; expected (..., in), (out, in) and (out,){hint}")
    need_same_dtype("linear", input=input, weight=weight, bias=bias)
    return _linear.call(input, weight, bias)  # type: ignore[no-any-return]


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((3, 2)), Input((5, 4, 2)), Input((5,)))),
        Sample((Input((2, 3, 4)), Input((2, 3, 2)), Input((5, 4, 2)))),
        Sample((Input((4,)), Input((2,)), Input((5, 4, 2)))),
    ],
    reference=lambda a, b, w, bias=0.0: np.einsum("...i,oij,...j->...o", a, w, b) + bias,
    error_inputs=[
        ErrorInput(
            lambda tg: tg.nn.functional.bilinear(tg.ones(3, 4), tg.ones(3, 2), tg.ones(5, 4, 3)),
            RuntimeError,
            r"bilinear: .*input1 \(3, 4\), input2 \(3, 2\), weight \(5, 4, 3\)",
        )
    ],
)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[o] @ input2 + bias[o]`` for each o: shapes (..., n), (..., m), (out, n, m), (out,) -> (..., out).

    Raises:
        RuntimeError: when the sizes or dtypes don't fit.
    """
    a, b, w = input1._array.shape, input2._array.shape, weight._array.shape
    fit = len(w) == 3 and len(a) > 0 and len(b) > 0 and a[:-1] == b[:-1] and (a[-1], b[-1]) == w[1:]
    if not fit or (bias is not None and bias._array.shape != w[:1]):
        got = f"input1 {tuple(a)}, input2 {tuple(b)}, weight {tuple(w)}" + ("" if bias is None else f", bias {tuple(bias.shape)}")
        raise RuntimeError(f"bilinear: shapes don't fit: {got}; expected (..., n), (..., m), (out, n, m) and (out,)")
    rows = math.prod(a[:-1])
    # (rows, n) @ (n, out * m), then each row's (out, m) times its (m,)
    halfway = matmul(input1.reshape(rows, a[-1]), weight.permute(1, 0, 2).reshape(w[1], w[0] * w[2])).reshape(rows, w[0], w[2])
    out = matmul(halfway, input2.reshape(rows, b[-1], 1)).reshape(*a[:-1], w[0])
    return out if bias is None else out + bias
