"""Views of the same memory with other strides: sliding windows, and any strides at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...public import composite, method
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from .reshape import normalize_dim

__all__ = ["as_strided"]


def _windows(x: Any, dim: int, size: int, step: int) -> Any:
    starts = range(0, x.shape[dim] - size + 1, step)
    return np.stack([np.moveaxis(np.take(x, np.arange(s, s + size), dim), dim, -1) for s in starts], dim)


def _joined(g: Any, dim: int, step: int, size: tuple[int, ...]) -> Any:
    out = np.zeros(size, g.dtype)
    for k in range(g.shape[dim]):
        at = (slice(None),) * dim + (slice(k * step, k * step + g.shape[-1]),)
        out[at] += np.moveaxis(np.take(g, k, dim), -1, dim)
    return out


_unfold = register(
    Op(
        "windows",
        ("input",),
        lambda B, x, *, dim, size, step: B.windows(x, dim, size, step),
        {"input": lambda K, g, input_shape, dim, step: K.windows_backward(g, dim=dim, step=step, size=input_shape)},
        view=True,
        method=False,
        samples=[
            Sample((Input((7,)),), {"dim": 0, "size": 3, "step": 2}),
            Sample((Input((2, 5, 3)),), {"dim": 1, "size": 3, "step": 1}),
            Sample((Input((3, 4)),), {"dim": 1, "size": 1, "step": 3}),
            Sample((Input((3, 0)),), {"dim": 0, "size": 2, "step": 1}),
        ],
        reference=_windows,
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(3).unfold(0, 4, 1), RuntimeError, r"unfold: size 4 exceeds dimension 0 of shape \(3,\)"),
            ErrorInput(lambda tg: tg.ones(3).unfold(0, 2, 0), RuntimeError, "unfold: the step must be positive, got 0"),
        ],
    )
)

register(
    Op(
        "windows_backward",
        ("input",),
        lambda B, g, *, dim, step, size: B.add_windows(g, dim, step, size),
        {"input": lambda K, g, input_shape, dim, step: K.windows(g, dim=dim, size=input_shape[-1], step=step)},
        method=False,
        samples=[Sample((Input((2, 3, 3)),), {"dim": 1, "step": 1, "size": (2, 5)})],
        reference=_joined,
        kinds="ifc",
    )
)


@method
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """The view of all windows of ``size`` elements along a dimension, ``step`` apart: a new last dimension is what is inside one.

    Writing to windows that overlap is refused.

    Raises:
        RuntimeError: when a window does not fit, or the step is not positive.
    """
    at = normalize_dim(dimension, self.ndim, "unfold")
    n = self._array.shape[at] if self.ndim else 1
    if not 0 <= size <= n:
        raise RuntimeError(f"unfold: size {size} exceeds dimension {at} of shape {tuple(self.shape)}")
    if step <= 0:
        raise RuntimeError(f"unfold: the step must be positive, got {step}")
    if self.ndim == 0:
        return self.reshape(1).unfold(0, size, step)[0]
    return _unfold.call(self, dim=at, size=size, step=step)


# ------------------------------------------------------------------------------------------------------------ as_strided


def _strided_reference(x: Any, order: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    flat = np.transpose(x, order).ravel()
    return np.array([flat[offset + int(np.dot(i, stride))] for i in np.ndindex(*size)], x.dtype).reshape(size)


def _added(g: Any, order: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    flat = np.zeros(math.prod(size), g.dtype)
    for i in np.ndindex(*g.shape):
        flat[offset + int(np.dot(i, stride))] += g[i]
    return flat.reshape([size[d] for d in order]).transpose(np.argsort(order))


_as_strided = register(
    Op(
        "as_strided",
        ("input",),
        lambda B, x, *, order, size, stride, offset: B.strided(x, order, size, stride, offset),
        {
            "input": lambda K, g, input_shape, order, stride, offset: K.as_strided_backward(
                g, order=order, size=input_shape, stride=stride, offset=offset
            )
        },
        view=True,
        samples=[
            Sample((Input((3, 4)),), {"order": (0, 1), "size": (2, 3), "stride": (5, 1), "offset": 2}),
            Sample((Input((3, 4)),), {"order": (1, 0), "size": (3, 3), "stride": (1, 2), "offset": 0}),
            Sample((Input((5,)),), {"order": (0,), "size": (), "stride": (), "offset": 3}),
        ],
        reference=_strided_reference,
        error_inputs=[
            ErrorInput(
                lambda tg: tg.ones(2, 3).as_strided((2, 2), (4, 2)), RuntimeError, r"as_strided: size \[2, 2\], stride \[4, 2\] .* reach element 6 of 6"
            ),
            ErrorInput(lambda tg: tg.ones(3).as_strided((2,), (1, 1)), RuntimeError, r"as_strided: size \[2\] and stride \[1, 1\] must be as long"),
            ErrorInput(lambda tg: tg.ones(3).as_strided((2,), (-1,)), RuntimeError, "as_strided: .*must not be negative"),
        ],
    )
)

register(
    Op(
        "as_strided_backward",
        ("input",),
        lambda B, g, *, order, size, stride, offset: B.add_strided(g, order, size, stride, offset),
        {
            "input": lambda K, g, input_shape, order, stride, offset: K.as_strided(
                g, order=order, size=input_shape, stride=stride, offset=offset
            )
        },
        method=False,
        samples=[Sample((Input((2, 3)),), {"order": (1, 0), "size": (3, 4), "stride": (1, 2), "offset": 1})],
        reference=_added,
        kinds="ifc",
    )
)


def _memory_order(array: Any) -> tuple[int, ...] | None:
    """The order of axes in which an array's elements lie one after the other, or None where there are gaps or repeats."""
    order = tuple(sorted(range(array.ndim), key=lambda d: (-array.strides[d], d)))
    expected = array.itemsize
    for d in reversed(order):
        if array.shape[d] != 1:
            if array.strides[d] != expected:
                return None
            expected *= array.shape[d]
    return order


