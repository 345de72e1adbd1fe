"""Elementwise operations that ran before: what operands of a kind need is written down as a plan, by which native code does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..body import Body
from . import language as L
from .array import CudaArray
from .context import context
from .elementwise import planned
from .launching import FLOAT32, FLOAT64, WORD
from .planned import Parameter, kernel_words, key_here, plans_of, result_words
from .recording import KERNEL, Launch
from .replay import ARGUMENT, FLOAT_AS_32, FLOAT_AS_64, INT, INT_AS_32, INT_AS_64, MEMORY, MOST_PARAMETERS, MOST_TAKEN

_FLOATS = {("f", 4, float): FLOAT_AS_32, ("f", 4, int): INT_AS_32, ("f", 8, float): FLOAT_AS_64, ("f", 8, int): INT_AS_64}


class Quick:
    """The plans of an operation: ``call(*operands)`` returns the output, or a tuple of them, and None where there is no plan.

    Numbers are Python's. With ``given``, the last operand is the array that the result is written to.
    """

    def __init__(self, inputs: int, given: bool = False) -> None:
        self._numbers = (1 << inputs) - 1
        self._plans = plans_of(self._numbers)
        self._given = given
        self.call: Callable[..., Any] = self._plans.quick()

    def learn(self, body: Body, operands: Sequence[Any], outputs: Sequence[CudaArray], compute: np.dtype[Any]) -> None:
        """Plan for operands like these; see ``elementwise.run``."""
        args = (*operands, *outputs) if self._given else tuple(operands)
        key = key_here(args, self._numbers) if self._plans.wanted() and outputs[0].size else None
        if key is None or len(outputs) > MOST_TAKEN:
            return
        plan = planned(body, operands, outputs, compute)
        parameters: list[Parameter] = []
        for i, x in enumerate(operands):
            found = [(ARGUMENT, i, 0)] if x.__class__ is CudaArray else _number(i, x, compute)
            if found is None:
                return
            parameters += found
        first = len(operands)
        parameters += [(ARGUMENT, first + k, 0) if self._given else (MEMORY, k, 0) for k in range(len(outputs))]
        parameters += [(WORD, n, 0) for n in plan.numbers]
        pieces = [] if self._given else [id(x if x.base is None else x.base) for x in outputs]
        results = [result_words(x, args, pieces) for x in outputs]
        if len(parameters) > MOST_PARAMETERS or None in results:
            return
        launch = Launch(KERNEL, plan.kernel, plan.kernel.handle_on(context.device), (*plan.blocks, L.BLOCK, 1, 1, 0), ())
        words = [x.nbytes for x in outputs[: len(pieces)]] + kernel_words(launch, parameters)
        for result in results:
            words += result or []
        kept = [plan.kernel, *[x.dtype for x in (*args, *outputs) if x.__class__ is CudaArray]]
        self._plans.add(key, [len(pieces), len(outputs), 1, 0, 0], words, kept)


def _number(i: int, value: Any, compute: np.dtype[Any]) -> list[Parameter] | None:
    """A number's parameters; None for one that the dtype does not take as it is."""
    if compute.kind in "bui":
        return [(INT, i, 0)] if value.__class__ is int else None
    kind = "f" if compute.kind in "fc" else compute.name
    size = compute.itemsize // 2 if compute.kind == "c" else max(compute.itemsize, 4)
    how = _FLOATS.get(("f" if kind == "bfloat16" else kind, size, value.__class__))
    if how is None:
        return None
    zero: Parameter = (FLOAT32 if size == 4 else FLOAT64, 0, 0)
    return [(how, i, 0), *([zero] if compute.kind == "c" else [])]
