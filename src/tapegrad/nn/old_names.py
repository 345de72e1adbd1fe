"""Names that PyTorch has given up, for old scripts."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ..public import named

P = ParamSpec("P")
R = TypeVar("R")


def without_underscore(function: Callable[P, R], where: str) -> Callable[P, R]:
    """A function that works in place under its name before it ended in "_"; warns. ``where`` is the module's public path."""
    name = function.__name__

    @functools.wraps(function)
    def old(*args: P.args, **kwargs: P.kwargs) -> R:
        warnings.warn(f"{where}.{name[:-1]} is deprecated; call {where}.{name}", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    return named(old, name[:-1], f"Deprecated name of :func:`{name}`.")
