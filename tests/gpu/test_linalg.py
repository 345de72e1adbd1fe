"""Matrix products on a GPU: what the op matrix's small samples don't show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matrices import EPS, VIEWS, Views, same, values

from tapegrad.kernels import cuda as K
from tapegrad.kernels.cuda.drivers import ON_CPU
from tapegrad.kernels.cuda.language import SIMULATED
from tapegrad.kernels.cuda.linalg import gemm

DTYPES = (*EPS, "int64", "int32", "int8", "bool")
SIZE = 37 if SIMULATED else 150 if ON_CPU else 517


def check(a: Any, b: Any, start: Any = None, of_a: Views = same, of_b: Views = same) -> None:
    """The product of views of arrays on the GPU, against the one in double precision."""
    found = K.to_host(gemm.matmul(of_a(K.to_device(a)), of_b(K.to_device(b)), None if start is None else K.to_device(start)))
    dtype = a.dtype.name
    wide = "complex128" if "complex" in dtype else "float64" if dtype in EPS else dtype
    x, y, s = of_a(a).astype(wide), of_b(b).astype(wide), 0 if start is None else start.astype(wide)
    expected = np.matmul(x, y) + s
    assert found.shape == expected.shape and found.dtype == a.dtype
    if dtype not in EPS:
        np.testing.assert_array_equal(found, expected)
        return
    eps = EPS["float32"] if dtype in ("float16", "bfloat16") else EPS[dtype]
    bound = 2 * eps * x.shape[-1] ** 0.5 * (np.matmul(np.abs(x), np.abs(y)) + np.abs(s)) + EPS[dtype] * np.abs(expected)
    assert (np.abs(found.astype(wide) - expected) <= bound + 1e-30).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_every_dtype_cross_the_edges_of_tiles(dtype: str, rng: np.random.Generator) -> None:
    check(values(rng, (SIZE, 21), dtype), values(rng, (21, 19), dtype))
    check(values(rng, (16, 8), dtype), values(rng, (8, 32), dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("a_order", VIEWS)
@pytest.mark.parametrize("b_order", VIEWS)
def test_operands_may_have_any_strides(dtype: str, a_order: str, b_order: str, rng: np.random.Generator) -> None:
    (a_shape, of_a), (b_shape, of_b) = VIEWS[a_order], VIEWS[b_order]
    check(values(rng, a_shape(18, 24), dtype), values(rng, b_shape(24, 20), dtype), None, of_a, of_b)


@pytest.mark.parametrize(
    ("a", "b", "start"),
    [
        ((3, 5, 7), (7, 4), (4,)),
        ((3, 5, 7), (7, 4), (3, 5, 4)),
        ((3, 5, 7), (7, 4), (3, 1, 4)),
        ((2, 3, 5, 7), (3, 7, 4), (5, 1)),
        ((2, 1, 2, 1, 5, 7), (1, 3, 1, 2, 7, 4), (2, 1, 1, 1, 5, 4)),
        ((2, 1, 7), (7, 4), (4,)),
        ((2, 5, 0), (0, 4), (4,)),
    ],
)
def test_stacked_matrices_broadcast_and_have_something_added(
    a: tuple[int, ...], b: tuple[int, ...], start: tuple[int, ...], rng: np.random.Generator
) -> None:
    for dtype in ("float32", "float16"):
        arrays = values(rng, a, dtype), values(rng, b, dtype)
        check(*arrays)
        check(*arrays, values(rng, start, dtype))


def test_stacked_matrices_may_be_permuted(rng: np.random.Generator) -> None:
    x, y = values(rng, (3, 5, 2, 8), "float32"), values(rng, (3, 6, 2, 8), "float32")
    check(x, y, None, lambda x: x.transpose(0, 2, 1, 3), lambda y: y.transpose(0, 2, 3, 1))


def test_long_sums_are_cut_into_parts_always_the_same(rng: np.random.Generator) -> None:
    for dtype in ("float32", "bfloat16"):
        a, b = values(rng, (5, 1111), dtype), values(rng, (1111, 6), dtype)
        check(a, b)
        check(a, b, values(rng, (6,), dtype))
        check(a.reshape(1, -1), b.reshape(-1, 1)[: a.size])
        made = [K.to_host(gemm.matmul(K.to_device(a), K.to_device(b))).tobytes() for _ in range(3)]
        assert len(set(made)) == 1
    parts, chunk = gemm._cut(1111, 1, 8)
    assert parts > 1 and (parts - 1) * chunk < 1111 <= parts * chunk


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_factors_and_triangular_systems_of_several_blocks(dtype: str, rng: np.random.Generator) -> None:
    n = 11 if SIMULATED else 70 if ON_CPU else 301
    eps = 100 * n * EPS[dtype]
    x = values(rng, (2, n, n), dtype)
    a = (x @ x.conj().swapaxes(-1, -2) + n * np.eye(n)).astype(dtype)
    factor = K.to_host(K.cholesky(K.to_device(a)))
    assert np.abs(np.triu(factor, 1)).max() == 0
    assert np.abs(factor @ factor.conj().swapaxes(-1, -2) - a).max() <= eps * np.abs(a).max()
    b = values(rng, (2, n, 3), dtype)
    full = factor + np.triu(values(rng, (n, n), dtype), 1)  # the other triangle is not read
    for upper, given in ((False, full), (True, full.swapaxes(-1, -2))):
        on_device = K.to_device(full)
        solution = K.to_host(K.solve_triangular(on_device.swapaxes(-1, -2) if upper else on_device, K.to_device(b), upper, False))
        triangle = np.triu(given) if upper else np.tril(given)
        assert np.abs(triangle @ solution - b).max() <= eps
    with pytest.raises(np.linalg.LinAlgError):
        K.cholesky(K.to_device(-a))
