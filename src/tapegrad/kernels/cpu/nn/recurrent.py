"""Recurrent layers through time, one direction of one layer: plans and launches of the kernels in ``recurrent_kernels``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...native import cache, runtime
from ...native.call import launcher
from ..arrays import empty
from ..elementwise import copy
from ..linalg.gemm import matmul
from ..reduction.reduce import sum
from .recurrent_product import packed

Array = np.ndarray[Any, Any]
_ROWS = 32  # sequences of a block at most: their gates stay in the L2 cache
_SERIAL_FLOPS = 1_000_000  # below, waking another thread costs more than it brings
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class _Blocks(NamedTuple):
    """How sequences are divided: blocks, sequences of each (at most, the last may have fewer), and blocks for a thread at least."""

    blocks: int
    rows: int
    grain: int


def _blocks(steps: int, batch: int, size: int, gates: int) -> _Blocks:
    threads = runtime.get_num_threads() if 2 * steps * batch * size * size * gates >= _SERIAL_FLOPS else 1
    if threads > 1:
        runtime.start_threads()
    count = max(1, min(batch, threads * -(-batch // (_ROWS * threads))))
    rows = -(-batch // count)
    count = -(-batch // rows) if rows else 0
    return _Blocks(count, rows, 1 if threads > 1 else max(count, 1))


@functools.cache
def _kernel(direction: str, mode: str, dtype: str) -> int:
    def build() -> Any:
        from . import recurrent_kernels

        return getattr(recurrent_kernels, direction)(mode, dtype)

    return cache.native(f"recurrent {direction}:{mode}:{dtype}", build)


def recurrent(
    mode: str,
    x: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    h_0: Array | None,
    c_0: Array | None,
    reverse: bool,
) -> tuple[Array, ...]:
    """One direction of a layer: (steps, batch, inputs) -> (steps, batch, size), the final state, and what backward needs.

    Args:
        mode: a key of ``GATES``.
        x: the input; all arrays are float32, or all float64.
        weight_ih, weight_hh, bias_ih, bias_hh: (gates * size, inputs), (gates * size, size), (gates * size,).
        h_0, c_0: (batch, size); zeros when they are None.
        reverse: begin at the last step.

    Returns:
        The outputs, h_n, c_n (LSTM only), then all states (steps + 1, batch, size) of which the outputs are a part, the cells (or of
        a GRU the state's share of the candidate; else an empty array), and the values of the gates.
    """
    steps, batch, inputs = x.shape
    size, gates = weight_hh.shape[1], GATES[mode]
    dtype, blocks = x.dtype, _blocks(steps, batch, size, gates)
    x = _contiguous(x)
    values = matmul(x.reshape(steps * batch, inputs), weight_ih.T).reshape(steps, batch, gates * size)
    hidden = empty((steps + 1, batch, size), dtype)
    memory = empty({"LSTM": hidden.shape, "GRU": (steps, batch, size)}.get(mode, (0,)), dtype)
    finals = [empty((batch, size), dtype) for _ in range(2 if mode == "LSTM" else 1)]
    if batch:
        given = [0 if a is None else _contiguous(a) for a in (h_0, c_0, bias_ih, bias_hh)]
        scratch = (blocks.rows * gates + gates + 1) * size
        product = (*packed(weight_hh.T), empty((blocks.blocks * scratch,), dtype), scratch)
        sizes = (steps, batch, size, blocks.rows, int(reverse))
        arrays = (values, hidden, memory, *given, *finals, *([] if mode == "LSTM" else [0]))
        launcher()(_kernel("forward", mode, dtype.name), blocks.blocks, blocks.grain, *sizes, *product, *arrays)
    return (hidden[:-1] if reverse else hidden[1:], *finals, hidden, memory, values)


def recurrent_backward(
    mode: str,
    g_out: Array | None,
    g_h: Array | None,
    g_c: Array | None,
    x: Array,
    weight_ih: Array,
    weight_hh: Array,
    hidden: Array,
    memory: Array,
    values: Array,
    *,
    needs: tuple[bool, ...],
    reverse: bool,
) -> tuple[Array | None, ...]:
    """The gradients of :func:`recurrent`'s seven arrays, None for those that ``needs`` says no to.

    Args:
        g_out, g_h, g_c: the cotangents of the outputs, of h_n and of c_n; None for zeros.
        x, weight_ih, weight_hh: as there.
        hidden, memory, values: the states, the cells and the gates.
    """
    steps, batch, width = values.shape
    size, gates = hidden.shape[2], GATES[mode]
    dtype, blocks = x.dtype, _blocks(steps, batch, size, gates)
    d_values = empty(values.shape, dtype)
    d_own = empty(values.shape, dtype) if mode == "GRU" else d_values
    d_state = [empty((batch, size), dtype) for _ in range(2 if mode == "LSTM" else 1)]
    if batch:
        given = [0 if a is None else _contiguous(a) for a in (g_out, g_h, g_c)]
        scratch = 2 * blocks.rows * size
        product = (*packed(weight_hh), empty((blocks.blocks * scratch,), dtype), scratch)
        sizes = (steps, batch, size, blocks.rows, int(reverse))
        arrays = (values, hidden, memory, *given, d_values, d_own, *d_state, *([] if mode == "LSTM" else [0]))
        launcher()(_kernel("backward", mode, dtype.name), blocks.blocks, blocks.grain, *sizes, *product, *arrays)
    rows, own = d_values.reshape(steps * batch, width), d_own.reshape(steps * batch, width)
    before = (hidden[1:] if reverse else hidden[:-1]).reshape(steps * batch, size)
    made: list[Callable[[], Array | None]] = [
        lambda: matmul(rows, weight_ih).reshape(x.shape),
        lambda: matmul(rows.T, _contiguous(x).reshape(steps * batch, x.shape[2])),
        lambda: matmul(own.T, before),
        lambda: sum(rows, (0,), False, dtype),
        lambda: sum(own, (0,), False, dtype),
        lambda: d_state[0],
        lambda: d_state[1],
    ]
    return tuple([make() if need else None for make, need in zip(made, needs, strict=True)])


def _contiguous(x: Array) -> Array:
    return x if x.flags.c_contiguous else copy(x)
