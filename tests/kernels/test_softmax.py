"""softmax, log_softmax and cross_entropy against wide references: accuracy, gradients, stability, layouts, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tapegrad.kernels.cpu.nn.softmax import (
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    reduced_cross_entropy,
    softmax,
    softmax_backward,
)
from tapegrad.kernels.native import runtime

FLOATS = [np.dtype("float32"), np.dtype("float64")]
SHAPES = [(7,), (32, 10), (3, 4, 5), (5, 2000), (3, 1500, 7), (2, 20, 700), (200, 16), (0, 3), (3, 0), (40, 1)]
rng = np.random.default_rng(11)


def reference_log_softmax(x: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    wide = x.astype(np.longdouble)
    moved = wide - wide.max(axis, keepdims=True, initial=-np.inf)
    with np.errstate(divide="ignore"):
        result: np.ndarray[Any, Any] = moved - np.log(np.exp(moved).sum(axis, keepdims=True))
    return result


def close(result: Any, expected: Any, dtype: Any, ulps: float, scale: float = 1.0) -> None:
    assert result.dtype == dtype and result.shape == expected.shape and result.flags.c_contiguous
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(result, np.asarray(expected, np.float64), rtol=ulps * eps, atol=ulps * eps * scale)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax_and_gradients_along_every_axis(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    x = (4 * rng.standard_normal(shape)).astype(dtype)
    repeated = np.broadcast_to(x[..., :1], shape) if 0 not in shape else x
    for a in (x, np.asfortranarray(x), np.flip(x), repeated):
        g = rng.standard_normal(a.shape).astype(dtype)
        kept = a.copy()
        for axis in range(a.ndim):
            log_p = reference_log_softmax(a, axis)
            p = np.exp(log_p)
            gw, n = g.astype(np.longdouble), max(a.shape[axis], 1)
            total, gsum = (gw * p).sum(axis, keepdims=True), gw.sum(axis, keepdims=True)
            y, log_y = softmax(a, axis), log_softmax(a, axis)
            close(y, p, dtype, 24, 1 / n)
            close(log_y, log_p, dtype, 4, 4)
            close(softmax_backward(g, y, axis), p * (gw - total), dtype, 60, 1)
            close(log_softmax_backward(g, log_y, axis), gw - p * gsum, dtype, 60, n**0.5)
        np.testing.assert_array_equal(a, kept)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=40)
def test_random_shapes(shape: list[int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = rng.standard_normal(shape).astype(np.float32).transpose(data.draw(st.permutations(range(len(shape)))))
    close(softmax(x, axis), np.exp(reference_log_softmax(x, axis)), np.dtype("float32"), 16)
    close(log_softmax(x, axis), reference_log_softmax(x, axis), np.dtype("float32"), 16)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("turn", [False, True])
def test_stable_at_large_values_and_infinities(dtype: np.dtype[Any], turn: bool) -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[1e4, 1e4, -1e4], [-1e4, -1e4, -inf], [0, -inf, -inf], [nan, 0, 1], [-inf, -inf, -inf]], dtype)
    p = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [1, 0, 0], [nan] * 3, [nan] * 3], dtype)
    half = np.log(dtype.type(0.5))
    log_p = np.array([[half, half, -2e4 + half], [half, half, -inf], [0, -inf, -inf], [nan] * 3, [nan] * 3], dtype)
    if turn:
        np.testing.assert_allclose(softmax(x.T.copy(), 0), p.T)
        np.testing.assert_allclose(log_softmax(x.T.copy(), 0), log_p.T, rtol=1e-7)
    else:
        np.testing.assert_allclose(softmax(x, 1), p)
        np.testing.assert_allclose(log_softmax(x, 1), log_p, rtol=1e-7)


# ------------------------------------------------------------------------------------------------------- cross entropy


def reference_cross_entropy(
    x: np.ndarray[Any, Any], target: np.ndarray[Any, Any], weight: Any, ignored: int, smoothing: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Losses, and their derivatives by the logits."""
    n, c = x.shape
    log_p = reference_log_softmax(x, 1)
    w = np.ones(c) if weight is None else weight.astype(np.longdouble)
    share = np.zeros((n, c), np.longdouble)  # of each class in the loss
    used = target != ignored
    share[used] = smoothing / c * w
    share[used, target[used]] += (1 - smoothing) * w[target[used]]
    return -(share * log_p).sum(1), share.sum(1, keepdims=True) * np.exp(log_p) - share


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(32, 10), (5, 3000), (100, 33), (1, 1), (3, 2)], ids=str)
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_cross_entropy(dtype: np.dtype[Any], shape: tuple[int, int], shift: float) -> None:
    n, c = shape
    x = (3 * rng.standard_normal(shape) + shift).astype(dtype)
    g = rng.standard_normal(n).astype(dtype)
    target = rng.integers(0, c, n)
    target[1:2] = -100
    for weight in (None, rng.random(c).astype(dtype)):
        for smoothing in (0.0, 0.1, 1.0):
            expected, slope = reference_cross_entropy(x, target, weight, -100, smoothing)
            losses, level = cross_entropy(x, target, weight, -100, smoothing)
            close(losses, expected, dtype, 16, 8)
            assert (losses[target == -100] == 0).all()
            moved = x - x.max(1, keepdims=True)
            np.testing.assert_allclose(level, np.log(np.exp(moved).sum(1)) + x.max(1), rtol=1e-6)
            gradient = cross_entropy_backward(g, x, target, level, weight, -100, smoothing)
            close(gradient, slope * g[:, None], dtype, 48, 1)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_cross_entropy_takes_any_layout_and_leaves_inputs_alone(dtype: np.dtype[Any]) -> None:
    x = rng.standard_normal((20, 30)).astype(dtype)
    target, g = rng.integers(0, 20, 30), rng.standard_normal(30).astype(dtype)
    kept = x.copy(), target.copy(), g.copy()
    losses, level = cross_entropy(x.T, target[::-1], None, -100, 0.0)
    plain, plain_level = cross_entropy(x.T.copy(), target[::-1].copy(), None, -100, 0.0)
    np.testing.assert_array_equal(losses, plain)
    np.testing.assert_array_equal(level, plain_level)
    ones = np.broadcast_to(np.ones((), dtype), 30)
    gradient = cross_entropy_backward(ones, x.T, target[::-1], level, None, -100, 0.0)
    same = cross_entropy_backward(ones.copy(), x.T.copy(), target[::-1].copy(), level, None, -100, 0.0)
    np.testing.assert_array_equal(gradient, same)
    for before, after in zip(kept, (x, target, g), strict=True):
        np.testing.assert_array_equal(before, after)


