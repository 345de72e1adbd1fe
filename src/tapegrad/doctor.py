"""``tapegrad doctor``: what a bug report needs to say about the machine and the installation. It never fails."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import textwrap
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LABEL = 16
_WIDTH = 100


def report() -> str:
    """The report, one "label: value" per line, long values wrapped."""
    lines = []
    for label, find in _ITEMS.items():
        try:
            value = find()
        except Exception as error:  # a broken installation is what the report is for
            value = f"not found out ({type(error).__name__}: {error})"
        wrapped = textwrap.wrap(value, _WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False) or ["none"]
        lines.append(f"{label + ':':<{_LABEL}}" + ("\n" + " " * _LABEL).join(wrapped))
    return "\n".join(lines)


def _package(name: str) -> Callable[[], str]:
    def find() -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    return find


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})"


def _processor() -> str:
    import llvmlite.binding as llvm

    model = ""
    if os.path.exists("/proc/cpuinfo"):
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else ""
    return f"{model or platform.processor() or platform.machine()} (LLVM: {llvm.get_host_cpu_name()})"


def _features() -> str:
    import llvmlite.binding as llvm

    return " ".join(sorted(name for name, present in llvm.get_host_cpu_features().items() if present))


def _threads() -> str:
    from .kernels.cpu import runtime

    layer = runtime.start_threads()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    used = runtime.get_num_threads()
    return f"{used} used, {usable} usable by this process, {os.cpu_count()} in the machine; layer {layer}"


def _settings() -> str:
    prefixes = ("TAPEGRAD_", "NUMBA_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_VISIBLE_DEVICES")
    return ", ".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(prefixes))


def _blas() -> str:
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _cache() -> str:
    from .kernels.cpu import cache

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        usable = cache._usable_directory() is not None
    count, size = cache.size()
    state = "usable" if usable else "NOT usable: " + "; ".join(str(w.message) for w in told)
    return f"{cache.directory()} ({count} kernels, {size / 2**20:.1f} MiB), {state}"


def _gpu() -> str:
    """What is there; nothing of numba.cuda is imported, since that alone may start a driver."""
    module = Path("/proc/driver/nvidia/version")
    driver = module.read_text().splitlines()[0].strip() if module.exists() else "no NVIDIA kernel driver"
    try:
        library = ctypes.CDLL("libcuda.so.1")
        number = ctypes.c_int()
        library.cuDriverGetVersion(ctypes.byref(number))
        cuda = f"libcuda for CUDA {number.value // 1000}.{number.value % 1000 // 10}"
    except OSError:
        cuda = "no libcuda"
    compiler = f"numba-cuda {version('numba-cuda')}" if importlib.util.find_spec("numba_cuda") else "no numba-cuda"
    return f"not used: this version has no CUDA backend yet. Found here: {driver}; {cuda}; {compiler}"


_ITEMS: dict[str, Callable[[], str]] = {
    "tapegrad": lambda: f"{_package('tapegrad')()} in {Path(__file__).parent}",
    "Python": _python,
    "NumPy": _package("numpy"),
    "NumPy's BLAS": _blas,
    "Numba": _package("numba"),
    "llvmlite": _package("llvmlite"),
    "ml_dtypes": _package("ml_dtypes"),
    "system": platform.platform,
    "processor": _processor,
    "features": _features,
    "threads": _threads,
    "environment": _settings,
    "kernel cache": _cache,
    "GPU": _gpu,
}
