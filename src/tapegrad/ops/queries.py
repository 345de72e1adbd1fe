"""What a value is."""

from __future__ import annotations

from typing import Any, TypeGuard

from ..tensor import Tensor

__all__ = ["is_complex", "is_floating_point", "is_nonzero", "is_tensor"]


def is_tensor(obj: Any) -> TypeGuard[Tensor]:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the tensor's dtype is a real floating-point type."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Whether the tensor's dtype is complex."""
    return input.is_complex()


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element of a tensor is not 0.

    Raises:
        RuntimeError: when there is not exactly one element.
    """
    return bool(input)
