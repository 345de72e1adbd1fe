"""Complex numbers and their parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

_COMPLEX_OF: dict[np.dtype[Any], np.dtype[Any]] = {np.dtype(np.float32): np.dtype(np.complex64), np.dtype(np.float64): np.dtype(np.complex128)}
_REAL_OF = {c: r for r, c in _COMPLEX_OF.items()}


def real_part(x: Any) -> Any:
    """A view of the real parts."""
    return x.real


def imaginary_part(x: Any) -> Any:
    """A view of the imaginary parts."""
    return x.imag


def join_parts(real: Any, imag: Any) -> Any:
    """A new array of complex numbers from their parts, of one dtype; None for imaginary parts of 0."""
    shape = real.shape if imag is None else np.broadcast_shapes(real.shape, imag.shape)
    out = np.zeros(shape, _COMPLEX_OF[real.dtype])
    out.real = real
    if imag is not None:
        out.imag = imag
    return out


def as_pairs(x: Any) -> Any:
    """A view of complex numbers with one more dimension: their real and imaginary parts."""
    return as_strided(x.real, (*x.shape, 2), (*x.strides, _REAL_OF[x.dtype].itemsize))


def from_pairs(x: Any) -> Any:
    """The complex numbers of pairs in the last dimension: a view where the parts lie side by side, else a copy."""
    kind = _COMPLEX_OF[x.dtype]
    if x.strides[-1] != x.itemsize or any(s % kind.itemsize for s in x.strides[:-1]):
        x = np.ascontiguousarray(x)
    return x.view(kind)[..., 0] if x.ndim > 1 else x.view(kind).reshape(())
