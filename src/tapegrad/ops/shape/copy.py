"""Copies: the same elements in memory of their own, reordered, of another dtype, summed to a smaller shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes
from ...computation import broadcast_shape
from ...public import composite, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from .reshape import sizes

__all__ = ["clone"]


_clone = register(
    Op(
        "clone",
        ("input",),
        lambda B, x: B.copy(x),
        {"input": lambda K, g: g},
        samples=[Sample((Input((3, 4)),)), Sample((Input(()),))],
        reference=np.copy,
    )
)


@public(_clone, samples=[Sample((Input((3, 4)),))], reference=np.copy)
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with its own memory that gradients flow through."""
    return _clone.call(input)  # type: ignore[no-any-return]


@composite(samples=[Sample((Input((3, 4)),)), Sample((Input(()),))], reference=np.asarray)
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself when its memory is in row-major order, else a copy that is."""
    return self if self._array.flags.c_contiguous else clone(self)


_to = register(
    Op(
        "to",
        ("input",),
        lambda B, x, *, dtype: B.cast(x, dtype.numpy),
        {"input": lambda K, g, input_dtype: K.to(g, dtype=dtypes.FROM_NUMPY[input_dtype])},
        method=False,
        samples=[Sample((Input((3, 4)),), {"dtype": dtypes.float64}), Sample((Input(()),), {"dtype": dtypes.float64})],
        reference=lambda x, dtype: x.astype(dtype.numpy),
        kinds="bif",
    )
)


def to_dtype(input: Tensor, dtype: dtypes.dtype | str) -> Tensor:
    """The tensor in another dtype, given as what ``dtypes.to_dtype`` takes; itself when it has that dtype already."""
    wanted = dtypes.to_dtype(dtype)
    return input if input._array.dtype == wanted.numpy else _to.call(input, wanted)


_sum_to_size = register(
    Op(
        "sum_to_size",
        ("input",),
        lambda B, x, *, size: B.sum_to(x, size),
        {"input": lambda K, g, input_shape: K.expand(g, size=input_shape)},
        planned="sum_to",
        samples=[Sample((Input((3, 4)),), {"size": (4,)}), Sample((Input((2, 3, 4)),), {"size": (3, 1)}), Sample((Input((3,)),), {"size": ()})],
        reference=lambda x, size: x.sum(axis=tuple(range(x.ndim - len(size)))).sum(
            axis=tuple(i for i, n in enumerate(size) if n == 1), keepdims=True
        ),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).sum_to_size(2), RuntimeError, r"sum_to_size: .*\(2, 3\).*\(2,\)")],
        kinds="fc",
    )
)


@public(
    _sum_to_size,
    samples=[Sample((Input((2, 3, 4)),), arrange=lambda x: (x, 3, 1)), Sample((Input((3, 4)),), arrange=lambda x: (x, (4,)))],
    reference=lambda x, *size: x.sum(0) if size == ((4,),) else x.sum((0, 2))[:, None],
    kinds="fc",
)
def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Sum over the dimensions along which ``size`` would broadcast to the input's shape.

    Raises:
        RuntimeError: when it would not.
    """
    wanted = sizes(size)
    if broadcast_shape("sum_to_size", [tuple(input.shape), wanted]) != tuple(input.shape):
        raise RuntimeError(f"sum_to_size: size {list(wanted)} does not broadcast to shape {tuple(input.shape)}")
    if input.dtype.category < 2 and wanted != tuple(input.shape):  # as every sum of integers
        input = to_dtype(input, dtypes.int64)
    return _sum_to_size.call(input, wanted)  # type: ignore[no-any-return]
