"""Datasets, samplers and the loader."""

from __future__ import annotations

from collections import defaultdict, namedtuple

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.utils import data
from tapegrad.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, default_collate, random_split


def squares(n: int = 10) -> TensorDataset:
    x = tg.arange(n)
    return TensorDataset(x, x * x)


class Slow(data.Dataset):
    """The same as squares, sample by sample."""

    def __getitem__(self, index):
        return tg.tensor(index), tg.tensor(index**2)

    def __len__(self):
        return 10


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(7))


# ------------------------------------------------------------------------------------------------------------- datasets


def test_tensor_dataset_and_subset():
    d = squares()
    assert len(d) == 10
    assert [t.item() for t in d[3]] == [3, 9]
    part = Subset(d, [5, 2])
    assert len(part) == 2
    assert part[1][0].item() == 2
    with pytest.raises(ValueError, match=r"one length, got shapes \[\(2,\), \(3,\)\]"):
        TensorDataset(tg.ones(2), tg.ones(3))
    with pytest.raises(ValueError, match="one length"):
        TensorDataset()


@pytest.mark.parametrize(
    ("lengths", "sizes"), [([3, 7], [3, 7]), ([0.5, 0.25, 0.25], [6, 2, 2]), ([0.1] * 10, [1] * 10), ([10], [10])]
)
def test_random_split(lengths, sizes):
    parts = random_split(squares(), lengths, generator=tg.Generator().manual_seed(3))
    assert [len(p) for p in parts] == sizes
    assert sorted(i for p in parts for i in p.indices) == list(range(10))
    again = random_split(squares(), lengths, generator=tg.Generator().manual_seed(3))
    assert [p.indices for p in parts] == [p.indices for p in again]


