"""Elementary functions of float32: 1e5 arguments spread over all bit patterns. ``python -m benchmarks.accuracy`` takes all 2^32."""

import numpy as np
import pytest
from scipy import special

import tapegrad as tg

REFERENCES = {"exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sigmoid": special.expit, "tanh": np.tanh}


@pytest.mark.parametrize("name", REFERENCES)
def test_within_two_units_in_the_last_place(name):
    x = np.arange(0, 1 << 32, 40009, dtype=np.uint32).view(np.float32)
    found = getattr(tg, name)(tg.from_numpy(x)).numpy()
    with np.errstate(all="ignore"):
        exact = REFERENCES[name](x.astype(np.float64))
        expected = exact.astype(np.float32)
        ulp = np.maximum(np.spacing(np.abs(expected)), 2.0**-149)
        finite = np.isfinite(expected)
        assert (np.abs(found - exact) <= 2.0 * ulp)[finite].all()
    np.testing.assert_array_equal(found[~finite], expected[~finite])


EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0**-149, -(2.0**-149), 88.72283, 88.72284, -87.33655, -103.9, -104.1], np.float32)


@pytest.mark.parametrize("name", REFERENCES)
def test_special_values(name):
    found = getattr(tg, name)(tg.from_numpy(EDGES)).numpy()
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](EDGES.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=2.5e-7, atol=2.0**-148)
    np.testing.assert_array_equal(np.signbit(found)[expected == 0], np.signbit(expected)[expected == 0])


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("size", [1, 7, 8, 33])
def test_the_size_of_an_array_changes_no_bit(name, size):
    x = tg.linspace(0.01, 3, 64)
    whole = getattr(tg, name)(x)
    assert getattr(tg, name)(x[:size]).numpy().tobytes() == whole[:size].numpy().tobytes()
