"""The address of an array's first element, which NumPy takes a microsecond to tell, from native code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..native import runtime as rt
from ..native.call import builtin
from ..native.words import call, get, load


def _address(self: int, args: int, nargs: int) -> int:
    control = load(self + rt.DATA)
    return call(get(control, 1), load(get(args, 0) + rt.DATA))


address_of: Callable[[Any], int] = builtin(_address, np.array([rt.address, rt.c_function("PyLong_FromLongLong")], np.int64))
"""``address_of(array)``: an int."""
