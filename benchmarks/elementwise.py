"""Elementwise operations, from a thousand elements to ten million; broadcast and transposed operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .harness import Case, Result, both, measure

_OPERATIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "add": (2, lambda m, x, y: x + y),
    "mul": (2, lambda m, x, y: x * y),
    "exp": (1, lambda m, x: m.exp(x)),
    "log": (1, lambda m, x: m.log(x)),
    "tanh": (1, lambda m, x: m.tanh(x)),
    "sigmoid": (1, lambda m, x: m.sigmoid(x)),
    "gelu": (1, lambda m, x: m.nn.functional.gelu(x)),
    "silu": (1, lambda m, x: m.nn.functional.silu(x)),
    "where": (3, lambda m, x, y, chosen: m.where(chosen, x, y)),
    "pow": (2, lambda m, x, y: m.pow(x, y)),
}


def _positive(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Sequence[np.ndarray[Any, Any]]]:
    return lambda rng: [rng.uniform(0.1, 3.0, shape).astype(np.float32) for shape in shapes]


def _operands(count: int, n: int) -> Callable[[np.random.Generator], Sequence[np.ndarray[Any, Any]]]:
    def inputs(rng: np.random.Generator) -> Sequence[np.ndarray[Any, Any]]:
        arrays = list(_positive(*[(n,)] * min(count, 2))(rng))
        return arrays + [rng.random(n) < 0.5] if count == 3 else arrays

    return inputs


def _cases(quick: bool) -> list[Case]:
    cases = []
    for exponent in (3,) if quick else (3, 4, 5, 6, 7):
        for name, (count, function) in _OPERATIONS.items():
            cases += both(f"{name} 1e{exponent}", function, _operands(count, 10**exponent), jax=True)
    for n in (32,) if quick else (32, 1000):
        cases += both(f"matrix {n}x{n} + row", _OPERATIONS["add"][1], _positive((n, n), (n,)), jax=True)
        cases += both(f"matrix {n}x{n} * column", _OPERATIONS["mul"][1], _positive((n, n), (n, 1)), jax=True)
        cases += both(f"column + row, {n}x{n}", _OPERATIONS["add"][1], _positive((n, 1), (1, n)), jax=True)
        cases += both(f"transposed {n}x{n} + matrix", lambda m, x, y: x.T + y, _positive((n, n), (n, n)), jax=True)
        cases += both(f"exp of transposed {n}x{n}", lambda m, x: m.exp(x.T), _positive((n, n)), jax=True)
    return cases


def run(quick: bool) -> list[Result]:
    """float32 throughout; forward, and forward with backward of all operands."""
    return measure("elementwise", _cases(quick), quick)
