"""Attention with heads, and Transformers: what masks promise, and values and gradients beside PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from beside_pytorch import arguments, assert_same, assert_same_gradients, loss, pair, twice

import tapegrad as tg
from tapegrad import nn

INF = float("inf")
causal_mask = nn.Transformer.generate_square_subsequent_mask


def attention(**options: Any) -> Any:
    tg.manual_seed(0)
    return nn.MultiheadAttention(6, 2, dtype=tg.float64, **options)


def test_weights_are_shares_of_keys() -> None:
    layer = attention()
    q, k = tg.randn(4, 3, 6, dtype=tg.float64), tg.randn(5, 3, 6, dtype=tg.float64)
    result, weights = layer(q, k, k)
    assert (result.shape, weights.shape) == ((4, 3, 6), (3, 4, 5))
    np.testing.assert_allclose(weights.sum(-1).tolist(), np.ones((3, 4)), rtol=1e-14)
    without, none = layer(q, k, k, need_weights=False)
    assert none is None
    np.testing.assert_allclose(without.tolist(), result.tolist(), rtol=1e-12)
    per_head = layer(q, k, k, average_attn_weights=False)[1]
    np.testing.assert_allclose(per_head.mean(1).tolist(), weights.tolist(), rtol=1e-14)


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_batch_of_nothing(need_weights: bool) -> None:
    x, ignored = tg.ones(4, 0, 6, dtype=tg.float64), tg.zeros(0, 4, dtype=tg.bool)
    result, weights = attention()(x, x, x, key_padding_mask=ignored, need_weights=need_weights)
    assert result.shape == (4, 0, 6)
    assert weights is None or weights.shape == (0, 4, 4)


def test_masked_keys_have_no_influence() -> None:
    layer, x = attention(batch_first=True), tg.randn(2, 4, 6, dtype=tg.float64)
    padding = tg.tensor([[False, False, True, True], [False] * 4])
    full, weights = layer(x, x, x, key_padding_mask=padding)
    assert weights[0, :, 2:].abs().max().item() == 0
    alone = layer(x[:1], x[:1, :2], x[:1, :2])[0]
    np.testing.assert_allclose(full[:1].tolist(), alone.tolist(), rtol=1e-12)
    numbers = layer(x, x, x, key_padding_mask=tg.zeros(2, 4, dtype=tg.float64).masked_fill(padding, -INF), need_weights=False)[0]
    np.testing.assert_allclose(numbers.tolist(), full.tolist(), rtol=1e-12)


@pytest.mark.parametrize("options", [{"mask": True}, {"mask": True, "is_causal": True}])
def test_causal_layers_see_no_later_input(options: dict[str, bool]) -> None:
    tg.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, dtype=tg.float64), 2)
    x = tg.randn(5, 1, 6, dtype=tg.float64, requires_grad=True)
    y = encoder(x, causal_mask(5, dtype=tg.float64), is_causal=options.get("is_causal"))
    for position in range(5):
        (grad,) = tg.autograd.grad((y[position] ** 2).sum(), x, retain_graph=True)
        assert (grad.abs().sum((1, 2)) > 0).tolist() == [True] * (position + 1) + [False] * (4 - position)


def test_the_mask_of_positions() -> None:
    assert causal_mask(3).tolist() == [[0, -INF, -INF], [0, 0, -INF], [0, 0, 0]]
    assert causal_mask(2, dtype=tg.float64).dtype is tg.float64


def test_stacked_layers_are_copies() -> None:
    layer = nn.TransformerDecoderLayer(6, 2, 8)
    stack = nn.TransformerDecoder(layer, 2)
    first, second = (list(x.parameters()) for x in stack.layers)
    assert len({*first, *second, *layer.parameters()}) == 3 * len(first)
    assert all(a.tolist() == b.tolist() for a, b in zip(first, second, strict=True))
    custom = nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, activation=nn.SiLU()), 1)
    assert isinstance(custom.layers[0].activation, nn.SiLU)  # PyTorch's copy has ReLU here


X = tg.ones(5, 3, 6)
MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda: nn.MultiheadAttention(6, 4), ValueError, "embed_dim must be divisible by num_heads, got embed_dim=6 and num_heads=4"),
    (lambda: nn.MultiheadAttention(0, 1), ValueError, "must be greater than 0"),
    (lambda: call(tg.ones(5, 3, 4)), RuntimeError, "expected a query with embed_dim=6 features, got query (5, 3, 4)"),
    (lambda: call(X, tg.ones(4, 3, 6), X), RuntimeError, "key and value don't fit each other"),
    (lambda: call(X, X[:, :2], X[:, :2]), RuntimeError, "different batch sizes; got query (5, 3, 6), key (5, 2, 6)"),
    (lambda: call(X[:, 0], X, X), RuntimeError, "all of 3 dimensions, or 2 without a batch"),
    (lambda: call(X, [1.0], X), TypeError, "argument 'key' must be a Tensor, not list"),
    (lambda: call(X, attn_mask=tg.ones(4, 5)), RuntimeError, "attn_mask of shape (l, s) = (5, 5) or (n * h, l, s) = (6, 5, 5), got (4, 5)"),
    (lambda: call(X, attn_mask=tg.ones(5, 5, dtype=tg.int64)), RuntimeError, "attn_mask must be bool or floating-point, got tapegrad.int64"),
    (lambda: call(X, key_padding_mask=tg.ones(5, 3)), RuntimeError, "key_padding_mask of shape (n, s) = (3, 5), got (5, 3)"),
    (lambda: call(X, is_causal=True), RuntimeError, "generate_square_subsequent_mask"),
    (lambda: nn.TransformerEncoderLayer(6, 2, activation="tanh"), RuntimeError, "activation should be relu/gelu"),
    (lambda: nn.Transformer(6, 2, 1, 1, 8)(X, X[:, :2]), RuntimeError, "batch sizes of src (5, 3, 6) and tgt (5, 2, 6) differ (dimension 1)"),
    (lambda: nn.Transformer(8, 2, 1, 1, 8)(X, X), RuntimeError, "must have d_model=8 features"),
]


def call(query: Any, key: Any = None, value: Any = None, **masks: Any) -> Any:
    return nn.MultiheadAttention(6, 2)(query, query if key is None else key, query if value is None else value, **masks)


@pytest.mark.parametrize("mistake, error, message", MISTAKES)
def test_mistakes_name_shapes_and_sizes(mistake: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        mistake()
    assert message in str(caught.value)


# ------------------------------------------------------------------------------------------------------- beside PyTorch

LAYERS = [
    {"bias": bias, "add_bias_kv": extra, "add_zero_attn": zero, "batch_first": first, **dims}
    for bias, extra, zero, first, dims in itertools.product((True, False), (True, False), (True, False), (True, False), ({}, {"kdim": 3, "vdim": 5}))
]


def masks_for(rng: np.random.Generator, form: str, shape: tuple[int, ...], causal: bool = False) -> Any:
    """A mask that leaves every query the first key."""
    if causal:
        found: Any = np.triu(np.ones(shape, bool), 1)
    else:
        found = rng.random(shape) < 0.3
        found[..., 0] = False
    return found if form == "bool" else np.where(found, -INF, 0.0) if causal else rng.normal(size=shape)


@pytest.mark.compare
@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("inputs", ["self", "memory", "three"])
@pytest.mark.parametrize("batched", [True, False])
def test_attention_like_torch(inputs: str, batched: bool, rng: np.random.Generator) -> None:
    for options in LAYERS:
        own_sizes = "kdim" in options
        if own_sizes and inputs != "three":
            continue
        ours, theirs = pair(lambda lib, options=options: lib.nn.MultiheadAttention(6, 2, **options), spread=0.5)
        for weights, attn, pad in itertools.product(("no", "mean", "all"), ("", "bool 2", "real 3", "causal"), ("", "bool", "real")):
            if rng.random() < 0.7:
                continue
            length, keys, batch = 4, 4 if inputs == "self" or attn == "causal" else 5, 3 if batched else 1

            def made(steps: int, size: int, batch: int = batch, first: bool = options["batch_first"]) -> Any:
                return twice(rng.normal(size=(steps, size) if not batched else (batch, steps, size) if first else (steps, batch, size)))

            q = made(length, 6)
            k = q if inputs == "self" else made(keys, 3 if own_sizes else 6)
            v = k if inputs != "three" else made(keys, 5 if own_sizes else 6)
            masks: dict[str, Any] = {}
            if attn:
                shape = (2 * batch, length, keys) if attn[-1] == "3" else (length, keys)
                masks["attn_mask"] = twice(masks_for(rng, attn[:4] if attn != "causal" else "bool", shape, attn == "causal"))
            if pad:
                masks["key_padding_mask"] = twice(masks_for(rng, pad, (batch, keys) if batched else (keys,)))
            results: list[Any] = []
            for side, layer in enumerate((ours, theirs)):
                layer.zero_grad()
                given = {name: mask[side] for name, mask in masks.items()}
                y, w = layer(
                    q[side], k[side], v[side], **given, need_weights=weights != "no", average_attn_weights=weights != "all", is_causal=attn == "causal"
                )
                assert (w is None) == (weights == "no")
                results.append([y] if w is None else [y, w])
                loss(*results[-1]).backward()
            for a, b in zip(*results, strict=True):
                assert_same(a, b)
            assert_same_gradients(ours, theirs, q, k, v, *masks.values())


@pytest.mark.compare
@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:Support for mismatched")
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_transformers_like_torch(batch_first: bool, norm_first: bool, bias: bool, activation: str, torch: Any, rng: np.random.Generator) -> None:

    def build(lib: Any) -> Any:
        function = lib.nn.functional.silu if activation == "silu" else activation
        return lib.nn.Transformer(8, 2, 2, 2, 16, 0.1, function, batch_first=batch_first, norm_first=norm_first, bias=bias)

    ours, theirs = pair(build, spread=0.5)
    steps = (5, 4)
    src, tgt = (twice(rng.normal(size=(3, n, 8) if batch_first else (n, 3, 8))) for n in steps)
    padding = masks_for(rng, "bool", (3, 5))
    for level in range(3):
        results = []
        for side, (lib, module) in enumerate(((tg, ours), (torch, theirs))):
            module.eval().zero_grad()
            masks: dict[str, Any] = {}
            if level:
                masks["tgt_mask"] = lib.nn.Transformer.generate_square_subsequent_mask(4, dtype=lib.float64)
                masks["src_key_padding_mask"] = masks["memory_key_padding_mask"] = lib.tensor(padding)
            if level == 2:
                masks |= {"tgt_is_causal": True, "tgt_key_padding_mask": lib.tensor(padding[:, :4])}
            y = module(src[side], tgt[side], **masks)
            loss(y).backward()
            results.append(y)
        assert_same(*results, rtol=1e-9)
        assert_same_gradients(ours, theirs, src, tgt, rtol=1e-9)


@pytest.mark.compare
def test_start_like_torch(torch: Any) -> None:
    tg.manual_seed(0)
    torch.manual_seed(0)
    builds: list[Any] = [
        lambda lib: lib.nn.MultiheadAttention(128, 4, add_bias_kv=True),
        lambda lib: lib.nn.MultiheadAttention(128, 4, kdim=32, vdim=64),
        lambda lib: lib.nn.TransformerDecoderLayer(128, 4, 64),
        lambda lib: lib.nn.Transformer(128, 4, 1, 1, 64, batch_first=True),
    ]
    for build in builds:
        ours, theirs = build(tg), build(torch)
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            spread = q.std().item()
            assert p.std().item() == pytest.approx(spread, rel=5 * (2 / p.numel()) ** 0.5), name
            assert p.mean().item() == pytest.approx(q.mean().item(), abs=7 * spread / p.numel() ** 0.5), name
            if p.numel() > 1000:  # uniform: the bound
                assert p.abs().max().item() == pytest.approx(q.abs().max().item(), rel=0.01), name


@pytest.mark.compare
def test_signatures_like_torch(torch: Any) -> None:
    for name in (
        "MultiheadAttention",
        "Transformer",
        "TransformerEncoder",
        "TransformerDecoder",
        "TransformerEncoderLayer",
        "TransformerDecoderLayer",
    ):
        for method in ("__init__", "forward"):
            assert arguments(getattr(getattr(nn, name), method)) == arguments(getattr(getattr(torch.nn, name), method)), (name, method)
    assert arguments(nn.functional.multi_head_attention_forward) == arguments(torch.nn.functional.multi_head_attention_forward)


@pytest.mark.compare
def test_static_keys_like_torch(torch: Any, rng: np.random.Generator) -> None:
    q, k, v = (twice(rng.normal(size=shape)) for shape in ((4, 3, 6), (6, 5, 3), (6, 5, 3)))
    weights = [twice(rng.normal(size=shape)) for shape in ((18, 6), (18,), (6, 6), (6,))]
    results = []
    for side, lib in enumerate((tg, torch)):
        w, b, ow, ob = (x[side] for x in weights)
        y, shares = lib.nn.functional.multi_head_attention_forward(
            q[side], q[side], q[side], 6, 2, w, b, None, None, True, 0.0, ow, ob, static_k=k[side], static_v=v[side]
        )
        loss(y, shares).backward()
        results.append((y, shares))
    for ours, theirs in zip(*results, strict=True):
        assert_same(ours, theirs)
    for ours, theirs in (q, k, v, weights[2], weights[3]):
        assert_same(ours.grad, theirs.grad)
