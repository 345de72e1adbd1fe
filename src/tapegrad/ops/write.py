"""Overwriting a tensor, wholly or with an operation's result."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes, expr, inplace
from ..computation import Computation, broadcast_shape
from ..device import apart, backend
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
    """Overwrite with the elements of ``src``, broadcast and cast to this tensor's dtype; returns the tensor.

    From another device they are copied; ``non_blocking`` means what it does to :meth:`to`.
    """
    memory = inplace.untaped_memory(self, src)
    array = None if memory is None else inplace.plain_array(memory, src)
    if array is not None and array.shape == memory.shape:
        memory[...] = array
        self._storage.wrote("copy_")
        return self
    source = as_tensor_input(src, "copy_", "src")
    if isinstance(self, Tensor) and apart(source._array, self._array):
        return copy_(self, source.to(self.device, non_blocking=non_blocking and self.is_cuda))
    if isinstance(self, Tensor) and broadcast_shape("copy_", [self._array.shape, source._array.shape]) != self._array.shape:
        raise RuntimeError(f"copy_: src of shape {tuple(source.shape)} can't be broadcast to shape {tuple(self.shape)}")
    return _overwrite(self, source, "copy_")


def _overwrite(self: Tensor, source: Tensor, name: str) -> Tensor:
    if apart(source._array, self._array):  # a 0-d tensor
        source = source.to(self.device)
    return inplace.write(_copy, self, (source,), {}, cast=True, name=name)


@method
def zero_(self: Tensor) -> Tensor:
    """Overwrite with zeros; returns the tensor."""
    memory = inplace.untaped_memory(self)
    if memory is None:
        return _overwrite(self, wrap(backend(self._array).number(np.zeros((), self._array.dtype), self._array)), "zero_")
    memory.fill(0)
    self._storage.wrote("zero_")
    return self


@method
def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite with a number (or 0-d tensor); returns the tensor.

    Raises:
        RuntimeError: for a number that the dtype can't hold, and a tensor that has dimensions.
    """
    if value.__class__ is float or value.__class__ is int:
        memory = inplace.untaped_memory(self)
        if memory is not None and dtypes.surely_fits(value, memory.dtype):
            memory.fill(value)
            self._storage.wrote("fill_")
            return self
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"fill_: the value must be a number or a 0-d tensor, it has shape {tuple(value.shape)}; use copy_()")
    source = value if isinstance(value, Tensor) else wrap(backend(self._array).number(scalar("fill_", value, self._array.dtype), self._array))
    return _overwrite(self, source, "fill_")


_terms = ("input", "other", "alpha")
_sum_of_scaled = [expr.trace(lambda input, other, alpha: input + other * alpha, _terms, ())]
_ADD_SCALED = Computation("add_", _terms, (_sum_of_scaled, _sum_of_scaled), (), "promote")


def _add_scaled_quickly(self: Tensor, other: Any, alpha: Any, name: str) -> bool:
    """Add ``alpha * other`` in one pass, with the same rounding as in two, where the tape has nothing to see; else False."""
    memory, factor = inplace.untaped_memory(self, other), float(alpha)
    added = None if memory is None else inplace.plain_array(memory, other)
    if added is None or not dtypes.surely_fits(alpha, memory.dtype):
        return False
    if added.shape != memory.shape or (added is not memory and np.may_share_memory(added, memory)):
        return False
    if _ADD_SCALED.fast_into.call(memory, added, factor, memory) is None:
        _ADD_SCALED.general((memory, added, factor), out=memory)
    self._storage.wrote(name)
    return True


@method
def add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Add ``alpha * other`` in place; returns the tensor."""
    if alpha.__class__ is float and _add_scaled_quickly(self, other, alpha, "add_"):
        return self
    return inplace.elementwise_(elementwise_op("add"), self, other if alpha == 1 else scaled("add_", self, other, alpha))


@method
def sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Subtract ``alpha * other`` in place; returns the tensor."""
    if alpha.__class__ is float and _add_scaled_quickly(self, other, -alpha, "sub_"):
        return self
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
        if isinstance(max, Tensor) and isinstance(self, Tensor) and np.may_share_memory(max._array, self._array):
            max = max.clone()  # the lower bound is about to be written
        inplace.elementwise_(elementwise_op("clamp_min"), self, min)
    return self if max is None else inplace.elementwise_(elementwise_op("clamp_max"), self, max)
