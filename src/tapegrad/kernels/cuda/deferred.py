"""Words of the language that stand for Numba's until a kernel is compiled, so that a process whose kernels are all on disk never imports it."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any


class Word:
    """A name of ``intrinsics``, or an attribute of one: what kernels mention, and what a builder binds to a local name."""

    __slots__ = ("path",)
    path: str

    def __init__(self, path: str) -> None:
        object.__setattr__(self, "path", path)

    def found(self) -> Any:
        """What Numba knows it as.

        Raises:
            AttributeError: when there is no such word.
        """
        from . import intrinsics

        return functools.reduce(getattr, self.path.split("."), intrinsics)

    def __getattr__(self, name: str) -> Word:
        if name.startswith("__"):
            raise AttributeError(name)
        return word(f"{self.path}.{name}")

    def __call__(self, *arguments: Any) -> Any:
        return self.found()(*arguments)

    def __repr__(self) -> str:
        return f"<{self.path} of the language of kernels>"


@functools.cache
def word(path: str) -> Word:
    """The same word for the same name."""
    return Word(path)


class DeviceFunction:
    """A function that kernels call, compiled with the first of them."""

    __slots__ = ("__weakref__", "_compiled", "function")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._compiled: Any = None

    def found(self) -> Any:
        """What Numba knows it as."""
        from . import intrinsics

        if self._compiled is None:
            self._compiled = intrinsics.device(linked(self.function))
        return self._compiled


device = DeviceFunction


def linked(function: Any) -> Any:
    """The function with what it mentions by name, as a global or from the function around it, in place of the words that stand for it."""
    code = function.__code__
    scope = dict(function.__globals__)
    for name in _names(code):
        if name in scope:
            scope[name] = _found(scope[name])
    cells = None if function.__closure__ is None else tuple([types.CellType(_found(cell.cell_contents)) for cell in function.__closure__])
    made = types.FunctionType(code, scope, function.__name__, function.__defaults__, cells)
    made.__qualname__, made.__module__, made.__doc__ = function.__qualname__, function.__module__, function.__doc__
    return made


def _names(code: types.CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _found(value: Any) -> Any:
    from . import intrinsics, language

    if value is language:
        return intrinsics
    if value.__class__ is tuple:
        return tuple([_found(x) for x in value])
    if value.__class__ not in (Word, DeviceFunction):
        return value
    try:
        return value.found()
    except AttributeError:  # bound, but no word: the compiler says so where it is used
        return value
