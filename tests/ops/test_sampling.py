"""Random laws: reproducibility, ranges, moments and distributions, and what is written in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import tapegrad as tg
from tapegrad import autograd

DRAWS: dict[str, Callable[[tg.Generator], tg.Tensor]] = {
    "bernoulli": lambda g: tg.bernoulli(tg.full((40,), 0.5), generator=g),
    "bernoulli_": lambda g: tg.zeros(40).bernoulli_(0.5, generator=g),
    "multinomial": lambda g: tg.multinomial(tg.ones(3, 50), 20, generator=g),
    "multinomial with replacement": lambda g: tg.multinomial(tg.ones(50), 20, replacement=True, generator=g),
    "normal": lambda g: tg.normal(tg.zeros(3), tg.ones(2, 1), generator=g),
    "normal of a size": lambda g: tg.normal(1.0, 2.0, (5,), generator=g),
    "poisson": lambda g: tg.poisson(tg.full((20,), 9.0), generator=g),
    "exponential_": lambda g: tg.zeros(5).exponential_(generator=g),
    "geometric_": lambda g: tg.zeros(50).geometric_(0.2, generator=g),
    "log_normal_": lambda g: tg.zeros(5).log_normal_(generator=g),
    "cauchy_": lambda g: tg.zeros(5).cauchy_(generator=g),
    "random_": lambda g: tg.zeros(5).random_(generator=g),
    "rand_like": lambda g: tg.rand_like(tg.zeros(5), generator=g),
    "randn_like": lambda g: tg.randn_like(tg.zeros(5), generator=g),
    "randint_like": lambda g: tg.randint_like(tg.zeros(5), 1000, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_equal_seeds_and_states_give_equal_numbers(name: str) -> None:
    draw = DRAWS[name]
    g = tg.Generator().manual_seed(5)
    first, state, second = draw(g), g.get_state(), draw(g)
    assert first.tolist() != second.tolist()
    assert draw(tg.Generator().manual_seed(5)).tolist() == first.tolist()
    g.set_state(state)
    assert draw(g).tolist() == second.tolist()
    tg.manual_seed(5)
    assert draw(tg.default_generator).tolist() == first.tolist()


LAWS: dict[str, tuple[Callable[[tg.Tensor], tg.Tensor], Any]] = {
    "uniform_": (lambda x: x.uniform_(-1.0, 3.0), stats.uniform(-1, 4)),
    "normal_": (lambda x: x.normal_(1.0, 2.0), stats.norm(1, 2)),
    "exponential_": (lambda x: x.exponential_(2.0), stats.expon(scale=0.5)),
    "log_normal_": (lambda x: x.log_normal_(0.5, 0.7), stats.lognorm(0.7, scale=math.exp(0.5))),
    "cauchy_": (lambda x: x.cauchy_(1.0, 2.0), stats.cauchy(1, 2)),
}


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("name", LAWS)
def test_continuous_laws(name: str, dtype: tg.dtype) -> None:
    tg.manual_seed(1)
    fill, law = LAWS[name]
    x = tg.empty(20_000, dtype=dtype)
    assert fill(x) is x
    assert stats.kstest(x.numpy(), law.cdf).pvalue > 0.001


DISCRETE: dict[str, tuple[Callable[[int], tg.Tensor], Any]] = {
    "geometric_": (lambda n: tg.empty(n).geometric_(0.3), stats.geom(0.3)),
    "geometric_ of integers": (lambda n: tg.zeros(n, dtype=tg.int16).geometric_(0.3), stats.geom(0.3)),
    "poisson": (lambda n: tg.poisson(tg.full((n,), 3.5)), stats.poisson(3.5)),
    "bernoulli": (lambda n: tg.bernoulli(tg.full((n,), 0.2)), stats.bernoulli(0.2)),
    "bernoulli_ of bools": (lambda n: tg.zeros(n, dtype=tg.bool).bernoulli_(0.2), stats.bernoulli(0.2)),
    "random_": (lambda n: tg.zeros(n, dtype=tg.int64).random_(-2, 5), stats.randint(-2, 5)),
    "random_ below": (lambda n: tg.zeros(n).random_(7), stats.randint(0, 7)),
    "randint_like": (lambda n: tg.randint_like(tg.zeros(n), 3, 9), stats.randint(3, 9)),
    "multinomial": (lambda n: tg.multinomial(tg.tensor([1.0, 0.0, 3.0]), n, True), stats.rv_discrete(values=([0, 1, 2], [0.25, 0, 0.75]))),
    "multinomial of rows": (lambda n: tg.multinomial(tg.tensor([[1.0, 3.0]] * n), 1), stats.bernoulli(0.75)),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_laws(name: str) -> None:
    tg.manual_seed(2)
    make, law = DISCRETE[name]
    n = 20_000
    values, counts = np.unique(make(n).numpy().reshape(-1).astype(np.float64), return_counts=True)
    expected = n * law.pmf(values)
    assert (expected > 0).all(), "a value that the law does not have"
    common = expected >= 5
    assert expected[common].sum() > 0.99 * n
    square = ((counts - expected)[common] ** 2 / expected[common]).sum()
    assert stats.chi2(max(int(common.sum()) - 1, 1)).sf(square) > 0.001


def test_normal_takes_means_and_deviations_from_tensors() -> None:
    tg.manual_seed(3)
    mean, std = tg.tensor([[0.0], [100.0]]), tg.full((20_000,), 0.5)
    for x in (tg.normal(mean, std), tg.normal(mean.expand(2, 20_000), 0.5)):
        assert stats.kstest(x[1].numpy(), stats.norm(100, 0.5).cdf).pvalue > 0.001
        assert x.shape == (2, 20_000)
    assert tg.normal(0.0, std).shape == (20_000,)
    assert tg.normal(tg.tensor([3.0, 4.0]), 0.0).tolist() == [3.0, 4.0]
    assert tg.normal(0.0, 1.0, (2, 3), dtype=tg.float64).dtype is tg.float64
    assert tg.normal(tg.zeros(2, dtype=tg.float64)).dtype is tg.float64


def test_without_replacement_nothing_is_drawn_twice_and_zero_weights_never() -> None:
    tg.manual_seed(4)
    weights = tg.rand(200, 10)
    weights[:, 3] = 0.0
    drawn = tg.multinomial(weights, 9).numpy()
    assert drawn.dtype == np.int64
    assert (np.sort(drawn, 1) == [0, 1, 2, 4, 5, 6, 7, 8, 9]).all()
    firsts = tg.multinomial(tg.tensor([[1.0, 2.0, 7.0]] * 20_000), 2).numpy()
    assert abs(np.mean(firsts[:, 0] == 2) - 0.7) < 0.015
    assert abs(np.mean((firsts == [2, 1]).all(1)) - 0.7 * 2 / 3) < 0.015
    assert (tg.multinomial(tg.tensor([0.0, 1e-30, 0.0]), 100, replacement=True).numpy() == 1).all()


def test_certain_and_impossible_events() -> None:
    p = tg.tensor([0.0, 1.0] * 5000)
    assert tg.bernoulli(p).tolist() == p.tolist()
    assert tg.bernoulli(p, 1.0).numpy().all()
    assert tg.zeros(10_000).bernoulli_(p).tolist() == p.tolist()
    assert tg.zeros(2, 3).bernoulli_(tg.tensor([[1.0], [0.0]])).tolist() == [[1.0] * 3, [0.0] * 3]
    assert tg.poisson(tg.zeros(3)).tolist() == [0.0] * 3
    x = tg.zeros(100_000).exponential_()
    assert (x > 0).all()
    assert x.isfinite().all()


@pytest.mark.parametrize("dtype", [tg.bool, tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64, tg.float16, tg.float32, tg.float64])
def test_random_fills_the_whole_range_of_a_dtype(dtype: tg.dtype) -> None:
    tg.manual_seed(6)
    x = tg.zeros(20_000, dtype=dtype).random_().double()
    top = {"bool": 1, "float16": 2**11, "float32": 2**24, "float64": 2**53}.get(dtype.name) or tg.iinfo(dtype).max
    assert x.min() >= 0
    assert x.max() <= top
    assert x.max() >= 0.99 * top
    with pytest.raises(RuntimeError, match="random_: the range .* does not fit into dtype"):
        tg.zeros(3, dtype=dtype).random_(0, 2**54 if dtype.is_floating_point else top + 2)


def test_random_names_its_bounds_as_pytorch_does() -> None:
    x = tg.zeros(50).random_(**{"from": 3, "to": 5})
    assert set(x.tolist()) == {3.0, 4.0}
    assert set(tg.zeros(50).random_(3, to=5).tolist()) == {3.0, 4.0}
    with pytest.raises(TypeError, match="random_"):
        tg.zeros(3).random_(low=1)


def test_what_was_overwritten_gets_no_gradient() -> None:
    for name, args in (("uniform_", ()), ("normal_", ()), ("exponential_", ()), ("bernoulli_", ()), ("random_", (5,)), ("geometric_", (0.5,))):
        x = tg.ones(4, requires_grad=True)
        y = x * 2
        getattr(y, name)(*args)
        assert autograd.grad((y + x).sum(), x)[0].tolist() == [1.0] * 4
        with pytest.raises(RuntimeError, match="a leaf tensor that requires grad"):
            getattr(x, name)(*args)
    p = tg.full((3,), 0.5, requires_grad=True)
    assert not tg.bernoulli(p).requires_grad
    assert not tg.normal(p, p).requires_grad


@pytest.mark.parametrize("name", ["uniform_", "normal_", "exponential_", "log_normal_", "cauchy_"])
def test_laws_of_floats_refuse_integers(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name}: self must be floating-point, got dtype tapegrad.int64"):
        getattr(tg.zeros(3, dtype=tg.int64), name)()
    assert getattr(tg.zeros(3, dtype=tg.float16), name)().dtype is tg.float16
