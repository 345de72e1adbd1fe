"""Recurrent layers: one step of each kind, a layer through time, step by step, and the fused ops that take a whole direction of a layer.

The fused ops run native kernels forward and backward; gradients of their gradients are those of the same layer step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import casting
from ...modes import enable_grad, local
from ...plan import ON_TENSORS
from ...registry import Op, register
from ...samples import Input, Sample
from ...tape import grad
from ...tensor import Tensor, wrap
from ..create import zeros
from ..elementwise.arithmetic import addcmul, lerp
from ..elementwise.basic import tanh
from ..shape.join import cat
from ..shape.pieces import pieces
from .activation import relu
from .linear import linear

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM

class Recurrence(NamedTuple):
    """What distinguishes one kind of recurrent layer from another.

    Attributes:
        widths: the parts that the input's share of the gates is given to ``step`` in, in multiples of the hidden size.
        states: how many tensors the state has.
        step: ``(parts, state, weights) -> state`` of shapes (batch, width * hidden), (batch, hidden) and so on; ``weights`` are
            weight_hh, bias_hh or None, and an LSTM's weight_hr or None.
        shared_bias: both biases enter only as a sum.
    """

    widths: tuple[int, ...]
    states: int
    step: Callable[[State, State, tuple[Any, ...]], State]
    shared_bias: bool = True

    @property
    def gates(self) -> int:
        """Rows of the weights in multiples of the hidden size."""
        return sum(self.widths)


def _elman(activation: Callable[[Tensor], Tensor]) -> Callable[[State, State, tuple[Any, ...]], State]:
    def step(parts: State, state: State, weights: tuple[Any, ...]) -> State:
        """h' = activation(W x + b + W' h + b'); Elman, 1990, https://doi.org/10.1207/s15516709cog1402_1."""
        return (activation(parts[0] + linear(state[0], weights[0], weights[1])),)

    return step


def _lstm(parts: State, state: State, weights: tuple[Any, ...]) -> State:
    """c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'), then the projection (Sak et al., arXiv:1402.1128).

    Hochreiter and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735; with the forget gate of Gers et al., 2000.
    """
    h, c = state
    weight_hh, bias_hh, weight_hr = weights
    rows = parts[0] + linear(h, weight_hh, bias_hh)
    i, f, g, o = pieces(rows, (c._array.shape[1],) * 4, dim=1)
    c = addcmul(i.sigmoid() * g.tanh(), f.sigmoid(), c)
    h = o.sigmoid() * c.tanh()
    return (h if weight_hr is None else linear(h, weight_hr)), c


def _gru(parts: State, state: State, weights: tuple[Any, ...]) -> State:
    """n = tanh(W x + r (W' h + b')), h' = (1 - z) n + z h with the gates r and z.

    Cho et al., https://arxiv.org/abs/1406.1078, with the reset gate behind the product, as in cuDNN.
    """
    (h,) = state
    size = h._array.shape[1]
    gates, candidate = parts
    own_gates, own_candidate = pieces(linear(h, weights[0], weights[1]), (2 * size, size), dim=1)
    r, z = pieces((gates + own_gates).sigmoid(), (size, size), dim=1)
    return (lerp(addcmul(candidate, r, own_candidate).tanh(), h, z),)


RECURRENCES = {
    "RNN_TANH": Recurrence((1,), 1, _elman(tanh)),
    "RNN_RELU": Recurrence((1,), 1, _elman(relu)),
    "LSTM": Recurrence((4,), 2, _lstm),
    "GRU": Recurrence((2, 1), 1, _gru, shared_bias=False),
}


def input_parts(recurrence: Recurrence, input: Tensor, weight_ih: Tensor, bias_ih: Tensor | None) -> State:
    """The input's share of the gates, for any number of rows: (rows, input_size) -> parts of (rows, width * hidden)."""
    rows = linear(input, weight_ih, bias_ih)
    size = int(rows._array.shape[1]) // recurrence.gates
    return pieces(rows, [width * size for width in recurrence.widths], dim=1)


