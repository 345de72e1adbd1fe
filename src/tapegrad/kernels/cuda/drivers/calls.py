"""Python functions in the place of NVIDIA's: native code calls them as it calls the driver."""

from __future__ import annotations

import ctypes
import threading
from typing import Any, NoReturn

import numpy as np

from .thread import DEVICE, activated, thread_words

_Int, _Word = ctypes.c_uint, ctypes.c_void_p
_LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int, _Word, _Int, _Int, _Int, _Int, _Int, _Int, _Int, _Word, _Word, _Word)  # cuLaunchKernel
_FILL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_ubyte, ctypes.c_size_t, _Word)  # cuMemsetD8Async
_FAILED = 999  # CUDA_ERROR_UNKNOWN


class Called:
    """A driver that launches by ``launch(device, stream, loaded, grid, block, shared, arguments)``, where addresses and ints are ints and other
    numbers NumPy's, and writes bytes by ``fill(device, stream, address, byte, size)``."""

    described = True
    launch: Any
    fill: Any

    def __init__(self) -> None:
        self._loaded: list[Any] = []
        self._error = threading.local()
        self._lock = threading.RLock()  # of the books; a finalizer may run in the middle

        def launched(handle: int, gx: int, gy: int, gz: int, x: int, y: int, z: int, shared: int, stream: Any, parameters: int, kinds: int) -> int:
            loaded = self._loaded[handle - 1]
            return self._tried(self.launch, stream, loaded, (gx, gy, gz), (x, y, z), shared, _arguments(parameters, kinds))

        def filled(address: int, byte: int, size: int, stream: Any) -> int:
            return self._tried(self.fill, stream, address, byte, size)

        self._functions = _LAUNCH(launched), _FILL(filled)

    def _tried(self, function: Any, stream: Any, *arguments: Any) -> int:
        try:
            function(int(thread_words()[DEVICE]), stream or 0, *arguments)
        except BaseException as error:  # raised again where the call came from
            self._error.raised = error
            return _FAILED
        return 0

    def handle(self, loaded: Any) -> int:
        with self._lock:
            self._loaded.append(loaded)
            return len(self._loaded)

    def functions(self) -> tuple[int, int]:
        launch, fill = (ctypes.cast(f, _Word).value or 0 for f in self._functions)
        return launch, fill

    def failed(self, result: int) -> NoReturn:
        raise self._error.raised

    def activate(self, device: int) -> None:
        activated(device)


def _arguments(parameters: int, kinds: int) -> tuple[Any, ...]:
    """The values of parameters, by the words that say what they are: see ``Driver.described``."""
    count, *what = (ctypes.c_int64 * (1 + ctypes.c_int64.from_address(kinds).value)).from_address(kinds)
    places = (ctypes.c_void_p * count).from_address(parameters) if count else ()
    values: list[Any] = []
    for place, kind in zip(places, what, strict=True):
        kept = (ctypes.c_int64, ctypes.c_float, ctypes.c_double)[kind].from_address(place).value
        values.append((int, np.float32, np.float64)[kind](kept))
    return tuple(values)
