"""What listeners and anomaly mode see: operations, source lines, packed or checksummed saved values."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .device import backend
from .graph import Entry, Packed
from .modes import local
from .storage import Storage
from .tensor import Tensor, wrap


def annotate(entry: Entry) -> None:
    """What only listeners and anomaly mode want in an entry: its source line, packed or checksummed saved values."""
    entry.more().line = source_line()
    if local.saved_hooks:
        pack, unpack = local.saved_hooks[-1]
        entry.more().unpack = unpack
        packed: list[Any] = []
        cells: list[Storage | None] = []
        for value, cell in zip(entry.saved, entry.cells, strict=True):
            if not isinstance(value, np.ndarray):
                packed.append(value)
                cells.append(cell)
                continue
            # detached, since an output that is packed as it is would keep its own entry alive
            made = pack(wrap(value, None, cell))
            packed.append(Packed(made, value.shape, value.dtype))
            # what was packed as a copy may change from now on
            array = made._array if isinstance(made, Tensor) else made
            cells.append(cell if isinstance(array, np.ndarray) and np.may_share_memory(array, value) else None)
        entry.saved, entry.cells = tuple(packed), tuple(cells)
    elif local.anomaly:
        entry.more().checksums = tuple(map(checksum, entry.saved))


def checksum(value: Any) -> int:
    """A checksum of a saved array, to see writes from outside the library."""
    if isinstance(value, tuple):
        return hash(tuple(map(checksum, value)))
    return backend(value).checksum(value) if isinstance(value, np.ndarray) else 0


_PACKAGE = __name__.partition(".")[0] + "."


def source_line() -> str:
    """"file:line" of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_PACKAGE):
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def level_outside() -> int:
    """The ``stacklevel`` with which the function that asks warns of the nearest caller outside this package."""
    frame, level = sys._getframe(1), 1
    while f"{frame.f_globals.get('__name__', '')}.".startswith(_PACKAGE) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level


def tell(op: Any, inputs: tuple[Any, ...], params: dict[str, Any], outputs: tuple[Any, ...]) -> None:
    """Tell this thread's listeners of an operation."""
    for listener in local.listeners:
        listener.operation(op, inputs, params, outputs)
