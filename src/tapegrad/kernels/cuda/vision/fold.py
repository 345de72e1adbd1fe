"""Windows as columns and back. Shapes: images (..., C, *S), columns (..., C * prod(K), prod(T)); see ``conv`` for the rest."""

from __future__ import annotations

import math
from typing import Any

from .. import language as L
from ..array import CudaArray, contiguous, empty, strided
from ..context import blocks_for
from ..elements import stored, to_computed, to_stored, type_of
from ..kernel import family
from ..language import cuda, int32, int64, quotient
from .conv import windows_along
from .conv_tables import Pads, Sizes
from .resample import pad_constant
from .windows import is_wide, three


def im2col(x: CudaArray, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> CudaArray:
    """The windows of (..., C, *S) as columns: (..., C * prod(K), prod(T))."""
    dims = len(kernel)
    lead, size = x.shape[: x.ndim - dims - 1], x.shape[x.ndim - dims :]
    space = windows_along(size, kernel, stride, padding, dilation)
    pads = [(before, max(after, 0)) for before, after in padding]
    within = pad_constant(x, [(0, 0)] * (x.ndim - dims) + pads, 0) if any(map(any, pads)) else x
    steps = within.strides[x.ndim - dims :]
    strides = (*within.strides[: x.ndim - dims], *[d * b for d, b in zip(dilation, steps, strict=True)])
    strides += tuple([s * b for s, b in zip(stride, steps, strict=True)])
    shape = (*x.shape[: x.ndim - dims], *kernel, *space)
    columns = strided(within, shape, strides, False)
    return columns.copy().reshape(*lead, x.shape[len(lead)] * math.prod(kernel), math.prod(space))  # type: ignore[no-any-return]


@family(threads=256, dtype=("float32", "bfloat16", "int64"), wide=(False,))
def added_windows(dtype: str, wide: bool) -> Any:
    """For each element the sum of what windows have for it, in the order of places in a window."""
    I, get, put = int64 if wide else int32, to_computed(dtype), to_stored(dtype)
    T = type_of(dtype)

    def kernel(  # type: ignore[no-untyped-def]
        g, out, n, size_d, size_h, size_w, window_d, window_h, window_w, count_d, count_h, count_w, step_d, step_h, step_w, before_d, before_h, before_w,
        next_d, next_h, next_w,
    ):  # fmt: skip
        i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))
        while i < I(n):
            rest = I(quotient(i, I(size_w)))
            w = I(i - rest * I(size_w))
            above = I(quotient(rest, I(size_h)))
            h = I(rest - above * I(size_h))
            plane = I(quotient(above, I(size_d)))
            d = I(above - plane * I(size_d))
            total = T(0)
            for a in range(I(window_d)):
                at_d = I(d + I(before_d) - I(a) * I(next_d))
                q_d = I(quotient(max(at_d, I(0)), I(step_d)))
                if at_d >= 0 and q_d * I(step_d) == at_d and q_d < I(count_d):
                    for b in range(I(window_h)):
                        at_h = I(h + I(before_h) - I(b) * I(next_h))
                        q_h = I(quotient(max(at_h, I(0)), I(step_h)))
                        if at_h >= 0 and q_h * I(step_h) == at_h and q_h < I(count_h):
                            for c in range(I(window_w)):
                                at_w = I(w + I(before_w) - I(c) * I(next_w))
                                q_w = I(quotient(max(at_w, I(0)), I(step_w)))
                                if at_w >= 0 and q_w * I(step_w) == at_w and q_w < I(count_w):
                                    row = I(((plane * I(window_d) + I(a)) * I(window_h) + I(b)) * I(window_w) + I(c))
                                    at = I(((row * I(count_d) + q_d) * I(count_h) + q_h) * I(count_w) + q_w)
                                    total = T(total + get(g[at]))
            out[i] = put(total)
            i = I(i + I(cuda.gridDim.x) * I(cuda.blockDim.x))

    return kernel, f"{stored(dtype)}* {stored(dtype)}* " + "int64 " * 19


def col2im(g: CudaArray, size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> CudaArray:
    """The transpose of :func:`im2col`: columns (..., C * prod(K), prod(T)) added up at their places in (..., C, *S)."""
    channels = g.shape[-2] // math.prod(kernel)
    space = windows_along(size, kernel, stride, padding, dilation)
    out = empty((*g.shape[:-2], channels, *size), g.dtype)
    if out.size:
        numbers = [three(v, 1) for v in (size, kernel, space, stride)] + [three([p[0] for p in padding], 0), three(dilation, 1)]
        made = added_windows(g.dtype.name, is_wide(g, out))
        made.launch(blocks_for(out.size, L.BLOCK, 32), L.BLOCK, contiguous(g), out, out.size, *[v for values in numbers for v in values])
    return out
