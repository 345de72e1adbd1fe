"""What an operation costs beside its arithmetic: chains on few elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import Case, Result, both, measure

_LENGTH = 20


def _chain(link: Callable[..., Any]) -> Callable[..., Any]:
    def function(m: Any, x: Any, *others: Any) -> Any:
        y = x
        for _ in range(_LENGTH):
            y = link(m, y, *others)
        return y

    return function


_CHAINS: dict[str, tuple[int, Callable[..., Any]]] = {
    "y * a + b": (3, lambda m, y, a, b: y * a + b),
    "y * 0.9 + 0.1": (1, lambda m, y: y * 0.9 + 0.1),
    "sigmoid(tanh(y))": (1, lambda m, y: m.sigmoid(m.tanh(y))),
    "(y - y.mean()) * a": (2, lambda m, y, a: (y - y.mean()) * a),
    "y.view(-1, 1).squeeze(1)": (1, lambda m, y: y.view(-1, 1).squeeze(1)),
    "relu(y).sum() + y": (1, lambda m, y: m.relu(y).sum() + y),
}


def _cases(quick: bool) -> list[Case]:
    cases = []
    for n in (10,) if quick else (1, 10, 100, 1000):
        for name, (count, link) in _CHAINS.items():

            def inputs(rng: np.random.Generator, n: int = n, count: int = count) -> list[np.ndarray[Any, Any]]:
                return [rng.uniform(0.2, 0.9, n).astype(np.float32) for _ in range(count)]

            cases += both(f"{_LENGTH} times {name}, n = {n}", _chain(link), inputs, tolerance=1e-3)
    return cases


def run(quick: bool) -> list[Result]:
    """float32; forward without recording, and forward with backward."""
    return measure("small_ops", _cases(quick), quick)
