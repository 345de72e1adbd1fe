"""Slices along an axis, read and added to by a vector of indices: kernels that share the slices out among threads.

Each thread owns some slices of the result and goes through all indices in order, so that nothing is written by two of them, and
repeated places sum up in order, whatever the number of threads.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...native import cache, runtime as rt
from ...native.call import launcher, recording
from ..planned import fresh, planned
from ..reduction.layout import contiguous

Array = np.ndarray[Any, np.dtype[Any]]

# dtypes that have a kernel, and their names, which NumPy takes 1 us to tell
_ADDED = {np.dtype(name): name for name in ("float32", "float64", "int32", "int64", "complex64", "complex128")}
_WORDS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}  # what elements of a size are copied as
_GRAIN = 16384  # elements below which one thread is faster


@functools.cache
def _kernel(kind: str, dtype: str) -> int:
    return cache.native(f"scatter:{kind}:{dtype}", lambda: {"take": _take, "add": _add}[kind](dtype))


def _take(dtype: str) -> Any:
    from ...native import abi

    values, word, widest = abi.POINTERS[dtype], abi.POINTERS["int64"], abi.widest_vectors

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: source (outer, n, inner), indices (count), output (outer, count, inner), n, count, inner. A unit is an output's slice."""
        widest()
        source, index, out = values(slots[0]), word(slots[1]), values(slots[2])
        n, count, inner = slots[3], slots[4], slots[5]
        for unit in range(start, stop):
            place = min(max(index[unit % count], 0), n - 1)  # never out of bounds
            a, b = (unit // count * n + place) * inner, unit * inner
            for j in range(inner):
                out[b + j] = source[a + j]

    return kernel


def _add(dtype: str) -> Any:
    from ...native import abi

    values, word, widest = abi.POINTERS[dtype], abi.POINTERS["int64"], abi.widest_vectors

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        """Slots: source (outer, count, inner), indices (count), output (outer, n, inner), n, count, inner, an index to skip, whether
        the output starts at zero. A unit is an output's slice.
        """
        widest()
        source, index, out = values(slots[0]), word(slots[1]), values(slots[2])
        n, count, inner, skip, clear = slots[3], slots[4], slots[5], slots[6], slots[7]
        if clear:
            for j in range(start * inner, stop * inner):
                out[j] = 0
        for outer in range(start // n, (stop + n - 1) // n):
            low, high = max(start - outer * n, 0), min(stop - outer * n, n)
            for i in range(count):
                place = index[i] + n if index[i] < 0 else index[i]
                if low <= place < high and place != skip:
                    a, b = (outer * n + place) * inner, (outer * count + i) * inner
                    for j in range(inner):
                        out[a + j] += source[b + j]

    return kernel


def _sizes(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _launch(kernel: int, units: int, work: int, *slots: Any) -> None:
    grain = units if work <= _GRAIN else max(1, _GRAIN * units // work)
    if units > grain:
        rt.start_threads()
    launcher()(kernel, units, grain, *slots)


def _places(index: Any) -> Any | None:
    """An index as the kernels read it; None where that takes a conversion and launches are recorded, which would miss it."""
    if index.dtype == np.int64 and index.flags.c_contiguous:
        return index
    return None if recording() else np.ascontiguousarray(index, np.int64)


@planned
def take(x: Any, index: Any, axis: int) -> Any:
    """The slices of ``x`` along an axis that an integer array names, which takes that axis' place; none may be negative."""
    outer, n, inner = _sizes(x.shape, axis)
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    size = x.dtype.itemsize
    places = _places(index)
    if places is None or size not in _WORDS or not (n and outer * index.size * inner):
        return np.take(x, index, axis)
    out = fresh(shape, x.dtype)
    units = outer * index.size
    _launch(_kernel("take", _WORDS[size]), units, units * inner, contiguous(x), places, out, n, index.size, inner)
    return out


def add_slices(out: Any, index: Any, x: Any, axis: int, *, skip: int | None = None, clear: bool = False) -> bool:
    """Add the slices of ``x`` to those of a C-contiguous ``out`` that an integer array in the place of an axis names.

    Negative indices count from the end; those out of range are ignored, as is ``skip``. With ``clear``, ``out`` starts at zero.
    False, with nothing done, for arrays that there is no kernel for.
    """
    places = _places(index)
    name = _ADDED.get(out.dtype)
    if places is None or name is None or not out.flags.c_contiguous or (recording() and not clear):
        return False  # while launches are recorded, what ``out`` held before would be missed
    outer, n, inner = _sizes(out.shape, axis)
    units = outer * n
    if units * inner:
        source = contiguous(x if x.dtype == out.dtype else x.astype(out.dtype))
        work = outer * inner * (index.size + (n if clear else 0))
        slots = (source, places, out, n, index.size, inner, -1 if skip is None else skip, clear)
        _launch(_kernel("add", name), units, work, *slots)
    return True


def axis_of(index: tuple[Any, ...]) -> int | None:
    """The axis of an index that is one integer array, after nothing but full slices; else None."""
    if not index or not isinstance(index[-1], np.ndarray) or index[-1].dtype.kind not in "iu":
        return None
    for part in index[:-1]:
        if not (isinstance(part, slice) and part == slice(None)):
            return None
    return len(index) - 1
