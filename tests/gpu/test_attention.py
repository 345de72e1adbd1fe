"""Attention and recurrent layers on a GPU: several tiles, layouts, masks and dtypes, against NumPy in double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matrices import EPS, values

from tapegrad.kernels import cpu, cuda as K
from tapegrad.kernels.cuda.drivers import ON_CPU
from tapegrad.kernels.cuda.language import SIMULATED

LENGTH, SOURCES = (17, 20) if SIMULATED else (150, 333)


def expected(q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, g: Any) -> tuple[Any, ...]:
    """The output and the gradients of query, key and value, in double precision."""
    s = q @ k.swapaxes(-1, -2) * scale + (0 if mask is None else mask)
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    largest = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(largest), 0, largest))
    total = e.sum(-1, keepdims=True)
    p = e / np.where(total == 0, 1, total)
    into = g @ v.swapaxes(-1, -2)
    slopes = p * (into - (p * into).sum(-1, keepdims=True)) * scale
    return p @ v, slopes @ k, slopes.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g


def compare(q: Any, k: Any, v: Any, mask: Any, causal: bool, g: Any, arrange: Any = lambda x: x, within: int = 32) -> None:
    dtype, scale = q.dtype.name, 0.7
    wide = [None if x is None else arrange(x).astype(np.float64) for x in (q, k, v)]
    m, slope = (None if x is None else x.astype(np.float64) for x in (mask, g))
    q, k, v = (arrange(K.to_device(x)) for x in (q, k, v))
    mask, g = (None if x is None else K.to_device(x) for x in (mask, g))
    out, statistics = K.attention(q, k, v, mask, scale, causal)
    assert statistics.shape == (*out.shape[:-2], 2, out.shape[-2])
    grads = K.attention_backward(g, q, k, v, mask, out, statistics, scale, causal)
    again = K.attention_backward(g, q, k, v, mask, out, statistics, scale, causal)
    for found, other, wanted in zip((out, *grads), (out, *again), expected(*wide, m, scale, causal, slope), strict=True):
        x = K.to_host(found).astype(np.float64)
        assert found.dtype == q.dtype and x.shape == wanted.shape
        assert np.abs(x - wanted).max() <= within * EPS[dtype] * max(1.0, np.abs(wanted).max())
        assert K.to_host(found).tobytes() == K.to_host(other).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_over_several_tiles(dtype: str, causal: bool, rng: np.random.Generator) -> None:
    q, k, v = values(rng, (2, LENGTH, 6), dtype), values(rng, (2, SOURCES, 6), dtype), values(rng, (2, SOURCES, 20), dtype)
    compare(q, k, v, None, causal, values(rng, (2, LENGTH, 20), dtype))


@pytest.mark.parametrize("width", [1, 17, 40] if ON_CPU else [1, 17, 64, 100, 256, 300])
def test_attention_of_any_width(width: int, rng: np.random.Generator) -> None:
    q, k, v = values(rng, (9, width), "float32"), values(rng, (5, width), "float32"), values(rng, (5, width), "float32")
    compare(q, k, v, None, False, values(rng, (9, width), "float32"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("widths", [(16, 16), (24, 32), (56, 40)] if SIMULATED else [(16, 16), (64, 64), (80, 96), (128, 72)])
def test_attention_on_tensor_cores(widths: tuple[int, int], causal: bool, dtype: str, rng: np.random.Generator) -> None:
    e, v = widths
    length, sources = (34, 35) if SIMULATED else (LENGTH, SOURCES)
    q, k, z = (values(rng, (2, 3, n, wide), dtype) for n, wide in ((length, e), (sources, e), (sources, v)))
    mask = np.where(rng.random((sources,)) < 0.2, -math.inf, rng.normal(size=(sources,))).astype(np.float32) if e == 16 else None
    compare(q[:, 1], k[:, 1], z[:, 1], mask, causal, values(rng, (2, length, v), dtype), within=1)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_on_tensor_cores_of_heads_between_features(causal: bool, rng: np.random.Generator) -> None:
    q, k, v = (values(rng, (2, n, 3, 16), "bfloat16") for n in (33, 18, 18))
    compare(q, k, v, None, causal, values(rng, (2, 3, 33, 16), "bfloat16"), lambda x: x.transpose(0, 2, 1, 3), within=1)


def test_attention_of_heads_that_lie_between_features(rng: np.random.Generator) -> None:
    q, k, v = (values(rng, (2, n, 3, 8), "float32") for n in (5, 7, 7))
    compare(q, k, v, None, False, values(rng, (2, 3, 5, 8), "float32"), lambda x: x.transpose(0, 2, 1, 3))
    out, _ = K.attention(*[K.to_device(x).transpose(0, 2, 1, 3) for x in (q, k, v)], None, 1.0, False)
    assert out.transpose(0, 2, 1, 3).flags.c_contiguous  # as the queries lie


def test_attention_with_masks_and_rows_that_see_nothing(rng: np.random.Generator) -> None:
    q, k, v = values(rng, (3, LENGTH, 4), "float32"), values(rng, (3, SOURCES, 4), "float32"), values(rng, (3, SOURCES, 4), "float32")
    g = values(rng, (3, LENGTH, 4), "float32")
    for shape in ((LENGTH, SOURCES), (3, 1, SOURCES), (3, LENGTH, 1)):
        mask = np.where(rng.random(shape) < 0.4, -math.inf, rng.normal(size=shape)).astype(np.float32)
        compare(q, k, v, mask, False, g)
    mask = np.zeros((LENGTH, SOURCES), np.float32)
    mask[3] = -math.inf
    compare(q, k, v, mask, False, g)
    out, _ = K.attention(*[K.to_device(x) for x in (q, k, v, mask)], 1.0, False)
    assert (K.to_host(out)[:, 3] == 0).all()


def test_attention_of_many_broadcast_dimensions(rng: np.random.Generator) -> None:
    q, k, v = values(rng, (2, 1, 3, 4, 5), "float32"), values(rng, (2, 2, 1, 6, 5), "float32"), values(rng, (2, 2, 1, 6, 5), "float32")
    out, statistics = K.attention(*[K.to_device(x) for x in (q, k, v)], None, 0.5, False)
    g = values(rng, (2, 2, 3, 4, 5), "float32")
    wanted = expected(*[x.astype(np.float64) for x in (q, k, v)], None, 0.5, False, g.astype(np.float64))
    made = (out, *K.attention_backward(K.to_device(g), *[K.to_device(x) for x in (q, k, v)], None, out, statistics, 0.5, False))
    for x, y in zip(made, wanted, strict=True):
        assert np.abs(K.to_host(x) - y).max() < 1e-5


# -------------------------------------------------------------------------------------------------------------- recurrent


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"])
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrent_layers_as_on_the_cpu(mode: str, dtype: str, reverse: bool, rng: np.random.Generator) -> None:
    gates = {"LSTM": 4, "GRU": 3}.get(mode, 1)
    steps, batch, inputs, size = (3, 5, 4, 17) if SIMULATED else (20, 33, 40, 65)
    width = gates * size
    shapes = [(steps, batch, inputs), (width, inputs), (width, size), (width,), (width,), (batch, size), (batch, size)]
    arrays: list[Any] = [values(rng, shape, dtype) * (1 if len(shape) != 2 else np.dtype(dtype).type(0.3)) for shape in shapes]
    for missing in ((), (3, 4), (5, 6)):
        given = [None if i in missing or (i == 6 and mode != "LSTM") else a for i, a in enumerate(arrays)]
        forward = cpu.recurrent(mode, *given, reverse)
        on_device = K.recurrent(mode, *[None if a is None else K.to_device(a) for a in given], reverse)
        close(on_device[:-1], forward[:-1], dtype)
        states = 2 if mode == "LSTM" else 1
        slopes = [values(rng, forward[i].shape, dtype) for i in range(1 + states)] + [None] * (2 - states)
        slopes = [None if i in missing else g for i, g in enumerate(slopes, 4)]
        needs = (True,) * 6 + (mode == "LSTM",)
        wanted = cpu.recurrent_backward(mode, *slopes, *arrays[:3], *forward[-3:], needs=needs, reverse=reverse)
        placed = [None if a is None else K.to_device(a) for a in (*slopes, *arrays[:3])]
        close(K.recurrent_backward(mode, *placed, *on_device[-3:], needs=needs, reverse=reverse), wanted, dtype)


@pytest.mark.parametrize("mode", ["LSTM", "RNN_TANH"])
def test_one_step_whose_stride_means_nothing(mode: str, rng: np.random.Generator) -> None:
    gates, size = 4 if mode == "LSTM" else 1, 3
    x, w_ih, w_hh, g = (K.to_device(values(rng, s, "float32")) for s in ((1, 2, 5), (gates * size, 5), (gates * size, size), (2, size)))
    kept = K.recurrent(mode, x, w_ih, w_hh, None, None, None, None, False)[-3:]
    needs = (True,) * 6 + (mode == "LSTM",)
    wanted = None
    for g_out in (g.reshape(1, 2, size), g[None], g[None][::-1]):
        made = K.recurrent_backward(mode, g_out, None, None, x, w_ih, w_hh, *kept, needs=needs, reverse=False)
        found = [None if a is None else K.to_host(a) for a in made]
        wanted = wanted or found
        close(made, wanted, "float32")


def close(made: Any, wanted: Any, dtype: str) -> None:
    assert len(made) == len(wanted)
    for x, y in zip(made, wanted, strict=True):
        assert (x is None) == (y is None)
        if x is not None and y.size:
            assert x.shape == y.shape
            assert np.abs(K.to_host(x) - y).max() <= 200 * EPS[dtype] * max(1.0, np.abs(y).max())
