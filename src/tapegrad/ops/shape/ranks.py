"""Tensors with at least so many dimensions, distances of whole tensors, and other short compositions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...public import composite, method
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..elementwise.basic import sub
from ..index.indexing import getitem
from ..reduction.vector_norm import norm
from .reshape import reshape, unsqueeze

__all__ = ["atleast_1d", "atleast_2d", "atleast_3d", "combinations", "dist"]

_RANKS = [Sample((Input(shape),)) for shape in ((), (3,), (2, 3))]


def _of_each(function: Callable[[Tensor], Tensor], tensors: tuple[Any, ...]) -> Any:
    """The function of one tensor, or of each of several or of a sequence, as a tuple."""
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple([function(x) for x in given])


@composite(method=False, samples=_RANKS, reference=np.atleast_1d)
def atleast_1d(*tensors: Any) -> Any:
    """A view with at least one dimension; of several tensors a tuple."""
    return _of_each(lambda x: x if x.ndim else reshape(x, 1), tensors)


@composite(method=False, samples=_RANKS, reference=np.atleast_2d)
def atleast_2d(*tensors: Any) -> Any:
    """A view with at least two dimensions, those that are added first; of several tensors a tuple."""
    return _of_each(lambda x: x if x.ndim > 1 else reshape(x, 1, x.numel()), tensors)


@composite(method=False, samples=_RANKS, reference=np.atleast_3d)
def atleast_3d(*tensors: Any) -> Any:
    """A view with at least three dimensions: a vector becomes (1, n, 1), a matrix (m, n, 1); of several tensors a tuple."""
    return _of_each(lambda x: x if x.ndim > 2 else unsqueeze(x if x.ndim == 2 else reshape(x, 1, x.numel()), -1), tensors)


@composite(
    samples=[Sample((Input((4,)),)), Sample((Input((4,)),), {"r": 3}), Sample((Input((3,)),), {"with_replacement": True})],
    reference=lambda x, r=2, with_replacement=False: np.array(
        list((itertools.combinations_with_replacement if with_replacement else itertools.combinations)(x, r))
    ),
    method=False,
    error_inputs=[
        ErrorInput(lambda tg: tg.combinations(tg.ones(2, 2)), RuntimeError, r"combinations: .*\(2, 2\)"),
        ErrorInput(lambda tg: tg.combinations(tg.ones(2), -1), RuntimeError, "combinations: r must not be negative, got -1"),
    ],
)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of ``r`` elements of a vector, one per row, in the order of ``itertools.combinations``.

    Raises:
        RuntimeError: for a tensor that is no vector, or a negative ``r``.
    """
    if input.ndim != 1:
        raise RuntimeError(f"combinations: expected a vector, got shape {tuple(input.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations: r must not be negative, got {r}")
    if r == 0:
        return getitem(input, slice(0, 0))  # type: ignore[no-any-return]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows: Sequence[Any] = list(choose(range(input.numel()), r))
    return getitem(input, wrap(np.array(rows, np.int64).reshape(-1, r)))  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3, 4)), Input((3, 4)))), Sample((Input((3, 4)), Input((4,))), {"p": 3.0})],
    reference=lambda x, other, p=2.0: np.sum(np.abs(x - other) ** p) ** (1 / p),
    error_inputs=[ErrorInput(lambda tg: tg.dist(tg.ones(2), tg.ones(3)), RuntimeError, r"sub: shapes \(2,\) and \(3,\)")],
)
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The ``p``-norm of the difference of two tensors, which broadcast; the gradient of 0 is 0.

    Raises:
        RuntimeError: when shapes can't be broadcast.
    """
    return norm(sub(input, other), p)


@method
def ndimension(self: Tensor) -> int:
    """The number of dimensions."""
    return self.ndim


@method
def is_signed(self: Tensor) -> bool:
    """Whether the tensor's dtype has negative numbers."""
    return self.dtype.is_signed


@method
def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether the tensors have the same shape."""
    return self.shape == other.shape


@method
def storage_offset(self: Tensor) -> int:
    """How many elements of the tensor that this one is a view of come before its first; 0 for a tensor that is no view."""
    if self._base is None or not self.numel():
        return 0
    return (self.data_ptr() - self._base.root.data_ptr()) // self.element_size()


@method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another one."""
    return self.to(other)  # type: ignore[no-any-return]


@method
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Fill the main diagonal of a matrix, or of a tensor whose sizes are equal, in place; with ``wrap``, of a tall matrix again and again.

    Raises:
        RuntimeError: for a vector, and for more than two dimensions of different sizes.
    """
    if self.ndim < 2 or (self.ndim > 2 and len(set(self.shape)) > 1):
        raise RuntimeError(f"fill_diagonal_: expected a matrix, or a tensor of equal sizes, got shape {tuple(self.shape)}")
    rows, columns = int(self.shape[0]), int(self.shape[1])
    places = np.arange(rows) % (columns + 1) if wrap and self.ndim == 2 else np.arange(rows)
    at = np.nonzero(places < columns)[0]
    self[(at, *[places[at]] * (self.ndim - 1))] = fill_value
    return self
