"""The backend of a machine with several GPUs: its functions run on the GPU that their arrays are on, whichever is the current one.

As long as arrays were made on the current device only, that costs one comparison for each call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from ..device_errors import ApartError
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
    """The function, run with the device of its arrays as the current one.

    Raises:
        ApartError: when they are on several.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = context.device
        if context.only == before:
            return function(*args, **kwargs)
        device = _device(args, _device(kwargs.values(), None))
        if device is None or device == before:
            return function(*args, **kwargs)
        context.use(device)
        try:
            return function(*args, **kwargs)
        finally:
            context.use(before)

    return call


def _device(values: Iterable[Any], found: int | None) -> int | None:
    """The device that arrays among values, and in lists and tuples among them, are on, where others are on ``found``."""
    for x in values:
        kind = x.__class__
        if kind is CudaArray:
            device = x.device
            if found is None:
                found = device
            elif device != found:
                raise ApartError(f"an array of shape {x.shape} is on cuda:{device}, and others on cuda:{found}; move it with .to('cuda:{found}')")
        elif kind is tuple or kind is list:
            found = _device(x, found)
    return found
