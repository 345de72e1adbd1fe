"""Optimizer steps, against the fastest of PyTorch's settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import Case, Result, Run, libraries, measure

_SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 1e-6}),
    "SGD momentum": ("SGD", {"lr": 1e-6, "momentum": 0.9}),
    "Adam": ("Adam", {"lr": 1e-6}),
    "AdamW": ("AdamW", {"lr": 1e-6, "weight_decay": 1e-2}),
}
_RIVALS: dict[str, dict[str, Any]] = {"torch foreach": {"foreach": True}, "torch fused": {"fused": True}}


def _shapes(total: int, pieces: int) -> list[tuple[int, ...]]:
    return [(total // pieces,)] * pieces


def _step(m: Any, kind: str, options: dict[str, Any], shapes: list[tuple[int, ...]]) -> Run:
    rng = np.random.default_rng(0)
    parameters = []
    for shape in shapes:
        p = m.nn.Parameter(m.tensor(rng.standard_normal(shape, dtype=np.float32)))
        p.grad = m.tensor(rng.standard_normal(shape, dtype=np.float32))
        parameters.append(p)
    optimizer = getattr(m.optim, kind)(parameters, **options)

    def run() -> Any:
        optimizer.step()
        return parameters

    return run


def _case(name: str, total: int, pieces: int) -> Case:
    kind, options = _SETTINGS[name]

    def runs() -> dict[str, Run]:
        ms = libraries()
        make: Callable[..., Run] = functools.partial(_step, kind=kind, shapes=_shapes(total, pieces))
        rivals = {label: make(ms["torch"], options=options | extra) for label, extra in _RIVALS.items()}
        return {"tapegrad": make(ms["tapegrad"], options=options), **rivals}

    return Case(f"{name} 1e{len(str(total)) - 1} parameters in {pieces}", runs)


def run(quick: bool) -> list[Result]:
    """float32 parameters in one tensor, and in fifty as of a deep network."""
    exponents = (4,) if quick else (4, 5, 6, 7)
    cases = [_case(name, 10**e, pieces) for name in _SETTINGS for e in exponents for pieces in (1, 50)]
    return measure("optimizers", cases, quick)
