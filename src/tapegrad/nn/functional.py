"""Functions for networks, as ``torch.nn.functional``."""

from __future__ import annotations

from ..ops import cross_entropy, dropout, embedding, gelu, linear, log_softmax, mse_loss, relu, sigmoid, softmax, tanh

__all__ = [
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "linear",
    "log_softmax",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
