"""The kernel of ``resample.py``, as a Python function for Numba; imported only when it has to be compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

from ...native.abi import POINTERS
from ..loops import independent_iterations
from .resample import COUNTS, ENTRIES, HEADER, INDEX, OUT, SIZE, WORKERS


def resample(dtype: str, weighted: bool, divided: str) -> Any:
    """Slots: planes, result, working space, table (see ``resample._native_plan``), weights, divisors; units. A unit is a row of the result.

    Its rows of the input are added up first, all columns at a time, and then the columns; in float64. ``divided`` says what is divided:
    "" nothing, "in" the elements of the input, "out" those of the result.
    """
    element, word, real = POINTERS[dtype], POINTERS["int64"], POINTERS["float64"]
    BYTES = 8 if dtype == "float64" else 4

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def two_terms(line, counts, indices, weights, out, n):  # type: ignore[no-untyped-def]
        """The columns of a row as sums of two terms at most: a function of its own, so that LLVM knows its loop's iterations apart."""
        line, counts, indices, weights, out = real(line), word(counts), word(indices), real(weights), element(out)
        for j in range(n):
            first, second = line[indices[j]] * weights[j], line[indices[n + j]] * weights[n + j]
            out[j] = (first if counts[j] > 0 else 0.0) + (second if counts[j] > 1 else 0.0)
        independent_iterations()

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table, weights, divisors = word(slots[3]), real(slots[4]), real(slots[5])
        depth, height, width = table[SIZE], table[SIZE + 1], table[SIZE + 2]
        out_depth, out_height, out_width = table[OUT], table[OUT + 1], table[OUT + 2]
        entries_d, entries_h = table[ENTRIES], table[ENTRIES + 1]
        count_d, count_h, count_w = table[COUNTS], table[COUNTS + 1], table[COUNTS + 2]
        index_d, index_h, index_w = table[INDEX], table[INDEX + 1], table[INDEX + 2]
        space = slots[2] + start * table[WORKERS] // slots[6] * width * 8  # nobody else's
        line = real(space)
        divisors_h = table[SIZE] if divided == "in" else out_depth
        divisors_w = divisors_h + (height if divided == "in" else out_height)
        for unit in range(start, stop):
            h = unit % out_height
            plane = unit // out_height
            d = plane % out_depth
            plane //= out_depth
            for v in range(width):
                line[v] = 0.0
            for a in range(table[count_d + d]):
                for b in range(table[count_h + h]):
                    at_d, at_h = index_d + d * entries_d + a, index_h + h * entries_h + b
                    from_d, from_h = table[at_d], table[at_h]
                    x = element(slots[0] + ((plane * depth + from_d) * height + from_h) * width * BYTES)
                    weight = weights[at_d - HEADER] * weights[at_h - HEADER] if weighted else 1.0
                    if divided == "in":
                        by = divisors[from_d] * divisors[divisors_h + from_h]
                        for v in range(width):
                            line[v] += weight * (x[v] / (by * divisors[divisors_w + v]))
                    elif weighted:
                        for v in range(width):
                            line[v] += weight * x[v]
                    else:
                        for v in range(width):
                            line[v] += x[v]
            out = element(slots[1] + unit * out_width * BYTES)
            if weighted and divided == "" and table[ENTRIES + 2] == 2:
                counts, indices = slots[3] + 8 * count_w, slots[3] + 8 * index_w
                two_terms(space, counts, indices, slots[4] + 8 * (index_w - HEADER), slots[1] + unit * out_width * BYTES, out_width)
                continue
            by = divisors[d] * divisors[divisors_h + h] if divided == "out" else 1.0
            for j in range(out_width):
                total = 0.0
                for c in range(table[count_w + j]):
                    at = index_w + c * out_width + j
                    total += line[table[at]] * weights[at - HEADER] if weighted else line[table[at]]
                out[j] = total / (by * divisors[divisors_w + j]) if divided == "out" else total

    return kernel
