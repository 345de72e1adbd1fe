"""Class indices and class weights, as losses take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tensor import Tensor
from ..checks import need_same_dtype, read_values


def check_classes(t: Any, classes: int, ignore_index: int | None, name: str) -> None:
    """Raise IndexError when an int64 array holds something else than classes from 0 on, or ``ignore_index``."""
    if t.size == 0 or t.view(np.uint64).max() < classes:  # negative ones are huge there
        return
    wrong = t[((t < 0) | (t >= classes)) & (True if ignore_index is None else t != ignore_index)]
    if wrong.size:
        raise IndexError(f"{name}: target {int(wrong.flat[0])} is out of range for {classes} classes")


def class_indices(target: Tensor, shape: tuple[int, ...], classes: int, name: str, ignore_index: int | None = None) -> tuple[Any, Any]:
    """Class indices as an int64 array with 0 for those ignored, and which are kept.

    Raises:
        RuntimeError: when the target is not an integer tensor of this shape.
        IndexError: when one is not a class.
    """
    if target.dtype.category != 1:
        raise RuntimeError(f"{name}: class targets need an integer dtype, got {target.dtype}; use .long()")
    if target._array.shape != shape:
        raise RuntimeError(f"{name}: the target needs shape {shape}, got {tuple(target.shape)}")
    t = np.asarray(read_values(target, f"{name}()"), np.int64)
    check_classes(t, classes, ignore_index, name)
    kept = np.ones(shape, np.bool_) if ignore_index is None else np.asarray(t != ignore_index)
    return np.where(kept, t, 0), kept


def check_class_weight(weight: Tensor | None, input: Tensor, classes: int, name: str) -> None:
    """Raise RuntimeError when a weight is not of shape (classes,) and of the input's dtype."""
    if weight is None:
        return
    if weight._array.shape != (classes,):
        raise RuntimeError(
            f"{name}: weight needs one factor per class, shape ({classes},) for input {tuple(input.shape)}, got {tuple(weight.shape)}"
        )
    need_same_dtype(name, weight=weight, input=input)
