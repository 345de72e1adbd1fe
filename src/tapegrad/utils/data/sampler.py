"""Samplers: which samples of a dataset come when.

Random ones draw when they are asked for an iterator, not while it runs, so that the order does not depend on how far a loader's
workers are ahead of what else draws numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar, cast

from ... import dtypes
from ...ops.create import as_tensor
from ...ops.random.generator import Generator, default_generator, randint, randperm
from ...ops.random.sampling import multinomial
from ...tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


def fresh_seed(generator: Generator | None) -> int:
    """A seed drawn from a generator, or from the default one."""
    return int((generator or default_generator).draw("bits", 1)[0] >> 1)


class Sampler(Generic[T_co]):
    """Which samples come when: subclasses define ``__iter__()`` over numbers, and ``__len__()`` if they know."""

    def __init__(self, data_source: Any = None) -> None:
        """Accepts a dataset and forgets it, as PyTorch's."""

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


def _check_num_samples(num_samples: Any) -> None:
    if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
        raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")


def _check_replacement(replacement: Any) -> None:
    if not isinstance(replacement, bool):
        raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")


class RandomSampler(Sampler[int]):
    """Numbers in random order, new in every pass; with ``replacement``, each drawn from all.

    Args:
        data_source: what the numbers are of.
        replacement: draw the same number more than once.
        num_samples: how many to draw; by default as many as there are. Without ``replacement``, more than there are come in
            rounds, each of all in a new order.
        generator: where the numbers come from; by default one with a seed drawn from the default generator.

    Raises:
        ValueError: when ``num_samples`` is not a positive integer.
        TypeError: when ``replacement`` is not a bool.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        _check_replacement(replacement)
        if num_samples is not None:
            _check_num_samples(num_samples)
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many numbers a pass has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, count = len(self.data_source), self.num_samples
        if not n:
            return iter(())
        generator = self.generator or Generator().manual_seed(fresh_seed(None))
        if self.replacement:
            return iter(randint(n, (count,), generator=generator).tolist())
        rounds = [randperm(n, generator=generator).tolist() for _ in range(-(-count // n))]
        return itertools.islice(itertools.chain.from_iterable(rounds), count)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given numbers in random order, new in every pass, without replacement."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        return iter([self.indices[i] for i in randperm(len(self.indices), generator=self.generator).tolist()])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """``num_samples`` numbers from [0, len(weights)), with probabilities in proportion to the weights, which need not sum to 1.

    Args:
        weights: one per number, not negative.
        num_samples: how many to draw.
        replacement: draw the same number more than once.
        generator: where the numbers come from; by default the default generator.

    Raises:
        ValueError: when ``num_samples`` is not a positive integer, or the weights are not one-dimensional.
        TypeError: when ``replacement`` is not a bool.
    """

    def __init__(
        self, weights: Sequence[float] | Tensor, num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        _check_num_samples(num_samples)
        _check_replacement(replacement)
        self.weights = as_tensor(weights, dtype=dtypes.float64)
        if self.weights.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        return iter(multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of ``batch_size`` numbers from another sampler; ``drop_last`` leaves out a last one that is shorter.

    Raises:
        ValueError: when ``batch_size`` is not a positive integer, or ``drop_last`` is not a bool.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return in_batches(iter(self.sampler), self.batch_size, self.drop_last)

    def __len__(self) -> int:
        return count_batches(len(cast(Sized, self.sampler)), self.batch_size, self.drop_last)


def in_batches(items: Iterator[Any], batch_size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Lists of ``batch_size`` of the items; ``drop_last`` leaves out a last one that is shorter."""
    while batch := list(itertools.islice(items, batch_size)):
        if len(batch) == batch_size or not drop_last:
            yield batch


def count_batches(n: int, batch_size: int, drop_last: bool) -> int:
    """How many lists :func:`in_batches` makes of n items."""
    return n // batch_size if drop_last else -(-n // batch_size)
