"""Shared by all tests: Hypothesis profiles, tiers that must be asked for, and a guard against leaking global state."""

from __future__ import annotations

import gc
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tapegrad as tg
from tapegrad import dtypes, modes, printing, public, registry
from tapegrad.kernels.native import runtime

sys.path.insert(0, str(Path(__file__).parent))  # test modules share op_matrix

_SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}  # a first call may compile
settings.register_profile("dev", max_examples=10, **_SLOW)
settings.register_profile("ci", max_examples=100, **_SLOW)
settings.register_profile("nightly", max_examples=1000, **_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))

TIERS = ("nightly", "compare", "gpu")


def _tier(markers: Iterable[pytest.Mark]) -> str | None:
    return next((mark.name for mark in markers if mark.name in TIERS), None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without -m, leave out the folder whose tests all need a GPU."""
    return True if not config.option.markexpr and collection_path == Path(__file__).parent / "gpu" else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, obj: object) -> list[pytest.Item] | None:
    """Without -m, leave out functions of the tiers that must be asked for: to make their 60,000 tests takes long."""
    if collector.config.option.markexpr or not inspect.isfunction(obj) or any("::" in named for named in collector.config.args):
        return None
    return [] if _tier([*getattr(obj, "pytestmark", ()), *collector.iter_markers()]) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The same for the parameters of other functions."""
    if config.option.markexpr:
        return
    by_tier = [(item, _tier(item.iter_markers())) for item in items]
    if left := [item for item, tier in by_tier if tier]:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item, tier in by_tier if not tier]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what did not run."""
    if not config.option.markexpr:
        terminalreporter.write_line(f"left out were tests of {', '.join(TIERS)}; they run with -m")


def _cache_settings() -> dict[str, str]:
    names = ("TAPEGRAD_CACHE_DIR", "XDG_CACHE_HOME", "HOME")
    return {k: v for k, v in os.environ.items() if k in names or k.startswith("NUMBA_")}


def _restore_cache_settings(before: dict[str, str]) -> None:
    for name in _cache_settings():
        os.environ.pop(name)
    os.environ.update(before)


def _restore_functions(names: set[str]) -> None:
    for name in set(public.FUNCTIONS) - names:
        del public.FUNCTIONS[name]
        public.METHODS.pop(name, None)


def _restore_registry(names: set[str]) -> None:
    for name in set(registry.REGISTRY) - names:
        del registry.REGISTRY[name]
        delattr(registry.ON_ARRAYS, name)
        delattr(registry.ON_TENSORS, name)


def _mode_flags() -> dict[str, Any]:
    return {name: getattr(modes.local, name) for name in ("grad", "inference", "anomaly", "listeners", "saved_hooks", "flags")}


# What each global is called in the failure, how to read it, and how to put it back.
_STATE: list[tuple[str, Callable[[], Any], Callable[[Any], Any]]] = [
    ("the default dtype", dtypes.get_default_dtype, dtypes.set_default_dtype),
    ("the default device", tg.get_default_device, tg.set_default_device),
    ("grad mode, listeners or hooks", _mode_flags, modes._set),
    ("np.errstate", np.geterr, lambda before: np.seterr(**before)),
    ("the number of threads", lambda: int(runtime.block[runtime.THREADS]), runtime.set_num_threads),
    ("warnings.filters", lambda: list(warnings.filters), lambda before: warnings.filters.__setitem__(slice(None), before)),
    ("the registered ops", lambda: set(registry.REGISTRY), _restore_registry),
    ("the public functions", lambda: set(public.FUNCTIONS), _restore_functions),
    ("print options", printing.get_printoptions, lambda before: printing.set_printoptions(**before)),
    ("the kernel cache's settings", _cache_settings, _restore_cache_settings),
]


@pytest.fixture(autouse=True, scope="module")
def freeze() -> None:
    """Keep what is there from the garbage collector: a million objects of pytest's, among which each ``gc.collect()`` and each child would search."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, for tests that compare."""
    from beside_pytorch import pytorch

    return pytorch()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same for each test whatever ran before it."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves global state changed, and put the state back; seed the default generator."""
    before = [read() for _, read, _ in _STATE]
    state = tg.get_rng_state()
    tg.manual_seed(0)
    yield
    tg.set_rng_state(state)
    leaks = []
    for (name, read, restore), old in zip(_STATE, before, strict=True):
        new = read()
        if new != old:
            leaks.append(f"{name}: was {old!r}, now {new!r}")
            restore(old)
    assert not leaks, "the test leaked global state:\n" + "\n".join(leaks)
