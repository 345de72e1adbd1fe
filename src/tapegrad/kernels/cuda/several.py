"""The backend of a machine with several GPUs: its functions run on the GPU that their arrays are on, whichever is the current one.

As long as arrays were made on the current device only, that costs one comparison for each call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from .array import CudaArray
from .context import context

_ANYWHERE = {"on_device", "numbered", "need_device", "borrowed", "from_device", "from_interface", "to_host", "ready_for", "learn", "surely_all"}


class Following(ModuleType):
    """A backend whose functions follow their arrays."""

    def __init__(self, backend: ModuleType) -> None:
        super().__init__(backend.__name__, backend.__doc__)
        self.__dict__["_backend"] = backend

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._backend, name)
        if callable(value) and name not in _ANYWHERE:
            value = following(value)
        setattr(self, name, value)
        return value


def following(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run with the device of the first array among its arguments as the current one."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = context.device
        if context.only == before:
            return function(*args, **kwargs)
        first = _first_array(args) or _first_array(kwargs.values())
        device = before if first is None else first[0].device
        if device == before:
            return function(*args, **kwargs)
        context.use(device)
        try:
            return function(*args, **kwargs)
        finally:
            context.use(before)

    return call


def _first_array(values: Iterable[Any]) -> tuple[CudaArray] | None:
    """The first array among values, and in lists and tuples among them."""
    for x in values:
        kind = x.__class__
        if kind is CudaArray:
            return (x,)
        if kind is tuple or kind is list:
            found = _first_array(x)
            if found is not None:
                return found
    return None
