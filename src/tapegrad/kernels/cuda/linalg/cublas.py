"""Matrix products by NVIDIA's cuBLAS, where it is installed and ``TAPEGRAD_CUDA_BLAS`` is not "own".

cuBLAS works on matrices whose columns are contiguous. A row-major C is its transpose to it, so it is asked for C^T = B^T A^T, with the
operands swapped. See https://docs.nvidia.com/cuda/cublas/ for the functions and their numbers.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import product as combinations
from typing import Any, NamedTuple

import numpy as np

from ...precision import allowed
from .. import recording, state
from ..array import CudaArray, empty
from ..context import context
from ..drivers import ON_CPU
from ..drivers.thread import BLAS, BLAS_DEVICE, NONE, thread_words
from ..elementwise import assign
from .gemm import Layout, ahead, layout

KEEP, TRANSPOSE = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T
# cudaDataType, and the cublasComputeType_t that sums in float32 or better.
_TYPES = {"float32": (0, 68), "float64": (1, 70), "float16": (2, 68), "bfloat16": (14, 68), "complex64": (4, 68), "complex128": (5, 70)}
_TF32 = 77  # CUBLAS_COMPUTE_32F_FAST_TF32
_DEFAULT_ALGORITHM = -1
_DEFAULT_MATH, _FULL_SUMS = 0, 16  # CUBLAS_DEFAULT_MATH, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION
_WORKSPACE = 32 << 20  # bytes, what NVIDIA recommends for sm_90; a workspace of one's own makes results the same in every run
_MOST = 2**31 - 1
_int, _long, _pointer = ctypes.c_int, ctypes.c_longlong, ctypes.c_void_p
SIGNATURES: dict[str, list[Any]] = {
    "cublasCreate_v2": [ctypes.POINTER(_pointer)],
    "cublasSetStream_v2": [_pointer, _pointer],
    "cublasSetWorkspace_v2": [_pointer, _pointer, ctypes.c_size_t],
    "cublasSetMathMode": [_pointer, _int],
    # handle, operations, m, n, k, alpha, (operand, type, leading dimension) of A and B, beta, the same of C, compute type, algorithm
    "cublasGemmEx": [
        *[_pointer, _int, _int, _int, _int, _int, _pointer],
        *[_pointer, _int, _int] * 2,
        *[_pointer, _pointer, _int, _int, _int, _int],
    ],
    # with the stride in the batch behind each leading dimension, and the number of matrices
    "cublasGemmStridedBatchedEx": [
        *[_pointer, _int, _int, _int, _int, _int, _pointer],
        *[_pointer, _int, _int, _long] * 2,
        *[_pointer, _pointer, _int, _int, _long, _int, _int, _int],
    ],
}
_ONE = {size: (kind * 2)(1, 0) for size, kind in ((4, ctypes.c_float), (8, ctypes.c_double))}  # of reals and of complex numbers
_ZERO = {size: (kind * 2)(0, 0) for size, kind in ((4, ctypes.c_float), (8, ctypes.c_double))}


class _Operand(NamedTuple):
    """How cuBLAS is told of an operand: what to do with the matrix that it sees, and how far its columns lie apart."""

    operation: int
    leading: int


class _Plan(NamedTuple):
    shape: tuple[int, ...]
    copied: tuple[bool, bool]  # operands that no leading dimension describes
    sizes: tuple[int, int, int]  # columns and rows of C, products
    a: _Operand
    b: _Operand
    strides: tuple[int, int]  # of A and B in the batch
    matrices: int  # of a call
    offsets: tuple[tuple[int, int, int], ...]  # one call for each: elements of A, B and C ahead


class _Lease:
    """A handle of a thread's, which another one may have when that has ended."""

    def __init__(self, handle: int, free: list[int]) -> None:
        self.handle, self._free = handle, free

    def __del__(self) -> None:
        self._free.append(self.handle)


