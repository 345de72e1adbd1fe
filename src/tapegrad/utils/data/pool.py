"""The loader's side of its workers: starting, feeding, hearing and ending them."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import sys
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from .fetch import End
from .worker import Failure, Started, WorkerInfo, parent_ends, run

_PATIENCE = 5.0  # seconds that workers get to finish the sample they are at


class Pool:
    """Worker processes. They end when the pool is closed or forgotten, or when this process ends, in whatever way.

    Args:
        context: where processes come from.
        count: how many.
        dataset, make_fetch: each worker gets a copy of the dataset, and ``make_fetch(dataset)`` answers its tasks.
        seed: that of worker i is ``seed + i``.
        init: called in every worker with its number.
        timeout: seconds to wait for an answer; 0 for any time.
    """

    def __init__(
        self,
        context: Any,
        count: int,
        dataset: Any,
        make_fetch: Callable[[Any], Callable[[Any], Any]],
        seed: int,
        init: Callable[[int], Any] | None,
        timeout: float,
    ) -> None:
        self.timeout = timeout
        self.passes = 0
        self._owner = os.getpid()
        self.processes: list[Any] = []
        self._ends: list[Connection[Any, Any]] = []
        self._finalizer = weakref.finalize(self, _stop, self.processes, self._ends, self._owner)
        forked = context.get_start_method() == "fork"
        for i in range(count):
            ours, theirs = context.Pipe()
            parent_ends.add(ours)
            self._ends.append(ours)
            info = WorkerInfo(i, count, seed + i, dataset)
            process = context.Process(target=run, args=(theirs, forked, info, make_fetch, init), daemon=True)
            with warnings.catch_warnings():  # Python warns of forking with threads; what threads of ours hold is free in children
                warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
                process.start()
            self.processes.append(process)
            theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it has not been closed, nor inherited by a child."""
        return self._finalizer.alive and os.getpid() == self._owner

    def close(self) -> None:
        """End the workers, once they have finished the sample they are at or after five seconds."""
        self._finalizer()

    def send(self, worker: int, task: tuple[Any, ...]) -> None:
        """Give a worker something to do."""
        with contextlib.suppress(OSError):  # it died; receiving says so
            self._ends[worker].send(task)

    def receive(self, worker: int) -> Any:
        """A worker's next answer.

        Raises:
            RuntimeError: when it died, or nothing came in time.
        """
        end, process = self._ends[worker], self.processes[worker]
        ready = wait([end, process.sentinel], self.timeout or None)
        if not ready:
            raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")
        try:
            if end in ready or end.poll():
                return end.recv()
        except (EOFError, OSError):
            pass
        process.join()
        raise RuntimeError(
            f"DataLoader worker {worker} (pid {process.pid}) exited unexpectedly with exit code {process.exitcode}; "
            "use num_workers=0 to see what the dataset does"
        )

    def restart(self) -> None:
        """Begin a new pass, dropping answers that nobody took."""
        for worker in range(len(self.processes)):
            self.send(worker, ())
        for worker in range(len(self.processes)):
            while not isinstance(self.receive(worker), Started):
                pass


def _stop(processes: list[Any], ends: list[Connection[Any, Any]], owner: int) -> None:
    if os.getpid() != owner:  # a child that inherited the pool
        return
    for end in ends:
        end.close()
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    for process in processes:
        if process.is_alive():
            process.terminate()
            process.join()
        process.close()


class Pass:
    """One pass over the data: tasks go to the workers in turn, and answers are taken in the order of the tasks."""

    def __init__(self, pool: Pool, tasks: Iterator[Any], prefetch: int, keep: bool) -> None:
        self._pool, self._tasks, self._keep = pool, tasks, keep
        pool.passes += 1
        self._number = pool.passes
        count = len(pool.processes)
        self._active = [True] * count
        self._turns = itertools.cycle(range(count))
        self._asked: deque[int] = deque()
        for _ in range(prefetch * count):
            self._ask()

    def _ask(self) -> None:
        """Give the next task to the next worker that has data left."""
        if any(self._active):
            for task in self._tasks:
                worker = next(w for w in self._turns if self._active[w])
                self._pool.send(worker, (task,))
                self._asked.append(worker)
                return

    def __iter__(self) -> Pass:
        return self

    def __next__(self) -> Any:
        if self._number != self._pool.passes:
            raise RuntimeError("this pass over a DataLoader with persistent_workers=True ended when another one began")
        try:
            while self._asked:
                worker = self._asked.popleft()
                answer = self._pool.receive(worker)
                if isinstance(answer, End):
                    self._active[worker] = False
                self._ask()
                if isinstance(answer, Failure):
                    answer.reraise()
                if not isinstance(answer, End):
                    return answer
        except BaseException:
            self._asked.clear()
            self._pool.close()
            raise
        if not self._keep:
            self._pool.close()
        raise StopIteration


def context_of(chosen: Any) -> Any:
    """Where worker processes come from: on Linux they are forked by default, so that any dataset will do; elsewhere that is unsafe."""
    if chosen is not None and not isinstance(chosen, str):
        return chosen
    methods = multiprocessing.get_all_start_methods()
    if chosen is not None and chosen not in methods:
        raise ValueError(f"multiprocessing_context must be one of {methods}, or a context, got {chosen!r}")
    return multiprocessing.get_context(chosen or ("fork" if sys.platform == "linux" else None))
