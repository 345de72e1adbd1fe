"""Elementwise kernels, generated from a body of scalar statements (see ``expr.emit``).

A kernel runs over rows; it is generated per operands' dtypes and how they lie along a row (see ``arrange``). More dimensions are
walked by a kernel that calls it (see ``walk``). Ranges are of elements, or of tiles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..body import Body
from ..native import call, runtime as rt
from .arrange import FLAT, TILE_COLUMNS, TILE_ROWS, TILES, Arrangement, arrange
from .arrays import empty
from .fast import Fast
from .walk import walker

Array = np.ndarray[Any, np.dtype[Any]]
Operand = Array | float  # or int

_CALL = re.compile(r"\b([a-z]\w*)\(")
_SHORT = frozenset(("abs", "sign", "signbit", "copysign", "floor", "ceil", "trunc", "rint", "sqrt", "isinf", "isfinite", "fmax", "fmin"))
_SHORT |= {"maximum", "minimum", "conj", "bitwise_not", "left_shift", "right_shift"}
_GRAIN, _GRAIN_OF_FUNCTIONS = 32768, 8192  # elements below which one thread is faster
_MAX_PLANS = 4096


class _Plan(NamedTuple):
    kernel: int
    units: int
    grain: int
    slots: tuple[int, ...]


def run(body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any]) -> None:
    """Compute ``body`` on broadcast operands in dtype ``compute`` and write the outputs, all of the broadcast shape.

    An output may be the very same memory as an operand; any other overlap is the caller's to avoid. Arrays are aligned and
    their strides are multiples of their item size. Numbers are floats, or ints of at most 53 bits.
    """
    if outputs[0].size == 0:
        return
    key = (
        compute.num,
        *[None if isinstance(o, _NUMBERS) else (o.shape, o.strides, o.dtype.num) for o in (*operands, *outputs)],
    )
    plan = body.plans.get(key)
    if plan is None:
        if len(body.plans) >= _MAX_PLANS:
            body.plans.clear()
        plan = body.plans[key] = _plan(body, operands, outputs, compute)
    pointers = [np.array(float(o)) if isinstance(o, _NUMBERS) else o for o in operands]  # a kernel reads numbers as float64 in memory
    call.launcher()(plan.kernel, plan.units, plan.grain, *pointers, *outputs, *plan.slots)


_NUMBERS = (float, int)


def _plan(body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any]) -> _Plan:
    where = arrange(operands, outputs)
    grain = grain_of(body)
    if where.kind == TILES:
        grain = max(1, grain // (TILE_ROWS * TILE_COLUMNS))
    if where.units > grain:
        rt.start_threads()
    address, row = kernels(body, operands, outputs, compute, where)
    return _Plan(address, where.units, grain, where.slots_with(row))


def learn(fast: Fast, body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any]) -> None:
    """After a general run: let the fast path serve such operands from now on."""
    if outputs[0].size:
        where = arrange(operands, outputs)
        dtypes = [o.dtype for o in outputs]
        fast.add(operands, where, lambda: kernels(body, operands, outputs, compute, where), grain_of(body), dtypes)


def grain_of(body: Body) -> int:
    """Elements below which one thread computes ``body`` faster than several."""
    functions = {name for line in body.lines for name in _CALL.findall(line)}
    return _GRAIN if functions <= _SHORT else _GRAIN_OF_FUNCTIONS


def kernels(
    body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any], where: Arrangement
) -> tuple[int, int]:
    """The addresses of what to launch on such operands, and of the kernel that it calls, or 0; compiled on first use."""
    dtypes = tuple(None if isinstance(o, _NUMBERS) else o.dtype for o in (*operands, *outputs))
    names = ["number" if dtype is None else dtype.name for dtype in dtypes]
    source = kernel_source(body, tuple(names[: len(operands)]), tuple(names[len(operands) :]), compute.name, where.row)
    row = call.cache.native(source, lambda: _build(source, compute.name))
    return (row, 0) if where.kind == FLAT else (walker(where, dtypes), row)


def _build(source: str, compute: str) -> Any:
    from ..native import abi
    from . import loops
    from .vmath import functions as vmath

    scope: dict[str, Any] = vmath.functions("float32" if compute in ("float16", "bfloat16") else compute)
    scope |= {f"P_{name}": pointer for name, pointer in abi.POINTERS.items()}
    scope |= {"independent_iterations": loops.independent_iterations, "any_step": loops.any_step}
    scope |= {"float_to_bfloat16": vmath.float_to_bfloat16, "bfloat16_to_float": vmath.bfloat16_to_float}
    scope |= {"float_to_float16": abi.float_to_float16, "float16_to_float": abi.float16_to_float, "types": vmath.types}
    exec(compile(source, "<tapegrad elementwise kernel>", "exec"), scope)
    return scope["kernel"]


class _Operand(NamedTuple):
    """An operand in a kernel's source: its name and dtype, and what is known of its place."""

    k: int
    dtype: str
    letter: str

    @property
    def memory(self) -> str:
        """The dtype that its elements are read and written as."""
        return {"number": "float64", "float16": "uint16", "bfloat16": "uint16"}.get(self.dtype, self.dtype)


