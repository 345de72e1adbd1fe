"""The tests of the GPU without one, on what kernels are compiled to: PTX, run on the CPU. By day an operation of every family."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DAILY = ("add-0", "log_softmax-0", "sum-0", "sort_along-0", "triangular_solve-0", "max_pool-0")
PARTS = 16


def run(driver: str, part: str, tests: Sequence[str]) -> int:
    """How many tests passed."""
    settings = {"TAPEGRAD_CUDA_DRIVER": driver, "TAPEGRAD_TEST_PART": part, "TAPEGRAD_TEST_SAMPLES": "first"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TAPEGRAD_CUDA"))}
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", *tests]
    done = subprocess.run(command, cwd=ROOT, env=kept | settings, capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    return int(passed[1])


def test_an_operation_of_every_family_runs_as_it_is_compiled() -> None:
    tests = [f"tests/gpu/test_matrix.py::test_values_and_gradients[{name}]" for name in DAILY]
    assert run("ptx", "0/1", tests) == len(tests)


@pytest.mark.nightly
@pytest.mark.parametrize("driver", ["ptx", "ptx-warps"])
@pytest.mark.parametrize("part", range(PARTS))
def test_the_tests_of_the_gpu_pass_as_they_are_compiled(part: int, driver: str) -> None:
    assert run(driver, f"{part}/{PARTS}", ["tests/gpu"]) > 0
