"""Recurrent cells: one step in time."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ...ops.create import empty, zeros
from ...ops.nn.recurrent import RECURRENCES, State, fits_kernels, input_parts, whole_layer
from ...tensor import Tensor
from .. import init
from ..parameter import Parameter
from .layer import Layer
from .module import Module
from .utils import declare_parameters

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


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
        if fits_kernels(input):
            weights = {name: getattr(self, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
            made = whole_layer(mode, input.unsqueeze(0), weights, state, reverse=False)[1:]
        else:
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
