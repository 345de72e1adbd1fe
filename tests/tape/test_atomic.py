"""All or nothing: whatever interrupts a backward pass, every .grad is as it was, or all are committed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd, modes, registry
from tapegrad.kernels import cpu
from tapegrad.scalarops import ElementwisePlan

D = tg.float64


class Model:
    """A graph with shared leaves, existing gradients, a leaf without one, hooks, a retained gradient, and a Function."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.leaves = [tg.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(4)]
        for x in self.leaves[:3]:
            x.grad = tg.tensor(rng.normal(size=(3, 3)))
        self.hidden: tg.Tensor | None = None
        self.hook: Callable[[tg.Tensor], None] = lambda g: None

    def loss(self) -> tg.Tensor:
        a, b, c, d = self.leaves
        h = (a @ b).tanh() + c
        h.retain_grad()
        h.register_hook(lambda g: self.hook(g))
        k = (h * d).softmax(1).max(1).values
        z = Double.apply(h)[0] * k + a.exp()
        z.register_hook(lambda g: self.hook(g))
        y = z * 1
        y[0].mul_(d[1])
        self.hidden = h
        return tg.cat([y.reshape(-1), b.sum(0)]).logsumexp(0)

    def state(self) -> list[Any]:
        """Identity and bits of every gradient."""
        return [None if (g := t._grad) is None else (id(g), g._array.tobytes()) for t in [*self.leaves, self.hidden] if t is not None]


class Double(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> Any:
        ctx.save_for_backward(x)
        return x * 2, x * x

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor, h: tg.Tensor) -> tg.Tensor:
        return g * 2 + h * 2 * ctx.saved_tensors[0]


class Countdown:
    """Raises at the n-th visit."""

    def __init__(self) -> None:
        self.left = -1
        self.visits = 0
        self.error: type[BaseException] = ValueError

    def visit(self) -> None:
        self.visits += 1
        self.left -= 1
        if self.left == 0:
            raise self.error("injected")


@pytest.fixture
def countdown(monkeypatch: pytest.MonkeyPatch) -> Countdown:
    """Every VJP and every accumulation passes a countdown."""
    for create in (False, True):  # after which all plans exist
        Model().loss().backward(create_graph=create)
    c = Countdown()

    def wrap(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def visited(*args: Any, **kwargs: Any) -> Any:
            c.visit()
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, visited)

    wrap(ElementwisePlan, "backward_tensors")
    wrap(Double, "backward")
    wrap(cpu, "accumulate")
    wrap(cpu, "added")
    for op in registry.REGISTRY.values():
        for plan in op.plans.values():
            wrap(plan, "backward")
            if not isinstance(plan, ElementwisePlan):
                wrap(plan, "backward_tensors")
    return c


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt])
def test_an_error_at_any_place_changes_nothing(countdown: Countdown, error: type[BaseException], create: bool) -> None:
    reference = Model()
    reference.hook = lambda g: countdown.visit()
    reference.loss().backward(create_graph=create)
    places, countdown.visits = countdown.visits, 0
    expected = [t._grad._array.tobytes() for t in [*reference.leaves, reference.hidden]]
    assert places > 18
    countdown.error = error
    for place in range(1, places + 1):
        model = Model()
        model.hook = lambda g: countdown.visit()
        loss = model.loss()
        before, flags = model.state(), modes.snapshot()
        countdown.left = place
        with pytest.raises(error, match="injected"):
            loss.backward(create_graph=create, retain_graph=True)
        countdown.left = -1
        assert model.state() == before
        assert modes.snapshot() == flags
        loss.backward(create_graph=create)
        assert [t._grad._array.tobytes() for t in [*model.leaves, model.hidden]] == expected


def test_an_error_while_gradients_are_copied_at_the_end_changes_nothing(countdown: Countdown) -> None:
    """The last accumulations are those of the commit itself."""
    model = Model()
    loss = model.loss()
    loss.backward(retain_graph=True)
    visits = countdown.visits
    before = model.state()
    countdown.error, countdown.left = MemoryError, visits + 1  # the retained gradient exists now: one more accumulation
    with pytest.raises(MemoryError):
        loss.backward(retain_graph=True)
    assert model.state() == before


