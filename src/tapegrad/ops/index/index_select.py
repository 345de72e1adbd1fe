"""Slices along a dimension, picked and written by a vector of indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...public import composite, method
from ...registry import as_tensor_input
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import index_array, need_in_range
from ..elementwise.basic import mul
from ..shape.reshape import normalize_dim, reshape
from .index_put import constant
from .indexing import picked, put as put_at

__all__ = ["index_add", "index_copy", "index_fill", "index_select"]

_INDEX = Input((3,), 0, 3, "int")


def _place(name: str, input: Tensor, dim: int, index: Tensor, *, from_end: bool = False) -> tuple[int, tuple[Any, ...]]:
    """The dimension counted from the front, and the index of arrays; negative ones count ``from_end`` or are wrong."""
    at = normalize_dim(dim, input.ndim, name)
    index = as_tensor_input(index, name, "index")
    i, n = index._array, input._array.shape[at] if input.ndim else 1
    if i.dtype.kind not in "iu" or i.ndim > 1:
        raise (RuntimeError if i.dtype.kind not in "iu" else IndexError)(
            f"{name}: the index must be a vector of integers, got dtype {index.dtype} and shape {tuple(index.shape)}"
        )
    need_in_range(name, index, n, f"dimension {at} of shape {tuple(input.shape)}", lowest=-n if from_end else 0)
    return at, (slice(None),) * at + (index_array(index, f"{name}()", input).reshape(-1),)


@composite(
    samples=[
        Sample((Input((3, 4)), _INDEX), {"dim": 0}, names=("input", "index")),
        Sample((Input((2, 3, 4)), Input((5,), 0, 3, "int")), {"dim": -2}, names=("input", "index")),
        Sample((Input((3, 4)), Input((), 0, 3, "int")), {"dim": 0}, names=("input", "index")),
        Sample((Input(()), Input((1,), 0, 1, "int")), {"dim": 0}, names=("input", "index")),
    ],
    reference=lambda input, index, dim: np.take(input, np.atleast_1d(index), axis=dim) if input.ndim else input,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).index_select(1, tg.tensor([3])), IndexError, r"index_select: index 3 is out of range for dimension 1 of shape \(2, 3\)"),
        ErrorInput(lambda tg: tg.ones(3).index_select(0, tg.tensor([-1])), IndexError, "index_select: index -1 is out of range"),
        ErrorInput(lambda tg: tg.ones(3).index_select(0, tg.tensor([[0]])), IndexError, r"index_select: the index must be a vector .*\(1, 1\)"),
        ErrorInput(lambda tg: tg.ones(3).index_select(0, tg.ones(1)), RuntimeError, "index_select: the index must be a vector of integers, got .*float32"),
    ],
)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """A copy of the slices along ``dim`` that a vector of indices names.

    Raises:
        IndexError: when an index is out of range (negative ones are).
        RuntimeError: when the index is not integer.
    """
    _, places = _place("index_select", input, dim, index)
    if input.ndim == 0:
        if places[0].size != 1:
            raise IndexError(f"index_select: the index of a 0-d tensor must have one element, it has shape {places[0].shape}")
        return reshape(picked(reshape(input, 1), places))
    return picked(input, places)


def _write(
    name: str, input: Tensor, dim: int, index: Tensor, source: Tensor, *, accumulate: bool = False, in_place: bool = False
) -> Tensor:
    at, places = _place(name, input, dim, index)
    shape, count = list(input.shape), places[at].size
    if shape:
        shape[at] = count
    if source.ndim == 0 and len(shape) == 1 and count == 1:
        source = reshape(source, 1)
    if tuple(source.shape) != tuple(shape) and not (input.ndim == 0 and source.numel() == count == 1):
        raise RuntimeError(f"{name}: the source of shape {tuple(source.shape)} must have shape {tuple(shape)}, {count} slices along dimension {at}")
    if input.ndim == 0:
        made = put_at(name, reshape(input, 1), reshape(source, 1), places, accumulate=accumulate, in_place=in_place)
        return input if in_place else reshape(made)
    return put_at(name, input, source, places, accumulate=accumulate, in_place=in_place)


def _added(input: Any, index: Any, source: Any, dim: int, alpha: float = 1) -> Any:
    out = np.moveaxis(input.copy(), dim, 0)
    for i, part in zip(index, np.moveaxis(source, dim, 0), strict=True):
        out[i] += alpha * part
    return np.moveaxis(out, 0, dim)


_NAMES = ("input", "index", "source")


@composite(
    samples=[
        Sample((Input((3, 4)), Input((4,), 0, 3, "int"), Input((4, 4))), {"dim": 0}, names=_NAMES),
        Sample((Input((2, 3)), Input((2,), 0, 3, "int"), Input((2, 2))), {"dim": -1, "alpha": 0.5}, names=_NAMES),
    ],
    reference=_added,
    kinds="if",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).index_add(0, tg.tensor([3]), tg.ones(1)), IndexError, "index_add: index 3 is out of range"),
        ErrorInput(
            lambda tg: tg.ones(2, 3).index_add(1, tg.tensor([0]), tg.ones(2, 2)), RuntimeError, r"index_add: the source of shape \(2, 2\) must have shape \(2, 1\)"
        ),
        ErrorInput(lambda tg: tg.ones(3).index_add(0, tg.tensor([0]), tg.tensor([1])), RuntimeError, "index_add: expected equal dtypes, .*int64"),
    ],
)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy with ``alpha`` times the slices of ``source`` added to those that ``index`` names along ``dim``; repeats add up.

    Raises:
        IndexError: when an index is out of range; nothing is written then.
        RuntimeError: when shapes or dtypes don't fit.
    """
    return _write("index_add", input, dim, index, source if alpha == 1 else mul(source, alpha), accumulate=True)


