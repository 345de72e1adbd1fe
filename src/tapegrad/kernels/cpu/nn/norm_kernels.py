"""The kernels of ``norm.py``, as Python functions; imported only when one of them has to be compiled.

A row is what shares a mean and a variance: ``segments`` runs of ``inner`` contiguous elements. Its statistics are its mean, in two
parts (``mean`` + ``rest``, so that rounding a large mean loses nothing) and 1 / sqrt(variance + eps): (3, rows). A forward kernel
writes the whole mean and the variance to two slots, too, where these are not 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ...native import abi
from ...native.abi import float_of_bits, inline, stack_bytes, widest_vectors
from ..reduction.layout import LEVELS
from ..reduction.moments import sums
from ..reduction.tree import reducer
from ..vmath import value

_TREE_BYTES = 8 * LEVELS
_LAP = 16  # rows whose parts are added up one by one, before these sums are


def _statistics(dtype: str, centered: bool) -> Any:
    """``statistics(address, segments, step, inner, eps, scratch)``: a row's (mean, rest, inverse deviation, variance).

    Corrected two-pass algorithm: Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983), with the mean taken
    about the row's first element, so that a constant has no variance at all.
    """
    T, values, CENTERED = getattr(types, dtype), abi.POINTERS[dtype], centered
    shifted = sums("shifted", dtype, 1, 1, 1, lambda x, s: (x - s,))
    deviations = sums("deviations", dtype, 1, 1, 2, lambda x, m: (x - m, (x - m) * (x - m)))
    sqrt = value.scalar(value.sqrt)
    squares = sums("squares", dtype, 1, 0, 1, lambda x: (x * x,))

    @inline
    def statistics(address, segments, step, inner, eps, scratch):  # type: ignore[no-untyped-def]
        found, n = values(scratch), T(segments * inner)
        mean, rest, variance = T(0), T(0), T(0)
        if CENTERED:
            start = values(address)[0]
            shifted(scratch, segments, step, inner, address, start)
            mean = start + found[0] / n
            deviations(scratch, segments, step, inner, address, mean)
            rest = found[0] / n
            variance = found[1] / n - rest * rest
            variance = T(0) if variance < T(0) else variance
        else:
            squares(scratch, segments, step, inner, address)
            variance = found[0] / n
        return mean, rest, T(1) / sqrt(variance + eps), variance

    return statistics


def elements_forward(dtype: str, centered: bool, weighted: bool, biased: bool) -> Any:
    """Rows of n contiguous elements; weight and bias per element. A unit is a row.

    Slots: x, weight, bias, y, statistics, mean, variance, rows, n, eps.
    """
    T, values, SIZE = getattr(types, dtype), abi.POINTERS[dtype], np.dtype(dtype).itemsize
    WEIGHTED, BIASED = weighted, biased
    statistics = _statistics(dtype, centered)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        weight, bias, kept = values(slots[1]), values(slots[2]), values(slots[4])
        means, variances = values(slots[5]), values(slots[6])
        rows, n, eps = slots[7], slots[8], T(float_of_bits(slots[9]))
        scratch = stack_bytes(64)
        for row in range(start, stop):
            x, y = values(slots[0] + row * n * SIZE), values(slots[3] + row * n * SIZE)
            mean, rest, scale, variance = statistics(slots[0] + row * n * SIZE, 1, n, n, eps, scratch)
            kept[row], kept[rows + row], kept[2 * rows + row] = mean, rest, scale
            if slots[5]:
                means[row], variances[row] = mean + rest, variance
            if WEIGHTED and BIASED:
                for j in range(n):
                    y[j] = ((x[j] - mean) - rest) * scale * weight[j] + bias[j]
            elif WEIGHTED:
                for j in range(n):
                    y[j] = ((x[j] - mean) - rest) * scale * weight[j]
            elif BIASED:
                for j in range(n):
                    y[j] = ((x[j] - mean) - rest) * scale + bias[j]
            else:
                for j in range(n):
                    y[j] = ((x[j] - mean) - rest) * scale

    return kernel


def elements_backward(dtype: str, centered: bool, weighted: bool, parts: bool) -> Any:
    """The gradients of ``elements_forward``; with ``parts``, those of weight and bias, too.

    Slots: g, x, weight, statistics, gradient of x, parts, rows, n, rows of a chunk. A unit is a chunk of rows; its part is the sums of
    its rows (weight's and bias's, n each; then a lap of them): (chunks, 4, n).
    """
    T, values, SIZE = getattr(types, dtype), abi.POINTERS[dtype], np.dtype(dtype).itemsize
    CENTERED, WEIGHTED, PARTS = centered, weighted, parts
    projections = sums("projections", dtype, 2, 2, 2, lambda g, x, m, r: (g, g * ((x - m) - r)))
    weighted_projections = sums("weighted", dtype, 3, 2, 2, lambda g, x, w, m, r: (g * w, g * w * ((x - m) - r)))

    @inline
    def add_lap(part, n):  # type: ignore[no-untyped-def]
        for j in range(2 * n):
            part[j] += part[2 * n + j]
            part[2 * n + j] = T(0)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        weight, kept = values(slots[2]), values(slots[3])
        rows, n, share = slots[6], slots[7], slots[8]
        scratch = stack_bytes(64)
        found = values(scratch)
        for chunk in range(start, stop):
            part = values(slots[5] + chunk * 4 * n * SIZE)
            lap_weight, lap_bias = values(slots[5] + (chunk * 4 + 2) * n * SIZE), values(slots[5] + (chunk * 4 + 3) * n * SIZE)
            if PARTS:
                for j in range(4 * n):
                    part[j] = T(0)
            first = chunk * share
            for row in range(first, min(first + share, rows)):
                at = row * n * SIZE
                g, x, out = values(slots[0] + at), values(slots[1] + at), values(slots[4] + at)
                mean, rest, scale = kept[row], kept[rows + row], kept[2 * rows + row]
                if WEIGHTED:
                    weighted_projections(scratch, 1, n, n, slots[0] + at, slots[1] + at, slots[2], mean, rest)
                else:
                    projections(scratch, 1, n, n, slots[0] + at, slots[1] + at, mean, rest)
                level = found[0] / T(n) if CENTERED else T(0)
                slope = found[1] / T(n) * scale * scale
                if WEIGHTED:
                    for j in range(n):
                        out[j] = ((g[j] * weight[j] - level) - ((x[j] - mean) - rest) * slope) * scale
                else:
                    for j in range(n):
                        out[j] = ((g[j] - level) - ((x[j] - mean) - rest) * slope) * scale
                if PARTS:
                    for j in range(n):
                        lap_weight[j] += g[j] * (((x[j] - mean) - rest) * scale)
                        lap_bias[j] += g[j]
                    if (row - first) % _LAP == _LAP - 1:
                        add_lap(part, n)
            if PARTS:
                add_lap(part, n)

    return kernel


def channels_forward(dtype: str, centered: bool) -> Any:
    """Rows of segments; weight and bias (or 0) per channel. A unit is a row.

    Slots: x, weight, bias, y, statistics, mean, variance, rows, segments, inner, then steps in elements: from row to row and from
    segment to segment; groups (of rows with the same weights), and steps of the weights' index: from row to row and from segment to segment; eps.
    """
    T, values, SIZE = getattr(types, dtype), abi.POINTERS[dtype], np.dtype(dtype).itemsize
    statistics = _statistics(dtype, centered)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        weight, bias, kept = values(slots[1]), values(slots[2]), values(slots[4])
        means, variances = values(slots[5]), values(slots[6])
        rows, segments, inner, row_step, step = slots[7], slots[8], slots[9], slots[10], slots[11]
        groups, of_row, of_segment, eps = slots[12], slots[13], slots[14], T(float_of_bits(slots[15]))
        scratch = stack_bytes(64)
        runs, run = (1, segments * inner) if step == inner else (segments, inner)
        for row in range(start, stop):
            base = row * row_step * SIZE
            mean, rest, scale, variance = statistics(slots[0] + base, runs, step, run, eps, scratch)
            kept[row], kept[rows + row], kept[2 * rows + row] = mean, rest, scale
            if slots[5]:
                means[row], variances[row] = mean + rest, variance
            for s in range(segments):
                at, channel = base + s * step * SIZE, row % groups * of_row + s * of_segment
                x, y = values(slots[0] + at), values(slots[3] + at)
                factor = scale * weight[channel] if slots[1] else scale
                shift = bias[channel] if slots[2] else T(0)
                for j in range(inner):
                    y[j] = ((x[j] - mean) - rest) * factor + shift

    return kernel


def channels_backward(dtype: str, centered: bool) -> Any:
    """The gradients of ``channels_forward``. A unit is a row.

    Slots: g, x, weight (or 0), statistics, gradient of x, weight's and bias's, rows, and from segments to the weights' steps as there,
    then how far apart groups write to the weights' gradients.
    """
    T, values, SIZE = getattr(types, dtype), abi.POINTERS[dtype], np.dtype(dtype).itemsize
    CENTERED, tree = centered, reducer("sum", dtype)
    push, total = tree.push, tree.total
    projections = sums("projections", dtype, 2, 2, 2, lambda g, x, m, r: (g, g * ((x - m) - r)))

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        weight, kept, of_weight, of_bias = values(slots[2]), values(slots[3]), values(slots[5]), values(slots[6])
        rows, segments, inner, row_step, step = slots[7], slots[8], slots[9], slots[10], slots[11]
        groups, of_row, of_segment, apart = slots[12], slots[13], slots[14], slots[15]
        scratch, levels, slopes = stack_bytes(64), stack_bytes(_TREE_BYTES), stack_bytes(_TREE_BYTES)
        found = values(scratch)
        n, channels = T(segments * inner), segments if of_segment else 1
        for row in range(start, stop):
            base = row * row_step * SIZE
            mean, rest, scale = kept[row], kept[rows + row], kept[2 * rows + row]
            place = row // groups * apart + row % groups * of_row
            for s in range(channels):
                at = base + s * step * SIZE
                projections(scratch, segments // channels, step, inner, slots[0] + at, slots[1] + at, mean, rest)
                level, slope = found[0], found[1]
                of_bias[place + s], of_weight[place + s] = level, slope * scale
                if slots[2]:
                    own = weight[row % groups * of_row + s]
                    level, slope = level * own, slope * own
                push(levels, s, level)
                push(slopes, s, slope)
            level = total(levels, channels) / n if CENTERED else T(0)
            slope = total(slopes, channels) / n * scale * scale
            for s in range(segments):
                at = base + s * step * SIZE
                g, x, out = values(slots[0] + at), values(slots[1] + at), values(slots[4] + at)
                own = weight[row % groups * of_row + s * of_segment] if slots[2] else T(1)
                for j in range(inner):
                    out[j] = ((g[j] * own - level) - ((x[j] - mean) - rest) * slope) * scale

    return kernel
