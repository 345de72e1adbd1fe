"""The affine map of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..public import public
from ..registry import Op, apply, register
from ..samples import ErrorInput, Input, Sample
from ..tensor import Tensor
from .matmul import conjugate, mT
from .shape import numel_of

__all__ = ["linear"]

_linear = register(
    Op(
        "linear",
        ("input", "weight", "bias"),
        lambda B, x, w, b: B.linear(x, w, b),
        {
            "input": lambda K, g, weight, input_shape: K.reshape(K.matmul(_rows(K, g), conjugate(K, weight)), shape=input_shape),
            "weight": lambda K, g, input: K.matmul(mT(K, _rows(K, g)), conjugate(K, _rows(K, input))),
            "bias": lambda K, g: K.sum(g, axes=tuple(range(len(g.shape) - 1)), keepdim=False),
        },
        dtype="promote",
        method=False,
        flops=lambda x, w, b: 2 * int(np.prod(x.shape)) * int(w.shape[0]),
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


def _rows(K: Any, x: Any) -> Any:
    """All leading dimensions as rows."""
    return x if len(x.shape) == 2 else K.reshape(x, shape=(numel_of(x.shape[:-1]), x.shape[-1]))


@public(_linear)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: shapes (..., in), (out, in), (out,) -> (..., out).

    Raises:
        RuntimeError: when the sizes or dtypes don't fit.
    """
    if weight is None:
        raise TypeError("linear(): argument 'weight' must be a Tensor, not None")
    x, w = input._array, weight._array
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1] or (bias is not None and bias._array.shape != (w.shape[0],)):
        got = f"input {tuple(x.shape)}, weight {tuple(w.shape)}" + ("" if bias is None else f", bias {tuple(bias.shape)}")
        raise RuntimeError(f"linear: shapes don't fit: {got}; expected (..., in), (out, in) and (out,)")
    if x.dtype != w.dtype or (bias is not None and bias._array.dtype != w.dtype):
        got = f"input {input.dtype}, weight {weight.dtype}" + ("" if bias is None else f", bias {bias.dtype}")
        raise RuntimeError(f"linear: expected equal dtypes, got {got}; convert with .to()")
    return apply(_linear, (input, weight, bias), {})  # type: ignore[no-any-return]
