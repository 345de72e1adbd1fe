"""NumPy's hook for the memory of arrays (https://numpy.org/neps/nep-0049.html): an array remembers the handler that its memory is from, and
calls its ``free`` when it dies."""

from __future__ import annotations

import ctypes
from typing import Any

_NAME = b"mem_handler"  # of every capsule with one


class Handler(ctypes.Structure):
    """``PyDataMem_Handler`` of numpy/ndarraytypes.h: a name, the version 1, the first argument of the functions, and these."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("pool", ctypes.c_void_p),
        *[(name, ctypes.c_void_p) for name in ("malloc", "calloc", "realloc", "free")],
    )


def capsule_of(handler: Handler) -> Any:
    """What NumPy takes for a handler, which the caller keeps until the process ends."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make(ctypes.addressof(handler), _NAME, None)
