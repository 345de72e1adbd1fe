"""What all tests on a GPU share. Without one they run in the simulator, in processes of their own: ``tests/test_cuda_simulated.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a GPU, or the simulator."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True, scope="session")
def need_gpu() -> None:
    """Fail at once where there is neither: whoever asked for ``-m gpu`` wants to know."""
    if not tg.cuda.is_available():
        tg.zeros(1, device="cuda")  # raises, and says what is missing


@pytest.fixture
def cuda() -> Any:
    """The device."""
    return tg.device("cuda", 0)
