"""How many fused multiply-adds this machine can do: vector registers only, no memory."""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .harness import THREADS, Result

_SUMS = 24  # independent sums: more than an FMA's latency needs, fewer than there are registers
_STEPS = 2_000_000


def _burn(bits: int, lanes: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def burn(typing_context: Any, steps: Any, x: Any) -> Any:
        scalar = types.float32 if bits == 32 else types.float64

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FloatType() if bits == 32 else ir.DoubleType()
            vector, word = ir.VectorType(kind, lanes), ir.IntType(64)
            name = f"llvm.fma.v{lanes}f{bits}"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[1], ir.Constant(ir.IntType(32), 0))
            factor = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))
            before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
            builder.branch(loop)
            builder.position_at_end(loop)
            step = builder.phi(word)
            step.add_incoming(ir.Constant(word, 0), before)
            sums = [builder.phi(vector) for _ in range(_SUMS)]
            news = [builder.call(fma, [factor, s, factor]) for s in sums]
            for i, (s, new) in enumerate(zip(sums, news, strict=True)):
                s.add_incoming(ir.Constant(vector, [float(i)] * lanes), before)
                s.add_incoming(new, loop)
            following = builder.add(step, ir.Constant(word, 1))
            step.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, args[0]), loop, after)
            builder.position_at_end(after)
            total = functools.reduce(builder.fadd, news)
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return scalar(types.int64, scalar), generate

    return burn


@functools.cache
def fma_peak(dtype: str) -> float:
    """Floating-point operations a nanosecond (GF/s) of all threads together, the best of several runs."""
    from tapegrad.kernels.cpu.linalg.gemm import host_tile

    size = np.dtype(dtype).itemsize
    lanes = host_tile().vector_bytes // size
    burn = _burn(size * 8, lanes)

    @njit(parallel=True)  # type: ignore[untyped-decorator]
    def all_threads(steps, x, out):  # type: ignore[no-untyped-def]
        for i in prange(len(out)):
            out[i] = burn(steps, x)

    out, x = np.zeros(THREADS, dtype), np.dtype(dtype).type(0.5)
    all_threads(10, x, out)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        all_threads(_STEPS, x, out)
        taken.append(time.perf_counter() - start)
    return 2 * _SUMS * lanes * _STEPS * THREADS / min(taken) / 1e9


def add_shares_of_peak(results: list[Result]) -> list[Result]:
    """The same results, with the share of the peak beside every rate."""
    for r in results:
        if r.note.endswith("GF/s"):
            r.note += f", {float(r.note.split()[0]) / fma_peak('float64' if 'float64' in r.case else 'float32'):.0%} of peak"
    return results
