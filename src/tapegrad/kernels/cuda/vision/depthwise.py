"""Convolution where each channel has windows of its own: direct kernels, unrolled for the window.

A thread computes a few results below each other, whose windows share rows, and threads next to each other compute neighbours. The
gradient of a weight is summed by a block for each channel and share of the positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, empty
from ..context import blocks_for
from ..elements import stored
from ..kernel import family, from_text
from .conv_tables import Pads, Sizes
from .conv_tile import accumulated, decoded, scope_of
from .windows import is_wide, three

_MOST = 64  # elements of a window
_BELOW = 4  # results of a thread
_WARP = 32


def fits(kernel: Sizes, dtype: np.dtype[Any]) -> bool:
    """Whether windows are small enough to be unrolled."""
    return math.prod(kernel) <= _MOST and dtype.kind != "c"


@family(
    threads=256, dtype=("float32",), kernel=((1, 3, 3),), stride=((1, 1, 1), (1, 2, 2)), dilation=((1, 1, 1),), biased=(True,), flipped=(False,),
    below=(4,), wide=(False,),
)  # fmt: skip
def direct(
    dtype: str, kernel: Sizes, stride: Sizes, dilation: Sizes, biased: bool, flipped: bool, below: int, wide: bool
) -> tuple[Callable[..., Any], str]:
    """(N, C, *S), (O, 1, *K) -> (N, O, *T), all with three axes.

    Args:
        dtype: of all arrays.
        kernel, stride, dilation: of the windows.
        biased: whether a bias is added.
        flipped: whether windows are mirrored along all axes.
        below: results of a thread, in neighbouring rows.
        wide: whether places need 64 bits.
    """
    scope = scope_of(dtype, wide)
    made = from_text(_direct(kernel, stride, dilation, biased, flipped, below), scope, "depthwise convolution")
    element = f"{stored(dtype)}*"
    return made, f"{element} {element} {element} {element} {'int64 ' * 13}"


def _direct(kernel: Sizes, stride: Sizes, dilation: Sizes, biased: bool, flipped: bool, below: int) -> str:
    lines = [
        "size_d, size_h, size_w, OD, OH, OW = I(size_d), I(size_h), I(size_w), I(out_d), I(out_h), I(out_w)",
        f"strips = I(quotient(OH + {below - 1}, I({below})))",
        "i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))",
        "while i < I(n):",
    ]
    body = [
        "over_w = I(quotient(i, OW))",
        "w = I(i - over_w * OW)",
        "over_h = I(quotient(over_w, strips))",
        f"h = I((over_w - over_h * strips) * {below})",
        "plane = I(quotient(over_h, OD))",
        "d = I(over_h - plane * OD)",
        "image = I(quotient(plane, I(out_channels)))",
        "channel = I(plane - image * I(out_channels))",
        "source = I((image * I(channels) + quotient(channel, I(times))) * size_d * size_h * size_w)",
        f"weights = I(channel * {math.prod(kernel)})",
        f"from_d = I(d * {stride[0]} - I(before_d))",
        f"from_h = I(h * {stride[1]} - I(before_h))",
        f"from_w = I(w * {stride[2]} - I(before_w))",
    ]
    body += [f"at{c} = I(from_w + {c * dilation[2]}); in{c} = (at{c} >= 0) & (at{c} < size_w)" for c in range(kernel[2])]
    body += ["start = T(get(bias[channel]))" if biased else "start = T(0)", *[f"sum{r} = start" for r in range(below)]]
    rows = sorted({r * stride[1] + b * dilation[1] for r in range(below) for b in range(kernel[1])})
    for a in range(kernel[0]):
        body += [f"depth = I(from_d + {a * dilation[0]})", "in_depth = (depth >= 0) & (depth < size_d)"]
        for b in range(kernel[1]):
            for c in range(kernel[2]):
                at = (a * kernel[1] + b) * kernel[2] + c
                at = math.prod(kernel) - 1 - at if flipped else at
                body.append(f"w{b}_{c} = T(get(weight[I(weights + {at})]))")
        for row in rows:
            body += [f"y = I(from_h + {row})", "fits = in_depth & (y >= 0) & (y < size_h)", "line = I(source + (depth * size_h + y) * size_w)"]
            users = [(r, b) for r in range(below) for b in range(kernel[1]) if r * stride[1] + b * dilation[1] == row]
            for c in range(kernel[2]):
                body += ["v = T(0)", f"if fits & in{c}:", f"    v = T(get(x[I(line + at{c})]))"]
                body += [f"sum{r} += v * w{b}_{c}" for r, b in users]
    body += ["to = I(((plane * OD + d) * OH + h) * OW + w)"]
    for r in range(below):
        body += [f"if h + {r} < OH:", f"    out[I(to + {r} * OW)] = put(sum{r})"]
    body += ["i = I(i + I(cuda.gridDim.x) * I(cuda.blockDim.x))"]
    lines += ["    " + line for line in body]
    parameters = "n, channels, out_channels, times, size_d, size_h, size_w, out_d, out_h, out_w, before_d, before_h, before_w"
    return f"def kernel(x, weight, bias, out, {parameters}):\n" + "".join(f"    {line}\n" for line in lines)


def convolution(
    x: CudaArray, weight: CudaArray, bias: CudaArray | None, out: CudaArray, stride: Sizes, padding: Pads, dilation: Sizes, flipped: bool = False
) -> None:
    """Write the convolution (N, C, *S), (O, 1, *K), (O,) -> (N, O, *T) to ``out``."""
    kernel = three(weight.shape[2:], 1)
    sizes, outs = three(x.shape[2:], 1), three(out.shape[2:], 1)
    below = 1 if outs[1] == 1 else _BELOW if math.prod(kernel) <= 25 else 2
    threads = out.size // outs[1] * -(-outs[1] // below)
    wide = is_wide(x, out)
    made = direct(x.dtype.name, kernel, three(stride, 1), three(dilation, 1), bias is not None, flipped, below, wide)
    numbers = (threads, x.shape[1], out.shape[1], out.shape[1] // x.shape[1], *sizes, *outs, *three([p[0] for p in padding], 0))
    made.launch(blocks_for(threads, L.BLOCK, 16), L.BLOCK, x, weight, bias, out, *numbers)


@family(
    threads=256, dtype=("bfloat16",), kernel=((1, 3, 3), (1, 7, 7)), stride=((1, 1, 1),), dilation=((1, 1, 1),), parts=(True,), wide=(False,)
)
def summed(dtype: str, kernel: Sizes, stride: Sizes, dilation: Sizes, parts: bool, wide: bool) -> tuple[Callable[..., Any], str]:
    """The gradient of a weight (O, 1, *K) for results (N, O, *T) and images (N, C, *S). Grid: shares, channels of the results.

    Args:
        dtype: of all arrays.
        kernel, stride, dilation: of the windows.
        parts: whether the result has a weight for each share, in the dtype of the sums.
        wide: whether places need 64 bits.
    """
    scope = scope_of(dtype, wide)
    if parts:
        scope["put"] = scope["T"]
    made = from_text(_summed(kernel, stride, dilation), scope, "depthwise convolution")
    element = f"{stored(dtype)}*"
    return made, f"{element} {element} {accumulated(dtype) + '*' if parts else element} {'int64 ' * 14}"


def _summed(kernel: Sizes, stride: Sizes, dilation: Sizes) -> str:
    taps = math.prod(kernel)
    warps = L.BLOCK // _WARP
    lines = [
        f"shared = cuda.shared.array({warps * taps}, T)",
        "size_d, size_h, size_w, in_image, OH, OW = I(size_d), I(size_h), I(size_w), I(in_image), I(out_h), I(out_w)",
        "t = int32(cuda.threadIdx.x)",
        "lane = int32(t % 32)",
        "warp = int32(t // 32)",
        "channel = int64(cuda.blockIdx.y)",
        "while channel < out_channels:",
    ]
    body = [
        "source_channel = quotient(channel, int64(times))",
        *[f"sum{k} = T(0)" for k in range(taps)],
        "p = int64(cuda.blockIdx.x) * chunk + t",
        "last = min(positions, (int64(cuda.blockIdx.x) + 1) * chunk)",
        "while p < last:",
    ]
    inner = [
        "n = I(quotient(I(p), in_image))",
        "j = I(I(p) - n * in_image)",
        *decoded(3, "j", "i", "out"),
        "value = T(get(g[I((n * I(out_channels) + I(channel)) * in_image + j)]))",
        "source = I((n * I(channels) + I(source_channel)) * size_d * size_h * size_w)",
        *[f"from_{axis} = I(i_{axis} * {s} - I(before_{axis}))" for axis, s in zip("dhw", stride, strict=True)],
    ]
    inner += [f"at{c} = I(from_w + {c * dilation[2]}); in{c} = (at{c} >= 0) & (at{c} < size_w)" for c in range(kernel[2])]
    for a in range(kernel[0]):
        inner += [f"depth = I(from_d + {a * dilation[0]})", "in_depth = (depth >= 0) & (depth < size_d)"]
        for b in range(kernel[1]):
            inner += [f"y = I(from_h + {b * dilation[1]})", "fits = in_depth & (y >= 0) & (y < size_h)", "line = I(source + (depth * size_h + y) * size_w)"]
            for c in range(kernel[2]):
                k = (a * kernel[1] + b) * kernel[2] + c
                inner += [f"if fits & in{c}:", f"    sum{k} += value * T(get(x[I(line + at{c})]))"]
    inner += [f"p += {L.BLOCK}"]
    body += ["    " + line for line in inner]
    for k in range(taps):
        body += [f"sum{k} += cuda.shfl_down_sync(0xFFFFFFFF, sum{k}, {by})" for by in (16, 8, 4, 2, 1)]
    body += ["if lane == 0:", *[f"    shared[warp * {taps} + {k}] = sum{k}" for k in range(taps)], "cuda.syncthreads()"]
    body += [f"if t < {taps}:", "    total = T(0)", f"    for k in range({warps}):", f"        total += shared[k * {taps} + t]"]
    body += [f"    out[(int64(cuda.blockIdx.x) * out_channels + channel) * {taps} + t] = put(total)", "cuda.syncthreads()"]
    body += ["channel += int64(cuda.gridDim.y)"]
    lines += ["    " + line for line in body]
    parameters = "positions, in_image, chunk, channels, out_channels, times, size_d, size_h, size_w, out_h, out_w, before_d, before_h, before_w"
    return f"def kernel(g, x, out, {parameters}):\n" + "".join(f"    {line}\n" for line in lines)


def convolution_weight(g: CudaArray, x: CudaArray, shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> CudaArray:
    """The gradient of a weight of ``shape`` (O, 1, *K), from (N, O, *T) and (N, C, *S)."""
    from .conv import added_parts, shares

    out = empty(shape, g.dtype)
    dtype, channels, in_image = g.dtype.name, g.shape[1], math.prod(g.shape[2:])
    positions = g.shape[0] * in_image
    count = shares(positions, channels, out.size * out.itemsize)
    chunk = -(-positions // count)
    count = -(-positions // chunk)
    parts = empty((count, out.size), np.dtype(accumulated(dtype))) if count > 1 else out
    wide = is_wide(x, g)
    made = summed(dtype, three(shape[2:], 1), three(stride, 1), three(dilation, 1), count > 1, wide)
    sizes, outs = three(x.shape[2:], 1), three(g.shape[2:], 1)
    numbers = (positions, in_image, chunk, x.shape[1], channels, channels // x.shape[1], *sizes, *outs[1:], *three([p[0] for p in padding], 0))
    made.launch((count, min(channels, 65535)), L.BLOCK, g, x, parts, *numbers)
    return added_parts(parts, out) if count > 1 else out
