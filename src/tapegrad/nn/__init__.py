"""Networks, as ``torch.nn``: modules, layers and losses, and the functions they are made of."""

from __future__ import annotations

from . import functional, init
from .containers import ModuleDict, ModuleList, Sequential
from .layers import GELU, Dropout, Embedding, Flatten, Identity, Linear, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .losses import CrossEntropyLoss, MSELoss
from .module import Module
from .parameter import Parameter

__all__ = [
    "GELU",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


def _functions() -> list[str]:
    """The public names of ``functional``."""
    return sorted(name for name in vars(functional) if name[0] != "_" and name != "annotations")


functional.__dir__ = _functions
