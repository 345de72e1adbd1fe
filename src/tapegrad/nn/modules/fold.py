"""Images as columns of patches, and back."""

from __future__ import annotations

from ...ops.vision.window_args import Sizes
from ...tensor import Tensor
from .. import functional as F
from .layer import Layer

__all__ = ["Fold", "Unfold"]


class Unfold(Layer):
    """The patches of images (n, c, h, w) as columns: (n, c prod(kernel_size), number of patches)."""

    _shown = "kernel_size={kernel_size}, dilation={dilation}, padding={padding}, stride={stride}"

    def __init__(self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(Layer):
    """The sum of patches, put back where :class:`Unfold` took them from images of ``output_size``: (n, c, *output_size)."""

    _shown = "output_size={output_size}, kernel_size={kernel_size}, dilation={dilation}, padding={padding}, stride={stride}"

    def __init__(self, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)
