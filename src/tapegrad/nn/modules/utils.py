"""What layers do with their arguments: sizes, and values for all axes or for each."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...ops.create import empty
from ..parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


def check_sizes(layer: str, **sizes: Any) -> None:
    """Raise when a layer's sizes are no sizes.

    Raises:
        TypeError: for one that is no integer.
        RuntimeError: for a negative one.
    """
    for name, size in sizes.items():
        if not isinstance(size, numbers.Integral):
            raise TypeError(f"{layer}: {name} must be an integer, got {size!r}")
        if size < 0:
            raise RuntimeError(f"{layer}: {name} must not be negative, got {size}")


def declare_parameters(module: Module, shape: Sequence[int], device: Any, dtype: Any, **wanted: bool) -> None:
    """Register a parameter of that shape, still to be filled, under each name; None under those that are not wanted."""
    for name, want in wanted.items():
        module.register_parameter(name, Parameter(empty(tuple(shape), device=device, dtype=dtype)) if want else None)


def ntuple(value: Any, dims: int) -> tuple[Any, ...]:
    """One value for each of ``dims`` axes, as PyTorch's layers keep their arguments."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,) * dims


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take ``prefix`` off the names that begin with it, in place: files of wrapped models begin with "module."."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[name.removeprefix(prefix)] = state_dict.pop(name)
    metadata = getattr(state_dict, "_metadata", {})
    for name in [name for name in metadata if name == prefix[:-1] or name.startswith(prefix)]:
        metadata[name[len(prefix) :]] = metadata.pop(name)


# PyTorch's names, which scripts import.
_single, _pair, _triple, _quadruple = (functools.partial(ntuple, dims=n) for n in (1, 2, 3, 4))
