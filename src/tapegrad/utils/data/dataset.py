"""Datasets: samples by number or in their own order, and datasets made of others."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar, cast

from ...ops.random.generator import Generator, randperm
from ...tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by number: subclasses define ``__getitem__(index)`` and ``__len__()``.

    One that defines ``__getitems__(indices)``, too, gives the loader all samples of a batch in one call. ``a + b`` is one after
    the other (:class:`ConcatDataset`).
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples in their own order: subclasses define ``__iter__()``. ``a + b`` is one after the other (:class:`ChainDataset`).

    With several workers each has a copy and would give every sample: divide them by :func:`get_worker_info`.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")

    def __add__(self, other: Dataset[T_co]) -> ChainDataset[T_co]:  # type: ignore[override]  # as in PyTorch
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is a tuple with row i of every tensor.

    Raises:
        TypeError: for what is no tensor.
        ValueError: for no tensors, or tensors of different lengths.
    """

    def __init__(self, *tensors: Tensor) -> None:
        for i, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise TypeError(f"TensorDataset takes tensors, got {type(t).__name__} as argument {i}; use tapegrad.as_tensor")
        lengths = {len(t) for t in tensors}
        if len(lengths) != 1:
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
            raise ValueError(f"TensorDataset needs tensors of one length, got shapes [{shapes}]")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class StackDataset(Dataset[Any]):
    """Several datasets of one length side by side: sample i is a tuple (or, of keywords, a dict) of their samples i.

    Raises:
        ValueError: for datasets of different lengths, none, or both positional and keyword ones.
    """

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset needs datasets, either all positional (samples are tuples) or all keywords (dicts)")
        self.datasets: tuple[Dataset[Any], ...] | dict[str, Dataset[Any]] = args or kwargs
        self._parts = list(args or kwargs.values())
        lengths = [len(cast(Sized, part)) for part in self._parts]
        if len(set(lengths)) != 1:
            raise ValueError(f"StackDataset needs datasets of one length, got {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        return self._combined([part[index] for part in self._parts])

    def __getitems__(self, indices: list[int]) -> list[Any]:
        columns = [fetch(part, indices) for part in self._parts]
        if any(len(column) != len(indices) for column in columns):
            raise ValueError(f"StackDataset: __getitems__ of a part gave another number of samples than the {len(indices)} asked for")
        return [self._combined(row) for row in zip(*columns, strict=True)]

    def _combined(self, samples: Iterable[Any]) -> Any:
        return dict(zip(self.datasets, samples, strict=True)) if isinstance(self.datasets, dict) else tuple(samples)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other; ``cumulative_sizes`` says where each ends.

    Raises:
        ValueError: for no datasets, or an :class:`IterableDataset`.
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one dataset")
        if any(isinstance(part, IterableDataset) for part in self.datasets):
            raise ValueError("ConcatDataset can't number the samples of an IterableDataset; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(cast(Sized, part)) for part in self.datasets))

    def __getitem__(self, index: int) -> T_co:
        n = len(self)
        if not -n <= index < n:  # which also ends a loop over the samples
            raise IndexError(f"ConcatDataset: index {index} is out of range for {n} samples")
        index %= n
        k = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[k][index - (self.cumulative_sizes[k - 1] if k else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[T_co]):
    """Iterable datasets one after the other."""

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[T_co]:
        for part in self.datasets:
            if not isinstance(part, IterableDataset):
                raise TypeError(f"ChainDataset takes IterableDatasets, got {type(part).__name__}; use ConcatDataset")
            yield from part

    def __len__(self) -> int:
        return sum(len(cast(Sized, part)) for part in self.datasets)


class Subset(Dataset[T_co]):
    """The samples of ``dataset`` with the given numbers, in that order."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return fetch(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def fetch(dataset: Any, indices: list[int]) -> list[Any]:
    """The samples with these numbers: by one call where the dataset offers that, else one by one."""
    at_once = getattr(dataset, "__getitems__", None)
    return at_once(indices) if at_once is not None else [dataset[i] for i in indices]


def random_split(dataset: Dataset[T_co], lengths: Sequence[float], generator: Generator | None = None) -> list[Subset[T_co]]:
    """Split at random into disjoint parts of the given lengths, or fractions that sum to 1.

    Of fractions, what rounding leaves over goes to the parts one by one, from the first. Warns of a part without samples.

    Raises:
        ValueError: when lengths don't sum to the dataset's, or a fraction is not in [0, 1].
    """
    n = len(cast(Sized, dataset))
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-9:
        if not all(0 <= f <= 1 for f in lengths):
            raise ValueError(f"random_split: fractions must be between 0 and 1, got {list(lengths)}")
        sizes = [math.floor(n * f) for f in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    else:
        sizes = [int(k) for k in lengths]
    if sum(sizes) != n:
        raise ValueError(f"random_split: lengths {list(lengths)} don't sum to the dataset's {n}")
    for i, size in enumerate(sizes):
        if size == 0:
            warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=2)
    order = randperm(n, generator=generator).tolist()
    return [Subset(dataset, order[stop - k : stop]) for k, stop in zip(sizes, itertools.accumulate(sizes), strict=True)]
