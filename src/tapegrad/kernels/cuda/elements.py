"""Elements of arrays as kernels see them: what they lie in memory as, and in which dtype they are computed."""

from __future__ import annotations

import functools
from typing import Any

from . import language as L
from .language import device

_STORED = {"float16": "uint16", "bfloat16": "uint16", "bool": "uint8"}
_COMPUTED = {"float16": "float32", "bfloat16": "float32", "bool": "uint8"}


def stored(dtype: str) -> str:
    """The type that elements of a dtype are read and written as: of 16-bit floats the bits."""
    return _STORED.get(dtype, dtype)


def computed(dtype: str) -> str:
    """The type that elements are computed in: float32 for 16-bit floats."""
    return _COMPUTED.get(dtype, dtype)


def type_of(dtype: str) -> Any:
    """The language's constructor of what a dtype is computed in: ``type_of("bfloat16")`` is float32."""
    return getattr(L, computed(dtype))


@functools.cache
def to_computed(dtype: str) -> Any:
    """A device function: what lies in memory, as the dtype of the computation."""
    if dtype == "float16":
        return L.half_to_float
    return L.bfloat16_to_float if dtype == "bfloat16" else unchanged


@functools.cache
def to_stored(dtype: str) -> Any:
    """A device function: a computed value, as what lies in memory, rounded once."""
    if dtype == "float16":
        return L.float_to_half
    if dtype == "bfloat16":
        return L.float_to_bfloat16
    T = getattr(L, stored(dtype))

    @device
    def convert(x):  # type: ignore[no-untyped-def]
        return T(x)

    return convert


@device
def unchanged(x):  # type: ignore[no-untyped-def]
    return x


def widest(*arrays: Any, limit: int = 16) -> int:
    """How many neighbouring elements, a power of two, all these arrays can be read by at a time: 16 bytes of the largest, as far as
    addresses allow. Strides are the caller's to look at.
    """
    width: int = max(1, limit // max(a.itemsize for a in arrays))
    while width > 1 and any(a.address % (width * a.itemsize) for a in arrays):
        width //= 2
    return width
