"""Activation functions with exponentials: exponential and gated linear units, softplus and its relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes, npmath
from ...primitives import E
from ...public import composite, public
from ...samples import EdgePoint, ErrorInput, Input, Sample, few
from ...scalarops import elementwise
from ...tensor import Tensor
from ..checks import need_floating
from ..elementwise.basic import sigmoid
from ..random.generator import rand
from ..ranges import arange
from ..shape.copy import to_dtype
from ..shape.reshape import normalize_dim
from ..shape.split import narrow
from .activation import called, run
from .softmax import softmax

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "logsigmoid",
    "mish",
    "selu",
    "selu_",
    "silu",
    "softmin",
    "softplus",
    "softsign",
    "tanhshrink",
]

# ------------------------------------------------------------------------------------------------- exponentials below zero

elementwise(
    "elu",  # Clevert et al., https://arxiv.org/abs/1511.07289
    lambda input, alpha: E.where(input > 0.0, input, alpha * E.expm1(input)),
    {"input": lambda g, input, alpha: E.where(input > 0.0, g, g * (alpha * E.exp(input)))},
    dtype="float",
    method=False,
    samples=few(apart=True, alpha=1.3),
    reference=lambda x, alpha: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0)),
    edge_points=[EdgePoint((0.0,), (2.0,), {"alpha": 2.0})],
    kinds="f",
)
elementwise(
    "celu",  # Barron, https://arxiv.org/abs/1704.07483
    lambda input, alpha: E.where(input > 0.0, input, alpha * E.expm1(input / alpha)),
    {"input": lambda g, input, alpha: E.where(input > 0.0, g, g * E.exp(input / alpha))},
    dtype="float",
    method=False,
    samples=few(apart=True, alpha=1.3),
    reference=lambda x, alpha: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha),
    edge_points=[EdgePoint((0.0,), (1.0,), {"alpha": 2.0})],
    kinds="f",
)
# Klambauer et al., https://arxiv.org/abs/1706.02515: the fixed point of mean 0 and variance 1
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
elementwise(
    "selu",
    lambda input: E.where(input > 0.0, SELU_SCALE * input, (SELU_SCALE * SELU_ALPHA) * E.expm1(input)),
    {"input": lambda g, input: E.where(input > 0.0, g * SELU_SCALE, g * ((SELU_SCALE * SELU_ALPHA) * E.exp(input)))},
    dtype="float",
    method=False,
    samples=few(apart=True),
    reference=lambda x: 1.0507009873554805 * (np.maximum(x, 0) + 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    edge_points=[EdgePoint((0.0,), (SELU_SCALE * SELU_ALPHA,))],
    kinds="f",
)

# ------------------------------------------------------------------------------------------------------------------ smooth

_silu = elementwise(
    "silu",
    lambda input: input * E.sigmoid(input),
    {"input": lambda g, input: g * (E.sigmoid(input) * (1.0 + input * (1.0 - E.sigmoid(input))))},
    dtype="float",
    method=False,
    samples=few(),
    reference=lambda x: x * npmath.sigmoid(x),
    kinds="f",
)


def softplus_of(x: Any) -> Any:
    """log(1 + exp(x)) without overflow, of full precision everywhere; an expression."""
    return E.log1p(E.exp(E.where(x > 0.0, -x, x))) + E.where(x > 0.0, x, 0.0)


elementwise(
    "softplus",
    lambda input, beta, threshold: E.where(beta * input > threshold, input, softplus_of(beta * input) / beta),
    {"input": lambda g, input, beta, threshold: E.where(beta * input > threshold, g, g * E.sigmoid(beta * input))},
    dtype="float",
    method=False,
    samples=[*few(beta=1.0, threshold=20.0), Sample((Input((3, 4)),), {"beta": 2.5, "threshold": 3.0})],
    reference=lambda x, beta, threshold: np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta),
    edge_points=[EdgePoint((0.0,), (0.5,), {"beta": 1.0, "threshold": 20.0}), EdgePoint((2.0,), (1.0,), {"beta": 1.0, "threshold": 1.0})],
    kinds="f",
)
logsigmoid = elementwise(
    "logsigmoid",
    lambda input: -softplus_of(-input),
    {"input": lambda g, input: g * E.sigmoid(-input)},
    dtype="float",
    method=False,
    offered=True,
    samples=few(),
    reference=lambda x: -np.logaddexp(0, -x),
    edge_points=[EdgePoint((0.0,), (0.5,)), EdgePoint((-math.inf,), (1.0,)), EdgePoint((math.inf,), (0.0,))],
    kinds="f",
)


def _exp_up_to_20(x: Any) -> Any:
    return E.exp(E.where(x > 20.0, 20.0, x))


def _mish(x: Any) -> Any:
    """x tanh(softplus(x)): with e = exp(x) that is x e (e + 2) / (e (e + 2) + 2), and from 20 on x."""
    e = _exp_up_to_20(x)
    return E.where(x > 20.0, x, x * (e * (e + 2.0) / (e * (e + 2.0) + 2.0)))


def _mish_slope(x: Any) -> Any:
    e = _exp_up_to_20(x)
    n = e * (e + 2.0)
    return E.where(x > 20.0, 1.0, (n * (n + 2.0) + 4.0 * (x * (e * (e + 1.0)))) / ((n + 2.0) * (n + 2.0)))


elementwise(
    "mish",  # Misra, https://arxiv.org/abs/1908.08681
    lambda input: _mish(input),
    {"input": lambda g, input: g * _mish_slope(input)},
    dtype="float",
    method=False,
    samples=few(),
    reference=lambda x: x * np.tanh(np.logaddexp(0, x)),
    edge_points=[EdgePoint((1e4,), (1.0,)), EdgePoint((-1e4,), (0.0,)), EdgePoint((-3e38,), (0.0,))],
    kinds="f",
)
softsign = elementwise(
    "softsign",
    lambda input: input / (1.0 + E.abs(input)),
    {"input": lambda g, input: g / ((1.0 + E.abs(input)) * (1.0 + E.abs(input)))},
    dtype="float",
    method=False,
    offered=True,
    samples=few(apart=True),
    reference=lambda x: x / (1 + np.abs(x)),
    edge_points=[EdgePoint((0.0,), (1.0,))],
    kinds="if",
)
tanhshrink = elementwise(
    "tanhshrink",
    lambda input: input - E.tanh(input),
    {"input": lambda g, input: g * E.conj(E.tanh(input) * E.tanh(input))},
    dtype="float",
    method=False,
    offered=True,
    samples=few(0.5, 2.0),  # near 0 nearly all digits cancel
    reference=lambda x: x - np.tanh(x),
    kinds="ifc",
)
_gelu = elementwise(
    "gelu",
    lambda input: input * E.gelu_gate(input),
    dtype="float",
    method=False,
    samples=few(),
    reference=lambda x: 0.5 * x * (1 + npmath.erf(x / math.sqrt(2))),
    kinds="bif",
)
_gelu_tanh = elementwise(
    "gelu_tanh",  # Hendrycks and Gimpel, https://arxiv.org/abs/1606.08415
    lambda input: 0.5 * input * (1.0 + E.tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input))),
    dtype="float",
    method=False,
    samples=few(),
    reference=lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
)

# -------------------------------------------------------------------------------------------------------- public functions


@public("elu", **called(alpha=1.3))
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """The input where positive, else alpha * (exp(input) - 1); the gradient at 0 is alpha."""
    return run("elu", inplace, input, alpha)


@public(
    "celu",
    **called(alpha=2.0),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.celu(tg.ones(3), 0.0), RuntimeError, "celu: alpha must not be 0")],
)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """The input where positive, else alpha * (exp(input / alpha) - 1).

    Raises:
        RuntimeError: when alpha is 0.
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha must not be 0; relu() is the limit")
    return run("celu", inplace, input, alpha)


