"""The loader's worker processes: same batches, and nothing left behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="datasets here can't be pickled")


class Rows(Dataset):
    """Samples of several kinds; big enough not to fit into a pipe."""

    def __getitem__(self, index):
        return {"x": tg.full((300, 100), float(index)), "who": get_worker_info().id if get_worker_info() else -1, "name": str(index)}

    def __len__(self):
        return 11


class Failing(Dataset):
    def __init__(self, act, at=5):
        self.act, self.at = act, at

    def __getitem__(self, index):
        return self.act() if index == self.at else index

    def __len__(self):
        return 100


class Shared(IterableDataset):
    """Numbers below n, divided among workers."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        return iter(range(self.n) if info is None else range(info.id, self.n, info.num_workers))


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    gc.collect()
    assert multiprocessing.active_children() == []


def shuffled(workers, **options):
    generator = tg.Generator().manual_seed(4)
    loader = DataLoader(Rows(), 2, shuffle=True, num_workers=workers, generator=generator, **options)
    passes = [[(b["x"][:, 0, 0].tolist(), b["name"]) for b in loader] for _ in range(2)]
    assert len(loader) == len(passes[0]) == 6
    return passes, generator.get_state().tolist()


def test_batches_are_the_same_for_any_number_of_workers():
    alone = shuffled(0)
    assert alone[0][0] != alone[0][1]
    assert shuffled(1) == alone
    assert shuffled(3, prefetch_factor=4) == alone
    assert shuffled(2, persistent_workers=True) == alone


def test_workers_take_turns():
    assert [b["who"].tolist() for b in DataLoader(Rows(), 4, num_workers=2)] == [[0] * 4, [1] * 4, [0] * 3]
    assert get_worker_info() is None


def test_single_samples_and_samplers():
    assert list(DataLoader([3, 1, 2], batch_size=None, num_workers=2)) == [3, 1, 2]
    assert [b.tolist() for b in DataLoader([3, 1, 2], batch_sampler=[[2], [0, 1]], num_workers=2)] == [[2], [3, 1]]


def test_iterable_datasets():
    seen = [b.tolist() for b in DataLoader(Shared(7), 2, num_workers=2)]
    assert seen == [[0, 2], [1, 3], [4, 6], [5]]
    assert sorted(DataLoader(Shared(20), batch_size=None, num_workers=3)) == list(range(20))
    assert [b.tolist() for b in DataLoader(Shared(7), 2, drop_last=True, num_workers=2)] == [[0, 2], [1, 3], [4, 6]]
    persistent = DataLoader(Shared(5), 2, num_workers=2, persistent_workers=True)
    assert [len(list(persistent)) for _ in range(3)] == [3, 3, 3]


def test_worker_info_and_init():
    def init(number):
        info = get_worker_info()
        assert info.id == number
        info.dataset.offset = 10 * number
        random.seed(info.seed)

    class Who(Dataset):
        def __getitem__(self, index):
            info = get_worker_info()
            return self.offset, info.num_workers, info.seed, random.random(), np.random.rand(), tg.rand(()).item()

        def __len__(self):
            return 2

    first, second = DataLoader(Who(), None, num_workers=2, worker_init_fn=init, generator=tg.Generator().manual_seed(0))
    assert (first[0], second[0], first[1]) == (0, 10, 2)
    assert second[2] == first[2] + 1
    assert not set(first[3:]) & set(second[3:])


def test_persistent_workers_stay_and_drop_what_an_early_break_left():
    loader = DataLoader([*range(50)], 2, num_workers=2, persistent_workers=True)
    first = iter(loader)
    next(first)
    pids = {p.pid for p in multiprocessing.active_children()}
    assert len(pids) == 2
    assert [x for b in loader for x in b.tolist()] == [*range(50)]
    assert {p.pid for p in multiprocessing.active_children()} == pids
    with pytest.raises(RuntimeError, match="ended when another one began"):
        next(first)


def fail():
    raise KeyError("no such image")


def test_an_exception_in_a_worker_is_raised_here():
    batches = iter(DataLoader(Failing(fail), 2, num_workers=2, multiprocessing_context="fork"))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="(?s)Caught KeyError in DataLoader worker process 0.*in fail.*no such image"):
        next(batches)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_raises_stop_iteration_does_not_end_the_pass(workers):
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(DataLoader(Failing(lambda: next(iter(()))), num_workers=workers))


