"""Elementary functions where samples can't say it: integers, refusals, accuracy, special values, names, in-place forms."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import mpmath
import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels import special
from tapegrad.ops import aliases

INTEGERS = [tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64]
DIVISIONS: dict[str, Any] = {
    "floor_divide": (tg.floor_divide, lambda a, b: a // b),
    "remainder": (tg.remainder, lambda a, b: a % b),
    "fmod": (tg.fmod, lambda a, b: int(math.fmod(a, b))),
    "div trunc": (lambda a, b: tg.div(a, b, rounding_mode="trunc"), lambda a, b: int(a / b)),
    "div floor": (lambda a, b: tg.div(a, b, rounding_mode="floor"), lambda a, b: a // b),
}


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("name", DIVISIONS)
def test_integer_division_is_pythons(name: str, dtype: tg.dtype) -> None:
    function, expected = DIVISIONS[name]
    signs = (1,) if dtype is tg.uint8 else (1, -1)
    pairs = [(s * a, t * b) for a in (0, 1, 6, 7) for b in (1, 2, 7) for s in signs for t in signs]
    a, b = (tg.tensor(list(column), dtype=dtype) for column in zip(*pairs, strict=True))
    result = function(a, b)
    assert result.dtype is dtype
    assert result.tolist() == [expected(x, y) for x, y in pairs]


@pytest.mark.parametrize("name", DIVISIONS)
@pytest.mark.parametrize("zero", [0, False, tg.tensor([1, 0]), tg.tensor(0)], ids=["0", "False", "one element", "0-d"])
def test_integers_are_not_divided_by_zero(name: str, zero: Any) -> None:
    function, _ = DIVISIONS[name]
    x = tg.tensor([5, 6])
    assert function(x, tg.tensor([5, 6])).numel() == 2  # a good call first, whose kernel must not be taken for the bad one
    for _ in range(2):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            function(x, zero)
    assert function(x.float(), 0.0).numel() == 2


def test_integer_division_in_place_looks_for_zeros_each_time() -> None:
    x = tg.tensor([5, 6])
    with tg.no_grad():
        for divisor in (tg.tensor([1, 2]), tg.tensor([1, 1])):
            x //= divisor
        assert x.tolist() == [5, 3]
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            x %= tg.tensor([1, 0])


def test_the_smallest_integer_divided_by_minus_one_wraps() -> None:
    for dtype in INTEGERS[1:]:
        lowest = tg.tensor([tg.iinfo(dtype).min], dtype=dtype)
        assert (lowest // -1).tolist() == lowest.tolist()
        assert (lowest % -1).tolist() == tg.fmod(lowest, -1).tolist() == [0]


def test_float_division_at_zero_and_infinity() -> None:
    inf = math.inf
    a, b = np.array([5.0, -5.0, 0.0, 5.0, -5.0, inf, 6.0]), np.array([0.0, 0.0, 0.0, inf, inf, 2.0, -0.1])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal((tg.tensor(a) // tg.tensor(b)).numpy(), np.array([inf, -inf, np.nan, 0.0, -1.0, np.nan, -60.0]))
        np.testing.assert_array_equal(tg.fmod(tg.tensor(a), tg.tensor(b)).numpy(), np.fmod(a, b))
    np.testing.assert_array_equal((tg.tensor(a) % tg.tensor(b)).numpy()[:6], [np.nan, np.nan, np.nan, 5.0, inf, np.nan])


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_shifts(dtype: tg.dtype) -> None:
    bits = tg.iinfo(dtype).bits
    x = tg.tensor([1, 5, 100], dtype=dtype)
    assert (x << bits).tolist() == (x << -1).tolist() == [0, 0, 0]
    assert (x >> bits).tolist() == (x >> 100 % 128).tolist() == (x >> -1).tolist() == [0, 0, 0]
    assert (x >> 1).tolist() == [0, 2, 50]
    assert (x << 1).tolist() == [2, 10, 200 if bits > 8 or dtype is tg.uint8 else -56]
    if dtype is not tg.uint8:
        assert (-x >> bits).tolist() == [-1, -1, -1]


def test_operators() -> None:
    x, y = tg.tensor([6, -7]), tg.tensor([4, 2])
    assert (x & y).tolist() == [4, 0] and (x | 1).tolist() == [7, -7] and (3 ^ x).tolist() == [5, -6]
    assert (~x).tolist() == [-7, 6] and (2 << y).tolist() == [32, 8] and (64 >> y).tolist() == [4, 16]
    assert (7 // y).tolist() == [1, 3] and (7 % y).tolist() == [3, 1] and (-7 % y).tolist() == [1, 1]
    flags = tg.tensor([True, False])
    assert (~flags).tolist() == [False, True] and (flags ^ True).tolist() == [False, True]
    assert (flags & True).dtype is tg.bool and (flags | 1).dtype is tg.int64
    z = tg.tensor([6, -7])
    same = z
    z &= 5
    z |= 8
    z ^= 1
    z <<= 2
    z >>= 1
    assert z is same and z.tolist() == [((((v & 5) | 8) ^ 1) << 2) >> 1 for v in (6, -7)]
    for wrong in (lambda: tg.ones(2) & 1, lambda: ~tg.ones(2), lambda: flags << flags, lambda: +flags):
        with pytest.raises(RuntimeError, match="not defined for"):
            wrong()


def test_aliases_are_functions_and_methods() -> None:
    x = tg.tensor([0.5, -0.25])
    assert {"absolute", "arcsin", "clip", "divide", "fix", "greater_equal", "multiply", "true_divide"} <= set(aliases.__all__)
    for name in aliases.__all__:
        assert getattr(tg, name) is getattr(tg.Tensor, name) is getattr(aliases, name)
    assert x.absolute().tolist() == [0.5, 0.25]
    assert tg.divide(x, 0.375, rounding_mode="floor").tolist() == [1.0, -1.0]
    y = x.clone()
    assert y.multiply_(2).negative_() is y
    assert y.tolist() == [-1.0, 0.5]
    assert tg.special.expit is tg.sigmoid and tg.special.psi is tg.digamma and tg.special.gammaln is tg.lgamma


def test_in_place_forms_with_arguments() -> None:
    base = [0.25, 0.5, 2.75]

    def made() -> Any:
        return tg.tensor(base, dtype=tg.float64)

    one, two = tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64), tg.tensor(2.0, dtype=tg.float64)
    pairs = [
        (made().addcmul_(one, two, value=0.5), made().addcmul(one, two, value=0.5)),
        (made().addcdiv_(one, two, value=-1), made().addcdiv(one, two, value=-1)),
        (made().div_(0.4, rounding_mode="floor"), made().div(0.4, rounding_mode="floor")),
        (made().round_(decimals=1), made().round(decimals=1)),
        (made().lerp_(one, 0.25), made().lerp(one, 0.25)),
        (made().logit_(eps=0.1), made().logit(eps=0.1)),
        (made().polygamma_(1), made().polygamma(1)),
        (made().float_power_(2), made().float_power(2)),
        (made().gt_(1.0), made().gt(1.0).double()),
        (made().logical_not_(), made().logical_not().double()),
        ((made() / 0.0).nan_to_num_(posinf=3.0), (made() / 0.0).nan_to_num(posinf=3.0)),
    ]
    for changed, fresh in pairs:
        assert changed.dtype is tg.float64
        assert changed.tolist() == fresh.tolist()
        assert changed.tolist() != base
    with pytest.raises(RuntimeError, match="float_power_: the result"):
        tg.ones(2).float_power_(2)


def test_nan_to_num_takes_the_limits_of_the_dtype() -> None:
    for dtype in (tg.float16, tg.float32, tg.float64):
        x = tg.tensor([math.nan, math.inf, -math.inf, 1.0], dtype=dtype)
        limits = tg.finfo(dtype)
        assert x.nan_to_num().tolist() == [0.0, limits.max, limits.min, 1.0]
    assert tg.tensor([1, 2]).nan_to_num().tolist() == [1, 2]
    with pytest.raises(TypeError, match="complex"):
        tg.nan_to_num(tg.ones(2, dtype=tg.complex64))


def test_closeness() -> None:
    nan, inf = math.nan, math.inf
    a, b = tg.tensor([1.0, nan, inf, inf, 100.0]), tg.tensor([1.0 + 1e-6, nan, inf, -inf, 101.0])
    assert tg.isclose(a, b).tolist() == [True, False, True, False, False]
    assert tg.isclose(a, b, equal_nan=True).tolist() == [True, True, True, False, False]
    assert tg.isclose(a, b, rtol=0.0, atol=2.0).tolist() == [True, False, True, False, True]
    assert tg.isclose(tg.tensor([100, 7]), tg.tensor([101, 7]), rtol=0.01).tolist() == [True, True]
    assert tg.allclose(a[:1], b[:1]) is True and tg.allclose(a, b) is False
    assert tg.equal(a[:1], a[:1].clone()) is True and tg.equal(a, a) is False  # NaN
    assert tg.equal(a, a[:2]) is False and tg.equal(tg.ones(0), tg.ones(0)) is True


def test_rounding_keeps_integers_and_rounds_halves_to_even() -> None:
    x = tg.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert x.round().tolist() == [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0]
    whole = tg.tensor([3, -3])
    for function in (tg.round, tg.floor, tg.ceil, tg.trunc):
        assert function(whole).dtype is tg.int64
        assert function(whole).tolist() == [3, -3]
    with pytest.raises(RuntimeError, match="frac: not defined for integer"):
        whole.frac()


# name -> (mpmath's function, intervals to draw from)
EXACT: dict[str, tuple[Any, list[tuple[float, float]]]] = {
    "sinc": (lambda x: mpmath.sinc(mpmath.pi * x), [(-4, 4), (-100, 100)]),
    "spherical_j1": (lambda x: (mpmath.sin(x) / x - mpmath.cos(x)) / x, [(-1e-5, 1e-5), (-1, 1), (1, 4)]),
    "logit": (lambda p: mpmath.log(p / (1 - p)), [(0, 1), (0.4, 0.6)]),
    "erfcx": (lambda x: mpmath.exp(x * x) * mpmath.erfc(x), [(-26, 0), (0, 25), (24, 60)]),
    "ndtr": (lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2, [(-30, 0), (0, 5)]),
    "log_ndtr": (lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2), [(-50, 0), (0, 10)]),
    "log_ndtr_slope": (lambda x: mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-x * x / 2) / mpmath.erfc(-x / mpmath.sqrt(2)), [(-50, 0), (0, 10)]),
    "ndtri": (lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1), [(1e-300, 1e-9), (0, 0.1), (0.1, 0.9)]),
    "erfinv": (mpmath.erfinv, [(-0.01, 0.01), (-0.9, 0.9), (0.99, 1)]),
    "digamma": (mpmath.digamma, [(0.01, 1), (1, 2), (2, 12), (12, 1000), (-0.4, -0.01)]),
    "i0": (lambda x: mpmath.besseli(0, x), [(-8, 8), (8, 700), (700, 713)]),
    "i1": (lambda x: mpmath.besseli(1, x), [(-8, 8), (8, 700), (700, 713)]),
    "i0e": (lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), [(-8, 8), (8, 700)]),
    "i1e": (lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), [(-8, 8), (8, 700)]),
}
EXACT |= {f"polygamma {n}": (lambda x, n=n: mpmath.polygamma(n, x), [(0.01, 2), (2, 40), (-0.4, -0.01)]) for n in (1, 2, 3, 10, 60)}


@pytest.mark.parametrize("name", EXACT)
def test_special_functions_against_mpmath(name: str) -> None:
    """Within 8 units in the last place, from the formulas that kernels compile; the op matrix checks the kernels."""
    exact, intervals = EXACT[name]
    name, _, order = name.partition(" ")
    rng = np.random.default_rng(3)
    for low, high in intervals:
        for x in map(float, rng.uniform(low, high, 50)):
            with mpmath.workdps(120):
                value = getattr(special, name)(*([float(order)] if order else []), x)
                right = exact(mpmath.mpf(x))
                assert abs(mpmath.mpf(value) - right) <= 8 * math.ulp(float(right)), (x, value, float(right))


VALUES: dict[str, list[tuple[float, float]]] = {
    "erfinv": [(1.0, math.inf), (-1.0, -math.inf), (1.5, math.nan), (0.0, 0.0)],
    "digamma": [(0.0, -math.inf), (-0.0, math.inf), (-1.0, math.nan), (math.inf, math.inf), (-math.inf, math.nan)],
    "lgamma": [(0.0, math.inf), (-1.0, math.inf), (1.0, 0.0), (math.inf, math.inf)],
    "i0": [(0.0, 1.0), (math.inf, math.inf), (-math.inf, math.inf)],
    "sinc": [(0.0, 1.0), (3.0, 0.0), (math.inf, 0.0)],
    "logit": [(0.0, -math.inf), (1.0, math.inf), (-0.1, math.nan), (0.5, 0.0)],
    "ndtri": [(0.0, -math.inf), (1.0, math.inf), (0.5, 0.0), (2.0, math.nan)],
    "ndtr": [(-math.inf, 0.0), (math.inf, 1.0), (-50.0, 0.0)],
    "log_ndtr": [(-math.inf, -math.inf), (math.inf, 0.0), (-1e200, -math.inf)],
    "erfcx": [(math.inf, 0.0), (-math.inf, math.inf), (1e200, 1 / (1e200 * math.sqrt(math.pi)))],
    "entr": [(0.0, 0.0), (1.0, 0.0), (-1.0, -math.inf)],
}


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=str)
@pytest.mark.parametrize("name", VALUES)
def test_special_values(name: str, dtype: tg.dtype) -> None:
    points, expected = zip(*VALUES[name], (math.nan, math.nan), strict=True)
    function = getattr(tg.special, {"lgamma": "gammaln"}.get(name, name))
    result = function(tg.tensor(list(points), dtype=dtype)).numpy()
    np.testing.assert_array_equal(result, np.array(expected, result.dtype))


def test_infinite_arguments_of_polygamma() -> None:
    x = tg.tensor([math.inf, 0.0, -2.0, 1.0])
    assert tg.polygamma(1, x).tolist()[:3] == [0.0, math.inf, math.inf]
    for order in (10**3, 10**15):  # ends at once, where the sum is 0 or infinite
        assert tg.polygamma(order, tg.tensor([math.inf])).item() == 0.0
        assert not math.isfinite(tg.polygamma(order, tg.tensor([0.5])).item())
    assert tg.polygamma(2, tg.tensor([-0.5])).item() == pytest.approx(float(mpmath.polygamma(2, -0.5)), rel=1e-6)
    assert tg.polygamma(1, tg.tensor([-1e9 + 0.5], dtype=tg.float64)).item() == pytest.approx(math.pi**2, rel=1e-9)


def test_gradients_far_out_are_finite() -> None:
    """Where the function's own formula is 0/0 or inf - inf."""
    x = tg.tensor([-1e3, -40.0, 40.0, 1e3], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(tg.special.log_ndtr(x).sum(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    assert np.isfinite(g.detach().numpy()).all() and np.isfinite(h.numpy()).all()
    big = tg.tensor([1e200, 3e-200], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(tg.atan2(big, big).sum(), big)
    np.testing.assert_allclose(g.numpy(), 0.0, atol=1e-200)
    tiny = tg.tensor([0.0, 1e-9, 1e-4], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(tg.sinc(tiny).sum(), tiny)
    np.testing.assert_allclose(g.numpy(), -(math.pi**2) / 3 * np.array([0.0, 1e-9, 1e-4]), rtol=1e-7)


def test_numpy_functions_of_elements() -> None:
    x = tg.tensor([0.25, -0.5], requires_grad=True)
    for ufunc in (np.arcsin, np.arctan, np.sinh, np.exp2, np.floor, np.rint, np.fabs, np.signbit, np.isfinite, np.positive):
        np.testing.assert_allclose(ufunc(x).detach().numpy(), ufunc(x.detach().numpy()), rtol=1e-6)
    np.testing.assert_allclose(np.arctan2(x, 2.0 * x).detach().numpy(), np.arctan2([0.25, -0.5], [0.5, -1.0]), rtol=1e-6)
    assert np.floor_divide(tg.tensor([7]), 2).tolist() == [3]
    assert np.left_shift(tg.tensor([7]), 2).tolist() == [28]


def test_expression_functions_on_tensors() -> None:
    x = tg.tensor([0.25, 1.5], dtype=tg.float64)
    for name in ("rint", "spherical_j1", "log_ndtr_slope", "erfcx"):
        np.testing.assert_allclose(getattr(tg.E, name)(x).numpy(), getattr(tg.E, name)(x.numpy()), rtol=1e-14)
    assert tg.E.left_shift(tg.tensor([3]), tg.tensor([2])).tolist() == [12]


def test_cached_kernels_of_special_functions_need_no_compiler() -> None:
    """A function left as a call in the kernel would bring Numba's handling of exceptions, and that its helper library."""
    code = """
import sys
import tapegrad as tg
x = tg.tensor([0.25, 0.75])
for f in (tg.erfinv, tg.special.ndtri, tg.special.ndtr, tg.special.log_ndtr, tg.digamma, tg.i0, tg.special.i1, tg.sinc, tg.lgamma, tg.floor):
    f(x)
tg.polygamma(2, x), x // 0.5, x % 0.5, tg.atan2(x, x), tg.tensor([7]) // 2
print("numba" in sys.modules)
"""
    for expected in (None, "False"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in (None, done.stdout.strip())
