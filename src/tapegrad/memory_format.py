"""Memory formats, as ``torch.memory_format``: accepted wherever PyTorch takes one, and without effect on the order of a result."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["channels_last", "channels_last_3d", "contiguous_format", "memory_format", "preserve_format"]


class memory_format:
    """An order of dimensions in memory; one of the four there are."""

    __slots__ = ("channels_last", "name")

    def __init__(self, name: str, channels_last: int = 0) -> None:
        self.name = name
        self.channels_last = channels_last  # of tensors of so many dimensions, if any

    def describes(self, array: Any) -> bool:
        """Whether the elements of an array lie in this order, without gaps."""
        if self.channels_last:
            return array.ndim == self.channels_last and bool(np.moveaxis(array, 1, -1).flags.c_contiguous)
        return bool(array.flags.c_contiguous)

    def __repr__(self) -> str:
        return f"tapegrad.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last", 4)
channels_last_3d = memory_format("channels_last_3d", 5)
