"""Convolutions of one, two and three dimensions, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ...ops.create import empty
from ...ops.vision.window_args import Sizes
from ...tensor import Tensor
from .. import functional as F, init
from ..parameter import Parameter
from .layer import Layer
from .utils import check_sizes, declare_parameters, ntuple

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Layer):
    """What all convolutions hold.

    Attributes:
        weight: shape (out_channels, in_channels / groups, *kernel_size), for transposed ones
            (in_channels, out_channels / groups, *kernel_size); uniform within 1 / sqrt(weight.shape[1] * prod(kernel_size)).
        bias: shape (out_channels,), likewise; None without ``bias``.
    """

    _shown = "{in_channels}, {out_channels}, kernel_size={kernel_size}, stride={stride}"
    _shown_unless: ClassVar[dict[str, Any]] = {
        "padding": 0,
        "dilation": 1,
        "output_padding": 0,
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    }
    _dims: ClassVar[int]
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        transposed: bool,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name, dims = type(self).__name__, self._dims
        check_sizes(name, in_channels=in_channels, out_channels=out_channels)
        if groups <= 0:
            raise ValueError(f"{name}: groups must be a positive integer, got {groups}")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {what} must be divisible by groups, got {channels} and {groups}")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"{name}: padding_mode must be one of {_PADDING_MODES}, but got padding_mode={padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = ntuple(kernel_size, dims)
        self.stride = ntuple(stride, dims)
        self.padding = padding if isinstance(padding, str) else ntuple(padding, dims)
        self.dilation = ntuple(dilation, dims)
        self.transposed = transposed
        self.output_padding = ntuple(output_padding, dims)
        given = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
        for what, value in given.items():
            named = what == "padding" and isinstance(value, str)
            if not named and not all(hasattr(n, "__index__") for n in getattr(self, what)):
                raise TypeError(f"{name}: {what} must be an integer or a sequence of {dims} integers, got {value!r}")
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._padding_of_input()
        first, second = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty(first, second, *self.kernel_size, device=device, dtype=dtype))
        declare_parameters(self, (out_channels,), device, dtype, bias=bias)
        self.reset_parameters()

    def _padding_of_input(self) -> list[int]:
        """``padding`` as ``F.pad`` takes it: two numbers per axis, the last axis first."""
        if not isinstance(self.padding, str):
            return [p for p in reversed(self.padding) for _ in range(2)]
        if self.padding not in ("same", "valid"):
            raise ValueError(f"{type(self).__name__}: invalid padding string {self.padding!r}, should be one of 'valid', 'same'")
        if self.padding == "valid":
            return [0] * (2 * self._dims)
        if any(s != 1 for s in self.stride):
            raise ValueError(f"{type(self).__name__}: padding='same' is not supported for strided convolutions, got stride {self.stride}")
        totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        fan_in = math.prod(self.weight.shape[1:])
        if fan_in:
            # With a = sqrt(5), He's bound sqrt(6 / ((1 + a^2) fan_in)) is 1 / sqrt(fan_in).
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))
            if self.bias is not None:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))


class _Conv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, False, 0, groups, bias, padding_mode, device, dtype
        )

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with other weights: what subclasses that reparametrize call."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode), 0
        return type(self)._function(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Conv):
    """Cross-correlation over one axis: (n, in_channels, l) or (in_channels, l) -> (n, out_channels, l').

    Args:
        kernel_size, stride, padding, dilation: a number, or a tuple of one; ``padding`` also "valid" (none) or "same" (l' = l).
        groups: input and output channels are connected within this many groups only.
        padding_mode: what is beyond the ends: "zeros", "reflect", "replicate" or "circular".

    Attributes:
        weight: shape (out_channels, in_channels / groups, kernel_size), uniform within 1 / sqrt(fan in).
        bias: shape (out_channels,), likewise; None without ``bias``.

    Raises:
        ValueError: when channels are no multiples of ``groups``; for another padding mode; for "same" with a stride.
    """

    _dims = 1
    _function = staticmethod(F.conv1d)


class Conv2d(_Conv):
    """Cross-correlation of images: (n, in_channels, h, w) or (in_channels, h, w) -> (n, out_channels, h', w').

    Arguments and attributes are those of :class:`Conv1d`, with two numbers where it has one; ``weight`` has the shape
    (out_channels, in_channels / groups, kernel height, kernel width).
    """

    _dims = 2
    _function = staticmethod(F.conv2d)


class Conv3d(_Conv):
    """Cross-correlation of volumes: (n, in_channels, d, h, w) or (in_channels, d, h, w) -> (n, out_channels, d', h', w').

    Arguments and attributes are those of :class:`Conv1d`, with three numbers where it has one.
    """

    _dims = 3
    _function = staticmethod(F.conv3d)


# ---------------------------------------------------------------------------------------------------------- transposed


class _ConvTransposeNd(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: only padding_mode='zeros' is supported, got {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be an integer or {self._dims} integers, got {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, True, output_padding, groups, bias, padding_mode, device, dtype
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> Any:
        """What to add at the ends to get the size that was asked for; a stride reaches several sizes."""
        if output_size is None:
            return self.output_padding
        dims = self._dims
        sizes = tuple(output_size)[-dims:] if len(output_size) == dims + input.ndim - dims else tuple(output_size)
        if len(sizes) != dims:
            raise ValueError(
                f"{type(self).__name__}: for {input.ndim}D input, output_size must have {dims} or {input.ndim} elements (got {len(output_size)})"
            )
        out = []
        for n, wanted, k, s, p, d in zip(
            input.shape[-dims:], sizes, self.kernel_size, self.stride, self.padding, self.dilation, strict=True
        ):
            least = (n - 1) * s - 2 * p + d * (k - 1) + 1
            if not least <= wanted < least + s:
                raise ValueError(
                    f"{type(self).__name__}: requested an output size of {sizes}, but along an axis of {n} elements valid sizes range "
                    f"from {least} to {least + s - 1}"
                )
            out.append(wanted - least)
        return out

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return type(self)._function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTransposeNd):
    """The gradient of :class:`Conv1d` with respect to its input, as a layer: (n, in_channels, l) -> (n, out_channels, l').

    ``l' = (l - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1``.

    Args:
        output_padding: added at the end, less than ``stride``; ``forward(input, output_size)`` finds it for a size.
        kernel_size, stride, padding, dilation, groups: of the convolution that it is the transpose of.
        padding_mode: "zeros" only.

    Attributes:
        weight: shape (in_channels, out_channels / groups, kernel_size), uniform within
            1 / sqrt(kernel_size * out_channels / groups).
        bias: shape (out_channels,), likewise; None without ``bias``.

    Raises:
        ValueError: when channels are no multiples of ``groups``; for another padding mode; for an output size out of reach.
    """

    _dims = 1
    _function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of :class:`Conv2d`: (n, in_channels, h, w) -> (n, out_channels, h', w'); see :class:`ConvTranspose1d`."""

    _dims = 2
    _function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of :class:`Conv3d`: (n, in_channels, d, h, w) -> (n, out_channels, d', h', w'); see :class:`ConvTranspose1d`."""

    _dims = 3
    _function = staticmethod(F.conv_transpose3d)