def kernel_source(body: Body, in_dtypes: tuple[str, ...], out_dtypes: tuple[str, ...], compute: str, letters: str) -> str:
    """The Python source that Numba compiles; it holds no text of the user's but identifiers made by ``expr``."""
    operands = [_Operand(k, *both) for k, both in enumerate(zip((*in_dtypes, *out_dtypes), letters, strict=True))]
    inputs, outputs = operands[: len(in_dtypes)], operands[len(in_dtypes) :]
    rows = 2 * len(operands)
    out = [f"# compute {compute}", "def kernel(slots, start, stop):"]
    out += [f"    p{o.k}, b{o.k}, down{o.k} = P_{o.memory}(slots[{o.k}]), 0, slots[{rows + 1 + o.k}]" for o in operands]
    out += [f"    step{o.k} = any_step(slots[{len(operands) + o.k}])" for o in operands if o.letter == "x"]
    out += [f"    for _ in range(slots[{rows}]):"]
    at = {o.k: f"p{o.k}[b{o.k}" + {"c": " + i", "s": "", "x": f" + i * step{o.k}"}[o.letter] + "]" for o in operands}
    loads = {o.k: f"{body.inputs[o.k]} = {_load(body, o, compute, at[o.k])}" for o in inputs}
    out += [f"        {loads[o.k]}" for o in inputs if o.letter == "s"]
    out += ["        for i in range(start, stop):"]
    out += [f"            {loads[o.k]}" for o in inputs if o.letter != "s"]
    out += [f"            {line}" for line in body.statements(compute)]
    out += [f"            {at[o.k]} = {_store(result, o.dtype)}" for o, result in zip(outputs, body.results, strict=True)]
    out += [f"        b{o.k} += down{o.k}" for o in operands]
    return "\n".join([*out, "    independent_iterations()"]) + "\n"


def _load(body: Body, operand: _Operand, compute: str, place: str) -> str:
    dtype = operand.dtype
    if body.inputs[operand.k] in body.booleans:
        return f"{place} != 0"
    if dtype == "number" and "int" in compute:
        place = f"types.int64({place})"  # of a float that int8 can't hold the result would be anything
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
_FEW = 2048  # elements that NumPy copies faster
_copy_into = Fast(1, 1, given=True)


def copy(x: Array) -> Array:
    """A row-major copy."""
    recording = call.recording()
    if x.__class__ is not np.ndarray:  # a scalar, which NumPy makes of 0-d arrays
        return np.array(x)
    if not x.flags.aligned or (x.size <= _FEW and not recording) or not x.dtype.isnative:
        return x.copy()
    out = empty(x.shape, x.dtype)
    if recording or (_copy_into.call(x, out) is None and _copy_into.wide(x, out) is None):
        run(_SAME, (x,), (out,), x.dtype)
        learn(_copy_into, _SAME, (x,), (out,), x.dtype)
    return out
