"""The array-level gradient checker: true slopes pass, planted mistakes are found, and what cannot be judged says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from tapegrad.testing.numeric import (
    CONSTANT,
    DIVERGES,
    KINK,
    NONFINITE,
    REASONS,
    TOLERANCES,
    Estimate,
    Method,
    as_real,
    combine,
    compare,
    from_real,
    numerical_directional,
    numerical_jacobian,
    numerical_vjp,
    random_directions,
)

pytestmark = pytest.mark.filterwarnings("error")

Array = NDArray[Any]
METHODS: tuple[Method, ...] = ("richardson", "central")
X = np.array([0.3, 0.9, 1.6, 2.7])


def jacobian(f: Callable[[Array], Any], x: Any, method: Method = "richardson", step: float | None = None) -> Estimate:
    """The Jacobian of a function of one array with one output."""
    found = numerical_jacobian(lambda a: (np.asarray(f(a)),), [np.asarray(x)], wrt=0, method=method, step=step)
    assert len(found) == 1
    return found[0]


def random(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def along(gradient: Array, direction: Array | None) -> float:
    """The slope that a gradient claims along a direction."""
    assert direction is not None
    return float(np.vdot(gradient, direction).real)


ELEMENTWISE: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "cubic": (lambda x: x**3 - 2 * x + 5, lambda x: 3 * x**2 - 2),
    "exp": (np.exp, np.exp),
    "steep exp": (lambda x: np.exp(10 * x), lambda x: 10 * np.exp(10 * x)),
    "sin": (np.sin, np.cos),
    "division": (lambda x: 1 / x, lambda x: -1 / x**2),
    "log": (np.log, lambda x: 1 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "tiny slope": (lambda x: 1e-6 * x, lambda x: np.full_like(x, 1e-6)),
    "huge values": (lambda x: 1e8 * np.sin(x), lambda x: 1e8 * np.cos(x)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_derivatives_against_closed_forms(name: str, method: Method) -> None:
    f, slope = ELEMENTWISE[name]
    estimate, true = jacobian(f, X, method), np.diag(slope(X))
    off = ~np.eye(X.size, dtype=bool)
    assert estimate.value.shape == estimate.error.shape == estimate.step.shape == estimate.note.shape == (4, 4)
    assert np.all(estimate.value[off] == 0.0)
    assert np.all(estimate.note[off] == CONSTANT)
    relative = np.abs(np.diag(estimate.value) / slope(X) - 1)
    assert relative.max() < {"richardson": 1e-10, "central": 1e-9}[method]
    assert np.all(np.abs(estimate.value - true) <= estimate.error)
    assert estimate.compare(true).status == "ok"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_millionth_too_much_is_wrong(name: str) -> None:
    f, slope = ELEMENTWISE[name]
    verdict = jacobian(f, X).compare(np.diag(slope(X)) * (1 + 1e-6))
    assert verdict.status == "wrong"
    assert verdict.input_index == verdict.output_index  # one of the diagonal


@pytest.mark.parametrize("x", [1e8, -3e8, 1e8 + 1 / 3])
def test_huge_arguments(x: float) -> None:
    estimate = jacobian(lambda a: a * a, [x])
    assert estimate.value[0, 0] == pytest.approx(2 * x, rel=1e-12)
    assert estimate.compare([[2 * x]]).status == "ok"
    assert estimate.compare([[2 * x * (1 + 1e-6)]]).status == "wrong"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x", [0.0, 0.1, 1 / 3, -1.9999, 1e-20, 12345.678, 1e8 + 1 / 3])
def test_the_step_is_the_difference_of_representable_numbers(x: float, method: Method) -> None:
    # A step taken at face value would be off by eps |x| / h: 1e-13 and, for the central method, 1e-11.
    assert abs(jacobian(lambda a: a, [x], method).value[0, 0] - 1.0) <= 4e-16


def test_richardson_halves_the_step_where_f_is_steep() -> None:
    flat, steep = jacobian(np.log, [1.5]), jacobian(np.log, [0.002])
    assert steep.step[0, 0] < flat.step[0, 0] / 8
    assert steep.value[0, 0] == pytest.approx(500, rel=1e-12)
    assert steep.error[0, 0] < 1e-8


def test_the_steps_are_relative_above_one_and_absolute_below() -> None:
    steps = np.diag(jacobian(np.sin, [1e-3, 1.0, 50.0], "central").step)
    assert steps == pytest.approx([6e-6, 6e-6, 3e-4], rel=1e-6)


@pytest.mark.parametrize(("method", "per_column"), [("richardson", 6), ("central", 4)])
def test_the_number_of_calls(method: Method, per_column: int) -> None:
    calls = 0

    def f(x: Array) -> tuple[Array]:
        nonlocal calls
        calls += 1
        return (np.sin(x),)

    counts = []
    for n in (3, 5):
        calls = 0
        numerical_jacobian(f, [np.linspace(0.2, 1.0, n)], wrt=0, method=method)
        counts.append(calls)
    assert counts[1] - counts[0] == 2 * per_column
    calls = 0
    numerical_jacobian(lambda x: (f(x)[0] + np.abs(x),), [np.zeros(1)], wrt=0)
    assert calls <= 24 + 9


def matrix_functions() -> list[Any]:
    a = random(3, 3, seed=3) + 3 * np.eye(3)
    b, v = random(3, 2, seed=4), random(3, 2, seed=5)
    inverse = np.linalg.inv(a)
    softmax = np.exp(b) / np.exp(b).sum(axis=0)
    return [
        ("matmul left", lambda a, b: (a @ b,), [a, b], [v], 0, v @ b.T),
        ("matmul right", lambda a, b: (a @ b,), [a, b], [v], 1, a.T @ v),
        ("solve", lambda a, b: (np.linalg.solve(a, b),), [a, b], [v], 0, -inverse.T @ v @ (inverse @ b).T),
        ("inverse", lambda a: (np.linalg.inv(a),), [a], [np.eye(3)], 0, -inverse.T @ inverse.T),
        ("determinant", lambda a: (np.linalg.det(a),), [a], [np.ones(())], 0, np.linalg.det(a) * inverse.T),
        ("softmax", lambda b: (np.exp(b) / np.exp(b).sum(axis=0),), [b], [v], 0,
         softmax * (v - (softmax * v).sum(axis=0))),
        ("two outputs", lambda a, b: (a @ b, a.sum(axis=1)), [a, b], [v, np.arange(3.0)], 0,
         v @ b.T + np.arange(3.0)[:, None]),
    ]  # fmt: skip


MATRIX_FUNCTIONS = {case[0]: case[1:] for case in matrix_functions()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MATRIX_FUNCTIONS)
def test_vjps_of_matrix_functions(name: str, method: Method) -> None:
    f, inputs, cotangents, wrt, true = MATRIX_FUNCTIONS[name]
    estimate = numerical_vjp(f, inputs, cotangents, wrt, method=method)
    assert estimate.value.shape == inputs[wrt].shape
    assert np.abs(estimate.value - true).max() <= {"richardson": 1e-11, "central": 1e-9}[method] * np.abs(true).max()
    assert np.all(np.abs(estimate.value - true) <= estimate.error)
    assert estimate.compare(true).status == "ok"
    jacobians = numerical_jacobian(f, inputs, wrt=wrt, method=method)
    from_jacobians = combine(jacobians, cotangents, inputs[wrt])
    assert from_jacobians.compare(true).status == "ok"
    assert np.all(np.abs(from_jacobians.value - estimate.value) <= from_jacobians.error)
    assert np.array_equal(from_jacobians.step.reshape(-1), np.concatenate([j.step for j in jacobians]).min(axis=0))
    positive = combine(jacobians, [np.abs(v) for v in cotangents], inputs[wrt])
    assert np.array_equal(positive.error, from_jacobians.error)  # errors add up, whatever the signs


MISTAKES: dict[str, Callable[[Array, Array, Array], Array]] = {  # of the VJP v @ b.T of a @ b, all square
    "zero": lambda a, b, v: np.zeros((3, 3)),
    "a millionth too much": lambda a, b, v: v @ b.T * (1 + 1e-6),
    "upstream gradient ignored": lambda a, b, v: np.ones((3, 3)) @ b.T,
    "arguments swapped": lambda a, b, v: a.T @ v,
    "result transposed": lambda a, b, v: (v @ b.T).T,
    "not transposed inside": lambda a, b, v: v @ b,
    "accumulated twice": lambda a, b, v: 2 * (v @ b.T),
    "wrong sign": lambda a, b, v: -(v @ b.T),
    "one entry": lambda a, b, v: v @ b.T * np.where(np.arange(9).reshape(3, 3) == 5, 1 + 1e-5, 1),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistakes_are_wrong(name: str) -> None:
    a, b, v = random(3, 3, seed=1), random(3, 3, seed=2), random(3, 3, seed=3)
    mistaken = MISTAKES[name](a, b, v)

    def f(a: Array, b: Array) -> tuple[Array]:
        return (a @ b,)

    assert numerical_vjp(f, [a, b], [v], 0).compare(mistaken).status == "wrong"
    directions = [*random_directions([a], np.random.default_rng(7)), None]
    slope = numerical_directional(f, [a, b], [v], directions)
    assert slope.compare(along(v @ b.T, directions[0])).status == "ok"
    assert slope.compare(along(mistaken, directions[0])).status == "wrong"


def test_a_sum_over_the_wrong_axis_is_wrong() -> None:
    x, v = random(3, 3), random(3, seed=1)
    estimate = numerical_vjp(lambda x: (x.sum(axis=1),), [x], [v], 0)
    assert estimate.compare(np.broadcast_to(v[:, None], (3, 3))).status == "ok"
    assert estimate.compare(np.broadcast_to(v, (3, 3))).status == "wrong"


def test_a_forgotten_reduction_over_broadcast_axes_is_an_error_of_shape() -> None:
    x, bias = random(4, 3), random(3, seed=1)
    estimate = numerical_vjp(lambda x, b: (x * b,), [x, bias], [np.ones((4, 3))], 1)
    assert estimate.compare(x.sum(axis=0)).status == "ok"
    with pytest.raises(ValueError, match=r"shape \(4, 3\), the numeric one \(3,\)"):
        estimate.compare(x)


def test_zero_for_a_true_slope_of_a_millionth_is_wrong() -> None:
    cases: list[tuple[Callable[[Array], Array], list[float]]] = [
        (lambda x: 1e-6 * x, [1e-6, 1e-6]),  # where all slopes are small
        (lambda x: 1e-6 * x + 1, [1e-6, 1e-6]),  # and f is not
        (lambda x: x * np.array([1e-6, 1.0]), [1e-6, 1.0]),  # beside a slope of one
        (lambda x: x * np.array([1e-6, 1e4]), [1e-6, 1e4]),  # where 1e-9 max|J| would forgive it
    ]
    for f, others in cases:
        estimate, true = jacobian(f, [0.7, 1.1]), np.diag(others)
        assert estimate.compare(true).status != "wrong"
        mistaken = true.copy()
        mistaken[0, 0] = 0.0
        verdict = estimate.compare(mistaken)
        assert verdict.status == "wrong"
        assert (verdict.input_index, verdict.output_index, verdict.analytic) == ((0,), (0,), 0.0)
        assert verdict.numeric == pytest.approx(1e-6)


def test_a_slope_below_the_rounding_errors_of_f_is_inconclusive_not_ok() -> None:
    estimate = jacobian(lambda x: 1 + 1e-6 * x, [0.7])
    for analytic in (1e-6, 1e-6 * (1 + 1e-6)):  # the two cannot be told apart: eps / h is 4e-12
        verdict = estimate.compare([[analytic]])
        assert verdict.status == "inconclusive"
        assert "rounding errors" in verdict.message


KINKS: dict[str, tuple[Callable[[Array], Array], float, list[float]]] = {  # f, x and slopes that people assign
    "abs": (np.abs, 0.0, [0.0, 1.0, -1.0]),
    "relu": (lambda x: np.maximum(x, 0), 0.0, [0.0, 0.5, 1.0]),
    "relu a hair away": (lambda x: np.maximum(x, 0), 1e-12, [0.0, 1.0]),
    "clamp": (lambda x: np.clip(x, -1, 1), 1.0, [0.0, 1.0]),
    "abs elsewhere": (lambda x: 3 + x + np.abs(x - 2), 2.0, [0.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_inconclusive_whatever_the_slope(name: str, method: Method) -> None:
    f, x, slopes = KINKS[name]
    estimate = jacobian(f, [x], method)
    assert estimate.note[0, 0] == KINK
    for slope in slopes:
        verdict = estimate.compare([[slope]])
        assert verdict.status == "inconclusive"
        assert REASONS[KINK] in verdict.message
    assert estimate.compare([[100.0]]).status == "wrong"
    assert estimate.compare([[np.nan]]).status == "inconclusive"


def test_a_kink_within_the_first_step_is_stepped_under() -> None:
    estimate = jacobian(lambda x: np.maximum(x, 0), [3e-4, -1e-4])
    assert estimate.compare(np.diag([1.0, 0.0])).status == "ok"
    assert estimate.compare(np.diag([1 + 1e-6, 0.0])).status == "wrong"


def test_a_kink_of_one_element_leaves_the_others_conclusive() -> None:
    verdict = numerical_vjp(lambda x: (np.maximum(x, 0).sum(),), [np.array([0.0, 1, 2, -1])], [np.ones(())], 0).compare(
        [0, 1, 1, 0]
    )
    assert verdict.inconclusive.tolist() == [True, False, False, False]
    assert not verdict.wrong.any()
    # What does not move at all has slope 0, though its row has a kink elsewhere.
    assert jacobian(lambda x: np.maximum(x, 0), [0.0, 1.0]).compare([[0.0, 1e-3], [0.0, 1.0]]).wrong[0, 1]
    # The noise is looked for to one side, here that of nan: so it is taken for none.
    root = numerical_vjp(lambda x: (np.sqrt(1 - x).sum(),), [np.array([1.0, 0.5])], [np.ones(())], 0)
    assert root.compare([-np.inf, -np.sqrt(0.5)]).inconclusive.tolist() == [True, False]


def test_large_outputs_that_do_not_depend_on_the_input_do_not_blur_its_vjp() -> None:
    x, large = random(3), np.full(2, 1e12)
    estimate = numerical_vjp(lambda x: (np.sin(x), large), [x], [np.ones(3), np.ones(2)], 0)
    assert estimate.error.max() < 1e-10
    assert estimate.compare(np.cos(x)).status == "ok"


JUMPS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "floor": (np.floor, 1.0),
    "sign": (np.sign, 0.0),
    "isolated point": (lambda x: np.where(x == 0, 1.0, 0.0), 0.0),
    "steps upon a slope": (lambda x: x + np.floor(x), 2.0),
    "faster than any step": (lambda x: np.sin(1e9 * x), 0.3),
    "too large for its period": (np.sin, 1e8),
    "sqrt of abs": (lambda x: np.sqrt(np.abs(x)), 0.0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", JUMPS)
def test_jumps_and_oscillations_never_pass(name: str, method: Method) -> None:
    f, x = JUMPS[name]
    estimate = jacobian(f, [x], method)
    assert estimate.note[0, 0] in (DIVERGES, KINK)
    for slope in (0.0, 1.0, float(estimate.value[0, 0]), float(np.cos(1e8))):
        assert estimate.compare([[slope]]).status == "inconclusive"


NONFINITE_CASES: dict[str, tuple[Callable[[Array], Array], float]] = {
    "sqrt at 0": (np.sqrt, 0.0),
    "log at 0": (np.log, 0.0),
    "pole": (lambda x: 1 / x, 0.0),
    "pole a step away": (lambda x: 1 / (x - 1e-3), 0.0),
    "overflow": (lambda x: x * 1e308, 1.797),
    "nan at the point only": (lambda x: np.where(x == 0.5, np.nan, x), 0.5),
    "nan on one side": (lambda x: np.where(x > 0.5003, np.nan, x), 0.5),
    "nan everywhere": (lambda x: x * np.nan, 0.5),
    "infinite argument": (lambda x: np.minimum(x, 1.0), np.inf),
    "nan argument": (lambda x: np.where(np.isnan(x), 0.0, x), np.nan),
}


@pytest.mark.parametrize("name", NONFINITE_CASES)
def test_values_that_are_not_finite_are_inconclusive_with_the_reason(name: str) -> None:
    f, x = NONFINITE_CASES[name]
    estimate = jacobian(f, [x])
    assert estimate.note[0, 0] == NONFINITE
    assert np.isnan(estimate.value[0, 0])
    assert estimate.error[0, 0] == np.inf
    for slope in (0.0, 1.0, np.inf, np.nan):
        verdict = estimate.compare([[slope]])
        assert verdict.status == "inconclusive"
        assert REASONS[NONFINITE] in verdict.message


def test_other_entries_that_need_smaller_steps_do_not_bring_a_value_back() -> None:
    estimate = jacobian(lambda x: np.stack([np.log(x - 0.497), np.where(x > 0.5003, np.nan, x)])[:, 0], [0.5])
    assert estimate.value[0, 0] == pytest.approx(1 / 0.003, rel=1e-9)
    assert estimate.step[0, 0] < 1e-4
    assert np.isnan(estimate.value[1, 0])
    assert estimate.error[1, 0] == np.inf


def test_a_smaller_step_stays_clear_of_what_is_not_finite() -> None:
    assert jacobian(np.log, [5e-4]).compare([[2000.0]]).status == "inconclusive"
    assert jacobian(np.log, [5e-4], step=1e-5).compare([[2000.0]]).status == "ok"
    assert jacobian(np.log, [5e-4], step=1e-5).compare([[2000.002]]).status == "wrong"


def test_a_small_step_also_keeps_the_search_for_noise_near() -> None:
    estimate = jacobian(lambda x: x + np.maximum(x, 0), [-2e-8], step=1e-8)
    assert estimate.compare([[1.0]]).status == "ok"


def test_only_the_entries_that_see_a_value_that_is_not_finite_are_inconclusive() -> None:
    verdict = jacobian(np.sqrt, [0.0, 1.0, 4.0]).compare(np.diag([np.inf, 0.5, 0.25]))
    assert verdict.inconclusive.tolist() == [[True, False, False], [False, False, False], [False, False, False]]
    assert not verdict.wrong.any()


def test_an_f_that_does_not_change_agrees_with_zero_only() -> None:
    estimate = jacobian(lambda x: np.floor(x) + 7, [0.5, 1.25])
    assert np.all(estimate.note == CONSTANT)
    assert estimate.compare(np.zeros((2, 2))).status == "ok"
    assert estimate.compare([[1e-3, 0.0], [0.0, 0.0]]).status == "wrong"
    # 1 / (1 + exp(-40)) rounds to 1: the true slope of 4e-18 can be neither confirmed nor denied.
    saturated = jacobian(lambda x: 1 / (1 + np.exp(-x)), [40.0])
    assert saturated.compare([[np.exp(-40.0)]]).status == "inconclusive"
    assert REASONS[CONSTANT] in saturated.compare([[np.exp(-40.0)]]).message
    vjp = numerical_vjp(lambda x: (1 / (1 + np.exp(-x)),), [np.array([40.0])], [np.ones(1)], 0)
    assert vjp.compare([np.exp(-40.0)]).status == "inconclusive"
    assert vjp.compare([0.0]).status == "ok"


@pytest.mark.parametrize("method", METHODS)
def test_hidden_rounding_errors_never_accuse(method: Method) -> None:
    generator = np.random.default_rng(0)
    undecided = 0
    for exponent in (0, 2, 3, 4, 5, 6, 8):
        for _ in range(8):
            x, offset = generator.normal(size=4), 10.0**exponent * generator.uniform(1, 3)

            def f(a: Array, offset: float = offset) -> tuple[Array]:
                return ((a + offset) - offset + np.sin(a),)  # rounds by 1e-16 offset, which its value does not show

            verdicts = [
                numerical_jacobian(f, [x], wrt=0, method=method)[0].compare(np.diag(1 + np.cos(x))),
                numerical_vjp(f, [x], [np.ones(4)], 0, method=method).compare(1 + np.cos(x)),
            ]
            assert not any(v.wrong.any() for v in verdicts), exponent
            undecided += sum(v.status == "inconclusive" for v in verdicts)
            assert exponent > 2 or all(v.status == "ok" for v in verdicts)
    assert undecided > 40  # and it does say so


def test_an_element_that_is_not_moved_keeps_its_negative_zero() -> None:
    # Along the cut of atan2 the sign of zero decides between pi and -pi.
    estimate = jacobian(lambda p: np.arctan2(p[0], p[1]), [-0.0, -2.0])
    assert estimate.note.tolist() == [[DIVERGES, CONSTANT]]
    assert estimate.compare([[-0.5, 0.0]]).inconclusive.tolist() == [[True, False]]


# Complex numbers


def complex_cases() -> dict[str, tuple[Callable[[Array], Array], Array, Callable[[Array, Array], Array]]]:
    z, w = random(3) + 1j * random(3, seed=1), random(3, seed=2) + 1j * random(3, seed=3)
    matrix = np.asarray(random(3, 3, seed=4) + 1j * random(3, 3, seed=5))
    return {  # f, the cotangent of its output, and PyTorch's gradient
        "square": (lambda z: z * z, w, lambda z, v: v * np.conj(2 * z)),
        "exp": (np.exp, w, lambda z, v: v * np.conj(np.exp(z))),
        "conj": (np.conj, w, lambda z, v: np.conj(v)),
        "squared modulus": (lambda z: np.abs(z) ** 2, w.real, lambda z, v: 2 * v * z),
        "modulus": (np.abs, w.real, lambda z, v: v * z / np.abs(z)),
        "real part": (np.real, w.real, lambda z, v: v + 0j),
        "imaginary part": (np.imag, w.real, lambda z, v: 1j * v),
        "matrix": (lambda z: matrix @ z, w, lambda z, v: np.conj(matrix.T) @ v),
    } | {"z": (lambda a: a, z, lambda z, v: v)}


COMPLEX = complex_cases()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_gradients_follow_pytorch(name: str, method: Method) -> None:
    f, v, gradient = COMPLEX[name]
    z = random(3) + 1j * random(3, seed=1)
    true = gradient(z, v)
    estimate = numerical_vjp(lambda z: (np.asarray(f(z)),), [z], [v], 0, method=method)
    assert estimate.value.dtype == np.complex128
    assert np.abs(estimate.value - true).max() < {"richardson": 1e-11, "central": 1e-9}[method] * np.abs(true).max()
    assert estimate.compare(true).status == "ok"
    assert estimate.compare(np.conj(true)).status == ("ok" if name == "real part" else "wrong")
    assert estimate.compare(1j * true).status == "wrong"
    jacobians = numerical_jacobian(lambda z: (np.asarray(f(z)),), [z], wrt=0, method=method)
    assert jacobians[0].value.shape == (as_real(v).size, 6)
    assert (jacobians[0].in_shape, jacobians[0].out_shape) == ((3, 2), (3, 2) if np.iscomplexobj(v) else (3,))
    combined = combine(jacobians, [v], z)
    assert combined.compare(true).status == "ok"
    assert combined.value.shape == (3,)
    directions = random_directions([z], np.random.default_rng(0))
    slope = numerical_directional(lambda z: (np.asarray(f(z)),), [z], [v], directions, method=method)
    assert slope.compare(along(true, directions[0])).status == "ok"


@pytest.mark.compare
def test_complex_gradients_are_torchs(torch: Any) -> None:
    z, v = random(4) + 1j * random(4, seed=1), random(4, seed=2) + 1j * random(4, seed=3)
    leaf = torch.tensor(z, requires_grad=True)
    (torch.exp(leaf) * leaf.conj() * leaf.abs()).backward(torch.tensor(v))
    estimate = numerical_vjp(lambda z: (np.exp(z) * np.conj(z) * np.abs(z),), [z], [v], 0)
    assert estimate.compare(leaf.grad.numpy()).status == "ok"


def test_a_real_input_of_a_complex_output() -> None:
    x, v = random(3), random(3, seed=1) + 1j * random(3, seed=2)
    estimate = numerical_vjp(lambda x: (np.exp(1j * x),), [x], [v], 0)
    true = np.real(np.conj(v) * 1j * np.exp(1j * x))
    assert estimate.value.dtype == np.float64
    assert estimate.compare(true).status == "ok"
    rows = jacobian(lambda x: np.exp(1j * x), x)
    assert rows.value.shape == (6, 3)
    assert rows.value[0::2] == pytest.approx(np.diag(-np.sin(x)), abs=1e-11)
    assert rows.value[1::2] == pytest.approx(np.diag(np.cos(x)), abs=1e-11)


def test_a_complex_entry_is_no_surer_than_the_lesser_known_of_its_parts() -> None:
    for f, v in [(lambda z: (np.abs(z.real) + z.imag,), 1.0), (lambda z: (z.real + np.abs(z.imag),), 1.0)]:
        estimate = numerical_vjp(f, [np.array([0j])], [np.full(1, v)], 0)
        assert estimate.note[0] == KINK
        assert estimate.error[0] > 1
    uneven = numerical_vjp(lambda z: (np.log(z.real) + z.imag,), [np.array([0.002 + 1j])], [np.ones(1)], 0)
    assert uneven.step[0] < 1e-4
    assert uneven.compare([500 + 1j]).status == "ok"


def test_the_worst_entry_of_a_complex_jacobian_names_the_part() -> None:
    z = np.array([1 + 2j, 3 - 1j])
    estimate = jacobian(lambda z: z * z, z)
    analytic = estimate.value.copy()
    analytic[2, 3] += 1.0  # the real part of output 1 by the imaginary part of input 1
    verdict = estimate.compare(analytic)
    assert (verdict.status, verdict.input_index, verdict.output_index) == ("wrong", (1, 1), (1, 0))


@pytest.mark.parametrize("a", [3.0, 2 - 1j, random(2, 3), random(2, 3).T, random(6)[::-2] + 1j, np.zeros((0, 2)), 1j])
def test_as_real_and_from_real_are_inverse(a: Any) -> None:
    a = np.asarray(a)
    flat = as_real(a)
    assert flat.shape == (a.size * (2 if np.iscomplexobj(a) else 1),)
    assert flat.dtype == np.float64
    back = from_real(flat, a)
    assert (back.shape, back.dtype) == (a.shape, a.dtype)
    assert np.array_equal(back, a)
    assert not np.shares_memory(flat, a)
    assert not np.shares_memory(back, flat)
    assert np.array_equal(as_real(a, [7.0]), np.append(flat, 7.0))


# Shapes, layouts and what f does to its arguments


@pytest.mark.parametrize("method", METHODS)
def test_arrays_without_dimensions(method: Method) -> None:
    x = np.array(0.7)
    estimate = jacobian(np.sin, x, method)
    assert (estimate.value.shape, estimate.in_shape, estimate.out_shape) == ((1, 1), (), ())
    verdict = estimate.compare([[np.cos(0.7)]])
    assert (verdict.status, verdict.input_index, verdict.output_index) == ("ok", (), ())
    vjp = numerical_vjp(lambda x: (np.sin(x),), [x], [np.array(2.0)], 0, method=method)
    assert vjp.value.shape == vjp.error.shape == vjp.step.shape == vjp.note.shape == ()
    assert vjp.compare(2 * np.cos(0.7)).status == "ok"
    assert vjp.compare(2 * np.cos(0.7) * (1 + 1e-5)).status == "wrong"
    z = numerical_vjp(lambda z: (z * z,), [np.array(1 + 2j)], [np.array(1j)], 0, method=method)
    assert z.compare(1j * np.conj(2 + 4j)).status == "ok"


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("method", METHODS)
def test_arrays_without_elements(method: Method, dtype: Any) -> None:
    empty, x = np.zeros((0, 3), dtype), np.ones(2, dtype)
    n = 1 + np.iscomplexobj(empty)
    by_empty = numerical_jacobian(lambda a, b: (a * 2, b.sum()), [empty, x], wrt=0, method=method)
    assert [j.value.shape for j in by_empty] == [(0, 0), (n, 0)]
    by_x = numerical_jacobian(lambda a, b: (a * 2, b.sum()), [empty, x], wrt=1, method=method)
    assert [j.value.shape for j in by_x] == [(0, 2 * n), (n, 2 * n)]
    verdict = by_empty[1].compare(np.zeros((n, 0)))
    assert (verdict.status, verdict.input_index, verdict.analytic) == ("ok", None, None)
    assert verdict.message.startswith("ok: of 0 entries")
    cotangents = [empty, np.ones((), dtype)]
    assert numerical_vjp(lambda a, b: (a * 2, b.sum()), [empty, x], cotangents, 0).value.shape == (0, 3)
    assert combine(by_empty, cotangents, empty).value.shape == (0, 3)
    directions = random_directions([empty, x], np.random.default_rng(0))
    slope = numerical_directional(lambda a, b: (a * 2, b.sum()), [empty, x], cotangents, directions)
    assert slope.compare(along(x, directions[1])).status == "ok"
    only_empty = numerical_directional(lambda a: (a * 2,), [empty], [empty], directions[:1])
    assert only_empty.value == 0.0


def test_inputs_are_not_modified_and_need_not_be_writable_or_contiguous() -> None:
    base = random(6, 8)
    base.flags.writeable = False
    layouts = {
        "transposed": base.T,
        "strided": base[::2, ::3],
        "reversed": base[::-1, ::-1],
        "broadcast": np.broadcast_to(base[0], (3, 8)),
        "fortran": np.asfortranarray(base),
    }
    for name, x in layouts.items():
        before = x.copy()
        v = random(*x.shape, seed=1)
        estimate = numerical_vjp(lambda x: (np.sin(x),), [x], [v], 0)
        assert estimate.compare(v * np.cos(x)).status == "ok", name
        assert np.array_equal(x, before), name


def test_a_function_may_overwrite_its_arguments_and_reuse_its_output() -> None:
    x, y, out = random(3), random(3, seed=1), np.empty(3)

    def f(x: Array, y: Array) -> tuple[Array]:
        np.multiply(x, y, out=out)
        x[:] = np.nan
        y[:] = np.nan
        return (out,)

    before = x.copy(), y.copy()
    assert numerical_jacobian(f, [x, y], wrt=0)[0].compare(np.diag(y)).status == "ok"
    assert numerical_vjp(f, [x, y], [np.ones(3)], 1).compare(x).status == "ok"
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])


def test_a_function_may_return_its_argument_or_a_view_of_it() -> None:
    x = random(2, 3)
    whole, part = numerical_jacobian(lambda x: (x, x.T[1:]), [x], wrt=0)
    assert whole.compare(np.eye(6)).status == "ok"
    assert part.compare(np.eye(6)[[1, 4, 2, 5]]).status == "ok"
    assert (part.in_shape, part.out_shape) == ((2, 3), (2, 2))


def test_integer_and_boolean_inputs_are_passed_on() -> None:
    x, index, mask = random(4), np.array([2, 0, 2]), np.array([True, False, True])
    inputs = [x, index, mask]
    true = np.zeros(4)
    np.add.at(true, index[mask], np.array([1.0, 2.0]))

    def f(x: Array, index: Array, mask: Array) -> tuple[Array]:
        assert index.dtype == np.int64
        assert mask.dtype == np.bool_
        return (x[index[mask]],)

    assert numerical_vjp(f, inputs, [np.array([1.0, 2.0])], 0).compare(true).status == "ok"
    directions = random_directions(inputs, np.random.default_rng(0))
    assert [d is None for d in directions] == [False, True, True]
    slope = numerical_directional(f, inputs, [np.array([1.0, 2.0])], directions)
    assert slope.compare(along(true, directions[0])).status == "ok"


def test_one_output_can_be_chosen() -> None:
    x = random(2)
    both = numerical_jacobian(lambda x: (np.sin(x), x.sum()), [x], wrt=0)
    last = numerical_jacobian(lambda x: (np.sin(x), x.sum()), [x], wrt=0, output=1)
    assert len(both) == 2
    assert len(last) == 1
    assert np.array_equal(last[0].value, both[1].value)


def test_the_same_question_gets_the_same_answer() -> None:
    x, v = random(5), random(5, seed=1)
    first, second = (numerical_vjp(lambda x: (np.sin(x),), [x], [v], 0) for _ in range(2))
    assert np.array_equal(first.value, second.value)
    assert np.array_equal(first.error, second.error)


def test_a_function_that_draws_random_numbers_is_not_accused() -> None:
    generator = np.random.default_rng(0)
    estimate = jacobian(lambda x: x * (1 + 1e-3 * generator.normal(size=3)), [1.0, 2.0, 3.0])
    assert estimate.compare(np.eye(3)).status == "inconclusive"


# Directions


def test_the_cost_of_a_direction_does_not_grow_with_the_input() -> None:
    counts = []
    for n in (3, 30_000):
        x, v = random(n), random(n, seed=1)
        calls = 0

        def f(x: Array) -> tuple[Array]:
            nonlocal calls
            calls += 1
            return (np.sin(x) + np.roll(x, 1) ** 2,)

        gradient = v * np.cos(x) + np.roll(v, -1) * 2 * x
        directions = random_directions([x], np.random.default_rng(2))
        slope = numerical_directional(f, [x], [v], directions)
        true = along(gradient, directions[0])
        assert slope.value.shape == ()
        assert slope.compare(true).status == "ok"
        assert slope.compare(true * (1 + 1e-6)).status == "wrong"
        counts.append(calls)
    assert counts[0] <= 17
    assert abs(counts[1] - counts[0]) <= 2  # a halving more or less


def test_directions_reach_no_further_than_the_step() -> None:
    x = np.array([0.0, 3.0, -50.0])
    seen = []

    def f(x: Array) -> tuple[Array]:
        seen.append(x)
        return (np.sin(x),)

    numerical_directional(f, [x], [np.ones(3)], [np.array([1.0, -200.0, 7.0])])
    moved = np.abs(np.stack(seen) - x) / np.maximum(1, np.abs(x))
    assert moved.max() == pytest.approx(1e-3, rel=1e-9)
    zero = numerical_directional(f, [x], [np.ones(3)], [np.zeros(3)])
    assert zero.compare(0.0).status == "ok"
    assert 0 < zero.step <= 1e-3


def test_random_directions_have_both_signs_and_the_size_of_their_input() -> None:
    x = np.array([1e-3, 1.0, -100.0] * 50)
    (direction,) = random_directions([x], np.random.default_rng(0))
    assert direction is not None
    size = np.abs(direction) / np.maximum(1, np.abs(x))
    assert size.min() >= 0.5
    assert size.max() <= 1.5
    assert 30 < np.sum(direction > 0) < 120


# The verdict


@pytest.mark.parametrize("row", TOLERANCES)
def test_the_tolerances_are_those_of_the_table(row: str) -> None:
    expected = {"richardson": (1e-7, 1e-9), "central": (1e-6, 1e-8), "second_order": (1e-5, 1e-7)}
    rtol, atol_scaled = (expected | {"float32": (1e-5, 1e-6)})[row]
    assert TOLERANCES[row] == (rtol, atol_scaled)
    numeric = np.array([200.0, 3.0])
    allowed = rtol * 3.0 + atol_scaled * 200.0
    for part, wrong in [(0.99, False), (1.01, True), (-0.99, False), (-1.01, True)]:
        verdict = compare([200.0, 3.0 + part * allowed], numeric, 0.0, rtol=rtol, atol_scaled=atol_scaled)
        assert verdict.wrong.tolist() == [False, wrong]
        assert verdict.scale == 200.0


def test_the_error_estimate_widens_the_tolerance() -> None:
    for excess, status in [(0.99, "ok"), (1.01, "wrong")]:
        analytic = 1.0 + excess * (1e-7 + 1e-9 + 5e-8)
        assert compare(analytic, 1.0, 5e-8, rtol=1e-7, atol_scaled=1e-9).status == status


def test_an_error_estimate_above_a_ten_millionth_of_the_scale_is_inconclusive() -> None:
    limits: dict[str, Any] = {"rtol": 1e-7, "atol_scaled": 1e-9}
    assert compare([1.0, 5.0], [1.0, 5.0], [4.9e-7, 0.0], **limits).status == "ok"
    verdict = compare([1.0, 5.0], [1.0, 5.0], [5.1e-7, 0.0], **limits)
    assert verdict.inconclusive.tolist() == [True, False]
    assert verdict.status == "inconclusive"
    # A difference of ten estimates is a mistake all the same.
    assert compare([1.0 + 4e-6, 5.0], [1.0, 5.0], [5.1e-7, 0.0], **limits).status == "inconclusive"
    assert compare([1.0 + 6e-6, 5.0], [1.0, 5.0], [5.1e-7, 0.0], **limits).status == "wrong"


def test_the_scale_is_that_of_the_jacobian_unless_the_caller_knows_better() -> None:
    limits: dict[str, Any] = {"rtol": 1e-7, "atol_scaled": 1e-9}
    assert compare([2e-12], [1e-12], [0.0], **limits).status == "wrong"
    assert compare([2e-12], [1e-12], [0.0], **limits, scale_floor=1.0).status == "ok"
    # Values that may be all error do not make a scale.
    assert compare([0.0, 1e-9], [1e3, 0.0], [1e3, 0.0], **limits).wrong.tolist() == [False, True]


def test_an_exact_zero_has_no_rounding_to_be_forgiven() -> None:
    limits: dict[str, Any] = {"rtol": 1e-7, "atol_scaled": 1e-9}
    assert compare([0.0, 1e4], [1e-6, 1e4], [1e-9, 0.0], **limits).wrong.tolist() == [True, False]
    assert compare([0.0, 1e4], [1e-6, 1e4], [2e-7, 0.0], **limits).status == "ok"  # five errors are no proof
    assert compare([1e-7, 1e4], [1e-6, 1e4], [1e-9, 0.0], **limits).status == "ok"
    # An exact reference may have underflowed in float32: only the table counts.
    assert compare([0.0, 1.0], [1e-46, 1.0], 0.0, rtol=1e-5, atol_scaled=1e-6).status == "ok"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_analytic_value_that_is_not_finite_is_wrong_where_f_is_smooth(value: float) -> None:
    estimate = jacobian(np.sin, [0.3, 0.4])
    analytic = np.diag(np.cos([0.3, 0.4]))
    analytic[1, 0] = value
    verdict = estimate.compare(analytic)
    assert verdict.wrong.tolist() == [[False, False], [True, False]]
    assert (verdict.input_index, verdict.output_index) == ((0,), (1,))
    assert estimate.compare(np.full((2, 2), value)).wrong.all()


def test_a_reference_that_is_not_finite_decides_nothing() -> None:
    for analytic, numeric in [(np.inf, np.inf), (np.nan, np.nan), (1.0, np.inf), (np.nan, -np.inf), (0.0, np.nan)]:
        verdict = compare([1.0, analytic], [1.0, numeric], 0.0, rtol=1e-5, atol_scaled=1e-6)
        assert verdict.inconclusive.tolist() == [False, True]
        assert verdict.status == "inconclusive"
        assert verdict.input_index == (1,)


def test_the_verdict_names_the_worst_entry() -> None:
    a, b = random(2, 3), random(3, 2, seed=1)
    estimate = numerical_jacobian(lambda a, b: (a @ b,), [a, b], wrt=0)[0]
    true = np.einsum("ij,kl->iljk", np.eye(2), b).transpose(0, 1, 2, 3).reshape(4, 6)
    assert estimate.compare(true).status == "ok"
    mistaken = true.copy()
    mistaken[1, 2] *= 1.5  # output (0, 1) by input (0, 2)
    mistaken[3, 4] *= 1 + 1e-5
    verdict = estimate.compare(mistaken)
    assert verdict.status == "wrong"
    assert verdict.wrong.sum() == 2
    assert (verdict.input_index, verdict.output_index) == ((0, 2), (0, 1))
    assert verdict.analytic == mistaken[1, 2]
    assert verdict.numeric == pytest.approx(true[1, 2], rel=1e-9)
    assert 0 < verdict.error < 1e-9
    assert 1e-5 < verdict.step <= 2e-3
    lines = verdict.message.splitlines()
    assert lines[0] == "wrong: of 24 entries 2 wrong, 0 inconclusive"
    assert "input index (0, 2), output index (0, 1)" in lines[1]
    assert f"{mistaken[1, 2]:.12g}  (1.5 times the numeric value)" in lines[2]
    assert "error estimate" in lines[3]
    assert "step" in lines[3]
    assert "rtol 1e-07, atol 1e-09" in lines[4]


def test_wrong_comes_before_inconclusive_and_both_are_counted() -> None:
    estimate = jacobian(np.abs, [0.0, 1.0])
    verdict = estimate.compare(np.diag([0.0, -1.0]))
    assert verdict.status == "wrong"
    assert verdict.input_index == (1,)
    assert verdict.inconclusive[0, 0]
    assert estimate.compare(np.eye(2)).status == "inconclusive"
    assert estimate.compare(np.eye(2)).input_index == (0,)


def test_a_looser_row_of_the_table_can_be_asked_for() -> None:
    estimate = jacobian(np.sin, [0.3])
    nearly = [[np.cos(0.3) * (1 + 3e-6)]]
    assert estimate.compare(nearly).status == "wrong"
    assert estimate.compare(nearly, TOLERANCES["second_order"]).status == "ok"


def test_second_derivatives_by_differencing_a_vjp() -> None:
    x, v = random(3), random(3, seed=1)
    estimate = numerical_jacobian(lambda x, v: (v * np.cos(x),), [x, v], wrt=0)[0]
    second = TOLERANCES["second_order"]
    assert estimate.compare(np.diag(-v * np.sin(x)), second).status == "ok"
    assert estimate.compare(np.diag(-v * np.sin(x)) * (1 + 1e-4), second).status == "wrong"


def test_float32_against_the_float64_vjp() -> None:
    x = random(50)
    exact = np.cos(x)
    rtol, atol_scaled = TOLERANCES["float32"]
    single = np.cos(x.astype(np.float32))
    assert compare(single, exact, 0.0, rtol=rtol, atol_scaled=atol_scaled).status == "ok"
    assert compare(single * np.float32(1.0001), exact, 0.0, rtol=rtol, atol_scaled=atol_scaled).status == "wrong"


# What raises


def test_bad_questions_raise() -> None:
    x = random(3)

    def sine(x: Array) -> tuple[Array]:
        return (np.sin(x),)

    with pytest.raises(ValueError, match="method must be"):
        numerical_jacobian(sine, [x], wrt=0, method="forward")  # type: ignore[arg-type]
    for step in (0.0, -1e-3, np.nan, np.inf):
        with pytest.raises(ValueError, match="step must be positive"):
            numerical_jacobian(sine, [x], wrt=0, step=step)
    with pytest.raises(TypeError, match="not int64"):
        numerical_jacobian(lambda i: (i * 1.0,), [np.arange(3)], wrt=0)
    with pytest.raises(TypeError, match="not float32"):
        numerical_jacobian(lambda x: (x.astype(np.float64),), [x.astype(np.float32)], wrt=0)
    bad_functions: list[Callable[..., Any]] = [
        lambda x: np.sin(x),
        lambda x: (),
        lambda x: (np.argmax(x),),
        lambda x: (x.astype(np.float32),),
    ]
    for bad in bad_functions:
        with pytest.raises(TypeError, match="tuple of float64 or complex128 arrays"):
            numerical_jacobian(bad, [x], wrt=0)
    with pytest.raises(ValueError, match="change their shapes"):
        numerical_jacobian(lambda x: (x[x > 0.5],), [np.array([0.5, 2.0])], wrt=0)
    with pytest.raises(ValueError, match=r"outputs' shapes, \[\(3,\)\]"):
        numerical_vjp(sine, [x], [np.ones((3, 1))], 0)
    with pytest.raises(ValueError, match="outputs' shapes"):
        numerical_vjp(sine, [x], [], 0)
    with pytest.raises(TypeError, match="safe"):
        numerical_vjp(sine, [x], [np.ones(3) * 1j], 0)
    with pytest.raises(ValueError, match="shape"):
        jacobian(np.sin, x).compare(np.ones(3))


def test_an_error_inside_the_function_is_passed_on() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        jacobian(np.linalg.inv, np.zeros((2, 2)))


# Random polynomials

COEFFICIENTS = st.lists(st.integers(-30, 30).map(lambda i: i / 10), min_size=1, max_size=7)


@settings(deadline=None)
@given(COEFFICIENTS, st.floats(-3, 3, allow_subnormal=False), st.sampled_from(METHODS))
def test_random_polynomials(coefficients: list[float], x: float, method: Method) -> None:
    p = np.polynomial.Polynomial(coefficients)
    true = float(p.deriv()(x))
    size = float(np.polynomial.Polynomial(np.abs(coefficients)).deriv()(abs(x)))
    estimate = jacobian(p, [x], method)
    assert abs(estimate.value[0, 0] - true) <= estimate.error[0, 0] + 1e-14 * size
    verdict = estimate.compare([[true]])
    assert verdict.status != "wrong", verdict.message
    if verdict.status == "ok" and true != 0.0 and method == "richardson":
        assert estimate.compare([[true * (1 + 1e-6)]]).status == "wrong"
        assert estimate.compare([[0.0]]).status == "wrong"
    if abs(true) > 0.01 * (1 + sum(abs(c) * 3.0**k for k, c in enumerate(coefficients))):
        assert verdict.status == "ok", verdict.message


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_random_products_of_matrices(seed: int, m: int, k: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    a, b, v = generator.normal(size=(m, k)), generator.normal(size=(k, n)), generator.normal(size=(m, n))
    estimate = numerical_vjp(lambda a, b: (a @ b,), [a, b], [v], 0)
    true = v @ b.T
    assert estimate.compare(true).status != "wrong"
    doubtful = estimate.compare(true * (1 + 1e-6))
    assert doubtful.status == "wrong" or estimate.compare(true).status == "inconclusive"
