"""Recurrent cells: one step in time, as modules, and as the functions that whole layers repeat."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from ...ops.create import empty, zeros
from ...ops.elementwise.arithmetic import addcmul, lerp
from ...ops.shape.pieces import pieces
from ...tensor import Tensor
from .. import functional as F, init
from ..parameter import Parameter
from .layer import Layer
from .module import Module
from .utils import declare_parameters

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM

# ------------------------------------------------------------------------------------------------------------- one step


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
        return (activation(parts[0] + F.linear(state[0], weights[0], weights[1])),)

    return step


def _lstm(parts: State, state: State, weights: tuple[Any, ...]) -> State:
    """c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'), then the projection (Sak et al., arXiv:1402.1128).

    Hochreiter and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735; with the forget gate of Gers et al., 2000.
    """
    h, c = state
    weight_hh, bias_hh, weight_hr = weights
    rows = parts[0] + F.linear(h, weight_hh, bias_hh)
    i, f, g, o = pieces(rows, (c._array.shape[1],) * 4, dim=1)
    c = addcmul(i.sigmoid() * g.tanh(), f.sigmoid(), c)
    h = o.sigmoid() * c.tanh()
    return (h if weight_hr is None else F.linear(h, weight_hr)), c


def _gru(parts: State, state: State, weights: tuple[Any, ...]) -> State:
    """n = tanh(W x + r (W' h + b')), h' = (1 - z) n + z h with the gates r and z.

    Cho et al., https://arxiv.org/abs/1406.1078, with the reset gate behind the product, as in cuDNN.
    """
    (h,) = state
    size = h._array.shape[1]
    gates, candidate = parts
    own_gates, own_candidate = pieces(F.linear(h, weights[0], weights[1]), (2 * size, size), dim=1)
    r, z = pieces((gates + own_gates).sigmoid(), (size, size), dim=1)
    return (lerp(addcmul(candidate, r, own_candidate).tanh(), h, z),)


RECURRENCES = {
    "RNN_TANH": Recurrence((1,), 1, _elman(F.tanh)),
    "RNN_RELU": Recurrence((1,), 1, _elman(F.relu)),
    "LSTM": Recurrence((4,), 2, _lstm),
    "GRU": Recurrence((2, 1), 1, _gru, shared_bias=False),
}


def input_parts(recurrence: Recurrence, input: Tensor, weight_ih: Tensor, bias_ih: Tensor | None) -> State:
    """The input's share of the gates, for any number of rows: (rows, input_size) -> parts of (rows, width * hidden)."""
    rows = F.linear(input, weight_ih, bias_ih)
    size = int(rows._array.shape[1]) // recurrence.gates
    return pieces(rows, [width * size for width in recurrence.widths], dim=1)


# ---------------------------------------------------------------------------------------------------------------- cells


class RNNCellBase(Layer):
    """What the three cells share.

    Attributes:
        weight_ih: shape (gates * hidden_size, input_size), uniform within 1 / sqrt(hidden_size), as all of them.
        weight_hh: shape (gates * hidden_size, hidden_size).
        bias_ih, bias_hh: shape (gates * hidden_size,); None without ``bias``.
    """

    _shown = "{input_size}, {hidden_size}"
    _shown_unless: ClassVar[dict[str, Any]] = {"bias": True}
    _hidden: ClassVar[tuple[str, ...]] = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        declare_parameters(self, (rows,), device, dtype, bias_ih=bias, bias_hh=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        start_uniform(self, self.hidden_size)

    def _run(self, mode: str, input: Tensor, state: State | None) -> State:
        """One step of a batch or, for 1-d tensors, of a single sequence."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: expected input of shape (batch, {self.input_size}) or ({self.input_size},), got {tuple(input.shape)}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"{name}: expected input_size {self.input_size}, got input of shape {tuple(input.shape)}")
        expected = (*input.shape[:-1], self.hidden_size)
        recurrence = RECURRENCES[mode]
        if state is None:
            state = (zeros(*expected, dtype=input.dtype, device=input.device),) * recurrence.states
        if len(state) != recurrence.states:
            raise ValueError(f"{name}: expected {recurrence.states} hidden states, got {len(state)}")
        for label, x in zip(self._hidden, state, strict=True):
            if x.ndim not in (1, 2):
                raise ValueError(f"{name}: expected {label} of shape {expected}, got {tuple(x.shape)}")
            if tuple(x.shape) != expected:
                raise RuntimeError(f"{name}: expected {label} of shape {expected} for input of shape {tuple(input.shape)}, got {tuple(x.shape)}")
        single = input.ndim == 1
        if single:
            input, state = input.unsqueeze(0), tuple([x.unsqueeze(0) for x in state])
        parts = input_parts(recurrence, input, self.weight_ih, self.bias_ih)
        made = recurrence.step(parts, state, (self.weight_hh, self.bias_hh, None))
        return tuple([x.squeeze(0) for x in made]) if single else made


def start_uniform(module: Module, hidden_size: int) -> None:
    """Fill all parameters with numbers uniform within 1 / sqrt(hidden_size)."""
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNCell(RNNCellBase):
    """tanh (or ReLU) of ``W x + b + W' h + b'``: shapes (batch, input_size), (batch, hidden_size) -> (batch, hidden_size).

    Without a batch, (input_size,) and (hidden_size,). The state is 0 when it is not given.
    """

    _shown_unless: ClassVar[dict[str, Any]] = {"bias": True, "nonlinearity": "tanh"}

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        mode = f"RNN_{self.nonlinearity}".upper()
        if mode not in RECURRENCES:
            raise RuntimeError(f"RNNCell: unknown nonlinearity {self.nonlinearity!r}; choose 'tanh' or 'relu'")
        return self._run(mode, input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: ``(input, (h, c)) -> (h, c)``, shapes as for :class:`RNNCell`."""

    _hidden = ("hx[0]", "hx[1]")

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._run("LSTM", input, hx)
        return h, c


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`: ``(input, h) -> h``, shapes as for :class:`RNNCell`."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run("GRU", input, None if hx is None else (hx,))[0]
