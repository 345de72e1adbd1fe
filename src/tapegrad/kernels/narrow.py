"""16-bit floats: stored as such, computed in float32 and rounded once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Whether it is float16 or bfloat16."""
    return dtype.itemsize == 2 and dtype.kind in "fV"


def widen(x: Any) -> Any:
    """The array, or a float32 copy of 16-bit floats; it orders as they do."""
    return x.astype(np.float32) if is_narrow(x.dtype) else x


def in_float32(function: F) -> F:
    """Decorate a function of positional arrays whose results, for 16-bit floats, have their dtype again."""

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        narrow = None
        for a in args:
            if isinstance(a, np.ndarray) and is_narrow(a.dtype):
                narrow = a.dtype
                break
        else:
            return function(*args, **options)
        result = function(*[widen(a) if isinstance(a, np.ndarray) else a for a in args], **options)
        return tuple(r if r is None else r.astype(narrow) for r in result) if isinstance(result, tuple) else result.astype(narrow)

    return wrapper  # type: ignore[return-value]
