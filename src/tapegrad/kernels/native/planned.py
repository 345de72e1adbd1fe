"""Functions whose work is planned once: a call with arguments like those of an earlier one is native code, without the interpreter.

The first call with arguments of a kind runs the function and notes what it launches; the next ones find that by the arrays' layouts and the
parameters' values. Each backend says what a key and a plan are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..once import once
from .plans import Plans

_MOST_HOPELESS = 2048
R = TypeVar("R")
Key = tuple[int, ...]
Plan = tuple[list[int], list[int], list[Any]]  # as ``Plans.add`` takes it


class Planned(Generic[R]):
    """A function with plans; ``quick`` is its native form, which returns None where it has none and takes arguments by position."""

    def __init__(self, function: Callable[..., R], plans: Plans) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._plans = plans
        self._hopeless: set[Key] = set()  # keys of calls that can't be planned

    def __call__(self, *args: Any, **named: Any) -> R:
        if named:
            bound = inspect.signature(self._function).bind(*args, **named)
            bound.apply_defaults()
            args = bound.args
        result: R | None = self.quick(*args)
        if result is not None:
            return result
        key = self._key(args) if self._plans.wanted() else None
        if key is None or key in self._hopeless or not self._apart(args):
            return self._function(*args)
        return self._learn(key, args)

    @once
    def quick(self) -> Callable[..., Any]:
        """``quick(*args)``: the result, or None where there is no plan for such arguments, or launches are being noted."""
        return self._plans.quick()

    def _learn(self, key: Key, args: tuple[Any, ...]) -> R:
        result, plan = self._note(args)
        if plan is not None:
            self._plans.add(key, *plan)
        elif len(self._hopeless) < _MOST_HOPELESS:
            self._hopeless.add(key)
        return result

    def _key(self, args: tuple[Any, ...]) -> Key | None:
        """What finds the plan of a call; None for a call without one."""
        raise NotImplementedError

    def _apart(self, args: tuple[Any, ...]) -> bool:
        """Whether no two arrays have the same memory: only then it is known which one a launch was given."""
        raise NotImplementedError

    def _note(self, args: tuple[Any, ...]) -> tuple[R, Plan | None]:
        """The function's result, and the plan of what it launched; None where no call with this key can have one."""
        raise NotImplementedError
