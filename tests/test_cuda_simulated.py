"""The tests of the GPU without one: every one of ``tests/gpu`` in the simulator, in processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = 8  # for the workers of a parallel run to share


@pytest.mark.parametrize("samples", ["few", pytest.param("first", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("part", range(PARTS))
def test_the_tests_of_the_gpu_pass_in_the_simulator(part: int, samples: str) -> None:
    settings = {"TAPEGRAD_CUDA_DRIVER": "simulator", "TAPEGRAD_TEST_PART": f"{part}/{PARTS}", "TAPEGRAD_TEST_SAMPLES": samples}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TAPEGRAD_CUDA"))}
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", "tests/gpu"]
    done = subprocess.run(command, cwd=ROOT, env=kept | settings, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 0
