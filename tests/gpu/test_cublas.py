"""Products by cuBLAS: what it is asked for. In the simulator a stand-in reads its arguments as cuBLAS's documentation says."""

from __future__ import annotations

import ctypes
import threading
import traceback
from typing import Any

import numpy as np
import pytest
from matrices import EPS, VIEWS, dtype_of, values

from tapegrad import backends
from tapegrad.kernels import cuda as K
from tapegrad.kernels.cuda import replay
from tapegrad.kernels.cuda.context import context
from tapegrad.kernels.cuda.drivers import ON_CPU, driver
from tapegrad.kernels.cuda.linalg import cublas
from tapegrad.kernels.cuda.planned import planned

TYPES = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16", 4: "complex64", 5: "complex128"}
COMPUTED = {"float16": "float32", "bfloat16": "float32"}
PRODUCTS = [
    ((5, 7), (7, 4)),
    ((1, 7), (7, 4)),
    ((5, 1), (1, 4)),
    ((5, 7), (7, 1)),
    ((1, 7), (7, 1)),
    ((3, 5, 7), (7, 4)),
    ((5, 7), (3, 7, 4)),
    ((3, 5, 7), (3, 7, 4)),
    ((2, 3, 5, 7), (3, 7, 4)),
    ((2, 1, 5, 7), (3, 7, 4)),
    ((2, 1, 2, 5, 7), (3, 1, 7, 4)),
    ((3, 1, 7), (3, 7, 4)),
]


def elements(address: int, dtype: str, count: int) -> Any:
    block, offset = driver().bytes_at(address)
    size = dtype_of(dtype).itemsize
    assert offset + count * size <= block.size, "the matrix reaches beyond its memory"
    return block[offset : offset + count * size].view(dtype_of(dtype))


