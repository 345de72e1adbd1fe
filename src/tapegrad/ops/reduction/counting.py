"""Truth over dimensions: whether any or all elements are not zero, and how many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import dtypes
from ...public import public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..shape.copy import to_dtype
from .reduce import EMPTY, Dims, axes_of, over_axes, over_axes_reference, over_dim, over_dim_reference

__all__ = ["all", "any", "count_nonzero"]


def _truth(name: str, reference: Callable[..., Any]) -> Op:
    return register(
        Op(
            name,
            ("input",),
            lambda B, x, *, axes, keepdim: getattr(B, f"{name}_nonzero")(x, axes, keepdim),
            batch="reduce",
            dtype="bool",
            samples=[*over_axes(), Sample((Input((0, 3)),), {"axes": (0,), "keepdim": False})],
            reference=over_axes_reference(reference),
            error_inputs=[ErrorInput(lambda tg: getattr(tg.ones(2, 3), name)(2), IndexError, f"{name}: dimension 2 is out of range")],
        )
    )


_any, _all = _truth("any", np.any), _truth("all", np.all)
_SAMPLES = [Sample((Input((3, 4), 0, 2, "int"),), {"dim": 1}), *over_dim(), EMPTY]


def _as_pytorch(input: Tensor, result: Tensor) -> Tensor:
    return to_dtype(result, dtypes.uint8) if input.dtype is dtypes.uint8 else result  # PyTorch's older mask type stays itself


@public(_any, samples=_SAMPLES, reference=over_dim_reference(np.any), differentiable=False)
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether any element over ``dim`` (one or several; all by default) is not 0: bool, of a uint8 tensor uint8.

    NaN is not 0. Over no elements False.
    """
    params = {"axes": axes_of(dim, input.ndim, "any"), "keepdim": keepdim}
    return _as_pytorch(input, _any.call(input, **params))


@public(_all, samples=_SAMPLES, reference=over_dim_reference(np.all), differentiable=False)
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over ``dim`` (one or several; all by default) are not 0: bool, of a uint8 tensor uint8.

    NaN is not 0. Over no elements True.
    """
    params = {"axes": axes_of(dim, input.ndim, "all"), "keepdim": keepdim}
    return _as_pytorch(input, _all.call(input, **params))


_count_nonzero = register(
    Op(
        "count_nonzero",
        ("input",),
        lambda B, x, *, axes: B.count_nonzero(x, axes),
        batch="reduce",
        dtype="int64",
        samples=[Sample(s.inputs, {"axes": s.params["axes"]}) for s in over_axes() if not s.params["keepdim"]],
        reference=lambda x, axes: np.sum(x != 0, axis=axes),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).count_nonzero(2), IndexError, "count_nonzero: dimension 2 is out of range")],
    )
)


@public(
    _count_nonzero,
    samples=[Sample((Input((3, 4), 0, 2, "int"),), {"dim": (0, -1)}), Sample((Input((3, 4)),)), Sample((Input((2, 3)),), {"dim": -1}), EMPTY],
    reference=over_dim_reference(lambda x, axis, keepdims: np.sum(x != 0, axis=axis)),
    differentiable=False,
)
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements over ``dim`` (one or several; all by default) are not 0; int64."""
    return _count_nonzero.call(input, axes=axes_of(dim, input.ndim, "count_nonzero"))  # type: ignore[no-any-return]