# ------------------------------------------------------------------------------------------- a layer, step by step


def through_time(
    recurrence: Recurrence, rows: Tensor, batch_sizes: list[int], state: State, weights: dict[str, Any], reverse: bool
) -> tuple[Tensor, State]:
    """One layer in one direction: rows (total length, size) -> rows, and the final state of every sequence."""
    bias_ih, bias_hh = weights["bias_ih"], weights["bias_hh"]
    if bias_ih is not None and recurrence.shared_bias:
        bias_ih, bias_hh = bias_ih + bias_hh, None
    own = (weights["weight_hh"], bias_hh, weights["weight_hr"])
    # one product for all steps; only the state's share has to wait for its turn
    parts = input_parts(recurrence, rows, weights["weight_ih"], bias_ih)
    steps = list(zip(*[pieces(part, batch_sizes) for part in parts], strict=True))
    outputs: list[Tensor] = []
    waiting: list[State] = []  # initial states of sequences that begin later, or final ones of those that have ended
    if reverse:
        *waiting, state = _groups(state, _shrinking(batch_sizes)[::-1])[::-1]
        for size, step in zip(reversed(batch_sizes), reversed(steps), strict=True):
            if size > state[0].shape[0]:
                state = tuple([cat(pair) for pair in zip(state, waiting.pop(), strict=True)])
            state = recurrence.step(step, state, own)
            outputs.append(state[0])
        return cat(outputs[::-1]), state
    for size, step in zip(batch_sizes, steps, strict=True):
        left = int(state[0].shape[0])
        if size < left:
            state, ended = _groups(state, [size, left - size])
            waiting.append(ended)
        state = recurrence.step(step, state, own)
        outputs.append(state[0])
    final = tuple([cat(group) for group in zip(state, *waiting[::-1], strict=True)]) if waiting else state
    return cat(outputs), final


def _groups(state: State, lengths: list[int]) -> list[State]:
    """The state of consecutive sequences."""
    return list(zip(*[pieces(x, lengths) for x in state], strict=True))


def _shrinking(batch_sizes: list[int]) -> list[int]:
    """How many sequences end together, from the shortest to the longest."""
    ends = [a - b for a, b in zip(batch_sizes, [*batch_sizes[1:], 0], strict=True)]
    return [n for n in ends if n] or [0]


# --------------------------------------------------------------------------------------------------------- whole layers


def _second_order(
    mode: str, K: Any, cotangents: tuple[Any, ...], inputs: tuple[Any, ...], wanted: tuple[bool, ...], needs: tuple[bool, ...], reverse: bool
) -> tuple[Any, ...]:
    """The gradients of the gradients: those of the layer step by step.

    Args:
        mode, K, reverse: of the layer, on arrays or tensors.
        cotangents: of the gradients with respect to the layer's inputs, those of which ``wanted`` were computed.
        inputs: of the backward op, without the residuals.
        needs: which of these need a gradient.
    """
    on_tensors = K is ON_TENSORS
    with enable_grad():
        # views stand in for tensors, so that these gradients stop there, also when one input was made from another
        roots: list[Any] = [None if x is None else _following(K.reshape(x, shape=tuple(x.shape)) if on_tensors else wrap(x)) for x in inputs]
        given, slopes = roots[: len(wanted)], roots[len(wanted) :]
        used = [(y, g) for y, g in zip(_step_by_step(mode, given, reverse), slopes, strict=True) if g is not None]
        targets = [x for x, want in zip(given, wanted, strict=True) if want]
        made = iter(grad([y for y, _ in used], targets, [g for _, g in used], create_graph=True, allow_unused=True))
        pairs: list[tuple[Any, Any]] = [(next(made), g) for g, want in zip(cotangents, wanted, strict=True) if want]
        pairs = [(x, g if on_tensors else wrap(g)) for x, g in pairs if x is not None and g is not None and x._entry is not None]
        targets = [x for x, need in zip(roots, needs, strict=False) if need]
        found: Any = iter([None] * len(targets))
        if pairs:
            found = iter(grad([x for x, _ in pairs], targets, [g for _, g in pairs], create_graph=on_tensors, allow_unused=True))
    results = [next(found) if need else None for need in needs]
    return tuple([x if x is None or on_tensors else x._array for x in results])


