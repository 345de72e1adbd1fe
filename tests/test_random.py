"""Random numbers: the generator against an independent one, reproducibility, ranges, laws and dropout."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from scipy import stats

import tapegrad as tg
from tapegrad import dtypes
from tapegrad.kernels.cpu.random import philox


def reference(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 as in Salmon et al., SC 2011, on Python integers."""
    c, k = list(counter), list(key)
    for round_ in range(10):
        if round_:
            k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b % 2**32, (a >> 32) ^ c[3] ^ k[1], a % 2**32]
    return tuple(c)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # Random123's known answers (kat_vectors)
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_the_reference_gives_the_known_answers(counter: Any, key: Any, expected: Any) -> None:
    assert reference(counter, key) == expected


@pytest.mark.parametrize(("seed", "counter"), [(0, 0), (1, 0), (-1, 0), (2**62 + 12345, 2**40 + 7), (-(2**63), 2**32 - 1), (0x299F31D0A4093822, 5)])
def test_kernel_equals_the_reference(seed: int, counter: int) -> None:
    words, following = philox.bits(6, seed, counter)
    expected: list[int] = []
    for block in range(3):
        at = counter + block
        expected += reference((at % 2**32, at >> 32, 0, 0), (seed % 2**32, (seed >> 32) % 2**32))
    assert words.view(np.uint32).tolist() == expected
    assert following == counter + 3


def test_known_answer_of_the_kernel() -> None:
    words, _ = philox.bits(2, 0, 0)
    assert [hex(w) for w in words.view(np.uint32).tolist()] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


