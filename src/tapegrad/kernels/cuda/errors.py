"""What kernels find wrong while the host is elsewhere: an index out of range, or a value that an operation can't take.

A kernel that meets one touches no memory there and notes it in three words of its device: which operation, the index, and the size; or which
mistake, and the value. Copies to the host and ``synchronize`` look at them, and raise.
"""

from __future__ import annotations

import atexit
import os
import sys

import numpy as np

from . import language as L, recording, state
from .array import CudaArray, zeros
from .context import context
from .language import device, int64

_atomic_cas = L.atomic_cas
_LATE = (
    "A GPU works while Python goes on, so this was noticed later than it happened, maybe long after the call; on the CPU the call "
    "itself raises, and under autograd.set_detect_anomaly(True) the line that it is in"
)
_OPERATIONS: list[tuple[str, bool]] = []  # of which indices, or with True values, may be wrong
_words: dict[int, CudaArray] = {}
_unchecked: set[tuple[int, int]] = set()  # (device, stream) that kernels which may note something were given to


@device
def report(words, operation, index, size):  # type: ignore[no-untyped-def]
    """Note an index, unless another was noted before."""
    if _atomic_cas(words, 0, int64(0), int64(operation)) == 0:
        words[1] = int64(index)
        words[2] = int64(size)


def operation(name: str, of_values: bool = False) -> int:
    """The number by which kernels name an operation, or what to say of a value, to which that is added."""
    if (name, of_values) not in _OPERATIONS:
        _OPERATIONS.append((name, of_values))
    return _OPERATIONS.index((name, of_values)) + 1


def words() -> CudaArray:
    """The current device's words, for a kernel that is launched now."""
    recording.notes()
    found = _words.get(context.device)
    if found is None:
        with recording.unnoted():
            made = zeros((3,), np.dtype(np.int64))
            context.driver.synchronize(context.device, context.stream)  # other streams see it, too
            found = _words.setdefault(context.device, made)
    note()
    recording.lasting(found)
    return found


def note() -> None:
    """Say that a kernel which may note an error is launched now."""
    _unchecked.add((context.device, context.stream))


state.set_object(state.NOTE, note)


def check(device: int, stream: int | None) -> None:
    """Look, after the host has waited for a stream (None: for all of the device's).

    Raises:
        IndexError: when a kernel has met an index that is out of range.
        RuntimeError: when one has met a value that its operation can't take.
    """
    looked = [key for key in _unchecked.copy() if key[0] == device and stream in (None, key[1])]
    if not looked:
        return
    _unchecked.difference_update(looked)
    found = np.zeros(3, np.int64)
    stream = context.stream_of(device)
    context.driver.copy(device, stream, found.ctypes.data, _words[device].address, found.nbytes, "to host")
    context.driver.synchronize(device, stream)
    if found[0]:
        context.driver.fill(device, stream, _words[device].address, 0, found.nbytes)
        name, of_values = _OPERATIONS[int(found[0]) - 1]
        if of_values:
            raise RuntimeError(f"{name}, got {found[1:2].view(np.float64)[0]:.6g} on cuda:{device}. {_LATE}")
        raise IndexError(f"index {found[1]} is out of range for size {found[2]} in {name} on cuda:{device}. {_LATE}")


os.register_at_fork(after_in_child=_unchecked.clear)  # a child has no part in what its parent launched


@atexit.register
def _look_once_more() -> None:
    """Say what kernels found wrong where nobody looked at the results."""
    for number in sorted({key[0] for key in _unchecked.copy()}):
        try:
            context.driver.synchronize(number, None)
            check(number, None)
        except (RuntimeError, IndexError) as error:
            print(f"tapegrad, at exit: {type(error).__name__}: {error}", file=sys.stderr)
