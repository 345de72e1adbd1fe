"""What functions over windows of an image share: their arguments, one per axis, and the checks of shapes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ...tensor import Tensor

Sizes = int | Sequence[int]


def per_axis(value: Any, dims: int, name: str, what: str, least: int | None = None) -> tuple[int, ...]:
    """A number for all axes, or one for each, as a tuple.

    Raises:
        TypeError: when they are not integers.
        RuntimeError: for another number of them, or one below ``least``.
    """
    if value.__class__ is int and (least is None or value >= least):  # the usual case
        return (value,) * dims
    try:
        found = tuple(map(operator.index, value)) if isinstance(value, (tuple, list)) else (operator.index(value),)
    except TypeError:
        raise TypeError(f"{name}: {what} must be an integer or {dims} integers, got {value!r}") from None
    if len(found) == 1:
        found *= dims
    if len(found) != dims:
        raise RuntimeError(f"{name}: {what} must be an integer or {dims} integers, got {value!r}")
    if least is not None and min(found) < least:
        raise RuntimeError(f"{name}: {what} must be at least {least}, got {value!r}")
    return found


def space_of(input: Tensor, dims: int, name: str) -> tuple[int, ...]:
    """The sizes of the last ``dims`` dimensions, which have channels, and perhaps a batch, before them.

    Raises:
        RuntimeError: for another number of dimensions, or no elements in one other than the batch.
    """
    shape: tuple[int, ...] = input._array.shape
    if len(shape) not in (dims + 1, dims + 2) or 0 in shape[len(shape) - dims - 1 :]:
        raise RuntimeError(f"{name}: expected an input (channels, {_axes(dims)}) or (batch, channels, {_axes(dims)}) with elements, got shape {shape}")
    return shape[len(shape) - dims :]


def _axes(dims: int) -> str:
    return ", ".join(("depth", "height", "width")[3 - dims :]) if dims > 1 else "length"


def pooled_size(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
    name: str,
) -> tuple[int, ...]:
    """The number of windows along each axis; with ``ceil_mode`` also a last one that is cut off, if it begins inside.

    Raises:
        RuntimeError: when padding is more than half a window, a window is larger than the input, or one has only padding in it.
    """
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1) + 1
        if p > span // 2:
            raise RuntimeError(f"{name}: padding must be at most half of the window, got padding {p} for {span} elements")
        count = (n + 2 * p - span + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        if count < 1:
            raise RuntimeError(f"{name}: a window of {span} elements is larger than the input of sizes {size} with padding {padding}")
        if d > 1 and any(not any(0 <= i * s - p + j * d < n for j in range(k)) for i in (0, count - 1)):
            raise RuntimeError(f"{name}: a window with dilation {d} and padding {p} has no element of the input of sizes {size}")
        out.append(count)
    return tuple(out)
