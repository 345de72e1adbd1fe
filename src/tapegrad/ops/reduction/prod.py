"""Products of elements, with gradients that are exact where elements are zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...public import public
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample
from ...tensor import Tensor
from ..linalg.matmul import conjugate
from ..shape.reshape import normalize_dim
from .reduce import EMPTY, axes_of, in_dtype, over_axes, over_axes_reference, over_dim_reference, restore_axes, sum_dtype

__all__ = ["prod"]

_prod = register(
    Op(
        "prod",
        ("input",),
        lambda B, x, *, axes, keepdim: B.prod(x, axes, keepdim, sum_dtype(x.dtype)),
        {
            "input": lambda K, g, input, input_shape, axes, keepdim: K.mul(
                restore_axes(K, g, input_shape, axes, keepdim), conjugate(K, _of_the_others(K, input, input_shape, axes))
            )
        },
        batch="reduce",
        samples=[*over_axes(), Sample((Input((0, 3)),), {"axes": (0,), "keepdim": False})],
        reference=over_axes_reference(np.prod),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).prod(2), IndexError, "prod: dimension 2 is out of range")],
        edge_points=[
            EdgePoint(([2.0, 0.0, 3.0],), ([0.0, 6.0, 0.0],), {"axes": (0,), "keepdim": False}),
            EdgePoint(([2.0, 0.0, 0.0],), ([0.0, 0.0, 0.0],), {"axes": (0,), "keepdim": False}),
            EdgePoint(([0.0],), ([1.0],), {"axes": (0,), "keepdim": False}),
        ],
    )
)


def _of_the_others(K: Any, x: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """For every element, the product over ``axes`` of all before it times that of all after it: exact where elements are zero."""
    order = (*axes, *(d for d in range(len(shape)) if d not in axes))
    rows = K.reshape(K.permute(x, dims=order), shape=(math.prod([shape[a] for a in axes]), *[shape[d] for d in order[len(axes) :]]))
    before = K.shift(K.cumprod(rows, dim=0, reverse=False), dim=0, by=1, fill=1.0)
    after = K.shift(K.cumprod(rows, dim=0, reverse=True), dim=0, by=-1, fill=1.0)
    others = K.reshape(K.mul(before, after), shape=tuple(shape[d] for d in order))
    return K.permute(others, dims=tuple(int(i) for i in np.argsort(order)))


@public(
    _prod,
    samples=[
        Sample((Input((3, 4)),)),
        Sample((Input((3, 4)),), {"dim": 1, "keepdim": True}),
        Sample((Input((2, 3, 4)),), {"dim": -2}),
        Sample((Input((3, 4)),), {"dim": 0, "dtype": dtypes.float64}),
        EMPTY,
    ],
    reference=lambda x, dtype=None, **params: over_dim_reference(np.prod)(x, **params),
)
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The product of all elements, or along ``dim``. Integers and bools multiply as int64, unless ``dtype`` says otherwise.

    The gradient, the product of the other elements, is exact where elements are zero.
    """
    axes = axes_of(None, input.ndim, "prod") if dim is None else (normalize_dim(dim, input.ndim, "prod"),)[: input.ndim]
    return in_dtype(dtype, lambda x: _prod.call(x, axes=axes, keepdim=keepdim), input)