@method
def index_add_(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """:func:`index_add` in place; returns the tensor."""
    return _write("index_add_", self, dim, index, source if alpha == 1 else mul(source, alpha), accumulate=True, in_place=True)


def _copied(input: Any, index: Any, source: Any, dim: int) -> Any:
    out = np.moveaxis(input.copy(), dim, 0)
    for i, part in zip(index, np.moveaxis(source, dim, 0), strict=True):
        out[i] = part
    return np.moveaxis(out, 0, dim)


@composite(
    samples=[
        Sample((Input((3, 4)), Input((1,), 0, 3, "int"), Input((1, 4))), {"dim": 0}, names=_NAMES),
        Sample((Input((2, 3)), Input((1,), 0, 3, "int"), Input((2, 1))), {"dim": -1}, names=_NAMES),
    ],
    reference=_copied,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).index_copy(0, tg.tensor([3]), tg.ones(1)), IndexError, "index_copy: index 3 is out of range"),
        ErrorInput(lambda tg: tg.ones(3).index_copy(0, tg.tensor([0]), tg.ones(2)), RuntimeError, r"index_copy: the source of shape \(2,\)"),
    ],
)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices of ``source`` in place of those that ``index`` names along ``dim``; of repeats the last wins.

    Raises:
        IndexError: when an index is out of range; nothing is written then.
        RuntimeError: when shapes or dtypes don't fit.
    """
    return _write("index_copy", input, dim, index, source)


@method
def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """:func:`index_copy` in place; returns the tensor."""
    return _write("index_copy_", self, dim, index, source, in_place=True)


def _filled(input: Any, index: Any, value: Any, dim: int) -> Any:
    out = np.moveaxis(input.copy(), dim, 0)
    out[index] = value
    return np.moveaxis(out, 0, dim)


@composite(
    samples=[
        Sample((Input((3, 4)), Input((2,), 0, 3, "int"), Input(())), {"dim": 0}, names=("input", "index", "value")),
        Sample((Input((3, 4)), Input((2,), 0, 4, "int")), {"dim": -1, "value": 0.5}, names=("input", "index")),
    ],
    reference=_filled,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).index_fill(0, tg.tensor([3]), 0), IndexError, "index_fill: index 3 is out of range"),
        ErrorInput(lambda tg: tg.ones(3).index_fill(0, tg.tensor([-4]), 0), IndexError, "index_fill: index -4 is out of range"),
        ErrorInput(lambda tg: tg.arange(3).index_fill(0, tg.tensor([0]), 1e20), RuntimeError, "index_fill: the value 1e.20 can't be converted to int64"),
    ],
)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with a number (or 0-d tensor) in the slices that ``index`` names along ``dim``; negative indices count from the end.

    Raises:
        IndexError: when an index is out of range; nothing is written then.
        RuntimeError: when the dtype can't hold the value.
    """
    return _fill("index_fill", input, dim, index, value, False)


@method
def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """:func:`index_fill` in place; returns the tensor."""
    return _fill("index_fill_", self, dim, index, value, True)


def _fill(name: str, input: Tensor, dim: int, index: Tensor, value: Any, in_place: bool) -> Tensor:
    _, places = _place(name, input, dim, index, from_end=True)
    number = constant(value, input, name)
    if input.ndim == 0:
        made = put_at(name, reshape(input, 1), number, places, in_place=in_place)
        return input if in_place else reshape(made)
    return put_at(name, input, number, places, in_place=in_place)
