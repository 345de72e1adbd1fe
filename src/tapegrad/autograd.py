"""The public autograd namespace, as ``torch.autograd``."""

from __future__ import annotations

import sys
from typing import Any

from . import graph as _graph
from .function import Function, FunctionCtx, once_differentiable
from .modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    saved_tensors_hooks,
    set_detect_anomaly,
    set_grad_enabled,
)
from .record import Recording, record
from .tape import backward, grad
from .tensor import Tensor


class _VariableMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """Old scripts' name for a tensor on the tape: ``Variable(tensor)`` is a leaf on the tensor's memory.

    Raises:
        TypeError: for what is not a tensor.
    """

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)


class graph:
    """What ``torch.autograd.graph`` holds."""

    saved_tensors_hooks = saved_tensors_hooks
    Node = _graph.Edge


__all__ = [
    "Function",
    "FunctionCtx",
    "Recording",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "graph",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "record",
    "saved_tensors_hooks",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    """Say where PyTorch's checkers have their place here."""
    hint = "; tapegrad.testing.check_grads(function, inputs, order=2) checks gradients" if name in ("gradcheck", "gradgradcheck") else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}", name=name, obj=sys.modules[__name__])
