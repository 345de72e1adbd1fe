"""Kernels that update many tensors in one launch: the steps of optimizers, and the counting of steps.

A kernel is generated from the body of one element's update (see ``expr.emit``). It runs over the elements of all tensors, one
after the other, so threads share them evenly whatever their sizes; an element's result depends on nothing around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..body import Body
from ..native import cache, runtime
from ..native.call import launcher

Array = np.ndarray[Any, Any]
GRAIN = 8192  # elements below which one thread is faster: an update often takes a root and a quotient


class Updated:
    """Tensors whose elements are updated together, as a kernel finds them.

    Args:
        groups: of each tensor the arrays that are written, C-contiguous, all of one size; of several tensors the same kinds.

    Attributes:
        total: how many elements the tensors have.
        table: the number of tensors, where each begins among all elements, the total, and each one's addresses.
    """

    def __init__(self, groups: Sequence[Sequence[Array]]) -> None:
        begins = [0]
        for arrays in groups:
            begins.append(begins[-1] + arrays[0].size * (2 if arrays[0].dtype.kind == "c" else 1))
        self.total = begins[-1]
        self.table = np.array([len(groups), *begins, *(a.ctypes.data for arrays in groups for a in arrays)], np.int64)
        self.dtype = np.dtype("float64" if groups[0][0].dtype.char in "dD" else "float32")
        if self.total > GRAIN:
            runtime.start_threads()

    def launch(self, kernel: int, *operands: Array) -> None:
        """Run a kernel that :func:`update_kernel` made on numbers, then each tensor's gradient; what follows is kept by a recording."""
        launcher()(kernel, self.total, GRAIN, self.table, *operands)


def update_kernel(body: Body, written: Sequence[int], numbers: int, dtype: np.dtype[Any]) -> int:
    """The address of the kernel that updates tensors.

    Slots: a table of :class:`Updated`, ``numbers`` float64 numbers, then each tensor's gradient.

    Args:
        body: of one element: its inputs are the gradient, the arrays of each tensor, and the numbers; its results go to arrays.
        written: the places among the arrays that the results go to.
        numbers: how many.
        dtype: float32 or float64, of all arrays.
    """
    source = _source(body, written, numbers, dtype.name)

    def build() -> Any:
        from ..native import abi
        from .vmath import functions as vmath

        scope: dict[str, Any] = vmath.functions(dtype.name)
        scope |= {"P": abi.POINTERS[dtype.name], "I": abi.POINTERS["int64"], "N": abi.POINTERS["float64"]}
        exec(compile(source, "<tapegrad optimizer kernel>", "exec"), scope)
        return scope["kernel"]

    return cache.native(source, build)


def _source(body: Body, written: Sequence[int], numbers: int, dtype: str) -> str:
    grad, *names = body.inputs
    arrays, scalars = names[: len(names) - numbers], names[len(names) - numbers :]
    out = [f"# {dtype}", "def kernel(slots, start, stop):", "    table = I(slots[0])", "    count = table[0]"]
    out += [f"    {name} = T(N(slots[{k}])[0])" for k, name in enumerate(scalars, 1)]
    out += ["    tensor, beyond = 0, count", "    while beyond - tensor > 1:", "        middle = (tensor + beyond) // 2"]
    out += ["        if table[1 + middle] <= start:", "            tensor = middle", "        else:", "            beyond = middle"]
    out += ["    while start < stop:", "        begin, end = table[1 + tensor], min(stop, table[2 + tensor])"]
    out += [f"        p = P(slots[{1 + numbers} + tensor])", f"        at = 2 + count + {len(arrays)} * tensor"]
    out += [f"        p{k} = P(table[at + {k}])" for k in range(len(arrays))]
    out += ["        for i in range(start - begin, end - begin):", f"            {grad} = p[i]"]
    out += [f"            {name} = p{k}[i]" for k, name in enumerate(arrays)]
    out += [f"            {line}" for line in body.lines]
    out += [f"            p{k}[i] = {result}" for k, result in zip(written, body.results, strict=True)]
    out += ["        start = end", "        tensor += 1"]
    return "\n".join(out) + "\n"


class Counters:
    """Counters in memory of their own, each a 0-d array, float32 or float64, that advance together."""

    def __init__(self, counters: Sequence[Array]) -> None:
        self._addresses = np.array([c.ctypes.data for c in counters], np.int64)
        self._reached = np.zeros(2)
        self._kernel = _count_kernel(counters[0].dtype.name)

    def advance(self) -> float | None:
        """Add one to all and return what they have reached; None, and nothing is done, unless they agree."""
        launcher()(self._kernel, len(self._addresses), len(self._addresses), self._addresses, self._reached)
        low, high = self._reached.tolist()
        return low + 1 if low == high else None


def _count_kernel(dtype: str) -> int:
    def build() -> Any:
        from ..native.abi import POINTERS

        word, number, element = POINTERS["int64"], POINTERS["float64"], POINTERS[dtype]

        def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
            addresses, reached = word(slots[0]), number(slots[1])
            low = high = element(addresses[start])[0]
            for i in range(start, stop):
                low, high = min(low, element(addresses[i])[0]), max(high, element(addresses[i])[0])
            reached[0], reached[1] = low, high
            if low == high:
                for i in range(start, stop):
                    element(addresses[i])[0] = low + 1

        return kernel

    return cache.native(f"count:{dtype}", build)
