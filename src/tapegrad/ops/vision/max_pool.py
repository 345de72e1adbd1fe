"""Maxima over windows, and the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.axis_maps import Axis
from ...public import composite
from ...registry import Op, apply, register
from ...samples import EdgePoint, ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_floating, need_in_range
from ..create import zeros
from ..random.generator import drawn
from .pool import adaptive_windows, windows
from .window_args import Sizes, per_axis, space_of

__all__ = [
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
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
        lambda B, g, places, *, size, dims: B.max_pool_backward(g, places, size, dims),
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
        {"input": lambda K, g0, out1, input_shape, maps: K.max_pool_backward(g0, out1, size=input_shape, dims=len(maps))},
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

_fractional_max_pool = register(
    Op(
        "fractional_max_pool",
        ("input", "samples"),
        lambda B, x, u, *, kernel, size: B.fractional_max_pool(x, u, kernel, size),
        {"input": lambda K, g0, out1, input_shape, kernel: K.max_pool_backward(g0, out1, size=input_shape, dims=len(kernel))},
        method=False,
        samples=[Sample((Input((1, 2, 5, 4), -5.0, 5.0, apart=True), Input((1, 2, 2), 0.0, 1.0, constant=True)), {"kernel": (2, 2), "size": (3, 2)})],
        reference="window_references.fractional_max_pool",
        kinds="f",
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
    return _result(apply(_max_pool, (input,), {"maps": maps}), return_indices)


def _adaptive(dims: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{dims}d"
    _need_order(input, name)
    return _result(apply(_max_pool, (input,), {"maps": adaptive_windows(name, dims, input, output_size, False)}), return_indices)


def _fractional(
    dims: int, input: Tensor, kernel_size: Sizes, output_size: Any, output_ratio: Any, return_indices: bool, samples: Tensor | None
) -> Any:
    name = f"fractional_max_pool{dims}d"
    need_floating(name, input=input)
    space = space_of(input, dims, name)
    kernel = per_axis(kernel_size, dims, name, "kernel_size", 1)
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{name}: give either output_size or output_ratio")
    if output_size is None:
        ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * dims
        if len(ratios) != dims or not all(0 < r < 1 for r in ratios):
            raise ValueError(f"{name}: output_ratio must be between 0 and 1, one number or {dims}, got {output_ratio!r}")
        output_size = tuple(int(n * r) for n, r in zip(space, ratios, strict=True))
    size = per_axis(output_size, dims, name, "output_size", 1)
    if any(t + k - 1 > n for n, k, t in zip(space, kernel, size, strict=True)):
        raise RuntimeError(f"{name}: {size} windows of sizes {kernel} need more elements than the input of sizes {space} has")
    shape = tuple(map(int, input._array.shape))
    planes = (1,) * (dims + 2 - len(shape)) + shape[: len(shape) - dims]  # PyTorch's samples have a batch dimension always
    if samples is None:
        samples = wrap(drawn(None, "uniform", (*planes, dims), input._array.dtype))
    elif samples._array.shape != (*planes, dims) or samples._array.dtype != input._array.dtype:
        raise RuntimeError(f"{name}: _random_samples must have shape {(*planes, dims)} and dtype {input.dtype}, got {tuple(samples.shape)}, {samples.dtype}")
    samples = samples.detach().reshape(*shape[: len(shape) - dims], dims)
    if dims == 2:
        samples = samples.flip(-1)  # in two dimensions PyTorch's first number is for the width
    return _result(apply(_fractional_max_pool, (input, samples), {"kernel": kernel, "size": size}), return_indices)


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
    out = zeros(planes, positions, dtype=input.dtype)
    if input.numel():
        rows = wrap(np.arange(planes)[:, None])
        out[rows, indices.reshape(planes, count)] = input.reshape(planes, count)
    return out.reshape(*lead, *size)


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


def _fractional_tests(dims: int) -> dict[str, Any]:
    name, shape = f"fractional_max_pool{dims}d", ((2, 5, 4) if dims == 2 else (1, 5, 4, 4))
    first = Sample(
        (Input((1, *shape), -5.0, 5.0, apart=True), Input((1, shape[0], dims), 0.0, 1.0, constant=True)),
        {"kernel_size": 2, "output_size": (3, 2, 2)[:dims], "return_indices": True},
        ("input", "_random_samples"),
    )
    second = Sample(
        (Input(shape, -5.0, 5.0, apart=True), Input((1, shape[0], dims), 0.0, 1.0, constant=True)),
        {"kernel_size": (2, 1, 2)[:dims], "output_ratio": (0.5, 0.7, 0.4)[:dims]},
        ("input", "_random_samples"),
    )

    def error(pattern: str, kind: type[Exception] = RuntimeError, **options: Any) -> ErrorInput:
        return ErrorInput(lambda tg: getattr(tg.nn.functional, name)(tg.ones(1, *shape), 2, **options), kind, f"{name}: {pattern}")

    return {
        "samples": [first, second],
        "reference": f"window_references.{name}",
        "error_inputs": [
            error("give either output_size or output_ratio", ValueError),
            error("output_ratio must be between 0 and 1", ValueError, output_ratio=1.5),
            error(".* windows of sizes .* need more elements", output_size=5),
            ErrorInput(
                lambda tg: getattr(tg.nn.functional, name)(tg.ones(1, *shape), 2, 2, _random_samples=tg.ones(1, 2)), RuntimeError, f"{name}: _random_samples"
            ),
        ],
        "smooth": False,
        "method": False,
    }


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


@composite(**_fractional_tests(2))
def fractional_max_pool2d(
    input: Tensor, kernel_size: Sizes, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """Maxima over windows at random places, for any output size: ([N,] C, H, W) -> ([N,] C, *output_size) (Graham, 2014,
    https://arxiv.org/abs/1412.6071).

    ``output_ratio`` is an output size relative to the input's. Places differ between the planes of a batch; ``_random_samples``
    (N, C, 2), uniform in [0, 1), decide them.

    Raises:
        TypeError, ValueError, RuntimeError: when shapes, dtypes or options don't fit.
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


@composite(**_fractional_tests(3))
def fractional_max_pool3d(
    input: Tensor, kernel_size: Sizes, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """:func:`fractional_max_pool2d` over three dimensions, with ``_random_samples`` (N, C, 3)."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


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
