"""Writing to, and picking, elements by index arrays: the functions behind ``t[i]`` and ``t[i] = v``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...device import backend
from ...public import composite, method
from ...registry import as_tensor_input
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import index_array, need_in_range, read_values
from ..create import scalar
from ..shape.reshape import reshape
from .indexing import parsed_index, picked, put as put_at

__all__ = ["index_put", "put", "take"]


def _put_reference(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """One element at a time."""
    out = x.copy()
    places = np.empty(np.broadcast_shapes(*[i.shape for i in indices]), object)
    at = np.broadcast_arrays(*indices)
    values = np.broadcast_to(values, places.shape + x.shape[len(indices) :])
    for k in np.ndindex(*places.shape):
        to = tuple(int(i[k]) for i in at)
        out[to] = out[to] + values[k] if accumulate else values[k]
    return out


def _first_two(x: Any, i: Any, j: Any, values: Any) -> tuple[Any, ...]:
    return x, (i, j), values


_ROWS, _COLUMNS = Input((4,), 0, 3, "int"), Input((4,), -4, 4, "int")


def _index_of(indices: Sequence[Tensor], name: str, input: Tensor) -> tuple[Any, ...]:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"{name}(): indices must be a tuple of tensors, not {type(indices).__name__}")
    return parsed_index(tuple(indices), input)[0]


@composite(
    samples=[
        Sample((Input((3, 4)), _ROWS, _COLUMNS, Input((4,))), arrange=_first_two),
        Sample((Input((3, 4)), _ROWS, _COLUMNS, Input((4,))), {"accumulate": True}, arrange=_first_two),
        Sample((Input((3, 4, 2)), _ROWS, _COLUMNS, Input((2,))), {"accumulate": True}, arrange=_first_two),
    ],
    reference=_put_reference,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).index_put((tg.tensor([3]),), tg.tensor(1.0)), IndexError, "index_put: index 3 is out of bounds"),
        ErrorInput(lambda tg: tg.ones(3).index_put((tg.tensor([0, 1]),), tg.ones(3)), RuntimeError, r"index_put: values of shape \(3,\) don't fit"),
        ErrorInput(lambda tg: tg.ones(3).index_put((tg.tensor([0]),), tg.tensor(1)), RuntimeError, "index_put: expected equal dtypes, .*int64"),
        ErrorInput(lambda tg: tg.ones(3).index_put(tg.tensor([0]), tg.tensor(1.0)), TypeError, r"index_put\(\): indices must be a tuple"),
    ],
)
def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``values``, broadcast, at the places that index tensors (or bool masks) name.

    Of values for one place the last in row-major order wins, and gets the gradient; with ``accumulate`` all are added.

    Raises:
        IndexError: when an index is out of range; nothing is written then.
        RuntimeError: when the values' dtype is another, or their shape can't be broadcast.
    """
    values = as_tensor_input(values, "index_put", "values")
    return put_at("index_put", input, values, _index_of(indices, "index_put", input), accumulate=accumulate)


@method
def index_put_(self: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """:func:`index_put` in place; returns the tensor."""
    values = as_tensor_input(values, "index_put_", "values")
    return put_at("index_put_", self, values, _index_of(indices, "index_put_", self), accumulate=accumulate, in_place=True)


def _flat_index(input: Tensor, index: Tensor, name: str) -> Any:
    """An index into the flattened input, negative where it counts from the end."""
    i, n = index._array, input.numel()
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected an integer index, got dtype {index.dtype}")
    need_in_range(name, index, n, f"the {n} elements of shape {tuple(input.shape)}", lowest=-n)
    return index_array(index, f"{name}()", input)


@composite(
    samples=[Sample((Input((3, 4)), Input((2, 3), -12, 12, "int"))), Sample((Input((5,)), Input((), 0, 5, "int")))],
    reference=lambda x, index: np.take(x, index),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).take(tg.tensor([6])), IndexError, r"take: index 6 is out of range for the 6 elements of shape \(2, 3\)"),
        ErrorInput(lambda tg: tg.ones(3).take(tg.ones(1)), RuntimeError, "take: expected an integer index, got dtype .*float32"),
    ],
)
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened input, in the shape of ``index``; negative ones count from the end.

    Raises:
        IndexError: when an index is out of range.
    """
    places = _flat_index(input, index, "take")
    return picked(reshape(input, input.numel()), (places,)) if input.numel() else reshape(input, *places.shape)


def _flat_put(x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    out = x.copy()
    if accumulate:
        np.add.at(out.reshape(-1), index.ravel(), source.ravel())
    else:
        np.put(out, index, source)
    return out


@composite(
    samples=[
        Sample((Input((3, 4)), Input((1,), -12, 0, "int"), Input((1, 1)))),
        Sample((Input((3, 4)), Input((5,), 0, 12, "int"), Input((5,))), {"accumulate": True}),
        Sample((Input(()), Input((1,), 0, 1, "int"), Input((1,)))),
    ],
    reference=_flat_put,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).put(tg.tensor([-4]), tg.ones(1)), IndexError, "put: index -4 is out of range for the 3 elements"),
        ErrorInput(lambda tg: tg.ones(3).put(tg.tensor([0]), tg.ones(2)), RuntimeError, "put: 2 values for 1 indices"),
    ],
)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with the elements of ``source`` at places counted in the flattened input; see :func:`index_put`.

    Raises:
        IndexError: when an index is out of range; nothing is written then.
        RuntimeError: when there are not as many values as indices.
    """
    return _put("put", input, index, source, accumulate, False)


@method
def put_(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """:func:`put` in place; returns the tensor."""
    return _put("put_", self, index, source, accumulate, True)


def _put(name: str, input: Tensor, index: Tensor, source: Tensor, accumulate: bool, in_place: bool) -> Tensor:
    places = _flat_index(input, index, name)
    if source.numel() != places.size:
        raise RuntimeError(f"{name}: {source.numel()} values for {places.size} indices")
    if input.ndim == 0:  # has no axis to index
        line = reshape(input, 1)
        made = put_at(name, line, reshape(source, source.numel()), (places.reshape(-1),), accumulate=accumulate, in_place=in_place)
        return input if in_place else reshape(made)
    at = backend(input._array).flat_index(places.reshape(-1), input._array.shape)
    return put_at(name, input, reshape(source, source.numel()), at, accumulate=accumulate, in_place=in_place)


def constant(value: Any, like: Tensor, name: str) -> Tensor:
    """A number or 0-d tensor to write into a tensor, of its dtype; integers take floating-point ones truncated.

    Raises:
        RuntimeError: for other tensors, or a value that the dtype can't hold.
    """
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"{name}: the value must be a number or a 0-d tensor, it has shape {tuple(value.shape)}")
        if value._array.__class__ is not like._array.__class__:
            value = value.to(like.device)
        if value.dtype is like.dtype or (like.dtype.category >= 2 and value.dtype.category <= like.dtype.category):
            return value.to(like.dtype)
        value = read_values(value, "the value that a tensor is filled with")  # looked at, since it must fit
    elif not isinstance(value, (bool, int, float, complex, np.generic)):
        as_tensor_input(value, name, "value")
    return wrap(backend(like._array).number(scalar(name, value, like.dtype.numpy), like._array))
