"""Sorting, searching, counting on the GPU at sizes over one block, against the CPU's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.dtypes import to_dtype
from tapegrad.kernels.cuda.drivers import ON_CPU
from tapegrad.kernels.cuda.language import SIMULATED
from tapegrad.tensor import Tensor, wrap

LONG = 700 if SIMULATED else 20_003 if ON_CPU else 1_000_003  # of a lane: several tiles, the last not full
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")


def values(rng: np.random.Generator, dtype: str, *shape: int) -> Any:
    """Numbers with many ties; of floats also NaN of both signs, zeros of both, and infinities."""
    found = rng.integers(-30, 30, shape).astype(to_dtype(dtype).numpy)
    if to_dtype(dtype).is_floating_point:
        flat = found.reshape(-1)
        flat[: flat.size // 2 : 7] = np.nan
        flat[1 : flat.size // 2 : 9] = -0.0
        flat[2 : flat.size // 2 : 11] = 0.0
        flat[3::13], flat[4::17] = -np.nan, -np.inf
    return found


def same(found: Tensor, expected: Tensor) -> None:
    assert found.is_cuda and found.dtype == expected.dtype
    a, e = found.cpu().numpy(), expected.numpy()
    assert a.shape == e.shape
    assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(e).tobytes()  # NaN, and the sign of zeros


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("shape", "dim"), [((2, 3), 1), ((40, 3), 0), ((2, LONG), 1), ((LONG, 2), 0), ((3, 4, 5), 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sorted_stably(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], dim: int, descending: bool) -> None:
    array = values(rng, dtype, *shape)
    for layout in (array, array.swapaxes(0, -1)[..., ::-1]) if len(shape) == 3 else (array,):
        found, expected = wrap(layout).cuda().sort(dim, descending=descending), wrap(layout).sort(dim, descending=descending)
        same(found.indices, expected.indices)
        same(found.values, expected.values)


def test_the_farthest_integers(cuda: Any) -> None:
    array = np.array([2**63 - 1, -(2**63), 0, -1, 2**63 - 1])
    assert tg.tensor(array, device=cuda).argsort(descending=True).tolist() == [0, 4, 2, 3, 1]
    assert tg.tensor(array, device=cuda).argsort().tolist() == [1, 3, 2, 0, 4]


@pytest.mark.parametrize("name", ["unique", "unique_consecutive"])
@pytest.mark.parametrize(("shape", "dim"), [((LONG,), None), ((LONG // 4, 3), 0), ((3, 90), 1), ((0, 3), 0), ((4, 0), 0), ((0,), None)])
@pytest.mark.parametrize("dtype", ["bool", "int64", "bfloat16", "float32", "complex64"])
def test_different_values(rng: np.random.Generator, name: str, shape: tuple[int, ...], dim: int | None, dtype: str) -> None:
    array = rng.integers(0, 3, shape).astype(to_dtype(dtype).numpy)
    for x in (wrap(array), wrap(np.repeat(array, 2, -1)) if dim != 1 else wrap(array[::-1])):
        expected = getattr(x, name)(return_inverse=True, return_counts=True, dim=dim)
        for f, e in zip(getattr(x.cuda(), name)(return_inverse=True, return_counts=True, dim=dim), expected, strict=True):
            same(f, e)


def test_every_nan_is_different(cuda: Any) -> None:
    x = tg.tensor([np.nan, 1.0, np.nan, 1.0, 0.0, -0.0], device=cuda)
    found, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    assert found.tolist()[:2] == [0.0, 1.0] and found.isnan().sum().item() == 2
    assert inverse.tolist() == [2, 1, 3, 1, 0, 0] and counts.tolist() == [2, 2, 1, 1]


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("int64", "float32"), ("bfloat16", "float64"), ("float16", "float16")])
def test_places_among_sorted_values(rng: np.random.Generator, dtypes: tuple[str, str], right: bool) -> None:
    first, second = (to_dtype(d).numpy for d in dtypes)
    boundaries = np.sort(rng.integers(0, 50, (3, 200)), 1).astype(first)
    x = rng.integers(-1, 51, (3, 300)).astype(second)
    for b in (boundaries, boundaries[0]):
        same(tg.searchsorted(wrap(b).cuda(), wrap(x.T.copy().T).cuda(), right=right), tg.searchsorted(wrap(b), wrap(x), right=right))


def test_nan_is_beyond_all_boundaries(cuda: Any) -> None:
    boundaries, x = np.array([0.0, 1.0, np.nan]), np.array([np.nan, 2.0, -1.0])
    for side in ("left", "right"):
        found = tg.searchsorted(tg.tensor(boundaries, device=cuda), tg.tensor(x, device=cuda), side=side)
        assert found.tolist() == np.searchsorted(boundaries, x, side).tolist()


def test_numbers_beside_tensors(cuda: Any) -> None:
    x = tg.tensor([1.0, 2.0, 4.0], device=cuda)
    assert tg.searchsorted(x, 2.5).item() == 2 and tg.bucketize(4, x, right=True).item() == 3
    assert tg.isin(x, 2).tolist() == [False, True, False] and tg.isin(4, x).item()


@pytest.mark.parametrize("bins", [7, 5000])
def test_counts(rng: np.random.Generator, bins: int) -> None:
    numbers = wrap(rng.integers(0, bins, LONG))
    weights = wrap(rng.integers(0, 9, LONG).astype(np.float32))
    same(numbers.cuda().bincount(minlength=bins), numbers.bincount(minlength=bins))
    same(numbers.to(tg.int32).cuda().bincount(weights.cuda()), numbers.bincount(weights))
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        x = wrap(rng.normal(size=LONG).astype(to_dtype(dtype).numpy))
        same(x.cuda().histc(bins, -1.5, 2.0), x.histc(bins, -1.5, 2.0))
    with pytest.raises(RuntimeError, match="got one with -3"):
        tg.tensor([1, -3], device="cuda").bincount()


@pytest.mark.parametrize("count", [0, 3, 200])
@pytest.mark.parametrize("dtype", ["int64", "float16", "float64", "complex64"])
def test_membership(rng: np.random.Generator, dtype: str, count: int) -> None:
    x, among = (wrap(rng.integers(0, 300, n).astype(to_dtype(dtype).numpy)) for n in (500, count))
    for invert in (False, True):
        same(tg.isin(x.cuda(), among.cuda(), invert=invert), tg.isin(x, among, invert=invert))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize(("size", "step"), [(3, 1), (4, 2), (2, 5)])
def test_gradients_of_windows(rng: np.random.Generator, dtype: str, size: int, step: int) -> None:
    array = rng.integers(-4, 5, (6, 60, 5)).astype(to_dtype(dtype).numpy)
    grads = []
    for device in ("cpu", "cuda"):
        x = wrap(array).to(device).requires_grad_()
        parts = x.unfold(1, size, step)
        parts.backward((parts * 0 + tg.arange(float(size), device=device)).to(parts.dtype).detach())
        grads.append(x.grad)
    same(grads[1], grads[0])


def test_overlapping_strides(rng: np.random.Generator) -> None:
    array = rng.integers(-4, 5, 400).astype(np.float32)
    for size, stride in (((100, 8), (3, 1)), ((5, 4, 3), (1, 1, 1)), ((7, 6, 5), (0, 40, 1))):
        grads = []
        for device in ("cpu", "cuda"):
            x = wrap(array).to(device).requires_grad_()
            (x.as_strided(size, stride, 2) * tg.arange(float(np.prod(size)), device=device).reshape(size)).sum().backward()
            grads.append(x.grad)
        same(grads[1], grads[0])


@pytest.mark.parametrize("dtype", ["bool", "float16", "int32", "float64", "complex128"])
@pytest.mark.parametrize("diagonal", [-3, 0, 2])
def test_triangles(rng: np.random.Generator, dtype: str, diagonal: int) -> None:
    x = wrap(rng.integers(0, 5, (3, 20, 9)).astype(to_dtype(dtype).numpy))
    for y in (x, x.transpose(0, 2)):
        same(y.cuda().tril(diagonal), y.tril(diagonal))
        same(y.cuda().triu(diagonal), y.triu(diagonal))