@public("selu")
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 * elu(input, alpha=1.6733), which keeps mean 0 and variance 1; the gradient at 0 is 1.7581."""
    return run("selu", inplace, input)


@public("silu")
def silu(input: Any, inplace: bool = False) -> Any:
    """input * sigmoid(input)."""
    return run("silu", True, input) if inplace else _silu(input)


@public("mish")
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * tanh(softplus(input))."""
    return run("mish", inplace, input)


@public("softplus", **called(beta=2.0, threshold=3.0))
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * input)) / beta without overflow, and the input itself where beta * input is above ``threshold``."""
    return run("softplus", False, input, beta, threshold)


@public(
    "gelu",
    samples=[Sample((Input((3, 4)),)), Sample((Input((3, 4)),), {"approximate": "tanh"})],
    reference=lambda x, approximate="none": (
        0.5 * x * (1 + npmath.erf(x * math.sqrt(0.5))) if approximate == "none" else x * npmath.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))
    ),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.gelu(tg.ones(3), approximate="erf"), ValueError, "gelu: approximate")],
)
def gelu(input: Any, *, approximate: str = "none") -> Any:
    """x * Phi(x), with the normal distribution's Phi: exact, or ``approximate="tanh"`` (Hendrycks and Gimpel, 2016).

    Raises:
        ValueError: for another ``approximate``.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return (_gelu if approximate == "none" else _gelu_tanh)(input)