def test_cross_entropy_at_infinities_and_bad_targets() -> None:
    inf = np.inf
    x = np.array([[-inf, 0.0, 0.0], [-inf, 0.0, -inf], [1e4, -1e4, 0.0], [np.nan, 0.0, 0.0]], np.float32)
    losses, level = cross_entropy(x, np.array([0, 1, 1, 1]), None, -100, 0.0)
    np.testing.assert_array_equal(losses, np.array([inf, 0, 2e4, np.nan], np.float32))
    gradient = cross_entropy_backward(np.ones(4, np.float32), x, np.array([0, 1, 1, 1]), level, None, -100, 0.0)
    np.testing.assert_allclose(gradient[:3], [[-1, 0.5, 0.5], [0, 0, 0], [1, -1, 0]], atol=1e-7)
    assert np.isnan(gradient[3]).all()
    far = np.array([5, -7, 2**62, -(2**63)])  # the caller's mistake: clamped, never read out of bounds
    clamped, _ = cross_entropy(x, far, None, -100, 0.0)
    np.testing.assert_array_equal(clamped, cross_entropy(x, np.array([2, 0, 2, 0]), None, -100, 0.0)[0])


def test_softmax_of_a_scalar() -> None:
    x = np.array(3.0)
    assert softmax(x, 0) == 1 and log_softmax(x, 0) == 0
    assert softmax_backward(x, softmax(x, 0), 0) == 0 and log_softmax_backward(x, log_softmax(x, 0), 0) == 0


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("rows", [1, 37, 5000])
def test_reduced_cross_entropy_is_that_of_the_rows(dtype: np.dtype[Any], rows: int) -> None:
    x, target = rng.standard_normal((rows, 7)).astype(dtype), rng.integers(1, 7, rows)
    target[rows // 2 :: 3] = 0  # ignored below
    target[0] = 3
    for weight in (None, rng.uniform(0.5, 1.5, 7).astype(dtype)):
        losses, level = cross_entropy(x, target, weight, 0, 0.1)
        counts = np.where(target == 0, 0.0, 1.0 if weight is None else weight[target].astype(np.float64))
        for mean, divisor in ((True, counts.sum()), (False, 1.0)):
            loss, kept, total = reduced_cross_entropy(x, target, weight, 0, 0.1, mean)
            assert loss.shape == ()
            assert loss.dtype == dtype
            np.testing.assert_allclose(loss, losses.sum(dtype=np.float64) / divisor, rtol=8 * float(np.finfo(dtype).eps))
            np.testing.assert_array_equal(kept, level)
            if mean:
                np.testing.assert_allclose(total, divisor, rtol=4 * float(np.finfo(dtype).eps))


def test_empty_cross_entropy() -> None:
    losses, level = cross_entropy(np.ones((0, 3)), np.zeros(0, np.int64), None, -100, 0.0)
    assert losses.shape == level.shape == (0,)
    assert cross_entropy_backward(losses, np.ones((0, 3)), np.zeros(0, np.int64), level, None, -100, 0.0).shape == (
        0,
        3,
    )


@pytest.mark.parametrize("shape", [(3000, 50), (40, 20_000), (100, 60, 70)], ids=str)
def test_bits_do_not_depend_on_threads(shape: tuple[int, ...]) -> None:
    x, g = rng.standard_normal((2, *shape)).astype(np.float32)
    target = rng.integers(0, shape[-1], x.size // shape[-1])
    rows = x.reshape(-1, shape[-1])
    threads = runtime.get_num_threads()
    try:
        results = set()
        for count in (1, 2, 5):
            runtime.set_num_threads(count)
            losses, level = cross_entropy(rows, target, None, -100, 0.1)
            arrays = [losses, cross_entropy_backward(losses, rows, target, level, None, -100, 0.1)]
            for axis in range(x.ndim):
                y = softmax(x, axis)
                arrays += [y, softmax_backward(g, y, axis), log_softmax(x, axis)]
                arrays.append(log_softmax_backward(g, arrays[-1], axis))
            results.add(b"".join(a.tobytes() for a in arrays))
        assert len(results) == 1
    finally:
        runtime.set_num_threads(threads)
