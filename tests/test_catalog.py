"""``python -m tapegrad ops``."""

from __future__ import annotations

import pytest

from tapegrad import catalog
from tapegrad.__main__ import main
from tapegrad.public import FUNCTIONS


def test_every_public_function_has_a_row() -> None:
    rows = {row.name: row for row in catalog.rows()}
    assert set(rows) == set(FUNCTIONS)
    assert rows["exp"] == ("exp", "elementwise", "bool integer float complex", "cpu", 2, "elementwise", 4)
    assert rows["isnan"].orders == 0
    assert rows["stack"].kind == "composite"
    assert rows["matmul"].kind == "op"


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "softmax"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["function", "kind", "dtypes", "checked", "devices", "orders", "batching", "samples"]
    assert {line.split()[0] for line in lines[1:-1]} >= {"softmax", "log_softmax"}
    assert lines[-1].endswith("operations.")
