"""The matrix product against wider references: every layout, tile edge, register tile and number of threads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tapegrad.kernels.cpu.linalg import gemm, gemm_kernels, matmul as product
from tapegrad.kernels.native import runtime
from tapegrad.kernels.native.call import launcher

DEPTH = gemm_kernels.host_blocking().depth

Array = np.ndarray[Any, Any]
DTYPES = ("float32", "float64")
BLOCKINGS = {  # every one that this machine can run; the last has no FMA
    "avx512 of AMD": gemm_kernels.blocking_of(gemm.Tile(64, 10, 2, True), "znver5"),
    "avx512 of Intel": gemm_kernels.blocking_of(gemm.Tile(64, 10, 2, True), "sapphirerapids"),
    "avx2": gemm_kernels.blocking_of(gemm.Tile(32, 6, 2, True), "haswell"),
    "portable": gemm_kernels.blocking_of(gemm.Tile(16, 4, 2, False), "generic"),
}
widest = gemm.host_tile().vector_bytes if gemm.host_tile().fused else 16
BLOCKINGS = {name: blocking for name, blocking in BLOCKINGS.items() if blocking.tile.vector_bytes <= widest}


def transposed(x: Array) -> Array:
    return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)


def spread_out(x: Array) -> Array:
    """The same values, with gaps of NaN between elements in both directions."""
    big = np.full((*x.shape[:-2], 2 * x.shape[-2], 3 * x.shape[-1]), np.nan, x.dtype)
    big[..., ::2, ::3] = x
    return big[..., ::2, ::3]


def backwards(x: Array) -> Array:
    return np.ascontiguousarray(x[..., ::-1, ::-1])[..., ::-1, ::-1]


def odd_bytes(x: Array) -> Array:
    """Strides that are no multiple of the element size."""
    records = np.zeros(x.shape, [("tag", "i1"), ("x", x.dtype)])
    records["x"] = x
    return records["x"]


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": np.ascontiguousarray,
    "transposed": transposed,
    "spread out": spread_out,
    "backwards": backwards,
    "odd bytes": odd_bytes,
}


def operands(m: int, k: int, n: int, dtype: str, seed: int = 0) -> tuple[Array, Array]:
    r = np.random.default_rng(seed)
    return r.standard_normal((m, k)).astype(dtype), r.standard_normal((k, n)).astype(dtype)


def check(c: Array, a: Array, b: Array) -> None:
    """Within the error of k products summed in order, element by element."""
    assert c.dtype == a.dtype
    assert c.flags.c_contiguous
    wide = np.longdouble if a.dtype == np.float64 else np.float64
    k = a.shape[-1]
    bound = (k + 2) * float(np.finfo(a.dtype).eps) * (np.abs(a).astype(wide) @ np.abs(b).astype(wide))
    exact = a.astype(wide) @ b.astype(wide)
    assert c.shape == exact.shape
    assert np.all(np.abs(c - exact) <= bound)


def same_bits(x: Array, y: Array) -> None:
    np.testing.assert_array_equal(x, y)
    assert np.array_equal(np.signbit(x), np.signbit(y))


@pytest.fixture(params=list(BLOCKINGS))
def blocking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> gemm_kernels.Blocking:
    chosen = BLOCKINGS[request.param]
    monkeypatch.setattr(gemm, "host_blocking", lambda: chosen)
    monkeypatch.setattr(gemm, "_plans", {})
    return chosen


@pytest.fixture
def threads() -> Iterator[None]:
    before = runtime.get_num_threads()
    yield
    runtime.set_num_threads(before)


# ------------------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_tile_edge(blocking: gemm_kernels.Blocking, dtype: str) -> None:
    tile, widths = blocking.tile, blocking.widths
    for m in (*range(1, len(widths) + 2), 2 * tile.rows + 1, 7 * tile.rows + 3):
        columns = widths[m - 1 if m <= len(widths) else tile.rows - 1] * tile.vector_bytes // np.dtype(dtype).itemsize
        for n in (1, columns // 2 - 1, columns // 2, columns // 2 + 1, columns, columns + 1, 3 * columns - 1):
            for k in (1, 17):
                a, b = operands(m, k, max(n, 1), dtype)
                check(gemm.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH + 5])
def test_depth_in_several_passes(blocking: gemm_kernels.Blocking, dtype: str, k: int) -> None:
    a, b = operands(23, k, 41, dtype)
    check(gemm.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_transposes_whole_blocks_and_rests(blocking: gemm_kernels.Blocking, dtype: str) -> None:
    for k in (1, 15, 16, 33, gemm_kernels.PACK_DEPTH + 16):
        for n in (1, 16, 31, 70):
            a, b = operands(9, k, n, dtype)
            np.testing.assert_array_equal(gemm.matmul(np.eye(k, dtype=dtype), transposed(b)), b)
            check(gemm.matmul(a, transposed(b)), a, b)


@settings(deadline=None, max_examples=150)
@given(
    m=st.integers(0, 70),
    k=st.integers(0, 90),
    n=st.integers(0, 100),
    dtype=st.sampled_from(DTYPES),
    layouts=st.tuples(st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(LAYOUTS))),
    seed=st.integers(0, 3),
)
def test_any_shape_and_layout(m: int, k: int, n: int, dtype: str, layouts: tuple[str, str], seed: int) -> None:
    a, b = operands(m, k, n, dtype, seed)
    x, y = LAYOUTS[layouts[0]](a), LAYOUTS[layouts[1]](b)
    c = gemm.matmul(x, y)
    check(c, a, b)
    if m > 1 and n > 1:
        same_bits(c, gemm.matmul(a, b))  # a layout changes no bit
    np.testing.assert_array_equal(x, a)
    np.testing.assert_array_equal(y, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(300, 700, 260), (5, 300, 2000), (1, 1000, 700), (700, 1000, 1), (40, 3000, 40)])
def test_large_and_skinny_in_every_layout(shape: tuple[int, int, int], dtype: str) -> None:
    a, b = operands(*shape, dtype)
    expected = gemm.matmul(a, b)
    check(expected, a, b)
    for lay_a in LAYOUTS.values():
        for lay_b in LAYOUTS.values():
            c = gemm.matmul(lay_a(a), lay_b(b))
            check(c, a, b)
            if shape[0] > 1 and shape[2] > 1:
                same_bits(c, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_and_columns_do_not_depend_on_their_company(dtype: str) -> None:
    a, b = operands(150, 700, 130, dtype)
    whole = gemm.matmul(a, b)
    for rows in (slice(0, 2), slice(3, 12), slice(70, 150)):  # a single row sums in the order of B's memory
        for columns in (slice(0, 1), slice(5, 37), slice(33, 130)):
            same_bits(gemm.matmul(a[rows], b[:, columns]), whole[rows, columns])


def test_stride_zero() -> None:
    a, b = operands(20, 30, 40, "float32")
    for x in (np.broadcast_to(a[:1], a.shape), np.broadcast_to(a[:, :1], a.shape), np.broadcast_to(a[0, 0], a.shape)):
        same_bits(gemm.matmul(x, b), gemm.matmul(np.ascontiguousarray(x), b))
    for y in (np.broadcast_to(b[:1], b.shape), np.broadcast_to(b[:, :1], b.shape), np.broadcast_to(b[0, 0], b.shape)):
        same_bits(gemm.matmul(a, y), gemm.matmul(a, np.ascontiguousarray(y)))


def test_the_same_array_twice() -> None:
    a, _ = operands(50, 50, 1, "float64")
    check(gemm.matmul(a, a), a, a)
    check(gemm.matmul(a, a.T), a, np.ascontiguousarray(a.T))


# ------------------------------------------------------------------------------------------------------------- batch


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3,), (3,)),
        ((3,), ()),
        ((), (3,)),
        ((2, 1, 3), (4, 1)),
        ((1, 1), (5,)),
        ((2, 3), (2, 3)),
        ((2, 3), (1, 3)),
        ((2, 3), (2, 1)),
        ((0,), ()),
        ((2, 0), (1, 1)),
        ((70,), (70,)),
    ],
)
def test_batches_broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    r = np.random.default_rng(0)
    for m, k, n in ((7, 9, 11), (1, 8, 16), (33, 20, 64)):
        a = r.standard_normal((*left, m, k)).astype("float32")
        b = r.standard_normal((*right, k, n)).astype("float32")
        for lay_a in LAYOUTS.values():
            for lay_b in LAYOUTS.values():
                check(gemm.matmul(lay_a(a), lay_b(b)), a, b)


def test_batches_equal_single_products() -> None:
    r = np.random.default_rng(0)
    a, b = r.standard_normal((6, 5, 130, 40)), r.standard_normal((5, 40, 150))
    c = gemm.matmul(a, transposed(b))
    for i in range(6):
        for j in range(5):
            same_bits(c[i, j], gemm.matmul(a[i, j], b[j]))


def test_batch_dimensions_of_stride_zero_and_permuted() -> None:
    r = np.random.default_rng(0)
    a = np.broadcast_to(r.standard_normal((1, 9, 10)), (4, 9, 10))
    b = r.standard_normal((10, 4, 12)).transpose(1, 0, 2)
    check(gemm.matmul(a, b), a, b)
    heads = r.standard_normal((3, 8, 4, 16)).astype("float32")  # (batch, time, head, feature), as attention views it
    q = heads.transpose(0, 2, 1, 3)
    check(gemm.matmul(q, q.swapaxes(-1, -2)), q, q.swapaxes(-1, -2))


# ---------------------------------------------------------------------------------------------- empty, special, errors


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 3, 0), (0, 0, 0), (3, 0, 4), (100, 0, 70), (1, 0, 1)])
def test_empty(shape: tuple[int, int, int]) -> None:
    a, b = operands(*shape, "float32")
    out = np.full((shape[0], shape[2]), np.nan, "float32")
    gemm.matmul(a, b, out)
    np.testing.assert_array_equal(out, np.zeros_like(out))
    np.testing.assert_array_equal(gemm.matmul(a, transposed(b)), out)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_spread_as_in_a_plain_product(blocking: gemm_kernels.Blocking, dtype: str) -> None:
    for m, k, n in ((1, 5, 1), (13, 21, 37), (11, 600, 33)):
        for place in ((0, 0), (m - 1, k - 1), (m // 2, k // 2)):
            for value in (np.nan, np.inf, -np.inf):
                a, b = operands(m, k, n, dtype)
                a[place] = value
                b[place[1], 0] = 0  # 0 * inf is NaN
                expected = np.full((m, n), False)
                expected[place[0]] = True
                for y in (b, transposed(b)):
                    c = gemm.matmul(a, y)
                    np.testing.assert_array_equal(~np.isfinite(c), expected)
                    assert np.isnan(c[place[0], 0])
                    with np.errstate(invalid="ignore"):
                        product = a[:, place[1], None] * b[None, place[1]]
                    np.testing.assert_array_equal(np.isnan(c), np.isnan(product))
                swapped = gemm.matmul(b.T, a.T)
                np.testing.assert_array_equal(~np.isfinite(swapped), expected.T)


def test_infinities_of_both_signs_make_nan() -> None:
    a, b = np.ones((3, 4), "float32"), np.ones((4, 5), "float32")
    a[1, 0], a[1, 3] = np.inf, -np.inf
    c = gemm.matmul(a, b)
    assert np.isnan(c[1]).all()
    assert (c[[0, 2]] == 4).all()


def test_nothing_outside_the_operands_is_used() -> None:
    """Neighbours of the operands are NaN, and neighbours of the output stay as they are."""
    for m, k, n in ((7, 5, 9), (33, 40, 70), (1, 64, 100), (12, 3, 32)):
        a, b = operands(m, k, n, "float32")
        frames = [np.full((rows + 40, columns + 40), np.nan, "float32") for rows, columns in ((m, k), (k, n))]
        x, y = frames[0][20 : 20 + m, 20 : 20 + k], frames[1][20 : 20 + k, 20 : 20 + n]
        x[:], y[:] = a, b
        memory = np.full(m * n + 128, 7, "float32")
        out = memory[64 : 64 + m * n].reshape(m, n)
        gemm.matmul(x, y, out)
        check(out, a, b)
        assert (memory[:64] == 7).all()
        assert (memory[64 + m * n :] == 7).all()


def test_out_is_written_and_returned() -> None:
    for shape in ((5, 6, 7), (200, 300, 100)):
        a, b = operands(*shape, "float64")
        out = np.full((shape[0], shape[2]), np.nan)
        assert gemm.matmul(a, b, out) is out
        same_bits(out, gemm.matmul(a, b))


@pytest.mark.parametrize(
    "out",
    [np.empty((2, 4)), np.empty((2, 5), "float32"), np.empty((5, 2)).T, np.empty((2, 10))[:, ::2], np.empty((1, 2, 5))],
)
def test_out_that_does_not_fit(out: Array) -> None:
    with pytest.raises(ValueError, match=r"C-contiguous float64 array of shape \(2, 5\)"):
        gemm.matmul(np.ones((2, 3)), np.ones((3, 5)), out)


def test_out_that_is_read_only() -> None:
    out = np.zeros((2, 5))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        gemm.matmul(np.ones((2, 3)), np.ones((3, 5)), out)


@pytest.mark.parametrize(
    ("a", "b"), [((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (2, 3)), ((0, 3), (4, 0)), ((2, 2, 3), (3, 3, 2))]
)
def test_shapes_that_do_not_fit(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="matmul") as error:
        gemm.matmul(np.ones(a), np.ones(b))
    assert str(a) in str(error.value)
    assert str(b) in str(error.value)


@pytest.mark.parametrize(("a", "b"), [("f4", "f8"), ("i4", "i4"), ("c16", "c16"), (">f4", ">f4"), ("f2", "f2")])
def test_dtypes_that_do_not_fit(a: str, b: str) -> None:
    with pytest.raises(TypeError, match="float32 or two float64"):
        gemm.matmul(np.ones((2, 2), a), np.ones((2, 2), b))


# ----------------------------------------------------------------------------------------------------------- launches


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(500, 300, 400), (20, 300, 3000), (3000, 300, 20), (1, 3000, 2000), (2000, 3000, 1), (64, 9000, 64)])
def test_threads_change_no_bit(shape: tuple[int, int, int], dtype: str, threads: None) -> None:
    a, b = operands(*shape, dtype)
    results = []
    for count in (1, 2, 3, 5):
        runtime.set_num_threads(count)
        gemm._plans.clear()  # a plan is made for a number of threads
        results.append([gemm.matmul(x, y) for x in (a, spread_out(a)) for y in (b, transposed(b))])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            same_bits(other, one)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 30, 70), (70, 30, 1), (1, 9, 1), (7, 300, 70), (130, 300, 75), (40, 0, 9)])
def test_what_the_result_begins_with(shape: tuple[int, int, int], dtype: str) -> None:
    a, b = operands(*shape, dtype)
    r = np.random.default_rng(1)
    for lay_a in LAYOUTS.values():
        for lay_b in LAYOUTS.values():
            for start in (r.standard_normal(shape[2]).astype(dtype), r.standard_normal((shape[0], shape[2])).astype(dtype)):
                found = gemm.matmul(lay_a(a), lay_b(b), None, start)
                np.testing.assert_allclose(found, start + a.astype("f8") @ b, rtol=0, atol=np.finfo(dtype).eps * 8 * (shape[1] + 2))
    stacked = np.stack([a, 2 * a])
    whole = r.standard_normal((2, shape[0], shape[2])).astype(dtype)
    for y in (b, np.stack([b, b - 1])):
        np.testing.assert_allclose(
            gemm.matmul(stacked, y, None, whole), whole + stacked.astype("f8") @ y, rtol=0, atol=np.finfo(dtype).eps * 16 * (shape[1] + 2)
        )


def recorded(a: Array, b: Array, monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[Any, ...]], Array]:
    """The launches of one product and its output."""
    calls: list[tuple[Any, ...]] = []

    def launch(*args: Any) -> None:
        calls.append(args)
        launcher()(*args)

    with monkeypatch.context() as patch:
        patch.setattr(gemm, "launcher", lambda: launch)
        return calls, gemm.matmul(a, b)


@pytest.mark.parametrize("shape", [(50, 60, 70), (200, 700, 300), (3, 700, 900), (700, 40, 5)])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_any_split_of_the_range_changes_no_bit(
    shape: tuple[int, int, int], batch: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    m, k, n = shape
    r = np.random.default_rng(0)
    a, b = spread_out(r.standard_normal((*batch, m, k))), transposed(r.standard_normal((*batch, k, n)))
    calls, expected = recorded(a, b, monkeypatch)
    before = expected.copy()
    assert 1 <= len(calls) <= 2
    for pieces in (2, 3, 1000):
        expected[:] = np.nan
        for kernel, units, _, *slots in calls:
            words = np.array([s.ctypes.data if isinstance(s, np.ndarray) else s for s in slots], np.int64)
            bounds = sorted({units * i // pieces for i in range(pieces + 1)})
            for start, stop in reversed(list(zip(bounds[:-1], bounds[1:], strict=True))):
                call_kernel(kernel, words, start, stop)
        same_bits(expected, before)


def call_kernel(kernel: int, slots: Array, start: int, stop: int) -> None:
    import ctypes

    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(kernel)(slots.ctypes.data, start, stop)


@pytest.mark.parametrize("shape", [(3, 4, 5), (64, 64, 64), (130, 300, 70), (1, 70, 40), (70, 40, 1), (4, 0, 3), (0, 4, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_calls_without_the_interpreter(shape: tuple[int, int, int], dtype: str) -> None:
    """From the second call on a plan is followed: with other values, at other addresses, and with operands that begin at one address."""
    for seed in range(3):
        a, b = operands(*shape, dtype, seed)
        start = b[:1].sum(0) + a.dtype.type(seed)
        for x, y in ((a, b), (a, a.T), (transposed(a), b)):
            expected = gemm.matmul(x, y)
            same_bits(product.matmul(x, y), expected)
            same_bits(product.matmul(x.copy("K"), y), expected)
        found = product.matmul_add(a, b, start)
        assert found is not None
        same_bits(found, gemm.matmul(a, b, None, start))


def test_recorded_launches_can_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other values in the same arrays, after other products used this thread's working space."""
    a, b = operands(300, 200, 250, "float32")
    b = transposed(b)
    calls, out = recorded(a, b, monkeypatch)
    others = operands(310, 210, 260, "float32")
    gemm.matmul(others[0], transposed(others[1]))
    a *= 2
    b -= 1
    for call in calls:
        launcher()(*call)
    same_bits(out, gemm.matmul(a, b))


