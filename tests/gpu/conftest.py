"""What all tests on a GPU share. Without one they run in the simulator and as PTX, in processes of their own:
``tests/test_cuda_simulated.py`` and ``tests/test_cuda_ptx.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
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


def _missing() -> str:
    """Why nothing here can run; empty where it can."""
    try:
        tg.cuda.init()
    except RuntimeError as error:
        return f"tests/gpu: {error}; TAPEGRAD_CUDA_DRIVER=simulator runs these tests as Python"
    return ""


def pytest_sessionstart(session: pytest.Session) -> None:
    """End before workers start, with what is missing: whoever asked for these tests wants to know."""
    asked = session.config.option.markexpr == "gpu" and not session.config.option.collectonly
    if asked and not hasattr(session.config, "workerinput") and (why := _missing()):
        pytest.exit(why, returncode=1)


@pytest.fixture(autouse=True, scope="session")
def need_gpu() -> None:
    """The same where they were asked for in another way."""
    if why := _missing():
        pytest.fail(why, pytrace=False)


@pytest.fixture(autouse=True)
def faults(request: pytest.FixtureRequest, need_gpu: None) -> Iterator[None]:
    """Fail the test whose kernels failed. A fault of the GPU ends this process's use of it: another worker takes over the rest."""
    yield
    try:
        tg.cuda.synchronize()
    except RuntimeError as error:
        try:
            tg.cuda.synchronize()
        except RuntimeError:
            if "PYTEST_XDIST_WORKER" in os.environ:
                with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                    print(f"{request.node.nodeid}: {error}; its worker ends, and its other tests go to a new one", file=sys.stderr, flush=True)
                os._exit(1)
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def cuda() -> Any:
    """The device, which need not be the current one."""
    return tg.device("cuda", int(os.environ.get("TAPEGRAD_TEST_GPU", "0")))
