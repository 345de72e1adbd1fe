"""Rows of tables: how often they are used, and what stands for a bag of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...narrow import in_float32


@in_float32
def share_rows(x: Any, index: Any) -> Any:
    """The rows of ``x`` (..., d), each divided by how often its index (...) appears."""
    if index.size == 0:
        return x.copy()
    _, place, count = np.unique(index, return_inverse=True, return_counts=True)
    return (x / count[place].reshape(*index.shape, 1).astype(x.dtype)).astype(x.dtype, copy=False)


def bag_maxima(rows: Any, bag: Any, bags: int) -> tuple[Any, Any]:
    """Per bag and column, the number of the first row with the maximum, and whether the bag has rows: (bags, d), (bags,).

    ``bag`` (n,) is the bag of each row of ``rows`` (n, d).
    """
    wide = rows.astype(np.float64)
    highest = np.full((bags, rows.shape[1]), -np.inf)
    np.maximum.at(highest, bag, wide)
    of_bag = highest[bag]
    is_highest = (wide == of_bag) | (np.isnan(wide) & np.isnan(of_bag))
    first = np.full(highest.shape, len(rows), np.int64)
    np.minimum.at(first, bag, np.where(is_highest, np.arange(len(rows))[:, None], len(rows)))
    return np.minimum(first, max(len(rows) - 1, 0)), np.bincount(bag, minlength=bags) > 0


SPARE_BAGS = 0  # behind the bags, for what belongs to none: here it is taken out


def bags_of_rows(indices: Any, bags: int, size: int) -> Any:
    """The bag of each of the ``bags * size`` indices, which lie bag by bag."""
    return np.repeat(np.arange(bags), size)


def bags_of_offsets(offsets: Any, count: int, include_last: bool) -> Any:
    """The bag of each of ``count`` indices, of which bags begin at offsets; with ``include_last`` the last offset ends the last bag, and
    there is none for the indices behind it.

    Raises:
        RuntimeError: when offsets don't start with 0, decrease, or exceed ``count``.
    """
    starts = offsets.astype(np.int64)
    if starts.size and starts[0] != 0:
        raise RuntimeError(f"embedding_bag: offsets must start with 0, got {int(starts[0])}")
    if starts.size and starts.max() > count:
        raise RuntimeError(f"embedding_bag: there is no offset {int(starts.max())} in an input of {count} indices")
    sizes = np.diff(starts if include_last else np.append(starts, count))
    if (sizes < 0).any():
        raise RuntimeError(f"embedding_bag: offsets must not decrease, got {starts.tolist()}")
    return np.repeat(np.arange(len(sizes)), sizes)


def without_row(index: Any, bag: Any, bags: int, row: int) -> tuple[Any, Any, Any]:
    """The indices that are not ``row``, their bags, and a mask of them; None where they were not taken out, but have bag ``bags``."""
    kept = index != row
    return index[kept], bag[kept], kept


def bag_sizes(bag: Any, bags: int, dtype: np.dtype[Any]) -> Any:
    """How many indices each bag has, but at least 1: (bags, 1)."""
    return np.maximum(np.bincount(bag, minlength=bags), 1)[:, None].astype(dtype)
