"""Python functions in the place of NVIDIA's: native code calls them as it calls the driver."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

_Int, _Word = ctypes.c_uint, ctypes.c_void_p
_LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int, _Word, _Int, _Int, _Int, _Int, _Int, _Int, _Int, _Word, _Word, _Word)  # cuLaunchKernel
_FILL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_ubyte, ctypes.c_size_t, _Word)  # cuMemsetD8Async
_FAILED = 999  # CUDA_ERROR_UNKNOWN


class Calls:
    """Functions with the addresses that native code has.

    Args:
        launch: ``launch(handle, grid, block, shared, stream, arguments)``.
        fill: ``fill(address, byte, size, stream)``.
    """

    def __init__(self, launch: Callable[..., None], fill: Callable[..., None]) -> None:
        self._error = threading.local()

        def launched(handle: Any, gx: int, gy: int, gz: int, x: int, y: int, z: int, shared: int, stream: Any, parameters: int, kinds: int) -> int:
            return self._tried(launch, handle, (gx, gy, gz), (x, y, z), shared, stream or 0, _arguments(parameters, kinds))

        def filled(address: int, byte: int, size: int, stream: Any) -> int:
            return self._tried(fill, address, byte, size, stream or 0)

        self._functions = _LAUNCH(launched), _FILL(filled)
        launch_address, fill_address = (ctypes.cast(f, _Word).value or 0 for f in self._functions)
        self.addresses = launch_address, fill_address

    def _tried(self, function: Callable[..., None], *arguments: Any) -> int:
        try:
            function(*arguments)
        except BaseException as error:  # raised again where the call came from
            self._error.raised = error
            return _FAILED
        return 0

    def raise_error(self) -> NoReturn:
        """Raise what the last call of this thread failed with."""
        raise self._error.raised


def _arguments(parameters: int, kinds: int) -> tuple[Any, ...]:
    """The values of parameters, by the words that say what they are: see ``Driver.described``."""
    count, *what = (ctypes.c_int64 * (1 + ctypes.c_int64.from_address(kinds).value)).from_address(kinds)
    places = (ctypes.c_void_p * count).from_address(parameters) if count else ()
    values: list[Any] = []
    for place, kind in zip(places, what, strict=True):
        kept = (ctypes.c_int64, ctypes.c_float, ctypes.c_double)[kind].from_address(place).value
        values.append((int, np.float32, np.float64)[kind](kept))
    return tuple(values)
