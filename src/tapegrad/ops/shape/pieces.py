"""A tensor cut into consecutive parts, by one entry on the tape: for layers that go through a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ...registry import Op, register
from ...samples import Input, Sample
from ...tensor import Tensor
from .join import joined


def _cut(B: Any, x: Any, *, dim: int, lengths: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple([B.copy(x[(slice(None),) * dim + (slice(end - n, end),)]) for n, end in zip(lengths, accumulate(lengths), strict=True)])


def _cut_vjp(K: Any, g: Any, dim: int, lengths: tuple[int, ...]) -> Any:
    known = next(part for part in g if part is not None)
    nothing = K.narrow(known, dim=dim, start=0, length=0)
    parts = [K.pad_zeros(nothing, dim=dim, before=0, total=n) if part is None else part for part, n in zip(g, lengths, strict=True)]
    return joined(parts, dim)


_pieces = register(
    Op(
        "pieces",
        ("input",),
        _cut,
        {"input": _cut_vjp},
        method=False,
        samples=[Sample((Input((3, 4)),), {"dim": 1, "lengths": (1, 3)})],
        reference=lambda x, dim, lengths: tuple(np.split(x, np.cumsum(lengths)[:-1], dim)),
    )
)


def pieces(input: Tensor, lengths: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Copies of consecutive parts along ``dim``, whose ``lengths`` are all of it.

    Their gradients are joined once, while those of as many views are each padded to the shape of the whole.
    """
    return (input,) if len(lengths) == 1 else _pieces.call(input, dim=dim, lengths=tuple(lengths))
