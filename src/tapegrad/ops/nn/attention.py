"""Scaled dot-product attention. The weights are never all there at once; the backward pass computes them again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...computation import broadcast_shape
from ...device import device_of, placed
from ...opcall import check_devices
from ...public import public
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample
from ...tensor import TENSOR_TYPES, Tensor, wrap
from ..checks import need_floating, need_same_dtype
from ..elementwise.basic import where
from ..linalg.matmul import matmul, mT
from ..shape.copy import to_dtype
from ..shape.expand import expand
from ..shape.reshape import reshape
from .dropout import dropout

__all__ = ["scaled_dot_product_attention"]

_masked_softmax = register(
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


def _reference(q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool) -> Any:
    s = np.einsum("...le,...se->...ls", q, k) * scale + (0 if mask is None else mask)
    e = np.exp(s) * (np.tri(*s.shape[-2:]) if causal else 1)
    return e / e.sum(-1, keepdims=True) @ v


_SHAPES = [
    ((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)),
    ((2, 3, 4), (1, 5, 4), (5, 2), (2, 1, 5)),
    ((3, 4), (5, 4), (2, 5, 2), (3, 5)),
]
_SAMPLES = [
    *[Sample(tuple(map(Input, shapes)), {"scale": 0.4, "causal": False}) for shapes in _SHAPES],
    Sample(tuple(map(Input, _SHAPES[0])), {"scale": 0.4, "causal": True}),
]

_attention = register(
    Op(
        "attention",
        ("query", "key", "value", "mask"),
        lambda B, q, k, v, mask, *, scale, causal: B.attention(q, k, v, mask, scale, causal),
        {
            ("query", "key", "value", "mask"): lambda K, g, query, key, value, mask, out, statistics, needs, scale, causal: _attention_vjp(
                K, g, (query, key, value, mask), out, statistics, needs, scale, causal
            )
        },
        residuals=("statistics",),
        method=False,
        samples=_SAMPLES,
        reference=_reference,
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
    K: Any, g: Any, operands: tuple[Any, ...], out: Any, statistics: Any, needs: tuple[bool, ...], scale: float, causal: bool
) -> tuple[Any, ...]:
    if not needs[3]:
        grads = K.attention_backward(g, *operands, out, statistics, scale=scale, causal=causal)
        return (*[_fitted(K, grad, x) for grad, x in zip(grads, operands, strict=False)], None)
    q, k, v, mask = operands  # all scores are there at once
    weights, slopes = _weights_and_slopes(K, g, operands, scale, causal)
    return (
        _fitted(K, K.mul(K.matmul(slopes, k), scale), q),
        _fitted(K, K.mul(K.matmul(mT(K, slopes), q), scale), k),
        _fitted(K, K.matmul(mT(K, weights), g), v),
        _fitted(K, slopes, mask),
    )


def _weights_and_slopes(K: Any, g: Any, operands: tuple[Any, ...], scale: float, causal: bool) -> tuple[Any, Any]:
    """The weights of the values, and the derivative with respect to the scores."""
    q, k, v, mask = operands
    scores = K.matmul(K.mul(q, scale), mT(K, k))
    if mask is not None:
        scores = K.add(scores, mask)
    if causal:
        of_tensors = isinstance(q, Tensor)
        earlier = _causal_mask(scores.shape[-2:], q._array if of_tensors else q)
        scores = K.add(scores, wrap(earlier) if of_tensors else earlier)
    weights = K.masked_softmax(scores)
    return weights, _softmax_backward(K, K.matmul(g, mT(K, v)), weights)


def _causal_mask(shape: tuple[int, ...], like: Any) -> Any:
    """0 or -inf to add to scores, in the dtype of an array and where it is."""
    return placed(np.where(np.tri(*shape, dtype=np.bool_), 0, -np.inf).astype(like.dtype), device_of(like))


def _softmax_backward(K: Any, g: Any, y: Any) -> Any:
    return K.softmax_backward(_as(K, g, y), _as(K, y, g), dim=max(len(g.shape), len(y.shape)) - 1)


def _as(K: Any, x: Any, other: Any) -> Any:
    """``x`` expanded to the shape that the two broadcast to: only the values may have leading dimensions that the scores lack."""
    shape = np.broadcast_shapes(tuple(x.shape), tuple(other.shape))
    return x if tuple(x.shape) == shape else K.expand(x, size=shape)


def _fitted(K: Any, grad: Any, x: Any) -> Any:
    """A gradient summed over the dimensions that were broadcast."""
    return grad if tuple(grad.shape) == tuple(x.shape) else K.sum_to_size(grad, size=tuple(x.shape))


def _backward_reference(
    g: Any, q: Any, k: Any, v: Any, mask: Any, out: Any, statistics: Any, scale: float, causal: bool
) -> tuple[Any, ...]:
    weights = _reference(q, k, np.eye(k.shape[-2]), mask, scale, causal)
    into = np.einsum("...lv,...sv->...ls", g, v)
    slopes = weights * (into - (weights * into).sum(-1, keepdims=True)) * scale
    return slopes @ k, np.einsum("...ls,...le->...se", slopes, q), np.einsum("...ls,...lv->...sv", weights, g)


_backward = register(
    Op(
        "attention_backward",
        ("g_out", "query", "key", "value", "mask", "out", "statistics"),
        lambda B, g, q, k, v, mask, out, statistics, *, scale, causal: B.attention_backward(g, q, k, v, mask, out, statistics, scale, causal),
        {
            ("g_out", "query", "key", "value", "mask", "out"): lambda K, g0, g1, g2, g_out, query, key, value, mask, needs, scale, causal: (
                _attention_backward_vjp(K, (g0, g1, g2), g_out, (query, key, value, mask), needs, scale, causal)
            )
        },
        method=False,
    )
)


def _attention_backward_vjp(
    K: Any, cotangents: tuple[Any, ...], g: Any, operands: tuple[Any, ...], needs: tuple[bool, ...], scale: float, causal: bool
) -> tuple[Any, ...]:
    """With weights P, slopes S = softmax_backward(g vT, P), and cotangents a, b, c of scale S k, scale ST q and PT g.

    ``out`` and the statistics are functions of the other inputs, whose gradients are these in full.
    """
    q, k, v = operands[:3]
    weights, slopes = _weights_and_slopes(K, g, operands, scale, causal)
    a, b, c = cotangents
    into = dict.fromkeys(("g", "q", "k", "v"))

    def add(name: str, term: Any) -> None:
        into[name] = term if into[name] is None else K.add(into[name], term)

    into_slopes = into_weights = None
    if a is not None:
        into_slopes = K.matmul(a, mT(K, k))
        add("k", K.matmul(mT(K, slopes), a))
    if b is not None:
        term = K.matmul(q, mT(K, b))
        into_slopes = term if into_slopes is None else K.add(into_slopes, term)
        add("q", K.matmul(slopes, b))
    if into_slopes is not None:  # S depends on g vT, in which it is linear and symmetric, and on P
        into_slopes = K.mul(into_slopes, scale)
        product = _softmax_backward(K, into_slopes, weights)
        add("g", K.matmul(product, v))
        add("v", K.matmul(mT(K, product), g))
        for name in ("k", "q"):
            into[name] = None if into[name] is None else K.mul(into[name], scale)
        values = K.matmul(g, mT(K, v))
        last = len(values.shape) - 1
        into_weights = K.sub(
            K.mul(into_slopes, K.sub(values, K.sum(K.mul(values, weights), axes=(last,), keepdim=True))),
            K.mul(values, K.sum(K.mul(into_slopes, weights), axes=(last,), keepdim=True)),
        )
    if c is not None:
        term = K.matmul(g, mT(K, c))
        into_weights = term if into_weights is None else K.add(into_weights, term)
        add("g", K.matmul(weights, c))
    into_scores = None if into_weights is None else _softmax_backward(K, into_weights, weights)
    if into_scores is not None:
        add("q", K.mul(K.matmul(into_scores, k), scale))
        add("k", K.mul(K.matmul(mT(K, into_scores), q), scale))
    results = [*[into[name] for name in ("g", "q", "k", "v")], into_scores]
    return (*[None if r is None or not need else _fitted(K, r, x) for r, need, x in zip(results, needs, (g, *operands), strict=False)], None)


def _sdpa_reference(
    query: Any, key: Any, value: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False
) -> Any:
    if enable_gqa:
        key, value = (np.repeat(x, query.shape[-3] // x.shape[-3], axis=-3) for x in (key, value))
    if attn_mask is not None and attn_mask.dtype == np.bool_:
        attn_mask = np.where(attn_mask, 0, -np.inf)
    return np.nan_to_num(_reference(query, key, value, attn_mask, query.shape[-1] ** -0.5 if scale is None else scale, is_causal))


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
    if attn_mask is None and not (dropout_p or enable_gqa) and _plain(query, key, value):
        return _attention.call(query, key, value, None, scale=query._array.shape[-1] ** -0.5 if scale is None else float(scale), causal=bool(is_causal))  # type: ignore[no-any-return]
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
    scores = (*broadcast_shape(name, [q[:-2], tuple(key._array.shape[:-2])]), q[-2], k[-2])
    mask = None if attn_mask is None else _additive(attn_mask, scores, wide, dtype, name)
    if wide is not dtype:
        query, key, value = to_dtype(query, wide), to_dtype(key, wide), to_dtype(value, wide)
    scale = q[-1] ** -0.5 if scale is None else float(scale)
    if dropout_p:
        if is_causal:
            mask = wrap(_causal_mask(scores[-2:], query._array))
        products = matmul(query * scale, key.mT)
        weights = _masked_softmax.call(products if mask is None else products + mask)
        result = matmul(dropout(weights, dropout_p), value)
    else:
        result = _attention.call(query, key, value, mask, scale=scale, causal=bool(is_causal))
    return result if wide is dtype else to_dtype(result, dtype)


_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))


def _plain(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether nothing has to be checked, cast or broadcast; False for anything unusual."""
    if not (query.__class__ in TENSOR_TYPES and key.__class__ in TENSOR_TYPES and value.__class__ in TENSOR_TYPES):
        return False
    q, k, v = query._array, key._array, value._array
    if not (q.__class__ is k.__class__ is v.__class__ is np.ndarray and q.dtype is k.dtype is v.dtype and q.dtype in _NATIVE):
        return False
    a, b, c = q.shape, k.shape, v.shape
    return len(a) > 1 and a[:-2] == b[:-2] == c[:-2] and a[-1] == b[-1] and b[-2] == c[-2]


def _shared_heads(x: Tensor, query: tuple[int, ...], name: str) -> Tensor:
    """Each head repeated, for all the query heads of its group."""
    have = tuple(int(n) for n in x._array.shape)
    if len(have) < 3 or len(query) < 3 or query[-3] % have[-3]:
        raise RuntimeError(f"{name}: {query[-3] if len(query) > 2 else 0} query heads can't be grouped by the {have[-3] if len(have) > 2 else 0} of shape {have}")
    times = query[-3] // have[-3]
    return reshape(expand(x.unsqueeze(-3), *have[:-2], times, *have[-2:]), *have[:-3], query[-3], *have[-2:])


def _additive(attn_mask: Tensor, scores: tuple[int, ...], wide: dtypes.dtype, dtype: dtypes.dtype, name: str) -> Tensor:
    """What is added to the scores."""
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
