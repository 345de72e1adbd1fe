"""Attention's kernels beside plain NumPy in double precision: shapes around the tiles, masks, strides, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels.cpu.nn.attention import attention, attention_backward

RNG = np.random.default_rng(0)
EPS = {np.float32: 5e-6, np.float64: 1e-14}


def reference(q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, g: Any) -> list[Any]:
    """The result and the three gradients."""
    q, k, v, g = (x.astype(np.float64) for x in (q, k, v, g))
    s = q @ k.swapaxes(-1, -2) * scale + (0 if mask is None else mask.astype(np.float64))
    if causal:
        s = np.where(np.tri(*s.shape[-2:]), s, -np.inf)
    most = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(most), 0, most))
    total = e.sum(-1, keepdims=True)
    w = e / np.where(total == 0, 1, total)
    into = g @ v.swapaxes(-1, -2)
    slopes = w * (into - (w * into).sum(-1, keepdims=True)) * scale
    return [w @ v, slopes @ k, slopes.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g]


def run(q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, g: Any) -> list[Any]:
    out, statistics = attention(q, k, v, mask, scale, causal)
    return [out, *attention_backward(g, q, k, v, mask, out, statistics, scale, causal)]


def draw(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    return RNG.normal(size=shape).astype(dtype)


def masks(kind: str, length: int, sources: int, dtype: Any) -> Any:
    hidden = np.where(RNG.random((length, sources)) < 0.4, -np.inf, draw((length, sources)))
    hidden[length // 2] = -np.inf
    return {"none": None, "causal": None, "full": hidden.astype(dtype), "row": hidden[:1].astype(dtype)}[kind]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["none", "causal", "full", "row"])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (16, 16, 8, 8), (33, 130, 17, 33), (70, 257, 64, 32), (5, 3, 32, 128), (200, 1, 16, 16)])
def test_values_and_gradients(sizes: tuple[int, ...], kind: str, dtype: Any) -> None:
    length, sources, e, v = sizes
    operands = draw((2, length, e), dtype), draw((2, sources, e), dtype), draw((2, sources, v), dtype)
    rest = masks(kind, length, sources, dtype), e**-0.5, kind == "causal", draw((2, length, v), dtype)
    for made, expected in zip(run(*operands, *rest), reference(*operands, *rest), strict=True):
        np.testing.assert_allclose(made, expected, rtol=0, atol=EPS[dtype] * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("heads", [1, 3, 16])
@pytest.mark.parametrize("causal", [False, True])
def test_threads_change_no_bit(heads: int, causal: bool) -> None:
    operands = [draw((heads, 150, 32)) for _ in range(3)]
    results = []
    for threads in (1, 2):
        tg.set_num_threads(threads)
        made = run(*(x + np.float32(0) for x in operands), None, 0.2, causal, operands[0])
        results.append(b"".join(x.tobytes() for x in made))
        from tapegrad.kernels.cpu.nn import attention as module

        module._plans.clear()
    assert results[0] == results[1]


def test_strided_operands_give_the_same_bits_and_layout() -> None:
    packed = draw((40, 2, 3, 3, 16))  # places, batch, (query, key, value), heads, width
    q, k, v = (packed[:, :, i].transpose(1, 2, 0, 3) for i in range(3))
    g = np.broadcast_to(draw((16,)), q.shape)
    made = run(q, k, v, None, 0.25, True, g)
    plain = run(*map(np.ascontiguousarray, (q, k, v)), None, 0.25, True, np.ascontiguousarray(g))
    for x, y in zip(made, plain, strict=True):
        assert x.tolist() == y.tolist()
        assert x.transpose(2, 0, 1, 3).flags.c_contiguous
    backwards = run(q[..., ::-1], k[..., ::-1], v, None, 0.25, True, g)
    np.testing.assert_allclose(backwards[0], made[0], atol=2e-6)


def test_leading_dimensions_broadcast() -> None:
    q, k, v, g = draw((2, 1, 5, 8)), draw((3, 6, 8)), draw((4, 1, 1, 6, 7)), draw((4, 2, 3, 5, 7))
    for made, expected in zip(run(q, k, v, None, 0.3, False, g), reference(q, k, v, None, 0.3, False, g), strict=True):
        np.testing.assert_allclose(made, np.broadcast_to(expected, made.shape), atol=4e-6)


def test_large_scores_infinities_and_nan() -> None:
    q, k, v = draw((1, 3, 4)) * 1e4, draw((1, 5, 4)), draw((1, 5, 2))
    made, expected = run(q, k, v, None, 1.0, False, v[:, :3]), reference(q, k, v, None, 1.0, False, v[:, :3])
    np.testing.assert_allclose(made[0], expected[0], rtol=2e-3, atol=2e-3)  # the scores are rounded at 1e4
    assert all(np.isfinite(x).all() for x in made)
    q[0, 1, 2] = np.nan
    out, _ = attention(q, k, v, None, 1.0, False)
    assert np.isnan(out[0, 1]).all()
    assert np.isfinite(out[0, [0, 2]]).all()


@pytest.mark.parametrize("sizes", [(0, 3, 4, 2), (3, 0, 4, 2), (3, 4, 0, 2), (3, 4, 2, 0)])
def test_empty_sizes(sizes: tuple[int, ...]) -> None:
    length, sources, e, v = sizes
    made = run(draw((2, length, e)), draw((2, sources, e)), values := draw((2, sources, v)), None, 1.0, False, draw((2, length, v)))
    assert [x.shape for x in made] == [(2, length, v), (2, length, e), (2, sources, e), (2, sources, v)]
    if e == 0:  # all keys count alike
        np.testing.assert_allclose(made[0], np.broadcast_to(values.mean(1, keepdims=True), made[0].shape), rtol=1e-6)
