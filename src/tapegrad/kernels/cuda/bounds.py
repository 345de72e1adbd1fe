"""Looking for values that an operation can't take, without waiting for what is found; see ``errors``."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import errors, language as L
from .array import CudaArray, contiguous
from .context import blocks_for
from .elements import stored, to_computed
from .kernel import family
from .language import cuda, float64, int64

_bits = L.bits_of_float64


@family(threads=L.BLOCK, doubles=True, dtype=("float32", "float64", "float16", "bfloat16"), nan=(False, True))
def checked(dtype: str, nan: bool) -> Any:
    """Notes a value outside [low, high]; NaN, too, unless it may be there."""
    get, report = to_computed(dtype), errors.report

    def kernel(x, low, high, words, code, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while i < n:
            value = float64(get(x[i]))
            if not (low <= value <= high) and not (nan and value != value):
                report(words, code, int64(_bits(value)), int64(0))
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"{stored(dtype)}* float64 float64 int64* int64 int64"


def need_between(x: CudaArray, low: float, high: float, what: str, *, nan: bool = False) -> None:
    """Have RuntimeError raised, starting with ``what``, as soon as the host looks at the device, when a value is outside [low, high]."""
    if x.size:
        numbers = np.float64(low), np.float64(high), errors.words(), errors.operation(what, True), x.size
        checked(x.dtype.name, nan).launch(blocks_for(x.size, L.BLOCK), L.BLOCK, contiguous(x), *numbers)
