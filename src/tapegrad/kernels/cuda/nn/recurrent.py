"""Recurrent layers through time, one direction of one layer: for each step a matrix product and one kernel for all of its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...narrow import in_float32
from .. import language as L
from ..array import CudaArray, contiguous, empty, zeros
from ..context import blocks_for
from ..elementwise import added
from ..linalg.matmul import linear, matmul
from ..reduction.reduce import sum
from .recurrent_kernels import cell, cell_backward


@in_float32
def recurrent(
    mode: str,
    x: CudaArray,
    weight_ih: CudaArray,
    weight_hh: CudaArray,
    bias_ih: CudaArray | None,
    bias_hh: CudaArray | None,
    h_0: CudaArray | None,
    c_0: CudaArray | None,
    reverse: bool,
) -> tuple[Any, ...]:
    """One direction of a layer: (steps, batch, inputs) -> (steps, batch, size), the final state, and what backward needs.

    Args:
        mode: a key of ``recurrent_kernels.GATES``.
        x: the input; all arrays are of one dtype.
        weight_ih, weight_hh, bias_ih, bias_hh: (gates * size, inputs), (gates * size, size), (gates * size,).
        h_0, c_0: (batch, size); zeros when they are None.
        reverse: begin at the last step.

    Returns:
        The outputs, h_n, c_n (LSTM only), then all states (steps + 1, batch, size) of which the outputs are a part, the cells (or of
        a GRU the state's share of the candidate; else an empty array), and the values of the gates.
    """
    steps, batch, _ = x.shape
    size, dtype = weight_hh.shape[1], x.dtype
    values = linear(x, weight_ih, bias_ih)
    hidden = empty((steps + 1, batch, size), dtype)
    memory = empty({"LSTM": hidden.shape, "GRU": (steps, batch, size)}.get(mode, (0,)), dtype)
    first, last = (steps, 0) if reverse else (0, steps)
    hidden[first] = 0 if h_0 is None else h_0
    if mode == "LSTM":
        memory[first] = 0 if c_0 is None else c_0
    if batch * size:
        biased = bias_hh is not None
        kernel, blocks = cell(mode, dtype.name, biased), blocks_for(batch * size, L.BLOCK)
        bias = None if bias_hh is None else contiguous(bias_hh)
        weight, gates, outs, kept = weight_hh.T, _steps(values, steps), _steps(hidden, steps), _steps(memory, steps)
        for s in range(steps):
            t = steps - 1 - s if reverse else s
            before, after = (t + 1, t) if reverse else (t, t + 1)
            own = matmul(hidden[before], weight)
            cells = (kept[before], kept[after]) if mode == "LSTM" else (None, kept[t])
            kernel.launch(blocks, L.BLOCK, gates[t], own, bias, outs[before], outs[after], *cells, batch, size)
    finals = [states[last].copy() for states in ((hidden, memory) if mode == "LSTM" else (hidden,))]
    return (hidden[:-1] if reverse else hidden[1:], *finals, hidden, memory, values)


def _steps(x: CudaArray | None, steps: int) -> Sequence[int]:
    """Where the parts of a row-major array begin, one for each step; zeros without one. To make views takes longer than to launch the kernels."""
    if x is None or x.size == 0:
        return [0] * (steps + 1)
    return range(x.address, x.address + x.nbytes, x.nbytes // len(x))


@in_float32
def recurrent_backward(
    mode: str,
    g_out: CudaArray | None,
    g_h: CudaArray | None,
    g_c: CudaArray | None,
    x: CudaArray,
    weight_ih: CudaArray,
    weight_hh: CudaArray,
    hidden: CudaArray,
    memory: CudaArray,
    values: CudaArray,
    *,
    needs: tuple[bool, ...],
    reverse: bool,
) -> tuple[Any, ...]:
    """The gradients of :func:`recurrent`'s seven arrays, None for those that ``needs`` says no to.

    Args:
        g_out, g_h, g_c: the cotangents of the outputs, of h_n and of c_n; None for zeros.
        x, weight_ih, weight_hh: as there.
        hidden, memory, values: the states, the cells and the gates.
    """
    steps, batch, width = values.shape
    size, dtype = hidden.shape[2], x.dtype
    values, hidden, memory = (contiguous(a) for a in (values, hidden, memory))
    d_values = empty(values.shape, dtype)
    d_own = empty(values.shape, dtype) if mode == "GRU" else d_values
    d_h = zeros((batch, size), dtype) if g_h is None else contiguous(g_h)
    past = None  # what reaches the state before, or the cell before, past the product
    if mode == "LSTM":
        past = zeros((batch, size), dtype) if g_c is None else g_c.copy()
    elif mode == "GRU":
        past = zeros((batch, size), dtype)
    if batch * size:
        more = None if g_out is None else contiguous(g_out)
        kernel, blocks = cell_backward(mode, dtype.name, more is not None), blocks_for(batch * size, L.BLOCK)
        gates, outs, kept, given, d_gates, d_shares = (_steps(a, steps) for a in (values, hidden, memory, more, d_values, d_own))
        for s in range(steps):
            t = s if reverse else steps - 1 - s
            before, after = (t + 1, t) if reverse else (t, t + 1)
            cells = (kept[before], kept[after]) if mode == "LSTM" else (None, kept[t])
            step = (gates[t], outs[before], outs[after], *cells, given[t], d_h, past, d_gates[t], d_shares[t])
            kernel.launch(blocks, L.BLOCK, *step, batch, size)
            d_h = matmul(d_own[t], weight_hh)
    if mode == "GRU":
        d_h = added(d_h, past)
    rows, own = d_values.reshape(steps * batch, width), d_own.reshape(steps * batch, width)
    states = (hidden[1:] if reverse else hidden[:-1]).reshape(steps * batch, size)
    made: list[Callable[[], Any]] = [
        lambda: matmul(rows, weight_ih).reshape(x.shape),
        lambda: matmul(rows.T, x.reshape(steps * batch, x.shape[2])),
        lambda: matmul(own.T, states),
        lambda: sum(rows, (0,), False, dtype),
        lambda: sum(own, (0,), False, dtype),
        lambda: d_h,
        lambda: past,
    ]
    return tuple([make() if need else None for make, need in zip(made, needs, strict=True)])
