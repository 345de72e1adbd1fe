"""Sums, means and maxima of bags of rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...device import backend
from ...public import composite
from ...registry import REGISTRY
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import index_array, need_same_dtype
from ..elementwise.basic import where
from ..index.gather import gather
from .embedding import check_rows, embedding, limit_rows

__all__ = ["embedding_bag"]


def _reference(input: Any, weight: Any, offsets: Any = None, per_sample_weights: Any = None, **options: Any) -> Any:
    mode, skip = options.get("mode", "mean"), options.get("padding_idx")
    factors = np.ones(input.shape) if per_sample_weights is None else per_sample_weights
    if input.ndim == 2:
        bags = list(zip(input, factors, strict=True))
    else:
        ends = offsets[1:] if options.get("include_last_offset") else [*offsets[1:], len(input)]
        bags = [(input[a:b], factors[a:b]) for a, b in zip(offsets, ends, strict=False)]
    out = []
    for rows, factor in bags:
        kept = [f * weight[r] for r, f in zip(rows, factor, strict=True) if skip is None or r != skip % len(weight)]
        reduce: Any = {"mean": np.mean, "sum": np.sum, "max": np.max}[mode]
        out.append(reduce(kept, axis=0) if kept else np.zeros(weight.shape[1]))
    return np.array(out)


_TABLE = Input((5, 3), apart=True)
_FLAT = (Input((6,), 0, 5, "int"), _TABLE)


def _mistake(error: type[Exception], match: str, *shape: int, **options: Any) -> ErrorInput:
    return ErrorInput(lambda tg: tg.nn.functional.embedding_bag(tg.zeros(*shape, dtype=tg.int64), tg.ones(5, 3), **options), error, match)


@composite(
    method=False,
    samples=[
        Sample((Input((2, 4), 0, 5, "int"), _TABLE)),
        Sample((Input((2, 4), 0, 5, "int"), _TABLE), {"mode": "max", "padding_idx": 1}),
        Sample((Input((2, 4), 0, 5, "int"), _TABLE, Input((2, 4))), {"mode": "sum"}, ("input", "weight", "per_sample_weights")),
        *[Sample((*_FLAT, Input((1,), 0, 1, "int")), {"mode": m, "padding_idx": -1}) for m in ("sum", "mean", "max")],
        Sample((*_FLAT, Input((2,), 0, 1, "int")), {"mode": "max"}),
    ],
    reference=_reference,
    smooth=False,
    error_inputs=[
        _mistake(ValueError, "embedding_bag: mode must be", 2, 2, mode="prod"),
        _mistake(ValueError, "embedding_bag: a 1-d input needs offsets", 4),
        _mistake(ValueError, r"embedding_bag: expected a 1-d or 2-d input, got shape \(1, 2, 2\)", 1, 2, 2),
        _mistake(NotImplementedError, "embedding_bag: sparse gradients", 2, 2, sparse=True),
        ErrorInput(
            lambda tg: tg.nn.functional.embedding_bag(tg.tensor([0, 1]), tg.ones(5, 3), tg.tensor([1])),
            RuntimeError,
            "embedding_bag: offsets must start with 0",
        ),
        ErrorInput(
            lambda tg: tg.nn.functional.embedding_bag(tg.tensor([0, 1]), tg.ones(5, 3), tg.tensor([0, 3])),
            RuntimeError,
            "embedding_bag: .*offset 3 .*2 indices",
        ),
        ErrorInput(
            lambda tg: tg.nn.functional.embedding_bag(tg.tensor([[0, 5]]), tg.ones(5, 3)), IndexError, "embedding_bag: index 5 is out of range for 5 rows"
        ),
        ErrorInput(
            lambda tg: tg.nn.functional.embedding_bag(tg.tensor([[0, 1]]), tg.ones(5, 3), per_sample_weights=tg.ones(1, 2)),
            NotImplementedError,
            "embedding_bag: per_sample_weights .*mode='sum'",
        ),
    ],
)
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The mean, sum or maximum (``mode``) of rows of ``weight`` (n, d) per bag: shape (bags, d). An empty bag gives zeros.

    Args:
        input: indices, shape (bags, size), or (total,) with ``offsets``.
        weight: the table.
        offsets: where bags begin in a 1-d input, starting with 0; with ``include_last_offset``, also where the last one ends.
        max_norm: see :func:`embedding`; also ``norm_type`` and ``scale_grad_by_freq``.
        norm_type: see ``max_norm``.
        scale_grad_by_freq: see ``max_norm``; not in mode "max".
        mode: "mean", "sum" or "max"; the gradient of a maximum goes to the first row that has it.
        sparse: not implemented.
        per_sample_weights: factors of the rows, of the input's shape, in mode "sum".
        include_last_offset: see ``offsets``.
        padding_idx: the row that counts for nothing.

    Raises:
        ValueError: for an unknown mode, or shapes that don't fit.
        IndexError: when an index is out of range.
        RuntimeError: for indices that are not integers, or wrong offsets.
        NotImplementedError: for sparse gradients, and for ``per_sample_weights`` in another mode than "sum".
    """
    name = "embedding_bag"
    if mode not in ("mean", "sum", "max"):
        raise ValueError(f"{name}: mode must be 'mean', 'sum' or 'max', got {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(f"{name}: scale_grad_by_freq has no meaning in mode 'max'")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(f"{name}: per_sample_weights are only for mode='sum', got mode={mode!r}")
    if per_sample_weights is not None and per_sample_weights._array.shape != input._array.shape:
        raise ValueError(f"{name}: per_sample_weights need the input's shape {tuple(input.shape)}, got {tuple(per_sample_weights.shape)}")
    need_same_dtype(name, weight=weight, per_sample_weights=per_sample_weights)
    padding_idx = check_rows(name, input, weight, padding_idx, sparse)
    bag, bags = _bags(input, offsets, include_last_offset)
    B = backend(bag)
    if max_norm is not None:
        limit_rows(input, weight, max_norm, norm_type)
    index = index_array(input, "embedding_bag()", weight).reshape(-1)[: len(bag)]
    factors = None if per_sample_weights is None else per_sample_weights.reshape(-1)[: len(bag)]
    if padding_idx is not None:
        index, bag, kept = B.without_row(index, bag, bags, padding_idx)
        factors = factors if factors is None or kept is None else factors[wrap(kept)]
    rows = embedding(wrap(index), weight, scale_grad_by_freq=scale_grad_by_freq)
    if mode == "max":
        first, filled = B.bag_maxima(index_array(rows, "embedding_bag()"), bag, bags)
        return where(wrap(filled[:, None]), gather(rows, 0, wrap(first)), 0.0) if len(index) else _summed(rows, bag, bags)
    total = _summed(rows if factors is None else rows * factors.unsqueeze(1), bag, bags)
    if mode == "sum":
        return total
    return total / wrap(B.bag_sizes(bag, bags, weight._array.dtype))


def _summed(rows: Tensor, bag: Any, bags: int) -> Tensor:
    """Rows added up by bag: what an embedding's backward does with gradients."""
    spare = backend(bag).SPARE_BAGS
    total: Tensor = REGISTRY["embedding_backward"].call(rows, wrap(bag), size=(bags + spare, int(rows._array.shape[1])), padding_idx=None)
    return total[:bags] if spare else total


def _bags(input: Tensor, offsets: Tensor | None, include_last_offset: bool) -> tuple[Any, int]:
    """The bag of each index, and the number of bags."""
    shape = input._array.shape
    if len(shape) == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: a 2-d input is bags of one size; offsets are for a 1-d input")
        return backend(input._array).bags_of_rows(input._array, shape[0], shape[1]), int(shape[0])
    if len(shape) != 1:
        raise ValueError(f"embedding_bag: expected a 1-d or 2-d input, got shape {tuple(shape)}")
    if offsets is None or offsets.ndim != 1 or (include_last_offset and offsets.numel() == 0):
        raise ValueError("embedding_bag: a 1-d input needs offsets, a 1-d tensor of where bags begin")
    starts = index_array(offsets, "embedding_bag()", input)
    return backend(starts).bags_of_offsets(starts, shape[0], include_last_offset), offsets.numel() - include_last_offset
