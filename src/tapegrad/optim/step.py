"""The parts that the updates of one parameter are made of.

A rate may be a number, a 0-d tensor under :func:`tapegrad.compile`, or, with ``differentiable=True``, a tensor that requires grad.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..modes import counted
from ..ops.create import full_like, tensor
from ..primitives import E
from ..tensor import Tensor


def slot(state: dict[str, Any], name: str, param: Tensor, value: Any = 0.0) -> Tensor:
    """The tensor ``state[name]``, like the parameter; made of ``value`` when it is first asked for."""
    found: Tensor | None = state.get(name)
    if found is None:
        found = state[name] = full_like(param, value)
    return found


def counter_dtype() -> dtypes.dtype:
    """The dtype of counters and other numbers in the state, which is PyTorch's: float32, float64 if that is the default."""
    return dtypes.float64 if dtypes.get_default_dtype() is dtypes.float64 else dtypes.float32


def begin(state: dict[str, Any]) -> None:
    """Make ``state["step"]``, a 0-d tensor, unless it is there."""
    if "step" not in state:
        state["step"] = tensor(0.0, dtype=counter_dtype(), device="cpu")


def count(state: dict[str, Any], formula: Callable[[float], tuple[Any, ...]] = lambda step: ()) -> tuple[Any, ...]:
    """Advance ``state["step"]``, a 0-d tensor, and return ``formula(step)``; steps are counted from 1.

    All numbers that depend on the step must come from ``formula``, which compiled replays call again.
    """
    begin(state)
    return counted([state], "step", formula)


def decayed(grad: Tensor, param: Tensor, weight_decay: Any) -> Tensor:
    """The gradient of the loss plus ``weight_decay / 2 * |param|^2``."""
    if _learned(weight_decay):
        return grad + param.clone() * weight_decay  # a copy, since the parameter is written before a backward pass
    return grad.add(param, alpha=weight_decay) if weight_decay else grad


def shrink(param: Tensor, lr: Any, weight_decay: Any) -> None:
    """Decoupled weight decay: multiply the parameter by 1 - lr * weight_decay."""
    if _learned(weight_decay) or weight_decay:
        param.mul_(1 - lr * weight_decay)


def with_weight_decay(param: Tensor, grad: Tensor, group: dict[str, Any]) -> Tensor:
    """The gradient to go on with after weight decay, which enters it or, when it is decoupled, shrinks the parameter."""
    if not group["decoupled_weight_decay"]:
        return decayed(grad, param, group["weight_decay"])
    shrink(param, group["lr"], group["weight_decay"])
    return grad


def average(mean: Tensor, value: Tensor, beta: Any) -> None:
    """Move a running mean: mean = beta * mean + (1 - beta) * value."""
    mean.lerp_(value, 1 - beta)


def average_square(mean: Tensor, value: Tensor, beta: Any) -> None:
    """Move a running mean of squares: mean = beta * mean + (1 - beta) * value^2."""
    if _learned(beta):
        mean.lerp_(value * value, 1 - beta)
    else:
        mean.mul_(beta).addcmul_(value, value, value=1 - beta)


def move(param: Tensor, direction: Tensor, rate: Any) -> None:
    """Add ``rate * direction`` to the parameter."""
    if _learned(rate):
        param.add_(direction * rate)
    else:
        param.add_(direction, alpha=rate)


def move_by_ratio(param: Tensor, numerator: Tensor, denominator: Tensor, rate: Any) -> None:
    """Add ``rate * numerator / denominator`` to the parameter."""
    if _learned(rate):
        param.addcdiv_(numerator * rate, denominator)
    else:
        param.addcdiv_(numerator, denominator, value=rate)


# ------------------------------------------------------------------- in formulas: of scalar expressions, or of tensors


def decay_scalar(group: dict[str, Any]) -> dict[str, Any]:
    """The number that :func:`decay` takes."""
    weight_decay = group["weight_decay"]
    return {"decay": 1 - group["lr"] * weight_decay if group.get("decoupled_weight_decay") else weight_decay}


def decay(param: Any, grad: Any, n: Any, group: dict[str, Any]) -> tuple[Any, Any]:
    """Parameter and gradient after weight decay, which enters the gradient or, when it is decoupled, shrinks the parameter."""
    if not _learned(group["weight_decay"]) and not group["weight_decay"]:
        return param, grad
    return (param * n.decay, grad) if group.get("decoupled_weight_decay") else (param, grad + n.decay * param)


def averaged(mean: Any, value: Any, kept: Any, added: Any) -> Any:
    """kept * mean + added * value: a running mean, moved from the nearer end, so that weights 0 and 1 give the ends."""
    return E.where(added < 0.5, mean + added * (value - mean), value - (value - mean) * kept)


def averaged_square(mean: Any, value: Any, kept: Any, added: Any) -> Any:
    """kept * mean + added * value^2: a running mean of squares, moved."""
    return mean * kept + added * (value * value)


def _learned(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad
