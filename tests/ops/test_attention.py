"""Attention beyond its samples: positions without keys, dropout, 16 bits, the composite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F

RNG = np.random.default_rng(0)
attend = F.scaled_dot_product_attention


def inputs(*shapes: tuple[int, ...], dtype: Any = tg.float64) -> list[Any]:
    return [tg.tensor(RNG.normal(size=s), dtype=dtype, requires_grad=True) for s in shapes]


def test_equals_the_composite_to_second_order() -> None:
    q, k, v, mask = inputs((2, 3, 4, 5), (2, 1, 6, 5), (3, 6, 2), (4, 6))
    plain = (q @ k.mT * 5**-0.5 + mask).softmax(-1) @ v
    results = []
    for y in (attend(q, k, v, mask), plain):
        first = tg.autograd.grad((y * y).sum(), (q, k, v, mask), create_graph=True)
        results.append([y, *first, *tg.autograd.grad(sum((g * g).sum() for g in first), (q, k, v, mask))])
    for fused, composite in zip(*results, strict=True):
        np.testing.assert_allclose(fused.detach().numpy(), composite.detach().numpy(), rtol=1e-9, atol=1e-10)


def test_a_position_without_keys_gets_zeros_and_no_gradient() -> None:
    q, k, v = inputs((3, 4), (5, 4), (5, 2))
    mask = tg.ones(3, 5, dtype=tg.bool)
    mask[1] = False
    y = attend(q, k, v, mask)
    assert y[1].tolist() == [0.0, 0.0]
    y.sum().backward()
    assert q.grad[1].tolist() == [0.0] * 4
    for x in (q, k, v):
        assert x.grad.isfinite().all() if hasattr(x.grad, "isfinite") else np.isfinite(x.grad.numpy()).all()


def test_causal_positions_see_only_what_came_before() -> None:
    q, k, v = inputs((1, 4, 3), (1, 4, 3), (1, 4, 2))
    y = attend(q, k, v, is_causal=True)
    np.testing.assert_allclose(y[0, 0].tolist(), v[0, 0].tolist())
    (into_k,) = tg.autograd.grad(y[0, 1].sum(), k)
    assert into_k[0, 2:].tolist() == [[0.0] * 3] * 2
    assert np.abs(into_k[0, :2].numpy()).min() > 0


def test_dropout_drops_weights_and_keeps_their_mean() -> None:
    q, k = tg.zeros(1, 8), tg.zeros(100, 8)
    v = tg.eye(100)
    tg.manual_seed(0)
    weights = attend(tg.zeros(200, 8), k, v, dropout_p=0.25).numpy() * 100
    kept = weights != 0
    np.testing.assert_allclose(weights[kept], 4 / 3, rtol=1e-5)
    assert abs(kept.mean() - 0.75) < 4 * (0.75 * 0.25 / kept.size) ** 0.5
    tg.manual_seed(1)
    first = attend(q, k, v, dropout_p=0.5).tolist()
    tg.manual_seed(1)
    assert attend(q, k, v, dropout_p=0.5).tolist() == first
    assert attend(q, k, v, dropout_p=1.0).tolist() == [[0.0] * 100]
    with pytest.raises(ValueError, match="dropout_p must be between 0 and 1"):
        attend(q, k, v, dropout_p=1.5)


@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16])
def test_sixteen_bits_are_rounded_once(dtype: Any) -> None:
    q, k, v = inputs((3, 16), (5, 16), (5, 2), dtype=dtype)
    y = attend(q, k, v)
    assert y.dtype is dtype
    wide = attend(q.to(tg.float32), k.to(tg.float32), v.to(tg.float32)).to(dtype)
    assert y.tolist() == wide.tolist()
    y.sum().backward()
    assert q.grad.dtype is dtype


def test_mixed_dtypes_are_refused() -> None:
    q, k, v = inputs((3, 4), (5, 4), (5, 2))
    with pytest.raises(RuntimeError, match="expected equal dtypes"):
        attend(q.detach().to(tg.float32), k, v)
    with pytest.raises(RuntimeError, match="attn_mask needs dtype bool or the query's"):
        attend(q, k, v, tg.ones(3, 5, dtype=tg.int64))