def test_exceptions_that_cannot_be_made_here():
    class Local(Exception):
        pass

    def local():
        raise Local("mine")

    def strange():
        raise UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")

    for act, text in ((local, "Caught Local .*mine"), (strange, "Caught UnicodeDecodeError"), (lambda: lambda: 0, "(?i)pickle")):
        with pytest.raises(Exception, match=f"(?s){text}") as caught:
            list(DataLoader(Failing(act), None, num_workers=1))
        assert caught.type in (RuntimeError, AttributeError)

    def init(number):
        raise ValueError("not ready")

    with pytest.raises(ValueError, match="(?s)Caught ValueError .*not ready"):
        next(iter(DataLoader([1], num_workers=1, worker_init_fn=init)))


def test_a_worker_that_dies_or_takes_too_long():
    with pytest.raises(RuntimeError, match=r"worker 0 \(pid \d+\) exited unexpectedly with exit code -9"):
        list(DataLoader(Failing(lambda: os.kill(os.getpid(), signal.SIGKILL)), num_workers=1))
    with pytest.raises(RuntimeError, match="timed out after 0.2 seconds"):
        list(DataLoader(Failing(lambda: time.sleep(0.8), at=3), num_workers=1, timeout=0.2))


def test_a_worker_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr("tapegrad.utils.data.pool._PATIENCE", 0.1)
    for batch in DataLoader(Failing(lambda: time.sleep(1000), at=1), num_workers=1):
        assert batch.tolist() == [0]
        break


def test_breaking_off_early_leaves_nothing():
    for _ in DataLoader(Rows(), num_workers=2):
        break
    assert multiprocessing.active_children() == []
    iter(DataLoader(Rows(), num_workers=2))
    assert multiprocessing.active_children() == []


def test_two_loaders_at_once_end_at_once():
    first = iter(DataLoader(Rows(), num_workers=1))
    second = iter(DataLoader(Rows(), num_workers=1))
    next(first), next(second)
    start = time.monotonic()
    del first
    assert len(multiprocessing.active_children()) == 1
    del second
    assert time.monotonic() - start < 4  # else one waited for the other's copies of its pipe


def test_long_lists_of_numbers_do_not_block():
    tasks = [list(range(200_000)) for _ in range(6)]
    loader = DataLoader(TensorDataset(tg.arange(200_000)), batch_sampler=tasks, num_workers=1, prefetch_factor=3, timeout=60)
    assert [len(x) for (x,) in loader] == [200_000] * 6


def run(program, **options):
    code = textwrap.dedent(program)
    env = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **options)


LOOP = """
    import multiprocessing, signal, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started the tests in its background
    import tapegrad as tg
    from tapegrad.utils.data import DataLoader, Dataset

    class Slow(Dataset):
        def __getitem__(self, index):
            time.sleep(0.02)
            return index
        def __len__(self):
            return 10**6

    {warm}
    for n, batch in enumerate(DataLoader(Slow(), 2, num_workers=2)):
        if n == 2:
            print(*[p.pid for p in multiprocessing.active_children()], flush=True)
"""


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(how):
    with run(LOOP.format(warm="(tg.ones(512, 512) @ tg.ones(512, 512)).tanh()  # starts threads"), start_new_session=True) as parent:
        try:
            pids = [int(p) for p in parent.stdout.readline().split()]
            assert len(pids) == 2
            if how == signal.SIGINT:
                os.killpg(parent.pid, how)  # as the terminal does
            else:
                parent.kill()
            _, err = parent.communicate(timeout=30)
        finally:
            parent.kill()
        assert err.count("Traceback") == (how == signal.SIGINT), err
        deadline = time.monotonic() + 10
        while not all(gone(p) for p in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert all(gone(p) for p in pids)


def test_spawned_workers():
    rows = TensorDataset(tg.arange(6.0), tg.ones(6, 2))
    rows.generator = tg.Generator().manual_seed(3)  # goes along
    loader = DataLoader(rows, 4, num_workers=1, multiprocessing_context="spawn")
    assert [(x.tolist(), y.shape) for x, y in loader] == [([0, 1, 2, 3], (4, 2)), ([4, 5], (2, 2))]
