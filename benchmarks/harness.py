"""Interleaved timing of the same case in several libraries, in one process and with equal thread counts."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

THREADS = int(os.environ.setdefault("NUMBA_NUM_THREADS", "2"))


@dataclass
class Result:
    """One measured case: medians per library in ``unit``, the ratio ours / peer's, and the figure it should reach."""

    family: str
    case: str
    unit: str
    medians: dict[str, float]
    goal: str = ""
    ratio: float | None = None
    spread: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ratio is None and "tapegrad" in self.medians and "torch" in self.medians:
            self.ratio = self.medians["tapegrad"] / self.medians["torch"]


def libraries() -> dict[str, Any]:
    """The namespaces that torch-like cases are written against: tapegrad, and PyTorch with the same number of threads."""
    import torch

    import tapegrad

    torch.set_num_threads(THREADS)
    tapegrad.set_num_threads(THREADS)
    return {"tapegrad": tapegrad, "torch": torch}


def interleaved(runs: dict[str, Callable[[], Any]], *, quick: bool, per: int = 1, seconds: float = 0.02) -> tuple[dict[str, float], dict[str, float]]:
    """Median and interquartile range in microseconds per ``per``-th of a run, the libraries taking turns."""
    repeats = 5 if quick else 31
    counts = {}
    for name, run in runs.items():
        run()
        run()
        start = time.perf_counter()
        run()
        counts[name] = max(1, int((seconds / 4 if quick else seconds) / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            for name, run in runs.items():
                start = time.perf_counter()
                for _ in range(counts[name]):
                    run()
                times[name].append((time.perf_counter() - start) / counts[name] / per * 1e6)
    finally:
        gc.enable()
    medians = {name: statistics.median(t) for name, t in times.items()}
    spread = {name: statistics.quantiles(t, n=4)[2] - statistics.quantiles(t, n=4)[0] for name, t in times.items()}
    return medians, spread


def table(results: list[Result]) -> str:
    """The results as text."""
    head = ["family", "case", "tapegrad", "torch", "ours / torch", "goal"]
    rows = [head]
    for r in results:
        cells = [f"{r.medians[n]:.3g} {r.unit}" if n in r.medians else "" for n in ("tapegrad", "torch")]
        rows.append([r.family, r.case, *cells, "" if r.ratio is None else f"{r.ratio:.2f}", r.goal])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def machine() -> dict[str, Any]:
    """What the results were measured on."""
    import llvmlite.binding as llvm
    import numba
    import numpy

    versions = {"python": platform.python_version(), "numpy": numpy.__version__, "numba": numba.__version__}
    if "torch" in sys.modules:
        versions["torch"] = sys.modules["torch"].__version__
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": llvm.get_host_cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": THREADS,
        "system": platform.system(),
        "versions": versions,
    }


def write_json(path: Path, results: list[Result]) -> None:
    """Write the machine's description and all results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "results": [asdict(r) for r in results]}, indent=1) + "\n")
