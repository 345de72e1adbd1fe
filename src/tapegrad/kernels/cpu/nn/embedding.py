"""Rows of tables: how often they are used, and what stands for a bag of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..narrow import in_float32


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
