"""Capsules of memory shared with other libraries, as ``torch.utils.dlpack``; ``tapegrad.from_dlpack`` takes their tensors as they are."""

from __future__ import annotations

from ..ops.dlpack import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
