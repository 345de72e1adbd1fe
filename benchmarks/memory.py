"""Memory: the peak of training steps; and, with the garbage collector off, what loops and a graph of a million operations leave."""

from __future__ import annotations

import subprocess
import sys

from .harness import THREADS, Result
from .models import STEPS

_HEAD = """
import gc; gc.disable()
import os, sys
import tapegrad as tg
def megabytes():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
"""
_FORWARD_ONLY = _HEAD + """
w = tg.rand(32, 32, requires_grad=True)
def loop(n):
    for _ in range(n):
        y = ((w * 2 + 1).tanh() @ w).sum()
loop({n} // 10)
before = megabytes(); loop({n}); print(megabytes() - before)
"""
_TRAINING = _HEAD + """
F = tg.nn.functional
ps = [tg.randn(128, 64, requires_grad=True), tg.zeros(128, requires_grad=True), tg.randn(10, 128, requires_grad=True)]
x, y = tg.randn(32, 64), tg.randint(0, 10, (32,))
def loop(n):
    for _ in range(n):
        loss = F.cross_entropy(F.linear(F.relu(F.linear(x, ps[0], ps[1])), ps[2]), y) + 1e-4 * (ps[0] * ps[0]).sum()
        for p in ps: p.grad = None
        loss.backward()
        with tg.no_grad():
            for p in ps: p.add_(p.grad, alpha=-0.01)
loop(500)
before = megabytes(); loop({n}); print(megabytes() - before)
"""
_PEAK = """
import importlib, sys
m = importlib.import_module("{library}")
m.set_num_threads({threads})
from benchmarks.models import training_step
def kilobytes(field):
    with open("/proc/self/status") as f:
        return int(next(line.split()[1] for line in f if line.startswith(field)))
m.ones(1000, requires_grad=True).exp().sum().backward()  # what the library sets up but once
before = kilobytes("VmRSS")
step = training_step(m, {title!r})
for _ in range(10): step()
print((kilobytes("VmHWM") - before) / 1e3)
"""
_LONG = _HEAD + """
import time
x = tg.ones(4, requires_grad=True)
(x * 1.0).sum().backward()  # compiling a kernel takes more than a hundred frames
x.grad = None
start = time.perf_counter()
y = x
for _ in range({n}): y = y * 1.0
y = y.sum()
sys.setrecursionlimit(100)
y.backward()
sys.setrecursionlimit(1000)
assert x.grad.tolist() == [1.0] * 4
del y
print(time.perf_counter() - start)
"""


def _printed(code: str) -> float:
    return float(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout)


def _run(code: str, n: int) -> float:
    return _printed(code.format(n=n))


def _peaks(quick: bool) -> list[Result]:
    """How far ten steps raise the resident memory above that of the imported library: parameters, optimizer state, tape, kernels."""
    results = []
    for title in list(STEPS)[: 1 if quick else None]:
        medians = {}
        for library in ("tapegrad", "torch"):
            code = _PEAK.format(library=library, threads=THREADS, title=title)
            _printed(code)  # compiles kernels, which takes memory of its own
            medians[library] = _printed(code)
        results.append(Result("memory", f"peak of {title}", "MB", medians, ">= 1"))
    return results


def run(quick: bool) -> list[Result]:
    """Peaks and growth in megabytes, and seconds for the long graph; each in a process of its own."""
    n = 10 if quick else 1
    return [
        *_peaks(quick),
        Result("memory", f"forward only, grad mode on, {200_000 // n} ops: growth", "MB", {"tapegrad": _run(_FORWARD_ONLY, 40_000 // n)}, "bounded"),
        Result("memory", f"{2000 // n} training steps: growth", "MB", {"tapegrad": _run(_TRAINING, 2000 // n)}, "< 1 MB"),
        Result("memory", f"{1_000_000 // n} ops forward, backward, release; recursion limit 100", "s", {"tapegrad": _run(_LONG, 1_000_000 // n)}),
    ]
