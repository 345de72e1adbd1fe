"""Kernels that update many tensors in one launch: the steps of optimizers.

A kernel is generated from the body of one element's update (see ``expr.emit``). Tensors are cut into chunks of ``CHUNK`` elements, which
blocks take one after the other, so that they share the work evenly whatever the tensors' sizes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..body import Body
from . import language as L, scalars
from .address import address_of
from .array import CudaArray, empty, to_device
from .context import blocks_for, context, on_device
from .kernel import Kernel, from_text

CHUNK = 256 if L.SIMULATED else 4096
_WIDEST = 16  # bytes that a thread reads at a time
_WORD = np.dtype(np.int64)


class Update(NamedTuple):
    """The kernels that update tensors: where all of them lie at multiples of 16 bytes, and elsewhere."""

    vectors: Kernel
    single: Kernel


class Updated:
    """Tensors whose elements are updated together, as a kernel finds them.

    Args:
        groups: of each tensor the arrays that are written, C-contiguous, all of one size; of several tensors the same kinds.
    """

    def __init__(self, groups: Sequence[Sequence[CudaArray]]) -> None:
        first = groups[0][0]
        self.dtype = np.dtype("float64" if first.dtype.char in "dD" else "float32")
        self.device = first.device
        sizes = [arrays[0].size * (2 if arrays[0].dtype.kind == "c" else 1) for arrays in groups]
        addresses = [a.address for arrays in groups for a in arrays]
        chunks = [(t, start) for t, size in enumerate(sizes) for start in range(0, size, CHUNK)]
        self.chunks = len(chunks)
        self.aligned = not any(address % _WIDEST for address in addresses)
        with self._here():
            self._chunks, self._sizes, self._written = (to_device(np.array(words, _WORD)) for words in (chunks or [(0, 0)], sizes, addresses))
            self._grads = empty((len(groups),), _WORD)
        self._known: list[int] = []  # the gradients' addresses that the device has

    def _here(self) -> Any:
        if context.device == self.device:
            return contextlib.nullcontext()
        return on_device(self.device)

    def launch(self, kernel: Update, *operands: Any) -> None:
        """Run a kernel that :func:`update_kernel` made on numbers (arrays of one element of the host), then each tensor's gradient."""
        count = len(operands) - self._grads.size
        number = self.dtype.type
        grads = list(map(address_of, operands[count:]))
        if not self.chunks:
            return
        with self._here():
            if grads != self._known:
                words = np.array(grads, _WORD)
                context.driver.copy(self.device, context.stream, self._grads.address, words.ctypes.data, words.nbytes, "to device")
                self._known = grads
            chosen = kernel.vectors if self.aligned and not any(address % _WIDEST for address in grads) else kernel.single
            numbers = [number(o.item()) for o in operands[:count]]
            blocks = blocks_for(self.chunks, 1)
            chosen.launch(blocks, L.BLOCK, self._chunks, self._sizes, self._written, self._grads, self.chunks, *numbers)


def update_kernel(body: Body, written: Sequence[int], numbers: int, dtype: np.dtype[Any]) -> Update:
    """What updates tensors.

    Args:
        body: of one element: its inputs are the gradient, the arrays of each tensor, and the numbers; its results go to arrays.
        written: the places among the arrays that the results go to.
        numbers: how many.
        dtype: float32 or float64, of all arrays.
    """
    made = [_kernel(*update_source(body, written, numbers, dtype.name, width), dtype.name) for width in (_WIDEST // dtype.itemsize, 1)]
    return Update(*made)


@functools.cache
def _kernel(source: str, signature: str, dtype: str) -> Kernel:
    def make() -> tuple[Any, str]:
        scope = L.words() | scalars.functions(dtype) | {"device": L.device}
        return from_text(source, scope, "optimizer"), signature

    return Kernel("optimizer\n" + source, make, L.BLOCK, key=f"{signature}\n{source}")


def update_source(body: Body, written: Sequence[int], numbers: int, dtype: str, width: int) -> tuple[str, str]:
    """The Python that Numba compiles, and the types of its parameters: tables of chunks (tensor, first element), of the tensors' sizes, of the
    addresses of their arrays and of their gradients; the number of chunks; the numbers."""
    count = len(body.inputs) - 1 - numbers
    scalars_ = [f"s{k}" for k in range(numbers)]
    out = [f"# {dtype}, width {width}", "@device", f"def element({', '.join(body.inputs)}):", *[f"    {line}" for line in body.lines]]
    out += [f"    return {', '.join(body.results)}{',' if len(body.results) == 1 else ''}", ""]
    out += [f"def kernel({', '.join(['chunks', 'sizes', 'addresses', 'grads', 'n', *scalars_])}):", "    c = int64(cuda.blockIdx.x)"]
    out += ["    while c < n:", "        t, start = chunks[2 * c], chunks[2 * c + 1]", f"        stop = min(start + int64({CHUNK}), sizes[t])"]
    out += [f"        g = pointer_to_{dtype}(grads[t])"] + [f"        p{k} = pointer_to_{dtype}(addresses[{count} * t + {k}])" for k in range(count)]
    if width > 1:
        out += [f"        i = start + int64(cuda.threadIdx.x) * {width}", f"        while i + {width} <= stop:", f"            vg = load{width}(g, i)"]
        out += [f"            v{k} = load{width}(p{k}, i)" for k in range(count)]
        for j in range(width):
            out += [f"            r{j} = element({', '.join([f'vg[{j}]', *[f'v{k}[{j}]' for k in range(count)], *scalars_])})"]
        for o, k in enumerate(written):
            out += [f"            store{width}(p{k}, i, ({', '.join(f'T(r{j}[{o}])' for j in range(width))}))"]
        out += [f"            i += int64(cuda.blockDim.x) * {width}", f"        i = stop - (stop - start) % {width} + int64(cuda.threadIdx.x)"]
    else:
        out += ["        i = start + int64(cuda.threadIdx.x)"]
    out += ["        while i < stop:", f"            r = element({', '.join(['g[i]', *[f'p{k}[i]' for k in range(count)], *scalars_])})"]
    out += [f"            p{k}[i] = T(r[{o}])" for o, k in enumerate(written)]
    out += ["            i += int64(cuda.blockDim.x)", "        c += int64(cuda.gridDim.x)"]
    return "\n".join(out) + "\n", " ".join(["int64*"] * 4 + ["int64"] + [dtype] * numbers)
