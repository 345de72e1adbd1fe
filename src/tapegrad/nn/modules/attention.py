"""Attention with several heads."""

from __future__ import annotations

from typing import Any

from ...ops.nn.multihead_attention import each
from ...tensor import Tensor
from .. import functional as F, init
from ..parameter import Parameter
from .linear import Linear
from .module import Module
from .utils import declare_parameters

__all__ = ["MultiheadAttention"]


class NonDynamicallyQuantizableLinear(Linear):
    """:class:`Linear` under the name that PyTorch prints for an attention's output."""


class MultiheadAttention(Module):
    """Attention whose queries, keys, values and result are projected, in heads side by side: ``(query, key, value) -> (result, weights)``.

    Vaswani et al., https://arxiv.org/abs/1706.03762.

    Args:
        embed_dim: features of queries and results.
        num_heads: heads, each of embed_dim / num_heads features.
        dropout: the probability to drop a weight, in training.
        bias: have biases in the projections.
        add_bias_kv: learn one more key and value for all.
        add_zero_attn: have one more key and value of zeros.
        kdim, vdim: features of keys and values, embed_dim by default.
        batch_first: tensors have shape (batch, length, features) instead of (length, batch, features).

    Attributes:
        in_proj_weight: of the three projections, shape (3 * embed_dim, embed_dim); None where kdim or vdim differ, with
            q_proj_weight (embed_dim, embed_dim), k_proj_weight (embed_dim, kdim) and v_proj_weight (embed_dim, vdim) instead.
            Uniform as by :func:`tapegrad.nn.init.xavier_uniform_`.
        in_proj_bias: shape (3 * embed_dim,), zeros; None without ``bias``.
        bias_k, bias_v: shape (1, 1, embed_dim), normal as by :func:`tapegrad.nn.init.xavier_normal_`; None without ``add_bias_kv``.
        out_proj: a Linear layer, with a bias of zeros.

    Raises:
        ValueError: when a size is not positive, or the heads don't divide ``embed_dim``.
    """

    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads}")
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim must be divisible by num_heads, got embed_dim={embed_dim} and num_heads={num_heads}")
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        shapes: dict[str, tuple[int, ...] | None] = dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight"))
        if self._qkv_same_embed_dim:
            shapes["in_proj_weight"] = (3 * embed_dim, embed_dim)
        else:
            inputs = (embed_dim, self.kdim, self.vdim)
            shapes |= {f"{x}_proj_weight": (embed_dim, size) for x, size in zip("qkv", inputs, strict=True)}
        shapes["in_proj_bias"] = (3 * embed_dim,) if bias else None
        for name, shape in shapes.items():
            declare_parameters(self, shape or (), device, dtype, **{name: shape is not None})
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        declare_parameters(self, (1, 1, embed_dim), device, dtype, bias_k=add_bias_kv, bias_v=add_bias_kv)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new starting values, for all but the weight of ``out_proj``."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See :func:`tapegrad.nn.functional.multi_head_attention_forward`, also for the masks' shapes; faster without ``need_weights``.

        Args:
            query: shape (l, n, embed_dim), or (l, embed_dim) without a batch; with ``batch_first``, (n, l, embed_dim).
            key, value: shapes (s, n, kdim) and (s, n, vdim), likewise.
            key_padding_mask: shape (n, s), true for keys to ignore, or numbers to add to scores.
            need_weights: return the weights, too.
            attn_mask: shape (l, s) or (n * num_heads, l, s), true where a key must not be attended to, or numbers to add to scores.
            average_attn_weights: over the heads.
            is_causal: ``attn_mask`` is the causal mask; a hint.
        """
        swapped = self.batch_first and all(isinstance(x, Tensor) and x.ndim == 3 for x in (query, key, value))
        if swapped:
            query, key, value = each(lambda x: x.transpose(0, 1), query, key, value)
        result, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return result.transpose(0, 1) if swapped else result, weights