class Blas:
    """cuBLAS. Plans ask the one that was made last.

    Args:
        library: the loaded library, or what has functions of these names.
        activate: makes a device current for the thread.
    """

    def __init__(self, library: Any, activate: Callable[[int], None]) -> None:
        self._library = library
        self._activate = activate
        self._own = threading.local()
        self._free: dict[int, list[int]] = defaultdict(list)  # handles by device
        self._plans: dict[Any, _Plan | None] = {}
        self._functions: dict[str, tuple[Any, int]] = {}  # with their addresses
        for name, arguments in SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, _int
            self._functions[name] = function, int(ctypes.cast(function, _pointer).value or 0)
        state.set_object(state.SET_BLAS, self.set)
        state.set_object(state.BLAS_FAILED, lambda status: self._check("a product by cuBLAS", status))

    def matmul(self, a: CudaArray, b: CudaArray, start: CudaArray | None) -> CudaArray | None:
        """``a @ b``, plus ``start``; None for what cuBLAS does not compute."""
        key = (a.dtype, a.shape, a.strides, b.shape, b.strides)
        if key in self._plans:
            plan = self._plans[key]
        else:
            if len(self._plans) > 4096:
                self._plans.clear()
            plan = self._plans[key] = _planned(a, b)
        if plan is None:
            return None
        if plan.copied != (False, False):
            return self.matmul(a.copy() if plan.copied[0] else a, b.copy() if plan.copied[1] else b, start)
        out = empty(plan.shape, a.dtype)
        if start is not None:
            assign(out, start)
        kind, compute = _TYPES[a.dtype.name]
        if allowed.tf32 and compute == 68 and kind in (0, 4):
            compute = _TF32
        exact = (kind == 2 and not allowed.float16_sums) or (kind == 14 and not allowed.bfloat16_sums)
        mode = _FULL_SUMS if exact else _DEFAULT_MATH
        size = 8 if compute == 70 else 4
        scale, keep = _ONE[size], (_ZERO if start is None else _ONE)[size]
        n, m, k = plan.sizes
        first = (plan.b.operation, plan.a.operation, n, m, k, ctypes.addressof(scale))
        for x, y, z in plan.offsets:
            left, right = (ahead(a, x), kind, plan.a.leading), (ahead(b, y), kind, plan.b.leading)
            target = (ctypes.addressof(keep), ahead(out, z), kind, n)
            if plan.matrices == 1:
                self._call("cublasGemmEx", mode, *first, *right, *left, *target, compute, _DEFAULT_ALGORITHM)
                continue
            x_stride, y_stride = plan.strides
            last = (m * n, plan.matrices, compute, _DEFAULT_ALGORITHM)
            self._call("cublasGemmStridedBatchedEx", mode, *first, *right, y_stride, *left, x_stride, *target, *last)
        return out

    def _call(self, name: str, mode: int, *arguments: Any) -> None:
        """Let cuBLAS compute, and note that for plans."""
        function, address = self._functions[name]
        self._check(name, function(self.set(mode), *(x.address if x.__class__ is CudaArray else x for x in arguments)))
        recording.product(function, address, mode, arguments)

    def set(self, mode: int) -> int:
        """This thread's handle for the current device, set to the current stream and this mode; native code is told."""
        device, stream, words = context.device, context.stream, thread_words()
        words[BLAS_DEVICE] = NONE  # until all is done: what fails, or Ctrl-C, leaves it half set
        own: dict[Any, Any] = self._own.__dict__  # type: ignore[assignment]
        self._activate(device)
        if device not in own:
            own[device] = _Lease(self._free_handle(device), self._free[device])
            own[device, "mode"] = None
        handle = own[device].handle
        if own.get((device, "stream")) != stream:
            workspace = own.get((device, stream))
            if workspace is None:
                with recording.unnoted():
                    workspace = own[device, stream] = empty((_WORKSPACE,), np.dtype(np.uint8))
            own.pop((device, "stream"), None)
            self._check("cublasSetStream", self._library.cublasSetStream_v2(handle, stream))
            self._check("cublasSetWorkspace", self._library.cublasSetWorkspace_v2(handle, workspace.address, _WORKSPACE))  # that forgot it
            own[device, "stream"] = stream
        if own[device, "mode"] != mode:
            own[device, "mode"] = None
            self._check("cublasSetMathMode", self._library.cublasSetMathMode(handle, mode))
            own[device, "mode"] = mode
        words[BLAS:] = handle, device, stream, mode
        return int(handle)

    def _free_handle(self, device: int) -> int:
        try:
            return self._free[device].pop()
        except IndexError:
            made = _pointer()
            self._check("cublasCreate", self._library.cublasCreate_v2(ctypes.byref(made)))
            return int(made.value or 0)

    def _check(self, name: str, status: int) -> None:
        if status:
            raise RuntimeError(f"{name} failed: {_NAMES.get(status, f'status {status}')}")


