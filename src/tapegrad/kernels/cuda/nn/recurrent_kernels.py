"""Kernels of one step of a recurrent layer: everything but the product with the recurrent weights. A thread does one cell of one sequence.

Arrays are row-major, (batch, size), and for the gates (batch, gates * size).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import language as L
from ..kernel import family
from ..language import cuda, device

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_DTYPES = ("float32", "float64")


@device  # type: ignore[untyped-decorator]
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return type(x)(1) / (type(x)(1) + L.exp(-x))


@family(threads=256, mode=tuple(GATES), dtype=_DTYPES, biased=(False, True))
def cell(mode: str, dtype: str, biased: bool) -> tuple[Callable[..., Any], str]:
    """From the input's share of the gates and the product of the state before: the values of the gates, in place of the former, and the
    state after; of an LSTM the cells after, of a GRU (in their place) the state's share of the candidate.
    """
    T, sigmoid, tanh, int64 = getattr(L, dtype), _sigmoid, L.tanh, L.int64
    count, relu = GATES[mode], mode == "RNN_RELU"

    @device
    def rest(own, bias, at, j):  # type: ignore[no-untyped-def]
        return own[at] + bias[j] if biased else own[at]

    if mode == "LSTM":

        @device
        def step(gates, own, bias, before, after, memory_before, memory, i, at, j, size):  # type: ignore[no-untyped-def]
            enter = sigmoid(gates[at] + rest(own, bias, at, j))
            forget = sigmoid(gates[at + size] + rest(own, bias, at + size, j + size))
            candidate = tanh(gates[at + 2 * size] + rest(own, bias, at + 2 * size, j + 2 * size))
            out = sigmoid(gates[at + 3 * size] + rest(own, bias, at + 3 * size, j + 3 * size))
            c = enter * candidate + forget * memory_before[i]
            gates[at] = enter
            gates[at + size] = forget
            gates[at + 2 * size] = candidate
            gates[at + 3 * size] = out
            memory[i] = c
            after[i] = out * tanh(c)

    elif mode == "GRU":

        @device
        def step(gates, own, bias, before, after, memory_before, memory, i, at, j, size):  # type: ignore[no-untyped-def]
            reset = sigmoid(gates[at] + rest(own, bias, at, j))
            update = sigmoid(gates[at + size] + rest(own, bias, at + size, j + size))
            share = rest(own, bias, at + 2 * size, j + 2 * size)
            candidate = tanh(gates[at + 2 * size] + reset * share)
            gates[at] = reset
            gates[at + size] = update
            gates[at + 2 * size] = candidate
            memory[i] = share
            after[i] = candidate + update * (before[i] - candidate)

    else:

        @device
        def step(gates, own, bias, before, after, memory_before, memory, i, at, j, size):  # type: ignore[no-untyped-def]
            x = gates[at] + rest(own, bias, at, j)
            if relu:
                after[i] = T(0) if x < T(0) else x
            else:
                after[i] = tanh(x)

    def kernel(gates, own, bias, before, after, memory_before, memory, batch, size):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        hop = int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
        while i < batch * size:
            row = i // size
            j = i - row * size
            step(gates, own, bias, before, after, memory_before, memory, i, row * size * count + j, j, size)
            i += hop

    return kernel, " ".join([f"{dtype}*"] * 7) + " int64 int64"


@family(threads=256, mode=tuple(GATES), dtype=_DTYPES, given=(False, True))
def cell_backward(mode: str, dtype: str, given: bool) -> tuple[Callable[..., Any], str]:
    """From the gradient of the state after (and ``more`` of it, when ``given``): those of the input's and the state's share of the gates.

    ``past`` is of an LSTM the gradient of the cells after, which becomes that of the cells before; of a GRU what reaches the state past
    the product: that of this step takes the place of the one of the step behind.
    """
    T, tanh, int64 = getattr(L, dtype), L.tanh, L.int64
    count, relu = GATES[mode], mode == "RNN_RELU"

    @device
    def slope_of(x):  # type: ignore[no-untyped-def]
        return x * (T(1) - x)

    if mode == "LSTM":

        @device
        def step(gates, before, after, memory_before, memory, slope, past, d_gates, d_own, i, at, size):  # type: ignore[no-untyped-def]
            enter, forget, candidate, out = gates[at], gates[at + size], gates[at + 2 * size], gates[at + 3 * size]
            squashed = tanh(memory[i])
            d_gates[at + 3 * size] = slope * squashed * slope_of(out)
            more = past[i] + slope * out * (T(1) - squashed * squashed)
            d_gates[at] = more * candidate * slope_of(enter)
            d_gates[at + size] = more * memory_before[i] * slope_of(forget)
            d_gates[at + 2 * size] = more * enter * (T(1) - candidate * candidate)
            past[i] = more * forget

    elif mode == "GRU":

        @device
        def step(gates, before, after, memory_before, memory, slope, past, d_gates, d_own, i, at, size):  # type: ignore[no-untyped-def]
            reset, update, candidate = gates[at], gates[at + size], gates[at + 2 * size]
            slope += past[i]
            d_update = slope * (before[i] - candidate) * slope_of(update)
            d_candidate = slope * (T(1) - update) * (T(1) - candidate * candidate)
            d_reset = d_candidate * memory[i] * slope_of(reset)
            past[i] = slope * update
            d_gates[at] = d_reset
            d_gates[at + size] = d_update
            d_gates[at + 2 * size] = d_candidate
            d_own[at] = d_reset
            d_own[at + size] = d_update
            d_own[at + 2 * size] = d_candidate * reset

    else:

        @device
        def step(gates, before, after, memory_before, memory, slope, past, d_gates, d_own, i, at, size):  # type: ignore[no-untyped-def]
            h = after[i]
            if relu:
                d_gates[at] = slope if h > T(0) else T(0)
            else:
                d_gates[at] = slope * (T(1) - h * h)

    def kernel(gates, before, after, memory_before, memory, more, d_h, past, d_gates, d_own, batch, size):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        hop = int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
        while i < batch * size:
            row = i // size
            slope = d_h[i]
            if given:
                slope += more[i]
            step(gates, before, after, memory_before, memory, slope, past, d_gates, d_own, i, row * size * count + i - row * size, size)
            i += hop

    return kernel, " ".join([f"{dtype}*"] * 10) + " int64 int64"