DRAWS = {
    "rand": lambda g: tg.rand(7, 3, generator=g),
    "rand float64": lambda g: tg.rand(7, 3, generator=g, dtype=tg.float64),
    "rand float16": lambda g: tg.rand(7, 3, generator=g, dtype=tg.float16),
    "randn": lambda g: tg.randn(5, generator=g),
    "randn float64": lambda g: tg.randn(5, generator=g, dtype=tg.float64),
    "randint": lambda g: tg.randint(-5, 90, (11,), generator=g),
    "randperm": lambda g: tg.randperm(13, generator=g),
    "uniform_": lambda g: tg.zeros(9).uniform_(-1, 3, generator=g),
    "normal_": lambda g: tg.zeros(9).normal_(1, 2, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_equal_seeds_and_states_give_equal_numbers(name: str) -> None:
    draw = DRAWS[name]
    g = tg.Generator().manual_seed(11)
    first, state, second = draw(g), g.get_state(), draw(g)
    assert first.tolist() != second.tolist()
    h = tg.Generator().manual_seed(11)
    assert draw(h).tolist() == first.tolist()
    assert h.get_state().tolist() == state.tolist()
    g.set_state(state)
    assert draw(g).tolist() == second.tolist()
    assert draw(tg.Generator().manual_seed(12)).tolist() != first.tolist()
    assert int(state[1]) > 0


def test_the_default_generator() -> None:
    tg.manual_seed(5)
    assert tg.initial_seed() == 5
    a, state, b = tg.rand(3), tg.get_rng_state(), tg.rand(3)
    tg.set_rng_state(state)
    assert tg.rand(3).tolist() == b.tolist()
    assert tg.manual_seed(5) is tg.default_generator
    assert tg.rand(3).tolist() == a.tolist()
    assert tg.rand(3, generator=tg.Generator().manual_seed(5)).tolist() == a.tolist()
    assert tg.manual_seed(2**64 - 1).initial_seed() == -1
    assert tg.seed() == tg.initial_seed()
    with pytest.raises(TypeError, match="integer"):
        tg.manual_seed(1.5)
    with pytest.raises(ValueError, match="get_state"):
        tg.set_rng_state(tg.zeros(2))


def test_numbers_do_not_depend_on_threads_or_on_how_they_are_asked_for() -> None:
    before = tg.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            tg.set_num_threads(threads)
            tg.manual_seed(3)
            results.append(tg.randn(150_001).numpy().tobytes())
    finally:
        tg.set_num_threads(before)
    assert len(set(results)) == 1
    tg.manual_seed(3)
    a = tg.rand(4), tg.rand(4)
    tg.manual_seed(3)
    assert tg.rand(8).tolist() == a[0].tolist() + a[1].tolist()


def test_every_draw_is_used_once_when_threads_share_a_generator() -> None:
    g = tg.Generator().manual_seed(1)
    drawn: list[float] = []

    def work() -> None:
        for _ in range(50):
            drawn.extend(tg.rand(8, generator=g, dtype=tg.float64).tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(drawn) == sorted(tg.rand(1600, generator=tg.Generator().manual_seed(1), dtype=tg.float64).tolist())


@pytest.mark.parametrize("d", [tg.float32, tg.float64])
def test_laws(d: Any) -> None:
    """Kolmogorov-Smirnov distance of 1e5 draws with a fixed seed: 1.63 / sqrt(n) is the 1% bound."""
    n = 100_000
    bound = 1.63 / math.sqrt(n)
    tg.manual_seed(1)
    uniform, normal = tg.rand(n, dtype=d).numpy(), tg.randn(n, dtype=d).numpy()
    assert stats.kstest(uniform, "uniform").statistic < bound
    assert stats.kstest(normal, "norm").statistic < bound
    assert stats.kstest(tg.zeros(n, dtype=d).uniform_(-3, 5).numpy(), stats.uniform(-3, 8).cdf).statistic < bound
    assert stats.kstest(tg.zeros(n, dtype=d).normal_(2, 0.5).numpy(), stats.norm(2, 0.5).cdf).statistic < bound
    for values in (uniform, normal):
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 3 / math.sqrt(n)
        assert abs(np.corrcoef(values[::2], values[1::2])[0, 1]) < 3 / math.sqrt(n / 2)
    assert np.isfinite(normal).all()
    assert normal.max() > 4


@pytest.mark.parametrize("d", [tg.float16, dtypes.bfloat16, tg.float32, tg.float64])
def test_rand_is_never_one(d: Any) -> None:
    tg.manual_seed(0)
    values = tg.rand(200_000, dtype=d).numpy().astype(np.float64)
    assert 0 <= values.min() < values.max() < 1
    assert abs(values.mean() - 0.5) < 0.01
    tall = tg.zeros(200_000, dtype=d).uniform_(1, 2).numpy().astype(np.float64)
    assert 1 <= tall.min() < tall.max() < 2


def test_the_largest_uniform_word_is_below_the_upper_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = lambda shape, d, seed, counter: (np.full(shape, 1 - 2.0**-24, d), counter)
    monkeypatch.setattr("tapegrad.kernels.cpu.random_uniform", largest)
    monkeypatch.setattr("tapegrad.kernels.cpu.random.distributions.uniform", largest)
    assert float(tg.rand(1)) < 1
    assert float(tg.zeros(1).uniform_(1, 2).max()) < 2
    assert float(tg.zeros(1).uniform_(-7, 0.3).max()) < np.float32(0.3)
    assert tg.zeros(1).uniform_(2, 2).tolist() == [2]


def test_randint() -> None:
    tg.manual_seed(0)
    n = 60_000
    counts = np.bincount(tg.randint(6, (n,)).numpy(), minlength=6)
    assert stats.chisquare(counts).pvalue > 0.01
    assert set(tg.randint(-2, 1, (100,)).tolist()) == {-2, -1, 0}
    assert tg.randint(3, 4, (5,)).tolist() == [3] * 5
    assert tg.randint(5, (2, 3)).shape == (2, 3)
    assert tg.randint(0, 2, (50,), dtype=tg.bool).dtype is tg.bool
    assert tg.randint(0, 9, (3,), dtype=tg.float32).dtype is tg.float32
    assert tg.randint(0, 256, (1000,), dtype=tg.uint8).numpy().max() > 200
    for low, high in [(0, 0), (3, 2)]:
        with pytest.raises(RuntimeError, match="empty"):
            tg.randint(low, high, (2,))
    for low, high, d in [(0, 300, tg.uint8), (-1, 3, tg.uint8), (0, 129, tg.int8), (0, 2**63 + 1, None), (-(2**63) - 1, 0, None), (0, 3, tg.bool)]:
        with pytest.raises(RuntimeError, match="does not fit"):
            tg.randint(low, high, (2,), dtype=d)
    with pytest.raises(TypeError):
        tg.randint(0, 2.5, (2,))


def test_randint_over_all_of_int64_and_without_bias() -> None:
    tg.manual_seed(0)
    values = tg.randint(-(2**63), 2**63, (20_000,)).numpy().astype(np.float64) / 2.0**63
    assert stats.kstest(values, stats.uniform(-1, 2).cdf).statistic < 1.63 / math.sqrt(20_000)
    span = 3 * 2**62  # words modulo this would favour its first third by a factor of two
    values = tg.randint(-(2**62), 2**63, (20_000,)).numpy().astype(np.float64)
    assert stats.kstest(values, stats.uniform(-(2.0**62), span).cdf).statistic < 1.63 / math.sqrt(20_000)
    state = tg.get_rng_state()
    again = tg.randint(-(2**62), 2**63, (100,)).tolist()
    tg.set_rng_state(state)
    assert tg.randint(-(2**62), 2**63, (100,)).tolist() == again


def test_randperm() -> None:
    tg.manual_seed(0)
    for n in (0, 1, 2, 1000):
        assert sorted(tg.randperm(n).tolist()) == list(range(n))
    firsts = np.bincount([int(tg.randperm(5)[0]) for _ in range(2000)], minlength=5)
    assert stats.chisquare(firsts).pvalue > 0.01
    with pytest.raises(RuntimeError, match="negative"):
        tg.randperm(-1)


def test_refusals() -> None:
    for wrong in (tg.int64, tg.bool, tg.complex64):
        with pytest.raises(RuntimeError, match="floating-point"):
            tg.rand(2, dtype=wrong)
    with pytest.raises(RuntimeError, match="negative"):
        tg.randn(-1)
    with pytest.raises(RuntimeError, match="TiB"):
        tg.rand(2**50)
    with pytest.raises(RuntimeError, match="empty"):
        tg.zeros(2).uniform_(1, 0)
    with pytest.raises(RuntimeError, match="negative"):
        tg.zeros(2).normal_(0, -1)
    assert tg.rand(0, 3).shape == (0, 3)
    assert tg.rand(2, requires_grad=True).requires_grad
    assert tg.randn_like(tg.ones(2, 3, dtype=tg.float64)).dtype is tg.float64


# -------------------------------------------------------------------------------------------------------------- dropout

dropout = tg.nn.functional.dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(p: float) -> None:
    tg.manual_seed(0)
    x = tg.full((100_000,), 3.0, requires_grad=True)
    before = int(tg.get_rng_state()[1])
    y = dropout(x, p)
    assert int(tg.get_rng_state()[1]) == before + 25_000  # one number an element, drawn once, also after backward
    values = y.detach().numpy()
    kept = values != 0
    assert abs(kept.mean() - (1 - p)) < 4 * math.sqrt(p * (1 - p) / x.numel())
    np.testing.assert_allclose(values[kept], 3 / (1 - p), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, 1 / (1 - p), 0), rtol=1e-6)
    assert int(tg.get_rng_state()[1]) == before + 25_000


def test_dropout_edges() -> None:
    x = tg.tensor([1.0, float("inf"), 3e38], requires_grad=True)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.5, training=False) is x
    nothing = dropout(x, 1.0)
    assert nothing.tolist() == [0, 0, 0]
    nothing.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            dropout(x, wrong)
    with pytest.raises(RuntimeError, match="floating-point or complex"):
        dropout(tg.ones(3, dtype=tg.int64))
    buffer = tg.ones(1000)
    assert dropout(buffer, 0.5, inplace=True) is buffer
    assert set(buffer.tolist()) == {0.0, 2.0}


def test_fork_rng_puts_the_generator_back() -> None:
    tg.manual_seed(3)
    first = tg.rand(2).tolist()
    tg.manual_seed(3)
    with tg.random.fork_rng():
        tg.rand(7)
    assert tg.rand(2).tolist() == first
    state = tg.random.get_rng_state()
    with tg.random.fork_rng(enabled=False):
        tg.rand(1)
    assert not tg.equal(tg.get_rng_state(), state)
