"""Kronecker and cross products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..elementwise.basic import mul, sub
from ..shape.expand import expand
from ..shape.reshape import normalize_dim

__all__ = ["cross", "kron"]


@composite(
    samples=[
        Sample((Input((2, 3)), Input((3, 2)))),
        Sample((Input((2, 1, 3)), Input((2, 2)))),
        Sample((Input((3,)), Input((2, 2)))),
        Sample((Input(()), Input((3,)))),
    ],
    reference=np.kron,
    kinds="ifc",
)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of the input times the whole of ``other``, in place of that element.

    The result's sizes are products of sizes; the one with fewer dimensions gets leading ones.
    """
    ndim = max(input.ndim, other.ndim)
    a, b = ((1,) * (ndim - x.ndim) + tuple(x.shape) for x in (input, other))
    left = input.reshape(*[s for n in a for s in (n, 1)])
    right = other.reshape(*[s for n in b for s in (1, n)])
    return mul(left, right).reshape(*[m * n for m, n in zip(a, b, strict=True)])  # type: ignore[no-any-return]


def _reference(x: Any, y: Any, dim: int | None = None) -> Any:
    at = list(x.shape).index(3) if dim is None else dim
    return np.cross(x, y, axis=at)


@composite(
    samples=[
        Sample((Input((2, 3)), Input((2, 3))), {"dim": -1}),
        Sample((Input((3, 2)), Input((3, 2))), {"dim": 0}),
        Sample((Input((3,)), Input((3,)))),
        Sample((Input((2, 3)), Input((1, 3))), {"dim": 1}),
    ],
    reference=_reference,
    kinds="ifc",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 4).cross(tg.ones(2, 4)), RuntimeError, r"cross: no dimension of size 3 in shape \(2, 4\)"),
        ErrorInput(lambda tg: tg.ones(3, 4).cross(tg.ones(3, 4), 1), RuntimeError, r"cross: dimension 1 must be of size 3, got shape \(3, 4\)"),
    ],
)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross products of vectors of three elements along ``dim`` (by default the first of size 3); other dimensions broadcast.

    Raises:
        RuntimeError: when that dimension has not three elements.
    """
    shape = broadcast_shape("cross", [tuple(input.shape), tuple(other.shape)])
    if dim is None:
        if 3 not in shape:
            raise RuntimeError(f"cross: no dimension of size 3 in shape {shape}")
        at = shape.index(3)
    else:
        at = normalize_dim(dim, len(shape), "cross")
    a, b = expand(input, *shape), expand(other, *shape)
    for x in (input, other):
        if not shape or x.ndim < len(shape) - at or x.shape[at - len(shape)] != 3:
            raise RuntimeError(f"cross: dimension {at if dim is None else dim} must be of size 3, got shape {tuple(x.shape)}")
    ahead = (slice(None),) * at
    first, second = [1, 2, 0], [2, 0, 1]
    return sub(mul(a[(*ahead, first)], b[(*ahead, second)]), mul(a[(*ahead, second)], b[(*ahead, first)]))
