"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import npmath
from ..expr import E
from ..public import public
from ..samples import EdgePoint, unary
from ..scalarops import elementwise

__all__ = ["gelu", "relu"]

relu = elementwise(
    "relu",
    lambda input: E.where(input <= 0, 0, input),
    {"input": lambda g, out: E.where(out <= 0.0, 0.0, g)},
    samples=unary(apart=True),
    reference=lambda x: np.maximum(x, 0),
    edge_points=[EdgePoint((0.0,), (0.0,))],
    kinds="bif",
)
_gelu = elementwise(
    "gelu",
    lambda input: 0.5 * input * (1.0 + E.erf(input * math.sqrt(0.5))),
    dtype="float",
    method=False,
    samples=unary(),
    reference=lambda x: 0.5 * x * (1 + npmath.erf(x / math.sqrt(2))),
    kinds="bif",
)
_gelu_tanh = elementwise(
    "gelu_tanh",  # Hendrycks and Gimpel, https://arxiv.org/abs/1606.08415
    lambda input: 0.5 * input * (1.0 + E.tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input))),
    dtype="float",
    method=False,
    samples=unary(),
    reference=lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
)


@public("gelu")
def gelu(input: Any, *, approximate: str = "none") -> Any:
    """x * Phi(x), with the normal distribution's Phi: exact, or ``approximate="tanh"`` (Hendrycks and Gimpel, 2016).

    Raises:
        ValueError: for another ``approximate``.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return (_gelu if approximate == "none" else _gelu_tanh)(input)
