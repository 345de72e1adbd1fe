"""Interleaved timing of the same work in several libraries, in one process and with equal thread counts.

A :class:`Case` is written once, against a namespace that reads like PyTorch's; :func:`measure` runs it under every library,
compares the values, then lets the libraries take turns.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_REST = 0.02  # seconds; threads of OpenMP spin up to about 16 ms
THREADS = int(os.environ.setdefault("NUMBA_NUM_THREADS", "2"))

Run = Callable[[], Any]


@dataclass
class Result:
    """One measured case.

    Attributes:
        medians: by library, in ``unit``.
        ratio: PyTorch's time / ours, so that above 1 we are faster; or ours against ``goal`` where there is no peer.
        spread: interquartile ranges.
        note: anything else worth knowing, as a rate.
    """

    family: str
    case: str
    unit: str
    medians: dict[str, float]
    goal: str = ""
    ratio: float | None = None
    spread: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.ratio is None and "tapegrad" in self.medians and "torch" in self.medians and self.medians["tapegrad"] > 0:
            self.ratio = self.medians["torch"] / self.medians["tapegrad"]


@dataclass(frozen=True)
class Case:
    """A piece of work.

    Attributes:
        runs: makes, by library, what to time; a run returns tensors, whose values must agree between libraries. Of several
            settings of PyTorch (``torch ...``) the fastest counts.
        tolerance: how far values may differ, relative to the largest.
        flops: floating-point operations of a run, for a rate.
    """

    name: str
    runs: Callable[[], dict[str, Run]]
    tolerance: float = 1e-4
    flops: float = 0.0


@functools.cache
def libraries() -> dict[str, Any]:
    """The namespaces that torch-like cases are written against: tapegrad, and PyTorch with the same number of threads."""
    if hasattr(os, "sched_setaffinity") and len(cores := sorted(os.sched_getaffinity(0))) > THREADS:
        os.sched_setaffinity(0, cores[:THREADS])  # the only way to tell JAX
    import torch

    import tapegrad

    gc.freeze()  # or each collection after a case would look through all of PyTorch
    torch.set_num_threads(THREADS)
    tapegrad.set_num_threads(THREADS)
    return {"tapegrad": tapegrad, "torch": torch}


settings: dict[str, Any] = {"jax": True, "seconds": 0.0}  # whether JAX takes part; how long the GPU's may take, 0: as it thinks best


def has_jax() -> bool:
    """Whether JAX is installed and wanted."""
    return settings["jax"] and importlib.util.find_spec("jax") is not None


def of_function(
    name: str,
    function: Callable[..., Any],
    inputs: Callable[[np.random.Generator], Sequence[np.ndarray[Any, Any]]],
    *,
    backward: bool = False,
    jax: bool = False,
    tolerance: float = 1e-4,
    flops: float = 0.0,
) -> Case:
    """The case of ``function(m, *tensors)``; with ``backward``, also the gradients of all floating-point inputs.

    Args:
        name: of the case.
        function: of a namespace and tensors made of ``inputs``.
        inputs: draws the arrays.
        backward: time forward and backward together, with a random cotangent.
        jax: the function is also natural in JAX: every name it uses is in ``jax_namespace``.
        tolerance: see :class:`Case`.
        flops: see :class:`Case`.
    """

    def runs() -> dict[str, Run]:
        arrays = list(inputs(np.random.default_rng(0)))
        made: dict[str, Run] = {}
        for library, m in libraries().items():
            made[library] = _run(m, function, [m.tensor(a) for a in arrays], backward)
        if jax and has_jax():
            from . import jax_namespace

            made["jax"] = jax_namespace.compiled(function, arrays, backward)
        return made

    return Case(f"{name}, {'forward + backward' if backward else 'forward'}", runs, tolerance, flops * (3 if backward else 1))


def both(*args: Any, **options: Any) -> list[Case]:
    """:func:`of_function` forward, and forward with backward."""
    return [of_function(*args, **options), of_function(*args, backward=True, **options)]


def cotangent(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """The random gradient that backward starts from, equal in every library."""
    return np.random.default_rng(1).uniform(0.5, 1.5, tuple(shape)).astype(dtype)


def _run(m: Any, function: Callable[..., Any], xs: list[Any], backward: bool) -> Run:
    if not backward:
        return lambda: function(m, *xs)
    y = function(m, *xs).detach()
    return with_gradients(m, function, xs, m.tensor(cotangent(y.shape, y.numpy().dtype)))


def with_gradients(m: Any, function: Callable[..., Any], xs: list[Any], g: Any) -> Run:
    """Forward and backward from the cotangent ``g``: returns the result and the gradients of all floating-point inputs."""
    leaves = [x.requires_grad_() for x in xs if x.is_floating_point()]

    def run() -> Any:
        for x in leaves:
            x.grad = None
        y = function(m, *xs)
        y.backward(g)
        return (y, *[x.grad for x in leaves])

    return run


def measure(family: str, cases: Iterable[Case], quick: bool) -> list[Result]:
    """Compare the values of every case, then time it; what is done shows on stderr."""
    results = []
    for case in cases:
        runs = case.runs()
        _agree(case, {name: run() for name, run in runs.items()})
        medians, spread = interleaved(runs, quick=quick)
        rivals = {n: t for n, t in medians.items() if n.startswith("torch")}
        medians["torch"] = min(rivals.values())
        note = ""
        if len(rivals) > 1:
            note = min(rivals, key=rivals.__getitem__)
        elif case.flops:
            note = f"{case.flops / medians['tapegrad'] / 1e3:.0f} GF/s"
        results.append(Result(family, case.name, "us", medians, spread=spread, note=note))
        print(f"  {family}: {case.name}: {results[-1].ratio:.2f}", file=sys.stderr, flush=True)
        del runs
        gc.collect()
    return results


def _agree(case: Case, values: dict[str, Any]) -> None:
    ours = _arrays(values["tapegrad"])
    for name, value in values.items():
        for a, b in zip(ours, _arrays(value), strict=True):
            scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0)) if b.size else 0.0
            np.testing.assert_allclose(a, b, case.tolerance, case.tolerance * scale, err_msg=f"{case.name}: tapegrad and {name} differ")


def _arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(value, (tuple, list)):
        return [a for v in value for a in _arrays(v)]
    return [np.asarray(value.detach()) if hasattr(value, "detach") else np.asarray(value)]


def interleaved(runs: dict[str, Run], *, quick: bool, per: int = 1, seconds: float = 0.02) -> tuple[dict[str, float], dict[str, float]]:
    """Median and interquartile range in microseconds per ``per``-th of a run, the libraries taking turns.

    A turn lasts ``seconds``, or one run where that is longer. Before it the machine rests, since threads of the library before go on
    waiting in a loop for a while.
    """
    repeats, rest = (2, 0.0) if quick else (11, _REST)
    counts = {}
    for name, run in runs.items():
        run()
        run()
        start = time.perf_counter()
        run()
        counts[name] = max(1, int((seconds / 8 if quick else seconds) / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            for name, run in runs.items():
                time.sleep(rest)
                run()
                start = time.perf_counter()
                for _ in range(counts[name]):
                    run()
                times[name].append((time.perf_counter() - start) / counts[name] / per * 1e6)
    finally:
        gc.enable()
    medians = {name: statistics.median(t) for name, t in times.items()}
    spread = {name: statistics.quantiles(t, n=4)[2] - statistics.quantiles(t, n=4)[0] for name, t in times.items()}
    return medians, spread
