"""Whole scripts on the GPU, step by step in float64, beside the same scripts on the CPU."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy_draws import numpy_draws

import tapegrad as tg
from tapegrad.kernels.cuda.drivers import ON_CPU

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from test_scripts import COMPARED, run

# The simulator is slow: a few scripts, a step or two of each.
FEW: dict[str, dict[str, Any]] = {
    "mlp_classifier": {"steps": 1},
    "from_scratch": {"steps": 1},
    "gcn": {"epochs": 1},
}
SCRIPTS = FEW if ON_CPU else COMPARED


def history(name: str, device: str) -> dict[str, Any]:
    """What the script returns, with all its tensors on this device."""
    before = tg.get_default_dtype()
    tg.set_default_dtype(tg.float64)
    try:
        with numpy_draws(tg), tg.device(device), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run("tapegrad", name, **SCRIPTS[name])
    finally:
        tg.set_default_dtype(before)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_gives_the_same_numbers(name: str) -> None:
    expected, found = history(name, "cpu"), history(name, "cuda")
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        if isinstance(values, str):
            assert found[key] == values
        else:
            np.testing.assert_allclose(found[key], values, rtol=1e-7, atol=1e-9, err_msg=key)
