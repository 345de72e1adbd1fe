"""Images of another size, by interpolation."""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from .. import functional as F
from .layer import Layer

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]


class Upsample(Layer):
    """(n, c, *space) at another size: ``size`` for each axis (or one for all), or a ``scale_factor``.

    Args:
        size: of the output.
        scale_factor: what the sizes are multiplied by, instead.
        mode: "nearest", "nearest-exact", "linear" (n, c, l), "bilinear" or "bicubic" (n, c, h, w), "trilinear" (n, c, d, h, w).
        align_corners: whether the outermost elements stay where they are, in the modes that interpolate.
        recompute_scale_factor: interpolate with the ratio of the sizes rather than ``scale_factor``.
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        self.scale_factor = tuple(map(float, scale_factor)) if isinstance(scale_factor, tuple) else scale_factor and float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        extent = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{extent}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """:class:`Upsample` of (n, c, h, w) by repeating elements."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """:class:`Upsample` of (n, c, h, w) by bilinear interpolation with aligned corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
