"""Padding of the last one, two or three dimensions.

``padding`` is a number for all sides or a tuple (left, right), (left, right, top, bottom), (left, right, top, bottom, front, back).
Negative numbers crop.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...ops.vision.window_args import Sizes
from ...tensor import Tensor
from .. import functional as F
from .layer import Layer
from .utils import ntuple

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Layer):
    _mode: ClassVar[str]
    _dims: ClassVar[int]
    _shown = "{padding}"

    def __init__(self, padding: Sizes) -> None:
        super().__init__()
        self.padding = ntuple(padding, 2 * self._dims)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)


class _ConstantPad(_Pad):
    _mode = "constant"
    _shown = "padding={padding}, value={value}"

    def __init__(self, padding: Sizes, value: Any) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode, self.value)


class ConstantPad1d(_ConstantPad):
    """Puts ``value`` before and after the last dimension."""

    _dims = 1


class ConstantPad2d(_ConstantPad):
    """Puts ``value`` around the last two dimensions."""

    _dims = 2


class ConstantPad3d(_ConstantPad):
    """Puts ``value`` around the last three dimensions."""

    _dims = 3


class ZeroPad1d(ConstantPad1d):
    """Puts zeros before and after the last dimension."""

    _shown = "{padding}"

    def __init__(self, padding: Sizes) -> None:
        super().__init__(padding, 0.0)


class ZeroPad2d(ConstantPad2d):
    """Puts zeros around the last two dimensions."""

    _shown = "{padding}"

    def __init__(self, padding: Sizes) -> None:
        super().__init__(padding, 0.0)


class ZeroPad3d(ConstantPad3d):
    """Puts zeros around the last three dimensions."""

    _shown = "{padding}"

    def __init__(self, padding: Sizes) -> None:
        super().__init__(padding, 0.0)


class ReflectionPad1d(_Pad):
    """Mirrors the last dimension at its ends, which are not repeated."""

    _mode, _dims = "reflect", 1


class ReflectionPad2d(_Pad):
    """Mirrors the last two dimensions at their ends, which are not repeated."""

    _mode, _dims = "reflect", 2


class ReflectionPad3d(_Pad):
    """Mirrors the last three dimensions at their ends, which are not repeated."""

    _mode, _dims = "reflect", 3


class ReplicationPad1d(_Pad):
    """Repeats the first and the last element of the last dimension."""

    _mode, _dims = "replicate", 1


class ReplicationPad2d(_Pad):
    """Repeats the ends of the last two dimensions."""

    _mode, _dims = "replicate", 2


class ReplicationPad3d(_Pad):
    """Repeats the ends of the last three dimensions."""

    _mode, _dims = "replicate", 3


class CircularPad1d(_Pad):
    """Continues the last dimension from its other end."""

    _mode, _dims = "circular", 1


class CircularPad2d(_Pad):
    """Continues the last two dimensions from their other ends."""

    _mode, _dims = "circular", 2


class CircularPad3d(_Pad):
    """Continues the last three dimensions from their other ends."""

    _mode, _dims = "circular", 3
