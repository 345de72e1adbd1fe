"""How one batch is made, in the loader's own process or in a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .dataset import Subset, TensorDataset, fetch
from .sampler import in_batches


class End:
    """What comes after the last sample of an iterable dataset."""


@dataclass
class Fetching:
    """What a loader does with its dataset.

    Attributes:
        iterable: whether samples come in the dataset's own order, else by number.
        batched: whether samples are collated in lists, else one by one.
        batch_size, drop_last: of an iterable dataset's batches; others come as lists of numbers.
        collate_fn: makes a batch of a list of samples, or converts a single one.
        gathers: ``collate_fn`` is the default one, so that rows of tensors may be taken at once.
    """

    iterable: bool
    batched: bool
    batch_size: int | None
    drop_last: bool
    collate_fn: Callable[[Any], Any]
    gathers: bool

    def __call__(self, dataset: Any) -> Callable[[Any], Any]:
        """A function from what the sampler gave (anything, for an iterable dataset) to the batch, or to an :class:`End`."""
        if self.iterable:
            items = iter(dataset)
            if self.batched:
                assert self.batch_size is not None
                items = in_batches(items, self.batch_size, self.drop_last)
            end = End()

            def following(_: Any) -> Any:
                item = next(items, end)
                return end if item is end else self.collate_fn(item)

            return following
        if self.batched:
            return lambda indices: self._batch(dataset, indices)
        return lambda index: self.collate_fn(dataset[index])

    def _batch(self, dataset: Any, indices: list[int]) -> Any:
        gathered = _gather(dataset, indices) if self.gathers else None
        return self.collate_fn(fetch(dataset, indices)) if gathered is None else gathered


def _gather(dataset: Any, indices: list[int]) -> list[Any] | None:
    """The collated batch by one indexing operation per tensor, where that gives the same as sample after sample."""
    while type(dataset) is Subset:
        dataset, indices = dataset.dataset, [dataset.indices[i] for i in indices]
    return [t[indices] for t in dataset.tensors] if type(dataset) is TensorDataset else None
