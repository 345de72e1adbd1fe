"""Hooks around an optimizer's step, its state dict, and loading one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..hooks import RemovableHandle

_EVENTS = ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")
_everywhere: dict[str, dict[int, Callable[..., Any]]] = {"step_pre": {}, "step_post": {}}


class Hooks:
    """What registers the hooks of one optimizer. Every method returns a handle whose ``remove()`` takes the hook away."""

    _in_step = False
    _opt_called = False  # a scheduler warns when it is stepped before

    def __init__(self) -> None:
        self._hooks: dict[str, dict[int, Callable[..., Any]]] = {event: {} for event in _EVENTS}

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return ``(args, kwargs)`` to use instead.

        As in PyTorch, ``args`` begins with the optimizer.
        """
        return self._register("step_pre", hook)

    def register_step_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return self._register("step_post", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., None], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before each ``state_dict()``; with ``prepend``, before the hooks that are there."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` with what ``state_dict()`` made; it may return another to use instead."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` with a shallow copy of what is to be loaded; it may return another."""
        return self._register("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after a state dict was loaded."""
        return self._register("load_state_dict_post", hook, prepend)

    def _register(self, event: str, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        return RemovableHandle(self._hooks[event], hook, prepend)

    def _replaced(self, event: str, state_dict: Any) -> Any:
        """The state dict after the hooks of an event have seen it."""
        for hook in list(self._hooks[event].values()):
            result = hook(self, state_dict)
            state_dict = state_dict if result is None else result
        return state_dict

    def _call(self, event: str) -> None:
        for hook in list(self._hooks[event].values()):
            hook(self)


def hooked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The ``step`` of a class, as its instances run it: hooks around it, once also when it calls the ``step`` of its base class."""

    @functools.wraps(function)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True
        own = self._hooks
        if self._in_step or not (own["step_pre"] or own["step_post"] or _everywhere["step_pre"] or _everywhere["step_post"]):
            return function(self, *args, **kwargs)
        before = [*_everywhere["step_pre"].values(), *own["step_pre"].values()]
        after = [*own["step_post"].values(), *_everywhere["step_post"].values()]
        self._in_step = True
        try:
            args = (self, *args)
            for hook in before:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise RuntimeError(f"a step pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed!r}")
                    args, kwargs = changed
            result = function(*args, **kwargs)
            for hook in after:
                hook(self, args, kwargs)
        finally:
            self._in_step = False
        return result

    return step


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """:meth:`Hooks.register_step_pre_hook` for every optimizer."""
    return RemovableHandle(_everywhere["step_pre"], hook)


def register_optimizer_step_post_hook(hook: Callable[..., None]) -> RemovableHandle:
    """:meth:`Hooks.register_step_post_hook` for every optimizer."""
    return RemovableHandle(_everywhere["step_post"], hook)
