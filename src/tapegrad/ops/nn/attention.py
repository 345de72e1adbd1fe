"""Scaled dot-product attention. The backward pass computes the weights again rather than keep them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...computation import broadcast_shape
from ...public import public
from ...registry import Op, apply, check_devices, register
from ...samples import EdgePoint, ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_floating, need_same_dtype
from ..elementwise.basic import where
from ..linalg.matmul import mT
from ..random.generator import drawn
from ..shape.copy import to_dtype
from ..shape.expand import expand
from ..shape.reshape import reshape

__all__ = ["scaled_dot_product_attention"]

register(
    Op(
        "masked_softmax",
        ("input",),
        lambda B, x: B.masked_softmax(x),
        {"input": lambda K, g, out: K.softmax_backward(g, out, dim=len(out.shape) - 1)},
        method=False,
        samples=[Sample((Input((3, 4)),))],
        reference=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
        edge_points=[EdgePoint(([-math.inf, -math.inf],), ([0.0, 0.0],)), EdgePoint(([0.0, -math.inf],), ([0.0, 0.0],))],
        kinds="f",
    )
)


def _softmax_of_scores(q: Any, k: Any, mask: Any, scale: float) -> Any:
    s = np.einsum("...le,...se->...ls", q, k) * scale + (0 if mask is None else mask)
    return np.exp(s) / np.exp(s).sum(-1, keepdims=True)


_attention = register(
    Op(
        "attention",
        ("query", "key", "value", "mask"),
        lambda B, q, k, v, mask, *, scale, kept, p: B.attention(q, k, v, mask, scale, kept, p),
        {
            ("query", "key", "value", "mask"): lambda K, g, query, key, value, mask, needs, scale, kept, p: _attention_vjp(
                K, g, query, key, value, mask, needs, scale, kept, p
            )
        },
        method=False,
        samples=[
            Sample((Input((2, 3, 4)), Input((2, 5, 4)), Input((2, 5, 2)), Input((3, 5))), {"scale": 0.4, "kept": None, "p": 0.0}),
            Sample(
                (Input((3, 4)), Input((5, 4)), Input((5, 2)), Input((3, 5))),
                {"scale": 0.4, "kept": np.arange(15).reshape(3, 5) % 4 > 0, "p": 0.25},
            ),
            Sample((Input((2, 3, 4)), Input((1, 5, 4)), Input((5, 2)), Input((2, 1, 5))), {"scale": 0.4, "kept": None, "p": 0.0}),
            Sample((Input((3, 4)), Input((5, 4)), Input((2, 5, 2)), Input((3, 5))), {"scale": 0.4, "kept": None, "p": 0.0}),
        ],
        reference=lambda q, k, v, mask, scale, kept, p: (
            (_softmax_of_scores(q, k, mask, scale) * (1 if kept is None else kept / (1 - p))) @ v
        ),
        error_inputs=[
            ErrorInput(
                lambda tg: tg.nn.functional.scaled_dot_product_attention(tg.ones(3, 4), tg.ones(5, 3), tg.ones(5, 2)),
                RuntimeError,
                r"scaled_dot_product_attention: .*query \(3, 4\), key \(5, 3\)",
            ),
            ErrorInput(
                lambda tg: tg.nn.functional.scaled_dot_product_attention(tg.ones(3, 4), tg.ones(5, 4), tg.ones(5, 2), tg.ones(3, 5), is_causal=True),
                RuntimeError,
                "scaled_dot_product_attention: give attn_mask or is_causal",
            ),
            ErrorInput(
                lambda tg: tg.nn.functional.scaled_dot_product_attention(tg.ones(3, 4), tg.ones(5, 4), tg.ones(5, 2), tg.ones(5, 3)),
                RuntimeError,
                r"attn_mask of shape \(5, 3\) can't be broadcast to the scores' \(3, 5\)",
            ),
            ErrorInput(
                lambda tg: tg.nn.functional.scaled_dot_product_attention(tg.ones(3, 3, 4), tg.ones(2, 5, 4), tg.ones(2, 5, 2), enable_gqa=True),
                RuntimeError,
                "scaled_dot_product_attention: 3 query heads .* 2 ",
            ),
        ],
        kinds="f",
    )
)


def _attention_vjp(
    K: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, needs: tuple[bool, ...], scale: float, kept: Any, p: float
) -> tuple[Any, ...]:
    scores = K.matmul(K.mul(q, scale), mT(K, k))
    weights = K.masked_softmax(scores if mask is None else K.add(scores, mask))
    if kept is None:
        used = weights
    else:
        used = K.dropout(weights, p=p, mask=kept)
    into_v = K.sum_to_size(K.matmul(mT(K, used), g), size=tuple(v.shape)) if needs[2] else None
    if not (needs[0] or needs[1] or needs[3]):
        return None, None, into_v, None
    into_weights = K.matmul(g, mT(K, v))
    if kept is not None:
        into_weights = K.dropout(into_weights, p=p, mask=kept)
    into_scores = K.softmax_backward(_as(K, into_weights, weights), _as(K, weights, into_weights), dim=len(into_weights.shape) - 1)
    return (
        K.sum_to_size(K.mul(K.matmul(into_scores, k), scale), size=tuple(q.shape)) if needs[0] else None,
        K.sum_to_size(K.mul(K.matmul(mT(K, into_scores), q), scale), size=tuple(k.shape)) if needs[1] else None,
        into_v,
        K.sum_to_size(into_scores, size=tuple(mask.shape)) if needs[3] else None,
    )


def _as(K: Any, x: Any, other: Any) -> Any:
    """``x`` expanded to the shape that the two broadcast to: only the values may have leading dimensions that the scores lack."""
    shape = np.broadcast_shapes(tuple(x.shape), tuple(other.shape))
    return x if tuple(x.shape) == shape else K.expand(x, size=shape)


def _sdpa_reference(
    query: Any, key: Any, value: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False
) -> Any:
    if enable_gqa:
        key, value = (np.repeat(x, query.shape[-3] // x.shape[-3], axis=-3) for x in (key, value))
    if attn_mask is not None and attn_mask.dtype == np.bool_:
        attn_mask = np.where(attn_mask, 0, -np.inf)
    if is_causal:
        attn_mask = np.where(np.tri(query.shape[-2], key.shape[-2]), 0, -np.inf)
    weights = _softmax_of_scores(query, key, attn_mask, query.shape[-1] ** -0.5 if scale is None else scale)
    return np.nan_to_num(weights) @ value


_QKV = (Input((2, 3, 4)), Input((2, 5, 4)), Input((2, 5, 2)))
_NAMES = ("query", "key", "value", "attn_mask")


@public(
    _attention,
    samples=[
        Sample(_QKV),
        Sample(_QKV, {"is_causal": True, "scale": 0.3}),
        Sample((*_QKV, Input((3, 5))), {}, _NAMES),
        Sample((*_QKV, Input((3, 5), kind="bool")), {}, _NAMES),
        Sample((*_QKV, Input((2, 1, 5), kind="bool")), {}, _NAMES),
        Sample((Input((3, 4)), Input((5, 4)), Input((5, 2)))),
        Sample((Input((1, 4, 3, 2)), Input((1, 2, 5, 2)), Input((1, 2, 5, 2))), {"enable_gqa": True}),
    ],
    reference=_sdpa_reference,
)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + attn_mask) @ value`` (Vaswani et al., https://arxiv.org/abs/1706.03762).

    Args:
        query: shape (..., l, e).
        key: shape (..., s, e).
        value: shape (..., s, v); leading dimensions broadcast.
        attn_mask: broadcasts to (..., l, s): bool, true where a key may be attended to, or numbers that are added to the scores.
        dropout_p: the probability to drop a weight, always (not only in training).
        is_causal: each position sees only keys up to its own.
        scale: 1 / sqrt(e) by default.
        enable_gqa: key and value have fewer heads (dimension -3) than the query, each for a group of the query's.

    A position that may attend to nothing gets zeros, with gradient 0. Dropout's weights depend on this library's generator.

    Raises:
        RuntimeError: when shapes or dtypes don't fit, or both ``attn_mask`` and ``is_causal`` are given.
        ValueError: when ``dropout_p`` is not in [0, 1].
    """
    name = "scaled_dot_product_attention"
    check_devices(name, (query, key, value, attn_mask))
    q, k, v = query._array.shape, key._array.shape, value._array.shape
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise RuntimeError(f"{name}: shapes don't fit: query {q}, key {k}, value {v}; expected (..., l, e), (..., s, e) and (..., s, v)")
    need_floating(name, query=query)
    need_same_dtype(name, query=query, key=key, value=value)
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"{name}: dropout_p must be between 0 and 1, got {dropout_p}")
    if is_causal and attn_mask is not None:
        raise RuntimeError(f"{name}: give attn_mask or is_causal, not both")
    if enable_gqa:
        key, value = _shared_heads(key, q, name), _shared_heads(value, q, name)
    dtype = query.dtype
    wide = dtypes.float32 if dtype.itemsize == 2 else dtype
    scores = (*broadcast_shape(name, [q[:-2], tuple(key.shape)[:-2]]), q[-2], k[-2])
    mask = _additive(attn_mask, is_causal, scores, wide, dtype, name)
    kept = drawn(None, "uniform", scores, np.dtype(np.float32)) >= dropout_p if dropout_p else None
    params = {"scale": q[-1] ** -0.5 if scale is None else float(scale), "kept": kept, "p": float(dropout_p)}
    inputs = (to_dtype(query, wide), to_dtype(key, wide), to_dtype(value, wide), mask)
    return to_dtype(apply(_attention, inputs, params), dtype)


