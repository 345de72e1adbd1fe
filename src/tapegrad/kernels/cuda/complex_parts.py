"""Complex numbers and their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import empty, strided
from .elementwise import assign

_COMPLEX_OF: dict[Any, np.dtype[Any]] = {np.dtype(np.float32): np.dtype(np.complex64), np.dtype(np.float64): np.dtype(np.complex128)}


def real_part(x: Any) -> Any:
    """A view of the real parts."""
    return x.real


def imaginary_part(x: Any) -> Any:
    """A view of the imaginary parts."""
    return x.imag


def join_parts(real: Any, imag: Any | None) -> Any:
    """A new array of complex numbers from their parts, of one dtype; None for imaginary parts of 0."""
    out: Any = empty(real.shape if imag is None else np.broadcast_shapes(real.shape, imag.shape), _COMPLEX_OF[real.dtype])
    assign(out.real, real)
    assign(out.imag, 0 if imag is None else imag)
    return out


def as_pairs(x: Any) -> Any:
    """A view of complex numbers with one more dimension: their real and imaginary parts."""
    parts = x.real
    return strided(parts, (*x.shape, 2), (*x.strides, parts.itemsize), x.flags.writeable)


def from_pairs(x: Any) -> Any:
    """The complex numbers of pairs in the last dimension: a view where the parts lie side by side, else a copy."""
    kind = _COMPLEX_OF[x.dtype]
    if x.strides[-1] != x.itemsize or any(s % kind.itemsize for s in x.strides[:-1]):
        x = x.copy()
    return x.view(kind).reshape(x.shape[:-1])
