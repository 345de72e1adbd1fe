"""Functions whose code is written when they are first called, since importing declares hundreds of them."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from types import FunctionType
from typing import Any


def _stub(*args: Any, **kwargs: Any) -> Any:
    return _first(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821  # in the function's own globals


def written_when_called(name: str, write: Callable[[dict[str, Any]], str]) -> Callable[..., Any]:
    """The function that ``write(scope)`` defines as ``call``; its source is asked for at the first call.

    Args:
        name: of the function; tracebacks show its source under it.
        write: returns the source and puts what it refers to into ``scope``.
    """
    scope: dict[str, Any] = {"__name__": "tapegrad.ops"}
    function = FunctionType(_stub.__code__, scope, name)

    def first(*args: Any, **kwargs: Any) -> Any:
        made: Any = run_source(f"<tapegrad {name}>", write(scope), scope, "call")
        function.__defaults__, function.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
        function.__code__ = made.__code__.replace(co_name=name, co_qualname=name)
        return function(*args, **kwargs)

    scope["_first"] = first  # kept: another thread may be about to call it
    return function


def run_source(file: str, source: str, scope: dict[str, Any], wanted: str) -> Any:
    """Execute source text in ``scope`` and take ``wanted`` out of it; tracebacks show the lines."""
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), scope)
    return scope.pop(wanted)
