"""The pool of memory behind large arrays: what it recycles, what it never may, and what it gives back."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels.cpu import memory
from tapegrad.kernels.cpu.arrays import empty, zeros

F32 = np.dtype(np.float32)
MB = 1 << 20


@pytest.fixture(autouse=True)
def fresh_pool() -> Iterator[None]:
    limit = tg.memory_stats()["limit"]
    gc.collect()
    tg.empty_cache()
    yield
    tg.set_cache_limit(limit)


def block(size: int = MB) -> Any:
    return empty((size,), np.dtype(np.uint8))


def counted(name: str, before: dict[str, int]) -> int:
    return tg.memory_stats()[name] - before[name]


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_of_a_dead_array_serves_the_next() -> None:
    first = block()
    address = first.ctypes.data
    del first
    before = tg.memory_stats()
    second = block(MB + 1000)  # of the same size class
    assert second.ctypes.data == address
    assert (counted("recycled", before), counted("mapped", before)) == (1, 0)


def test_operations_recycle() -> None:
    x, y = tg.ones(512, 512), tg.ones(512, 512)
    for _ in range(3):
        assert ((x + y) @ y).shape == (512, 512)
    before = tg.memory_stats()
    for _ in range(3):
        assert ((x + y) @ y).shape == (512, 512)
    assert counted("recycled", before) >= 6
    assert counted("mapped", before) == 0


HOLDERS: dict[str, Callable[[tg.Tensor], Any]] = {
    "numpy": lambda t: t.numpy(),
    "view": lambda t: t.numpy().view(np.int32).view(np.float32),
    "slice": lambda t: t.numpy()[200:, 5:],
    "reshape": lambda t: t.numpy().reshape(-1),
    "memoryview": lambda t: memoryview(t.numpy()),
    "detached": lambda t: t.detach().numpy(),
    "view of a tensor": lambda t: t.t()[3:],
}


@pytest.mark.parametrize("hold", HOLDERS)
def test_what_anybody_holds_is_never_recycled(hold: str) -> None:
    held = HOLDERS[hold](tg.ones(256, 1024) + 1)
    others = [tg.zeros(256, 1024) + k for k in range(4)]
    assert np.all(np.asarray(held) == 2)
    assert [int(x.sum()) for x in others] == [0, 256 * 1024, 2 * 256 * 1024, 3 * 256 * 1024]


def test_users_arrays_are_numpy_s() -> None:
    block()
    before = tg.memory_stats()
    x = np.empty(4 * MB, np.uint8)
    assert (counted("used", before), counted("recycled", before)) == (0, 0)
    assert x.nbytes == 4 * MB


@pytest.mark.parametrize("size", [128 << 10, (128 << 10) + 1, MB - 64, MB, 3 * MB + 7, 64 * MB])
def test_data_is_aligned_owned_and_all_there(size: int) -> None:
    for _ in range(2):  # mapped, then recycled
        array = block(size)
        assert array.ctypes.data % 64 == 0
        assert array.flags.owndata and array.flags.writeable
        array[0] = array[-1] = 7
        del array


def test_zeros_are_zero_in_recycled_memory() -> None:
    first = block()
    first.fill(255)
    address = first.ctypes.data
    del first
    again = zeros((MB // 4,), F32)
    assert again.ctypes.data == address
    assert not again.any()
    assert zeros((2, 3), F32).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_resizing_keeps_the_values() -> None:
    array = empty((MB,), F32)
    array[:] = np.arange(MB)
    array.resize((3 * MB,))
    assert np.array_equal(array[:MB], np.arange(MB, dtype=F32))
    assert not array[MB:].any()
    array.resize((1000,))
    assert np.array_equal(array, np.arange(1000))


def test_empty_cache_returns_memory_to_the_system() -> None:
    tg.empty_cache()
    start = resident()
    array = block(256 * MB)
    array.fill(1)
    del array
    assert resident() - start > 200 * MB
    assert tg.memory_stats()["free"] >= 256 * MB
    tg.empty_cache()
    assert resident() - start < 20 * MB
    assert tg.memory_stats()["free"] == 0


def test_a_limit_bounds_what_is_kept() -> None:
    tg.set_cache_limit(8 * MB)
    many = [block() for _ in range(20)]
    del many
    assert 6 * MB <= tg.memory_stats()["free"] <= 8 * MB
    tg.set_cache_limit(0)
    assert tg.memory_stats()["free"] == 0
    block()
    assert tg.memory_stats()["free"] == 0
    with pytest.raises(ValueError, match="set_cache_limit expects a number of bytes, got -1"):
        tg.set_cache_limit(-1)


def test_free_blocks_of_other_sizes_give_way() -> None:
    """What is used and free together does not outgrow what was once in use by more than a little."""
    sizes = [20 * MB, 30 * MB, 45 * MB, 70 * MB, 100 * MB]
    tg.empty_cache()  # and the peak is what is in use, by other tests, too
    others = tg.memory_stats()["used"]
    for _ in range(3):
        for size in sizes:
            block(size)
            stats = tg.memory_stats()
            assert stats["used"] + stats["free"] <= stats["peak"] + 16 * MB
    assert tg.memory_stats()["peak"] < others + 120 * MB


def test_absurd_sizes_fail_as_ever() -> None:
    before = tg.memory_stats()
    for _ in range(3):
        with pytest.raises(MemoryError, match="Unable to allocate"):
            empty((1 << 45,), F32)
    for shape in [(1 << 62, 1 << 62), (1 << 62, 4), (1 << 70,), (-1,)]:
        with pytest.raises(ValueError, match="too big|dimension"):
            empty(shape, F32)
    assert counted("used", before) == 0
    assert tg.memory_stats()["peak"] < 1 << 40
    block()  # and goes on


def test_empty_takes_what_numpy_takes() -> None:
    for arguments in [((2, 3), F32), (5, F32), (1 << 20, F32), ([2, 3], F32), ((2,), "f8"), ((np.int64(3),), np.float32), ((), F32), ((0, 4), F32), ((3,),)]:
        ours, theirs = empty(*arguments), np.empty(*arguments)  # type: ignore[arg-type]
        assert (ours.shape, ours.dtype, ours.strides) == (theirs.shape, theirs.dtype, theirs.strides)
    with pytest.raises(TypeError):
        empty("x", F32)
    with pytest.raises(TypeError):
        empty()


def test_references_are_balanced() -> None:
    dtype, shape = np.dtype([("odd", np.float64)]), (1 << 15,)
    pool = memory._start()
    before = [sys.getrefcount(x) for x in (dtype, shape, pool.capsule, None)]
    for _ in range(1000):
        empty(shape, dtype)
        empty((2,), dtype)
    after = [sys.getrefcount(x) for x in (dtype, shape, pool.capsule, None)]
    assert all(b - a < 20 for a, b in zip(before, after, strict=True)), (before, after)


def test_tracemalloc_sees_pooled_arrays() -> None:
    tracemalloc.start()
    try:
        array = block(4 * MB)
        assert tracemalloc.get_traced_memory()[0] >= 4 * MB
        del array
        assert tracemalloc.get_traced_memory()[0] < MB
    finally:
        tracemalloc.stop()


def test_threads_share_the_pool() -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        kept: list[Any] = []
        for i in range(400):
            value = seed * 1000 + i
            array = empty((int(rng.integers(1 << 15, 1 << 18)),), F32)
            array.fill(value)
            kept.append((array, value))
            if len(kept) > 6:
                array, value = kept.pop(int(rng.integers(0, 6)))
                if not (array == value).all():
                    wrong.append(value)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert tg.memory_stats()["used"] < 64 * MB


def test_it_does_not_wait_for_the_collector() -> None:
    gc.disable()
    try:
        x = tg.ones(512, 512, requires_grad=True)
        for _ in range(5):
            (x * 2).sum().backward()
        before = tg.memory_stats()
        for _ in range(50):
            (x * 2).sum().backward()
        assert counted("mapped", before) == 0
    finally:
        gc.enable()


_FORKED = """
import os, sys
import numpy as np, tapegrad as tg
from tapegrad.kernels.cpu.arrays import empty
held, idle = (empty((1 << 20,), np.dtype('f4')) for _ in range(2))
held.fill(3); del idle
assert tg.memory_stats()['free'] > 0
pid = os.fork()
if pid == 0:
    ok = tg.memory_stats()['free'] == 0
    for k in range(5):
        x = empty((1 << 20,), np.dtype('f4')); x.fill(k)
    held += 1
    os._exit(0 if ok and (held == 4).all() and tg.memory_stats()['recycled'] >= 3 else 1)