def test_two_python_threads_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    pairs = [operands(200 + i, 300, 150, "float32", i) for i in range(8)]
    expected = [gemm.matmul(a, b) for a, b in pairs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for c, e in zip(pool.map(lambda ab: gemm.matmul(*ab), pairs), expected, strict=True):
                np.testing.assert_array_equal(c, e)


def test_importing_needs_no_numba() -> None:
    code = "import sys; import tapegrad.kernels.cpu.linalg.gemm; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def test_the_tile_follows_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def tile_for(features: str) -> gemm.Tile:
        monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
        return gemm.host_tile.__wrapped__()

    assert tile_for("+sse2,+avx2,+fma,+avx512f") == gemm.Tile(64, 10, 2, True)
    assert tile_for("+avx2,+fma,-avx512f") == gemm.Tile(32, 6, 2, True)
    assert tile_for("+avx2") == gemm.Tile(16, 4, 2, False)
    assert tile_for("+neon") == gemm.Tile(16, 4, 2, True)
    monkeypatch.delenv("NUMBA_CPU_FEATURES")
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert gemm.host_tile.__wrapped__() == gemm.Tile(16, 4, 2, False)


@pytest.mark.parametrize(
    ("triple", "cpu", "tile", "multiply_add"),
    [
        ("x86_64-unknown-linux-gnu", "haswell", gemm.Tile(32, 6, 2, True), r"vfmadd\d+p[sd]\s.*%ymm"),
        ("x86_64-unknown-linux-gnu", "znver5", gemm.Tile(64, 10, 2, True), r"vfmadd\d+p[sd]\s.*%zmm"),
        ("aarch64-unknown-linux-gnu", "neoverse-n1", gemm.Tile(16, 4, 2, True), r"fmla\s+v\d+\.(4s|2d)"),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_cpus_get_vector_instructions(triple: str, cpu: str, tile: gemm.Tile, multiply_add: str, dtype: str) -> None:
    """The register tiles compiled for another CPU: multiply-adds of whole vectors, and no scalar ones or calls of ``fma``."""
    from llvmlite import binding as llvm, ir

    from tapegrad.kernels.cpu.linalg import micro
    from tapegrad.kernels.cpu.vector import Vector

    size = np.dtype(dtype).itemsize
    word = ir.IntType(64)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * 9), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    operands_of_tile = micro._Operands(word(tile.rows), word(tile.vectors), *function.args)
    micro._emit_tile(builder, Vector(size, tile.vector_bytes // size), tile.rows, tile.vectors, tile.fused, operands_of_tile)
    builder.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    text = str(module).replace('target triple = "unknown-unknown-unknown"', f'target triple = "{triple}"')
    assembly = machine.emit_assembly(llvm.parse_assembly(text))
    assert len(re.findall(multiply_add, assembly)) == tile.rows * tile.vectors
    assert not re.search(r"\bfmaf?\b|vfmadd\d+s[sd]|fmadd\s", assembly)