def _shared_heads(x: Tensor, query: tuple[int, ...], name: str) -> Tensor:
    """Each head repeated, for all the query heads of its group."""
    have = tuple(int(n) for n in x._array.shape)
    if len(have) < 3 or len(query) < 3 or query[-3] % have[-3]:
        raise RuntimeError(f"{name}: {query[-3] if len(query) > 2 else 0} query heads can't be grouped by the {have[-3] if len(have) > 2 else 0} of shape {have}")
    times = query[-3] // have[-3]
    return reshape(expand(x.unsqueeze(-3), *have[:-2], times, *have[-2:]), *have[:-3], query[-3], *have[-2:])


def _additive(
    attn_mask: Tensor | None, is_causal: bool, scores: tuple[int, ...], wide: dtypes.dtype, dtype: dtypes.dtype, name: str
) -> Tensor | None:
    """What is added to the scores."""
    if is_causal:
        return wrap(np.where(np.tri(*scores[-2:], dtype=np.bool_), 0, -np.inf).astype(wide.numpy))
    if attn_mask is None:
        return None
    have = attn_mask._array.shape
    try:
        fits = np.broadcast_shapes(have, scores)[-2:] == scores[-2:]
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(f"{name}: attn_mask of shape {tuple(have)} can't be broadcast to the scores' {scores}")
    if attn_mask.dtype is dtypes.bool_:
        return to_dtype(where(attn_mask, 0.0, -math.inf), wide)
    if attn_mask.dtype not in (dtype, wide):
        raise RuntimeError(f"{name}: attn_mask needs dtype bool or the query's {dtype}, got {attn_mask.dtype}")
    return to_dtype(attn_mask, wide)
