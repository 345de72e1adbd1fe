"""Products on tensor cores: every layout of operands, and float32 rounded to TF32 where that is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from matrices import EPS, values

import tapegrad as tg
from tapegrad.kernels import cuda as K
from tapegrad.kernels.cuda.linalg import gemm

KINDS = ("float16", "bfloat16", "tf32")


@pytest.fixture
def tf32() -> Iterator[None]:
    """Products of float32 may round their factors."""
    tg.backends.cuda.matmul.allow_tf32 = True
    yield
    tg.backends.cuda.matmul.allow_tf32 = False


def rounded(x: Any) -> Any:
    """To TF32's 10 bits, halves away from 0."""
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def near(found: Any, a: Any, b: Any, start: Any = 0.0) -> None:
    """As exact products of what was multiplied, summed in float32 and rounded once."""
    if a.dtype == np.float32:
        a, b = rounded(a), rounded(b)
    a, b, start = (np.asarray(x, np.float64) for x in (a, b, start))
    wanted = a @ b + start
    bound = 2 * EPS["float32"] * a.shape[-1] ** 0.5 * (np.abs(a) @ np.abs(b) + np.abs(start)) + EPS[found.dtype.name] / 2 * np.abs(wanted)
    assert found.shape == wanted.shape
    assert (np.abs(found.astype(np.float64) - wanted) <= bound).all()


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(40, 72, 48), (33, 17, 35), (1, 64, 8), (64, 1, 1)])
def test_operands_lie_along_rows_or_columns(kind: str, sizes: tuple[int, int, int], rng: np.random.Generator) -> None:
    m, k, n = sizes
    dtype = "float32" if kind == "tf32" else kind
    a, b, start = values(rng, (m, k), dtype), values(rng, (k, n), dtype), values(rng, (n,), dtype)
    for of_a in (lambda x: K.to_device(x), lambda x: K.to_device(np.ascontiguousarray(x.T)).T):
        for of_b in (lambda x: K.to_device(x), lambda x: K.to_device(np.ascontiguousarray(x.T)).T):
            found = [K.to_host(gemm.matmul(of_a(a), of_b(b), K.to_device(start))) for _ in range(2)]
            near(found[0], a, b, start)
            assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("kind", KINDS)
def test_stacked_matrices_and_long_sums(kind: str, rng: np.random.Generator) -> None:
    dtype = "float32" if kind == "tf32" else kind
    a, b = values(rng, (3, 2, 9, 24), dtype), values(rng, (2, 24, 16), dtype)
    near(K.to_host(gemm.matmul(K.to_device(a), K.to_device(b))), a, b)
    a, b = values(rng, (5, 1111), dtype), values(rng, (1111, 6), dtype)
    near(K.to_host(gemm.matmul(K.to_device(a), K.to_device(b))), a, b)


def test_float32_is_rounded_only_where_that_is_allowed(rng: np.random.Generator) -> None:
    a, b = values(rng, (32, 32), "float32"), values(rng, (32, 32), "float32")
    arrays = K.to_device(a), K.to_device(b)
    exact = K.to_host(gemm.matmul(*arrays))
    tg.backends.cuda.matmul.allow_tf32 = True
    try:
        short = K.to_host(gemm.matmul(*arrays))
    finally:
        tg.backends.cuda.matmul.allow_tf32 = False
    wanted = a.astype(np.float64) @ b
    assert np.abs(exact - wanted).max() < 1e-5 < np.abs(short - wanted).max()
    assert K.to_host(gemm.matmul(*arrays)).tobytes() == exact.tobytes()


def test_infinities_and_nan_go_through(rng: np.random.Generator) -> None:
    a = values(rng, (32, 40), "bfloat16")
    a[3, 5], a[7, 1] = np.inf, np.nan
    b = np.eye(40, 24).astype(ml_dtypes.bfloat16)
    with np.errstate(invalid="ignore"):
        wanted = a.astype(np.float32) @ b.astype(np.float32)
    found = K.to_host(gemm.matmul(K.to_device(a), K.to_device(b)))
    np.testing.assert_array_equal(found.astype(np.float32), wanted)
