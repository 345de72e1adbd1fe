"""Elementwise operations that ran before: what operands of a kind need, worked out once, so that the host does little for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..body import Body
from . import language as L
from .address import address_of
from .array import CudaArray, empty
from .context import context
from .elementwise import numbers, planned


class Quick:
    """A kernel on operands of certain shapes, strides and dtypes: ``quick(operands)`` returns the output, or a tuple of them.

    None where an array lies elsewhere than those did that it was made for: on another device, or at an address that vectors begin
    elsewhere from. Numbers are Python's, as the operation got them.

    Args:
        body, operands, compute: as for ``elementwise.run``.
        outputs: arrays like those to make, or the one that results are written to.
    """

    __slots__ = ("blocks", "compute", "device", "loaded", "made", "numbers", "offsets")

    def __init__(self, body: Body, operands: Sequence[Any], outputs: Sequence[CudaArray], compute: np.dtype[Any]) -> None:
        plan = planned(body, operands, outputs, compute)
        self.made = [(a.shape[::-1] if a.flags.fnc else a.shape, a.dtype, a.flags.fnc) for a in outputs]
        self.numbers, self.blocks, self.compute, self.device = plan.numbers, plan.blocks, compute, context.device
        self.offsets = [address_of(x) & _VECTOR if x.__class__ is CudaArray else 0 for x in (*operands, *outputs)]
        self.loaded = plan.kernel.loaded_on(self.device)

    def __call__(self, operands: Sequence[Any], out: CudaArray | None = None) -> Any:
        device = context.device
        if device != self.device:
            return None
        values: list[Any] = []
        for x, offset in zip(operands if out is None else (*operands, out), self.offsets):  # noqa: B905  # there may be outputs to make
            if x.__class__ is CudaArray:
                address = address_of(x)
                if address & _VECTOR != offset or x.device != device:
                    return None
                values.append(address)
            else:
                values += numbers(x, self.compute)
        result: Any = out
        if out is None:
            outputs = [empty(shape, dtype).T if column_major else empty(shape, dtype) for shape, dtype, column_major in self.made]
            values += map(address_of, outputs)
            result = outputs[0] if len(outputs) == 1 else tuple(outputs)
        context.driver.launch(device, context.stream, self.loaded, self.blocks, _BLOCK, 0, (*values, *self.numbers))
        return result


_VECTOR = 15  # of an address: where it lies in a vector of 16 bytes
_BLOCK = (L.BLOCK, 1, 1)
