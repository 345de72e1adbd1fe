"""The kernels of ``pool.py``, as Python functions for Numba; imported only when one of them has to be compiled.

Slots: planes, result, places or divisors, table (see ``pool.Plan``). Divisors are those of depths, heights and widths in turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...native.abi import POINTERS
from .pool import BEFORE, HEADER, HEIGHT, OUT_DEPTH, OUT_HEIGHT, OUT_WIDTH, SIZE, STEP_D, STEP_H, STEP_W, STRIDE, WIDTH, WINDOW
from .window_tile import LANES, window_tile

_WORD = POINTERS["int64"]


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _place(table, unit):  # type: ignore[no-untyped-def]
    """The plane, the depth and the row of a row of windows."""
    row, rest = unit % table[OUT_HEIGHT], unit // table[OUT_HEIGHT]
    return rest // table[OUT_DEPTH], rest % table[OUT_DEPTH], row


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _ends(table, d, row):  # type: ignore[no-untyped-def]
    """A row of windows begins in this row of its plane, at element ..., and has so many depths and rows; the table of its columns."""
    heights = HEADER + 2 * table[OUT_DEPTH]
    widths = heights + 2 * table[OUT_HEIGHT]
    at = (table[HEADER + 2 * d] * table[HEIGHT] + table[heights + 2 * row]) * table[WIDTH]
    return at, table[HEADER + 2 * d + 1], table[heights + 2 * row + 1], widths


def regular(dtype: str, what: str) -> Any:
    """Windows that are a stride apart, 16 at a time. A unit is a row of them."""
    element = POINTERS[dtype]
    BYTES = np.dtype(dtype).itemsize
    MEAN = what == "sum"
    any_stride, next_to_each_other, every_second = (window_tile(dtype, what, step) for step in range(3))

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table = _WORD(slots[3])
        width, out_width, stride, window, step = table[WIDTH], table[OUT_WIDTH], table[STRIDE], table[WINDOW], table[STEP_W]
        next_row, next_depth = table[STEP_H] * width, table[STEP_D] * width * table[HEIGHT]
        divisors = element(slots[2])
        by = divisors[0] if MEAN else 0
        for unit in range(start, stop):
            plane, d, row = _place(table, unit)
            at, depths, rows, _ = _ends(table, d, row)
            x = slots[0] + plane * table[SIZE] * BYTES
            if MEAN:
                by = divisors[d] * divisors[table[OUT_DEPTH] + row]
            for i in range(0, out_width, LANES):
                first, out = i * stride - table[BEFORE], slots[1] + (unit * out_width + i) * BYTES
                if MEAN:
                    extra = slots[2] + (table[OUT_DEPTH] + table[OUT_HEIGHT] + i) * BYTES
                else:
                    extra = slots[2] + (unit * out_width + i) * 8
                left = out_width - i
                if stride == 1:
                    next_to_each_other(x, at, window, step, rows, next_row, depths, next_depth, first, width, stride, out, extra, by, left)
                elif stride == 2:
                    every_second(x, at, window, step, rows, next_row, depths, next_depth, first, width, stride, out, extra, by, left)
                else:
                    any_stride(x, at, window, step, rows, next_row, depths, next_depth, first, width, stride, out, extra, by, left)

    return kernel


def irregular_max(dtype: str) -> Any:
    """Windows of any sizes, one by one. A unit is a row of them."""
    element = POINTERS[dtype]
    BYTES = np.dtype(dtype).itemsize

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table = _WORD(slots[3])
        width, out_width = table[WIDTH], table[OUT_WIDTH]
        for unit in range(start, stop):
            plane, d, row = _place(table, unit)
            begin, depths, rows, columns = _ends(table, d, row)
            x = element(slots[0] + plane * table[SIZE] * BYTES)
            values, places = element(slots[1] + unit * out_width * BYTES), _WORD(slots[2] + unit * out_width * 8)
            for i in range(out_width):
                place = begin + table[columns + 2 * i]
                best = x[place]
                for a in range(depths):
                    for b in range(rows):
                        line = begin + (a * table[HEIGHT] * table[STEP_D] + b * table[STEP_H]) * width + table[columns + 2 * i]
                        for c in range(table[columns + 2 * i + 1]):
                            v = x[line + c * table[STEP_W]]
                            if v > best or v != v:
                                best, place = v, line + c * table[STEP_W]
                values[i] = best
                places[i] = place

    return kernel


def irregular_mean(dtype: str) -> Any:
    """Windows of any sizes without gaps, one by one. A unit is a row of them."""
    element = POINTERS[dtype]
    BYTES = np.dtype(dtype).itemsize

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table, divisors = _WORD(slots[3]), element(slots[2])
        width, out_width = table[WIDTH], table[OUT_WIDTH]
        for unit in range(start, stop):
            plane, d, row = _place(table, unit)
            begin, depths, rows, columns = _ends(table, d, row)
            x, out = element(slots[0] + plane * table[SIZE] * BYTES), element(slots[1] + unit * out_width * BYTES)
            by = divisors[d] * divisors[table[OUT_DEPTH] + row]
            for i in range(out_width):
                total = 0.0
                for a in range(depths):
                    for b in range(rows):
                        line = begin + (a * table[HEIGHT] + b) * width + table[columns + 2 * i]
                        for c in range(table[columns + 2 * i + 1]):
                            total += x[line + c]
                out[i] = total / (by * divisors[table[OUT_DEPTH] + table[OUT_HEIGHT] + i])

    return kernel


def mean_backward(dtype: str) -> Any:
    """The transpose of the mean over windows without gaps: slots as there, the gradient being the planes. A unit is a plane."""
    element = POINTERS[dtype]
    BYTES = np.dtype(dtype).itemsize

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        table, divisors = _WORD(slots[3]), element(slots[2])
        width, out_width, size = table[WIDTH], table[OUT_WIDTH], table[SIZE]
        lines = table[OUT_DEPTH] * table[OUT_HEIGHT]
        for unit in range(start * lines, stop * lines):
            plane, d, row = _place(table, unit)
            begin, depths, rows, columns = _ends(table, d, row)
            out, g = element(slots[1] + plane * size * BYTES), element(slots[0] + unit * out_width * BYTES)
            if unit % lines == 0:
                for i in range(size):
                    out[i] = 0
            by = divisors[d] * divisors[table[OUT_DEPTH] + row]
            for i in range(out_width):
                share = g[i] / (by * divisors[table[OUT_DEPTH] + table[OUT_HEIGHT] + i])
                for a in range(depths):
                    for b in range(rows):
                        line = begin + (a * table[HEIGHT] + b) * width + table[columns + 2 * i]
                        for c in range(table[columns + 2 * i + 1]):
                            out[line + c] += share

    return kernel


def max_backward(dtype: str) -> Any:
    """Slots: gradients of the maxima, their places, the gradient of the planes, windows and elements of a plane. A unit is a plane."""
    element = POINTERS[dtype]
    BYTES = np.dtype(dtype).itemsize

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        count, size = slots[3], slots[4]
        for plane in range(start, stop):
            g, places = element(slots[0] + plane * count * BYTES), _WORD(slots[1] + plane * count * 8)
            out = element(slots[2] + plane * size * BYTES)
            for i in range(size):
                out[i] = 0
            for i in range(count):
                out[places[i]] += g[i]

    return kernel