def _following(x: Tensor) -> Tensor:
    return x if x._entry is not None else x.detach().requires_grad_()


def _step_by_step(mode: str, given: list[Any], reverse: bool) -> tuple[Tensor, ...]:
    x, weight_ih, weight_hh, bias_ih, bias_hh, *state = given
    steps, batch, inputs = (int(n) for n in x._array.shape)
    size = int(weight_hh._array.shape[1])
    first = tuple([zeros(batch, size, dtype=x.dtype, device=x.device) if s is None else s for s in state])
    weights = {"weight_ih": weight_ih, "weight_hh": weight_hh, "bias_ih": bias_ih, "bias_hh": bias_hh, "weight_hr": None}
    rows, final = through_time(RECURRENCES[mode], x.reshape(steps * batch, inputs), [batch] * steps, first, weights, reverse)
    return rows.reshape(steps, batch, size), *final


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _reference(mode: str, x: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, h: Any, c: Any, reverse: bool) -> Any:
    outputs = []
    for row in x[::-1] if reverse else x:
        given, own = row @ weight_ih.T + bias_ih, h @ weight_hh.T + bias_hh
        if mode == "LSTM":
            i, f, g, o = np.split(given + own, 4, axis=1)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
        elif mode == "GRU":
            (r, z, n), (own_r, own_z, own_n) = np.split(given, 3, axis=1), np.split(own, 3, axis=1)
            n, z = np.tanh(n + _sigmoid(r + own_r) * own_n), _sigmoid(z + own_z)
            h = (1 - z) * n + z * h
        else:
            h = np.tanh(given + own) if mode == "RNN_TANH" else np.maximum(given + own, 0)
        outputs.append(h)
    return (np.stack(outputs[::-1] if reverse else outputs), h, *([c] if mode == "LSTM" else []))


def _samples(gates: int, states: int) -> list[Sample]:
    return [
        Sample(
            (Input((steps, 2, 3)), Input((gates * 2, 3), -1, 1), Input((gates * 2, 2), -1, 1), *[Input((gates * 2,))] * 2, *[Input((2, 2))] * states),
            {"reverse": reverse},
        )
        for steps, reverse in ((3, False), (2, True))
    ]


_NAMES = ("input", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "h_0")
_LSTM_NAMES = (*_NAMES, "c_0")
_RESIDUALS = ("hidden", "memory", "gates")


def _backward(B: Any, mode: str, arrays: tuple[Any, ...], wanted: tuple[bool, ...], reverse: bool) -> tuple[Any, ...]:
    """The gradients of the layer's inputs; empty arrays in the place of those that nobody wants."""
    x, weight_ih, weight_hh = arrays[:3]
    slopes = (*arrays[len(wanted) : -3], None)[:3]
    made = B.recurrent_backward(mode, *slopes, x, weight_ih, weight_hh, *arrays[-3:], needs=(*wanted, False)[:7], reverse=reverse)
    return tuple([B.new_empty(x, (0,), x.dtype) if g is None else g for g in made[: len(wanted)]])


