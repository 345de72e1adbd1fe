"""Elements in another order along dimensions: copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...public import composite, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_ndim
from .copy import clone
from .permute import transpose
from .reshape import normalize_dim, normalize_dims, reshape, sizes

__all__ = ["flip", "fliplr", "flipud", "roll", "rot90"]

_FLIPS = [
    Sample((Input((3, 4)),), {"dims": (0,)}),
    Sample((Input((2, 3, 4)),), {"dims": (0, 2)}),
    Sample((Input((5,)),), {"dims": (0,)}),
    Sample((Input((0, 3)),), {"dims": (1,)}),
]

_flip = register(
    Op(
        "flip",
        ("input",),
        lambda B, x, *, dims: B.copy(B.flip(x, dims)),
        {"input": lambda K, g, dims: K.flip(g, dims=dims)},
        samples=_FLIPS,
        reference=lambda x, dims: np.flip(x, dims),
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).flip(0, -2), RuntimeError, "flip: dim appears twice"),
            ErrorInput(lambda tg: tg.ones(2, 3).flip(2), IndexError, "flip: dimension 2 is out of range"),
        ],
    )
)


@public(_flip, samples=[*_FLIPS, Sample((Input((2, 3, 4)),), {"dims": [-1, 0]})], reference=lambda x, dims: np.flip(x, dims))
def flip(input: Tensor, *args: Any, dims: Sequence[int] | None = None) -> Tensor:
    """A copy with the order of elements reversed along ``dims``."""
    along = normalize_dims(sizes(args, dims), input.ndim, "flip")
    return _flip.call(input, dims=along if input.ndim else ())  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((2, 3, 4)),))],
    reference=np.fliplr,
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).fliplr(), RuntimeError, "fliplr: expected at least 2 dimensions")],
)
def fliplr(input: Tensor) -> Tensor:
    """A copy with the second dimension reversed."""
    need_ndim("fliplr", input, 2)
    return flip(input, 1)


@composite(
    samples=[Sample((Input((3, 4)),)), Sample((Input((3,)),))],
    reference=np.flipud,
    error_inputs=[ErrorInput(lambda tg: tg.tensor(1.0).flipud(), RuntimeError, "flipud: expected at least 1 dimension")],
)
def flipud(input: Tensor) -> Tensor:
    """A copy with the first dimension reversed."""
    need_ndim("flipud", input, 1)
    return flip(input, 0)


@composite(
    samples=[
        *(Sample((Input((3, 4)),), {"k": k}) for k in (1, 2, -1, 4)),
        Sample((Input((2, 3, 4)),), {"k": 1, "dims": (2, 0)}),
    ],
    reference=lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).rot90(1, (0, 0)), RuntimeError, "rot90: dim appears twice"),
        ErrorInput(lambda tg: tg.ones(2, 3).rot90(1, (0,)), RuntimeError, r"rot90: expected two dims, got \[0\]"),
    ],
)
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A copy turned by ``k`` quarters in the plane of two dimensions, from the first towards the second.

    Raises:
        RuntimeError: unless ``dims`` are two different dimensions.
    """
    if len(dims) != 2:
        raise RuntimeError(f"rot90: expected two dims, got {list(dims)}")
    a, b = normalize_dims(dims, input.ndim, "rot90")
    turns = k % 4
    if turns == 0:
        return clone(input)
    if turns == 2:
        return flip(input, a, b)
    return transpose(flip(input, b if turns == 1 else a), a, b)


_roll = register(
    Op(
        "roll",
        ("input",),
        lambda B, x, *, shifts, dims: B.roll(x, shifts, dims),
        {"input": lambda K, g, shifts, dims: K.roll(g, shifts=tuple(-s for s in shifts), dims=dims)},
        samples=[
            Sample((Input((3, 4)),), {"shifts": (1,), "dims": (1,)}),
            Sample((Input((3, 4)),), {"shifts": (-2, 5), "dims": (0, 1)}),
            Sample((Input((0, 3)),), {"shifts": (1,), "dims": (0,)}),
        ],
        reference="index_references.roll",
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).roll((1, 2), 0), RuntimeError, "roll: 2 shifts for 1 dims"),
            ErrorInput(lambda tg: tg.ones(2, 3).roll(1, 2), IndexError, "roll: dimension 2 is out of range"),
        ],
    )
)


@public(
    _roll,
    samples=[
        Sample((Input((3, 4)),), {"shifts": 1, "dims": -1}),
        Sample((Input((3, 4)),), {"shifts": 5}),
        Sample((Input((3, 4)),), {"shifts": (1, 1), "dims": (0, 0)}),
        Sample((Input(()),), {"shifts": 2}),
    ],
    reference="index_references.roll",
)
def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """A copy whose elements are moved by ``shifts`` along ``dims``, those at the end to the start; flattened without ``dims``.

    Raises:
        RuntimeError: when there are not as many shifts as dims.
    """
    by = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    along: tuple[int, ...] = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not along:
        if len(by) != 1:
            raise RuntimeError(f"roll: {len(by)} shifts without dims; give as many dims")
        flat = _roll.call(reshape(input, input.numel()), shifts=by, dims=(0,))
        return reshape(flat, *input.shape)
    if len(by) != len(along):
        raise RuntimeError(f"roll: {len(by)} shifts for {len(along)} dims")
    axes = tuple(normalize_dim(d, input.ndim, "roll") for d in along)
    if input.ndim == 0:
        return clone(input)
    return _roll.call(input, shifts=by, dims=axes)  # type: ignore[no-any-return]
