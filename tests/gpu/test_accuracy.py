"""Elementary functions on the GPU: at most 4 units in the last place of float32 and 3 of float64, special values as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from elementary_references import EDGES, SHARED, SINGLE, arguments32, compare, function

import tapegrad as tg
from tapegrad.kernels.cuda.drivers import ON_CPU

WORSE = {"ndtr": 5.0}  # what NVIDIA documents of normcdff


@pytest.mark.parametrize("name", SINGLE)
def test_float32_within_four_units_in_the_last_place(name: str) -> None:
    x = arguments32(4_000_037 if ON_CPU else 4001)
    with np.errstate(all="ignore"):
        exact = SINGLE[name](x.astype(np.float64))
    compare(name, function(name)(tg.from_numpy(x).to("cuda")).cpu().numpy(), exact, WORSE.get(name, 4.0))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider dtype to compare with")
@pytest.mark.parametrize("name", SHARED)
def test_float64_within_three_units_in_the_last_place(name: str) -> None:
    bits = np.arange(0, 1 << 64, (1 << 64) // (1009 if ON_CPU else 100_003), dtype=np.uint64)
    x = np.concatenate([bits.view(np.float64), np.linspace(-4, 4, 501 if ON_CPU else 50_001), np.linspace(-760, 760, 501), np.array(EDGES)])
    with np.errstate(all="ignore"):
        exact = SHARED[name](x.astype(np.longdouble))
    compare(name, function(name)(tg.from_numpy(x).to("cuda")).cpu().numpy(), exact, 3.0)
