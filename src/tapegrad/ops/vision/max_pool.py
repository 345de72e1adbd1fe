"""Maxima over windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...kernels.axis_maps import Axis
from ...public import composite
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample
from ...tensor import Tensor
from .pool import adaptive_windows, windows
from .window_args import Sizes

__all__ = [
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def _at_places(K: Any, x: Any, places: Any, dims: int) -> Any:
    """The elements of ``x`` at ``places`` in its last ``dims`` dimensions, flattened."""
    split = len(x.shape) - dims
    planes = math.prod(x.shape[:split])
    rows = (K.reshape(v, shape=(planes, math.prod(v.shape[split:]))) for v in (x, places))
    return K.reshape(K.gather(*rows, dim=1), shape=tuple(places.shape))


register(
    Op(
        "max_pool_backward",
        ("g_out", "places"),
        lambda B, g, places, *, size, dims, maps=None: B.max_pool_backward(g, places, size, dims, maps),
        {"g_out": lambda K, g, places, dims: _at_places(K, g, places, dims)},
        method=False,
        samples=[
            Sample((Input((2, 3, 2)), Input((2, 3, 2), 0, 10, "int")), {"size": (2, 4, 3), "dims": 2}),
            Sample((Input((2, 2)), Input((2, 2), 0, 3, "int")), {"size": (2, 4), "dims": 1}),
        ],
        reference="window_references.max_pool_backward",
        kinds="f",
    )
)

_A = (Axis("window", 4, 4, (3, 1, 1, 1, "")), Axis("window", 3, 2, (2, 1, 0, 1, "")))
_B = (Axis("adaptive", 5, 2, (False,)),)
_C = (Axis("window", 5, 2, (4, 2, 1, 1, "")),)

_max_pool = register(
    Op(
        "max_pool",
        ("input",),
        lambda B, x, *, maps: B.max_pool(x, maps),
        {"input": lambda K, g0, out1, input_shape, maps: K.max_pool_backward(g0, out1, size=input_shape, dims=len(maps), maps=maps)},
        method=False,
        samples=[
            Sample((Input((2, 4, 3), apart=True),), {"maps": _A}),
            Sample((Input((2, 5), apart=True),), {"maps": _B}),
            Sample((Input((3, 5), apart=True),), {"maps": _C}),
        ],
        edge_points=[EdgePoint(([1.0, 2.0, 2.0, 2.0, 1.0],), ([0.0, 2.0, 0.0, 0.0, 0.0],), {"maps": _C})],
        reference="window_references.max_pool_of_maps",
        kinds="bif",
        smooth=False,
    )
)

def _result(pooled: tuple[Tensor, Tensor], return_indices: bool) -> Any:
    return pooled if return_indices else pooled[0]


def _need_order(input: Tensor, name: str) -> None:
    if input.dtype.is_complex:
        raise RuntimeError(f"{name}: complex numbers have no maximum, got dtype {input.dtype}")


def _max(
    dims: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    name = f"max_pool{dims}d"
    _need_order(input, name)
    maps = windows(name, dims, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _result(_max_pool.call(input, maps=maps), return_indices)


def _adaptive(dims: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{dims}d"
    _need_order(input, name)
    return _result(_max_pool.call(input, maps=adaptive_windows(name, dims, input, output_size, False)), return_indices)


# -------------------------------------------------------------------------------------------------------------- samples


def _mistakes(name: str, dims: int) -> list[ErrorInput]:
    def error(pattern: str, kind: type[Exception] = RuntimeError, shape: Sequence[int] = (1, 2, *(4,) * dims), size: Any = 2, **options: Any) -> ErrorInput:
        return ErrorInput(lambda tg: getattr(tg.nn.functional, name)(tg.ones(*shape), size, **options), kind, f"{name}: {pattern}")

    found = [error(r"expected an input .*got shape \(4,\)", shape=(4,)), error(".* must be an integer or", TypeError, size=1.5)]
    if name.startswith("adaptive"):
        return [*found, error(f"output_size must be an integer or {dims} integers", size=(1, 1, 1, 1))]
    return [
        *found,
        error("a window of 5 elements is larger than the input", size=5),
        error("padding must be at most half of the window", padding=2),
        error("a window with dilation 2 and padding 1 has no element", shape=(1, *(1,) * dims), dilation=2, padding=1),
        ErrorInput(
            lambda tg: getattr(tg.nn.functional, name)(tg.ones(1, *(4,) * dims, dtype=tg.complex64), 2), RuntimeError, f"{name}: complex numbers have no"
        ),
    ]


def _tests(name: str, dims: int, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    shape = {1: (2, 2, 7), 2: (1, 2, 4, 4), 3: (1, 1, 3, 3, 2)}[dims]
    made = [Sample((Input(shape, -3.0, 3.0, apart=True),), params) for params in samples]
    made.append(Sample((Input(shape[1:], -3.0, 3.0, apart=True),), samples[0]))  # without a batch
    made.append(Sample((Input((0, *shape[1:])),), samples[0]))
    return {
        "samples": made,
        "reference": f"window_references.{name}",
        "error_inputs": _mistakes(name, dims),
        "smooth": False,
        "method": False,
    }


_WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "return_indices": True},
    {"kernel_size": 2, "stride": 1, "dilation": 2, "padding": 1},
]


# ------------------------------------------------------------------------------------------------------------ functions


@composite(**_tests("max_pool1d", 1, [*_WINDOWS, {"kernel_size": 6, "stride": 1}]))
def max_pool1d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """Maxima over windows: ([N,] C, L) -> ([N,] C, L'), with L' = (L + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1.

    L' is rounded down; up with ``ceil_mode``, when the last window is cut off. ``stride`` is kernel_size by default. Padding is never
    the maximum; NaN always is. The gradient goes to the first of equal elements. With ``return_indices`` also where the maxima
    were (int64).

    Raises:
        TypeError, RuntimeError: when shapes, dtypes or options don't fit.
    """
    return _max(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(**_tests("max_pool2d", 2, [*_WINDOWS, {"kernel_size": (1, 3), "stride": (2, 1)}]))
def max_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """:func:`max_pool1d` over two dimensions: ([N,] C, H, W) -> ([N,] C, H', W'). Indices are row * W + column."""
    return _max(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(**_tests("max_pool3d", 3, [{"kernel_size": 2, "return_indices": True}, {"kernel_size": (2, 1, 2), "stride": 1, "padding": (1, 0, 1)}]))
def max_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """:func:`max_pool1d` over three dimensions: ([N,] C, D, H, W) -> ([N,] C, D', H', W'). Indices are (plane * H + row) * W + column."""
    return _max(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(**_tests("adaptive_max_pool1d", 1, [{"output_size": 3, "return_indices": True}, {"output_size": 1}]))
def adaptive_max_pool1d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """Maxima over ``output_size`` windows, which cover everything, as :func:`adaptive_avg_pool1d` has them.

    Raises:
        TypeError, RuntimeError: when shapes, dtypes or sizes don't fit.
    """
    return _adaptive(1, input, output_size, return_indices)


@composite(**_tests("adaptive_max_pool2d", 2, [{"output_size": (3, 2), "return_indices": True}, {"output_size": (None, 1)}]))
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """:func:`adaptive_max_pool1d` over two dimensions; None keeps a size."""
    return _adaptive(2, input, output_size, return_indices)


@composite(**_tests("adaptive_max_pool3d", 3, [{"output_size": (2, 1, 2), "return_indices": True}]))
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """:func:`adaptive_max_pool1d` over three dimensions; None keeps a size."""
    return _adaptive(3, input, output_size, return_indices)
