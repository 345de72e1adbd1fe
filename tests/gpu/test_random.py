"""Random numbers on the GPU: the CPU's, from the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Tensor, nn

N = 1003  # more than a block of threads makes, and its last block of words is cut


def both(draw: Callable[..., Any], seed: int = -7) -> tuple[Any, Any]:
    """What a function of (device, generator) gives on the GPU and on the CPU."""
    made = [draw(where, tg.Generator(device=where).manual_seed(seed)) for where in ("cuda", "cpu")]
    assert made[0].is_cuda and made[0].dtype == made[1].dtype
    return made[0].cpu(), made[1]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["rand", "randn"])
def test_numbers_are_those_of_the_cpu(name: str, dtype: str) -> None:
    kind = getattr(tg, dtype)
    found, expected = both(lambda where, g: getattr(tg, name)(N, generator=g, dtype=kind, device=where))
    a, b = found.to(tg.float64).numpy(), expected.to(tg.float64).numpy()
    if name == "rand":
        assert np.array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=8 * tg.finfo(kind).eps, atol=4 * tg.finfo(tg.float32 if dtype != "float64" else kind).eps)


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("uniform_", (-2.0, 3.0)), ("normal_", (1.0, 0.5)), ("log_normal_", (0.5, 0.25)), ("exponential_", (2.0,)), ("cauchy_", (1.0, 2.0)),
        ("geometric_", (0.3,)), ("random_", (5, 1000)), ("bernoulli_", (0.3,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_in_place_sampling(method: str, args: tuple[Any, ...], dtype: str) -> None:
    found, expected = both(lambda where, g: getattr(tg.empty(7, 11, dtype=getattr(tg, dtype), device=where), method)(*args, generator=g))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=3e-5 if dtype == "float32" else 1e-12, atol=1e-6)


def test_geometric_numbers_of_integer_dtypes_are_clipped() -> None:
    found, expected = both(lambda where, g: tg.empty(N, dtype=tg.int8, device=where).geometric_(0.01, generator=g))
    assert found.tolist() == expected.tolist() and int(found.max()) == 127


@pytest.mark.parametrize(("low", "high"), [(0, 10), (-5, 2**31), (0, 2**40), (-(2**63), 2**63 - 1)])
def test_integers(low: int, high: int) -> None:
    found, expected = both(lambda where, g: tg.randint(low, high, (N,), generator=g, device=where))
    assert found.tolist() == expected.tolist()


def test_words_that_favour_small_numbers_are_replaced() -> None:
    span = 3 * 2**61  # 2^64 is 2.67 times that
    found = tg.randint(0, span, (N,), generator=tg.Generator("cuda").manual_seed(1), device="cuda").cpu().numpy()
    assert found.min() >= 0 and found.max() < span
    assert abs(np.mean(found < span // 3) - 1 / 3) < 0.06


def test_permutations() -> None:
    found, expected = both(lambda where, g: tg.randperm(N, generator=g, device=where))
    assert found.tolist() == expected.tolist()


def test_bernoulli_and_multinomial() -> None:
    odds = tg.rand(5, 40, generator=tg.Generator().manual_seed(2))
    found, expected = both(lambda where, g: tg.bernoulli(odds.to(where), generator=g))
    assert found.tolist() == expected.tolist()
    found, expected = both(lambda where, g: tg.multinomial(odds.to(where), 8, generator=g))
    assert found.tolist() == expected.tolist()


def test_multinomial_with_replacement() -> None:
    weights = tg.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, 0.0]])
    found, expected = both(lambda where, g: tg.multinomial(weights.to(where), 200, replacement=True, generator=g))
    assert found.tolist() == expected.tolist()


def test_gamma_and_poisson_numbers_have_their_distribution() -> None:
    n, g = 1500, tg.Generator("cuda").manual_seed(3)
    for rate in (0.5, 6.0, 40.0):
        x = tg.poisson(tg.full((n,), rate, device="cuda"), g).cpu().numpy()
        assert abs(x.mean() - rate) < 5 * (rate / n) ** 0.5 and 0.8 < x.var() / rate < 1.25
    for shape in (0.3, 2.5):
        from tapegrad.ops.random.gamma import log_gamma_draw

        x = np.exp(log_gamma_draw(tg.full((n,), shape, device="cuda", dtype=tg.float64), g).cpu().numpy())
        assert abs(x.mean() - shape) < 5 * (shape / n) ** 0.5 and 0.7 < x.var() / shape < 1.4
    assert tg.poisson(tg.zeros(3, device="cuda"), g).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64"])
def test_dropout_drops_the_same_elements(dtype: str) -> None:
    kind = getattr(tg, dtype)
    x = tg.arange(1, N + 1).to(kind)
    results = []
    for where in ("cuda", "cpu"):
        tg.manual_seed(5)
        a = x.to(where).requires_grad_()
        y = tg.nn.functional.dropout(a, 0.3)
        (g,) = tg.autograd.grad(y, [a], [tg.ones(N, dtype=kind, device=where)])
        results.append((y.detach().cpu().numpy(), g.cpu().numpy()))
    for found, expected in zip(*results, strict=True):
        assert np.array_equal(found == 0, expected == 0)
        np.testing.assert_allclose(found, expected, rtol=2e-3 if dtype == "float16" else 1e-6)


def test_default_generators_follow_seeds_and_generators_have_a_device() -> None:
    tg.manual_seed(11)
    a = tg.rand(5, device="cuda").tolist()
    tg.cuda.manual_seed(11)
    assert tg.rand(5, device="cuda").tolist() == a
    assert tg.rand(5, device="cuda").tolist() != a
    state = tg.cuda.get_rng_state()
    b = tg.rand_like(tg.empty(5, device="cuda")).tolist()
    tg.cuda.set_rng_state(state)
    assert tg.rand(5, device="cuda").tolist() == b
    with tg.random.fork_rng():
        c = tg.rand(5, device="cuda").tolist()
    assert tg.rand(5, device="cuda").tolist() == c
    with pytest.raises(RuntimeError, match="expected a generator of device 'cuda:0', got one of 'cpu'"):
        tg.rand(3, generator=tg.Generator(), device="cuda")


BAD_VALUES = [
    ("bernoulli: p must be in", lambda x: tg.bernoulli(x), 1.5),
    ("bernoulli: p must be in", lambda x: tg.bernoulli(x), float("nan")),
    ("bernoulli_: p must be in", lambda x: tg.zeros(300, device=x.device).bernoulli_(x), -0.5),
    ("multinomial: weights must be finite", lambda x: tg.multinomial(x, 2), -1.0),
    ("multinomial: weights must be finite", lambda x: tg.multinomial(x, 2, replacement=True), float("inf")),
    ("normal: std must not be negative", lambda x: tg.normal(0.0, x), -2.0),
    ("poisson: rates must not be negative", lambda x: tg.poisson(x), -3.0),
    ("binary_cross_entropy: the input needs probabilities", lambda x: nn.functional.binary_cross_entropy(x, x), 1.25),
]


@pytest.mark.parametrize(("message", "call", "value"), BAD_VALUES)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16], ids=str)
def test_values_out_of_range_are_noticed_when_the_host_looks(message: str, call: Callable[[Tensor], Tensor], value: float, dtype: Any, cuda: Any) -> None:
    x = tg.full((300,), 0.5, dtype=dtype, device=cuda)
    call(x)
    tg.cuda.synchronize(cuda)
    x[277] = value
    made = call(x)
    with pytest.raises(RuntimeError, match=rf"{message}.*, got {value:.6g} on {cuda}.*noticed later than it happened") as raised:
        made.cpu()
    assert type(raised.value) is RuntimeError
    made.cpu()  # said once
    call(x)
    with pytest.raises(RuntimeError, match="noticed"):
        tg.cuda.synchronize(cuda)
