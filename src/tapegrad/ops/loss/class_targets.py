"""Class indices and class weights, as losses take them."""

from __future__ import annotations

from typing import Any

from ...device import backend
from ...tensor import Tensor
from ..checks import index_array, need_same_dtype


def class_indices(
    input: Tensor, target: Tensor, shape: tuple[int, ...], classes: int, name: str, ignore_index: int | None = None
) -> tuple[Any, Any]:
    """Class indices as an int64 array with 0 for those ignored, and which are kept; both where the input is.

    Raises:
        RuntimeError: when the target is not an integer tensor of this shape.
        IndexError: when one is not a class.
    """
    if target.dtype.category != 1:
        raise RuntimeError(f"{name}: class targets need an integer dtype, got {target.dtype}; use .long()")
    if target._array.shape != shape:
        raise RuntimeError(f"{name}: the target needs shape {shape}, got {tuple(target.shape)}")
    t = index_array(target, f"{name}()", input)
    return backend(t).class_indices(t, classes, ignore_index, name)  # type: ignore[no-any-return]


def check_class_weight(weight: Tensor | None, input: Tensor, classes: int, name: str) -> None:
    """Raise RuntimeError when a weight is not of shape (classes,) and of the input's dtype."""
    if weight is None:
        return
    if weight._array.shape != (classes,):
        raise RuntimeError(
            f"{name}: weight needs one factor per class, shape ({classes},) for input {tuple(input.shape)}, got {tuple(weight.shape)}"
        )
    need_same_dtype(name, weight=weight, input=input)
