"""Kernels that run a recurrent layer through time. Imported only to compile them.

A unit of work is a block of sequences, which goes through all steps by itself: threads never wait for each other. The product of
each step with the recurrent weights is done by the kernel of ``recurrent_product``, called by address.
Loops over the elements of a row are kept short, with few pointers each, so that LLVM turns all of them into vector code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...native.abi import POINTERS, call_kernel, stack_words, store, widest_vectors
from ..loops import independent_iterations
from ..vmath import functions as vmath

# One row of a step. Inlined by LLVM: a call that is left takes the way out for an exception with it, which needs Numba at run time.
_row = njit(error_model="numpy", forceinline=True)

# Slots of all kernels; a missing array is 0.
_STEPS, _BATCH, _SIZE, _ROWS, _REVERSE = range(5)  # _ROWS: sequences of a block
_KERNEL, _WEIGHT, _PANELS, _SCRATCH, _SCRATCH_SIZE = range(5, 10)  # of ``recurrent_product``; working space, and that of a block
ARRAYS = 10  # the first slot of the arrays


def forward(mode: str, dtype: str) -> Any:
    """Slots from ARRAYS: gates, hidden, memory, h_0, c_0, bias_ih, bias_hh, h_n, c_n.

    ``gates`` (steps, batch, gates * size) comes with the input's share and leaves with the values of the gates; ``hidden`` is
    (steps + 1, batch, size), with the first state before the first step; ``memory`` is of the same shape the cells of an LSTM, or
    of a GRU (steps, batch, size) the state's share of the candidate.
    """
    number, size_of = POINTERS[dtype], np.dtype(dtype).itemsize
    count = {"LSTM": 4, "GRU": 3}.get(mode, 1)
    cell = _CELLS[mode](dtype)
    lstm, gru = mode == "LSTM", mode == "GRU"

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        steps, batch, n, reverse = slots[_STEPS], slots[_BATCH], slots[_SIZE], slots[_REVERSE]
        width, line = count * n, n * size_of
        frame = stack_words(7)
        store(frame + 8, slots[_WEIGHT])
        store(frame + 32, n)
        store(frame + 40, width)
        store(frame + 48, line)
        for unit in range(start, stop):
            row0 = unit * slots[_ROWS]
            rows = min(slots[_ROWS], batch - row0)
            own = slots[_SCRATCH] + unit * slots[_SCRATCH_SIZE] * size_of
            bias = number(own + slots[_ROWS] * width * size_of)
            for j in range(width + n):
                bias[j] = 0
            if slots[ARRAYS + 5] != 0:
                given = number(slots[ARRAYS + 5])
                for j in range(width):
                    bias[j] = given[j]
            if slots[ARRAYS + 6] != 0:
                given = number(slots[ARRAYS + 6])
                shared = 2 * n if gru else width
                for j in range(shared):
                    bias[j] += given[j]
                for j in range(shared, width):  # behind a GRU's reset gate
                    bias[n + j] = given[j]
            first = (steps if reverse else 0) * batch + row0
            for part in range(2 if lstm else 1):
                target = number(slots[ARRAYS + 1 + part] + first * line)
                given_at = slots[ARRAYS + 3 + part]
                if given_at != 0:
                    given = number(given_at + row0 * line)
                    for j in range(rows * n):
                        target[j] = given[j]
                else:
                    for j in range(rows * n):
                        target[j] = 0
            store(frame + 16, own)
            store(frame + 24, rows)
            for s in range(steps):
                t = steps - 1 - s if reverse else s
                before, after = (t + 1, t) if reverse else (t, t + 1)
                store(frame, slots[ARRAYS + 1] + (before * batch + row0) * line)
                call_kernel(slots[_KERNEL], frame, 0, slots[_PANELS])
                for r in range(rows):
                    i = row0 + r
                    memory, memory_before = slots[ARRAYS + 2] + (after * batch + i) * line, slots[ARRAYS + 2] + (before * batch + i) * line
                    if gru:
                        memory = slots[ARRAYS + 2] + (t * batch + i) * line
                    cell(
                        n,
                        slots[ARRAYS] + (t * batch + i) * width * size_of,
                        own + r * width * size_of,
                        own + slots[_ROWS] * width * size_of,
                        slots[ARRAYS + 1] + (before * batch + i) * line,
                        slots[ARRAYS + 1] + (after * batch + i) * line,
                        memory_before,
                        memory,
                    )
            last = (0 if reverse else steps) * batch + row0
            for part in range(2 if lstm else 1):
                source, target = number(slots[ARRAYS + 1 + part] + last * line), number(slots[ARRAYS + 7 + part] + row0 * line)
                for j in range(rows * n):
                    target[j] = source[j]

    return kernel


def backward(mode: str, dtype: str) -> Any:
    """Slots from ARRAYS: gates, hidden, memory, g_out, g_h, g_c, d_gates, d_own, d_h, d_c.

    ``d_gates`` gets the gradient of the input's share, ``d_own`` of a GRU that of the state's share, ``d_h`` and ``d_c`` those of
    the first state.
    """
    number, size_of = POINTERS[dtype], np.dtype(dtype).itemsize
    count = {"LSTM": 4, "GRU": 3}.get(mode, 1)
    cell = _CELLS_BACKWARD[mode](dtype)
    lstm, gru = mode == "LSTM", mode == "GRU"

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        widest_vectors()
        steps, batch, n, reverse = slots[_STEPS], slots[_BATCH], slots[_SIZE], slots[_REVERSE]
        width, line = count * n, n * size_of
        frame = stack_words(7)
        store(frame + 8, slots[_WEIGHT])
        store(frame + 32, width)
        store(frame + 40, n)
        store(frame + 48, width * size_of)
        for unit in range(start, stop):
            row0 = unit * slots[_ROWS]
            rows = min(slots[_ROWS], batch - row0)
            own = slots[_SCRATCH] + unit * slots[_SCRATCH_SIZE] * size_of
            other = own + slots[_ROWS] * line
            for part in range(2 if lstm else 1):  # the gradients of h and c behind the last step
                target, given_at = number(own + part * slots[_ROWS] * line), slots[ARRAYS + 4 + part]
                if given_at != 0:
                    given = number(given_at + row0 * line)
                    for j in range(rows * n):
                        target[j] = given[j]
                else:
                    for j in range(rows * n):
                        target[j] = 0
            store(frame + 16, own)
            store(frame + 24, rows)
            for s in range(steps):
                t = s if reverse else steps - 1 - s
                before, after = (t + 1, t) if reverse else (t, t + 1)
                if slots[ARRAYS + 3] != 0:
                    slope, more = number(own), number(slots[ARRAYS + 3] + (t * batch + row0) * line)
                    for j in range(rows * n):
                        slope[j] += more[j]
                d_own = slots[ARRAYS + 7] if gru else slots[ARRAYS + 6]
                for r in range(rows):
                    i = row0 + r
                    memory, memory_before = slots[ARRAYS + 2] + (after * batch + i) * line, slots[ARRAYS + 2] + (before * batch + i) * line
                    if gru:
                        memory = slots[ARRAYS + 2] + (t * batch + i) * line
                    cell(
                        n,
                        slots[ARRAYS] + (t * batch + i) * width * size_of,
                        slots[ARRAYS + 1] + (before * batch + i) * line,
                        slots[ARRAYS + 1] + (after * batch + i) * line,
                        memory_before,
                        memory,
                        own + r * line,
                        other + r * line,
                        slots[ARRAYS + 6] + (t * batch + i) * width * size_of,
                        d_own + (t * batch + i) * width * size_of,
                    )
                store(frame, d_own + (t * batch + row0) * width * size_of)
                call_kernel(slots[_KERNEL], frame, 0, slots[_PANELS])
                if gru:  # what reached the state past the gates
                    slope, more = number(own), number(other)
                    for j in range(rows * n):
                        slope[j] += more[j]
            for part in range(2 if lstm else 1):
                source, target = number(own + part * slots[_ROWS] * line), number(slots[ARRAYS + 8 + part] + row0 * line)
                for j in range(rows * n):
                    target[j] = source[j]

    return kernel


# ------------------------------------------------------------------------------------------- one row of a step, forward


def _lstm(dtype: str) -> Any:
    number, size, scope = POINTERS[dtype], np.dtype(dtype).itemsize, vmath.functions(dtype)
    sigmoid, tanh = scope["sigmoid"], scope["tanh"]

    @_row  # type: ignore[untyped-decorator]
    def cell(n, gates, product, biases, before, after, memory_before, memory):  # type: ignore[no-untyped-def]
        line = n * size
        gate, own, bias = number(gates), number(product), number(biases)
        for j in range(2 * n):
            gate[j] = sigmoid(gate[j] + own[j] + bias[j])
        for j in range(2 * n, 3 * n):
            gate[j] = tanh(gate[j] + own[j] + bias[j])
        for j in range(3 * n, 4 * n):
            gate[j] = sigmoid(gate[j] + own[j] + bias[j])
        forget, candidate, out = number(gates + line), number(gates + 2 * line), number(gates + 3 * line)
        old, c, h = number(memory_before), number(memory), number(after)
        for j in range(n):
            c[j] = gate[j] * candidate[j] + forget[j] * old[j]
        for j in range(n):
            h[j] = out[j] * tanh(c[j])
        independent_iterations()

    return cell


def _gru(dtype: str) -> Any:
    number, size, scope = POINTERS[dtype], np.dtype(dtype).itemsize, vmath.functions(dtype)
    sigmoid, tanh = scope["sigmoid"], scope["tanh"]

    @_row  # type: ignore[untyped-decorator]
    def cell(n, gates, product, biases, before, after, memory_before, memory):  # type: ignore[no-untyped-def]
        line = n * size
        gate, own, bias = number(gates), number(product), number(biases)
        for j in range(2 * n):
            gate[j] = sigmoid(gate[j] + own[j] + bias[j])
        update, candidate = number(gates + line), number(gates + 2 * line)
        share, own_candidate, input_bias, own_bias = number(memory), number(product + 2 * line), number(biases + 2 * line), number(biases + 3 * line)
        for j in range(n):
            share[j] = own_candidate[j] + own_bias[j]
        for j in range(n):
            candidate[j] = tanh(candidate[j] + input_bias[j] + gate[j] * share[j])
        old, h = number(before), number(after)
        for j in range(n):
            h[j] = candidate[j] + update[j] * (old[j] - candidate[j])
        independent_iterations()

    return cell


def _elman(activation: str) -> Any:
    def make(dtype: str) -> Any:
        number, scope = POINTERS[dtype], vmath.functions(dtype)
        if activation == "tanh":
            apply = scope["tanh"]
        else:
            zero = np.dtype(dtype).type(0)
            apply = njit(inline="always")(lambda x: zero if x < zero else x)

        @_row  # type: ignore[untyped-decorator]
        def cell(n, gates, product, biases, before, after, memory_before, memory):  # type: ignore[no-untyped-def]
            gate, own, bias, h = number(gates), number(product), number(biases), number(after)
            for j in range(n):
                h[j] = apply(gate[j] + own[j] + bias[j])
            independent_iterations()

        return cell

    return make


_CELLS = {"LSTM": _lstm, "GRU": _gru, "RNN_TANH": _elman("tanh"), "RNN_RELU": _elman("relu")}

# ------------------------------------------------------------------------------------------ one row of a step, backward


def _lstm_backward(dtype: str) -> Any:
    number, size, one = POINTERS[dtype], np.dtype(dtype).itemsize, np.dtype(dtype).type(1)
    tanh = vmath.functions(dtype)["tanh"]

    @_row  # type: ignore[untyped-decorator]
    def cell(n, gates, before, after, memory_before, memory, d_h, d_c, d_gates, d_own):  # type: ignore[no-untyped-def]
        line = n * size
        slope, more, c, old = number(d_h), number(d_c), number(memory), number(memory_before)
        enter, forget, candidate, out = number(gates), number(gates + line), number(gates + 2 * line), number(gates + 3 * line)
        d_enter, d_forget, d_candidate, d_out = number(d_gates), number(d_gates + line), number(d_gates + 2 * line), number(d_gates + 3 * line)
        for j in range(n):
            squashed = tanh(c[j])
            d_out[j] = slope[j] * squashed * (out[j] * (one - out[j]))
            more[j] += slope[j] * out[j] * (one - squashed * squashed)
        for j in range(n):
            d_enter[j] = more[j] * candidate[j] * (enter[j] * (one - enter[j]))
            d_candidate[j] = more[j] * enter[j] * (one - candidate[j] * candidate[j])
        for j in range(n):
            d_forget[j] = more[j] * old[j] * (forget[j] * (one - forget[j]))
            more[j] = more[j] * forget[j]
        independent_iterations()

    return cell


def _gru_backward(dtype: str) -> Any:
    number, size, one = POINTERS[dtype], np.dtype(dtype).itemsize, np.dtype(dtype).type(1)

    @_row  # type: ignore[untyped-decorator]
    def cell(n, gates, before, after, memory_before, memory, d_h, past, d_gates, d_own):  # type: ignore[no-untyped-def]
        line = n * size
        slope, kept, old, share = number(d_h), number(past), number(before), number(memory)
        reset, update, candidate = number(gates), number(gates + line), number(gates + 2 * line)
        d_reset, d_update, d_candidate = number(d_gates), number(d_gates + line), number(d_gates + 2 * line)
        own, own_candidate = number(d_own), number(d_own + 2 * line)
        for j in range(n):
            d_update[j] = slope[j] * (old[j] - candidate[j]) * (update[j] * (one - update[j]))
            kept[j] = slope[j] * update[j]
        for j in range(n):
            d_candidate[j] = slope[j] * (one - update[j]) * (one - candidate[j] * candidate[j])
        for j in range(n):
            d_reset[j] = d_candidate[j] * share[j] * (reset[j] * (one - reset[j]))
            own_candidate[j] = d_candidate[j] * reset[j]
        for j in range(2 * n):
            own[j] = d_reset[j]
        independent_iterations()

    return cell


def _elman_backward(activation: str) -> Any:
    squashes = activation == "tanh"

    def make(dtype: str) -> Any:
        number, zero, one = POINTERS[dtype], np.dtype(dtype).type(0), np.dtype(dtype).type(1)

        @_row  # type: ignore[untyped-decorator]
        def cell(n, gates, before, after, memory_before, memory, d_h, past, d_gates, d_own):  # type: ignore[no-untyped-def]
            slope, h, d_gate = number(d_h), number(after), number(d_gates)
            for j in range(n):
                if squashes:
                    d_gate[j] = slope[j] * (one - h[j] * h[j])
                else:
                    d_gate[j] = slope[j] if h[j] > zero else zero
            independent_iterations()

        return cell

    return make


_CELLS_BACKWARD = {"LSTM": _lstm_backward, "GRU": _gru_backward, "RNN_TANH": _elman_backward("tanh"), "RNN_RELU": _elman_backward("relu")}
