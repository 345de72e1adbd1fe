"""Elementwise kernels, generated from a body of scalar statements (see ``expr.emit``).

A kernel is generated per operand dtypes and per pattern of its innermost loop: ``c`` contiguous, ``s`` one value for the whole
row, ``x`` any stride. The contiguous kernel runs over elements, the general one over rows of a shape whose dimensions were
merged where the operands allow it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..body import Body
from . import call, runtime as rt

Array = np.ndarray[Any, np.dtype[Any]]
Operand = Array | float

_QUOTIENT = re.compile(r"= (\S+) / (\S+)$")  # of complex numbers, which takes a function of our own
GRAIN = 32768  # elements below which one thread is faster
_MAX_PLANS = 4096


class _Plan(NamedTuple):
    kernel: int
    units: int
    grain: int
    slots: tuple[int, ...]


class Layout(NamedTuple):
    """Merged dimensions (outermost first, the last is the inner loop) and each operand's strides over them, in elements."""

    shape: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def pattern(self) -> str:
        if len(self.shape) == 1:
            return "".join("c" if s[-1] == 1 else "s" if s[-1] == 0 else "x" for s in self.strides)
        return "".join({0: "s", 1: "c"}.get(s[-1], "x") for s in self.strides)


def layout(shape: tuple[int, ...], operands: Sequence[Operand]) -> Layout:
    """Merge the dimensions of ``shape`` over which every (broadcast) operand steps evenly."""
    columns: list[list[int]] = []
    sizes: list[int] = []
    all_strides = [_broadcast_strides(o, shape) for o in operands]
    for d, n in enumerate(shape):
        if n == 1:
            continue
        column = [s[d] for s in all_strides]
        if sizes and all(outer == inner * n for outer, inner in zip(columns[-1], column, strict=True)):
            sizes[-1] *= n
            columns[-1] = column
        else:
            sizes.append(n)
            columns.append(column)
    if not sizes:
        return Layout((1,), tuple((0 if isinstance(o, float) else 1,) for o in operands))
    return Layout(tuple(sizes), tuple(zip(*columns, strict=True)))


def _broadcast_strides(operand: Operand, shape: tuple[int, ...]) -> list[int]:
    if isinstance(operand, float):
        return [0] * len(shape)
    missing = len(shape) - operand.ndim
    own = [0 if n == 1 else s // operand.itemsize for n, s in zip(operand.shape, operand.strides, strict=True)]
    return [0] * missing + own


def run(body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any]) -> None:
    """Compute ``body`` on broadcast operands in dtype ``compute`` and write the outputs, all of the broadcast shape.

    An output may be the very same memory as an operand; any other overlap is the caller's to avoid. Arrays are aligned and
    their strides are multiples of their item size.
    """
    if outputs[0].size == 0:
        return
    key = (compute.num, *[None if isinstance(o, float) else (o.shape, o.strides, o.dtype.num) for o in (*operands, *outputs)])
    plan = body.plans.get(key)
    if plan is None:
        if len(body.plans) >= _MAX_PLANS:
            body.plans.clear()
        plan = body.plans[key] = _plan(body, operands, outputs, compute)
    pointers = [np.array(o) if o.__class__ is float else o for o in operands]  # a kernel reads numbers as float64 in memory
    call.launcher()(plan.kernel, plan.units, plan.grain, *pointers, *outputs, *plan.slots)


