"""``python -m tapegrad ops``."""

from __future__ import annotations

from types import ModuleType

import pytest

import tapegrad as tg
from tapegrad import catalog
from tapegrad.__main__ import main
from tapegrad.public import FUNCTIONS

# Public callables that are no operations, by what they do.
CREATE = """arange as_tensor asarray empty empty_like eye from_dlpack from_numpy full full_like linspace logspace ones ones_like rand randint randn randperm scalar_tensor tensor
tril_indices triu_indices zeros zeros_like"""
ASK = """are_deterministic_algorithms_enabled broadcast_shapes can_cast get_autocast_dtype get_default_device get_default_dtype
get_float32_matmul_precision get_num_threads get_rng_state initial_seed is_autocast_enabled is_complex
is_floating_point is_grad_enabled is_inference_mode_enabled is_nonzero is_tensor memory_stats numel promote_types promotion_table result_type"""
SET = """empty_cache manual_seed seed set_cache_limit set_default_device set_default_dtype set_float32_matmul_precision set_num_threads set_printoptions set_rng_state
use_deterministic_algorithms"""
OTHER = "compile detach elementwise load max_pool1d_with_indices resolve_conj resolve_neg save to_dlpack"
NO_OPERATIONS = set(f"{CREATE} {ASK} {SET} {OTHER}".split())


def test_every_public_function_has_a_row() -> None:
    rows = {row.name: row for row in catalog.rows()}
    assert set(rows) == set(FUNCTIONS)
    assert rows["exp"] == ("exp", "elementwise", "bool integer float complex", "cpu, cuda", 2, "elementwise", 4)
    assert rows["isnan"].orders == 0
    assert rows["stack"].kind == "composite"
    assert rows["matmul"].kind == "op"


@pytest.mark.parametrize("space", [tg, tg.nn.functional, tg.special], ids=lambda space: str(space.__name__))
def test_every_public_callable_is_listed(space: ModuleType) -> None:
    found = {n for n in dir(space) if callable(getattr(space, n)) and not isinstance(getattr(space, n), type) and n[0] != "_"}
    written = {n for n in found if n.endswith("_") and n.removesuffix("_") in FUNCTIONS}  # in place
    assert sorted(found - set(FUNCTIONS) - NO_OPERATIONS - written) == []


def test_what_is_exempt_exists() -> None:
    assert {n for n in NO_OPERATIONS if not hasattr(tg, n) and not hasattr(tg.nn.functional, n)} == set()
    assert not NO_OPERATIONS & set(FUNCTIONS)


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "softmax"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["function", "kind", "dtypes", "checked", "devices", "orders", "batching", "samples"]
    assert {line.split()[0] for line in lines[1:-1]} >= {"softmax", "log_softmax"}
    assert lines[-1].endswith("operations.")
