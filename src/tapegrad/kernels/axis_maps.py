"""Which elements along an axis make each element of a result: pooling windows, padding, interpolation.

An :class:`Axis` says so in a few numbers, and :func:`table` works it out. Resampling in several dimensions is one of these per
axis, one after the other; that is as good as windows with corners, and costs the sum of their sizes instead of the product.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_Array = np.ndarray[Any, Any]


class Axis(NamedTuple):
    """From ``size`` elements to ``out`` elements; ``kind`` is the name of a function below, ``options`` are its further arguments."""

    kind: str
    size: int
    out: int
    options: tuple[Any, ...] = ()


class Table(NamedTuple):
    """Row i: result i is the sum of ``weight[i, k] * x[index[i, k]]`` over k < ``count[i]``, divided by ``divisor[i]``.

    Beyond its count, a row repeats its last index. Without weights they are one.
    """

    index: _Array  # type: ignore[assignment]  # hides tuple's methods, which nobody needs
    count: _Array  # type: ignore[assignment]
    weight: _Array | None
    divisor: _Array | None


@functools.lru_cache(maxsize=512)
def table(axis: Axis, wide: bool = True, transposed: bool = False) -> Table:
    """The table of an axis, or of the transposed map (whose divisor belongs to its input).

    ``wide``: positions are computed in float64 as PyTorch does for float64, else in float32 as for the narrower ones, since
    which element is the nearest one may depend on it.
    """
    real = np.float64 if wide else np.float32
    made = _KINDS[axis.kind](axis.size, axis.out, real, *axis.options)
    return _transposed(made, axis.size) if transposed else made


def _packed(index: _Array, valid: _Array, weight: _Array | None = None, divisor: _Array | None = None) -> Table:
    """A table of the entries that are valid, those of a row moved to its front."""
    count = valid.sum(1)
    order = np.argsort(~valid, axis=1, kind="stable")
    order = np.take_along_axis(order, np.minimum(np.arange(index.shape[1]), np.maximum(count - 1, 0)[:, None]), 1)
    order = order[:, : int(count.max(initial=0))]
    index = np.where(count[:, None] > 0, np.take_along_axis(index, order, 1), 0)
    return Table(index, count, None if weight is None else np.take_along_axis(weight, order, 1), divisor)


def _transposed(t: Table, size: int) -> Table:
    entries = np.arange(t.index.shape[1]) < t.count[:, None]
    source = t.index[entries]
    order = np.argsort(source, kind="stable")
    count = np.bincount(source, minlength=size)
    slot = np.arange(len(source)) - (np.cumsum(count) - count)[source[order]]
    at = (source[order], slot)
    index = np.zeros((size, int(count.max(initial=0))), np.int64)
    index[at] = np.nonzero(entries)[0][order]
    valid = np.arange(index.shape[1]) < count[:, None]
    weight = None
    if t.weight is not None:
        weight = np.zeros(index.shape, t.weight.dtype)
        weight[at] = t.weight[entries][order]
    return _packed(index, valid, weight, t.divisor)


# -------------------------------------------------------------------------------------------------------------- windows


def _window(size: int, out: int, real: Any, kernel: int, stride: int, before: int, dilation: int, divide: str) -> Table:
    """Pooling; what is divided by: "" nothing, "inside" the elements of the window, "padded" also padding in it."""
    start = np.arange(out)[:, None] * stride - before
    index = start + np.arange(kernel) * dilation
    valid = (index >= 0) & (index < size)
    divisor = None
    if divide == "inside":
        divisor = valid.sum(1)
    elif divide == "padded":
        divisor = (np.minimum(start + kernel, size + before) - start)[:, 0]
    return _packed(index, valid, None, divisor)


def _adaptive(size: int, out: int, real: Any, mean: bool) -> Table:
    """Windows of nearly equal size that cover everything: from floor(i * size / out) to ceil((i + 1) * size / out)."""
    i = np.arange(out)
    start, stop = i * size // out, -((i + 1) * size // -out)
    index = start[:, None] + np.arange(int((stop - start).max(initial=0)))
    return _packed(index, index < stop[:, None], None, stop - start if mean else None)


# -------------------------------------------------------------------------------------------------------------- padding


def _reflect(size: int, out: int, real: Any, before: int) -> Table:
    i = np.abs(np.arange(out) - before)
    return _single(size - 1 - np.abs(size - 1 - i))


def _replicate(size: int, out: int, real: Any, before: int) -> Table:
    return _single(np.clip(np.arange(out) - before, 0, size - 1))


def _circular(size: int, out: int, real: Any, before: int) -> Table:
    """Of what is left when negative numbers have cut elements off."""
    cut = max(-before, 0)
    return _single(cut + (np.arange(out) - max(before, 0)) % (size - cut + min(out - size - before, 0)))


def _single(index: _Array) -> Table:
    return Table(index[:, None], np.ones(len(index), np.int64), None, None)


# -------------------------------------------------------------------------------------------------------- interpolation


def _scale(size: int, out: int, real: Any, align_corners: bool, factor: float | None) -> Any:
    """Elements of the input per element of the output."""
    if align_corners:
        return real(size - 1) / real(out - 1) if out > 1 else real(0)
    return real(1.0 / factor) if factor else real(size) / real(max(out, 1))


def _source(size: int, out: int, real: Any, align_corners: bool, factor: float | None) -> _Array:
    """Where the elements of the output lie in the input."""
    scale, i = _scale(size, out, real, align_corners, factor), np.arange(out).astype(real)
    return np.asarray(scale * i if align_corners else scale * (i + real(0.5)) - real(0.5))


def _nearest(size: int, out: int, real: Any, exact: bool, factor: float | None) -> Table:
    i = np.arange(out).astype(real)
    at = (i + real(0.5) if exact else i) * _scale(size, out, real, False, factor)
    return _single(np.minimum(np.floor(at.astype(np.float32)).astype(np.int64), size - 1))


def _linear(size: int, out: int, real: Any, align_corners: bool, factor: float | None) -> Table:
    at = np.arange(out).astype(real) if size == out else np.maximum(_source(size, out, real, align_corners, factor), 0)
    first = np.minimum(at.astype(np.int64), size - 1)
    second = np.clip(at - first.astype(real), 0, 1)
    return _weighted(np.stack([first, np.minimum(first + 1, size - 1)], 1), np.stack([1 - second, second], 1))


def _cubic(size: int, out: int, real: Any, align_corners: bool, factor: float | None) -> Table:
    at = _source(size, out, real, align_corners, factor)
    first = np.minimum(np.floor(at).astype(np.int64), size - 1)
    t = np.clip(at - first.astype(real), 0, 1)[:, None]
    distance = np.abs(np.array([-1, 0, 1, 2], real) - t)
    return _weighted(np.clip(first[:, None] + np.arange(-1, 3), 0, size - 1), cubic(distance, -0.75))


def _antialiased(size: int, out: int, real: Any, align_corners: bool, factor: float | None, order: int) -> Table:
    """Triangles or cubics, as wide as the output's step where that is more than one element of the input; as in Pillow."""
    scale = _scale(size, out, real, align_corners, factor)
    widening = max(scale, real(1))
    support = (2 if order == 3 else 1) * widening
    centre = scale * (np.arange(out).astype(real) + real(0.5))
    start = np.maximum((centre - support + real(0.5)).astype(np.int64), 0)
    stop = np.minimum((centre + support + real(0.5)).astype(np.int64), size)
    index = start[:, None] + np.arange(int((stop - start).max(initial=0)))
    distance = np.abs((index.astype(real) - centre[:, None] + real(0.5)) / widening)
    weight = cubic(distance, -0.5) if order == 3 else np.maximum(1 - distance, 0)
    weight = np.where(index < stop[:, None], weight, 0)
    return _weighted(index, weight / weight.sum(1, keepdims=True))


def cubic(distance: _Array, a: float) -> _Array:
    """Keys' cubic convolution kernel with parameter ``a`` (1981, https://doi.org/10.1109/TASSP.1981.1163711)."""
    d = distance
    near = (((a + 2) * d - 1) * d - 1) * (d - 1)  # in factors, so that nothing cancels at the zeros
    far = a * (d - 1) * (d - 2) * (d - 2)
    return np.where(d <= 1, near, np.where(d < 2, far, 0)).astype(d.dtype)


def _weighted(index: _Array, weight: _Array) -> Table:
    """A table without the entries of weight 0, so that an infinity next to what is picked does not turn it into NaN."""
    return _packed(index, weight != 0, weight)


_KINDS: dict[str, Callable[..., Table]] = {
    "window": _window,
    "adaptive": _adaptive,
    "reflect": _reflect,
    "replicate": _replicate,
    "circular": _circular,
    "nearest": _nearest,
    "linear": _linear,
    "cubic": _cubic,
    "antialiased": _antialiased,
}
