"""The thread pool: shared with Numba, whoever starts it first, and started without importing Numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tapegrad.kernels.native import cache

OURS = """
import tapegrad as tg
from tapegrad.kernels.native import runtime
layer = runtime.start_threads()
assert runtime.block[runtime.PARALLEL_FOR] or layer == "serial"
x = tg.arange(1_000_000, dtype=tg.float64)
assert float((x + x)[-1]) == 1_999_998.0
"""
NUMBAS = """
import numba, numpy as np
@numba.njit(parallel=True)
def add(x, y):
    out = np.empty_like(x)
    for i in numba.prange(x.size):
        out[i] = x[i] + y[i]
    return out
assert add(np.arange(100_000), np.ones(100_000, np.int64))[-1] == 100_000
"""
PRINT = "import sys; print(layer, 'numba' in sys.modules)\n"


def run(code: str, **more: str) -> list[str]:
    return finished(code, **more).stdout.split()


def finished(code: str, **more: str) -> Any:
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_THREADING_LAYER"}
    env |= {"PYTHONPATH": str(Path(cache.__file__).parents[3]), "NUMBA_NUM_THREADS": "2", **more}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_threads_start_without_numba() -> None:
    run(OURS)  # fills the cache
    layer, imported = run(OURS + PRINT)
    assert imported == str(layer != "omp")


@pytest.mark.parametrize("parts", [(OURS, PRINT, NUMBAS, OURS), (NUMBAS, OURS, PRINT, NUMBAS)], ids=["first", "second"])
def test_numba_uses_the_same_pool(parts: tuple[str, ...]) -> None:
    assert run("".join(parts))[0] in ("omp", "tbb", "workqueue")


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP")
@pytest.mark.parametrize(("chosen", "used"), [({}, "30000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")])
def test_waiting_threads_spin_for_a_millisecond_unless_the_user_chose(chosen: dict[str, str], used: str) -> None:
    code = "import os\nbefore = dict(os.environ)\n" + OURS + "assert layer == 'omp' and dict(os.environ) == before"
    assert f"GOMP_SPINCOUNT = '{used}'" in finished(code, OMP_DISPLAY_ENV="verbose", **chosen).stderr


MANY = OURS + "tg.set_num_threads(50); assert float((x * 0 + 1).sum()) == 1_000_000; print(tg.get_num_threads())"


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_no_more_threads_than_the_pool_has(layer: str) -> None:
    assert run(MANY, NUMBA_THREADING_LAYER=layer) == ["50" if layer == "omp" else "2"]


FREED_MEMORY_IS_GARBAGE = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0", "MALLOC_PERTURB_": "2", "PYTHONMALLOC": "malloc"}


def test_nothing_is_read_after_it_was_freed_at_exit() -> None:
    """With these settings glibc fills what is freed; elsewhere they do nothing."""
    run("import tapegrad as tg; x = tg.ones(3, requires_grad=True); (x.view(3, 1) * x).sum().backward()", **FREED_MEMORY_IS_GARBAGE)


FORK = """
import os, threading
import tapegrad as tg
from tapegrad.kernels.native import plans
real, inside, forked = plans.Plans.quick, threading.Event(), threading.Event()
def slow(self):
    made = real(self)
    inside.set()
    forked.wait()
    return made
plans.Plans.quick = slow
thread = threading.Thread(target=lambda: tg.ones(3).sum())
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    plans.Plans.quick = real
    os._exit(int(tg.ones(3).cumsum(0)[-1].item()))
forked.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_while_a_thread_makes_a_planned_function() -> None:
    assert run(FORK) == ["3"]


def test_another_layer_can_be_chosen() -> None:
    assert run(OURS + PRINT, NUMBA_THREADING_LAYER="workqueue") == ["workqueue", "True"]