def test_a_graph_that_was_not_retained_can_fail_cleanly() -> None:
    x = tg.tensor([1.0, 2.0], dtype=D, requires_grad=True)
    h = x * x

    def fail(g: tg.Tensor) -> None:
        raise ValueError("no")

    handle = h.register_hook(fail)
    y = (h * h).sum()
    with pytest.raises(ValueError, match="no"):
        y.backward()
    handle.remove()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    assert x.grad is None


# ------------------------------------------------------------------------------------------------------------ real signals


def _interrupt_often(attempt: Callable[[], None], check: Callable[[bool], None], repetitions: int, longest: float) -> int:
    """Run ``attempt`` with a signal that raises KeyboardInterrupt at random moments; returns how many times it hit."""
    rng = random.Random(0)
    hits = 0
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(repetitions):
            interrupted = False
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, longest))
                attempt()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted = True
                hits += 1
            check(interrupted)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return hits


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt may hit a callback of the collector's
def test_real_interrupts_never_tear_gradients_or_modes() -> None:
    model = Model()
    loss = model.loss()
    loss.backward(retain_graph=True)
    start = time.perf_counter()
    loss.backward(retain_graph=True)
    longest = 1.3 * (time.perf_counter() - start)
    states = [model.state()]
    flags, errors = modes.snapshot(), np.geterr()
    counts = {"before": 0, "after": 0}

    # what a whole pass leaves, from each state: the same addition
    def advanced(state: list[Any]) -> list[bytes]:
        return [(np.frombuffer(bits) + g).tobytes() for (_, bits), g in zip(state, grads, strict=True)]

    first = [t._grad for t in [*model.leaves, model.hidden]]
    grads = [g.ravel() for g in _plain_gradients(model)]

    def check(interrupted: bool) -> None:
        now = model.state()
        assert modes.snapshot() == flags
        assert np.geterr() == errors
        assert all(t._grad is g for t, g in zip([*model.leaves, model.hidden], first, strict=True))
        bits = [b for _, b in now]
        if bits == [b for _, b in states[-1]]:
            counts["before"] += 1
        else:
            assert bits == advanced(states[-1])
            counts["after"] += 1
        states.append(now)

    hits = _interrupt_often(lambda: loss.backward(retain_graph=True), check, 600, longest)
    assert hits > 20
    assert counts["before"] > 5
    assert counts["after"] > 5
    loss.backward()
    assert [b for _, b in model.state()] == advanced(states[-1])


def _plain_gradients(model: Model) -> list[Any]:
    fresh = Model()
    for x in fresh.leaves:
        x.grad = None
    fresh.loss().backward()
    return [t._grad._array for t in [*fresh.leaves, fresh.hidden]]


def test_interrupts_with_create_graph_and_grad() -> None:
    x = tg.tensor([0.5, 1.5], dtype=D, requires_grad=True)
    flags, errors = modes.snapshot(), np.geterr()

    def attempt() -> None:
        y = (x.tanh() * x).sum()
        (g,) = autograd.grad(y, x, create_graph=True)
        autograd.grad((g * g).sum(), x)

    attempt()
    start = time.perf_counter()
    attempt()
    longest = 1.3 * (time.perf_counter() - start)

    def check(interrupted: bool) -> None:
        assert modes.snapshot() == flags
        assert np.geterr() == errors
        assert x.grad is None

    assert _interrupt_often(attempt, check, 600, longest) > 20
    with tg.no_grad():
        pass
    assert tg.is_grad_enabled()


def test_interrupt_from_the_operating_system() -> None:
    """An interrupt by os.kill at a hook, the usual place to be when a person presses Ctrl-C."""
    x = tg.tensor([1.0, 2.0], dtype=D, requires_grad=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        h = x * 2
        h.register_hook(lambda g: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            h.sum().backward()
    finally:
        signal.signal(signal.SIGINT, before)
    assert x.grad is None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
