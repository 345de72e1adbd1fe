"""Rows of a table, picked by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes
from ...modes import no_grad
from ...public import public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_in_range
from ..elementwise.basic import where
from ..index.sort import unique
from ..reduction.vector_norm import norm
from ..shape.copy import to_dtype
from ..shape.reshape import normalize_dim

__all__ = ["embedding"]

_embedding = register(
    Op(
        "embedding",
        ("weight", "input"),
        lambda B, w, i, *, padding_idx, scale_grad_by_freq: B.take(w, i, 0),
        {
            "weight": lambda K, g, input, weight_shape, padding_idx, scale_grad_by_freq: K.embedding_backward(
                K.share_rows(g, input) if scale_grad_by_freq else g, input, size=weight_shape, padding_idx=padding_idx
            )
        },
        method=False,
        samples=[
            Sample((Input((5, 3)), Input((2, 4), 0, 5, "int")), {"padding_idx": None, "scale_grad_by_freq": False}),
            Sample((Input((5, 3)), Input((4,), 0, 2, "int")), {"padding_idx": 2, "scale_grad_by_freq": False}),  # unused: its gradient is a convention
        ],
        reference=lambda w, i, **params: w[i],
        error_inputs=[
            ErrorInput(lambda tg: tg.nn.functional.embedding(tg.tensor([5]), tg.ones(5, 2)), IndexError, "embedding: index 5 is out of range"),
            ErrorInput(lambda tg: tg.nn.functional.embedding(tg.tensor([0]), tg.ones(5)), RuntimeError, r"embedding: .*table.*\(5,\)"),
            ErrorInput(lambda tg: tg.nn.functional.embedding(tg.ones(1), tg.ones(5, 2)), RuntimeError, "embedding: expected an integer input"),
            ErrorInput(
                lambda tg: tg.nn.functional.embedding(tg.tensor([0]), tg.ones(5, 2), sparse=True), NotImplementedError, "embedding: sparse gradients"
            ),
        ],
    )
)

register(
    Op(
        "embedding_backward",
        ("input", "index"),
        lambda B, g, i, *, size, padding_idx: B.scatter_rows(g, i, size, padding_idx),
        {"input": lambda K, g, index, size, padding_idx: K.embedding(_clear_row(K, g, padding_idx), index, padding_idx=None, scale_grad_by_freq=False)},
        method=False,
        samples=[Sample((Input((4, 3)), Input((4,), 0, 5, "int")), {"size": (5, 3), "padding_idx": p}) for p in (None, 2)],
        reference="index_references.embedding_backward",
        kinds="ifc",
    )
)


def _clear_row(K: Any, g: Any, row: int | None) -> Any:
    return g if row is None else K.index_clear(g, index=(row,))


register(
    Op(
        "share_rows",
        ("input", "index"),
        lambda B, x, i: B.share_rows(x, i),
        {"input": lambda K, g, index: K.share_rows(g, index)},
        method=False,
        samples=[Sample((Input((2, 4, 3)), Input((2, 4), 0, 3, "int")))],
        reference=lambda x, i: x / np.array([np.sum(i == j) for j in i.flat]).reshape(*i.shape, 1),
        kinds="fc",
    )
)


def check_rows(name: str, input: Tensor, weight: Tensor, padding_idx: int | None, sparse: bool) -> int | None:
    """The padding row counted from the front.

    Raises:
        IndexError: when an index is out of range.
        RuntimeError: when the input is not an integer tensor, or the weight no table.
        NotImplementedError: for sparse gradients.
    """
    i, w = input._array, weight._array
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected an integer input, got dtype {input.dtype}")
    if w.ndim != 2:
        raise RuntimeError(f"{name}: weight needs shape (rows, columns), a table, got {tuple(w.shape)}")
    n = int(w.shape[0])
    need_in_range(name, input, n, f"{n} rows")
    if sparse:
        raise NotImplementedError(f"{name}: sparse gradients are not implemented; use sparse=False")
    return None if padding_idx is None else normalize_dim(padding_idx, n, f"{name} padding_idx")


def limit_rows(input: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are used, in place, to a norm of at most ``max_norm``."""
    used = unique(input)
    with no_grad():
        rows = weight.detach()[used]
        wide = to_dtype(rows, dtypes.float32) if rows.dtype.itemsize == 2 else rows
        length = norm(wide, norm_type, 1, True)
        weight[used] = where(length > max_norm, wide * (max_norm / (length + 1e-7)), wide)


@public(
    _embedding,
    samples=[
        Sample((Input((2, 4), 0, 5, "int"), Input((5, 3)))),
        Sample((Input((4,), 0, 2, "int"), Input((5, 3))), {"padding_idx": -2}),
        Sample((Input((), 0, 5, "int"), Input((5, 3)))),
    ],
    reference=lambda i, w, **params: w[i],
)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` (n, d) picked by the integer tensor ``input`` (...): shape (..., d).

    Args:
        input: indices.
        weight: the table.
        padding_idx: the row that gets no gradient.
        max_norm: rows that are used and longer are first scaled to this length, in ``weight`` itself, without gradient.
        norm_type: which p-norm that is.
        scale_grad_by_freq: divide a row's gradient by how often its index appears.
        sparse: not implemented.

    Raises:
        IndexError: when an index is out of range.
        RuntimeError: when the input is not an integer tensor, or the weight no table.
        NotImplementedError: for sparse gradients.
    """
    padding_idx = check_rows("embedding", input, weight, padding_idx, sparse)
    if max_norm is not None:
        limit_rows(input, weight, max_norm, norm_type)
    return _embedding.call(weight, input, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq)  # type: ignore[no-any-return]
