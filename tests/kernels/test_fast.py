"""The native path for operands of any layout: every arrangement against NumPy, what it refuses, threads, dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import tapegrad as tg
from tapegrad.kernels import cpu
from tapegrad.kernels.body import Body
from tapegrad.kernels.cpu.arrange import ROWS, TILES, arrange
from tapegrad.kernels.cpu.fast import Fast
from tapegrad.kernels.native import runtime

from .test_elementwise import layouts, shapes

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
MIX = Body(("a", "b"), ("t0 = a * b", "t1 = t0 + a"), ("t1",))


def mixed(a: Any, b: Any) -> Any:
    return a * b + a


def taught(*operands: Any, dtype: Any = F32, out: Any = None) -> Fast:
    """A fast path that knows such operands."""
    runtime.start_threads()
    fast = Fast(2, 1, given=out is not None)
    shape = np.broadcast_shapes(*[o.shape for o in operands if isinstance(o, np.ndarray)])
    cpu.learn(fast, MIX, operands, (np.empty(shape, dtype) if out is None else out,), np.dtype(dtype))
    return fast


def numbers(*shape: int, dtype: Any = F32) -> Any:
    return np.random.default_rng(sum(shape)).integers(-9, 9, shape).astype(dtype)


@given(st.data())
def test_operands_of_any_layout(data: st.DataObject) -> None:
    shape = data.draw(shapes.filter(lambda s: 0 not in s))
    a, b, out = data.draw(layouts(shape)), data.draw(layouts(shape)), data.draw(layouts(shape, writable=True))
    expected = mixed(a, b)
    result = taught(a, b).wide(a, b)
    assert type(result) is np.ndarray
    assert result.flags.owndata and result.flags.writeable and result.flags.c_contiguous
    assert np.array_equal(result, expected)
    if expected.shape == shape:
        assert taught(a, b, out=out).wide(a, b, out) is out
        assert np.array_equal(out, expected)


TRANSPOSED = [
    ((40, 50), lambda n: n(40, 50), lambda n: n(50, 40).T),
    ((333, 77), lambda n: n(154, 333)[::2].T, lambda n: n(77, 333).T),
    ((333, 77), lambda n: n(77, 333).T, lambda n: n(77)),
    ((20, 30, 41), lambda n: n(20, 30, 41), lambda n: n(41, 20, 30).transpose(1, 2, 0)),
    ((20, 30, 41), lambda n: n(30, 1), lambda n: n(41, 30, 20).T),
    ((3, 16, 32), lambda n: n(3, 32, 16).transpose(0, 2, 1), lambda n: n(3, 16, 64)[:, :, ::2]),
    ((8, 8), lambda n: n(8, 8).T, lambda n: n(16, 16)[::2, ::-2]),
    ((17, 33), lambda n: n(34, 33)[::2], lambda n: n(33, 17).T),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int16])
@pytest.mark.parametrize("case", range(len(TRANSPOSED)))
def test_transposed_operands_are_read_in_tiles(case: int, dtype: Any) -> None:
    shape, make_a, make_b = TRANSPOSED[case]
    a, b = (make(lambda *s: numbers(*s, dtype=dtype)) for make in (make_a, make_b))
    out = np.empty(shape, dtype)
    assert arrange((a, b), (out,)).kind == TILES
    assert np.array_equal(taught(a, b, dtype=dtype).wide(a, b), mixed(a, b))
    turned = np.empty(shape[::-1], dtype).T
    taught(a, b, dtype=dtype, out=turned).wide(a, b, turned)
    assert np.array_equal(turned, mixed(a, b))


def test_what_lies_alike_is_one_flat_run() -> None:
    a, b, out = numbers(30, 20).T, numbers(30, 20).T, np.empty((30, 20), F32).T
    assert arrange((a, b), (out,)).kind == 0
    assert arrange((a, numbers(20, 1)), (out,)).kind == ROWS
    assert taught(a, b, out=out).wide(a, b, out) is out
    assert np.array_equal(out, mixed(a, b))


@pytest.mark.parametrize("shape", [(30, 20), (5, 6, 7)])
def test_results_of_column_major_operands_are_column_major(shape: tuple[int, ...]) -> None:
    x, y = (tg.tensor(numbers(*shape)) for _ in range(2))
    turned = x.permute(*reversed(range(x.ndim)))
    other = y.permute(*reversed(range(x.ndim)))
    for _ in range(2):  # learned, then known
        for result, expected in (
            (turned * other, x.numpy().T * y.numpy().T),
            (turned.abs(), abs(x.numpy().T)),
            (2 - turned, 2 - x.numpy().T),
        ):
            assert result.stride() == turned.stride()
            assert np.array_equal(result.numpy(), expected)
        row_major = tg.tensor(np.ascontiguousarray(y.numpy().T))
        for result in (turned + row_major, turned + other[:1], turned.abs().contiguous()):
            assert result.is_contiguous()


def test_in_place() -> None:
    for x in (numbers(12, 8), numbers(8, 12).T, numbers(24, 8)[::2], numbers(100), numbers(200)[::2]):
        expected, row = mixed(x, x[:1]), x[:1].copy()
        assert taught(x, row, out=x).wide(x, row, x) is x
        assert np.array_equal(x, expected)


def test_python_numbers() -> None:
    x = numbers(6, 5)
    for value in (2.5, -3, 0, 2**53, -(2**53)):
        fast = taught(x, value)
        assert np.array_equal(fast.call(x, value), mixed(x, F32.type(value)))
        assert fast.call(x, 2.5 if isinstance(value, int) else 2) is None  # they promote otherwise
    assert taught(x, 3).call(x, 2**53 + 1) is None
    assert taught(x, 3).call(x, 2**70) is None
    assert taught(x, 3).wide(x, -(2**70)) is None
    assert taught(x, 3).call(x, True) is None
    small = np.array([100, -100, 7], np.int8)
    with np.errstate(over="ignore"):
        assert np.array_equal(taught(small, 300, dtype=np.int8).call(small, 300), mixed(small, np.int8(44)))


def test_dtypes_of_each_operand() -> None:
    pick = Body(("c", "a", "b"), ("t0 = (a if c else b)",), ("t0",), ("c",))
    fast, a, b = Fast(3, 1), numbers(5, 4), numbers(4)
    c = a > 0
    cpu.learn(fast, pick, (c, a, b), (np.empty((5, 4), F32),), F32)
    assert np.array_equal(fast.wide(c, a, b), np.where(c, a, b))
    assert fast.wide(c.view(np.uint8), a, b) is None
    assert fast.wide(c, a, b.astype(F64)) is None
    zero_dim, one = np.array(2.0), np.array([2.0])
    alone = taught(a, zero_dim)
    assert np.array_equal(alone.wide(a, zero_dim), mixed(a, F32.type(2)))
    assert alone.wide(a, one) is None  # it would promote


def test_refusals() -> None:
    a, row = numbers(4, 6), numbers(6)
    fast = taught(a, row)
    misaligned = np.zeros(a.nbytes + 1, np.uint8)[1:].view(F32).reshape(4, 6)
    fields = np.zeros((4, 6), [("a", "i1"), ("b", "f4")])["b"]
    wrong: list[tuple[Any, ...]] = [
        (), (a,), (a, row, row), (a, row) * 20, (a, numbers(5)), (numbers(0, 6), numbers(5)), (misaligned, row), (fields, row), (a, None), (a, "x"),
        (2.0, 2.0), (a.astype(">f4"), row), (a.astype(F64), row), (a[:, ::2], row[::2]), (a, row[:1]), (tg.ones(4, 6), row),
    ]  # fmt: skip
    for operands in wrong:
        assert fast.wide(*operands) is None, operands
    into, out = taught(a, row, out=np.empty((4, 6), F32)), np.empty((4, 6), F32)
    assert into.wide(a, row, out) is out
    for bad in (np.empty((4, 1), F32), np.empty((4, 6), F64), np.empty(6, F32), 2.0):
        assert into.wide(a, row, bad) is None
    with pytest.raises(ValueError, match="no elementwise kernel"):
        arrange((a, numbers(5)), (out,))


def test_sizes_of_zero() -> None:
    fast = taught(numbers(3), numbers(3))
    for x, y in ((numbers(0, 3), numbers(3)), (numbers(2, 0).T, numbers(2)), (numbers(1, 0), numbers(4, 1))):
        result = fast.wide(x, y)
        assert result.shape == np.broadcast_shapes(x.shape, y.shape)
        assert result.dtype == F32


def test_huge_strides() -> None:
    base = np.lib.stride_tricks.as_strided(np.ones(1, F32), (1, 1, 1), (2**61, -(2**62), 2**40))
    assert taught(base, base).wide(base, base).tolist() == [[[2.0]]]
    wide = np.lib.stride_tricks.as_strided(np.arange(3, dtype=F32), (1, 3), (2**60, 4))
    assert taught(wide, numbers(5, 1)).wide(wide, numbers(5, 1)).shape == (5, 3)


@pytest.mark.parametrize("shape", [(300, 400), (2, 3, 50_000)])
def test_threads_change_nothing(shape: tuple[int, ...]) -> None:
    x = tg.randn(*shape)
    others = [tg.randn(shape[-1]), tg.randn(*shape[:-1], 1), tg.randn(*shape[::-1]).permute(*range(len(shape) - 1, -1, -1))]
    before, results = tg.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            tg.set_num_threads(count)
            results.append([(tg.exp(y) * x + y).numpy().tobytes() for y in others])
    finally:
        tg.set_num_threads(before)
    assert all(r == results[0] for r in results)


@pytest.mark.parametrize("shapes_of", [((4, 5), (5,)), ((4, 1), (1, 5)), ((4, 5), ()), ((1,), (4, 5)), ((3, 1, 5), (4, 1))])
def test_gradients_of_broadcast_operands(shapes_of: Any) -> None:
    """The first pass goes the general way, the second the fast one."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s) for s in shapes_of)
    g = rng.standard_normal(np.broadcast_shapes(*shapes_of))
    for _ in range(2):
        x, y = (tg.tensor(v, requires_grad=True) for v in (a, b))
        (x * y + y).backward(tg.tensor(g))
        for t, full in ((x, g * b), (y, g * (a + 1))):
            axes = tuple(range(g.ndim - t.ndim)) + tuple(d + g.ndim - t.ndim for d in range(t.ndim) if t.shape[d] != g.shape[d + g.ndim - t.ndim])
            np.testing.assert_allclose(t.grad.numpy(), full.sum(axes).reshape(t.shape), rtol=1e-13)
        (gx,) = tg.autograd.grad((x * y * y).sum(), x, create_graph=True)
        (gxy,) = tg.autograd.grad(gx.sum(), y)
        assert gxy.shape == y.shape


@pytest.mark.parametrize("shape", [(), (3,), (4, 5)])
def test_gradients_of_mixed_dtypes_have_the_dtype_of_their_leaf(shape: tuple[int, ...]) -> None:
    """The first pass goes the general way, the second the fast one."""
    for _ in range(2):
        x = tg.full(shape, 3.0, dtype=tg.float32, requires_grad=True)
        y = tg.full(shape, 2.0, dtype=tg.float64, requires_grad=True)
        seen: list[tg.dtype] = []
        product = (x * 1) * (y * 1)
        narrow = x * 1
        narrow.register_hook(lambda g, seen=seen: seen.append(g.dtype))
        (product + narrow).sum().backward()
        assert (x.grad.dtype, y.grad.dtype, seen) == (tg.float32, tg.float64, [tg.float32])
        assert (x.grad == 3).all() and (y.grad == 3).all()