_NAMES = {
    1: "CUBLAS_STATUS_NOT_INITIALIZED", 3: "CUBLAS_STATUS_ALLOC_FAILED", 7: "CUBLAS_STATUS_INVALID_VALUE", 8: "CUBLAS_STATUS_ARCH_MISMATCH",
    11: "CUBLAS_STATUS_MAPPING_ERROR", 13: "CUBLAS_STATUS_EXECUTION_FAILED", 14: "CUBLAS_STATUS_INTERNAL_ERROR",
    15: "CUBLAS_STATUS_NOT_SUPPORTED", 16: "CUBLAS_STATUS_LICENSE_ERROR",
}  # fmt: skip


def _planned(a: CudaArray, b: CudaArray) -> _Plan | None:
    """How cuBLAS multiplies arrays of these shapes, strides and dtype; None if it does not."""
    if a.dtype.name not in _TYPES or b.dtype != a.dtype:
        return None
    shape, given = layout(a, b, None)
    if 0 in shape or given.k == 0 or max(given.m, given.n, given.k) > _MOST:
        return None
    left, right = _operand(*given.a, given.m, given.k), _operand(*given.b, given.k, given.n)
    copied = (left is None, right is None)
    if (copied[0] and a.flags.c_contiguous) or (copied[1] and b.flags.c_contiguous):
        return None  # copies would be the same
    if left is None or right is None:
        return _Plan(shape, copied, (0, 0, 0), _Operand(0, 0), _Operand(0, 0), (0, 0), 0, ())
    *outside, inner = ((1, 0, 0, 0), *given.batch)
    if inner[0] > _MOST:
        return None
    sizes = (given.n, given.m, given.k)
    return _Plan(shape, copied, sizes, left, right, (inner[1], inner[2]), inner[0], tuple(_offsets(outside, inner[0], given)))


def _operand(row: int, column: int, rows: int, columns: int) -> _Operand | None:
    """Of a matrix with these strides and sizes; None if neither its rows nor its columns are contiguous."""
    if column == 1 or columns == 1:  # rows are contiguous: to cuBLAS it is the transpose, which is what it is to multiply
        leading = columns if rows == 1 else row
        if max(columns, 1) <= leading <= _MOST:
            return _Operand(KEEP, leading)
    if row == 1 or rows == 1:
        leading = rows if columns == 1 else column
        if max(rows, 1) <= leading <= _MOST:
            return _Operand(TRANSPOSE, leading)
    return None


def _offsets(outside: list[tuple[int, int, int, int]], count: int, given: Layout) -> Iterator[tuple[int, int, int]]:
    for i, place in enumerate(combinations(*[range(dim[0]) for dim in outside])):
        steps = [sum(index * dim[which] for index, dim in zip(place, outside, strict=True)) for which in (1, 2)]
        yield steps[0], steps[1], i * count * given.m * given.n


@functools.cache
def blas() -> Blas | None:
    """cuBLAS, or None where our own kernels do what it would."""
    if ON_CPU or os.environ.get("TAPEGRAD_CUDA_BLAS") == "own":
        return None
    library = _loaded()
    return None if library is None else Blas(library, context.driver.activate)  # type: ignore[attr-defined]


def _loaded() -> Any:
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    except (ImportError, RuntimeError, OSError):
        pass
    for name in ("libcublas.so.13", "libcublas.so.12"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