def _plan(body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any]) -> _Plan:
    where = layout(outputs[0].shape, [*operands, *outputs])
    names = tuple("float64" if isinstance(o, float) else o.dtype.name for o in operands)
    flat = len(where.shape) == 1 and "x" not in where.pattern
    address = kernel(body, names, tuple(o.dtype.name for o in outputs), compute.name, where.pattern, flat)
    n = outputs[0].size
    if n > GRAIN:
        rt.start_threads()
    if flat:
        return _Plan(address, n, GRAIN, ())
    inner, outer = where.shape[-1], where.shape[:-1]
    steps = [strides[-1] for strides in where.strides]
    strides_of_rows = [stride for strides in where.strides for stride in strides[:-1]]
    return _Plan(address, n // inner, max(1, GRAIN // inner), (len(outer), inner, *steps, *outer, *strides_of_rows))


def kernel(
    body: Body, in_dtypes: tuple[str, ...], out_dtypes: tuple[str, ...], compute: str, pattern: str, flat: bool
) -> int:
    """The address of the kernel for these dtypes and this inner pattern, compiled on first use."""
    source = kernel_source(body, in_dtypes, out_dtypes, compute, pattern, flat)

    def build() -> Any:
        from . import abi
        from .vmath import functions as vmath

        scope: dict[str, Any] = vmath.functions("float32" if compute in ("float16", "bfloat16") else compute)
        scope |= {f"P_{name}": pointer for name, pointer in abi.POINTERS.items()}
        scope["offsets"] = None if flat else _offsets(len(in_dtypes) + len(out_dtypes))
        scope |= {"float_to_bfloat16": vmath.float_to_bfloat16, "bfloat16_to_float": vmath.bfloat16_to_float}
        scope |= {"float_to_float16": abi.float_to_float16, "float16_to_float": abi.float16_to_float, "types": vmath.types}
        exec(compile(source, "<tapegrad elementwise kernel>", "exec"), scope)
        return scope["kernel"]

    return call.cache.native(source, build)


def kernel_source(
    body: Body, in_dtypes: tuple[str, ...], out_dtypes: tuple[str, ...], compute: str, pattern: str, flat: bool
) -> str:
    """The Python source that Numba compiles; it holds no text of the user's but identifiers made by ``expr``."""
    count = len(in_dtypes) + len(out_dtypes)
    operands = [f"p{i}" for i in range(count)]
    out = [f"# compute {compute}", "def kernel(slots, start, stop):"]
    out += [
        f"    {p} = P_{'uint16' if name.endswith('float16') else name}(slots[{i}])"
        for i, (p, name) in enumerate(zip(operands, (*in_dtypes, *out_dtypes), strict=True))
    ]
    hoisted = [i for i in range(len(in_dtypes)) if pattern[i] == "s"]
    if flat:
        out += [f"    {body.inputs[i]} = {_load(body, i, in_dtypes[i], compute, f'p{i}[0]')}" for i in hoisted]
        out += ["    for i in range(start, stop):"]
        offsets = ["i"] * count
    else:
        out += [f"    inner = slots[{count + 1}]"]
        out += [f"    step{k} = slots[{count + 2 + k}]" for k in range(count) if pattern[k] == "x"]
        out += ["    for row in range(start, stop):", f"        {''.join(f'o{k}, ' for k in range(count))}= offsets(slots, row)"]
        out += [f"        {body.inputs[i]} = {_load(body, i, in_dtypes[i], compute, f'p{i}[o{i}]')}" for i in hoisted]
        out += ["        for i in range(inner):"]
        offsets = [{"c": f"o{k} + i", "s": f"o{k}", "x": f"o{k} + i * step{k}"}[pattern[k]] for k in range(count)]
    indent = " " * (8 if flat else 12)
    for i, name in enumerate(body.inputs):
        if i not in hoisted:
            out.append(f"{indent}{name} = {_load(body, i, in_dtypes[i], compute, f'p{i}[{offsets[i]}]')}")
    out += [indent + (_QUOTIENT.sub(r"= div(\1, \2)", line) if compute.startswith("complex") else line) for line in body.lines]
    for k, (result, dtype) in enumerate(zip(body.results, out_dtypes, strict=True), start=len(in_dtypes)):
        out.append(f"{indent}p{k}[{offsets[k]}] = {_store(result, dtype)}")
    return "\n".join(out) + "\n"


@functools.cache
def _offsets(count: int) -> Any:
    """Where a row begins in each of ``count`` operands: compiled once, since a kernel takes longer to compile with each statement.

    The slots: pointers, the number of outer dimensions, the size of the inner one, each operand's step in it, the outer sizes, and
    each operand's outer strides.
    """
    from numba import njit

    sizes = 2 * count + 2
    out = ["def offsets(slots, row):", f"    outer = slots[{count}]"]
    out += [f"    o{k} = 0" for k in range(count)]
    out += ["    for d in range(outer - 1, -1, -1):", f"        size = slots[{sizes} + d]"]
    out += ["        index = row % size", "        row = row // size", f"        at = {sizes} + outer + d"]
    out += [f"        o{k} += index * slots[at + {k} * outer]" for k in range(count)]
    out += [f"    return {''.join(f'o{k}, ' for k in range(count))}"]
    scope: dict[str, Any] = {}
    exec(compile("\n".join(out), "<tapegrad row offsets>", "exec"), scope)
    return njit(error_model="numpy", forceinline=True)(scope["offsets"])


def _load(body: Body, i: int, dtype: str, compute: str, place: str) -> str:
    if body.inputs[i] in body.booleans:
        return f"{place} != 0"
    if dtype in ("float16", "bfloat16"):
        place = f"{dtype}_to_float({place})"
    if dtype.startswith("complex") and not compute.startswith("complex"):
        place = f"{place}.real"
    return f"T({place})"


def _store(result: str, dtype: str) -> str:
    if dtype == "bool":
        return f"types.uint8(1) if {result} else types.uint8(0)"
    if dtype in ("float16", "bfloat16"):
        return f"float_to_{dtype}({result})"
    return f"types.{dtype}({result})"


_SAME = Body(("a",), (), ("a",))


def copy(x: Array) -> Array:
    """A row-major copy; by a kernel while launches are recorded, so that a replay copies, too."""
    if not call.recording():
        return x.copy(order="C")
    out = np.empty(x.shape, x.dtype)
    run(_SAME, (x,), (out,), x.dtype)
    return out
