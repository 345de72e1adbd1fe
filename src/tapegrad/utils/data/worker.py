"""What runs in a loader's worker process.

Workers are processes, as in PyTorch, and not threads: what they are for, transforms in Python, would hold the interpreter's lock;
each needs its own copy of the dataset and of the global random generators; and only a process can be ended whatever it does. A
child may run kernels, since the launcher is serial there (``kernels/native/call.py``).

A worker reads tasks from its connection, works through them in order, and answers in that order. A thread does the sending, so
that a worker reads on even while nobody takes its answers: neither side ever waits for the other to read first.
"""

from __future__ import annotations

import queue
import random
import signal
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from ...ops.random.generator import manual_seed


@dataclass
class WorkerInfo:
    """Which worker this is.

    Attributes:
        id: its number, from 0.
        num_workers: how many there are.
        seed: what its random generators were started from; differs between workers and passes.
        dataset: its copy of the dataset.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None
# The loader's ends of all connections: a forked child inherits them, and would keep its siblings from seeing that they are closed.
parent_ends: weakref.WeakSet[Connection[Any, Any]] = weakref.WeakSet()


def get_worker_info() -> WorkerInfo | None:
    """In a loader's worker, which one it is (``id``, ``num_workers``, ``seed``, ``dataset``); elsewhere None."""
    return _info


class Started:
    """The answer of a worker that begins a new pass."""


class Failure:
    """The answer of a worker in which an exception was raised."""

    def __init__(self, error: BaseException, worker: int) -> None:
        self.kind = type(error)
        self.text = f"Caught {self.kind.__name__} in DataLoader worker process {worker}.\nOriginal {''.join(traceback.format_exception(error))}"

    def __reduce__(self) -> Any:
        try:  # a class that was defined in a function can't be sent
            ForkingPickler.dumps(self.kind)
            kind: Any = self.kind
        except Exception:
            kind = RuntimeError
        return _failure, (kind, self.text)

    def reraise(self) -> None:
        """Raise an exception of the same type, with the worker's traceback as its message."""
        try:
            error = self.kind(_Lines(self.text))
        except Exception:  # its constructor wants something else
            error = RuntimeError(self.text)
        # which would end a loop as if all were well
        raise RuntimeError(self.text) if isinstance(error, StopIteration) else error


def _failure(kind: Any, text: str) -> Failure:
    made = Failure.__new__(Failure)
    made.kind, made.text = kind, text
    return made


class _Lines(str):
    """Text that KeyError shows with its lines."""

    def __repr__(self) -> str:
        return str(self)


def run(
    end: Connection[Any, Any],
    forked: bool,
    info: WorkerInfo,
    make_fetch: Callable[[Any], Callable[[Any], Any]],
    init: Callable[[int], Any] | None,
) -> None:
    """The worker: for each task received, send its answer, until the connection is closed.

    A task is a tuple with what the sampler gave (None for the next of an iterable dataset); the empty one begins a new pass.
    """
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then closes the connection
    if forked:
        for other in list(parent_ends):
            other.close()
    _info = info
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_send, args=(end, answers), daemon=True).start()
    for answer in _work(end, info, make_fetch, init):
        answers.put(_packed(answer, info.id))


def _work(end: Connection[Any, Any], info: WorkerInfo, make_fetch: Any, init: Any) -> Iterator[Any]:
    failed: Failure | None = None
    fetch: Any = None
    try:
        _seed(info.seed)
        if init is not None:
            init(info.id)
    except Exception as error:
        failed = Failure(error, info.id)
    while True:
        try:
            task = end.recv()
        except (EOFError, OSError):
            return
        try:
            if not task:
                fetch = None
                yield Started()
            elif failed is not None:
                yield failed
            else:
                fetch = fetch or make_fetch(info.dataset)
                yield fetch(*task)
        except Exception as error:
            yield Failure(error, info.id)


def _seed(seed: int) -> None:
    manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _packed(answer: Any, worker: int) -> Any:
    try:
        return ForkingPickler.dumps(answer)
    except Exception as error:
        return ForkingPickler.dumps(Failure(error, worker))


def _send(end: Connection[Any, Any], answers: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            end.send_bytes(answers.get())
    except OSError:  # nobody listens any more
        pass