status = os.waitpid(pid, 0)[1]
x = empty((1 << 20,), np.dtype('f4')); x.fill(9)
sys.exit(0 if status == 0 and (held == 3).all() else 1)
"""

# Threads that make arrays all the while: none may wait for a lock of the forking one with the GIL that this one needs. Unless it is
# started before, one of them starts the pool, and no child may wait for that one's end.
_FORKING = """
import os, sys, threading
import numpy as np
from tapegrad.kernels.cpu.arrays import empty
sys.setswitchinterval(1e-6)
done = threading.Event()
def make():
    while not done.is_set():
        empty((1 << 20,), np.dtype('u1'))
threads = [threading.Thread(target=make, daemon=True) for _ in range(2)]
for t in threads: t.start()
failed = 0
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        empty((1 << 20,), np.dtype('u1')).fill(1)
        os._exit(0)
    failed += os.waitpid(pid, 0)[1] != 0
done.set()
for t in threads: t.join()
sys.exit(failed)
"""

# An array in C's hands only (an attribute of a static type's instance kept by a C module) dies after all modules are gone.
_LATE = """
import builtins, ctypes, sys, threading
import numpy as np, tapegrad as tg
x = tg.ones(512, 512) + 1
class Late:
    def __del__(self): pass
late = Late(); late.array, late.me = x._array, late
builtins.kept = x._array
np.kept = sys.kept = threading.kept = [tg.ones(512, 512) * k for k in range(3)]
ctypes.pythonapi.PyErr_WarnEx.kept = tg.ones(512, 512) * 2
"""


_STARTED = "import tapegrad; tapegrad.memory_stats()"


@pytest.mark.parametrize("script", [_FORKED, _FORKING, _STARTED + _FORKING, _LATE])
def test_a_process_of_its_own(script: str) -> None:
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-W", "ignore::DeprecationWarning", "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
