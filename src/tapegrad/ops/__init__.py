"""The operations: one declaration each, in the file of its family, whose ``__all__`` is what users get."""

from __future__ import annotations

from . import (
    activation,
    convert,
    copy,
    create,
    dropout,
    elementwise,
    embedding,
    extremes,
    gather,
    index,
    join,
    linear,
    loss,
    matmul,
    random,
    reduce,
    scan,
    shape,
    softmax,
    write,
)
from .install import install

__all__ = [
    "activation",
    "convert",
    "copy",
    "create",
    "dropout",
    "elementwise",
    "embedding",
    "extremes",
    "gather",
    "index",
    "join",
    "linear",
    "loss",
    "matmul",
    "random",
    "reduce",
    "scan",
    "shape",
    "softmax",
    "write",
]

install()
