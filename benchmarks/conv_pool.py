"""Convolution and pooling: layers as networks have them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .harness import Case, Result, both, measure
from .peak import add_shares_of_peak

# name: input, weight, options
_CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "digits 1->16 k3, 64x1x28x28": ((64, 1, 28, 28), (16, 1, 3, 3), {"padding": 1}),
    "first layer 3->64 k7 s2, 4x3x224x224": ((4, 3, 224, 224), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    "64->64 k3, 8x64x56x56": ((8, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}),
    "128->128 k3, 16x128x16x16": ((16, 128, 16, 16), (128, 128, 3, 3), {"padding": 1}),
    "128->256 k3 s2, 8x128x28x28": ((8, 128, 28, 28), (256, 128, 3, 3), {"stride": 2, "padding": 1}),
    "256->64 k1, 8x256x28x28": ((8, 256, 28, 28), (64, 256, 1, 1), {}),
    "depthwise 96 k3, 4x96x56x56": ((4, 96, 56, 56), (96, 1, 3, 3), {"padding": 1, "groups": 96}),
    "1-d 64->64 k5, 8x64x1024": ((8, 64, 1024), (64, 64, 5), {"padding": 2}),
}
_SMALL = "digits 8->16 k3, 4x8x8x8", ((4, 8, 8, 8), (16, 8, 3, 3), {"padding": 1})


def _convolution(name: str, shape: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any]) -> list[Case]:
    def inputs(rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
        scale = 1 / math.sqrt(math.prod(weight[1:]))
        return [
            rng.standard_normal(shape, dtype=np.float32),
            rng.standard_normal(weight, dtype=np.float32) * np.float32(scale),
            rng.standard_normal(weight[0], dtype=np.float32),
        ]

    def function(m: Any, x: Any, w: Any, b: Any) -> Any:
        return getattr(m.nn.functional, f"conv{len(shape) - 2}d")(x, w, b, **options)

    size = [(n + 2 * options.get("padding", 0) - k) // options.get("stride", 1) + 1 for n, k in zip(shape[2:], weight[2:], strict=True)]
    flops = 2.0 * shape[0] * math.prod(size) * math.prod(weight)
    return both(f"conv {name}", function, inputs, tolerance=1e-3, flops=flops)


def _pooling(name: str, shape: tuple[int, ...], *arguments: Any, **options: Any) -> list[Case]:
    def inputs(rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
        return [rng.standard_normal(shape, dtype=np.float32)]

    def function(m: Any, x: Any) -> Any:
        return getattr(m.nn.functional, name)(x, *arguments, **options)

    settings = " ".join([str(a) for a in arguments] + [f"{k}={v}" for k, v in options.items()])
    return both(f"{name} {settings}, {'x'.join(map(str, shape))}", function, inputs)


def _cases(quick: bool) -> list[Case]:
    if quick:
        return _convolution(_SMALL[0], *_SMALL[1]) + _pooling("max_pool2d", (4, 8, 8, 8), 2)
    cases = [case for name, setting in _CONVOLUTIONS.items() for case in _convolution(name, *setting)]
    cases += _pooling("max_pool2d", (16, 64, 32, 32), 2)
    cases += _pooling("max_pool2d", (4, 64, 112, 112), 3, stride=2, padding=1)
    cases += _pooling("avg_pool2d", (16, 64, 32, 32), 2)
    cases += _pooling("adaptive_avg_pool2d", (16, 256, 14, 14), 1)
    return cases


def run(quick: bool) -> list[Result]:
    """float32; gradients of input, weight and bias. Rates count what the sums of the definition take."""
    return add_shares_of_peak(measure("conv_pool", _cases(quick), quick))
