"""Class indices as losses take them: checked, and what each of them counts for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def check_classes(t: Any, classes: int, ignore_index: int | None, name: str) -> None:
    """Raise IndexError when an int64 array holds something else than classes from 0 on, or ``ignore_index``."""
    if t.size == 0 or t.view(np.uint64).max() < classes:  # negative ones are huge there
        return
    wrong = t[((t < 0) | (t >= classes)) & (True if ignore_index is None else t != ignore_index)]
    if wrong.size:
        raise IndexError(f"{name}: target {int(wrong.flat[0])} is out of range for {classes} classes")


def class_indices(target: Any, classes: int, ignore_index: int | None, name: str) -> tuple[Any, Any]:
    """Class indices as int64 with 0 for those ignored, and which are kept.

    Raises:
        IndexError: when one is not a class.
    """
    t = np.asarray(target, np.int64)
    check_classes(t, classes, ignore_index, name)
    kept = np.ones(t.shape, np.bool_) if ignore_index is None else np.asarray(t != ignore_index)
    return np.where(kept, t, 0), kept


def class_factors(weight: Any | None, indices: Any, kept: Any, classes: int, dtype: np.dtype[Any]) -> Any:
    """weight[index], or 1 without weights; 0 where not kept."""
    return np.asarray((np.ones(classes, dtype) if weight is None else weight)[indices] * kept)


def mean_divisor(factors: Any) -> Any:
    """What a mean weighted by factors divides by: their sum, but NaN where that is 0."""
    return float(factors.sum(dtype=np.float64)) or math.nan


def margin_factors(weight: Any | None, indices: Any, classes: int, dtype: np.dtype[Any]) -> Any:
    """(n, classes): weight[index] / classes, or 1 / classes without weights, but 0 at the index (n,) itself."""
    factors = np.where(np.arange(classes) == indices[:, None], 0, 1) / classes
    if weight is not None:
        factors = factors * weight.astype(np.float64)[indices][:, None]
    return factors.astype(dtype)


def label_pairs(target: Any, dtype: np.dtype[Any], name: str) -> tuple[Any, Any]:
    """Labels (n, classes), which end at the first negative one: as indices with 0 behind the end, and (n, classes, classes), 1 / classes
    where the first is listed and the second is not among the row's labels.

    Raises:
        IndexError: when a label is not a class.
    """
    classes = target.shape[1]
    listed = np.logical_and.accumulate(target >= 0, axis=1)
    indices, _ = class_indices(np.where(listed, target, 0), classes, None, name)
    other = np.ones(target.shape, np.bool_)
    other[np.nonzero(listed)[0], indices[listed]] = False
    pairs = (listed[:, :, None] & other[:, None, :]).astype(dtype)
    return indices, pairs / dtype.type(classes)
