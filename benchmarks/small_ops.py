"""What an operation costs beside its arithmetic: chains on small tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import Result, interleaved, libraries

_PAIRS = 50


def _chain(m: Any, size: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    rng = np.random.default_rng(0)
    a, b, g = (m.tensor(rng.random((size, size), dtype=np.float32)) for _ in range(3))
    a.requires_grad_()
    b.requires_grad_()

    def forward() -> Any:
        x = a
        for _ in range(_PAIRS):
            x = x * b + a
        return x

    def both() -> Any:
        a.grad = b.grad = None
        forward().backward(g)
        return a.grad

    return forward, both


def run(quick: bool) -> list[Result]:
    """Time per operation of a chain of mul and add on 32x32 float32, recorded for backward."""
    chains = {name: _chain(m, 32) for name, m in libraries().items()}
    values = {name: both().numpy() for name, (_, both) in chains.items()}
    np.testing.assert_allclose(values["tapegrad"], values["torch"], rtol=1e-4)
    results = []
    for i, (case, goal) in enumerate([("forward", "<= 0.75"), ("forward + backward", "<= 0.70")]):
        medians, spread = interleaved({name: fs[i] for name, fs in chains.items()}, quick=quick, per=2 * _PAIRS)
        results.append(Result("small ops", f"32x32 mul/add chain, {case}", "us/op", medians, goal, spread=spread))
    return results
