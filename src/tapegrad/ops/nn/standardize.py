"""What normalisations are made of: one fused op about statistics, and an affine map.

``standardize`` returns its statistics, too, so that gradients flow through them to any order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...primitives import E
from ...registry import Op, apply, register
from ...samples import Input, Sample
from ...scalarops import elementwise
from ...tensor import Tensor


def _standardize_reference(x: Any, axes: tuple[int, ...], eps: float, centered: bool) -> Any:
    mean = x.mean(axis=axes, keepdims=True) * centered
    var = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps), mean, var


_standardize = register(
    Op(
        "standardize",
        ("input",),
        lambda B, x, *, axes, eps, centered: B.standardize(x, axes, eps, centered),
        {
            "input": lambda K, g0, g1, g2, out0, out2, input_shape, input_dtype, axes, eps, centered: _standardize_vjp(
                K, g0, g1, g2, out0, out2, input_shape, input_dtype, axes, eps, centered
            )
        },
        batch="reduce",
        method=False,
        samples=[
            Sample((Input(shape),), {"axes": axes, "eps": 1e-3, "centered": centered})
            for shape, axes in (((3, 4), (1,)), ((2, 3, 4), (0, 2)))
            for centered in (True, False)
        ],
        reference=_standardize_reference,
        kinds="f",
    )
)


def _standardize_vjp(
    K: Any, g0: Any, g1: Any, g2: Any, y: Any, var: Any, shape: tuple[int, ...], dtype: Any, axes: tuple[int, ...], eps: float, centered: bool
) -> Any:
    n = math.prod([shape[a] for a in axes]) or math.nan
    parts = [] if g0 is None else [K.standardize_backward(g0, y, var, axes=axes, eps=eps, centered=centered)]
    if g1 is not None and centered:
        parts.append(K.to(K.expand(K.mul(g1, 1.0 / n), size=shape), dtype=dtypes.to_dtype(dtype)))
    if g2 is not None:  # the variance's own: 2 (x - mean) / n
        parts.append(K.to(K.mul(y, K.mul(g2, K.mul(K.sqrt(K.add(var, eps)), 2.0 / n))), dtype=dtypes.to_dtype(dtype)))
    return None if not parts else parts[0] if len(parts) == 1 else K.add(parts[0], parts[1]) if len(parts) == 2 else K.add(K.add(*parts[:2]), parts[2])


# Linear and symmetric in g; a polynomial in y; a power of var + eps.
register(
    Op(
        "standardize_backward",
        ("g_out", "y", "var"),
        lambda B, g, y, var, *, axes, eps, centered: B.standardize_backward(g, y, var, axes, eps, centered),
        {
            "g_out": lambda K, g, y, var, axes, eps, centered: K.standardize_backward(g, y, var, axes=axes, eps=eps, centered=centered),
            "y": lambda K, g, g_out, y, var, y_dtype, axes, eps: K.to(
                K.div(
                    K.add(
                        K.mul(g, K.mean(K.mul(g_out, y), axes=axes, keepdim=True)), K.mul(g_out, K.mean(K.mul(g, y), axes=axes, keepdim=True))
                    ),
                    K.neg(K.sqrt(K.add(var, eps))),
                ),
                dtype=dtypes.to_dtype(y_dtype),
            ),
            "var": lambda K, g, out, var, var_dtype, axes, eps: K.div(
                K.sum(K.to(K.mul(g, out), dtype=dtypes.to_dtype(var_dtype)), axes=axes, keepdim=True), K.mul(K.add(var, eps), -2.0)
            ),
        },
        batch="reduce",
        method=False,
        samples=[
            Sample((Input((3, 4)), Input((3, 4)), Input((3, 1), 0.5, 2.0)), {"axes": (1,), "eps": 1e-3, "centered": True}),
            Sample((Input((2, 3, 4)), Input((2, 3, 4)), Input((1, 3, 1), 0.5, 2.0)), {"axes": (0, 2), "eps": 1e-3, "centered": True}),
            Sample((Input((3, 4)), Input((3, 4)), Input((3, 1), 0.5, 2.0)), {"axes": (1,), "eps": 1e-3, "centered": False}),
        ],
        reference=lambda g, y, var, axes, eps, centered: (
            (g - centered * g.mean(axis=axes, keepdims=True) - y * (g * y).mean(axis=axes, keepdims=True)) / np.sqrt(var + eps)
        ),
        kinds="f",
    )
)

scale_shift = elementwise(
    "scale_shift",
    lambda input, scale, shift: input * scale + shift,
    {"input": lambda g, scale: g * E.conj(scale), "scale": lambda g, input: g * E.conj(input), "shift": lambda g: g},
    method=False,
    samples=[Sample((Input((3, 4), 0.5), Input((3, 4), 0.5), Input((4,), 0.5))), Sample((Input((2, 3, 4), 0.5), Input((3, 1), 0.5), Input((3, 1), 0.5)))],
    reference=lambda x, a, b: x * a + b,
    kinds="fc",
)


def standardized(input: Tensor, axes: tuple[int, ...], eps: float, centered: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(var + eps) over ``axes``, the mean (0 unless ``centered``) and the variance; the divisor is their count."""
    return apply(_standardize, (input,), {"axes": axes, "eps": float(eps), "centered": centered})
