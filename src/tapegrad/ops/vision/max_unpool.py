"""Maxima put back where they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...device import device_of, placed
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_in_range
from ..create import zeros
from .window_args import Sizes, per_axis, space_of

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]


def _unpool(dims: int, input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, output_size: Any) -> Tensor:
    name = f"max_unpool{dims}d"
    space = space_of(input, dims, name)
    if indices._array.dtype != np.int64 or indices._array.shape != input._array.shape:
        raise RuntimeError(
            f"{name}: expected int64 indices of the input's shape {tuple(input.shape)}, got dtype {indices.dtype} and shape {tuple(indices.shape)}"
        )
    kernel = per_axis(kernel_size, dims, name, "kernel_size", 1)
    strides = kernel if stride is None else per_axis(stride, dims, name, "stride", 1)
    pads = per_axis(padding, dims, name, "padding", 0)
    size = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(space, strides, pads, kernel, strict=True))
    if output_size is not None:
        given = tuple(output_size)[-dims:]
        if len(output_size) not in (dims, dims + 1, dims + 2) or any(not n - s < t < n + s for n, s, t in zip(size, strides, given, strict=True)):
            raise ValueError(f"{name}: output_size {tuple(output_size)} must be less than a stride {strides} away from {size}")
        size = given
    lead, positions = tuple(map(int, input._array.shape))[:-dims], math.prod(size)
    need_in_range(name, indices, positions, f"an output of sizes {size}", error=RuntimeError)
    planes, count = math.prod(lead), math.prod(space)
    out = zeros(planes, positions, dtype=input.dtype, device=input.device)
    if input.numel():
        rows = wrap(placed(np.arange(planes)[:, None], device_of(input._array)))
        out[rows, indices.reshape(planes, count)] = input.reshape(planes, count)
    return out.reshape(*lead, *size)


def _unpool_tests(dims: int) -> dict[str, Any]:
    name = f"max_unpool{dims}d"
    space = (3, 2, 2)[:dims]
    wide = (20, 6, 5)[dims - 1]  # so that no index comes twice

    def error(pattern: str, kind: type[Exception] = RuntimeError, index: Any = None, **options: Any) -> ErrorInput:
        def call(tg: Any) -> Any:
            return getattr(tg.nn.functional, name)(tg.ones(1, *space), tg.zeros(1, *space, dtype=tg.int64) if index is None else index(tg), 2, **options)

        return ErrorInput(call, kind, f"{name}: {pattern}")

    def sample(lead: tuple[int, ...], positions: int, **params: Any) -> Sample:
        return Sample((Input((*lead, *space)), Input((*lead, *space), 0, positions, "int")), params)

    return {
        "samples": [
            sample((1, 2), wide**dims * math.prod(space), kernel_size=wide),
            sample((1,), math.prod(3 * n - 2 for n in space), kernel_size=3, stride=3, padding=1),
            sample((1, 1), math.prod(2 * n + 1 for n in space), kernel_size=2, output_size=[2 * n + 1 for n in space]),
        ],
        "reference": f"window_references.{name}",
        "error_inputs": [
            error("expected int64 indices", index=lambda tg: tg.ones(1, *space)),
            error("index -1 is out of range", index=lambda tg: tg.full((1, *space), -1)),
            error(".*must be less than a stride", ValueError, output_size=(1,) * dims),
        ],
        "method": False,
    }


@composite(**_unpool_tests(1))
def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, output_size: Sequence[int] | None = None
) -> Tensor:
    """Maxima put back where they were, among zeros: ``indices`` are those of :func:`max_pool1d`, with the same options.

    ``output_size`` chooses among the sizes that pool to the input's. Where an index comes twice, the later value is written, and
    only that one gets a gradient.

    Raises:
        TypeError, ValueError, RuntimeError: when shapes, dtypes or options don't fit, or an index is out of range.
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


@composite(**_unpool_tests(2))
def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, output_size: Sequence[int] | None = None
) -> Tensor:
    """:func:`max_unpool1d` over two dimensions."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


@composite(**_unpool_tests(3))
def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, output_size: Sequence[int] | None = None
) -> Tensor:
    """:func:`max_unpool1d` over three dimensions."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
