"""Maxima over windows at random places."""

from __future__ import annotations

from typing import Any

from ...public import composite
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_floating
from ..random.generator import drawn_like
from .window_args import Sizes, per_axis, space_of

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]

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
        samples = wrap(drawn_like(None, "uniform", input, (*planes, dims), input._array.dtype))
    elif samples._array.shape != (*planes, dims) or samples._array.dtype != input._array.dtype:
        raise RuntimeError(f"{name}: _random_samples must have shape {(*planes, dims)} and dtype {input.dtype}, got {tuple(samples.shape)}, {samples.dtype}")
    samples = samples.detach().reshape(*shape[: len(shape) - dims], dims)
    if dims == 2:
        samples = samples.flip(-1)  # in two dimensions PyTorch's first number is for the width
    pooled = _fractional_max_pool.call(input, samples, kernel=kernel, size=size)
    return pooled if return_indices else pooled[0]


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
