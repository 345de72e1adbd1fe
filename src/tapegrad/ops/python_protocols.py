"""Python's own protocols: ``copy``, ``deepcopy``, pickling between processes, and ``in``."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..device import placed, to_device
from ..modes import values_leave
from ..storage import Storage
from ..tensor import Tensor, init
from .checks import read_values
from .elementwise.basic import eq


def contains(self: Tensor, element: Any) -> bool:
    """Whether an element equals this number (or tensor, broadcast)."""
    if not isinstance(element, (Tensor, bool, int, float, complex, np.generic)):
        raise TypeError(f"'in' looks for a number or a Tensor in a tensor, not for {type(element).__name__}")
    return bool(read_values(eq(self, element), "the operator in").any())


def copied(self: Tensor) -> Tensor:
    """``copy.copy``: the same memory under a new object; of a leaf, a new leaf."""
    made = init(type(self).__new__(type(self)), self._array, self._entry, self._storage, self._base)
    if self._entry is not None and self._entry.is_leaf:
        made._entry = None
        made.requires_grad_()
    made.__dict__.update(self.__dict__)
    return made


def deep_copied(self: Tensor, memo: dict[Any, Any]) -> Tensor:
    """``copy.deepcopy``: memory, gradient and attributes of its own, and a place of its own in the graph.

    Raises:
        RuntimeError: for a tensor that an operation made, since its history can't be copied.
    """
    if not self.is_leaf:
        raise RuntimeError("only leaf tensors can be deep-copied: this one was made by an operation; use .detach() or .clone()")
    if id(self) not in memo:
        values_leave("deepcopy()")
        storage = memo.setdefault(("storage", id(self._storage)), Storage())
        made = memo[id(self)] = init(type(self).__new__(type(self)), _copied_array(self._array, memo), None, storage)
        if self._entry is not None:
            made.requires_grad_()
        made._grad = copy.deepcopy(self._grad, memo)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    copied: Tensor = memo[id(self)]
    return copied


def _copied_array(array: Any, memo: dict[Any, Any]) -> Any:
    """A copy; of views of one array, views of one copy."""
    owner = array
    while type(owner.base) is np.ndarray:
        owner = owner.base
    if array.size == 0 or not (owner.flags.owndata and owner.flags.c_contiguous):
        return array.copy(order="K")
    key = ("memory", id(owner))
    if key not in memo:
        memo[key] = owner.copy()
    if owner is array:
        return memo[key]
    offset = array.ctypes.data - owner.ctypes.data
    return np.ndarray(array.shape, array.dtype, memo[key], offset, array.strides)


def reduced(self: Tensor, protocol: Any) -> Any:
    """For pickle, as multiprocessing uses it (checkpoints never do): type, array, whether it requires grad, attributes.

    Raises:
        RuntimeError: for a tensor that an operation made, since its history can't leave the process.
    """
    if not self.is_leaf:
        raise RuntimeError("only leaf tensors can be pickled: this one was made by an operation; use .detach()")
    where = str(self.device) if self.is_cuda else None
    return _unpickled, (type(self), read_values(self, "pickling"), self._entry is not None, self.__dict__, where)


def _unpickled(kind: type[Tensor], array: Any, requires_grad: bool, attributes: dict[str, Any], where: str | None = None) -> Tensor:
    made = init(kind.__new__(kind), array if where is None else placed(array, to_device(where)))
    made.__dict__.update(attributes)
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]
