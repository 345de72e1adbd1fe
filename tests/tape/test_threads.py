"""Threads and forks: modes per thread, exact accumulation, kernels that never abort."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import autograd

D = tg.float64


def leaf(data: Any, dtype: Any = D) -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, requires_grad=True)


def _in_threads(work: Callable[[int], None], count: int) -> None:
    """Run ``work(i)`` in threads that start together; raise the first error."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(i: int) -> None:
        try:
            barrier.wait()
            work(i)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def test_modes_belong_to_threads() -> None:
    seen: dict[str, Any] = {}
    entered, checked = threading.Event(), threading.Event()

    def other() -> None:
        seen["starts with"] = tg.is_grad_enabled()
        with tg.no_grad(), tg.record() as tape:
            entered.set()
            checked.wait()
        seen["recorded"] = len(tape)

    x = leaf(1.0)
    thread = threading.Thread(target=other)
    with tg.no_grad():
        thread.start()
        entered.wait()
    assert tg.is_grad_enabled()
    assert (x * x).requires_grad
    checked.set()
    thread.join()
    assert seen == {"starts with": True, "recorded": 0}


def test_concurrent_backward_onto_a_shared_leaf_is_exact() -> None:
    x, w = leaf(np.ones((8, 8))), leaf(np.ones(8))
    threads, rounds = 8, 60
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def work(i: int) -> None:
            for _ in range(rounds):
                ((x * float(2**i)) * 1.0 + w).sum().backward()

        _in_threads(work, threads)
    finally:
        sys.setswitchinterval(old)
    assert np.all(x.grad.numpy() == rounds * (2.0**threads - 1))  # every sum is exact in float64
    assert np.all(w.grad.numpy() == rounds * threads * 8)


def test_concurrent_first_gradients_are_not_lost() -> None:
    for _ in range(40):
        x = leaf([1.0, 2.0])
        _in_threads(lambda i, x=x: (x * float(10**i)).sum().backward(), 4)  # type: ignore[misc]
        assert x.grad.tolist() == [1111.0, 1111.0]


def test_tensors_cross_threads() -> None:
    x = leaf([1.0, 2.0])
    made: list[tg.Tensor] = []
    first = threading.Thread(target=lambda: made.append((x * x).exp()))
    first.start()
    first.join()
    second = threading.Thread(target=lambda: made.append((made[0] * x).sum()))
    second.start()
    second.join()
    made[1].backward()
    v = np.array([1.0, 2.0])
    np.testing.assert_allclose(x.grad.numpy(), np.exp(v * v) * (1 + 2 * v * v), rtol=1e-14)


def test_one_retained_graph_from_many_threads() -> None:
    x = leaf(np.linspace(0.1, 1, 50))
    loss = ((x * x).exp() * x).sum()
    expected = autograd.grad(loss, x, retain_graph=True)[0].numpy()
    results: list[Any] = [None] * 6

    def work(i: int) -> None:
        for _ in range(20):
            results[i] = autograd.grad(loss, x, retain_graph=True)[0].numpy()

    _in_threads(work, 6)
    assert all(np.array_equal(r, expected) for r in results)


def test_parallel_kernels_from_several_threads() -> None:
    """Large enough for the thread pool, which Numba's own layers would abort in."""
    a = tg.tensor(np.linspace(-1, 1, 300_000), dtype=tg.float32)
    m = tg.tensor(np.linspace(-1, 1, 256 * 256).reshape(256, 256), dtype=tg.float32)
    expected = ((a.tanh() * a).sum().item(), (m @ m).tolist())

    def work(i: int) -> None:
        for _ in range(5):
            assert (a.tanh() * a).sum().item() == expected[0]
        assert (m @ m).tolist() == expected[1]

    _in_threads(work, 6)


def test_a_write_in_one_thread_is_noticed_by_another() -> None:
    x, w = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0], dtype=D)
    y = (x * w).sum()
    thread = threading.Thread(target=lambda: w.add_(1))
    thread.start()
    thread.join()
    errors: list[str] = []
    try:
        y.backward()
    except RuntimeError as e:
        errors.append(str(e))
    assert len(errors) == 1
    assert "modified in place by add_" in errors[0]


def test_fork_after_threads() -> None:
    """The child runs big kernels and backward, also while another thread of the parent held the lock of the commit."""
    program = """
        import os, sys, threading, time, warnings
        warnings.simplefilter("ignore")  # forking with threads is what is tested
        import numpy as np
        import tapegrad as tg
        from tapegrad import tape

        a = tg.tensor(np.linspace(-1, 1, 500_000), dtype=tg.float32, requires_grad=True)
        m = tg.tensor(np.linspace(-1, 1, 65536).reshape(256, 256), dtype=tg.float32, requires_grad=True)

        def work():
            loss = (a.tanh() * a).sum() + (m @ m).exp().mean()
            return tg.autograd.grad(loss, [a, m])

        expected = [g.numpy().copy() for g in work()]
        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads: t.start()
        for t in threads: t.join()
        held, leave = threading.Event(), threading.Event()

        def hold():
            with tape._commit_lock:
                held.set()
                leave.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        statuses = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                ok = all(np.array_equal(g.numpy(), e) for g, e in zip(work(), expected))
                ((a * 2).sum() + m.sum()).backward()
                ok = ok and bool((a.grad.numpy() == 2).all())
                inner = [threading.Thread(target=work) for _ in range(2)]
                for t in inner: t.start()
                for t in inner: t.join()
                os._exit(0 if ok else 3)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        leave.set()
        holder.join()
        ok = all(np.array_equal(g.numpy(), e) for g, e in zip(work(), expected))
        print(statuses, ok)
    """
    path = str(Path(tg.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert run.stdout.strip() == "[0, 0, 0] True", run.stderr[-2000:]


def test_the_first_calls_of_an_operation_from_many_threads() -> None:
    x = tg.tensor([1.0, 2.0])
    for k in range(20):
        function = tg.elementwise(f"first_{k}", lambda x, k=float(k): x * x + k)
        results: list[Any] = [None] * 4

        def call(i: int, function: Any = function, results: list[Any] = results) -> None:
            results[i] = function(x).tolist()

        _in_threads(call, 4)
        assert results == [[1.0 + k, 4.0 + k]] * 4
