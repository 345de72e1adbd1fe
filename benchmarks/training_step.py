"""Whole training steps: the perceptron 32x64-128-10 with cross-entropy and SGD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import Result, interleaved, libraries

_SHAPES = ((128, 64), (128,), (10, 128), (10,))


def _step(m: Any, functional: Any) -> tuple[Callable[[Any, Any], Any], list[Any]]:
    rng = np.random.default_rng(0)
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

    return step, parameters


def run(quick: bool) -> list[Result]:
    """Eager and compiled steps against PyTorch's eager step."""
    rng = np.random.default_rng(1)
    xs, ys = rng.standard_normal((32, 64)).astype(np.float32), rng.integers(0, 10, 32)
    runs: dict[str, Callable[[], Any]] = {}
    losses: dict[str, float] = {}
    for name, m in libraries().items():
        functional = m.nn.functional
        x, y = m.tensor(xs), m.tensor(ys)
        step, _ = _step(m, functional)
        losses[name] = [step(x, y).item() for _ in range(4)][-1]
        runs[name] = lambda step=step, x=x, y=y: step(x, y)
        if name == "tapegrad":
            eager, _ = _step(m, functional)
            compiled = m.compile(eager)
            losses["compiled"] = [compiled(x, y).item() for _ in range(4)][-1]
            runs["compiled"] = lambda compiled=compiled, x=x, y=y: compiled(x, y)
    assert losses["compiled"] == losses["tapegrad"]
    np.testing.assert_allclose(losses["tapegrad"], losses["torch"], rtol=1e-5)
    medians, spread = interleaved(runs, quick=quick)
    case = "perceptron 32x64-128-10, SGD"
    return [
        Result("training step", f"{case}, eager", "us", {k: medians[k] for k in ("tapegrad", "torch")}, spread=spread),
        Result("training step", f"{case}, compiled", "us", {"tapegrad": medians["compiled"], "torch": medians["torch"]}, "<= 0.40", spread=spread),
    ]
