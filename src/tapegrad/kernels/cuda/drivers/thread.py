"""What of a thread native code looks up: its current device, that one's stream, the device that the driver has active in it, and cuBLAS's
handle, with the device, the stream and the mode that it is set to.

These are words of an array that the interpreter's dictionary of the thread holds, so they end with it.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np

DEVICE, STREAM, ACTIVE, BLAS, BLAS_DEVICE, BLAS_STREAM, BLAS_MODE = range(7)
NONE = -1  # ACTIVE before a device is used, BLAS_DEVICE before cuBLAS is set


class _Key:
    """Of the thread's dictionary."""


KEY = _Key()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.words: Any = np.array([0, 0, NONE, 0, NONE, 0, 0], np.int64)
        found = ctypes.pythonapi.PyThreadState_GetDict
        found.restype, found.argtypes = ctypes.c_void_p, []
        put = ctypes.pythonapi.PyDict_SetItem
        put.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
        put(found(), KEY, self.words)


_thread = _Thread()


def thread_words() -> Any:
    """This thread's words, an array of int64."""
    return _thread.words


def activated(device: int) -> None:
    """Note that the driver has a device active in this thread."""
    _thread.words[ACTIVE] = device
