"""Plain definitions of convolution, pooling, padding and interpolation, one element at a time: what tests compare with."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np


def _tuple(value: Any, dims: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims


def _pairs(value: Any, dims: int) -> list[tuple[int, int]]:
    return [p if isinstance(p, tuple) else (p, p) for p in _tuple(value, dims)]


# ---------------------------------------------------------------------------------------------------------- convolution


def _products(space: Any, channels: int, w: Any, groups: int) -> Any:
    """(output channel, output place, input channel, weight's channel, kernel place) of every product."""
    for o in range(w.shape[0]):
        for c in range(w.shape[1]):
            for t in np.ndindex(*space):
                for k in np.ndindex(*w.shape[2:]):
                    yield o, t, o // (w.shape[0] // groups) * w.shape[1] + c, c, k


def _place(t: Any, k: Any, stride: Any, padding: Any, dilation: Any, size: Any) -> Any:
    """Where kernel place k of window t lies in the input; None in the padding."""
    at = tuple(i * s - p[0] + j * d for i, j, s, p, d in zip(t, k, stride, padding, dilation, strict=True))
    return at if all(0 <= a < n for a, n in zip(at, size, strict=True)) else None


def convolution(x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    size, kernel = x.shape[2:], w.shape[2:]
    space = [(n + sum(p) - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(size, padding, dilation, kernel, stride, strict=True)]
    out = np.zeros((x.shape[0], w.shape[0], *space), x.dtype)
    for o, t, i, c, k in _products(space, x.shape[1], w, groups):
        at = _place(t, k, stride, padding, dilation, size)
        if at is not None:
            out[(slice(None), o, *t)] += x[(slice(None), i, *at)] * w[(o, c, *k)]
    return out if b is None else out + b.reshape(-1, *[1] * len(size))


def convolution_input(g: Any, w: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    out = np.zeros((g.shape[0], w.shape[1] * groups, *size), g.dtype)
    for o, t, i, c, k in _products(g.shape[2:], out.shape[1], w, groups):
        at = _place(t, k, stride, padding, dilation, size)
        if at is not None:
            out[(slice(None), i, *at)] += g[(slice(None), o, *t)] * w[(o, c, *k)]
    return out


def convolution_weight(g: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    out = np.zeros((g.shape[1], x.shape[1] // groups, *kernel), g.dtype)
    for o, t, i, c, k in _products(g.shape[2:], x.shape[1], out, groups):
        at = _place(t, k, stride, padding, dilation, x.shape[2:])
        if at is not None:
            out[(o, c, *k)] += (g[(slice(None), o, *t)] * x[(slice(None), i, *at)]).sum()
    return out


def conv(x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """As conv1d, conv2d and conv3d."""
    dims = w.ndim - 2
    if x.ndim == dims + 1:
        return conv(x[None], w, b, stride, padding, dilation, groups)[0]
    dilation = _tuple(dilation, dims)
    if padding in ("same", "valid"):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, w.shape[2:], strict=True)]
        padding = tuple((n // 2, n - n // 2) for n in total)
    return convolution(x, w, b, _tuple(stride, dims), _pairs(padding, dims), dilation, groups)


def conv_transpose(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1
) -> Any:
    """As conv_transpose1d, conv_transpose2d and conv_transpose3d."""
    dims = w.ndim - 2
    if x.ndim == dims + 1:
        return conv_transpose(x[None], w, b, stride, padding, output_padding, groups, dilation)[0]
    stride, padding, dilation, extra = (_tuple(v, dims) for v in (stride, padding, dilation, output_padding))
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, w.shape[2:], extra, strict=True)
    ]
    out = convolution_input(x, w, size, stride, _pairs(padding, dims), dilation, groups)
    return out if b is None else out + b.reshape(-1, *[1] * dims)


def im2col(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    lead, size = x.shape[:-2], x.shape[-2:]
    space = [(n + sum(p) - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(size, padding, dilation, kernel, stride, strict=True)]
    out = np.zeros((*lead, *kernel, *space), x.dtype)
    for k in np.ndindex(*kernel):
        for t in np.ndindex(*space):
            at = _place(t, k, stride, padding, dilation, size)
            if at is not None:
                out[(..., *k, *t)] = x[(..., *at)]
    return out.reshape(*lead[:-1], lead[-1] * math.prod(kernel), math.prod(space))


def col2im(g: Any, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """By what a transpose is: the sum over unit images."""
    channels = g.shape[-2] // math.prod(kernel)
    out = np.zeros((*g.shape[:-2], channels, *size), g.dtype)
    places: Any = itertools.product(range(channels), *map(range, size))
    for at in places:
        unit = np.zeros((channels, *size))
        unit[at] = 1
        out[(..., *at)] = (g * im2col(unit, kernel, stride, padding, dilation)).sum((-2, -1))
    return out


def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    return im2col(x, _tuple(kernel_size, 2), _tuple(stride, 2), _pairs(padding, 2), _tuple(dilation, 2))


def fold(x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    size = _tuple(output_size, 2)
    return col2im(x, size, _tuple(kernel_size, 2), _tuple(stride, 2), _pairs(padding, 2), _tuple(dilation, 2))


# -------------------------------------------------------------------------------------------------------------- pooling


def _windows(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> list[list[int]]:
    """The places in each window along an axis, those in padding among them."""
    span = d * (k - 1) + 1  # with ceil_mode, windows go on until one reaches the end
    starts = [i for i in range(-p, n, s) if (i == -p or i - s + span < n + p if ceil_mode else i + span <= n + p)]
    return [[start + d * j for j in range(k)] for start in starts]


def _pooled(x: Any, windows: Any, reduce: Any) -> Any:
    """``reduce(elements (..., count), places)`` of each window; (places along each axis) per window."""
    size = x.shape[x.ndim - len(windows) :]
    lead = x.shape[: x.ndim - len(windows)]
    first = None
    for t in np.ndindex(*map(len, windows)):
        places = list(itertools.product(*[w[i] for w, i in zip(windows, t, strict=True)]))
        kept = [at for at in places if all(0 <= a < n for a, n in zip(at, size, strict=True))]
        value = reduce(np.stack([x[(..., *at)] for at in kept], -1), kept, places)
        if first is None:
            first = np.zeros((*lead, *map(len, windows)), value.dtype)
        first[(..., *t)] = value
    return first


def _maximum(x: Any, windows: Any, return_indices: bool) -> Any:
    size = x.shape[x.ndim - len(windows) :]
    values = _pooled(x, windows, lambda elements, kept, places: elements.max(-1))
    indices = _pooled(x, windows, lambda elements, kept, places: np.array([np.ravel_multi_index(k, size) for k in kept])[elements.argmax(-1)])
    return (values, indices) if return_indices else values


def max_pool(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, *, dims: int,
) -> Any:  # fmt: skip
    kernel, padding, dilation = (_tuple(v, dims) for v in (kernel_size, padding, dilation))
    stride = kernel if stride is None else _tuple(stride, dims)
    windows = [_windows(*a, ceil_mode) for a in zip(x.shape[-dims:], kernel, stride, padding, dilation, strict=True)]
    return _maximum(x, windows, return_indices)


def avg_pool(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: Any = None, *, dims: int,
) -> Any:  # fmt: skip
    kernel, padding = _tuple(kernel_size, dims), _tuple(padding, dims)
    stride = kernel if stride is None else _tuple(stride, dims)
    size = x.shape[-dims:]
    windows = [_windows(*a, 1, ceil_mode) for a in zip(size, kernel, stride, padding, strict=True)]

    def mean(elements: Any, kept: Any, places: Any) -> Any:
        count = sum(all(a < n + p for a, n, p in zip(at, size, padding, strict=True)) for at in places)
        return elements.sum(-1) / (divisor_override or (count if count_include_pad else len(kept)))

    return _pooled(x, windows, mean)


def lp_pool(x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False, *, dims: int) -> Any:
    """Windows that are cut off count as if their mean were over all their places."""
    kernel = _tuple(kernel_size, dims)
    mean = avg_pool(x**norm_type, kernel, stride, 0, ceil_mode, dims=dims)
    return np.maximum(mean * math.prod(kernel), 0) ** (1 / norm_type)


def _adaptive_windows(size: Any, output_size: Any) -> list[list[list[int]]]:
    out = [n if t is None else t for n, t in zip(size, _tuple(output_size, len(size)), strict=True)]
    return [[list(range(math.floor(i * n / t), math.ceil((i + 1) * n / t))) for i in range(t)] for n, t in zip(size, out, strict=True)]


def adaptive_avg_pool(x: Any, output_size: Any, *, dims: int) -> Any:
    return _pooled(x, _adaptive_windows(x.shape[-dims:], output_size), lambda elements, kept, places: elements.mean(-1))


def adaptive_max_pool(x: Any, output_size: Any, return_indices: bool = False, *, dims: int) -> Any:
    return _maximum(x, _adaptive_windows(x.shape[-dims:], output_size), return_indices)


def fractional_max_pool(x: Any, samples: Any, kernel: Any, size: Any) -> Any:
    values = np.zeros((*x.shape[: samples.ndim - 1], *size), x.dtype)
    indices = np.zeros(values.shape, np.int64)
    for plane in np.ndindex(*samples.shape[:-1]):
        windows = []
        for n, k, t, u in zip(x.shape[samples.ndim - 1 :], kernel, size, samples[plane], strict=True):
            step = (n - k) / (t - 1) if t > 1 else 0.0
            starts = [int((i + u) * step) - int(u * step) for i in range(t - 1)] + [n - k]
            windows.append([list(range(s, s + k)) for s in starts])
        values[plane], indices[plane] = _maximum(x[plane], windows, True)
    return values, indices


def fractional_max_pool_nd(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False, _random_samples: Any = None,
    *, dims: int,
) -> Any:  # fmt: skip
    size = output_size or [int(n * r) for n, r in zip(input.shape[-dims:], _tuple(output_ratio, dims), strict=True)]
    samples = _random_samples.reshape(*input.shape[:-dims], dims)
    found = fractional_max_pool(input, samples[..., ::-1] if dims == 2 else samples, _tuple(kernel_size, dims), size)
    return found if return_indices else found[0]


def max_pool_backward(g: Any, places: Any, size: Any, dims: int) -> Any:
    out = np.zeros(size, g.dtype)
    planes = out.reshape(-1, math.prod(size[len(size) - dims :]))
    for plane, values, at in zip(planes, g.reshape(len(planes), -1), places.reshape(len(planes), -1), strict=True):
        np.add.at(plane, at, values)
    return out


def max_pool_of_maps(x: Any, maps: Any) -> Any:
    """The operation max_pool, whose windows are given by the names and numbers of its parameters."""
    windows = []
    for m in maps:
        if m.kind == "window":
            kernel, stride, before, dilation, _ = m.options
            windows.append([[i * stride - before + j * dilation for j in range(kernel)] for i in range(m.out)])
        else:
            windows += _adaptive_windows((m.size,), m.out)
    return _maximum(x, windows, True)


def max_unpool(x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None, *, dims: int) -> Any:
    kernel, padding = _tuple(kernel_size, dims), _tuple(padding, dims)
    stride = kernel if stride is None else _tuple(stride, dims)
    size = [(n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[-dims:], stride, padding, kernel, strict=True)]
    out = np.zeros((*x.shape[:-dims], *(size if output_size is None else output_size[-dims:])), x.dtype)
    for plane in np.ndindex(*x.shape[:-dims]):
        for t in np.ndindex(*x.shape[-dims:]):
            out[plane].flat[indices[plane + t]] = x[plane + t]
    return out


max_pool1d, max_pool2d, max_pool3d = (functools.partial(max_pool, dims=d) for d in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (functools.partial(avg_pool, dims=d) for d in (1, 2, 3))
lp_pool1d, lp_pool2d, lp_pool3d = (functools.partial(lp_pool, dims=d) for d in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (functools.partial(adaptive_avg_pool, dims=d) for d in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (functools.partial(adaptive_max_pool, dims=d) for d in (1, 2, 3))
fractional_max_pool2d, fractional_max_pool3d = (functools.partial(fractional_max_pool_nd, dims=d) for d in (2, 3))
max_unpool1d, max_unpool2d, max_unpool3d = (functools.partial(max_unpool, dims=d) for d in (1, 2, 3))


# --------------------------------------------------------------------------------------------- padding and interpolation


def pad(x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    options = {"constant_values": value or 0} if mode == "constant" else {}
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, x.shape, strict=True))]
    grown = [(max(a, 0), max(b, 0)) for a, b in pairs]
    return np.pad(x, grown, {"replicate": "edge", "circular": "wrap"}.get(mode, mode), **options)  # type: ignore[call-overload]


def pad_constant(x: Any, pads: Any, value: Any) -> Any:
    return pad(x, [n for pair in pads[::-1] for n in pair], "constant", value)


def _keys(d: float, a: float = -0.75) -> float:
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d - 1) * (d - 2) ** 2 if d < 2 else 0.0


def _antialiased_matrix(kind: str, n: int, t: int, align_corners: bool, factor: Any) -> Any:
    step = (n - 1) / (t - 1) if align_corners else 1 / factor if factor else n / t
    out = np.zeros((t, n))
    for i in range(t):
        for j in range(n):
            d = (j + 0.5 - step * (i + 0.5)) / max(step, 1)
            out[i, j] = _keys(d, -0.5) if kind == "cubic" else max(1 - abs(d), 0)
    return out / out.sum(1, keepdims=True)


def _axis_matrix(kind: str, n: int, t: int, align_corners: bool, factor: Any) -> Any:
    """Interpolation along one axis as a matrix (t, n)."""
    step = (n - 1) / (t - 1) if align_corners and t > 1 else 0.0 if align_corners else 1 / factor if factor else n / t
    at = np.array([i * step if align_corners else (i + 0.5) * step - 0.5 for i in range(t)])
    if kind == "linear":
        return np.stack([np.interp(at, np.arange(n), unit) for unit in np.eye(n)], 1)
    if kind == "cubic":
        out = np.zeros((t, n))
        for i, a in enumerate(at):
            for j in range(math.floor(a) - 1, math.floor(a) + 3):
                out[i, min(max(j, 0), n - 1)] += _keys(a - j)
        return out
    picked = [min(math.floor((i + 0.5) * step if kind == "nearest-exact" else i * step), n - 1) for i in range(t)]
    return np.eye(n)[picked]


def _transformed(x: Any, matrices: Any) -> Any:
    for axis, m in enumerate(matrices, x.ndim - len(matrices)):
        if m is not None:
            x = np.moveaxis(np.tensordot(x, m, ([axis], [1])), -1, axis)
    return x


def interpolate(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None,
    recompute_scale_factor: Any = None, antialias: bool = False,
) -> Any:  # fmt: skip
    dims = x.ndim - 2
    factors = (None,) * dims if scale_factor is None else _tuple(scale_factor, dims)
    sizes = [math.floor(n * f) for n, f in zip(x.shape[2:], factors, strict=True)] if size is None else _tuple(size, dims)
    if recompute_scale_factor:
        factors = (None,) * dims
    if mode == "area":
        return adaptive_avg_pool(x, tuple(sizes), dims=dims)
    kind = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    matrix = _antialiased_matrix if antialias else _axis_matrix
    return _transformed(x, [matrix(kind, n, t, bool(align_corners), f) for n, t, f in zip(x.shape[2:], sizes, factors, strict=True)])


def upsample_bilinear(x: Any, size: Any = None, scale_factor: Any = None) -> Any:
    return interpolate(x, size, scale_factor, mode="bilinear", align_corners=True)


def resample(x: Any, maps: Any, transposed: bool) -> Any:
    """The operation of the same name, by dense matrices."""
    matrices: list[Any] = []
    for m in maps:
        if m is None:
            matrices.append(None)
            continue
        unit = np.eye(m.size)
        if m.kind == "linear":
            matrix = _axis_matrix("linear", m.size, m.out, *m.options)
        elif m.kind == "reflect":
            matrix = np.pad(unit, ((0, 0), (m.options[0], m.out - m.size - m.options[0])), "reflect").T
        elif m.kind == "adaptive":
            matrix = adaptive_avg_pool(unit, m.out, dims=1).T
        else:
            matrix = avg_pool(unit, *m.options[:3], dims=1).T
        matrices.append(matrix.T if transposed else matrix)
    return _transformed(x, matrices)


# ------------------------------------------------------------------------------------------------------------- sampling


def _led_back(at: float, n: int, padding_mode: str, align_corners: bool) -> float:
    if padding_mode == "reflection":
        low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
        if low == high:
            return 0.0
        period = 2 * (high - low)
        at = low + abs((at - high) % period - (high - low))
    return at if padding_mode == "zeros" else min(max(at, 0.0), n - 1.0)


def _taps(at: float, n: int, mode: str, padding_mode: str, align_corners: bool) -> list[tuple[int, float]]:
    if mode == "bicubic":
        near = range(math.floor(at) - 1, math.floor(at) + 3)
        return [(round(_led_back(j, n, padding_mode, align_corners)), _keys(at - j)) for j in near]
    at = _led_back(at, n, padding_mode, align_corners)
    if mode == "nearest":
        return [(round(at), 1.0)]
    return [(math.floor(at) + k, 1 - abs(math.floor(at) + k - at)) for k in (0, 1)]


def grid_sample(x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: Any = None) -> Any:
    size = x.shape[2:]
    out = np.zeros((x.shape[0], x.shape[1], *grid.shape[1:-1]), x.dtype)
    for i, *t in np.ndindex(*grid.shape[:-1]):
        places = [(g + 1) / 2 * (n - 1) if align_corners else ((g + 1) * n - 1) / 2 for g, n in zip(grid[(i, *t)][::-1], size, strict=True)]
        axes = [_taps(at, n, mode, padding_mode, bool(align_corners)) for at, n in zip(places, size, strict=True)]
        for corner in itertools.product(*axes):
            at = [index for index, _ in corner]
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                out[(i, slice(None), *t)] += x[(i, slice(None), *at)] * math.prod(w for _, w in corner)
    return out


def affine_grid(theta: Any, size: Any, align_corners: Any = None) -> Any:
    out = np.zeros((size[0], *size[2:], len(size) - 2), theta.dtype)
    for i, *t in np.ndindex(*out.shape[:-1]):
        place = [0.0 if n == 1 else 2 * k / (n - 1) - 1 if align_corners else (2 * k + 1) / n - 1 for k, n in zip(t, size[2:], strict=True)]
        out[(i, *t)] = theta[i] @ np.array([*place[::-1], 1.0])
    return out