@composite(
    samples=[
        Sample((Input((1,)),), {"size": (2, 3), "stride": (0, 0)}),
        Sample((Input((3, 4)),), {"size": (2, 3), "stride": (5, 1)}),
        Sample((Input((3, 4)),), {"size": (2, 2, 2), "stride": (1, 2, 1), "storage_offset": 3}),
    ],
    reference=lambda x, size, stride, storage_offset=0: _strided_reference(x.copy(), tuple(range(x.ndim)), size, stride, storage_offset),
)
def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """The view of the tensor's memory with any strides, in elements, from element ``storage_offset`` (by default its own first one).

    The memory is that of the tensor it is a view of, if it is one. Writing to elements that share a place is refused.

    Raises:
        RuntimeError: beyond that memory, or when there are gaps in it.
    """
    shape, strides = tuple(int(n) for n in size), tuple(int(s) for s in stride)
    if len(shape) != len(strides):
        raise RuntimeError(f"as_strided: size {list(shape)} and stride {list(strides)} must be as long as each other")
    root = input if input._base is None else input._base.root
    order = _memory_order(root._array) if root._array.size else tuple(range(root.ndim))
    if order is None:
        raise RuntimeError(
            f"as_strided: the memory of shape {tuple(root.shape)} with strides {root.stride()} has gaps or repeats; .clone() the tensor first"
        )
    start = storage_offset
    if start is None:
        start = (input.data_ptr() - root.data_ptr()) // input.element_size() if input.numel() else 0
    if min((start, *shape, *strides)) < 0:
        raise RuntimeError(f"as_strided: size {list(shape)}, stride {list(strides)} and offset {start} must not be negative")
    last = start + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if 0 not in shape and last >= root.numel():
        raise RuntimeError(
            f"as_strided: size {list(shape)}, stride {list(strides)} and offset {start} reach element {last} of {root.numel()} in memory"
        )
    return _as_strided.call(root, order=order, size=shape, stride=strides, offset=start)
