"""The kernels of ``attention.py``, as Python functions for Numba; imported only when one of them has to be compiled.

Scores are kept transposed, a tile of keys x queries at a time: maxima and sums over the keys then are vector instructions
across the queries, and both matrix products read their operands as the register tile of ``linalg.micro`` wants them.
"""

from __future__ import annotations

from typing import Any

from ...native.abi import float_of_bits, inline, stack_bytes, widest_vectors
from ..linalg.gemm import Tile
from .attention import BATCH, BATCH_DIMS, CAUSAL, DEPTH, KEYS, LENGTH, REGION, ROW, SOURCES, STRIDES, TOTAL, UNITS, VALUES, WHOLE
from .attention_pieces import Pieces


def forward(dtype: str, tile: Tile) -> Any:
    """Slots: query, key, value, mask (or 0), output, statistics, working space, table, scale.

    A unit is a share of the tiles of queries of all matrices. Statistics are per matrix the largest score of each query, and one
    by the sum of the exponentials of what the others are less (Milakov and Gimelshein, "Online normalizer calculation for
    softmax", 2018, https://arxiv.org/abs/1805.02867; Dao et al., "FlashAttention", 2022, https://arxiv.org/abs/2205.14135).
    """
    p = Pieces(dtype, tile)
    T, values, word, weight_of, nothing, SIZE, WIDE, STEP = p.T, p.values, p.word, p.weight_of, p.nothing, p.SIZE, p.WIDE, p.STEP
    product, transposed, packed, masked, hide_later = p.product, p.transposed, p.packed, p.masked, p.hide_later
    LANES, raise_to = p.LANES, p.raise_to

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        table, scale = word(slots[7]), T(float_of_bits(slots[8]))
        length, sources, e, v = table[LENGTH], table[SOURCES], table[DEPTH], table[VALUES]
        causal, total, units, padded = table[CAUSAL], table[TOTAL], table[UNITS], (table[VALUES] + LANES - 1) // LANES * LANES
        q_row, q_column, k_row, k_column = table[STRIDES], table[STRIDES + 1], table[STRIDES + 2], table[STRIDES + 3]
        v_row, v_column, m_row, m_column = table[STRIDES + 4], table[STRIDES + 5], table[STRIDES + 6], table[STRIDES + 7]
        o_row = table[STRIDES + 8]
        tiles = (length + WIDE - 1) // WIDE
        q_columns = ((slots[6] + 63) & -64) + start * table[REGION]  # nobody else starts here
        scores = q_columns + e * STEP
        sums = scores + KEYS * STEP
        v_space = sums + WIDE * padded * SIZE
        level, centre, weight, part = values(stack_bytes(STEP)), values(stack_bytes(STEP)), values(stack_bytes(STEP)), values(stack_bytes(STEP))
        factors = stack_bytes(STEP)
        factor = values(factors)
        for work in range(start * total // units, stop * total // units):
            matrix, number = work // tiles, work % tiles
            number = number // 2 if number % 2 == 0 else tiles - 1 - number // 2  # early and late: of equal work when causal
            q0 = number * WIDE
            count = min(WIDE, length - q0)
            q, k, values_at, mask, out = slots[0] + q0 * q_row, slots[1], slots[2], slots[3] + q0 * m_row, slots[4] + q0 * o_row
            left = matrix
            for d in range(table[BATCH_DIMS] - 1, -1, -1):
                row = BATCH + ROW * d
                index = left % table[row]
                left //= table[row]
                q += index * table[row + 1]
                k += index * table[row + 2]
                values_at += index * table[row + 3]
                mask += index * table[row + 4]
                out += index * table[row + 5]
            transposed(q, q_row, q_column, count, e, q_columns)
            scaled = values(q_columns)
            for i in range(e * WIDE):
                scaled[i] *= scale
            for j in range(WIDE):
                level[j] = nothing
                weight[j] = T(0)
            end = min(sources, q0 + count) if causal else sources
            for k0 in range(0, end, KEYS):
                keys = min(KEYS, end - k0)
                product(keys, WIDE, e, k + k0 * k_row, k_row, k_column, q_columns, STEP, scores, STEP, 0)
                if slots[3]:
                    masked(scores, keys, mask + k0 * m_column, m_row, m_column, count)
                if causal:
                    hide_later(scores, keys, k0 - q0)
                for j in range(WIDE):
                    factor[j] = level[j]
                raise_to(scores, keys, factors)
                for j in range(WIDE):
                    centre[j] = factor[j] if factor[j] > nothing else T(0)  # -inf less -inf is no number
                    part[j] = T(0)
                for j in range(WIDE):
                    new = factor[j]
                    factor[j] = weight_of(level[j] - centre[j])
                    level[j] = new
                for i in range(keys):
                    s = values(scores + i * STEP)
                    for j in range(WIDE):
                        x = weight_of(s[j] - centre[j])
                        s[j] = x
                        part[j] += x
                for j in range(WIDE):
                    weight[j] = weight[j] * factor[j] + part[j]
                if k0:
                    for i in range(count):
                        if factor[i] != T(1):
                            line = values(sums + i * padded * SIZE)
                            for j in range(padded):
                                line[j] *= factor[i]
                v_rows, v_step = packed(
                    values_at + k0 * v_row, v_row, v_column, keys, v, padded, v_space
                )
                product(count, padded, keys, scores, SIZE, STEP, v_rows, v_step, sums, padded * SIZE, k0)
            largest = values(slots[5] + (matrix * 2 * length + q0) * SIZE)
            shares = values(slots[5] + ((matrix * 2 + 1) * length + q0) * SIZE)
            for i in range(count):
                share = T(0) if weight[i] == T(0) else T(1) / weight[i]
                largest[i], shares[i] = centre[i] if end > 0 else T(0), share
                line, to = values(sums + i * padded * SIZE), values(out + i * o_row)
                if end > 0:
                    for j in range(v):
                        to[j] = line[j] * share
                else:
                    for j in range(v):
                        to[j] = T(0)

    return kernel


def backward(dtype: str, tile: Tile) -> Any:
    """Slots: query, key, value, mask (or 0), output, its gradient, statistics, three gradients (the first or the last two may be 0),
    working space, table, scale.

    A unit is a share of the matrices, or of their tiles of queries (for the query's gradient) or of keys (for the other two).
    """
    p = Pieces(dtype, tile)
    T, values, word, weight_of, SIZE, WIDE, STEP = p.T, p.values, p.word, p.weight_of, p.SIZE, p.WIDE, p.STEP
    product, transposed, packed, masked, hide_later = p.product, p.transposed, p.packed, p.masked, p.hide_later
    LANES = p.LANES

    @inline
    def written(source, padded, count, width, factor, target, row):  # type: ignore[no-untyped-def]
        for i in range(count):
            line, to = values(source + i * padded * SIZE), values(target + i * row)
            for j in range(width):
                to[j] = line[j] * factor

    @inline
    def cleared(address, count):  # type: ignore[no-untyped-def]
        line = values(address)
        for i in range(count):
            line[i] = T(0)

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        table, scale = word(slots[11]), T(float_of_bits(slots[12]))
        length, sources, e, v = table[LENGTH], table[SOURCES], table[DEPTH], table[VALUES]
        causal, total, units, whole = table[CAUSAL], table[TOTAL], table[UNITS], table[WHOLE]
        q_row, q_column, k_row, k_column = table[STRIDES], table[STRIDES + 1], table[STRIDES + 2], table[STRIDES + 3]
        v_row, v_column, m_row, m_column = table[STRIDES + 4], table[STRIDES + 5], table[STRIDES + 6], table[STRIDES + 7]
        o_row, o_column, g_row, g_column = table[STRIDES + 8], table[STRIDES + 9], table[STRIDES + 10], table[STRIDES + 11]
        dq_row, dk_row, dv_row = table[STRIDES + 12], table[STRIDES + 14], table[STRIDES + 16]
        e_padded, v_padded = (e + LANES - 1) // LANES * LANES, (v + LANES - 1) // LANES * LANES
        for_q, for_kv = slots[7] != 0, slots[8] != 0
        q_columns = ((slots[10] + 63) & -64) + start * table[REGION]  # nobody else starts here
        g_columns = q_columns + e * STEP
        weights = g_columns + v * STEP
        slopes = weights + KEYS * STEP
        q_space = slopes + max(KEYS, v) * STEP
        g_space = q_space + WIDE * e_padded * SIZE
        k_space = g_space + WIDE * v_padded * SIZE
        dq = k_space + KEYS * e_padded * SIZE
        dk = dq + WIDE * e_padded * SIZE
        level, share, delta = values(stack_bytes(STEP)), values(stack_bytes(STEP)), values(stack_bytes(STEP))
        parts = 1 if whole else (length + WIDE - 1) // WIDE if for_q else (sources + KEYS - 1) // KEYS
        for work in range(start * total // units, stop * total // units):
            matrix, part = work // parts, work % parts
            part = part // 2 if part % 2 == 0 else parts - 1 - part // 2  # early and late: of equal work when causal
            q_start, q_stop, k_start, k_stop = 0, length, 0, sources
            if not whole:
                if for_q:
                    q_start, q_stop = part * WIDE, min(length, (part + 1) * WIDE)
                else:
                    k_start, k_stop = part * KEYS, min(sources, (part + 1) * KEYS)
            dv = dk + (k_stop - k_start) * e_padded * SIZE
            if for_kv:
                cleared(dk, (k_stop - k_start) * (e_padded + v_padded))
            q_rows, k_rows, v_rows, mask, o_rows, g_rows = slots[0], slots[1], slots[2], slots[3], slots[4], slots[5]
            into_q, into_k, into_v = slots[7], slots[8] + k_start * dk_row, slots[9] + k_start * dv_row
            left = matrix
            for d in range(table[BATCH_DIMS] - 1, -1, -1):
                row = BATCH + ROW * d
                index = left % table[row]
                left //= table[row]
                q_rows += index * table[row + 1]
                k_rows += index * table[row + 2]
                v_rows += index * table[row + 3]
                mask += index * table[row + 4]
                o_rows += index * table[row + 5]
                g_rows += index * table[row + 6]
                into_q += index * table[row + 7]
                into_k += index * table[row + 8]
                into_v += index * table[row + 9]
            for q0 in range(q_start, q_stop, WIDE):
                count = min(WIDE, length - q0)
                end = min(k_stop, q0 + count) if causal else k_stop
                if for_q:
                    cleared(dq, count * e_padded)
                if end > k_start:
                    q = q_rows + q0 * q_row
                    out = o_rows + q0 * o_row
                    g = g_rows + q0 * g_row
                    for part_of in range(3):  # a loop, so that the body is compiled once
                        rows, row, column, width, columns = out, o_row, o_column, v, slopes
                        if part_of == 1:
                            rows, row, column, columns = g, g_row, g_column, g_columns
                        elif part_of == 2:
                            rows, row, column, width, columns = q, q_row, q_column, e, q_columns
                        transposed(rows, row, column, count, width, columns)
                    for j in range(WIDE):
                        delta[j], level[j], share[j] = T(0), T(0), T(0)
                    for i in range(v):
                        x, y = values(slopes + i * STEP), values(g_columns + i * STEP)
                        for j in range(WIDE):
                            delta[j] += x[j] * y[j]
                    largest = values(slots[6] + (matrix * 2 * length + q0) * SIZE)
                    shares = values(slots[6] + ((matrix * 2 + 1) * length + q0) * SIZE)
                    for j in range(count):
                        level[j], share[j] = largest[j], shares[j]
                    scaled = values(q_columns)
                    for i in range(e * WIDE):
                        scaled[i] *= scale
                    if for_kv:
                        q_at, q_step = packed(q, q_row, q_column, count, e, e_padded, q_space)
                        g_at, g_step = packed(g, g_row, g_column, count, v, v_padded, g_space)
                    else:
                        q_at, q_step, g_at, g_step = q, 0, g, 0
                    for k0 in range(k_start, end, KEYS):
                        keys = min(KEYS, end - k0)
                        k_at, v_at = k_rows + k0 * k_row, v_rows + k0 * v_row
                        for of_values in range(2):
                            depth, a, a_row, a_step, b, c = e, k_at, k_row, k_column, q_columns, weights
                            if of_values:
                                depth, a, a_row, a_step, b, c = v, v_at, v_row, v_column, g_columns, slopes
                            product(keys, WIDE, depth, a, a_row, a_step, b, STEP, c, STEP, 0)
                        if slots[3]:
                            at = mask + q0 * m_row + k0 * m_column
                            masked(weights, keys, at, m_row, m_column, count)
                        if causal:
                            hide_later(weights, keys, k0 - q0)
                        for i in range(keys):
                            w, d = values(weights + i * STEP), values(slopes + i * STEP)
                            for j in range(WIDE):
                                x = weight_of(w[j] - level[j]) * share[j]
                                w[j] = x
                                d[j] = x * (d[j] - delta[j])
                        at = (k0 - k_start) * SIZE
                        if for_q:
                            k_at, k_step = packed(k_at, k_row, k_column, keys, e, e_padded, k_space)
                        else:
                            k_step = 0
                        for into in range(0 if for_kv else 2, 3 if for_q else 2):
                            m, depth, columns, a, a_row, a_step = keys, count, v_padded, weights, STEP, SIZE
                            b, b_step, c = g_at, g_step, dv + at * v_padded
                            if into > 0:
                                columns, a, b, b_step, c = e_padded, slopes, q_at, q_step, dk + at * e_padded
                            if into == 2:
                                m, depth, a_row, a_step, b, b_step, c = count, keys, SIZE, STEP, k_at, k_step, dq
                            product(m, columns, depth, a, a_row, a_step, b, b_step, c, columns * SIZE, 1)
                if for_q:
                    written(dq, e_padded, count, e, scale, into_q + q0 * dq_row, dq_row)
            if for_kv:
                written(dk, e_padded, k_stop - k_start, e, scale, into_k, dk_row)
                written(dv, v_padded, k_stop - k_start, v, T(1), into_v, dv_row)

    return kernel
