"""Products on tensor cores: every layout of operands, and float32 rounded to TF32 where that is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from matrices import EPS, values

import tapegrad as tg
from tapegrad.kernels import cpu, cuda as K
from tapegrad.kernels.cuda.language import SIMULATED
from tapegrad.kernels.cuda.linalg import gemm
from tapegrad.kernels.cuda.linalg.tensor_kernels import tiles_of
from tapegrad.kernels.cuda.vision import conv, conv_tensor

KINDS = ("float16", "bfloat16", "tf32")


@pytest.fixture
def tf32() -> Iterator[None]:
    """Products and convolutions of float32 may round their factors."""
    tg.backends.cuda.matmul.allow_tf32 = tg.backends.cudnn.allow_tf32 = True
    yield
    tg.backends.cuda.matmul.allow_tf32 = tg.backends.cudnn.allow_tf32 = False


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


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tile", tiles_of("bfloat16"))
def test_every_tile_of_products(tile: str, kind: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "_tile", lambda *given: tile)
    monkeypatch.setattr(gemm, "_plans", {})
    dtype = "float32" if kind == "tf32" else kind
    made = tiles_of(kind)[tile]
    a, b = values(rng, (made.rows + 8, 72), dtype), values(rng, (72, made.columns + 24), dtype)
    near(K.to_host(gemm.matmul(K.to_device(a), K.to_device(b))), a, b)
    across = (K.to_device(np.ascontiguousarray(x.T)).T for x in (a, b))
    near(K.to_host(gemm.matmul(*across)), a, b)


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


# ------------------------------------------------------------------------------------------------------------ convolution

# n, channels, out channels, groups, size, kernel, stride, padding, dilation
CONVOLUTIONS = {
    "16 bytes": (2, 16, 40, 1, (8, 8), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "strides, groups": (2, 6, 10, 2, (9, 7), (3, 2), (2, 1), ((1, 0), (0, 1)), (1, 2)),
    "pointwise": (2, 40, 16, 1, (5, 8), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
}


def close(found: Any, wanted: Any, sums: Any) -> None:
    """As exact products summed in float32 and rounded once; ``sums`` are those of magnitudes."""
    found = K.to_host(found)
    bound = 8 * EPS["float32"] * sums + EPS[found.dtype.name] / 2 * np.abs(wanted) + 1e-30
    assert found.shape == wanted.shape
    assert (np.abs(found.astype(np.float64) - wanted) <= bound).all()


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", CONVOLUTIONS)
def test_convolution_and_its_transposes(kind: str, shape: str, rng: np.random.Generator) -> None:
    n, channels, outputs, groups, size, kernel, *windows = CONVOLUTIONS[shape]
    dtype = "float32" if kind == "tf32" else kind
    x, w = values(rng, (n, channels, *size), dtype), values(rng, (outputs, channels // groups, *kernel), dtype)
    b = values(rng, (outputs,), dtype)

    def exact(a: Any) -> Any:
        return (rounded(a) if kind == "tf32" else a).astype(np.float64)

    wanted = cpu.convolution(exact(x), exact(w), b.astype(np.float64), *windows, groups)
    sums = cpu.convolution(np.abs(exact(x)), np.abs(exact(w)), np.abs(b.astype(np.float64)), *windows, groups)
    close(K.convolution(K.to_device(x), K.to_device(w), K.to_device(b), *windows, groups), wanted, sums)
    g = values(rng, wanted.shape, dtype)
    for name, left, right, last in (("convolution_input", g, w, size), ("convolution_weight", g, x, kernel)):
        f = getattr(cpu, name)
        of, magnitudes = (f(one(left), one(right), last, *windows, groups) for one in (exact, lambda a: np.abs(exact(a))))
        found = [getattr(K, name)(K.to_device(left), K.to_device(right), last, *windows, groups) for _ in range(2)]
        close(found[0], of, magnitudes)
        assert K.to_host(found[0]).tobytes() == K.to_host(found[1]).tobytes()


@pytest.mark.parametrize("tile", ["tiny"] if SIMULATED else [name for name in conv_tensor.TILES if name != "tiny"])
def test_every_tile_of_convolution(tile: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv, "_tile", lambda *given: tile)
    rows = conv_tensor.TILES[tile].rows + 8
    x, w = values(rng, (3, 8, 8, 8), "float16"), values(rng, (rows, 8, 3, 3), "float16")
    windows = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    wide = [a.astype(np.float64) for a in (x, w)]
    found = K.convolution(K.to_device(x), K.to_device(w), None, *windows)
    close(found, cpu.convolution(*wide, None, *windows), cpu.convolution(*map(np.abs, wide), None, *windows))
    g = values(rng, found.shape, "float16")
    wide = [a.astype(np.float64) for a in (g, x)]
    found = K.convolution_weight(K.to_device(g), K.to_device(x), (3, 3), *windows)
    of, magnitudes = (cpu.convolution_weight(f(wide[0]), f(wide[1]), (3, 3), *windows) for f in (np.positive, np.abs))
    close(found, of, magnitudes)


def test_convolution_of_float32_is_rounded_only_where_that_is_allowed(rng: np.random.Generator) -> None:
    x, w = K.to_device(values(rng, (1, 4, 5, 5), "float32")), K.to_device(values(rng, (4, 4, 3, 3), "float32"))
    windows = ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    assert not tg.backends.cudnn.allow_tf32
    exact = K.to_host(K.convolution(x, w, None, *windows))
    tg.backends.cudnn.allow_tf32 = True
    try:
        short = K.to_host(K.convolution(x, w, None, *windows))
    finally:
        tg.backends.cudnn.allow_tf32 = False
    assert 1e-5 < np.abs(short - exact).max() < 1e-2
