"""The kernels of ``softmax.py``, as Python functions; imported only when one of them has to be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ...native import abi
from ...native.abi import float_of_bits, inline, stack_bytes
from ..reduction.layout import BLOCK_BYTES, LEVELS, ROWS, TILE_BYTES
from ..reduction.tree import reducer
from ..vmath import functions as vmath

_TREE_BYTES, _TILE_TREE_BYTES = 8 * LEVELS, (LEVELS + 1) * TILE_BYTES
_NEAR = 16.0  # an exponent rounded at this size still gives a probability to within a few ulp


def _element_functions(kind: str, dtype: str) -> tuple[Any, Any, Any]:
    """What is summed, how the sum is kept, and the result: of a, b, the lane's largest a, the term and the sum kept."""
    T, scope = getattr(types, dtype), vmath.functions(dtype)
    exp, log = scope["exp"], scope["log"]
    same = inline(lambda total: total)
    functions: dict[str, tuple[Any, Any, Any]] = {
        "softmax": (
            inline(lambda a, b, largest: T(exp(a - largest))),
            same,
            inline(lambda a, b, largest, term, total: term / total),
        ),
        "log_softmax": (
            inline(lambda a, b, largest: T(exp(a - largest))),
            inline(lambda total: T(log(total))),
            inline(lambda a, b, largest, term, total: (a - largest) - total),
        ),
        "softmax_backward": (
            inline(lambda a, b, largest: a * b),
            same,
            inline(lambda a, b, largest, term, total: b * (a - total)),
        ),
        "log_softmax_backward": (
            inline(lambda a, b, largest: a),
            same,
            inline(lambda a, b, largest, term, total: a - T(exp(b)) * total),
        ),
    }
    return functions[kind]


def lanes(kind: str, dtype: str) -> Any:
    """Contiguous lanes: slots a, b (or a again), output, n. A unit is a lane. The output holds the terms in between."""
    T, values = getattr(types, dtype), abi.POINTERS[dtype]
    sums = reducer("sum", dtype)
    largest_of = inline(lambda address, n: T(0)) if "backward" in kind else reducer("max", dtype).run
    block, push, total = sums.block, sums.push, sums.total
    term, keep, result = _element_functions(kind, dtype)
    SIZE = np.dtype(dtype).itemsize
    BLOCK = BLOCK_BYTES // SIZE

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        n = slots[3]
        tree = stack_bytes(_TREE_BYTES)
        for unit in range(start, stop):
            offset = unit * n * SIZE
            a, b, out = values(slots[0] + offset), values(slots[1] + offset), values(slots[2] + offset)
            largest = largest_of(slots[0] + offset, n)
            pushed = 0
            for first in range(0, n, BLOCK):
                count = min(BLOCK, n - first)
                for i in range(first, first + count):
                    out[i] = term(a[i], b[i], largest)
                pushed = push(tree, pushed, block(slots[2] + offset + first * SIZE, count))
            kept = keep(total(tree, pushed))
            for i in range(n):
                out[i] = result(a[i], b[i], largest, out[i], kept)

    return kernel


