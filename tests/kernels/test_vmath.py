"""Elementary functions: arguments spread over all bit patterns. ``python -m benchmarks.accuracy`` takes all 2^32 of float32."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from elementary_references import EDGES, SHARED, SINGLE, arguments32, compare, function
from scipy import special

import tapegrad as tg


@pytest.mark.parametrize("name", SINGLE)
def test_float32_within_two_units_in_the_last_place(name):
    with np.errstate(all="ignore"):
        x = arguments32(40009)
        exact = SINGLE[name](x.astype(np.float64))
    compare(name, function(name)(tg.from_numpy(x)).numpy(), exact, 2.0)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider dtype to compare with")
@pytest.mark.parametrize("name", ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sinh", "cosh", "tanh", "atanh", "sigmoid", "asin", "acos", "atan", "sin", "cos", "tan", "asinh", "acosh"])
def test_float64_within_one_and_a_half_units_in_the_last_place(name):
    bits = np.arange(0, 1 << 64, 184_467_440_737_111, dtype=np.uint64)
    with np.errstate(all="ignore"):
        x = np.concatenate([bits.view(np.float64), np.linspace(-4, 4, 50_001), np.linspace(-760, 760, 20_001), np.array(EDGES)])
        exact = SHARED[name](x.astype(np.longdouble))
    compare(name, function(name)(tg.from_numpy(x)).numpy(), exact, 1.5)


def rounded(values):
    """mpmath's numbers in NumPy's widest dtype."""
    return np.array([np.longdouble(float(v)) + (np.longdouble(float(v - float(v))) if mpmath.isfinite(v) else 0) for v in values])


# intervals to look at, and the largest error
ERRORS = {
    "erf": (mpmath.erf, [(-6.5, 6.5)], 1.5),
    "erfc": (mpmath.erfc, [(-7, 0), (0, 3), (3, 27.5)], 2.0),
    "ndtr": (mpmath.ncdf, [(-39, -4), (-4, 0), (0, 9)], 2.0),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_functions_of_float64(name):
    exactly, intervals, bound = ERRORS[name]
    tiny = np.geomspace(1e-320, 1.0, 200)
    x = np.concatenate([np.linspace(low, high, 1001) for low, high in intervals] + [tiny, -tiny, np.array(EDGES)])
    with mpmath.workdps(60):
        exact = rounded([exactly(mpmath.mpf(v)) for v in np.clip(x, -100, 100).tolist()])
    if name == "erf":
        exact = np.copysign(exact, x)
    compare(name, function(name)(tg.from_numpy(x)).numpy(), exact, bound)


def test_powers_of_float64():
    rng = np.random.default_rng(0)
    pairs = [
        np.stack([np.exp(rng.uniform(-3, 3, 700)), rng.uniform(-25, 25, 700)], 1),
        np.stack([np.exp(rng.uniform(-700, 700, 700)), rng.uniform(-1, 1, 700)], 1),
        np.stack([1 + rng.uniform(-1e-3, 1e-3, 700), rng.uniform(-7e5, 7e5, 700)], 1),
        np.stack([np.exp(rng.uniform(-5, 5, 300)), rng.uniform(-160, -130, 300)], 1),
    ]
    a, b = np.ascontiguousarray(np.concatenate(pairs).T)
    with mpmath.workdps(60):
        exact = rounded([mpmath.mpf(x) ** mpmath.mpf(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)])
    compare("pow", tg.pow(tg.from_numpy(a), tg.from_numpy(b)).numpy(), exact, 1.5)


def test_special_powers_of_float64_as_in_c():
    points = [*SPECIAL_PAIRS, 5e-324, 2.0**53 + 2, -(2.0**53) + 1, 1 + 2.0**-52, 1 - 2.0**-53, 1e300, -1e300]
    a, b = np.ascontiguousarray(np.array(list(itertools.product(points, points))).T)
    with np.errstate(all="ignore"):
        exact = np.power(a, b)
    compare("pow", tg.pow(tg.from_numpy(a), tg.from_numpy(b)).numpy(), exact, 2.0)  # NumPy's own error counts too


def test_gelu_is_exact_above_0_and_keeps_digits_of_its_small_values_below():
    x = np.concatenate([np.linspace(-14, 14, 100_001), np.geomspace(1e-40, 1, 1000), -np.geomspace(1e-40, 1, 1000)]).astype(np.float32)
    exact = x.astype(np.float64) * special.ndtr(x.astype(np.float64))
    found = tg.nn.functional.gelu(tg.from_numpy(x)).numpy()
    above = x >= 0
    compare("gelu", found[above], exact[above], 3.0)
    below = (x < 0) & (x > -5.5)
    np.testing.assert_allclose(found[below], exact[below], rtol=5e-6, atol=2.0**-149)
    assert (np.abs(found[x <= -5.5] - exact[x <= -5.5]) < 1e-8).all()
    assert np.isinf(tg.nn.functional.gelu(tg.tensor(math.inf)).item())
    assert tg.nn.functional.gelu(tg.tensor([math.nan])).isnan().item()


HUGE = [2.0**100, 3.4e38, 1e22, -1.7e35, 16367173.0 * 2.0**72, 1e9, 123456.7]


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_large_angles(name):
    # the second last is the float32 that is nearest to a multiple of pi / 2
    x = np.array([*HUGE, *np.random.default_rng(0).uniform(1e30, 3e38, 100)], np.float32)
    with mpmath.workdps(80):
        exact = np.array([float(getattr(mpmath, name)(mpmath.mpf(float(v)))) for v in x])
    compare(name, function(name)(tg.from_numpy(x)).numpy(), exact, 2.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_a_large_angle_changes_no_bit_beside_it(name, dtype):
    x = np.random.default_rng(0).uniform(-1e4, 1e4, 101).astype(dtype)
    alone, mixed = function(name)(tg.from_numpy(x)).numpy(), x.copy()
    mixed[::3] = dtype(1e30)
    found = function(name)(tg.from_numpy(mixed)).numpy()
    for start in (1, 2):
        np.testing.assert_array_equal(found[start::3], alone[start::3])
    assert (found[::3] == function(name)(tg.tensor(1e30, dtype=tg.from_numpy(x).dtype)).item()).all()


SPECIAL_PAIRS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, math.inf, -math.inf, math.nan, 1e-40, -1e-40, 3e38, 8388609.0, -8388607.0, 1e10]


@pytest.mark.parametrize("name", ["pow", "atan2"])
def test_two_operands_as_in_c(name):
    rng = np.random.default_rng(0)
    pairs = np.array(list(itertools.product(SPECIAL_PAIRS, SPECIAL_PAIRS)), np.float32)
    spread = rng.integers(0, 1 << 32, (50_000, 2), dtype=np.uint32).view(np.float32)
    usual = np.stack([np.exp(rng.uniform(-3, 3, 50_000)), rng.uniform(-25, 25, 50_000)], 1).astype(np.float32)
    a, b = np.concatenate([pairs, spread, usual]).T
    with np.errstate(all="ignore"):
        exact = {"pow": np.power, "atan2": np.arctan2}[name](a.astype(np.float64), b.astype(np.float64))
    compare(name, getattr(tg, name)(tg.from_numpy(a.copy()), tg.from_numpy(b.copy())).numpy(), exact, 2.0)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider dtype to compare with")
def test_atan2_of_float64_as_in_c():
    rng = np.random.default_rng(0)
    pairs = np.array(list(itertools.product(SPECIAL_PAIRS, SPECIAL_PAIRS)))
    spread = rng.integers(0, 1 << 64, (50_000, 2), dtype=np.uint64).view(np.float64)
    a, b = np.concatenate([pairs, spread, rng.uniform(-3, 3, (50_000, 2))]).T
    with np.errstate(all="ignore"):
        exact = np.arctan2(a.astype(np.longdouble), b.astype(np.longdouble))
    compare("atan2", tg.atan2(tg.from_numpy(a.copy()), tg.from_numpy(b.copy())).numpy(), exact, 1.5)


def test_powers_that_float32_has_are_exact():
    base, exponent = np.meshgrid(np.arange(-20, 21, dtype=np.float32), np.arange(0, 6, dtype=np.float32))
    exact = base.astype(np.float64) ** exponent
    found = tg.pow(tg.from_numpy(base), tg.from_numpy(exponent)).numpy()
    held = exact.astype(np.float32) == exact
    assert held.sum() > 200
    np.testing.assert_array_equal(found[held], exact[held])
    base, exponent = base.astype(np.float64), exponent.astype(np.float64)
    np.testing.assert_array_equal(tg.pow(tg.from_numpy(base), tg.from_numpy(exponent)).numpy(), exact)
    assert tg.log10(tg.tensor([10.0**k for k in range(11)])).tolist() == list(range(11))
    assert tg.log2(tg.tensor([2.0**k for k in range(-149, 128)])).tolist() == list(range(-149, 128))


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("size", [1, 7, 8, 33])
def test_the_size_of_an_array_changes_no_bit(name, size):
    x = tg.linspace(0.01, 3, 64)
    whole = function(name)(x)
    assert function(name)(x[:size]).numpy().tobytes() == whole[:size].numpy().tobytes()
