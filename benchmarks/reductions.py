"""Reductions over everything, and over each axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import Case, Result, measure, of_function

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "sum": lambda m, x, dim: m.sum(x, dim=dim),
    "mean": lambda m, x, dim: m.mean(x, dim=dim),
    "max": lambda m, x, dim: m.amax(x, dim=dim),
    "argmax": lambda m, x, dim: m.argmax(x, dim=dim),
    "var": lambda m, x, dim: m.var(x, dim=dim),
    "logsumexp": lambda m, x, dim: m.logsumexp(x, dim=dim),
}


def _cases(quick: bool) -> list[Case]:
    cases = []
    shapes: tuple[tuple[int, ...], ...] = ((1000,), (64, 64), (1000, 1000), (64, 128, 256), (10_000_000,))
    for shape in shapes[:2] if quick else shapes:
        for axis in (None, *range(len(shape))):
            if axis is not None and len(shape) == 1:
                continue
            for name, function in _OPERATIONS.items():
                dim = tuple(range(len(shape))) if axis is None and name in ("max", "logsumexp") else axis
                if dim == () or (name == "argmax" and axis is None and len(shape) > 2):
                    continue

                def reduce(m: Any, x: Any, function: Callable[..., Any] = function, dim: Any = dim) -> Any:
                    return function(m, x, dim)

                where = "all" if axis is None else f"axis {axis}"
                options: dict[str, Any] = {"jax": True, "tolerance": 1e-3}

                def inputs(rng: np.random.Generator, shape: tuple[int, ...] = shape) -> list[np.ndarray[Any, Any]]:
                    return [rng.standard_normal(shape, dtype=np.float32)]

                label = f"{name} {'x'.join(map(str, shape))}, {where}"
                cases.append(of_function(label, reduce, inputs, **options))
                if name != "argmax" and shape in ((64, 64), (1000, 1000)):
                    cases.append(of_function(label, reduce, inputs, backward=True, **options))
    return cases


def run(quick: bool) -> list[Result]:
    """float32; forward, and for two shapes forward with backward."""
    return measure("reductions", _cases(quick), quick)
