"""Programs in nopython code. Imports Numba, so it is imported only when a program's ``.njit`` is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, from_dtype, njit, types
from numba.extending import intrinsic

from ..kernels.cpu import replay_address, runtime_address
from ..tensor import Tensor
from .program import Program
from .trace import map_tensors


def _address_intrinsic(address: int, numba_type: Any) -> Any:
    """An intrinsic that gives a fixed address of this process as a pointer.

    Numba is told that it is one, so that it never writes code that contains it to its disk cache.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def pointer(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            raw = context.add_dynamic_addr(builder, address, info="a tapegrad program")
            return builder.bitcast(raw, context.get_value_type(signature.return_type))

        return types.CPointer(numba_type)(), generate

    return pointer


def _replay_intrinsic(program: Program) -> Any:
    steps, count = int(program.steps.table.ctypes.data), len(program.steps.table)

    @intrinsic  # type: ignore[untyped-decorator]
    def replay(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            function = context.add_dynamic_addr(builder, replay_address(), info="tapegrad replay")
            typed = builder.bitcast(function, ir.FunctionType(ir.VoidType(), [word] * 3).as_pointer())
            table = builder.ptrtoint(context.add_dynamic_addr(builder, steps, info="a tapegrad program"), word)
            runtime = builder.ptrtoint(context.add_dynamic_addr(builder, runtime_address, info="tapegrad runtime"), word)
            builder.call(typed, [table, ir.Constant(word, count), runtime])
            return context.get_dummy_value()

        return types.void(), generate

    return replay


def njit_function(program: Program) -> Any:
    """A Numba function of the program's arguments that runs it once and returns a copy of its first result."""
    first = _first_tensor(program)
    scope: dict[str, Any] = {"carray": carray, "replay": _replay_intrinsic(program), "np": np}
    lines = [f"def step({', '.join(f'x{i}' for i in range(len(program.arguments)))}):"]
    for i, own in enumerate(program.arguments):
        scope[f"p{i}"] = _address_intrinsic(int(own.ctypes.data), from_dtype(own.dtype))
        lines += [
            f"    if x{i}.size != {own.size}: raise ValueError('argument {i} has not the shape the step was compiled for')",
            f"    b{i} = carray(p{i}(), {own.size})",
            f"    f{i} = x{i}.ravel()",
            f"    for k in range({own.size}): b{i}[k] = f{i}[k]",
        ]
    scope["result"] = _address_intrinsic(int(first._array.ctypes.data), from_dtype(first._array.dtype))
    shape = tuple(int(n) for n in first._array.shape)
    lines += ["    replay()", "    return result()[0]" if not shape else f"    return carray(result(), {shape!r}).copy()"]
    exec(compile("\n".join(lines), "<tapegrad compiled step>", "exec"), scope)
    function = njit(scope["step"], nogil=True)
    function.program = program  # the addresses are its buffers'
    return function


def _first_tensor(program: Program) -> Tensor:
    found: list[Tensor] = []

    map_tensors(program._result, found.append)
    return found[0]
