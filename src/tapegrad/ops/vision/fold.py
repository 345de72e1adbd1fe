"""The windows of an image as columns, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...public import composite
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from .window_args import Sizes, per_axis, space_of

__all__ = ["fold", "unfold"]

_PLACES: dict[str, Any] = {"kernel": (2, 2), "stride": (1, 2), "padding": ((0, 0), (1, 1)), "dilation": (2, 1)}

_im2col = register(
    Op(
        "im2col",
        ("input",),
        lambda B, x, *, kernel, stride, padding, dilation: B.im2col(x, kernel, stride, padding, dilation),
        {
            "input": lambda K, g, input_shape, kernel, stride, padding, dilation: K.col2im(
                g, size=input_shape[len(input_shape) - len(kernel) :], kernel=kernel, stride=stride, padding=padding, dilation=dilation
            )
        },
        method=False,
        samples=[Sample((Input((2, 3, 4)),), _PLACES), Sample((Input((0, 1, 3, 4)),), _PLACES)],
        reference="window_references.im2col",
    )
)

_col2im = register(
    Op(
        "col2im",
        ("input",),
        lambda B, g, *, size, kernel, stride, padding, dilation: B.col2im(g, size, kernel, stride, padding, dilation),
        {
            "input": lambda K, g, kernel, stride, padding, dilation: K.im2col(
                g, kernel=kernel, stride=stride, padding=padding, dilation=dilation
            )
        },
        method=False,
        samples=[Sample((Input((1, 8, 3)),), {"size": (3, 4), **_PLACES})],
        reference="window_references.col2im",
        kinds="ifc",
    )
)


def _windows(name: str, size: Sequence[int], kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The operations' parameters, and the number of windows along each axis."""
    kernel, strides = per_axis(kernel_size, 2, name, "kernel_size", 1), per_axis(stride, 2, name, "stride", 1)
    pads, dilations = per_axis(padding, 2, name, "padding", 0), per_axis(dilation, 2, name, "dilation", 1)
    count = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(size, pads, dilations, kernel, strides, strict=True))
    if min(count) < 1:
        raise RuntimeError(f"{name}: windows of sizes {kernel} with dilation {dilations} are larger than {tuple(size)} with padding {pads}")
    return {"kernel": kernel, "stride": strides, "padding": tuple((p, p) for p in pads), "dilation": dilations}, count


def _mistake(name: str, pattern: str, shape: tuple[int, ...], *args: Any, **options: Any) -> ErrorInput:
    return ErrorInput(lambda tg: getattr(tg.nn.functional, name)(tg.ones(shape), *args, **options), RuntimeError, f"{name}: {pattern}")


_OPTIONS: dict[str, Any] = {"kernel_size": (2, 3), "dilation": (1, 2), "padding": (1, 1), "stride": (2, 1)}


@composite(
    samples=[
        Sample((Input((2, 2, 3, 4)),), {"kernel_size": 2}),
        Sample((Input((1, 2, 3, 4)),), _OPTIONS),
        Sample((Input((2, 3, 3)),), {"kernel_size": (3, 1)}),
        Sample((Input((0, 2, 3, 3)),), {"kernel_size": 2}),
    ],
    reference="window_references.unfold",
    error_inputs=[
        _mistake("unfold", r"expected an input .*got shape \(4, 4\)", (4, 4), 2),
        _mistake("unfold", r"windows of sizes \(5, 5\)", (1, 4, 4), 5),
        _mistake("unfold", "stride must be at least 1", (1, 4, 4), 2, stride=0),
    ],
    kinds="bifc",
    method=False,
)
def unfold(input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """The windows of an image as columns: ([N,] C, H, W) -> ([N,] C * K1 * K2, number of windows), as im2col.

    Raises:
        TypeError, RuntimeError: when shapes or options don't fit.
    """
    params, _ = _windows("unfold", space_of(input, 2, "unfold"), kernel_size, dilation, padding, stride)
    return _im2col.call(input, **params)


@composite(
    samples=[
        Sample((Input((2, 8, 6)),), {"output_size": (3, 4), "kernel_size": 2}),
        Sample((Input((1, 12, 4)),), {"output_size": (3, 4), **_OPTIONS}),
        Sample((Input((6, 3)),), {"output_size": 3, "kernel_size": (3, 1)}),
        Sample((Input((0, 8, 4)),), {"output_size": 3, "kernel_size": 2}),
    ],
    reference="window_references.fold",
    error_inputs=[
        _mistake("fold", r"expected an input .*got shape \(4,\)", (4,), 4, 2),
        _mistake("fold", r"6 rows are not a multiple of the 4 elements", (6, 9), 4, 2),
        _mistake("fold", r"an output of sizes \(4, 4\) has 3 \* 3 = 9 windows, got 8 columns", (4, 8), 4, 2),
    ],
    kinds="ifc",
    method=False,
)
def fold(
    input: Tensor, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Columns added up as windows of an image: ([N,] C * K1 * K2, number of windows) -> ([N,] C, *output_size), as col2im.

    The transpose of :func:`unfold`, not its inverse: where windows overlap, elements add up.

    Raises:
        TypeError, RuntimeError: when shapes or options don't fit.
    """
    size = per_axis(output_size, 2, "fold", "output_size", 1)
    params, count = _windows("fold", size, kernel_size, dilation, padding, stride)
    shape = tuple(map(int, input._array.shape))
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        raise RuntimeError(f"fold: expected an input ([batch,] channels * window, windows) with elements, got shape {shape}")
    if shape[-2] % math.prod(params["kernel"]):
        raise RuntimeError(f"fold: {shape[-2]} rows are not a multiple of the {math.prod(params['kernel'])} elements of a window {params['kernel']}")
    if shape[-1] != math.prod(count):
        wanted = f"{' * '.join(map(str, count))} = {math.prod(count)}"
        raise RuntimeError(f"fold: an output of sizes {size} has {wanted} windows, got {shape[-1]} columns in shape {shape}")
    return _col2im.call(input, size=size, **params)
