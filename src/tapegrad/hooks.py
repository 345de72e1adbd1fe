"""Hooks on a tensor's gradient."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from .tensor import Tensor


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away; also a context manager."""

    _ids = itertools.count()

    def __init__(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any], prepend: bool = False) -> None:
        self.id = next(self._ids)
        self._hooks = hooks
        self._name = getattr(hook, "__qualname__", None) or type(hook).__name__
        others = [(key, hooks.pop(key)) for key in list(hooks)] if prepend else ()
        hooks[self.id] = hook
        hooks.update(others)

    def remove(self) -> None:
        """Take the hook away; doing so twice is harmless."""
        self._hooks.pop(self.id, None)

    def __repr__(self) -> str:
        state = "registered" if self.id in self._hooks else "removed"
        return f"<RemovableHandle of {self._name}: {state}>"

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def _edge_of(self: Tensor, what: str) -> Any:
    if self._entry is None:
        raise RuntimeError(f"{what}: the tensor (shape {tuple(self.shape)}) does not require grad")
    return self._entry


def _check_callable(hook: Any, what: str) -> None:
    if not callable(hook):
        raise TypeError(f"{what}: the hook must be a function, got {type(hook).__name__}")


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call ``hook(grad)`` when this tensor's gradient is complete; a tensor it returns replaces the gradient.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with x.register_hook(lambda g: 10 * g):
    ...     x.sum().backward()
    >>> x.grad
    tensor([10., 10.])

    Raises:
        RuntimeError: when the tensor does not require grad.
        TypeError: when the hook can't be called.
    """
    edge = _edge_of(self, "register_hook")
    _check_callable(hook, "register_hook")
    return RemovableHandle(edge.more().hooks, hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call ``hook(tensor)`` after a backward pass has accumulated into this leaf's ``.grad``."""
    edge = _edge_of(self, "register_post_accumulate_grad_hook")
    _check_callable(hook, "register_post_accumulate_grad_hook")
    if not edge.is_leaf:
        raise RuntimeError("register_post_accumulate_grad_hook: only leaf tensors accumulate gradients; use register_hook")
    return RemovableHandle(edge.more().post_hooks, hook)


def retain_grad(self: Tensor) -> None:
    """Let backward keep this tensor's gradient in ``.grad`` although it is not a leaf."""
    edge = _edge_of(self, "retain_grad")
    if not edge.is_leaf:
        edge.more().retained = weakref.ref(self)


def retains_grad(self: Tensor) -> bool:
    """Whether backward keeps this tensor's gradient although it is not a leaf."""
    entry = self._entry
    return entry is not None and not entry.is_leaf and entry.extra is not None and entry.extra.retained is not None
