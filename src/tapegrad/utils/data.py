"""Datasets, samplers and the loader that makes batches of them, as ``torch.utils.data``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Generic, TypeVar, cast

import numpy as np

from .. import dtypes
from ..ops.create import as_tensor, tensor
from ..ops.join import stack
from ..ops.random import Generator, randint, randperm
from ..tensor import Tensor

T_co = TypeVar("T_co", covariant=True)

# ------------------------------------------------------------------------------------------------------------ datasets


class Dataset(Generic[T_co]):
    """Samples by number: subclasses define ``__getitem__(index)`` and ``__len__()``."""

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")


class IterableDataset(Dataset[T_co]):
    """Samples in their own order: subclasses define ``__iter__()``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


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


class Subset(Dataset[T_co]):
    """The samples of ``dataset`` with the given numbers, in that order."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: int) -> T_co:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Split at random into disjoint parts of the given lengths, or fractions that sum to 1.

    Of fractions, what rounding leaves over goes to the parts one by one, from the first.

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
    order = randperm(n, generator=generator).tolist()
    return [Subset(dataset, order[stop - k : stop]) for k, stop in zip(sizes, itertools.accumulate(sizes), strict=True)]


# ------------------------------------------------------------------------------------------------------------ samplers


class Sampler(Generic[T_co]):
    """Which samples come when: subclasses define ``__iter__()`` over numbers, and ``__len__()`` if they know."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Numbers in random order, new in every pass; with ``replacement``, each drawn from all.

    Args:
        data_source: what the numbers are of.
        replacement: draw the same number more than once.
        num_samples: how many to draw; by default as many as there are.
        generator: where the numbers come from; by default the default generator.

    Raises:
        ValueError: when ``num_samples`` is not positive.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if num_samples is not None and num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    def __iter__(self) -> Iterator[int]:
        n, left = len(self.data_source), len(self)
        if self.replacement:
            yield from randint(n, (left,), generator=self.generator).tolist()
            return
        while n and left > 0:
            order = randperm(n, generator=self.generator).tolist()[:left]
            yield from order
            left -= len(order)

    def __len__(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of ``batch_size`` numbers from another sampler; ``drop_last`` leaves out a last one that is shorter.

    Raises:
        ValueError: when ``batch_size`` is not a positive integer.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool = False) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        numbers = iter(self.sampler)
        while batch := list(itertools.islice(numbers, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        return _count_batches(len(cast(Sized, self.sampler)), self.batch_size, self.drop_last)


def _count_batches(n: int, batch_size: int, drop_last: bool) -> int:
    return n // batch_size if drop_last else -(-n // batch_size)


# -------------------------------------------------------------------------------------------------------------- batches


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch from a list of samples: tensors, arrays and numbers stacked along a new first dimension.

    Dicts and named tuples keep their type; other tuples and lists become a list with one batch per position; strings
    stay a list. Floats become float64, ints int64, bools bool, as in PyTorch.

    Raises:
        RuntimeError: when sequences differ in length.
        TypeError: for samples of another kind.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic)):
        return stack([as_tensor(x) for x in batch])
    if isinstance(first, float):
        return tensor(list(batch), dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}"
    )


def default_convert(sample: Any) -> Any:
    """A sample with its arrays as tensors; what a loader without batches returns."""
    if isinstance(sample, (np.ndarray, np.generic)):
        return as_tensor(sample)
    if isinstance(sample, Mapping):
        return _like(sample, {key: default_convert(value) for key, value in sample.items()})
    if isinstance(sample, Sequence) and not isinstance(sample, (str, bytes)):
        parts = [default_convert(part) for part in sample]
        return type(sample)(*parts) if hasattr(sample, "_fields") else parts
    return sample


def _like(model: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    try:
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:  # a mapping that can't be made from one
        return values


def _gather(dataset: Any, indices: list[int]) -> list[Tensor] | None:
    """The collated batch by one indexing operation per tensor, where that gives the same as sample after sample."""
    while type(dataset) is Subset:
        dataset, indices = dataset.dataset, [dataset.indices[i] for i in indices]
    return [t[indices] for t in dataset.tensors] if type(dataset) is TensorDataset else None


class DataLoader(Generic[T_co]):
    """Batches of a dataset: ``for x, y in DataLoader(dataset, batch_size=32, shuffle=True)``.

    Args:
        dataset: samples by number, or an :class:`IterableDataset`.
        batch_size: samples per batch; None gives single samples.
        shuffle: a new random order in every pass.
        sampler: the order of samples, instead of ``shuffle``.
        batch_sampler: the batches as lists of numbers, instead of batch_size, shuffle, sampler and drop_last.
        num_workers: 0; this version loads in the calling process.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` by default.
        pin_memory: accepted; without a GPU it has nothing to do.
        drop_last: leave out a last batch that is smaller.
        generator: where the random order comes from; by default the default generator.

    Raises:
        ValueError: for options that exclude each other, and worker processes.
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        if num_workers != 0:
            raise ValueError(
                f"num_workers={num_workers}: this version loads data in the calling process only; use num_workers=0"
            )
        iterable = isinstance(dataset, IterableDataset)
        if iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("an IterableDataset has its own order: shuffle, sampler and batch_sampler can't be used")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler is mutually exclusive with batch_size, shuffle, sampler and drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None disables batches and is mutually exclusive with drop_last")
        self.dataset, self.batch_size, self.drop_last, self.generator = dataset, batch_size, drop_last, generator
        self.num_workers, self.pin_memory = num_workers, pin_memory
        if sampler is None and not iterable:
            source = cast(Sized, dataset)
            sampler = RandomSampler(source, generator=generator) if shuffle else SequentialSampler(source)
        if batch_size is not None:
            # an iterable dataset's batches hold the samples themselves
            numbers = cast("Iterable[int]", dataset if iterable else sampler)
            batch_sampler = BatchSampler(numbers, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self._gathers = collate_fn is None or collate_fn is default_collate
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.dataset, IterableDataset):
            return map(self.collate_fn, self.dataset if self.batch_sampler is None else self.batch_sampler)
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[i]) for i in cast("Iterable[int]", self.sampler))  # type: ignore[arg-type]
        return map(self._batch, self.batch_sampler)

    def _batch(self, indices: list[int]) -> Any:
        gathered = _gather(self.dataset, indices) if self._gathers else None
        return self.collate_fn([self.dataset[i] for i in indices]) if gathered is None else gathered

    def __len__(self) -> int:
        """The number of batches, as far as the dataset's or the sampler's length tells."""
        if isinstance(self.dataset, IterableDataset) and self.batch_size is None:
            return len(cast(Sized, self.dataset))
        return len(cast(Sized, self.sampler if self.batch_sampler is None else self.batch_sampler))
