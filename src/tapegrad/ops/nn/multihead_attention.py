"""Attention with several heads and the projections around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import dtypes
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, no_tensor
from ..create import zeros
from ..index.mask import masked_fill
from ..linalg.matmul import matmul
from ..shape.join import cat
from ..shape.pieces import pieces
from .attention import scaled_dot_product_attention
from .dropout import dropout
from .linear import linear
from .softmax import softmax

__all__ = ["multi_head_attention_forward"]

_NAME = "multi_head_attention_forward"


def _reference(
    query: Any,
    key: Any,
    value: Any,
    in_proj_weight: Any,
    in_proj_bias: Any,
    out_proj_weight: Any,
    out_proj_bias: Any,
    num_heads: int,
    add_zero_attn: bool,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
    **_: Any,
) -> Any:
    length, batch, size = query.shape
    weights, biases = in_proj_weight.reshape(3, size, size), in_proj_bias.reshape(3, size)
    q, k, v = (
        (x @ w.T + b).reshape(-1, batch, num_heads, size // num_heads) for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    if add_zero_attn:
        k, v = (np.concatenate([x, np.zeros_like(x[:1])]) for x in (k, v))
    scores = np.einsum("lnhd,snhd->nhls", q, k) / np.sqrt(size // num_heads)
    if attn_mask is not None:
        scores = scores + np.pad(attn_mask, [(0, 0), (0, int(add_zero_attn))])
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    result = np.einsum("nhls,snhd->lnhd", shares, v).reshape(length, batch, size) @ out_proj_weight.T + out_proj_bias
    return result, shares.mean(1) if average_attn_weights else shares


_INPUTS = tuple(Input(shape, -1.0, 1.0) for shape in ((3, 2, 4), (2, 2, 4), (2, 2, 4), (12, 4), (12,), (4, 4), (4,)))
_NAMES = ("query", "key", "value", "in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")
_OPTIONS = {"embed_dim_to_check": 4, "num_heads": 2, "bias_k": None, "bias_v": None, "dropout_p": 0.0}


@composite(
    method=False,
    samples=[
        Sample(_INPUTS, {**_OPTIONS, "add_zero_attn": True, "average_attn_weights": False}, _NAMES),
        Sample((*_INPUTS, Input((3, 2))), {**_OPTIONS, "add_zero_attn": False}, (*_NAMES, "attn_mask")),
    ],
    reference=_reference,
    error_inputs=[
        ErrorInput(
            lambda tg: tg.nn.MultiheadAttention(6, 2)(tg.ones(5, 3, 4), tg.ones(5, 3, 6), tg.ones(5, 3, 6)),
            RuntimeError,
            r"expected a query with embed_dim=6 features, got query \(5, 3, 4\)",
        ),
    ],
)
def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What :class:`tapegrad.nn.MultiheadAttention` computes, from its weights (Vaswani et al., https://arxiv.org/abs/1706.03762).

    Args:
        query: shape (l, n, e), or (l, e) without a batch.
        key, value: shapes (s, n, ek) and (s, n, ev), or without n; ek = ev = e unless ``use_separate_proj_weight``.
        embed_dim_to_check: e.
        num_heads: h; each has e / h of the projections' columns.
        in_proj_weight: the three projections one below the other, shape (3 e, e).
        in_proj_bias: shape (3 e,), or None.
        bias_k, bias_v: one more key and value for all, shape (1, 1, e), or None.
        add_zero_attn: one more key and value of zeros.
        dropout_p: the probability to drop a weight, in ``training``.
        out_proj_weight, out_proj_bias: shapes (e, e) and (e,), or None for the bias.
        training: see ``dropout_p``.
        key_padding_mask: shape (n, s) or (s,): bool, true where a key must be ignored, or numbers that are added to the scores.
        need_weights: return the weights; without, :func:`scaled_dot_product_attention` computes the result.
        attn_mask: shape (l, s) or (n * h, l, s): bool, true where a key must not be attended to, or numbers to add to the scores.
        use_separate_proj_weight: take q_proj_weight (e, e), k_proj_weight (e, ek), v_proj_weight (e, ev), not ``in_proj_weight``.
        static_k, static_v: projected keys and values, shape (n * h, s, e / h), in place of the projections of key and value.
        average_attn_weights: over the heads.
        is_causal: ``attn_mask`` is the causal mask; a hint.

    Returns:
        The result, shape (l, n, e) or (l, e); the weights, (n, l, s), with ``average_attn_weights=False`` (n, h, l, s), without n for
        no batch, or None. A query that may attend to nothing gets NaN with ``need_weights``, else zeros.

    Raises:
        RuntimeError: for shapes or dtypes that don't fit, and ``is_causal`` without a mask.
    """
    _check_shapes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if is_causal and attn_mask is None:
        raise RuntimeError(f"{_NAME}: is_causal only says that attn_mask is causal; give it, too: Transformer.generate_square_subsequent_mask(l)")
    is_causal = is_causal and key_padding_mask is None and not need_weights  # then the mask is made where it is used
    batched = query.ndim == 3
    if not batched:
        query, key, value = each(lambda x: x.unsqueeze(1), query, key, value)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, size = (int(n) for n in query.shape)
    heads, width = batch * num_heads, size // num_heads
    if use_separate_proj_weight:
        q, k, v = _projected(query, key, value, (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    added = 0  # keys that masks don't know of
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise RuntimeError(f"{_NAME}: bias_k and bias_v can't be added to static_k or static_v")
        k, v = cat([k, bias_k.expand(1, batch, size)]), cat([v, bias_v.expand(1, batch, size)])
        added += 1
    q = _per_head(q, heads, width)
    k = _per_head(k, heads, width) if static_k is None else _static(static_k, "static_k", heads, width)
    v = _per_head(v, heads, width) if static_v is None else _static(static_v, "static_v", heads, width)
    if add_zero_attn:
        nothing = zeros(heads, 1, width, dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 1), cat([v, nothing], 1)
        added += 1
    mask = None
    if not is_causal:
        mask = _merged(attn_mask, key_padding_mask, (batch, num_heads, length, int(k.shape[1]) - added), added, q.dtype)
    p = dropout_p if training else 0.0
    if need_weights:
        scores = matmul(q * (1 / math.sqrt(width)), k.mT)
        weights = softmax(scores if mask is None else scores + mask, -1)
        weights = dropout(weights, p) if p else weights
        result = matmul(weights, v)
        weights = weights.reshape(batch, num_heads, *weights.shape[1:])
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        weights = None
        result = scaled_dot_product_attention(q, k, v, mask, p, is_causal)
    result = linear(result.transpose(0, 1).reshape(length, batch, size), out_proj_weight, out_proj_bias)
    if not batched:
        return result.squeeze(1), None if weights is None else weights.squeeze(0)
    return result, weights


def each(function: Callable[[Tensor], Tensor], *tensors: Tensor) -> tuple[Tensor, ...]:
    """The function of each tensor, called once for one that occurs several times: so equal inputs stay one tensor."""
    made = {i: function(x) for i, x in {id(x): x for x in tensors}.items()}
    return tuple([made[id(x)] for x in tensors])


def _projected(query: Tensor, key: Tensor, value: Tensor, weight: Any, bias: Tensor | None) -> tuple[Tensor, ...]:
    """The three projections, by one product for inputs that are the same tensor; ``weight`` is all in one, or three."""
    size = int(query.shape[2])
    separate = isinstance(weight, tuple)
    if not separate and query is key is value:
        return pieces(linear(query, weight, bias), (size,) * 3, dim=2)
    shared = not separate and key is value
    parts = (size, 2 * size) if shared else (size,) * 3
    weights = weight if separate else pieces(weight, parts)
    biases = (None,) * 3 if bias is None else pieces(bias, parts)
    made = [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=False)]
    return (made[0], *pieces(made[1], (size,) * 2, dim=2)) if shared else tuple(made)


def _per_head(x: Tensor, heads: int, width: int) -> Tensor:
    """(l, n, e) -> (n * h, l, e / h)."""
    return x.reshape(x.shape[0], heads, width).transpose(0, 1)  # type: ignore[no-any-return]


def _static(x: Tensor, name: str, heads: int, width: int) -> Tensor:
    if x.ndim != 3 or (x.shape[0], x.shape[2]) != (heads, width):
        raise RuntimeError(f"{_NAME}: expected {name} of shape (n * h, s, e / h) = ({heads}, s, {width}), got {tuple(x.shape)}")
    return x


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, size: int, num_heads: int, separate: bool) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{_NAME}(): argument {name!r} must be a Tensor, not {no_tensor(x)}")
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}, as (length, batch, features)"
    if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
        raise RuntimeError(f"{_NAME}: expected query, key and value all of 3 dimensions, or 2 without a batch; got {shapes}")
    if query.shape[-1] != size:
        raise RuntimeError(f"{_NAME}: expected a query with embed_dim={size} features, got {shapes}")
    if key.shape[:-1] != value.shape[:-1] or (not separate and not key.shape[-1] == value.shape[-1] == size):
        raise RuntimeError(f"{_NAME}: key and value don't fit each other, or not embed_dim={size} (see kdim and vdim); got {shapes}")
    if query.ndim == 3 and query.shape[1] != key.shape[1]:
        raise RuntimeError(f"{_NAME}: query and key have different batch sizes; got {shapes}")
    if size % num_heads:
        raise RuntimeError(f"{_NAME}: embed_dim={size} is not divisible by num_heads={num_heads}")


