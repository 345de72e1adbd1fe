"""What several distributions need."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..modes import enable_grad
from ..ops.create import as_tensor
from ..ops.nn.softmax import softmax
from ..ops.shape.expand import broadcast_tensors
from ..tensor import Tensor

EULER = 0.57721566490153286060


def lazy_property(function: Callable[[Any], Tensor]) -> functools.cached_property[Tensor]:
    """A property that is computed once, with gradients even when that happens inside of no_grad()."""

    @functools.wraps(function)
    def compute(self: Any) -> Tensor:
        with enable_grad():
            return function(self)

    return functools.cached_property(compute)


def broadcast_all(*values: Any) -> list[Tensor]:
    """Tensors of one shape. Numbers get the dtype and the device of the first tensor, or the default ones.

    Raises:
        ValueError: for what is neither number nor tensor.
    """
    for value in values:
        if not isinstance(value, (Tensor, bool, int, float)):
            raise ValueError(f"Input arguments must all be instances of Number or Tensor, got {type(value).__name__}")
    first = next((v for v in values if isinstance(v, Tensor)), None)
    dtype, device = (dtypes.get_default_dtype(), None) if first is None else (first.dtype, first.device)
    return list(broadcast_tensors(*[v if isinstance(v, Tensor) else as_tensor(v, dtype=dtype, device=device) for v in values]))


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept one rounding error away from 0 and 1, so that their logarithms are finite."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Logarithms of probabilities; of odds when ``is_binary``."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of logarithms that need not be normalised; of log odds when ``is_binary``."""
    return logits.sigmoid() if is_binary else softmax(logits, -1)


def one_of(owner: Any, **given: Any) -> tuple[str, Any]:
    """The one argument that is not None.

    Raises:
        ValueError: for none or several.
    """
    found = [(name, value) for name, value in given.items() if value is not None]
    if len(found) != 1:
        raise ValueError(f"{type(owner).__name__}: give exactly one of {' and '.join(f'`{n}`' for n in given)}, got {len(found)}")
    return found[0]


def sum_rightmost(value: Tensor, dims: int) -> Tensor:
    """The sum over the last dimensions."""
    return value.sum(tuple(range(-dims, 0))) if dims else value


def betaln(a: Tensor, b: Tensor) -> Tensor:
    """The logarithm of the beta function."""
    return a.lgamma() + b.lgamma() - (a + b).lgamma()
