"""Long graphs, no leaks, no cycles: everything dies by reference counting alone."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd

D = tg.float64


@pytest.fixture
def no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(data: Any, dtype: Any = D) -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, requires_grad=True)


# ------------------------------------------------------------------------------------------------------------- long graphs


def _long(n: int) -> None:
    """In a process of its own: forward, backward and release with hardly any stack."""
    program = f"""
        import gc, sys
        gc.disable()
        import tapegrad as tg
        x = tg.ones(4, requires_grad=True)

        def chain(n):
            y = x
            for _ in range(n):
                y = y * 1.0
            return y.sum()

        chain(10).backward()
        chain(10)
        x.grad = None
        y = chain({n})
        z = chain({n})
        sys.setrecursionlimit(100)
        y.backward()
        (g,) = tg.autograd.grad(z, x, retain_graph=True)
        assert x.grad.tolist() == g.tolist() == [1.0] * 4
        del y  # freed by backward
        del z  # not freed: released as it is
        sys.setrecursionlimit(1000)
        print("done")
    """
    path = str(Path(tg.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert run.stdout.strip() == "done", run.stderr[-2000:]


def test_a_hundred_thousand_operations() -> None:
    _long(10**5)


@pytest.mark.nightly
def test_a_million_operations() -> None:
    _long(10**6)


def test_a_long_chain_of_views_and_writes() -> None:
    x = leaf([1.0, 2.0])
    y = x * 1
    for _ in range(2000):
        y[0:1].add_(0.5)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    assert y.tolist() == [1001.0, 2.0]


# ------------------------------------------------------------------------------------------------------------------- leaks


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _training() -> Callable[[], None]:
    tg.manual_seed(0)
    w1, b1, w2 = tg.randn(32, 64), tg.zeros(64), tg.randn(64, 10)
    for p in (w1, b1, w2):
        p.requires_grad_()
    x, t = tg.randn(16, 32), tg.randint(0, 10, (16,))

    def step() -> None:
        loss = tg.nn.functional.cross_entropy((x @ w1 + b1).tanh() @ w2, t)
        loss.backward()
        with tg.no_grad():
            for p in (w1, b1, w2):
                p.sub_(p.grad * 0.01)
                p.grad = None

    return step


def test_training_does_not_grow(no_gc: None) -> None:
    step = _training()
    for _ in range(300):
        step()
    before = _resident()
    for _ in range(2000):
        step()
    assert _resident() - before < 2**20


def test_a_loop_that_forgot_no_grad_is_bounded(no_gc: None) -> None:
    w = tg.randn(64, 64).requires_grad_()

    def forward() -> float:
        y = (w @ w).tanh()
        y[0].mul_(2)
        return float((y.exp() * 2).mean().item())

    for _ in range(50):
        forward()
    before = _resident()
    for _ in range(1000):  # each would leave 100 KB behind
        forward()
    assert _resident() - before < 2**20


class Square(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
        y = x * x
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
        return g * 2 * ctx.saved_tensors[0]


def _double(x: tg.Tensor) -> None:
    (g,) = autograd.grad((x * x).exp().sum(), x, create_graph=True)
    (g * g).sum().backward()
    x.grad = None


def _hooked(x: tg.Tensor) -> None:
    h = x * 2
    h.register_hook(lambda g: g * 2)
    h.retain_grad()
    handle = x.register_hook(lambda g: None)
    after = x.register_post_accumulate_grad_hook(lambda t: None)
    (h * h).sum().backward()
    handle.remove()
    after.remove()


def _written(x: tg.Tensor) -> None:
    y = x * 1
    v = y[0]
    v.mul_(x[1])
    y.t().add_(1)
    y.sigmoid_()
    (y * v).sum().backward()


def _refused(x: tg.Tensor) -> None:
    y = x.exp()
    y.add_(1)
    try:
        y.sum().backward()
    except RuntimeError:
        pass
    else:
        raise AssertionError("not refused")


def _anomalous(x: tg.Tensor) -> None:
    with autograd.detect_anomaly():
        (x * x).exp().sum().backward()


def _packed(x: tg.Tensor) -> None:
    with autograd.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = (x * x).exp()
    y.sum().backward()


WORK: dict[str, Callable[[tg.Tensor], Any]] = {
    "forward": lambda x: (x @ x).tanh().softmax(1),
    "backward": lambda x: (x @ x).tanh().sum().backward(),
    "retained": lambda x: (x * x).exp().sum().backward(retain_graph=True),
    "twice": _double,
    "hooks": _hooked,
    "function": lambda x: Square.apply(Square.apply(x)).sum().backward(),
    "function, not run backward": Square.apply,
    "function, twice": lambda x: autograd.grad(Square.apply(x).sum(), x, create_graph=True)[0].sum().backward(),
    "writes": _written,
    "views": lambda x: x.t()[0].unsqueeze(0).expand(3, 2).sum().backward(),
    "several outputs": lambda x: x.max(1).values.sum().backward(),
    "refused": _refused,
    "anomaly mode": _anomalous,
    "packed": _packed,
    "switched": lambda x: x.requires_grad_(False).requires_grad_(True).sum().backward(),
    "mixed": lambda x: (x.to(tg.float32) * tg.ones(3, 1, 1)).mean().backward(),
}


@pytest.mark.parametrize("name", WORK)
def test_no_cycles(name: str) -> None:
    x = leaf([[0.1, 0.2], [0.3, 0.4]])
    for _ in range(2):
        WORK[name](x)  # compile, and let caches fill
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            WORK[name](x)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_entries_die_with_their_tensors(no_gc: None) -> None:
    x = leaf([1.0, 2.0])
    h = x.exp()
    y = (h * h).sum()
    entries = [weakref.ref(h.grad_fn), weakref.ref(y.grad_fn)]
    del h
    assert entries[0]() is not None  # y's entry uses it
    del y
    assert [e() for e in entries] == [None, None]


def _watch(t: tg.Tensor) -> Any:
    """A weak reference to a tensor's memory."""
    return weakref.ref(t._array)


def test_saved_memory_is_freed_while_backward_runs(no_gc: None) -> None:
    x = leaf([1.0, 2.0])
    a = x.exp()
    watched = _watch(a)
    seen: list[bool] = []
    x.register_hook(lambda g: seen.append(watched() is None))
    y = (a * 2).sum()
    del a
    assert watched() is not None
    y.backward()
    assert seen == [True]


def test_intermediate_gradients_are_freed_while_backward_runs(no_gc: None) -> None:
    x = leaf([1.0, 2.0])
    h = x * 2
    refs: list[Any] = []
    alive: list[bool] = []
    h.register_hook(lambda g: refs.append(_watch(g)))
    k = h * 3
    k.register_hook(lambda g: refs.append(_watch(g)))
    x.register_hook(lambda g: alive.extend(r() is not None for r in refs))
    k.sum().backward()
    assert alive == [False, False]


def test_detached_results_keep_nothing_alive(no_gc: None) -> None:
    x = leaf([1.0, 2.0])
    h = x.exp()
    entry = weakref.ref(h.grad_fn)
    d = h.detach()
    del h
    assert entry() is None
    assert d.tolist() == pytest.approx([np.e, np.e**2])


def test_a_leaf_dies_though_its_graph_lives(no_gc: None) -> None:
    x = leaf([1.0, 2.0])
    y = x + 1
    ref = weakref.ref(x)
    del x
    assert ref() is None
    y.sum().backward()