def _merged(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, sizes: tuple[int, ...], added: int, dtype: dtypes.dtype
) -> Tensor | None:
    """What is added to scores of shape (n * h, l, s + added); ``sizes`` are n, h, l and s."""
    batch, num_heads, length, keys = sizes
    masks = []
    if attn_mask is not None:
        if tuple(attn_mask.shape) not in ((length, keys), (batch * num_heads, length, keys)):
            raise RuntimeError(
                f"{_NAME}: expected attn_mask of shape (l, s) = {(length, keys)} or (n * h, l, s) = {(batch * num_heads, length, keys)}, "
                f"got {tuple(attn_mask.shape)}"
            )
        masks.append(_additive(attn_mask, "attn_mask", added, dtype))
    if key_padding_mask is not None:
        if tuple(key_padding_mask.shape) != (batch, keys):
            raise RuntimeError(f"{_NAME}: expected key_padding_mask of shape (n, s) = {(batch, keys)}, got {tuple(key_padding_mask.shape)}")
        mask = _additive(key_padding_mask, "key_padding_mask", added, dtype)
        keys += added
        masks.append(mask.reshape(batch, 1, 1, keys).expand(batch, num_heads, 1, keys).reshape(batch * num_heads, 1, keys))
    return None if not masks else masks[0] if len(masks) == 1 else masks[0] + masks[1]


def _additive(mask: Tensor, name: str, added: int, dtype: dtypes.dtype) -> Tensor:
    """Numbers to add to scores, 0 for keys that were added."""
    if mask.dtype is not dtypes.bool_ and not mask.dtype.is_floating_point:
        raise RuntimeError(f"{_NAME}: {name} must be bool or floating-point, got {mask.dtype}")
    if added:
        mask = cat([mask, zeros(*mask.shape[:-1], added, dtype=mask.dtype, device=mask.device)], -1)
    if mask.dtype is dtypes.bool_:
        return masked_fill(zeros(mask.shape, dtype=dtype, device=mask.device), mask, -math.inf)
    return mask.to(dtype)
