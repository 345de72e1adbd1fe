"""Channels rearranged: into pixels, from pixels, and among themselves."""

from __future__ import annotations

from ...tensor import Tensor
from .. import functional as F
from .layer import Layer

__all__ = ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle"]


class PixelShuffle(Layer):
    """(..., c r^2, h, w) -> (..., c, h r, w r) with r = ``upscale_factor`` (Shi et al., https://arxiv.org/abs/1609.05158)."""

    _shown = "upscale_factor={upscale_factor}"

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)


class PixelUnshuffle(Layer):
    """The inverse of :class:`PixelShuffle`: (..., c, h r, w r) -> (..., c r^2, h, w) with r = ``downscale_factor``."""

    _shown = "downscale_factor={downscale_factor}"

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)


class ChannelShuffle(Layer):
    """Channels of (n, c, ...) in ``groups``, dealt out one of each group at a time (https://arxiv.org/abs/1707.01083)."""

    _shown = "groups={groups}"

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)
