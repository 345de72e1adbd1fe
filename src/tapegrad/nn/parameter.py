"""Tensors that a module owns and an optimizer trains."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..tensor import Tensor, init


class Parameter(Tensor):
    """A tensor that a :class:`Module` registers as its parameter when it is assigned to an attribute.

    It shares the memory of ``data`` (a tensor; an empty one by default) and requires grad unless told otherwise, also
    when it is made inside ``no_grad()``.

    Raises:
        TypeError: when ``data`` is not a tensor.
        RuntimeError: when it should require grad and its dtype is not floating-point or complex.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        if data is None:
            init(self, np.empty(0, dtypes.get_default_dtype().numpy))
        elif isinstance(data, Tensor):
            init(self, data._array, storage=data._storage)
        else:
            raise TypeError(
                f"Parameter expects a Tensor, got {type(data).__name__}; wrap the data in tapegrad.tensor(...)"
            )
        if requires_grad:
            self.requires_grad_()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        # A field-by-field copy would keep the original's place in the graph, and its gradients would flow there.
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        copied: Parameter = memo[id(self)]
        return copied

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
