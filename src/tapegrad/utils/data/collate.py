"""Making batches of samples, and tensors of arrays."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...ops.create import as_tensor, tensor
from ...ops.shape.join import stack
from ...tensor import Tensor


def _convertible(value: Any) -> bool:
    """Whether a NumPy array or scalar has numbers in it."""
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcV"


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch from a list of samples: tensors, arrays and numbers stacked along a new first dimension.

    Dicts, named tuples and other sequences keep their type; tuples become a list with one batch per position; strings stay a
    list. Floats become float64, ints int64, bools bool, as in PyTorch.

    Raises:
        RuntimeError: when sequences differ in length.
        TypeError: for samples of another kind.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic)) and _convertible(first):
        return stack([as_tensor(x) for x in batch])
    if isinstance(first, float):
        return tensor(list(batch), dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _mapping_like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return _sequence_like(first, [default_collate(column) for column in zip(*batch, strict=True)])
    found = f"an array of {first.dtype}" if isinstance(first, np.ndarray) else type(first)
    raise TypeError(f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {found}")


def default_convert(data: Any) -> Any:
    """A sample with its arrays as tensors; what a loader without batches returns."""
    if _convertible(data):
        return as_tensor(data)
    if isinstance(data, Mapping):
        return _mapping_like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _sequence_like(data, [default_convert(part) for part in data])
    return data


def _mapping_like(model: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    try:
        if isinstance(model, MutableMapping):  # keeps what else it holds, such as a defaultdict's default
            made = copy.copy(model)
            made.update(values)
            return made
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:  # a mapping that can't be made from one
        return values


def _sequence_like(model: Sequence[Any], values: list[Any]) -> Any:
    if hasattr(model, "_fields"):
        return type(model)(*values)
    if isinstance(model, tuple):  # as in PyTorch
        return values
    try:
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:  # such as a range
        return values
