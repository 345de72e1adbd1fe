"""Results as text, as JSON and as a chart."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from .harness import THREADS, Result

_LIBRARIES = ("tapegrad", "torch", "jax")


class Goal(NamedTuple):
    """What a family should reach, as PyTorch's time / ours."""

    mean: float
    least: float


class Summary(NamedTuple):
    """A family's cases in a line: their geometric mean and the slowest of them, as PyTorch's time / ours."""

    family: str
    cases: int
    mean: float
    least: float
    slowest: str
    below: int  # cases below the goal for each
    goal: Goal | None


def summaries(results: Sequence[Result], goals: dict[str, Goal]) -> list[Summary]:
    """One line for each family that has a peer."""
    out = []
    for family in dict.fromkeys(r.family for r in results):
        compared = [r for r in results if r.family == family and r.ratio is not None]
        if not compared:
            continue
        ratios = [r.ratio for r in compared if r.ratio is not None]
        slowest = min(compared, key=lambda r: r.ratio or 0.0)
        goal = goals.get(family)
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        below = sum(ratio < goal.least for ratio in ratios) if goal else 0
        out.append(Summary(family, len(ratios), mean, min(ratios), slowest.case, below, goal))
    return out


def table(results: Sequence[Result]) -> str:
    """Every case, a line each."""
    head = ["family", "case", *_LIBRARIES, "torch / ours", "goal", ""]
    rows = [head]
    for r in results:
        cells = [f"{r.medians[n]:.4g} {r.unit}" if n in r.medians else "" for n in _LIBRARIES]
        rows.append([r.family, r.case, *cells, "" if r.ratio is None else f"{r.ratio:.2f}", r.goal, r.note])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def summary_table(lines: Sequence[Summary]) -> str:
    """The families, in Markdown."""
    out = ["| family | cases | geometric mean | goal | slowest case | | goal | cases below |", "|---|---|---|---|---|---|---|---|"]
    for s in lines:
        mean, least = (f"{s.goal.mean}", f"{s.goal.least}") if s.goal else ("", "")
        out.append(f"| {s.family} | {s.cases} | {s.mean:.2f} | {mean} | {s.slowest} | {s.least:.2f} | {least} | {s.below if s.goal else ''} |")
    return "\n".join(out)


def machine() -> dict[str, Any]:
    """What the results were measured on."""
    import llvmlite.binding as llvm
    import numba
    import numpy

    versions = {"python": platform.python_version(), "numpy": numpy.__version__, "numba": numba.__version__}
    versions |= {name: sys.modules[name].__version__ for name in ("torch", "jax") if name in sys.modules}
    features = llvm.get_host_cpu_features()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": llvm.get_host_cpu_name(),
        "model": _model(),
        "vectors": [name for name in ("avx2", "avx512f", "amx-tile", "neon", "sve") if features.get(name)],
        "cores": os.cpu_count(),
        "threads": THREADS,
        "system": platform.system(),
        "versions": versions,
        **_gpu(),
    }


_GPU_PACKAGES = (
    "numba-cuda", "llvmlite", "cuda-core", "cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cublas",
)  # fmt: skip


def _gpu() -> dict[str, Any]:
    """The GPU, where one was used, its driver, and what compiles for it."""
    tapegrad = sys.modules.get("tapegrad")
    if tapegrad is None or not tapegrad.cuda.is_initialized():
        return {}
    found = tapegrad.cuda.get_device_properties(0)
    return {
        "gpu": found.name,
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "memory": found.total_memory,
        "driver": _driver(),
        "packages": {name: version(name) for name in _GPU_PACKAGES if _installed(name)},
        "libraries": _libraries(),
    }


def _driver() -> str:
    """The version of NVIDIA's driver, and of CUDA that it is for."""
    number = ctypes.c_int()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    cuda = f"CUDA {number.value // 1000}.{number.value % 1000 // 10}"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return f"{subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0].strip()}, {cuda}"
    return cuda


def _libraries() -> dict[str, str]:
    """Where NVIDIA's compiler, linker and BLAS are."""
    from cuda import pathfinder

    found = {}
    for name in ("nvvm", "nvJitLink", "cublas"):
        try:
            found[name] = str(pathfinder.load_nvidia_dynamic_lib(name).abs_path)
        except RuntimeError as error:
            found[name] = f"not found ({type(error).__name__})"
    return found


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def write_json(path: Path, results: Sequence[Result], lines: Sequence[Summary]) -> None:
    """Write the machine's description, the families and all results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    families = [s._asdict() | {"goal": s.goal and s.goal._asdict()} for s in lines]
    path.write_text(json.dumps({"machine": machine(), "families": families, "results": [asdict(r) for r in results]}, indent=1) + "\n")


def plot(path: Path, results: Sequence[Result], lines: Sequence[Summary]) -> None:
    """A bar for each family's geometric mean, a dot for each case, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = list(reversed(lines))
    figure, axes = pyplot.subplots(figsize=(8, 0.6 * len(lines) + 1.4), layout="constrained")
    axes.barh([s.family for s in lines], [s.mean for s in lines], color="#8fb4d9", height=0.6, label="geometric mean")
    for y, s in enumerate(lines):
        ratios = [r.ratio for r in results if r.family == s.family and r.ratio is not None]
        axes.plot(ratios, [y] * len(ratios), "|", color="#1f3a57", markersize=9, alpha=0.6, label="a case" if y == 0 else None)
        axes.annotate(f"{s.mean:.2f}", (s.mean, y), xytext=(4, 9), textcoords="offset points", fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set_xlabel(f"PyTorch's time / tapegrad's ({THREADS} threads; right of 1: tapegrad is faster)")
    axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