def columns(kind: str, dtype: str) -> Any:
    """Lanes of (outer, n, inner) arrays: slots a, b (or a again), output, n, inner. A unit is a tile of lanes."""
    T, values = getattr(types, dtype), abi.POINTERS[dtype]
    sums, extrema = reducer("sum", dtype), reducer("max", dtype)
    push_rows, total_rows, push_largest, total_largest = (
        sums.push_rows,
        sums.total_rows,
        extrema.push_rows,
        extrema.total_rows,
    )
    term, keep, result = _element_functions(kind, dtype)
    SIZE, NEEDS_LARGEST = np.dtype(dtype).itemsize, "backward" not in kind
    TILE = TILE_BYTES // SIZE

    @inline
    def largest_rows(address, stride, n, wide, tree, largest):  # type: ignore[no-untyped-def]
        pushed = 0
        if NEEDS_LARGEST:
            for first in range(0, n, ROWS):
                pushed = push_largest(tree, pushed, address + first * stride, stride, min(ROWS, n - first), wide)
            found = values(total_largest(tree, pushed, wide))
            for j in range(wide):
                largest[j] = found[j]
        else:
            for j in range(wide):
                largest[j] = T(0)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        n, inner = slots[3], slots[4]
        tiles = (inner + TILE - 1) // TILE
        tree, largest = stack_bytes(_TILE_TREE_BYTES), values(stack_bytes(TILE_BYTES))
        stride = inner * SIZE
        for unit in range(start, stop):
            tile = unit % tiles
            wide = min(TILE, inner - tile * TILE)
            offset = (unit // tiles * n * inner + tile * TILE) * SIZE
            largest_rows(slots[0] + offset, stride, n, wide, tree, largest)
            pushed = 0
            for first in range(0, n, ROWS):
                number = min(ROWS, n - first)
                for i in range(first, first + number):
                    at = offset + i * stride
                    a, b, out = values(slots[0] + at), values(slots[1] + at), values(slots[2] + at)
                    for j in range(wide):
                        out[j] = term(a[j], b[j], largest[j])
                pushed = push_rows(tree, pushed, slots[2] + offset + first * stride, stride, number, wide)
            kept = values(total_rows(tree, pushed, wide))
            for j in range(wide):
                kept[j] = keep(kept[j])
            for i in range(n):
                at = offset + i * stride
                a, b, out = values(slots[0] + at), values(slots[1] + at), values(slots[2] + at)
                for j in range(wide):
                    out[j] = result(a[j], b[j], largest[j], out[j], kept[j])

    return kernel


def _row_statistics(dtype: str) -> Any:
    """``statistics(address, n, tree, buffer)``: (centre and log of the sum of exp(x - centre)) of a row.

    A centre is the row's maximum, or 0 where that is not finite, so that nothing becomes inf - inf.
    """
    T, values, scope = getattr(types, dtype), abi.POINTERS[dtype], vmath.functions(dtype)
    exp, log = scope["exp"], scope["log"]
    sums, largest = reducer("sum", dtype), reducer("max", dtype).run
    block, push, total = sums.block, sums.push, sums.total
    SIZE = np.dtype(dtype).itemsize
    BLOCK = BLOCK_BYTES // SIZE

    @inline
    def statistics(address, n, tree, buffer):  # type: ignore[no-untyped-def]
        centre = largest(address, n)
        centre = centre if -np.inf < centre < np.inf else T(0)
        terms, pushed = values(buffer), 0
        for first in range(0, n, BLOCK):
            count, x = min(BLOCK, n - first), values(address + first * SIZE)
            for i in range(count):
                terms[i] = exp(x[i] - centre)
            pushed = push(tree, pushed, block(buffer, count))
        return centre, T(log(total(tree, pushed)))

    return statistics


def _weighted_sum(dtype: str) -> Any:
    """``weighted_sum(address, weights, n, factor, centre, level, tree, buffer)``: of weight[j] * factor * (centre - x[j] + level)."""
    values, sums, SIZE = abi.POINTERS[dtype], reducer("sum", dtype), np.dtype(dtype).itemsize
    block, push, total = sums.block, sums.push, sums.total
    BLOCK = BLOCK_BYTES // SIZE

    @inline
    def weighted_sum(address, weights, n, factor, centre, level, tree, buffer):  # type: ignore[no-untyped-def]
        terms, pushed = values(buffer), 0
        for first in range(0, n, BLOCK):
            count, x, w = min(BLOCK, n - first), values(address + first * SIZE), values(weights + first * SIZE)
            for i in range(count):
                terms[i] = (w[i] * factor if weights else factor) * ((centre - x[i]) + level)
            pushed = push(tree, pushed, block(buffer, count))
        return total(tree, pushed)

    return weighted_sum


def cross_entropy(dtype: str, plain: bool) -> Any:
    """Slots: logits, target, weight (or 0), losses, logsumexp, counts (or 0), classes, ignored target, smoothing. A unit is a row.

    A row's count is its target's weight, 0 where it is ignored. ``plain``: there are no weights and no smoothing.
    """
    T, values, word = getattr(types, dtype), abi.POINTERS[dtype], abi.POINTERS["int64"]
    statistics, weighted_sum = _row_statistics(dtype), _weighted_sum(dtype)
    SIZE, MIXED = np.dtype(dtype).itemsize, not plain

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        target, weight, losses, level, counts = word(slots[1]), values(slots[2]), values(slots[3]), values(slots[4]), values(slots[5])
        classes, ignored, smoothing = slots[6], slots[7], float_of_bits(slots[8])
        tree, buffer = stack_bytes(_TREE_BYTES), stack_bytes(BLOCK_BYTES)
        for row in range(start, stop):
            address = slots[0] + row * classes * SIZE
            centre, rest = statistics(address, classes, tree, buffer)
            level[row] = centre + rest
            loss, own = T(0), T(0)
            if target[row] != ignored:
                label = min(max(target[row], 0), classes - 1)  # never out of bounds
                loss, own = (centre - values(address)[label]) + rest, T(1)
                if MIXED and slots[2]:
                    own = weight[label]
                    loss *= own
                if MIXED and smoothing != 0.0:
                    factor = T(smoothing / classes)
                    spread = weighted_sum(address, slots[2], classes, factor, centre, rest, tree, buffer)
                    loss = T(1.0 - smoothing) * loss + spread
            losses[row] = loss
            if slots[5]:
                counts[row] = own

    return kernel


def loss_of_rows(dtype: str) -> Any:
    """The sum of losses, or with counts their mean. Slots: losses, counts (or 0), loss, sum of counts, rows. There is one unit."""
    values, sum_of = abi.POINTERS[dtype], reducer("sum", dtype).run

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        loss = sum_of(slots[0], slots[4])
        if slots[1]:
            count = sum_of(slots[1], slots[4])
            loss = loss / count
            values(slots[3])[0] = count
        values(slots[2])[0] = loss

    return kernel


def cross_entropy_weights(dtype: str) -> Any:
    """Slots: target, weight (or 0), output, classes, ignored target, smoothing. A unit is a row."""
    T, values, word = getattr(types, dtype), abi.POINTERS[dtype], abi.POINTERS["int64"]

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        target, weight, out = word(slots[0]), values(slots[1]), values(slots[2])
        classes, ignored, smoothing = slots[3], slots[4], float_of_bits(slots[5])
        average = 1.0
        if slots[1] and smoothing != 0.0:
            total = 0.0
            for j in range(classes):
                total += weight[j]
            average = total / classes
        for row in range(start, stop):
            own = 1.0
            if slots[1]:
                own = types.float64(weight[min(max(target[row], 0), classes - 1)])  # never out of bounds
            out[row] = T(0) if target[row] == ignored else T((1.0 - smoothing) * own + smoothing * average)

    return kernel


def cross_entropy_backward(dtype: str, plain: bool) -> Any:
    """Slots: row gradients, logits, target, logsumexp, weight (or 0), output, classes, ignored target, smoothing.

    ``plain``: there are no weights and no smoothing.
    """
    T, values, word = getattr(types, dtype), abi.POINTERS[dtype], abi.POINTERS["int64"]
    exp = vmath.functions(dtype)["exp"]
    statistics, SIZE, MIXED = _row_statistics(dtype), np.dtype(dtype).itemsize, not plain

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        gradient, target, level, weight = values(slots[0]), word(slots[2]), values(slots[3]), values(slots[4])
        classes, ignored, smoothing = slots[6], slots[7], float_of_bits(slots[8])
        tree, buffer = stack_bytes(_TREE_BYTES), stack_bytes(BLOCK_BYTES)
        all_weights = types.float64(classes)
        if MIXED and slots[4]:
            all_weights = 0.0
            for j in range(classes):
                all_weights += weight[j]
        for row in range(start, stop):
            address = slots[1] + row * classes * SIZE
            x, out = values(address), values(slots[5] + row * classes * SIZE)
            if target[row] == ignored:
                for j in range(classes):
                    out[j] = T(0)
                continue
            label = min(max(target[row], 0), classes - 1)
            own, g = 1.0, gradient[row]
            if MIXED:
                own = (1.0 - smoothing) * (weight[label] if slots[4] else T(1))
            factor = T(g * (own + smoothing * all_weights / classes)) if MIXED else g
            centre, rest = level[row], T(0)
            if not -_NEAR < centre < _NEAR:  # rounded too coarsely to be the exponent's centre
                centre, rest = statistics(address, classes, tree, buffer)
            for j in range(classes):
                out[j] = factor * T(exp((x[j] - centre) - rest))
            if MIXED and smoothing != 0.0:
                share = T(g * (smoothing / classes))
                if slots[4]:
                    for j in range(classes):
                        out[j] -= share * weight[j]
                else:
                    for j in range(classes):
                        out[j] -= share
            out[label] -= T(g * own)

    return kernel
