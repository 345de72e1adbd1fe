"""Pooling over windows of one, two and three dimensions: inputs (n, channels, *space) or (channels, *space).

Sizes are a number for all axes or one for each; ``stride`` is the window's size by default. ``ceil_mode`` lets a last window hang over
the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ...ops.vision.window_args import Sizes
from ...tensor import Tensor
from .. import functional as F
from .layer import Layer
from .utils import ntuple

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _Pool(Layer):
    _dims: ClassVar[int]
    _function: ClassVar[Callable[..., Any]]


# --------------------------------------------------------------------------------------------------------------- maximum


class _MaxPool(_Pool):
    _shown = "kernel_size={kernel_size}, stride={stride}, padding={padding}, dilation={dilation}, ceil_mode={ceil_mode}"

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return type(self)._function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of (n, c, l); padding counts as -inf.

    With ``return_indices`` also where it is, as an index into the flattened space: what :class:`MaxUnpool1d` takes.
    """

    _function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """:class:`MaxPool1d` over windows of (n, c, h, w)."""

    _function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """:class:`MaxPool1d` over windows of (n, c, d, h, w)."""

    _function = staticmethod(F.max_pool3d)


class _MaxUnpool(_Pool):
    _shown = "kernel_size={kernel_size}, stride={stride}, padding={padding}"

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, self._dims)
        self.stride = ntuple(kernel_size if stride is None else stride, self._dims)
        self.padding = ntuple(padding, self._dims)

    def forward(self, input: Tensor, indices: Tensor, output_size: list[int] | None = None) -> Tensor:
        return type(self)._function(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpool):
    """Puts maxima back where ``indices`` of :class:`MaxPool1d` say, among zeros; ``output_size`` resolves sizes that pool alike."""

    _dims = 1
    _function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """:class:`MaxUnpool1d` of (n, c, h, w)."""

    _dims = 2
    _function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """:class:`MaxUnpool1d` of (n, c, d, h, w)."""

    _dims = 3
    _function = staticmethod(F.max_unpool3d)


class _FractionalMaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name, dims = type(self).__name__, self._dims
        self.kernel_size = ntuple(kernel_size, dims)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else ntuple(output_size, dims)
        self.output_ratio = None if output_ratio is None else ntuple(output_ratio, dims)
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{name}: give exactly one of output_size and output_ratio")
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"{name}: output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        return type(self)._function(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima over windows whose steps are drawn at random, for a size that need not divide (https://arxiv.org/abs/1412.6071).

    Args:
        kernel_size: of the windows.
        output_size: (h', w'), or
        output_ratio: how much of each axis is left, between 0 and 1.
        return_indices: also return where the maxima are.

    Raises:
        ValueError: unless exactly one of size and ratio is given, and ratios are within (0, 1).
    """

    _dims = 2
    _function = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """:class:`FractionalMaxPool2d` over (n, c, d, h, w)."""

    _dims = 3
    _function = staticmethod(F.fractional_max_pool3d)


# ----------------------------------------------------------------------------------------------------------------- means


class AvgPool1d(_Pool):
    """The mean of each window of (n, c, l); with ``count_include_pad`` the zeros of the padding count."""

    _shown = "kernel_size={kernel_size}, stride={stride}, padding={padding}"

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, 1)
        self.stride = ntuple(kernel_size if stride is None else stride, 1)
        self.padding = ntuple(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPool(_Pool):
    _shown = "kernel_size={kernel_size}, stride={stride}, padding={padding}"

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        )


class AvgPool2d(_AvgPool):
    """:class:`AvgPool1d` over windows of (n, c, h, w); ``divisor_override`` divides the sums instead of the window's size."""

    _function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """:class:`AvgPool2d` over windows of (n, c, d, h, w)."""

    _function = staticmethod(F.avg_pool3d)


class _LPPool(_Pool):
    _shown = "norm_type={norm_type}, kernel_size={kernel_size}, stride={stride}, ceil_mode={ceil_mode}"

    def __init__(self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool1d(_LPPool):
    """``(sum of x^p)^(1/p)`` of each window of (n, c, l), with p = ``norm_type``."""

    _function = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """:class:`LPPool1d` over windows of (n, c, h, w)."""

    _function = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """:class:`LPPool1d` over windows of (n, c, d, h, w)."""

    _function = staticmethod(F.lp_pool3d)


# ------------------------------------------------------------------------------------------------- to a size that is given


class _AdaptiveAvgPool(_Pool):
    _shown = "output_size={output_size}"

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._function(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over as many windows as ``output_size`` says, which cover the input evenly."""

    _function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """:class:`AdaptiveAvgPool1d` over (n, c, h, w); None keeps an axis as it is."""

    _function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """:class:`AdaptiveAvgPool1d` over (n, c, d, h, w); None keeps an axis as it is."""

    _function = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_Pool):
    _shown = "output_size={output_size}"

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self)._function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima over as many windows as ``output_size`` says, which cover the input evenly."""

    _function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """:class:`AdaptiveMaxPool1d` over (n, c, h, w); None keeps an axis as it is."""

    _function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """:class:`AdaptiveMaxPool1d` over (n, c, d, h, w); None keeps an axis as it is."""

    _function = staticmethod(F.adaptive_max_pool3d)
