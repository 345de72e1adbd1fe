"""``tapegrad doctor``: what a bug report needs to say about the machine and the installation. It never fails."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import subprocess
import sys
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
    from .kernels.native import runtime

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
    from .kernels import store

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        usable = store.usable_directory.__wrapped__() is not None  # anew, to be told why it is not
    count, size = store.size()
    state = "usable" if usable else "NOT usable: " + "; ".join(str(w.message) for w in told)
    return f"{store.directory()} ({count} kernels, {size / 2**20:.1f} MiB), {state}"


# What the driver and NVIDIA's libraries say, found out in a process of its own: a broken driver may end it, or never answer.
_ASK_DRIVER = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
number = ctypes.c_int()
cuda.cuDriverGetVersion(ctypes.byref(number))
print(f"driver for CUDA {number.value // 1000}.{number.value % 1000 // 10}")
result = cuda.cuInit(0)
if result:
    raise SystemExit(print(f"which does not start (error {result})"))
cuda.cuDeviceGetCount(ctypes.byref(number))
print(f"{number.value} GPUs" if number.value != 1 else "1 GPU")
for k in range(number.value):
    name, size, parts = ctypes.create_string_buffer(256), ctypes.c_size_t(), [ctypes.c_int(), ctypes.c_int()]
    cuda.cuDeviceGetName(name, 256, k)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), k)
    for part, attribute in zip(parts, (75, 76)):
        cuda.cuDeviceGetAttribute(ctypes.byref(part), attribute, k)
    print(f"cuda:{k} {name.value.decode()}, {size.value / 2**30:.0f} GiB, compute capability {parts[0].value}.{parts[1].value}")
"""
_ASK_TAPEGRAD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from tapegrad.kernels.cuda.drivers import CHOICE, driver
if CHOICE != "nvidia":
    raise SystemExit(print(f"not used: TAPEGRAD_CUDA_DRIVER={{CHOICE}} stands in for it"))
print("used by device='cuda'" if driver().count() else "not used: " + driver().missing())
"""
_ASK_LIBRARIES = """
from cuda import pathfinder
for name in ("nvvm", "nvJitLink"):
    try:
        print(f"{name} in {pathfinder.load_nvidia_dynamic_lib(name).abs_path}")
    except Exception as error:
        print(f"{name} not found ({type(error).__name__})")
"""
_GPU_PACKAGES = ("numba-cuda", "cuda-bindings", "cuda-core")


def _answer(question: str) -> str:
    """What a Python of its own prints, joined by semicolons; why it did not, where that is so."""
    try:
        done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "no answer in 60 seconds"
    lines = done.stdout.split("\n")
    if done.returncode:
        lines.append((done.stderr.strip().split("\n") or [""])[-1] or f"exit status {done.returncode}")
    return "; ".join(line for line in lines if line)


def _gpu() -> str:
    usable = _answer(_ASK_TAPEGRAD)
    if not _has_driver():
        return usable
    return f"{usable}. Found here: {_answer(_ASK_DRIVER)}"


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _gpu_packages() -> str:
    found = ", ".join(f"{name} {_package(name)()}" for name in _GPU_PACKAGES)
    return f"{found}; {_answer(_ASK_LIBRARIES)}" if importlib.util.find_spec("cuda") is not None else found


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
    "GPU's packages": _gpu_packages,
}
