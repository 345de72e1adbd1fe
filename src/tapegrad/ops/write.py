"""Overwriting a tensor, wholly or with an operation's result."""

from __future__ import annotations

from typing import Any

from .. import dtypes, inplace
from ..computation import broadcast_shape
from ..public import method
from ..registry import Op, as_tensor_input, register
from ..scalarops import elementwise_op
from ..tensor import Tensor, wrap
from .create import scalar
from .elementwise.basic import scaled

_copy = register(
    Op(
        "copy",
        ("self", "source"),
        lambda B, x, source: B.broadcast_to(source, x.shape),
        {"source": lambda K, g, source_shape, source_dtype: K.to(K.sum_to_size(g, size=source_shape), dtype=dtypes.FROM_NUMPY[source_dtype])},
        method=False,
    )
)


@method
def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Overwrite with the elements of ``src``, broadcast and cast to this tensor's dtype; returns the tensor."""
    source = as_tensor_input(src, "copy_", "src")
    if isinstance(self, Tensor) and broadcast_shape("copy_", [self._array.shape, source._array.shape]) != self._array.shape:
        raise RuntimeError(f"copy_: src of shape {tuple(source.shape)} can't be broadcast to shape {tuple(self.shape)}")
    return inplace.write(_copy, self, (source,), {}, cast=True)


@method
def zero_(self: Tensor) -> Tensor:
    """Overwrite with zeros; returns the tensor."""
    return fill_(self, 0)


@method
def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite with a number (or 0-d tensor); returns the tensor.

    Raises:
        RuntimeError: for a number that the dtype can't hold, and a tensor that has dimensions.
    """
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"fill_: the value must be a number or a 0-d tensor, it has shape {tuple(value.shape)}; use copy_()")
    source = value if isinstance(value, Tensor) else wrap(scalar("fill_", value, self._array.dtype))
    return copy_(self, source)


@method
def add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Add ``alpha * other`` in place; returns the tensor."""
    return inplace.elementwise_(elementwise_op("add"), self, other if alpha == 1 else scaled("add_", self, other, alpha))


@method
def sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Subtract ``alpha * other`` in place; returns the tensor."""
    return inplace.elementwise_(elementwise_op("sub"), self, other if alpha == 1 else scaled("sub_", self, other, alpha))


@method
def clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Limit values to [min, max] in place; returns the tensor.

    Raises:
        RuntimeError: when both bounds are None.
    """
    if min is None and max is None:
        raise RuntimeError("clamp_: at least one of min and max must be given")
    if min is not None:
        inplace.elementwise_(elementwise_op("clamp_min"), self, min)
    return self if max is None else inplace.elementwise_(elementwise_op("clamp_max"), self, max)
