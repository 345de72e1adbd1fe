"""Names of a package that are imported when they are first used, so that importing the package stays light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any


def imported_on_use(
    package: str, names: Iterable[str], file: Callable[[str], str] = str.lower, missing: Callable[[str], str] | None = None
) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package.

    Args:
        package: its ``__name__``.
        names: of modules in it, and of what is in modules.
        file: the module's name for each; a name that equals it means the module itself.
        missing: what an AttributeError says of another name.
    """
    known = frozenset(names)

    def __getattr__(name: str) -> Any:
        if name not in known:
            message = f"{package} has no {name!r}" if missing is None else missing(name)
            raise AttributeError(message, name=name, obj=sys.modules[package])
        module = importlib.import_module(f".{file(name)}", package)
        value = module if file(name) == name else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
