"""Rows of a table, picked by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..public import public
from ..registry import Op, apply, register
from ..samples import ErrorInput, Input, Sample
from ..tensor import Tensor
from .index import placed, widened
from .shape import normalize_dim

__all__ = ["embedding"]

_embedding = register(
    Op(
        "embedding",
        ("weight", "input"),
        lambda B, w, i, *, padding_idx: w[i],
        {"weight": lambda K, g, input, weight_shape, padding_idx: K.embedding_backward(g, input, size=weight_shape, padding_idx=padding_idx)},
        method=False,
        samples=[
            Sample((Input((5, 3)), Input((2, 4), 0, 5, "int")), {"padding_idx": None}),
            Sample((Input((5, 3)), Input((4,), 0, 2, "int")), {"padding_idx": 2}),  # unused: its gradient is a convention
        ],
        reference=lambda w, i, padding_idx: w[i],
        error_inputs=[ErrorInput(lambda tg: tg.nn.functional.embedding(tg.tensor([5]), tg.ones(5, 2)), IndexError, "embedding: index 5 is out of range")],
    )
)

register(
    Op(
        "embedding_backward",
        ("input", "index"),
        lambda B, g, i, *, size, padding_idx: widened(g, lambda x: B.scatter_rows(x, i, size, padding_idx)),
        {"input": lambda K, g, index, size, padding_idx: K.embedding(_clear_row(K, g, padding_idx), index, padding_idx=None)},
        method=False,
        samples=[Sample((Input((4, 3)), Input((4,), 0, 5, "int")), {"size": (5, 3), "padding_idx": p}) for p in (None, 2)],
        reference=lambda g, i, size, padding_idx: placed(np.where((i == padding_idx)[..., None], 0, g), (i,), size),
        kinds="ifc",
    )
)


def _clear_row(K: Any, g: Any, row: int | None) -> Any:
    return g if row is None else K.index_clear(g, index=(row,))


@public(_embedding)
def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of ``weight`` (n, d) picked by the integer tensor ``input`` (...): shape (..., d). Row ``padding_idx`` gets no gradient.

    Raises:
        IndexError: when an index is out of range.
        RuntimeError: when the input is not an integer tensor.
    """
    i, n = input._array, weight._array.shape[0]
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"embedding: expected an integer input, got dtype {input.dtype}")
    if i.size and (i.min() < 0 or i.max() >= n):
        raise IndexError(f"embedding: index {int(i.min() if i.min() < 0 else i.max())} is out of range for {n} rows")
    if padding_idx is not None:
        padding_idx = normalize_dim(padding_idx, n, "embedding padding_idx")
    return apply(_embedding, (weight, input), {"padding_idx": padding_idx})  # type: ignore[no-any-return]
