"""Memory layouts that an array may have, so that tests can try them all."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# expanded: stride 0 along the last dimension; offset: gaps between elements, and not at the start of its memory.
LAYOUTS: Final = ("contiguous", "transposed", "negative", "expanded", "offset")


def arranged(array: NDArray[Any], layout: str) -> NDArray[Any]:
    """The elements of ``array``, of any shape and dtype, in new memory with this layout.

    "expanded" repeats the first elements along the last dimension, so it changes values, and is read-only. Dimensions that
    are not there can't be laid out: for a 0-d array all layouts but "offset" are one.

    Raises:
        ValueError: for a layout that is not among ``LAYOUTS``.
    """
    if layout == "contiguous":
        return array.copy(order="C")
    if layout == "transposed":
        return array.T.copy(order="C").T
    if layout == "negative":
        flipped = (slice(None, None, -1),) * array.ndim
        return array[flipped].copy(order="C")[flipped] if array.ndim else array.copy()
    if layout == "expanded":
        return np.broadcast_to(array[..., :1].copy(), array.shape) if array.ndim and array.size else array.copy()
    if layout == "offset":
        room = np.zeros((*(2 * n + 1 for n in array.shape), 2), array.dtype)
        odd: tuple[Any, ...] = (*[slice(1, None, 2)] * array.ndim, 1)
        inside = room[odd]
        if array.ndim == 0:
            inside = room[1:].reshape(())
        inside[...] = array
        return np.asarray(inside)
    raise ValueError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}")