class StandIn:
    """Functions of cuBLAS's, on the simulator's memory."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        for name, kinds in cublas.SIGNATURES.items():
            setattr(self, name, ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(self.function(name)))

    def function(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.asked.append((name, *arguments))
            try:
                return int(getattr(self, "do_" + name, lambda *_: 0)(*arguments))
            except Exception:  # C passes none on
                traceback.print_exc()
                return 14

        return call

    def do_cublasCreate_v2(self, handle: Any) -> int:
        handle[0] = 77
        return 0

    def do_cublasGemmEx(self, *given: Any) -> int:
        first, (a, at, lda, b, bt, ldb, beta, c, ct, ldc, *last) = given[:7], given[7:]
        return self.do_cublasGemmStridedBatchedEx(*first, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, *last)

    def do_cublasGemmStridedBatchedEx(
        self, handle: int, opa: int, opb: int, m: int, n: int, k: int, alpha: int, a: int, at: int, lda: int, sa: int, b: int, bt: int,
        ldb: int, sb: int, beta: int, c: int, ct: int, ldc: int, sc: int, count: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        assert handle == 77 and at == bt == ct and algorithm == -1
        dtype = TYPES[at]
        size, wide = dtype_of(dtype).itemsize, COMPUTED.get(dtype, dtype)
        assert compute == (70 if wide in ("float64", "complex128") else 68)
        keep, scale = (np.ctypeslib.as_array((ctypes.c_char * 16).from_address(x)).view(wide)[0] for x in (beta, alpha))
        shapes = [(m, k) if opa == 0 else (k, m), (k, n) if opb == 0 else (n, k)]
        assert lda >= shapes[0][0] and ldb >= shapes[1][0] and ldc >= m

        def matrix(address: int, leading: int, rows: int, columns: int, which: int, stride: int) -> Any:
            data = elements(address + which * stride * size, dtype, (columns - 1) * leading + rows)
            return np.lib.stride_tricks.as_strided(data, (rows, columns), (size, leading * size))

        for i in range(count):
            x, y = matrix(a, lda, *shapes[0], i, sa).astype(wide), matrix(b, ldb, *shapes[1], i, sb).astype(wide)
            z = matrix(c, ldc, m, n, i, sc)
            made = scale * ((x.T if opa else x) @ (y.T if opb else y))
            z[...] = made if keep == 0 else made + keep * z.astype(wide)
        return 0


@pytest.fixture
def blas() -> Any:
    found = cublas.Blas(StandIn(), lambda device: None) if ON_CPU else cublas.blas()
    if found is None:
        pytest.skip("cuBLAS is not installed")
    return found


def check(blas: Any, a: Any, b: Any, start: Any, of_a: Any, of_b: Any) -> None:
    dtype = a.dtype.name
    wide = "complex128" if "complex" in dtype else "float64"
    made = blas.matmul(of_a(K.to_device(a)), of_b(K.to_device(b)), None if start is None else K.to_device(start))
    x, y = of_a(a).astype(wide), of_b(b).astype(wide)
    expected = x @ y + (0 if start is None else start.astype(wide))
    assert made.shape == expected.shape and made.dtype == a.dtype and made.flags.c_contiguous
    assert np.abs(K.to_host(made).astype(wide) - expected).max() <= 4 * EPS[dtype] * x.shape[-1]


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_every_stack_of_matrices(blas: Any, dtype: str, a: tuple[int, ...], b: tuple[int, ...], rng: np.random.Generator) -> None:
    arrays = values(rng, a, dtype), values(rng, b, dtype)
    turned = [x.swapaxes(-1, -2).copy() for x in arrays]
    for x, of_x in ((arrays[0], lambda x: x), (turned[0], lambda x: x.swapaxes(-1, -2))):
        for y, of_y in ((arrays[1], lambda y: y), (turned[1], lambda y: y.swapaxes(-1, -2))):
            check(blas, x, y, None, of_x, of_y)
            check(blas, x, y, values(rng, (b[-1],), dtype), of_x, of_y)


@pytest.mark.parametrize("a_order", VIEWS)
@pytest.mark.parametrize("b_order", VIEWS)
def test_any_strides(blas: Any, a_order: str, b_order: str, rng: np.random.Generator) -> None:
    (a_shape, of_a), (b_shape, of_b) = VIEWS[a_order], VIEWS[b_order]
    for m, k, n in ((6, 5, 4), (1, 5, 4), (6, 1, 4), (6, 5, 1)):
        check(blas, values(rng, a_shape(m, k), "float32"), values(rng, b_shape(k, n), "float32"), None, of_a, of_b)


def test_stacks_in_the_middle(blas: Any, rng: np.random.Generator) -> None:
    x, y = values(rng, (3, 5, 2, 8), "float32"), values(rng, (3, 6, 2, 8), "float32")
    check(blas, x, y, None, lambda x: x.transpose(0, 2, 1, 3), lambda y: y.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("shape", [(7,), (1, 7), (1, 1, 7), (2, 1, 1, 7)])
def test_a_row_and_one_matrix_for_all_of_a_stack(blas: Any, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x, y = values(rng, shape if len(shape) > 1 else (1, *shape), "float32"), values(rng, (7, 4), "float32")
    check(blas, x, y, None, lambda x: x, lambda y: K.broadcast_to(y, (3, 7, 4)) if isinstance(y, K.CudaArray) else np.broadcast_to(y, (3, 7, 4)))


@pytest.mark.skipif(not ON_CPU, reason="looks at what the stand-in is asked")
def test_a_thread_takes_over_the_handle_of_one_that_ended() -> None:
    library = StandIn()
    blas = cublas.Blas(library, lambda device: None)
    x = K.zeros((2, 2), np.dtype(np.float32))
    for _ in range(3):
        thread = threading.Thread(target=blas.matmul, args=(x, x, None))
        thread.start()
        thread.join()
    names = [name for name, *_ in library.asked]
    assert names.count("cublasCreate_v2") == 1
    assert names.count("cublasSetStream_v2") == names.count("cublasSetWorkspace_v2") == names.count("cublasSetMathMode") == 3  # each for itself


def test_what_it_does_not_compute(blas: Any) -> None:
    for a, b, dtype in (((2, 3), (3, 2), "int64"), ((2, 0), (0, 3), "float32"), ((0, 2), (2, 3), "float32")):
        assert blas.matmul(K.zeros(a, np.dtype(dtype)), K.zeros(b, np.dtype(dtype)), None) is None


def planned_by(blas: Any) -> Any:
    return planned(lambda a, b, start: blas.matmul(a, b, start))


def test_products_are_planned(blas: Any, rng: np.random.Generator) -> None:
    multiply = planned_by(blas)
    for a, b in PRODUCTS:
        for dtype in ("float32", "bfloat16", "complex128"):
            x, y, start = (K.to_device(values(rng, shape, dtype)) for shape in (a, b, b[-1:]))
            every_other = K.to_device(values(rng, (*a[:-1], 2 * a[-1]), dtype))[..., ::2]  # is copied before
            for args in ((x, y, None), (x, y, start), (every_other, y, None)):
                first = multiply(*args)
                for _ in range(2):
                    again = multiply.quick(*args)
                    np.testing.assert_array_equal(K.to_host(again), K.to_host(first))


@pytest.mark.skipif(not ON_CPU, reason="looks at what the stand-in is asked")
def test_plans_set_cublas_to_streams_and_modes_and_raise_its_errors() -> None:
    library = StandIn()
    multiply = planned_by(cublas.Blas(library, lambda device: None))
    x, half = (K.zeros((2, 2), np.dtype(d)) for d in (np.float32, np.float16))

    def asked(*args: Any) -> list[str]:
        library.asked.clear()
        assert multiply.quick(*args).shape == (2, 2)
        return [name.removeprefix("cublas") for name, *_ in library.asked]

    backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    before = context.stream
    try:
        for args in ((x, x.copy(), None), (half, half.copy(), None)):
            multiply(*args)
        assert asked(half, half.copy(), None) == ["GemmEx"]
        assert asked(x, x.copy(), None) == ["SetMathMode", "GemmEx"]
        assert asked(x, x.copy(), None) == ["GemmEx"]
        context.use(context.device, 12345)
        assert asked(x, x.copy(), None) == ["SetStream_v2", "SetWorkspace_v2", "GemmEx"]
        assert asked(half, half.copy(), None) == ["SetMathMode", "GemmEx"]
    finally:
        backends.cuda.matmul.allow_fp16_reduced_precision_reduction = True
        context.use(context.device, before)
    y = x.copy()
    multiply(x, y, None)
    assert len(cublas.SIGNATURES["cublasGemmEx"]) - 1 == replay.GEMM
    library.do_cublasSetWorkspace_v2 = lambda *_: 3  # type: ignore[attr-defined]
    context.use(context.device, 12345)
    try:
        with pytest.raises(RuntimeError, match="cublasSetWorkspace failed: CUBLAS_STATUS_ALLOC_FAILED"):
            multiply.quick(x, y, None)
    finally:
        context.use(context.device, before)
    library.do_cublasSetWorkspace_v2 = lambda *_: 0  # type: ignore[attr-defined]
    assert asked(x, y, None) == ["SetStream_v2", "SetWorkspace_v2", "GemmEx"]  # which was left on the other stream
    library.do_cublasGemmEx = lambda *_: 13  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a product by cuBLAS failed: CUBLAS_STATUS_EXECUTION_FAILED"):
        multiply.quick(x, y, None)


@pytest.mark.skipif(not ON_CPU, reason="looks at what the stand-in is asked")
def test_errors_streams_and_modes() -> None:
    library = StandIn()
    blas = cublas.Blas(library, lambda device: None)
    x = K.zeros((2, 2), np.dtype(np.float32))
    half = K.zeros((2, 2), np.dtype(np.float16))

    def asked() -> list[str]:
        names = [name for name, *_ in library.asked]
        library.asked.clear()
        return names

    blas.matmul(x, x, None)
    assert asked() == ["cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasSetMathMode", "cublasGemmEx"]
    blas.matmul(x, x, None)
    assert asked() == ["cublasGemmEx"]
    before = context.stream
    context.use(context.device, 12345)
    try:
        blas.matmul(x, x, None)
    finally:
        context.use(context.device, before)
    assert library.asked[0] == ("cublasSetStream_v2", 77, 12345)
    assert asked() == ["cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasGemmEx"]  # a new stream forgets the workspace
    backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    try:
        blas.matmul(half, half, None)
    finally:
        backends.cuda.matmul.allow_fp16_reduced_precision_reduction = True
    assert asked() == ["cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasSetMathMode", "cublasGemmEx"]
    library.do_cublasGemmEx = lambda *_: 13  # type: ignore[method-assign]
    backends.set_float32_matmul_precision("high")
    try:
        with pytest.raises(RuntimeError, match="cublasGemmEx failed: CUBLAS_STATUS_EXECUTION_FAILED"):
            blas.matmul(x, x, None)
        assert backends.cuda.matmul.allow_tf32 and library.asked[-1][-2] == 77  # CUBLAS_COMPUTE_32F_FAST_TF32
    finally:
        backends.cuda.matmul.allow_tf32 = False
    assert backends.get_float32_matmul_precision() == "highest"
