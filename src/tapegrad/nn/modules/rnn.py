"""Recurrent layers over whole sequences: RNN, LSTM, GRU."""

from __future__ import annotations

import numbers
import warnings
from typing import Any, ClassVar

from ...modes import local
from ...ops.create import empty, zeros
from ...ops.index.index_select import index_select
from ...ops.nn.recurrent import RECURRENCES, Recurrence, State, fits_kernels, through_time, whole_layer
from ...ops.shape.join import cat, stack
from ...tensor import Tensor
from .. import functional as F
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .layer import Layer
from .rnn_cells import start_uniform

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]


class RNNBase(Layer):
    """What RNN, LSTM and GRU share: parameters, checks, and the way through layers, directions and time.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of layer 0 forward in time, shapes (gates * hidden_size, input_size),
            (gates * hidden_size, hidden_size) and (gates * hidden_size,); ``_l1`` and on for further layers, ``_reverse`` appended
            for the direction against time. An LSTM with projections has weight_hr_l0, too, shape (proj_size, hidden_size).
    """

    _shown = "{input_size}, {hidden_size}"
    _shown_unless: ClassVar[dict[str, Any]] = {
        "proj_size": 0,
        "num_layers": 1,
        "bias": True,
        "batch_first": False,
        "dropout": 0,
        "bidirectional": False,
    }

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._check_options(mode, input_size, hidden_size, num_layers, batch_first, dropout, proj_size)
        self.mode = mode
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional, self.proj_size = batch_first, float(dropout), bidirectional, proj_size
        self._all_weights: list[list[str]] = []
        rows, directions = RECURRENCES[mode].gates * hidden_size, 2 if bidirectional else 1
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else directions * self._output_size
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[:directions]:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, self._output_size)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    self.register_parameter(name + suffix, Parameter(empty(shape, device=device, dtype=dtype)))
                self._all_weights.append([name + suffix for name in shapes])
        self.reset_parameters()

    @staticmethod
    def _check_options(mode: str, input_size: Any, hidden_size: Any, num_layers: Any, batch_first: Any, dropout: Any, proj_size: int) -> None:
        if mode not in RECURRENCES:
            raise ValueError(f"unknown recurrence {mode!r}; known are {', '.join(RECURRENCES)}")
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(size, int):
                raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero, got {size}")
        if not isinstance(batch_first, bool):
            raise TypeError(f"batch_first should be of type bool, got: {type(batch_first).__name__}")
        if not isinstance(dropout, numbers.Real) or isinstance(dropout, bool) or not 0 <= float(dropout) <= 1:
            raise ValueError(f"dropout should be a number in range [0, 1], the probability of an element being zeroed; got {dropout!r}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} has no effect with num_layers=1: it is applied after all but the last recurrent layer", UserWarning, stacklevel=4
            )
        if proj_size < 0:
            raise ValueError(f"proj_size should be a positive integer, or zero for no projections; got {proj_size}")
        if proj_size >= hidden_size:
            raise ValueError(f"proj_size has to be smaller than hidden_size, got {proj_size} and {hidden_size}")

    @property
    def _output_size(self) -> int:
        """The size of h."""
        return self.proj_size or self.hidden_size

    def reset_parameters(self) -> None:
        """Draw new starting values: uniform within 1 / sqrt(hidden_size)."""
        start_uniform(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Nothing: for PyTorch's scripts, which lay out memory for cuDNN by this call."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of every layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    # ----------------------------------------------------------------------------------------------------------- running

    def forward(self, input: Any, hx: Any = None) -> Any:
        recurrence = RECURRENCES[self.mode]
        name = type(self).__name__
        if isinstance(input, PackedSequence):
            rows, batch_sizes = input.data, input.batch_sizes.tolist()
            self._check_input(rows, rows.ndim == 2, "packed data of shape (total length, {})")
            state = self._state(rows, batch_sizes[0], True, hx, input.sorted_indices)
            rows, finals = self._layers(recurrence, rows, batch_sizes, state)
            if input.unsorted_indices is not None:
                finals = tuple([index_select(x, 1, input.unsorted_indices) for x in finals])
            return PackedSequence(rows, *input[1:]), finals if recurrence.states > 1 else finals[0]
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: input must be a Tensor or a PackedSequence, not {type(input).__name__}")
        if input.ndim not in (2, 3):
            raise ValueError(f"{name}: expected input of 2 or 3 dimensions, got shape {tuple(input.shape)}")
        batched = input.ndim == 3
        shape = ("(batch, steps, {})" if self.batch_first else "(steps, batch, {})") if batched else "(steps, {})"
        self._check_input(input, True, f"input of shape {shape}")
        rows = input.transpose(0, 1) if batched and self.batch_first else input
        steps, batch = int(rows.shape[0]), int(rows.shape[1]) if batched else 1
        if steps == 0:
            raise RuntimeError(f"{name}: expected a sequence length larger than 0, got input of shape {tuple(input.shape)}")
        state = self._state(input, batch, batched, hx, None)
        rows = rows.reshape(steps * batch, self.input_size) if batched else rows
        rows, finals = self._layers(recurrence, rows, [batch] * steps, state)
        if batched:
            rows = rows.reshape(steps, batch, rows.shape[1])
            rows = rows.transpose(0, 1) if self.batch_first else rows
        else:
            finals = tuple([x.squeeze(1) for x in finals])
        return rows, finals if recurrence.states > 1 else finals[0]

    def _check_input(self, x: Tensor, right_dimensions: bool, expected: str) -> None:
        name, weight = type(self).__name__, self.weight_ih_l0
        if not right_dimensions or x.shape[-1] != self.input_size:
            raise RuntimeError(f"{name}: expected {expected.format(f'input_size={self.input_size}')}, got shape {tuple(x.shape)}")
        if x.dtype is not weight.dtype and not local.autocast:  # under which they are cast
            raise ValueError(
                f"{name}: input dtype {x.dtype} does not match the weights' {weight.dtype}; convert one: input.to({weight.dtype}) or "
                f"model.to({x.dtype})"
            )

    def _state(self, like: Tensor, batch: int, batched: bool, hx: Any, order: Tensor | None) -> State | None:
        """The initial state, checked, in the order of packed sequences: shape (layers * directions, batch, size) each; None for zeros."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = (self._output_size, self.hidden_size)[: RECURRENCES[self.mode].states]
        if hx is None:
            return None
        given = (hx,) if len(sizes) == 1 else hx
        name, labels = type(self).__name__, ("h_0", "c_0")
        if isinstance(given, Tensor) or len(given) != len(sizes) or not all(isinstance(x, Tensor) for x in given):
            wanted = "a tensor h_0" if len(sizes) == 1 else "a tuple of two tensors (h_0, c_0)"
            raise TypeError(f"{name}: expected hx to be {wanted}, got {type(hx).__name__}")
        for label, x, size in zip(labels, given, sizes, strict=False):
            expected = (count, batch, size) if batched else (count, size)
            if tuple(x.shape) != expected:
                shape = "layers * directions, batch, size" if batched else "layers * directions, size, as the input has no batch"
                raise RuntimeError(f"{name}: expected {label} of shape {expected} ({shape}), got {tuple(x.shape)}")
            if x.dtype is not like.dtype and not local.autocast:
                raise RuntimeError(f"{name}: expected {label} of the input's dtype {like.dtype}, got {x.dtype}")
        if not batched:
            given = tuple([x.unsqueeze(1) for x in given])
        return given if order is None else tuple([index_select(x, 1, order) for x in given])

    def _layers(self, recurrence: Recurrence, rows: Tensor, batch_sizes: list[int], state: State | None) -> tuple[Tensor, State]:
        """Through all layers: rows of all steps one below the other -> those of the last layer, and the stacked final states."""
        directions = 2 if self.bidirectional else 1
        steps, batch = len(batch_sizes), batch_sizes[0]
        whole = not self.proj_size and batch_sizes[-1] == batch and fits_kernels(rows)
        count, sizes = self.num_layers * directions, (self._output_size, self.hidden_size)[: recurrence.states]
        initial: list[Any] = [(None,) * recurrence.states] * count
        if state is not None:
            initial = list(zip(*[x.unbind(0) for x in state], strict=True))
        elif not whole:
            initial = [tuple([zeros(batch, size, dtype=rows.dtype, device=rows.device) for size in sizes])] * count
        finals: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                rows = F.dropout(rows, self.dropout, self.training)
            results = []
            for direction in range(directions):
                weights = self._weights(layer, direction)
                first = initial[len(finals)]
                if whole:
                    made, *states = whole_layer(self.mode, rows.reshape(steps, batch, rows.shape[1]), weights, first, reverse=direction == 1)
                    made, final = made.reshape(steps * batch, self.hidden_size), tuple(states)
                else:
                    made, final = through_time(recurrence, rows, batch_sizes, first, weights, reverse=direction == 1)
                results.append(made)
                finals.append(final)
            rows = results[0] if directions == 1 else cat(results, 1)
        return rows, tuple([stack(parts) if len(parts) > 1 else parts[0].unsqueeze(0) for parts in zip(*finals, strict=True)])

    def _weights(self, layer: int, direction: int) -> dict[str, Any]:
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        return {name: getattr(self, name + suffix, None) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")}


class RNN(RNNBase):
    """Elman's recurrent layers, tanh or ReLU of ``W x + b + W' h + b'``: ``(input, h_0) -> (output, h_n)``.

    Args:
        input_size, hidden_size: of x and h.
        num_layers: layers on top of each other, each fed the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: have both biases.
        batch_first: input and output have shape (batch, steps, size) instead of (steps, batch, size); states don't change.
        dropout: the probability to drop elements of the outputs of all layers but the last, in training.
        bidirectional: in each layer, another direction against time; outputs of both side by side.

    Input is (steps, batch, input_size), or (steps, input_size) of one sequence, or a :class:`PackedSequence`; output likewise
    with size (1 or 2 directions) * hidden_size. h_0 (0 by default) and h_n have shape (num_layers * directions, batch, hidden_size).

    Raises:
        ValueError, TypeError: for options that mean nothing, and input of another dtype or number of dimensions.
        RuntimeError: for input or states of wrong shapes.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        mode = f"RNN_{nonlinearity}".upper()
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )


class LSTM(RNNBase):
    """Long short-term memory: ``(input, (h_0, c_0)) -> (output, (h_n, c_n))``; options and shapes as for :class:`RNN`.

    With ``proj_size``, h is projected to that size by weight_hr (Sak et al., https://arxiv.org/abs/1402.1128).
    The rows of weights are those of the input gate, the forget gate, the candidate and the output gate.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device=device, dtype=dtype
        )


class GRU(RNNBase):
    """Gated recurrent units: ``(input, h_0) -> (output, h_n)``; options and shapes as for :class:`RNN`.

    The rows of weights are those of the reset gate, the update gate and the candidate.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype)
