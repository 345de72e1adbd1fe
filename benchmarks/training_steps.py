"""Whole training steps: forward, backward and optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import Case, Result, Run, interleaved, libraries, measure
from .models import STEPS, training_step

_SHAPES = ((128, 64), (128,), (10, 128), (10,))


def _case(title: str) -> Case:
    def runs() -> dict[str, Run]:
        ms = libraries()
        rivals = {f"torch {kind}": training_step(ms["torch"], title, **{kind: True}) for kind in ("foreach", "fused")}
        return {"tapegrad": training_step(ms["tapegrad"], title), **rivals}

    return Case(title, runs, tolerance=1e-3)


def _functional(m: Any) -> Callable[[Any, Any], Any]:
    functional, rng = m.nn.functional, np.random.default_rng(0)
    parameters = [m.tensor((rng.standard_normal(s) * 0.1).astype(np.float32)).requires_grad_() for s in _SHAPES]
    w1, b1, w2, b2 = parameters

    def step(x: Any, y: Any) -> Any:
        for p in parameters:
            p.grad = None
        hidden = functional.relu(functional.linear(x, w1, b1))
        loss = functional.cross_entropy(functional.linear(hidden, w2, b2), y)
        loss.backward()
        with m.no_grad():
            for p in parameters:
                p.add_(p.grad, alpha=-0.01)
        return loss

    return step


def _written_out(quick: bool) -> list[Result]:
    """The perceptron without modules, which ``tg.compile`` replays without the interpreter."""
    rng = np.random.default_rng(1)
    xs, ys = rng.standard_normal((32, 64)).astype(np.float32), rng.integers(0, 10, 32)
    runs: dict[str, Run] = {}
    for name, m in libraries().items():
        x, y = m.tensor(xs), m.tensor(ys)
        step = _functional(m)
        runs[name] = lambda step=step, x=x, y=y: step(x, y)
        if name == "tapegrad":
            compiled = m.compile(_functional(m))
            runs["compiled"] = lambda compiled=compiled, x=x, y=y: compiled(x, y)
    losses = {name: [run().item() for _ in range(4)][-1] for name, run in runs.items()}
    assert losses["compiled"] == losses["tapegrad"]
    np.testing.assert_allclose(losses["tapegrad"], losses["torch"], rtol=1e-5)
    medians, spread = interleaved(runs, quick=quick)
    eager = {name: medians[name] for name in ("tapegrad", "torch")}
    replayed = {"tapegrad": medians["compiled"], "torch": medians["torch"]}
    return [
        Result("training_steps", "perceptron written out, SGD", "us", eager, spread=spread),
        Result("training_steps", "perceptron written out, tg.compile", "us", replayed, ">= 2.5", spread=spread),
    ]


def run(quick: bool) -> list[Result]:
    """Eager steps against the fastest of PyTorch's optimizer settings, and one replayed step against PyTorch's eager one."""
    return measure("training_steps", [_case(title) for title in list(STEPS)[: 2 if quick else None]], quick) + _written_out(quick)
