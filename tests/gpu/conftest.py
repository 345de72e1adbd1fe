"""What all tests on a GPU share. Without one they run in the simulator and as PTX, in processes of their own:
``tests/test_cuda_simulated.py`` and ``tests/test_cuda_ptx.py``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here needs a GPU, or the simulator, of which each process may take a part of the tests."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
    part, _, parts = os.environ.get("TAPEGRAD_TEST_PART", "0/1").partition("/")
    left = [item for k, item in enumerate(items) if k % int(parts) != int(part)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for k, item in enumerate(items) if k % int(parts) == int(part)]


@pytest.fixture(autouse=True, scope="session")
def need_gpu() -> None:
    """End at once, with what is missing, where there is neither: whoever asked for ``-m gpu`` wants to know."""
    try:
        tg.cuda.init()
    except RuntimeError as error:
        why = f"tests/gpu: {error}; TAPEGRAD_CUDA_DRIVER=simulator runs these tests as Python"
        if "PYTEST_XDIST_WORKER" in os.environ:  # which may not exit
            pytest.fail(why, pytrace=False)
        pytest.exit(why, returncode=1)


@pytest.fixture
def cuda() -> Any:
    """The device."""
    return tg.device("cuda", 0)
