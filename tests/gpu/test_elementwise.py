"""Elementwise kernels on the GPU: every scalar function at special values and integers, layouts, casts and transposed copies."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels.body import Body
from tapegrad.kernels.cuda import array, elementwise as run, elementwise_source, transpose

UNARY = (
    "abs sign floor ceil trunc round exp exp2 expm1 log log1p log2 log10 sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid "
    "erf erfc erfinv digamma lgamma i0 sinc logit isinf isfinite signbit neg square rsqrt"
).split()
SPECIAL = "ndtr ndtri log_ndtr erfcx i0e i1 i1e".split()
BINARY = "pow atan2 hypot copysign fmod remainder floor_divide maximum minimum fmax fmin add sub mul div".split()
INTEGER = "pow fmod remainder floor_divide maximum minimum fmax fmin bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift".split()
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, 0.25, -0.75, 2.0, 3.5, -2.5, 7.0, 30.0, -30.0, 1e-8, 1e8, np.inf, -np.inf, np.nan]


def function(name: str) -> Any:
    return getattr(tg, name, None) or getattr(tg.special, name)


def compare(found: Any, expected: Any, dtype: str = "float32") -> None:
    assert found.is_cuda and found.dtype == expected.dtype
    a, b = found.cpu().numpy(), expected.numpy()
    if a.dtype.kind in "fc":
        eps = float(np.finfo(a.dtype).eps) if dtype != "float16" else 1e-3
        np.testing.assert_allclose(a, b, rtol=16 * eps, atol=4 * eps)
        if a.dtype.kind == "f":
            assert np.array_equal(np.signbit(a)[b == 0], np.signbit(b)[b == 0]) or not np.any(b == 0)
    else:
        assert np.array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY + SPECIAL)
def test_functions_of_one_number(name: str, dtype: str) -> None:
    x = tg.tensor(VALUES, dtype=getattr(tg, dtype))
    compare(function(name)(x.to("cuda")), function(name)(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers(name: str, dtype: str) -> None:
    a, b = (tg.tensor(v, dtype=getattr(tg, dtype)) for v in zip(*itertools.product(VALUES, repeat=2), strict=True))
    compare(function(name)(a.to("cuda"), b.to("cuda")), function(name)(a, b))


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8"])
@pytest.mark.parametrize("name", INTEGER)
def test_functions_of_integers(name: str, dtype: str) -> None:
    kind = getattr(tg, dtype)
    low, high = tg.iinfo(kind).min, tg.iinfo(kind).max
    right = [1, 2, 3, 7, 9, *([-1, -3, low] if low else [])] + ([0, 70] if "shift" in name else [0] if name not in ("pow", "fmod", "remainder", "floor_divide") else [])
    values = list(itertools.product([0, 1, 2, 5, 100, high, *([-1, -2, -7] if low else [])], right))
    if name == "floor_divide" or name == "remainder" or name == "fmod":
        values = [(a, b) for a, b in values if b]
    a, b = (tg.tensor(v, dtype=kind) for v in zip(*values, strict=True))
    compare(function(name)(a.to("cuda"), b.to("cuda")), function(name)(a, b))


@pytest.mark.parametrize("name", "exp log sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh".split())
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_functions(name: str, dtype: str) -> None:
    x = tg.tensor([0.5 + 0.25j, -1.5 + 2j, 0.1 - 3j, -2 - 0.5j], dtype=getattr(tg, dtype))
    compare(function(name)(x.to("cuda")), function(name)(x))


def test_complex_arithmetic() -> None:
    a, b = (tg.tensor(v, dtype=tg.complex64) for v in zip(*itertools.product([1 + 2j, -3j, 0.5, -2 - 1j], repeat=2), strict=True))
    c, d = a.to("cuda"), b.to("cuda")
    compare(c * d, a * b)
    compare(c / d, a / b)
    compare(c**d, a**b)
    compare((c.conj() - 2.5) * (1 + 1j), (a.conj() - 2.5) * (1 + 1j))
    compare(c == d, a == b)


FULL = (3, 5, 8)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "complex64"])
@pytest.mark.parametrize("shape", [(8,), (1,), (5, 1), (3, 1, 1), (3, 5, 1), (1, 5, 8), (3, 1, 8), FULL])
def test_broadcast_operands(shape: tuple[int, ...], dtype: str) -> None:
    kind = getattr(tg, dtype)
    a, b = (tg.arange(1, 1 + int(np.prod(s))).reshape(s).to(kind) for s in (FULL, shape))
    compare(a.to("cuda") + b.to("cuda"), a + b, dtype)
    compare(b.to("cuda") - a.to("cuda"), b - a, dtype)


@pytest.mark.parametrize("index", [np.s_[:, 1:3], np.s_[:, :, ::2], np.s_[1:, :, 4:], np.s_[:, :, 1:5], np.s_[::2, 1]])
def test_strided_operands(index: Any) -> None:
    a = tg.arange(120.0).reshape(FULL)
    g = a.to("cuda")
    compare(g[index] * 2 + g[index], a[index] * 2 + a[index])
    g[index] = 1.5
    a[index] = 1.5
    compare(g, a)


def test_rows_are_computed_by_vectors() -> None:
    """(n, c) + (c,), and + (n, 1): one division for each vector."""
    body = Body(("a", "b"), ("t0 = a + b",), ("t0",))
    for steps, fixed in (((0, 1), ()), ((1, 0), (1,))):
        a, b, out = (array.empty((6, 64), np.dtype(np.float32)) for _ in range(3))
        other = np.lib.stride_tricks.as_strided(b, (6, 64), tuple(4 * s for s in steps), subok=True)
        run(body, (a, other), (out,), a.dtype)
        (plan,) = (p for key, p in body.plans.items() if key[0] == "cuda")  # beside its kernel
        source, _ = elementwise_source.kernel_source(
            body, ("float32",) * 3, 2, "float32", elementwise_source.Layout(4, 2, False, fixed)
        )
        assert plan.kernel.key.endswith(source) and "load4(p0, at0)" in source and plan.numbers[:3] == (96, 6, 16)
        body.plans.clear()


@pytest.mark.parametrize("dtype", ["bool", "float16", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("shape", "order"), [((40, 50), (1, 0)), ((17, 3, 65), (2, 1, 0)), ((2, 3, 20, 2, 33), (1, 4, 3, 2, 0)), ((5, 7), (1, 0))])
def test_transposed_copies(shape: tuple[int, ...], order: tuple[int, ...], dtype: str) -> None:
    x = (np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    assert np.array_equal(array.to_host(array.to_device(x).transpose(order).copy()), x.transpose(order))


def test_large_transposed_copies_go_by_tiles() -> None:
    assert transpose.turn([40, 50], [1, 40], [50, 1], 4) is not None
    assert transpose.turn([40, 50], [1, 40], [50, 1], 16) is None and transpose.turn([5, 50], [1, 5], [50, 1], 4) is None


NAMES = "float32 float64 float16 bfloat16 bool int64 uint8 int32 complex64 complex128".split()


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("source", NAMES)
def test_casts(source: str, target: str) -> None:
    x = tg.tensor([0.0, 1.0, 2.5, 100.0, 7.25, 3.0, 0.5, 12.0, 9.0]).to(getattr(tg, source))
    found, expected = (x.to(where).to(getattr(tg, target)) for where in ("cuda", "cpu"))
    assert found.cpu().tolist() == expected.tolist()
