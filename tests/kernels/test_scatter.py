"""Slices taken and added by index, beside NumPy's ``ufunc.at``, and random numbers beside their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels.cpu.index.index import add_at, scatter_at, scatter_rows
from tapegrad.kernels.cpu.index.scatter import take
from tapegrad.kernels.cpu.random import philox
from tapegrad.kernels.cpu.random.dropout import dropout

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int8", "complex64", "float16"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_added_in_order(axis: int, dtype: str) -> None:
    x = (RNG.normal(size=(5, 6, 7)) * 9).astype(dtype)
    index = (slice(None),) * axis + (RNG.integers(-5, 5, (2, 9)),)
    values = (RNG.normal(size=(*x.shape[:axis], 2, 9, *x.shape[axis + 1 :])) * 9).astype(dtype)
    wide = np.float32 if dtype == "float16" else x.dtype
    expected = x.astype(wide)
    np.add.at(expected, index, values.astype(wide))
    assert add_at(x, index, values).tolist() == expected.astype(dtype).tolist()
    alone = np.zeros(x.shape, wide)
    np.add.at(alone, index, values.astype(wide))
    assert scatter_at(values, index, x.shape).tolist() == alone.astype(dtype).tolist()


def test_rows_threads_and_a_row_left_out() -> None:
    rows, index = RNG.normal(size=(3000, 40)).astype(np.float32), RNG.integers(0, 500, 3000)
    expected = np.zeros((500, 40), np.float32)
    np.add.at(expected, index, rows)
    expected[7] = 0
    for threads in (1, 2):
        tg.set_num_threads(threads)
        assert scatter_rows(rows, index, (500, 40), 7).tobytes() == expected.tobytes()
        assert take(expected, index, 0).tobytes() == expected[index].tobytes()
        assert take(expected, index, 1 if index.max() < 40 else 0).shape == (3000, 40)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_along_any_axis_of_any_layout(axis: int) -> None:
    x = RNG.normal(size=(4, 5, 6)).transpose(2, 0, 1)[::-1]
    axis %= 3
    for index in (RNG.integers(0, 4, (3, 2)), np.array(1), np.zeros((0, 2), np.int64)):
        assert take(x, index, axis).tolist() == np.take(x, index, axis).tolist()


@pytest.mark.parametrize("span", [1, 2, 10, 2**16 + 1, 2**32 - 5, 2**32, 2**32 + 1, 2**62 + 3, 2**63 + 5, 2**64 - 1])
def test_integers_are_words_modulo_the_span(span: int) -> None:
    seed, n = 5, 4001
    low = -(2**63) if span > 2**62 else -3
    made, _ = philox.integers((n,), low, low + span, seed, 9)
    words, following = philox.bits(n, seed, 9)
    rest = 2**64 % span
    first = [int(w) for w in words]
    kept = [i for i, w in enumerate(first) if w < 2**64 - rest]
    assert [int(made[i]) for i in kept] == [first[i] % span + low for i in kept]
    assert all(low <= int(m) < low + span for m in made)
    assert following == 9 + (n + 1) // 2


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000, 70001])
def test_a_permutation_is_the_order_of_words(n: int) -> None:
    keys, after = philox.bits(n, 3, 4)
    made, following = philox.permutation(n, 3, 4)
    assert made.tolist() == np.argsort(keys, kind="stable").tolist()
    assert following == after


@pytest.mark.parametrize("n", [1, 2, 3, 5, 40002])
def test_normal_numbers_are_those_of_box_and_muller(n: int) -> None:
    blocks = -(-n // 4)
    u = philox.uniform((4 * blocks,), np.dtype(np.float32), 1, 2)[0].astype(np.float64).reshape(-1, 2)
    r, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
    expected = np.stack([r * np.cos(angle), r * np.sin(angle)], 1).reshape(-1)[:n]
    made, following = philox.normal((n,), np.dtype(np.float32), 1, 2)
    np.testing.assert_allclose(made, expected, rtol=2e-6, atol=1e-6)
    assert following == 2 + blocks


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_keeps_where_a_uniform_number_says_so(p: float, dtype: str) -> None:
    x = RNG.normal(size=(3, 7, 5)).astype(dtype).transpose(2, 0, 1)
    if dtype != "complex64":
        x[0, 0, 0] = np.inf
    kept = philox.uniform(x.shape, np.dtype(np.float32), 8, 9)[0] >= np.float32(p)
    y = dropout(x, p, 8, 9)
    assert y.dtype == x.dtype
    scaled = x / (1 - p or 1)
    np.testing.assert_allclose(y[kept], scaled[kept], rtol=1e-3 if dtype == "float16" else 1e-6)
    assert not y[~kept].any()


def test_dropout_gradients_drop_the_same_elements_to_second_order() -> None:
    tg.manual_seed(0)
    x = tg.randn(64, 33, requires_grad=True)
    y = tg.nn.functional.dropout(x, 0.4)
    (first,) = tg.autograd.grad((y * y).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    kept: Any = (y != 0).numpy()
    np.testing.assert_allclose(second.numpy(), np.where(kept, 2 / 0.6**2, 0), rtol=1e-5)
    assert abs(kept.mean() - 0.6) < 0.05
