"""Convolution, and its transpose, in one, two and three dimensions.

Three operations are each other's gradients: the convolution y(x, w), which is linear in each argument, and its transposes in x and
in w. So a gradient of any order is one of them, and a transposed convolution is the transpose in x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...opcall import check_devices
from ...public import composite
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_same_dtype
from ..linalg.matmul import conjugate
from .window_args import Sizes, per_axis

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

_PLAIN: dict[str, Any] = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "groups": 1}
_UNEVEN: dict[str, Any] = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 2}

_convolution = register(
    Op(
        "convolution",
        ("input", "weight", "bias"),
        lambda B, x, w, b, *, stride, padding, dilation, groups: B.convolution(x, w, b, stride, padding, dilation, groups),
        {
            "input": lambda K, g, weight, input_shape, stride, padding, dilation, groups: K.convolution_input(
                g, conjugate(K, weight), size=input_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
            ),
            "weight": lambda K, g, input, weight_shape, stride, padding, dilation, groups: K.convolution_weight(
                g, conjugate(K, input), kernel=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
            ),
            "bias": lambda K, g: K.sum(g, axes=(0, *range(2, len(g.shape))), keepdim=False),
        },
        dtype="promote",
        method=False,
        samples=[
            Sample((Input((2, 2, 5)), Input((3, 2, 2)), Input((3,))), _PLAIN),
            Sample((Input((1, 4, 4, 3)), Input((2, 2, 2, 2)), Input((2,))), _UNEVEN),
            Sample((Input((0, 2, 3)), Input((1, 2, 2)), Input((1,))), _PLAIN),
        ],
        reference="window_references.convolution",
        kinds="ifc",
    )
)

_convolution_input = register(
    Op(
        "convolution_input",
        ("g_out", "weight"),
        lambda B, g, w, *, size, stride, padding, dilation, groups: B.convolution_input(g, w, size, stride, padding, dilation, groups),
        {
            "g_out": lambda K, g, weight, stride, padding, dilation, groups: K.convolution(
                g, conjugate(K, weight), None, stride=stride, padding=padding, dilation=dilation, groups=groups
            ),
            "weight": lambda K, g, g_out, weight_shape, stride, padding, dilation, groups: K.convolution_weight(
                conjugate(K, g_out), g, kernel=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
            ),
        },
        dtype="promote",
        method=False,
        samples=[
            Sample((Input((2, 3, 4)), Input((3, 2, 2))), {"size": (5,), **_PLAIN}),
            Sample((Input((1, 2, 2, 3)), Input((2, 2, 2, 2))), {"size": (4, 3), **_UNEVEN}),
        ],
        reference="window_references.convolution_input",
        kinds="ifc",
    )
)

register(
    Op(
        "convolution_weight",
        ("g_out", "input"),
        lambda B, g, x, *, kernel, stride, padding, dilation, groups: B.convolution_weight(g, x, kernel, stride, padding, dilation, groups),
        {
            "g_out": lambda K, g, input, stride, padding, dilation, groups: K.convolution(
                conjugate(K, input), g, None, stride=stride, padding=padding, dilation=dilation, groups=groups
            ),
            "input": lambda K, g, g_out, input_shape, stride, padding, dilation, groups: K.convolution_input(
                conjugate(K, g_out), g, size=input_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
            ),
        },
        dtype="promote",
        method=False,
        samples=[
            Sample((Input((2, 3, 4)), Input((2, 2, 5))), {"kernel": (2,), **_PLAIN}),
            Sample((Input((1, 2, 2, 3)), Input((1, 4, 4, 3))), {"kernel": (2, 2), **_UNEVEN}),
        ],
        reference="window_references.convolution_weight",
        kinds="ifc",
    )
)


# ------------------------------------------------------------------------------------------------------------ functions


def _checked(name: str, dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int, transposed: bool) -> Tensor:
    """The input with a batch dimension, after checks of everything but sizes."""
    x, w = input._array, weight._array
    check_devices(name, (input, weight, bias))
    need_same_dtype(name, input=input, weight=weight, bias=bias)
    if x.dtype.kind == "b":
        raise RuntimeError(f"{name}: bool tensors can't be convolved; convert them with .float()")
    layout = "(in_channels, out_channels / groups" if transposed else "(out_channels, in_channels / groups"
    if x.ndim not in (dims + 1, dims + 2) or w.ndim != dims + 2:
        raise RuntimeError(
            f"{name}: expected an input ([batch,] channels, {dims} sizes) and a weight {layout}, {dims} sizes), "
            f"got shapes {tuple(x.shape)} and {tuple(w.shape)}"
        )
    channels = x.shape[-dims - 1]
    expected = w.shape[0] if transposed else w.shape[1] * groups
    if groups < 1 or channels != expected or w.shape[0] % groups or 0 in w.shape:
        raise RuntimeError(
            f"{name}: {channels} channels of the input of shape {tuple(x.shape)} and groups={groups} don't fit the weight {layout}, ...) "
            f"of shape {tuple(w.shape)}, which takes {expected}"
            + ("; without a batch, the first dimension is that of channels" if x.ndim == dims + 1 else "")
        )
    out_channels = w.shape[1] * groups if transposed else w.shape[0]
    if bias is not None and bias._array.shape != (out_channels,):
        raise RuntimeError(f"{name}: expected a bias of shape ({out_channels},) for weight {tuple(w.shape)}, got {tuple(bias.shape)}")
    return input if x.ndim == dims + 2 else input.unsqueeze(0)


def _pads(padding: Any, dims: int, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], name: str) -> tuple[tuple[int, int], ...]:
    """Zeros before and after, per axis. "same" puts the odd one after, as PyTorch does."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in per_axis(padding, dims, name, "padding", 0))
    if padding == "valid":
        return ((0, 0),) * dims
    if padding != "same":
        raise RuntimeError(f"{name}: padding must be integers, 'same' or 'valid', got {padding!r}")
    if any(s != 1 for s in stride):
        raise RuntimeError(f"{name}: padding='same' needs a stride of 1, got {tuple(stride)}")
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((n // 2, n - n // 2) for n in totals)


def _conv(
    dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Any, dilation: Sizes, groups: int
) -> Tensor:
    name = f"conv{dims}d"
    batched = _checked(name, dims, input, weight, bias, groups, False)
    strides, dilations = per_axis(stride, dims, name, "stride", 1), per_axis(dilation, dims, name, "dilation", 1)
    size, kernel = batched._array.shape[2:], weight._array.shape[2:]
    pads = _pads(padding, dims, kernel, strides, dilations, name)
    if any(n + sum(p) < d * (k - 1) + 1 for n, p, d, k in zip(size, pads, dilations, kernel, strict=True)):
        raise RuntimeError(
            f"{name}: the kernel of sizes {tuple(kernel)} with dilation {dilations} is larger than the input of sizes {tuple(size)} "
            f"with padding {pads}"
        )
    params = {"stride": strides, "padding": pads, "dilation": dilations, "groups": groups}
    out = _convolution.call(batched, weight, bias, **params)
    return out if batched is input else out.squeeze(0)


def _conv_transpose(
    dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, output_padding: Sizes, groups: int, dilation: Sizes
) -> Tensor:
    name = f"conv_transpose{dims}d"
    batched = _checked(name, dims, input, weight, bias, groups, True)
    strides, dilations = per_axis(stride, dims, name, "stride", 1), per_axis(dilation, dims, name, "dilation", 1)
    pads, extra = per_axis(padding, dims, name, "padding", 0), per_axis(output_padding, dims, name, "output_padding", 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise RuntimeError(f"{name}: output_padding must be smaller than stride or dilation, got {extra} with stride {strides}, dilation {dilations}")
    size, kernel = batched._array.shape[2:], weight._array.shape[2:]
    out_size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(size, strides, pads, dilations, kernel, extra, strict=True)
    )
    if min(out_size) < 1 or 0 in size:
        raise RuntimeError(f"{name}: the output would have sizes {out_size}, for an input of shape {tuple(input.shape)} and padding {pads}")
    # as if less were padded at the end: the convolution back has then as many windows as the input has elements
    pairs = tuple((p, p - e) for p, e in zip(pads, extra, strict=True))
    params = {"size": out_size, "stride": strides, "padding": pairs, "dilation": dilations, "groups": groups}
    out = _convolution_input.call(batched, weight, **params)
    if bias is not None:
        out = out + bias.reshape(-1, *(1,) * dims)
    return out if batched is input else out.squeeze(0)


def _samples(dims: int) -> list[Sample]:
    """All options in one dimension, some in two, few in three, where numerical gradients cost more."""
    if dims == 1:
        x, w, b = Input((2, 4, 5)), Input((2, 4, 3)), Input((2,))
        return [
            Sample((x, w, b)),
            Sample((x, w), {"stride": 2, "padding": 1}),
            Sample((x, Input((2, 4, 2)), b), {"padding": "same", "dilation": 3}),
            Sample((x, w), {"padding": "valid", "dilation": (2,)}),
            Sample((x, Input((2, 2, 3)), b), {"groups": 2}),
            Sample((Input((4, 5)), w, b), {"stride": 2}),
            Sample((Input((0, 4, 5)), w, b)),
        ]
    if dims == 2:
        x, w, b = Input((2, 2, 4, 3)), Input((2, 2, 3, 2)), Input((2,))
        return [
            Sample((x, w, b)),
            Sample((x, w), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}),
            Sample((x, w, b), {"padding": "same"}),
            Sample((x, Input((4, 1, 2, 2)), Input((4,))), {"groups": 2, "padding": 1, "stride": 2}),
            Sample((Input((2, 3, 2)), Input((2, 2, 1, 1)), b)),
        ]
    x, w, b = Input((1, 2, 2, 3, 2)), Input((1, 2, 2, 1, 2)), Input((1,))
    return [Sample((x, w, b)), Sample((x, w, b), {"padding": (1, 0, 1), "stride": (1, 2, 1)}), Sample((Input((2, 2, 3, 2)), w), {"padding": "same"})]


def _transpose_samples(dims: int) -> list[Sample]:
    if dims == 1:
        x, w, b = Input((2, 4, 3)), Input((4, 2, 3)), Input((2,))
        return [
            Sample((x, w, b)),
            Sample((x, w, b), {"stride": 2, "padding": 1, "output_padding": 1}),
            Sample((x, w), {"dilation": 2, "output_padding": 1}),
            Sample((x, Input((4, 1, 2)), b), {"groups": 2, "stride": 3}),
            Sample((Input((4, 3)), w, b)),
            Sample((Input((0, 4, 3)), w, b)),
        ]
    if dims == 2:
        x, w, b = Input((1, 2, 2, 3)), Input((2, 2, 2, 3)), Input((2,))
        return [Sample((x, w, b)), Sample((x, w, b), {"stride": (2, 1), "padding": (0, 1), "output_padding": (1, 0), "dilation": (1, 2)})]
    return [Sample((Input((1, 2, 2, 2, 2)), Input((2, 1, 2, 2, 1)), Input((1,))), {"stride": (2, 1, 2), "padding": (0, 1, 0)})]


def _mistakes(name: str, dims: int) -> list[ErrorInput]:
    x, w = (2, 4, *(5,) * dims), (4, 4, *(3,) * dims)

    def error(pattern: str, kind: type[Exception] = RuntimeError, shape: Any = x, weight: Any = w, bias: int | None = None, **options: Any) -> ErrorInput:
        def call(tg: Any) -> Any:
            return getattr(tg.nn.functional, name)(tg.ones(shape), tg.ones(weight), None if bias is None else tg.ones(bias), **options)

        return ErrorInput(call, kind, f"{name}: {pattern}")

    found = [
        error(r"expected an input .*got shapes \(5,\)", shape=(5,)),
        error(rf"3 channels of the input .*weight .*\({w[0]}, {w[1]}", shape=(2, 3, *(5,) * dims)),
        error(r"expected a bias of shape \(4,\)", bias=3),
        error("stride must be at least 1, got 0", stride=0),
        error("padding must be an integer or", TypeError, padding=0.5),
        error("dilation must be an integer or", dilation=(1, 1, 1, 1)),
        ErrorInput(
            lambda tg: getattr(tg.nn.functional, name)(tg.ones(x), tg.ones(w, dtype=tg.float64)), RuntimeError, f"{name}: expected equal dtypes, .*float64"
        ),
        ErrorInput(lambda tg: getattr(tg.nn.functional, name)([1.0], tg.ones(w)), TypeError, rf"{name}\(\): argument 'input' must be a Tensor, not list"),
    ]
    if name.startswith("conv_transpose"):
        nothing = ErrorInput(
            lambda tg: getattr(tg.nn.functional, name)(tg.ones(1, 1, *(1,) * dims), tg.ones(1, 1, *(2,) * dims), padding=1), RuntimeError, "the output would have sizes"
        )
        return [*found, error("output_padding must be smaller", output_padding=1), error("the output would have sizes", padding=9), nothing]
    return [
        *found,
        error(r"the kernel of sizes .* is larger than the input of sizes", weight=(4, 4, *(6,) * dims)),
        error("padding must be integers, 'same' or 'valid', got 'full'", padding="full"),
        error("padding='same' needs a stride of 1", padding="same", stride=2),
    ]


def _tests(dims: int) -> dict[str, Any]:
    reference = "window_references.conv"
    return {"samples": _samples(dims), "reference": reference, "error_inputs": _mistakes(f"conv{dims}d", dims), "kinds": "ifc", "method": False}


def _transpose_tests(dims: int) -> dict[str, Any]:
    tests = {**_tests(dims), "reference": "window_references.conv_transpose"}
    return tests | {"samples": _transpose_samples(dims), "error_inputs": _mistakes(f"conv_transpose{dims}d", dims)}


@composite(**_tests(1))
def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1
) -> Tensor:
    """Convolution (without flipping the kernel): ([N,] C, L), (O, C / groups, K), (O,) -> ([N,] O, L').

    ``padding`` is a number of zeros at both ends, "valid" (none) or "same" (an output as long as the input). L' is
    (L + 2 padding - dilation (K - 1) - 1) // stride + 1.

    Raises:
        RuntimeError: when shapes, dtypes or options don't fit.
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


@composite(**_tests(2))
def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1
) -> Tensor:
    """:func:`conv1d` over two dimensions: ([N,] C, H, W), (O, C / groups, K1, K2), (O,) -> ([N,] O, H', W')."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


@composite(**_tests(3))
def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1
) -> Tensor:
    """:func:`conv1d` over three dimensions: ([N,] C, D, H, W), (O, C / groups, K1, K2, K3), (O,) -> ([N,] O, D', H', W')."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


@composite(**_transpose_tests(1))
def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0, output_padding: Sizes = 0,
    groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of :func:`conv1d` as a linear map: ([N,] C, L), (C, O / groups, K), (O,) -> ([N,] O, L').

    L' is (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1; ``output_padding`` chooses among the lengths that
    the convolution would map to L.

    Raises:
        RuntimeError: when shapes, dtypes or options don't fit.
    """
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@composite(**_transpose_tests(2))
def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0, output_padding: Sizes = 0,
    groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """:func:`conv_transpose1d` over two dimensions: ([N,] C, H, W), (C, O / groups, K1, K2), (O,) -> ([N,] O, H', W')."""
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@composite(**_transpose_tests(3))
def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sizes = 1, padding: Sizes = 0, output_padding: Sizes = 0,
    groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """:func:`conv_transpose1d` over three dimensions: ([N,] C, D, H, W), (C, O / groups, K1, K2, K3), (O,) -> ([N,] O, D', H', W')."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
