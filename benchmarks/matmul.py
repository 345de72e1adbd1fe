"""Matrix products: square, tall, wide, batched, transposed; float32 and float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .harness import Case, Result, measure, of_function
from .peak import add_shares_of_peak


def _case(name: str, a: tuple[int, ...], b: tuple[int, ...], dtype: str, function: Callable[..., Any], *, backward: bool = False) -> Case:
    def inputs(rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
        return [rng.standard_normal(shape).astype(dtype) for shape in (a, b)]

    m, k = (a[-1], a[-2]) if "a.T" in name else a[-2:]
    n = b[-2] if "b.T" in name else b[-1]
    flops = 2.0 * np.prod(a[:-2]) * m * k * n
    return of_function(f"{name} {dtype}", function, inputs, backward=backward, jax=True, tolerance=1e-3, flops=float(flops))


def _product(m: Any, a: Any, b: Any) -> Any:
    return m.matmul(a, b)


def _cases(quick: bool) -> list[Case]:
    cases = []
    for dtype in ("float32", "float64"):
        for n in (64,) if quick else (64, 128, 256, 512, 1024, 2048):
            cases.append(_case(f"{n}x{n}", (n, n), (n, n), dtype, _product))
        for n in (64,) if quick else (64, 512):
            cases.append(_case(f"a.T @ b {n}", (n, n), (n, n), dtype, lambda m, a, b: m.matmul(a.T, b)))
            cases.append(_case(f"a @ b.T {n}", (n, n), (n, n), dtype, lambda m, a, b: m.matmul(a, b.T)))
            cases.append(_case(f"{n}x{n}", (n, n), (n, n), dtype, _product, backward=True))
        if quick:
            continue
        cases.append(_case("tall 8192x64 @ 64x64", (8192, 64), (64, 64), dtype, _product))
        cases.append(_case("wide 64x64 @ 64x8192", (64, 64), (64, 8192), dtype, _product))
        cases.append(_case("deep 64x8192 @ 8192x64", (64, 8192), (8192, 64), dtype, _product))
        cases.append(_case("row 1x1024 @ 1024x1024", (1, 1024), (1024, 1024), dtype, _product))
        cases.append(_case("batched 64 x 64x64", (64, 64, 64), (64, 64, 64), dtype, _product))
        cases.append(_case("batched 8x8 x 128x32 @ 32x128", (8, 8, 128, 32), (8, 8, 32, 128), dtype, _product))
    return cases


def run(quick: bool) -> list[Result]:
    """Beside the ratio, the rate, and its share of the FMA peak that this machine shows in the same run."""
    return add_shares_of_peak(measure("matmul", _cases(quick), quick))
