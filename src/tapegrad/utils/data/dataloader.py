"""The loader: batches of a dataset, made here or by worker processes."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Generic, TypeVar, cast

from ... import cuda
from ...ops.random.generator import Generator
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .fetch import End, Fetching
from .pin import pinned
from .pool import Pass, Pool, context_of
from .sampler import BatchSampler, RandomSampler, SequentialSampler, count_batches, fresh_seed

T_co = TypeVar("T_co", covariant=True)

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")  # what others were made from


class DataLoader(Generic[T_co]):
    """Batches of a dataset: ``for x, y in DataLoader(dataset, batch_size=32, shuffle=True)``.

    The batches and their order are the same for any number of workers. Random numbers that a dataset draws are not: they come
    from generators (tapegrad's default one, ``random`` and ``numpy.random``) that every worker starts from a seed of its own.

    Args:
        dataset: samples by number, or an :class:`IterableDataset`.
        batch_size: samples per batch; None gives single samples.
        shuffle: a new random order in every pass.
        sampler: the order of samples, instead of ``shuffle``.
        batch_sampler: the batches as lists of numbers, instead of batch_size, shuffle, sampler and drop_last.
        num_workers: processes that make batches ahead; 0 makes them here. Workers end with the pass, also after ``break``, an
            exception or Ctrl-C, finishing the batch they are at but at most five seconds later.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` by default.
        pin_memory: put batches into pinned memory, from which copies to a GPU need not wait; without a GPU it warns.
        pin_memory_device: accepted.
        drop_last: leave out a last batch that is smaller.
        timeout: seconds to wait for a worker's batch; 0 for any time.
        worker_init_fn: called in every worker with its number, before it reads data.
        multiprocessing_context: "fork" (the default on Linux), "forkserver", "spawn", or such a context. Only forked
            workers take a dataset that can't be pickled; others need the script's code under ``if __name__ == "__main__":``.
        generator: where the random order and the workers' seeds come from; by default the default generator.
        prefetch_factor: batches that each worker makes ahead, 2 by default.
        persistent_workers: keep the workers for the next pass.
        in_order: accepted; batches always come in the sampler's order.

    Raises:
        ValueError: for options that exclude each other.
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
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
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers, self.multiprocessing_context = persistent_workers, multiprocessing_context
        self.pin_memory, self.pin_memory_device, self.in_order = pin_memory, pin_memory_device, in_order
        if sampler is None and not iterable:
            source = cast(Sized, dataset)
            sampler = RandomSampler(source, generator=generator) if shuffle else SequentialSampler(source)
        if batch_size is not None:
            batch_sampler = BatchSampler(() if sampler is None else sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        batched = batch_sampler is not None
        default = default_collate if batched else default_convert
        self.collate_fn: Callable[[Any], Any] = collate_fn or default
        self._fetching = Fetching(iterable, batched, batch_size, drop_last, self.collate_fn, self.collate_fn is default_collate)
        self._pool: Pool | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_pool" in self.__dict__:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized; make another one")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        seed = fresh_seed(self.generator)  # also without workers, so that generators go on in the same way
        numbers = self.batch_sampler if self._fetching.batched else self.sampler
        tasks = itertools.repeat(None) if self._fetching.iterable else iter(cast("Iterable[Any]", numbers))
        batches = self._from_workers(tasks, seed) if self.num_workers else _batches(self._fetching(self.dataset), tasks)
        if self.pin_memory and not cuda.is_available():
            warnings.warn("'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.", stacklevel=2)
            return batches
        return map(pinned, batches) if self.pin_memory else batches

    def _from_workers(self, tasks: Iterator[Any], seed: int) -> Pass:
        pool = self._pool
        if pool is None or not pool.alive:
            context = context_of(self.multiprocessing_context)
            pool = Pool(context, self.num_workers, self.dataset, self._fetching, seed, self.worker_init_fn, self.timeout)
            self._pool = pool if self.persistent_workers else None
        else:
            pool.restart()
        assert self.prefetch_factor is not None
        return Pass(pool, tasks, self.prefetch_factor, self.persistent_workers)

    def __len__(self) -> int:
        """The number of batches, as far as the dataset's or the sampler's length tells.

        Of an iterable dataset with several workers it may be less than there are, since each worker's last batch may be short.
        """
        if self._fetching.iterable:
            n = len(cast(Sized, self.dataset))
            return n if self.batch_size is None else count_batches(n, self.batch_size, self.drop_last)
        return len(cast(Sized, self.sampler if self.batch_sampler is None else self.batch_sampler))


def _batches(fetch: Callable[[Any], Any], tasks: Iterator[Any]) -> Iterator[Any]:
    for task in tasks:
        batch = fetch(task)
        if isinstance(batch, End):
            return
        yield batch


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool, context: Any) -> None:
    if num_workers < 0:
        raise ValueError(f"num_workers option should be non-negative; use num_workers=0 to load in this process, got {num_workers}")
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, got {timeout}")
    if prefetch_factor is not None and prefetch_factor <= 0:
        raise ValueError(f"prefetch_factor option should be positive, got {prefetch_factor}")
    if context is not None:
        context_of(context)
    without = {"prefetch_factor": prefetch_factor, "persistent_workers": persistent_workers, "multiprocessing_context": context}
    for name, value in without.items():
        if num_workers == 0 and value:
            raise ValueError(f"{name} option needs workers, num_workers > 0")
