"""Vector norms over dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...public import composite
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_floating
from ..shape.copy import to_dtype
from .extremes import split_among_ties
from .reduce import Dims, axes_of, over_axes, restore_axes

__all__ = ["norm"]

INF = math.inf


def _reference(x: Any, axes: Any, keepdim: bool, p: float) -> Any:
    size = np.abs(x)
    if p == 0:
        return np.sum(x != 0, axis=axes, keepdims=keepdim).astype(x.dtype)
    if math.isinf(p):
        return (np.max if p > 0 else np.min)(size, axis=axes, keepdims=keepdim)
    return np.sum(size**p, axis=axes, keepdims=keepdim) ** (1 / p)


_vector_norm = register(
    Op(
        "vector_norm",
        ("input",),
        lambda B, x, *, axes, keepdim, p: B.vector_norm(x, axes, keepdim, p),
        {"input": lambda K, g, input, out, input_shape, axes, keepdim, p: _backward(K, g, input, out, input_shape, axes, keepdim, p)},
        planned="vector_norm",
        batch="reduce",
        method=False,
        samples=[
            *(Sample(s.inputs, {**s.params, "p": 2.0}) for s in over_axes(apart=True)),
            *(
                Sample((Input((2, 3, 4), -1.0, 3.3, apart=True),), {"axes": axes, "keepdim": len(axes) == 1, "p": p})
                for p in (0.0, 0.5, 1.0, 1.5, 3.0, -1.0, INF, -INF)
                for axes in ((1,), (0, 2))
            ),
            Sample((Input((0, 3)),), {"axes": (0,), "keepdim": False, "p": 2.0}),
        ],
        reference=_reference,
        edge_points=[
            EdgePoint(([0.0, 0.0],), ([0.0, 0.0],), {"axes": (0,), "keepdim": False, "p": p}) for p in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, INF, -INF)
        ]
        + [EdgePoint(([0.0, -2.0],), ([0.0, -1.0],), {"axes": (0,), "keepdim": False, "p": p}) for p in (1.0, 1.5, 2.0, 3.0, INF)]
        + [EdgePoint(([-3.0, 3.0],), ([-0.5, 0.5],), {"axes": (0,), "keepdim": False, "p": p}) for p in (INF, -INF)],
        kinds="f",
        smooth=False,
    )
)


def _backward(K: Any, g: Any, x: Any, out: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool, p: float) -> Any:
    """sign(x) |x|^(p - 1) / norm^(p - 1), and 0 at elements, and of norms, that are 0."""
    if p == 0:
        return K.mul(x, 0.0)
    if math.isinf(p):
        return K.mul(K.sign(x), split_among_ties(K, g, K.abs(x), out, shape, axes, keepdim))
    g, out = restore_axes(K, g, shape, axes, keepdim), restore_axes(K, out, shape, axes, keepdim)
    if p == 1:
        return K.mul(g, K.sign(x))
    none = K.eq(out, 0.0)
    relative = K.div(x, K.where(none, 1.0, out))
    if p != 2:  # ratios of magnitudes at most 1 for p > 1, so that powers don't overflow
        zero = K.eq(x, 0.0)
        relative = K.where(zero, 0.0, K.mul(K.sign(x), K.pow(K.where(zero, 1.0, K.abs(relative)), p - 1.0)))
    return K.mul(K.where(none, 0.0, g), relative)


def _matrix_reference(x: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    axes = tuple(range(x.ndim)) if dim is None else dim
    return _reference(x, axes, keepdim, 2.0 if p == "fro" else p)


@composite(
    samples=[
        Sample((Input((3, 4)),)),
        Sample((Input((3, 4)),), {"p": 2, "dim": 1}),
        Sample((Input((2, 3, 4)),), {"p": "fro", "dim": (0, -1), "keepdim": True}),
        Sample((Input((3, 4), -1.0, 3.3, apart=True),), {"p": 1, "dim": 0}),
        Sample((Input((3, 4), -1.0, 3.3, apart=True),), {"p": INF, "dim": -1}),
        Sample((Input((3, 4), -1.0, 3.3, apart=True),), {"p": -INF, "dim": (0, 1)}),
        Sample((Input((3, 4), -1.0, 3.3, apart=True),), {"p": 3.5, "dim": 1}),
        Sample((Input((3, 4)),), {"p": 2, "dim": 0, "dtype": dtypes.float64}),
        Sample((Input(()),)),
    ],
    reference=_matrix_reference,
    smooth=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.arange(3).norm(), RuntimeError, "norm: input must be floating-point.*int64"),
        ErrorInput(lambda tg: tg.ones(3, 3).norm("nuc"), NotImplementedError, "norm: p='nuc'"),
        ErrorInput(lambda tg: tg.ones(3, 3).norm("max"), ValueError, "norm: p must be a number or 'fro', got 'max'"),
        ErrorInput(lambda tg: tg.ones(3).norm(2, 1), IndexError, "norm: dimension 1 is out of range"),
        ErrorInput(lambda tg: tg.ones(0, 3).norm(INF, 0), RuntimeError, "norm: .*no elements"),
    ],
)
def norm(input: Tensor, p: float | str | None = "fro", dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """``sum(abs(input) ** p) ** (1 / p)`` over ``dim`` (one or several; all by default), as of one vector; "fro" is 2.

    p = inf and -inf are the largest and smallest magnitude, 0 the number of elements that are not 0. The gradient of norm 0 is 0.

    Raises:
        RuntimeError: for a tensor that is not floating-point, or p = inf and -inf over no elements.
    """
    if isinstance(p, str) and p != "fro":
        if p == "nuc":
            raise NotImplementedError("norm: p='nuc' is not implemented; sum singular values instead")
        raise ValueError(f"norm: p must be a number or 'fro', got {p!r}")
    if dtype is not None:
        input = to_dtype(input, dtypes.to_dtype(dtype))
    if input.dtype.is_complex:
        input = abs(input)
    need_floating("norm", input=input)
    axes = axes_of(dim, input.ndim, "norm")
    order = 2.0 if p is None or isinstance(p, str) else float(p)
    if math.isinf(order) and any(input._array.shape[a] == 0 for a in axes):
        raise RuntimeError(f"norm: p={order} has no value over no elements of shape {tuple(input.shape)}")
    return _vector_norm.call(input, axes=axes, keepdim=keepdim, p=order)  # type: ignore[no-any-return]
