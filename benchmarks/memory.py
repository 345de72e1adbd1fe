"""Memory with the garbage collector off: a forward-only loop, 2,000 training steps, and a graph of a million operations."""

from __future__ import annotations

import subprocess
import sys

from .harness import Result

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


def _run(code: str, n: int) -> float:
    return float(subprocess.run([sys.executable, "-c", code.format(n=n)], stdout=subprocess.PIPE, text=True, check=True).stdout)


def run(quick: bool) -> list[Result]:
    """Growth in megabytes, and seconds for the long graph; each in a process of its own."""
    n = 10 if quick else 1
    return [
        Result("memory", f"forward only, grad mode on, {200_000 // n} ops: growth", "MB", {"tapegrad": _run(_FORWARD_ONLY, 40_000 // n)}, "bounded"),
        Result("memory", f"{2000 // n} training steps: growth", "MB", {"tapegrad": _run(_TRAINING, 2000 // n)}, "< 1 MB"),
        Result("memory", f"{1_000_000 // n} ops forward, backward, release; recursion limit 100", "s", {"tapegrad": _run(_LONG, 1_000_000 // n)}),
    ]