def test_random_split_errors():
    with pytest.raises(ValueError, match="don't sum"):
        random_split(squares(), [3, 3])
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_split(squares(), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(squares(3), [0.8, 0.2])


def test_concat_and_chain():
    both = squares(3) + squares(4)
    assert isinstance(both, data.ConcatDataset)
    assert both.cumulative_sizes == [3, 7]
    assert [both[i][0].item() for i in range(-7, 7)] == [0, 1, 2, 0, 1, 2, 3] * 2
    assert [x.item() for x, _ in both] == [0, 1, 2, 0, 1, 2, 3]
    with pytest.raises(IndexError, match="out of range for 7"):
        both[7]
    with pytest.raises(ValueError, match="at least one"):
        data.ConcatDataset([])
    with pytest.raises(ValueError, match="use ChainDataset"):
        data.ConcatDataset([Stream()])
    assert list(Stream() + Stream()) == [*range(7), *range(7)]
    with pytest.raises(TypeError, match="use ConcatDataset"):
        list(data.ChainDataset([squares()]))


def test_stack():
    pairs = data.StackDataset(squares(4), range(4))
    assert (pairs[2][0][1].item(), pairs[2][1], len(pairs)) == (4, 2, 4)
    named = data.StackDataset(a=Subset(range(9), [5, 3]), b="xy")
    assert named[1] == {"a": 3, "b": "y"}
    assert named.__getitems__([1, 0]) == [{"a": 3, "b": "y"}, {"a": 5, "b": "x"}]
    with pytest.raises(ValueError, match=r"one length, got \[2, 3\]"):
        data.StackDataset([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="positional"):
        data.StackDataset([1], a=[1])


def test_samples_of_a_batch_in_one_call():
    class Batched(Slow):
        def __getitems__(self, indices):
            return [(i, -i) for i in indices]

    assert [b[1].tolist() for b in DataLoader(Subset(Batched(), [4, 5, 6]), 2)] == [[-4, -5], [-6]]


def test_what_subclasses_must_define():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        data.Dataset()[0]
    with pytest.raises(NotImplementedError, match="__iter__"):
        iter(IterableDataset())
    with pytest.raises(NotImplementedError, match="__iter__"):
        iter(data.Sampler())


# ------------------------------------------------------------------------------------------------------------- samplers


def test_samplers():
    source = range(10)
    assert list(data.SequentialSampler(source)) == list(source)
    sampler = data.RandomSampler(source, generator=tg.Generator().manual_seed(0))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(source)
    assert first != second
    long = data.RandomSampler(source, num_samples=25)
    assert len(list(long)) == len(long) == 25
    drawn = list(data.RandomSampler(source, replacement=True, num_samples=100))
    assert len(drawn) == 100
    assert set(drawn) <= set(source)
    assert list(data.RandomSampler([])) == []
    assert sorted(list(long)[:10]) == sorted(list(long)[10:20]) == list(source)
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="num_samples should be a positive integer"):
            data.RandomSampler(source, num_samples=bad)
    with pytest.raises(TypeError, match="replacement should be a boolean"):
        data.RandomSampler(source, 3)
    assert sorted(data.SubsetRandomSampler([7, 3, 5])) == [3, 5, 7]


def test_weighted_sampler():
    weights = [0.0, 3.0, 1.0, 0.0]
    sampler = data.WeightedRandomSampler(weights, 4000, generator=tg.Generator().manual_seed(1))
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 4000
    assert set(drawn) == {1, 2}
    assert 2900 < drawn.count(1) < 3100
    assert sorted(data.WeightedRandomSampler(weights, 2, replacement=False)) == [1, 2]
    with pytest.raises(ValueError, match="1d sequence"):
        data.WeightedRandomSampler([weights], 2)


def test_the_order_is_drawn_when_the_iterator_is_made():
    def order(between):
        tg.manual_seed(3)
        loader = iter(DataLoader(squares(), 4, sampler=data.RandomSampler(range(10), num_samples=25)))
        seen = []
        if between:
            tg.rand(7)
        for x, _ in loader:
            seen += x.tolist()
            if between:
                tg.rand(2)
        return seen

    assert order(False) == order(True)


def test_batch_sampler():
    batches = data.BatchSampler(data.SequentialSampler(range(10)), 4, False)
    assert list(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(batches) == 3
    dropping = data.BatchSampler(range(10), 4, drop_last=True)
    assert len(list(dropping)) == len(dropping) == 2
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="batch_size should be a positive integer"):
            data.BatchSampler(range(10), bad, False)


# --------------------------------------------------------------------------------------------------------------- loader


@pytest.mark.parametrize("dataset", [squares(), Slow(), Subset(Subset(squares(20), range(15)), range(10))])
def test_batches(dataset):
    loader = DataLoader(dataset, 4)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert [type(b) for b in batches] == [list] * 3
    assert [x.tolist() for x, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[2][1].tolist() == [64, 81]
    assert [len(x) for x, _ in DataLoader(dataset, 4, drop_last=True)] == [4, 4]
    assert len(DataLoader(dataset, 4, drop_last=True)) == 2


def test_overridden_getitem_is_used():
    class Negated(TensorDataset):
        def __getitem__(self, index):
            return tuple(-t for t in super().__getitem__(index))

    assert next(iter(DataLoader(Negated(tg.arange(3)), 3)))[0].tolist() == [0, -1, -2]


def test_shuffling():
    def order(seed):
        loader = DataLoader(squares(), 3, shuffle=True, generator=tg.Generator().manual_seed(seed))
        return [[i for x, _ in loader for i in x.tolist()] for _ in range(2)]

    first = order(0)
    assert first == order(0)
    assert first != order(1)
    assert first[0] != first[1]
    assert sorted(first[0]) == list(range(10))
    tg.manual_seed(5)
    a = [x.tolist() for x, _ in DataLoader(squares(), 3, shuffle=True)]
    tg.manual_seed(5)
    assert a == [x.tolist() for x, _ in DataLoader(squares(), 3, shuffle=True)]


def test_samplers_in_the_loader():
    assert [x.tolist() for x, _ in DataLoader(squares(), 2, sampler=[9, 1, 5])] == [[9, 1], [5]]
    assert [x.tolist() for x, _ in DataLoader(squares(), batch_sampler=[[9], [1, 5]])] == [[9], [1, 5]]


def test_single_samples():
    loader = DataLoader(squares(3), batch_size=None)
    assert [[t.item() for t in sample] for sample in loader] == [[0, 0], [1, 1], [2, 4]]
    assert len(loader) == 3
    arrays = DataLoader([{"a": np.ones(2), "s": "x"}], batch_size=None)
    assert isinstance(next(iter(arrays))["a"], tg.Tensor)


def test_what_a_loader_is_made_from_stays():
    loader = DataLoader(squares(4), 2)
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 4
    loader.timeout = 1.0  # others may change


def test_collate_fn():
    loader = DataLoader(squares(4), 2, collate_fn=lambda batch: len(batch))
    assert list(loader) == [2, 2]


def test_iterable_dataset():
    assert [b.tolist() for b in DataLoader(Stream(), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b.tolist() for b in DataLoader(Stream(), 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert list(DataLoader(Stream(), batch_size=None)) == list(range(7))
    with pytest.raises(TypeError):
        len(DataLoader(Stream(), 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "non-negative"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option needs workers"),
        ({"persistent_workers": True}, "persistent_workers option needs workers"),
        ({"multiprocessing_context": "fork"}, "multiprocessing_context option needs workers"),
        ({"num_workers": 1, "multiprocessing_context": "thread"}, "multiprocessing_context must be one of"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor option should be positive"),
        ({"sampler": [1], "shuffle": True}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "mutually exclusive with batch_size"),
        ({"batch_sampler": [[1]], "drop_last": True}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "disables batches"),
        ({"batch_size": 0}, "positive integer"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(squares(), **options)


def test_iterable_dataset_has_its_own_order():
    with pytest.raises(ValueError, match="its own order"):
        DataLoader(Stream(), shuffle=True)


# -------------------------------------------------------------------------------------------------------------- collate

Point = namedtuple("Point", "x y")


def test_collate():
    assert default_collate([tg.ones(2), tg.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert default_collate([np.ones(2, np.float32)] * 3).shape == (3, 2)
    assert default_collate([np.int32(1), np.int32(2)]).dtype is tg.int32
    floats = default_collate([1.0, 2.0])
    assert floats.dtype is tg.float64
    assert default_collate([1, 2]).dtype is tg.int64
    assert default_collate([True, False]).dtype is tg.bool
    assert default_collate(["a", "b"]) == ["a", "b"]
    nested = default_collate([{"x": (1, [2.0])}, {"x": (3, [4.0])}])
    assert nested["x"][0].tolist() == [1, 3]
    assert nested["x"][1][0].tolist() == [2, 4]
    point = default_collate([Point(1, 2), Point(3, 4)])
    assert type(point) is Point
    assert point.x.tolist() == [1, 3]
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="found <class 'object'>"):
        default_collate([object()])
    with pytest.raises(TypeError, match="found an array of <U1"):
        default_collate([np.array("a")])
    counts = default_collate([defaultdict(list, x=1), defaultdict(list, x=2)])
    assert counts["x"].tolist() == [1, 2]
    assert counts["other"] == []


@pytest.mark.compare
@pytest.mark.parametrize("workers", [0, 1, 2])  # PyTorch warns of more than there are cores
def test_batches_like_torch(workers, torch):
    """Of the same data and options: the same values, types and lengths, batch by batch."""
    rows = [{"x": np.arange(3) + i, "y": (i, 0.5 * i), "name": str(i)} for i in range(11)]
    options = [{"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}, {"sampler": [5, 1, 2], "batch_size": 2}]

    def plain(value):
        if isinstance(value, (tg.Tensor, torch.Tensor)):
            return (str(value.dtype).rpartition(".")[2], value.tolist())
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [type(value), *map(plain, value)] if isinstance(value, (list, tuple)) else value

    def all_of(library, **chosen):
        kit = library.utils.data

        class Counting(kit.IterableDataset):
            def __iter__(self):
                info = kit.get_worker_info()
                return iter(range(10) if info is None else range(info.id, 10, info.num_workers))

        dataset = Counting() if chosen.pop("counting", False) else kit.ConcatDataset([rows[:4], kit.Subset(rows, range(4, 11))])
        loader = kit.DataLoader(dataset, num_workers=workers, **chosen)
        return [plain(batch) for batch in loader]

    for chosen in options + [{"counting": True, "batch_size": n} for n in (None, 2, 3)]:
        assert all_of(tg, **chosen) == all_of(torch, **chosen)


@pytest.mark.compare
def test_collate_like_torch(torch):
    from torch.utils.data import default_collate as theirs

    batch = [{"a": np.arange(3), "b": (1, 2.5, True), "c": np.float32(4)} for _ in range(2)]
    a, b = default_collate(batch), theirs(batch)
    assert list(a) == list(b)
    for x, y in zip([a["a"], *a["b"], a["c"]], [b["a"], *b["b"], b["c"]], strict=True):
        assert str(x.dtype).split(".")[1] == str(y.dtype).split(".")[1]
        assert np.array_equal(x.numpy(), y.numpy())
    assert isinstance(a["b"], list)
    assert isinstance(b["b"], list)
    assert torch.is_tensor(b["c"])


def test_a_loader_that_cannot_pin_says_so(monkeypatch):
    monkeypatch.setattr(tg.cuda, "is_available", lambda: False)
    loader = DataLoader(TensorDataset(tg.arange(4)), 2, pin_memory=True)
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found") as found:
        assert [x.tolist() for (x,) in loader] == [[0, 1], [2, 3]]
    assert len(found) == 1
