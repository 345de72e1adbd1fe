"""Utilities: loading data, recomputation instead of memory, what memory is needed for, memory shared with other libraries, logs of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import imported_on_use

if TYPE_CHECKING:
    from . import checkpoint, data, dlpack, memory, tensorboard

__all__ = ["checkpoint", "data", "dlpack", "memory", "tensorboard"]


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


if not TYPE_CHECKING:  # a type checker should know what there is; data needs multiprocessing
    __getattr__ = imported_on_use(__name__, __all__)
