"""Batches in pinned memory, from which copies to a GPU need not wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...tensor import Tensor


def pinned(batch: Any) -> Any:
    """A batch with its tensors, and what else has ``pin_memory()``, in pinned memory."""
    if isinstance(batch, Tensor) or hasattr(batch, "pin_memory"):
        return batch if getattr(batch, "is_cuda", False) else batch.pin_memory()
    if isinstance(batch, Mapping):
        return {key: pinned(value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(pinned, batch))
    return type(batch)(map(pinned, batch)) if isinstance(batch, (list, tuple)) else batch