@composite(
    method=False,
    samples=[Sample((Input((3, 4)),), {"dim": d}) for d in (1, 0)],
    reference=lambda x, dim: np.exp(-x) / np.exp(-x).sum(axis=dim, keepdims=True),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.softmin(tg.arange(3), 0), RuntimeError, "softmax: input must be floating-point.*int64")],
)
def softmin(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """:func:`softmax` of -input.

    Raises:
        RuntimeError: for an integer tensor without ``dtype``.
    """
    return softmax(-input, dim, dtype=dtype)


@composite(
    method=False,
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.gumbel_softmax(tg.arange(3)), RuntimeError, "gumbel_softmax: logits must be floating-point")],
)
def gumbel_softmax(logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution along ``dim`` (Jang et al., https://arxiv.org/abs/1611.01144).

    ``tau`` is the temperature. ``hard`` gives one-hot vectors, with the gradient of the soft ones. ``eps`` has no effect, as in PyTorch.

    Raises:
        RuntimeError: for logits that are not floating-point.
    """
    need_floating("gumbel_softmax", logits=logits)
    uniform = rand(logits.shape, dtype=logits.dtype, device=logits.device)
    noise = -(-uniform.clamp(min=dtypes.finfo(logits.dtype).tiny).log()).log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    at = normalize_dim(dim, logits.ndim, "gumbel_softmax")
    places = arange(logits._array.shape[at] if logits.ndim else 1, device=logits.device).reshape(*[-1 if i == at else 1 for i in range(logits.ndim)])
    chosen = to_dtype(places == soft.detach().argmax(dim, keepdim=True), logits.dtype)
    return chosen - soft.detach() + soft


@composite(
    method=False,
    samples=[Sample((Input((3, 4)),)), Sample((Input((2, 4, 3)),), {"dim": 1})],
    reference=lambda x, dim=-1: np.split(x, 2, dim)[0] * npmath.sigmoid(np.split(x, 2, dim)[1]),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.glu(tg.ones(2, 3)), RuntimeError, r"glu: dimension 1 of shape \(2, 3\) must be even")],
)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second (Dauphin et al., https://arxiv.org/abs/1612.08083).

    Raises:
        RuntimeError: when there are no two halves.
    """
    at = normalize_dim(dim, input.ndim, "glu")
    if input.ndim == 0 or input._array.shape[at] % 2:
        raise RuntimeError(f"glu: dimension {at} of shape {tuple(input.shape)} must be even, to be cut into two halves")
    half = int(input._array.shape[at]) // 2
    return narrow(input, at, 0, half) * sigmoid(narrow(input, at, half, half))


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place version of :func:`elu`; returns the tensor."""
    return elu(input, alpha, True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place version of :func:`celu`; returns the tensor."""
    return celu(input, alpha, True)


def selu_(input: Tensor) -> Tensor:
    """In-place version of :func:`selu`; returns the tensor."""
    return selu(input, True)
