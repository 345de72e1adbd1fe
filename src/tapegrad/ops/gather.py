"""Gathering, scattering and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..public import method, public
from ..registry import Op, apply, register
from ..samples import ErrorInput, Input, Sample
from ..tensor import Tensor
from .copy import to_dtype
from .elementwise import where
from .index import placed, scattered
from .shape import normalize_dim

__all__ = ["gather", "masked_fill", "scatter_add"]


def _grid(index: Any, dim: int) -> tuple[Any, ...]:
    grids = list(np.ix_(*[np.arange(n) for n in index.shape]))
    grids[dim] = index
    return tuple(grids)


_gather = register(
    Op(
        "gather",
        ("input", "index"),
        lambda B, x, i, *, dim: np.asarray(x[_grid(i, dim)]) if x.ndim else x.copy(),
        {"input": lambda K, g, index, input_shape, dim: K.scatter_zeros(g, index, dim=dim, size=input_shape)},
        samples=[
            Sample((Input((3, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0}),
            Sample((Input((3, 4)), Input((3, 5), 0, 4, "int")), {"dim": 1}),
        ],
        reference=lambda x, i, dim: np.take_along_axis(x[tuple(slice(0, n) if d != dim else slice(None) for d, n in enumerate(i.shape))], i, dim),
        error_inputs=[ErrorInput(lambda tg: tg.ones(3).gather(0, tg.tensor([3])), IndexError, "gather: index 3 is out of range")],
    )
)

_scatter_zeros = register(
    Op(
        "scatter_zeros",
        ("input", "index"),
        lambda B, g, i, *, dim, size: scattered(B, g, _grid(i, dim), size) if size else g.copy(),
        {"input": lambda K, g, index, dim: K.gather(g, index, dim=dim)},
        method=False,
        samples=[Sample((Input((2, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0, "size": (3, 4)})],
        reference=lambda g, i, dim, size: placed(g, _grid(i, dim), size),
    )
)


def _check_index(name: str, input: Tensor, dim: int, index: Tensor) -> tuple[int, Tensor]:
    at = normalize_dim(dim, input.ndim, name)
    i = index._array
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected an integer index, got dtype {index.dtype}")
    if i.ndim != input.ndim or any(a > b for d, (a, b) in enumerate(zip(i.shape, input._array.shape, strict=True)) if d != at):
        raise RuntimeError(
            f"{name}: index of shape {tuple(i.shape)} must have as many dimensions as the input of shape {tuple(input.shape)} and be no "
            f"larger outside dimension {at}"
        )
    n = input._array.shape[at] if input.ndim else 1
    if i.size and (i.min() < 0 or i.max() >= n):
        wrong = int(i.min()) if i.min() < 0 else int(i.max())
        raise IndexError(f"{name}: index {wrong} is out of range for dimension {at} of size {n}")
    return at, index


@public(_gather)
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: elements picked along ``dim``.

    Raises:
        RuntimeError: when shapes don't fit or the index is not integer.
        IndexError: when an index is out of range (negative ones are).
    """
    at, index = _check_index("gather", input, dim, index)
    return apply(_gather, (input, index), {"dim": at})  # type: ignore[no-any-return]


@method
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src[i][j]`` added at ``[index[i][j]][j]`` for dim 0, and so on. Repeated indices add up, in order.

    Raises:
        RuntimeError, IndexError: as :func:`gather`.
    """
    at, index, used = _scattering("scatter_add", input, dim, index, src)
    return input + apply(_scatter_zeros, (used, index), {"dim": at, "size": tuple(input._array.shape)})  # type: ignore[no-any-return]


def _scattering(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor) -> tuple[int, Tensor, Tensor]:
    """The arguments of a scatter, checked, and the part of ``src`` that the index covers."""
    at, index = _check_index(name, input, dim, index)
    if src._array.ndim != index._array.ndim or any(a > b for a, b in zip(index._array.shape, src._array.shape, strict=True)):
        raise RuntimeError(f"{name}: src of shape {tuple(src.shape)} is smaller than the index of shape {tuple(index.shape)}")
    if src.dtype is not input.dtype:
        raise RuntimeError(f"{name}: src has dtype {src.dtype}, the input {input.dtype}; convert one with .to()")
    return at, index, src[tuple(slice(0, n) for n in index._array.shape)]


@method
def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """:func:`scatter_add` in place; returns the tensor."""
    at, index, used = _scattering("scatter_add_", self, dim, index, src)
    return self.add_(apply(_scatter_zeros, (used, index), {"dim": at, "size": tuple(self._array.shape)}))  # type: ignore[no-any-return]


@method
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``input`` with ``value`` (a number or 0-d tensor) where the bool ``mask``, broadcast, holds.

    Raises:
        RuntimeError: when the mask is not bool.
    """
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"masked_fill: expected a bool mask, got {mask.dtype}")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"masked_fill: the value must be a number or a 0-d tensor, it has shape {tuple(value.shape)}; use where()")
        value = to_dtype(value, input.dtype)
    elif input.dtype.category < dtypes.of_scalar(value).category:
        raise RuntimeError(f"masked_fill: the value {value!r} can't be written into dtype {input.dtype}")
    result: Tensor = where(mask, value, input)
    return to_dtype(result, input.dtype)


@method
def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """:func:`masked_fill` in place; returns the tensor."""
    return self.copy_(masked_fill(self, mask, value))  # type: ignore[no-any-return]
