"""What a process waits for: the import, and the first training step, on a warm kernel cache and on an empty one."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from .harness import Result

_IMPORT = "import time; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"
_FIRST_STEP = """
import time; start = time.perf_counter()
import {0} as m
F = m.nn.functional
w1, w2 = m.randn(128, 64, requires_grad=True), m.randn(10, 128, requires_grad=True)
loss = F.cross_entropy(F.linear(F.relu(F.linear(m.randn(32, 64), w1)), w2), m.randint(0, 10, (32,)))
loss.backward()
with m.no_grad():
    for p in (w1, w2): p.add_(p.grad, alpha=-0.01)
print(time.perf_counter() - start)
"""
_DEMO_STEP = """
import time; start = time.perf_counter()
import tapegrad as tg
from tapegrad.demo.models import ConvolutionalNet
model = ConvolutionalNet()
optimizer = model.optimizer()
loss = model.objective(tg.rand(64, 64), tg.randint(0, 10, (64,)))
loss.backward()
optimizer.step()
print(time.perf_counter() - start)
"""


def _seconds(code: str, **variables: str) -> float:
    # Python keeps compiled modules by default, as installed packages have them
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | variables
    return float(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=env).stdout)


def run(quick: bool) -> list[Result]:
    """Seconds in fresh processes, the libraries taking turns."""
    results = []
    for case, code, goal in (
        ("import", _IMPORT, "<= 0.3 s"),
        ("process start to end of first training step, warm kernel cache", _FIRST_STEP, "<= 1 s"),
    ):
        times: dict[str, list[float]] = {"tapegrad": [], "torch": []}
        for name in times:
            _seconds(code.format(name))  # caches of all kinds
        for _ in range(1 if quick else 15):
            for name, taken in times.items():
                taken.append(_seconds(code.format(name)))
        results.append(Result("startup", case, "s", {n: statistics.median(t) for n, t in times.items()}, goal))
    with tempfile.TemporaryDirectory() as empty:
        for case, goal in (("empty", "<= 10 s"), ("warm", "<= 1 s")):
            taken_by_demo = _seconds(_DEMO_STEP, TAPEGRAD_CACHE_DIR=empty)
            results.append(Result("startup", f"first training step of the demo's network, {case} kernel cache", "s", {"tapegrad": taken_by_demo}, goal))
    return results
