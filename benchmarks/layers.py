"""Normalisation, softmax, losses, attention and embedding, forward and backward at three sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .harness import Case, Result, measure, of_function


def _floats(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Sequence[np.ndarray[Any, Any]]]:
    return lambda rng: [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def _labelled(n: int, classes: int) -> Callable[[np.random.Generator], Sequence[np.ndarray[Any, Any]]]:
    return lambda rng: [rng.standard_normal((n, classes), dtype=np.float32), rng.integers(0, classes, n)]


def _words(count: int, width: int, shape: tuple[int, ...]) -> Callable[[np.random.Generator], Sequence[np.ndarray[Any, Any]]]:
    return lambda rng: [rng.integers(0, count, shape), rng.standard_normal((count, width), dtype=np.float32)]


def _targets(*shape: int) -> Callable[[np.random.Generator], Sequence[np.ndarray[Any, Any]]]:
    return lambda rng: [rng.standard_normal(shape, dtype=np.float32), rng.random(shape, dtype=np.float32)]


def _normalised(name: str) -> Callable[..., Any]:
    if name == "layer_norm":
        return lambda m, x, w, b: m.nn.functional.layer_norm(x, (x.shape[-1],), w, b)
    if name == "rms_norm":
        return lambda m, x, w: m.nn.functional.rms_norm(x, (x.shape[-1],), w)
    if name == "group_norm":
        return lambda m, x, w, b: m.nn.functional.group_norm(x, 4, w, b)
    return lambda m, x, w, b: m.nn.functional.batch_norm(x, None, None, w, b, training=True)


def _cases(quick: bool) -> list[Case]:
    cases: list[Case] = []

    def add(name: str, function: Callable[..., Any], sizes: Sequence[Any], inputs: Callable[..., Any]) -> None:
        for size in sizes[:1] if quick else sizes:
            label = "x".join(map(str, size))
            cases.append(of_function(f"{name} {label}", function, inputs(*size), backward=True, tolerance=1e-3))

    rows = ((32, 64), (8, 128, 256), (64, 128, 1024))
    images = ((8, 16, 8, 8), (16, 32, 28, 28), (16, 64, 56, 56))
    add("layer_norm", _normalised("layer_norm"), rows, lambda *s: _floats(s, s[-1:], s[-1:]))
    add("rms_norm", _normalised("rms_norm"), rows, lambda *s: _floats(s, s[-1:]))
    add("group_norm", _normalised("group_norm"), images, lambda *s: _floats(s, s[1:2], s[1:2]))
    add("batch_norm", _normalised("batch_norm"), images, lambda *s: _floats(s, s[1:2], s[1:2]))
    add("softmax", lambda m, x: m.nn.functional.softmax(x, -1), rows, lambda *s: _floats(s))
    add("log_softmax", lambda m, x: m.nn.functional.log_softmax(x, -1), rows, lambda *s: _floats(s))
    add("cross_entropy", lambda m, x, y: m.nn.functional.cross_entropy(x, y), ((32, 10), (1024, 1000), (4096, 8000)), _labelled)
    add("mse_loss", lambda m, x, y: m.nn.functional.mse_loss(x, y), ((32, 10), (256, 1000), (4096, 1000)), _targets)
    add(
        "bce_with_logits",
        lambda m, x, y: m.nn.functional.binary_cross_entropy_with_logits(x, y),
        ((32, 10), (256, 1000), (4096, 1000)),
        _targets,
    )
    heads = ((2, 2, 16, 8), (8, 8, 128, 32), (2, 4, 1024, 64))
    for causal in (False, True):
        add(
            "causal attention" if causal else "attention",
            lambda m, q, k, v, causal=causal: m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal),
            heads,
            lambda *s: _floats(s, s, s),
        )
    for count, width, shape in ((100, 16, (32,)), (10_000, 128, (16, 64)), (50_000, 256, (64, 256))):
        if quick and count > 100:
            break
        label = f"embedding {count}x{width} of {'x'.join(map(str, shape))}"
        cases.append(of_function(label, lambda m, i, w: m.nn.functional.embedding(i, w), _words(count, width, shape), backward=True))
    return cases


def run(quick: bool) -> list[Result]:
    """float32; forward with backward of all inputs and weights."""
    return measure("layers", _cases(quick), quick)