def _wanted(made: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    return tuple([g if need else None for g, need in zip(made, needs, strict=True)])


def _layer(mode: str) -> Op:
    """The op of a layer without cells: (steps, batch, inputs) -> (steps, batch, size) and the final state."""
    name, samples = f"{mode.lower()}_layer", _samples(RECURRENCES[mode].gates, 1)
    register(
        Op(
            f"{name}_backward",
            (*_NAMES, "g_out", "g_h", *_RESIDUALS),
            lambda B, *arrays, wanted, reverse: _backward(B, mode, arrays, wanted, reverse),
            {
                (*_NAMES, "g_out", "g_h"): lambda K, g0, g1, g2, g3, g4, g5, input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, g_out, g_h, needs, wanted, reverse: (
                    _second_order(
                        mode,
                        K,
                        (g0, g1, g2, g3, g4, g5),
                        (input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, g_out, g_h),
                        wanted,
                        needs[:8],
                        reverse,
                    )
                )
            },
            method=False,
        )
    )
    return register(
        Op(
            name,
            _NAMES,
            lambda B, *arrays, reverse: B.recurrent(mode, *arrays, None, reverse),
            {
                _NAMES: lambda K, g0, g1, input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, out0, hidden, memory, gates, needs, reverse: _wanted(
                    getattr(K, f"{name}_backward")(
                        input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, g0, g1, hidden, memory, gates, wanted=needs, reverse=reverse
                    ),
                    needs,
                )
            },
            residuals=_RESIDUALS,
            method=False,
            samples=samples,
            reference=lambda x, w, u, b, d, h, reverse: _reference(mode, x, w, u, b, d, h, None, reverse),
            kinds="f",
        )
    )


_LAYERS = {mode: _layer(mode) for mode in ("RNN_TANH", "RNN_RELU", "GRU")}
register(
    Op(
        "lstm_layer_backward",
        (*_LSTM_NAMES, "g_out", "g_h", "g_c", *_RESIDUALS),
        lambda B, *arrays, wanted, reverse: _backward(B, "LSTM", arrays, wanted, reverse),
        {
            (*_LSTM_NAMES, "g_out", "g_h", "g_c"): (
                lambda K, g0, g1, g2, g3, g4, g5, g6, input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0, g_out, g_h, g_c, needs, wanted, reverse: (
                    _second_order(
                        "LSTM",
                        K,
                        (g0, g1, g2, g3, g4, g5, g6),
                        (input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0, g_out, g_h, g_c),
                        wanted,
                        needs[:10],
                        reverse,
                    )
                )
            )
        },
        method=False,
    )
)
_LAYERS["LSTM"] = register(
    Op(
        "lstm_layer",
        _LSTM_NAMES,
        lambda B, *arrays, reverse: B.recurrent("LSTM", *arrays, reverse),
        {
            _LSTM_NAMES: lambda K, g0, g1, g2, input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0, out0, hidden, memory, gates, needs, reverse: (
                _wanted(
                    K.lstm_layer_backward(
                        *(input, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0),
                        *(g0, g1, g2),
                        *(hidden, memory, gates),
                        wanted=needs,
                        reverse=reverse,
                    ),
                    needs,
                )
            )
        },
        residuals=_RESIDUALS,
        method=False,
        samples=_samples(4, 2),
        reference=lambda x, w, u, b, d, h, c, reverse: _reference("LSTM", x, w, u, b, d, h, c, reverse),
        kinds="f",
    )
)


def fits_kernels(x: Tensor) -> bool:
    """Whether :func:`whole_layer` takes such input, in the modes of this thread: under autocast on GPUs only, as PyTorch's."""
    return x.is_floating_point() and (not local.autocast or x.is_cuda)


def whole_layer(mode: str, x: Tensor, weights: dict[str, Any], state: tuple[Tensor | None, ...], reverse: bool) -> tuple[Tensor, ...]:
    """One direction of a layer at once: (steps, batch, inputs) -> (steps, batch, size), and the final state.

    Args:
        mode: a key of ``RECURRENCES``.
        x: of the dtype that all that follows has; under autocast all are cast to the lower dtype.
        weights: "weight_ih", "weight_hh", and "bias_ih" and "bias_hh" or None.
        state: the first one, (batch, size) each; None for zeros.
        reverse: begin at the last step.
    """
    if local.autocast:
        return casting.call(casting.LOWER, whole_layer, (mode, x, weights, state, reverse), {})  # type: ignore[no-any-return]
    parameters = [weights[name] for name in _NAMES[1:5]]
    return _LAYERS[mode].call(x, *parameters, *state, reverse=reverse)  # type: ignore[no-any-return]
