"""Grids of coordinates, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...public import composite
from ...registry import as_tensor_input
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_ndim
from ..elementwise.basic import pow as pow_
from ..ranges import arange
from .expand import expand
from .join import stack
from .permute import transpose
from .reshape import reshape, unsqueeze

__all__ = ["cartesian_prod", "meshgrid", "vander"]


@composite(
    method=False,
    samples=[
        Sample((Input((3,)), Input((4,))), {"indexing": "ij"}),
        Sample((Input((3,)), Input((4,)), Input((2,))), {"indexing": "xy"}),
        Sample((Input((3,)), Input(())), {"indexing": "ij"}),
    ],
    reference=lambda *tensors, indexing: tuple(np.meshgrid(*tensors, indexing=indexing)),
    error_inputs=[
        ErrorInput(lambda tg: tg.meshgrid(tg.ones(2, 2), indexing="ij"), RuntimeError, r"meshgrid: .*at most 1 dimension, got shape \(2, 2\)"),
        ErrorInput(lambda tg: tg.meshgrid(tg.ones(2), indexing="yx"), RuntimeError, "meshgrid: indexing must be 'ij' or 'xy', got 'yx'"),
        ErrorInput(lambda tg: tg.meshgrid(indexing="ij"), RuntimeError, "meshgrid: expected at least one tensor"),
    ],
)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Views of n vectors as n-dimensional grids: the i-th varies along dimension i ("xy" swaps the first two dimensions).

    Raises:
        RuntimeError: for no tensors, more than one dimension, or another ``indexing``.
    """
    listed: Sequence[Any] = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    given = [as_tensor_input(x, "meshgrid", "tensors") for x in listed]
    if not given:
        raise RuntimeError("meshgrid: expected at least one tensor")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    for x in given:
        need_ndim("meshgrid", x, most=1)
    shape = [x.numel() for x in given]
    grids = []
    for i, x in enumerate(given):
        grid = expand(reshape(x, *[n if d == i else 1 for d, n in enumerate(shape)]), *shape)
        grids.append(transpose(grid, 0, 1) if indexing == "xy" and len(given) > 1 else grid)
    return tuple(grids)


@composite(
    method=False,
    samples=[Sample((Input((3,)), Input((2,)))), Sample((Input((3,)),)), Sample((Input((2,)), Input((0,)), Input((3,))))],
    reference=lambda *tensors: (
        np.stack(np.meshgrid(*tensors, indexing="ij"), -1).reshape(-1, len(tensors)) if len(tensors) > 1 else tensors[0]
    ),
    error_inputs=[
        ErrorInput(lambda tg: tg.cartesian_prod(tg.ones(2, 2)), RuntimeError, r"cartesian_prod: expected vectors, got shape \(2, 2\)"),
    ],
)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the elements of vectors, one per row; of one vector, itself.

    Raises:
        RuntimeError: for tensors that are not 1-d.
    """
    for x in tensors:
        if x.ndim != 1:
            raise RuntimeError(f"cartesian_prod: expected vectors, got shape {tuple(x.shape)}")
    if not tensors:
        raise RuntimeError("cartesian_prod: expected at least one tensor")
    if len(tensors) == 1:
        return tensors[0]
    columns = [reshape(g, g.numel()) for g in meshgrid(*tensors, indexing="ij")]
    return stack(columns, 1)


@composite(
    method=False,
    samples=[Sample((Input((3,), 0.5, 2.0),)), Sample((Input((3,)),), {"N": 4, "increasing": True}), Sample((Input((2,)),), {"N": 0})],
    reference=lambda x, N=None, increasing=False: np.vander(x, N, increasing),
    error_inputs=[
        ErrorInput(lambda tg: tg.vander(tg.ones(2, 2)), RuntimeError, r"vander: expected a vector, got shape \(2, 2\)"),
        ErrorInput(lambda tg: tg.vander(tg.ones(2), -1), RuntimeError, "vander: N must not be negative, got -1"),
    ],
)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of powers 0 to N - 1 of a vector's elements, one row each; the highest first unless ``increasing``.

    Raises:
        RuntimeError: for another shape, or a negative N.
    """
    if x.ndim != 1:
        raise RuntimeError(f"vander: expected a vector, got shape {tuple(x.shape)}")
    count = x.numel() if N is None else N
    if count < 0:
        raise RuntimeError(f"vander: N must not be negative, got {count}")
    exponents = arange(count, device=x.device) if increasing else arange(count - 1, -1, -1, device=x.device)
    return pow_(unsqueeze(x, 1), exponents)
