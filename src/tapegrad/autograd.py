"""The public autograd namespace, as ``torch.autograd``."""

from __future__ import annotations

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


class graph:
    """What ``torch.autograd.graph`` holds."""

    saved_tensors_hooks = saved_tensors_hooks
    Node = _graph.Edge


__all__ = [
    "Function",
    "FunctionCtx",
    "Recording",
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
