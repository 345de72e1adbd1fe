"""Elementwise kernels, generated from a body of scalar statements (see ``expr.emit``).

A kernel is generated per operands' dtypes and per arrangement: how they lie beside each other (see ``arrange``). Its range is one of
elements, or of tiles.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..body import Body
from . import call, runtime as rt
from .arrange import FLAT, ROWS, TILE_COLUMNS, TILE_ROWS, TILES, Arrangement, arrange
from .arrays import empty
from .fast import Fast

Array = np.ndarray[Any, np.dtype[Any]]
Operand = Array | float  # or int

_QUOTIENT = re.compile(r"= (\S+) / (\S+)$")  # of complex numbers, which takes a function of our own
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
    return _Plan(kernel(body, operands, outputs, compute, where), where.units, grain, where.slots)


def learn(fast: Fast, body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any]) -> None:
    """After a general run: let the fast path serve such operands from now on."""
    if outputs[0].size:
        where = arrange(operands, outputs)
        dtypes = [o.dtype for o in outputs]
        fast.add(operands, where, lambda: kernel(body, operands, outputs, compute, where), grain_of(body), dtypes)


def grain_of(body: Body) -> int:
    """Elements below which one thread computes ``body`` faster than several."""
    functions = {name for line in body.lines for name in _CALL.findall(line)}
    return _GRAIN if functions <= _SHORT else _GRAIN_OF_FUNCTIONS


def kernel(body: Body, operands: Sequence[Operand], outputs: Sequence[Array], compute: np.dtype[Any], where: Arrangement) -> int:
    """The address of the kernel for such operands, compiled on first use."""
    dtypes = tuple("number" if isinstance(o, _NUMBERS) else o.dtype.name for o in operands)
    source = kernel_source(body, dtypes, tuple(o.dtype.name for o in outputs), compute.name, where.kind, where.letters)

    def build() -> Any:
        from . import abi, loops
        from .vmath import functions as vmath

        scope: dict[str, Any] = vmath.functions("float32" if compute.name in ("float16", "bfloat16") else compute.name)
        scope |= {f"P_{name}": pointer for name, pointer in abi.POINTERS.items()}
        scope["independent_iterations"] = loops.independent_iterations
        scope |= {"float_to_bfloat16": vmath.float_to_bfloat16, "bfloat16_to_float": vmath.bfloat16_to_float}
        scope |= {"float_to_float16": abi.float_to_float16, "float16_to_float": abi.float16_to_float, "types": vmath.types, "least": min}
        scope |= {"offsets": None if where.kind == FLAT else _offsets(len(where.letters)), "stack_words": abi.stack_words}
        if where.kind == TILES:
            from .transpose import turners

            scope |= turners()
        exec(compile(source, "<tapegrad elementwise kernel>", "exec"), scope)
        return scope["kernel"]

    return call.cache.native(source, build)


class _Operand(NamedTuple):
    """An operand in a kernel's source: its name and dtype, and what is known of its place."""

    k: int
    dtype: str
    letter: str

    @property
    def size(self) -> int:
        return 2 if self.dtype == "bfloat16" else np.dtype("float64" if self.dtype == "number" else self.dtype).itemsize

    @property
    def memory(self) -> str:
        """The dtype that its elements are read and written as."""
        return {"number": "float64", "float16": "uint16", "bfloat16": "uint16"}.get(self.dtype, self.dtype)


def kernel_source(
    body: Body, in_dtypes: tuple[str, ...], out_dtypes: tuple[str, ...], compute: str, kind: int, letters: str
) -> str:
    """The Python source that Numba compiles; it holds no text of the user's but identifiers made by ``expr``."""
    operands = [_Operand(k, *both) for k, both in enumerate(zip((*in_dtypes, *out_dtypes), letters, strict=True))]
    inputs, outputs = operands[: len(in_dtypes)], operands[len(in_dtypes) :]
    out = [f"# compute {compute}", "def kernel(slots, start, stop):"]
    out += [f"    p{o.k} = P_{o.memory}(slots[{o.k}])" for o in operands]
    if kind == FLAT:
        indent, count, places = "    ", "start, stop", dict.fromkeys(range(len(operands)), "0")
    else:
        out, indent, count = {ROWS: _rows, TILES: _tiles}[kind](operands, out)
        places = {o.k: f"b{o.k}" for o in operands}
    step = {"c": "{0} + i", "s": "{0}", "x": "{0} + i * step{1}", "t": "i"}
    at = {o.k: f"p{o.k}[{step[o.letter].format(places[o.k], o.k)}]" for o in operands}
    at |= {o.k: f"w{o.k}[i]" for o in operands if o.letter == "t"}
    loads = {o.k: f"{body.inputs[o.k]} = {_load(body, o, compute, at[o.k])}" for o in inputs}
    out += [indent + loads[o.k] for o in inputs if o.letter == "s"]
    out += [f"{indent}for i in range({count}):"]
    out += [f"{indent}    {loads[o.k]}" for o in inputs if o.letter != "s"]
    lines = [_QUOTIENT.sub(r"= div(\1, \2)", line) for line in body.lines] if compute.startswith("complex") else body.lines
    out += [f"{indent}    {line}" for line in lines]
    out += [f"{indent}    {at[o.k]} = {_store(result, o.dtype)}" for o, result in zip(outputs, body.results, strict=True)]
    if kind == ROWS:
        out += [f"{indent}position_ += count_", f"{indent}first_ = 0", f"{indent}row_ += 1", "        row_, plane_ = 0, plane_ + 1"]
    out.append("    independent_iterations()")
    return "\n".join(out).replace(" 0 + i", " i").replace("[0 + i", "[i") + "\n"


def _frame(operands: Sequence[_Operand], out: list[str]) -> list[str]:
    """The sizes and steps that a kernel of more than one dimension reads. Its names end in _, as those of no operand do."""
    count = len(operands)
    out += [f"    rows_ = slots[{count + 1}]", f"    inner_ = slots[{count + 2}]"]
    out += [f"    down_{o.k} = slots[{count + 3 + o.k}]" for o in operands]
    return out + [f"    step{o.k} = slots[{2 * count + 3 + o.k}]" for o in operands if o.letter in "xt"]


def _rows(operands: Sequence[_Operand], out: list[str]) -> tuple[list[str], str, str]:
    """Walk some of the elements, row by row; the first row and the last may be cut."""
    out = _frame(operands, out)
    out += ["    position_ = start", "    row_, plane_ = start // inner_ % rows_, start // inner_ // rows_", "    first_ = start % inner_"]
    out += ["    while position_ < stop:", f"        {''.join(f'o{o.k}, ' for o in operands)}= offsets(slots, plane_)"]
    out += ["        while row_ < rows_ and position_ < stop:", "            count_ = least(inner_ - first_, stop - position_)"]
    for o in operands:
        move = {"c": " + first_", "x": f" + first_ * step{o.k}"}.get(o.letter, "")
        out += [f"            b{o.k} = o{o.k} + row_ * down_{o.k}{move}"]
    return out, " " * 12, "count_"


def _tiles(operands: Sequence[_Operand], out: list[str]) -> tuple[list[str], str, str]:
    """Walk some of the tiles, going down; an operand that lies across is turned over into memory on the stack."""
    out = _frame(operands, out)
    across = [o for o in operands if o.letter == "t"]
    out += [f"    m{o.k} = stack_words({TILE_ROWS * TILE_COLUMNS * o.size // 8})" for o in across]
    out += [f"    down_ = (rows_ + {TILE_ROWS - 1}) // {TILE_ROWS}", f"    plane_tiles_ = down_ * ((inner_ + {TILE_COLUMNS - 1}) // {TILE_COLUMNS})"]
    out += ["    for tile_ in range(start, stop):", f"        {''.join(f'o{o.k}, ' for o in operands)}= offsets(slots, tile_ // plane_tiles_)"]
    out += [f"        top_ = tile_ % plane_tiles_ % down_ * {TILE_ROWS}", f"        left_ = tile_ % plane_tiles_ // down_ * {TILE_COLUMNS}"]
    out += [f"        height_ = least({TILE_ROWS}, rows_ - top_)", f"        width_ = least({TILE_COLUMNS}, inner_ - left_)"]
    for o in across:
        source = f"slots[{o.k}] + (o{o.k} + top_ + left_ * step{o.k}) * {o.size}"
        out += [f"        turn{o.size}({source}, step{o.k} * {o.size}, m{o.k}, height_, width_)"]
    out += ["        for r_ in range(height_):"]
    for o in operands:
        move = {"c": " + left_", "x": f" + left_ * step{o.k}"}.get(o.letter, "")
        out += [f"            b{o.k} = o{o.k} + (top_ + r_) * down_{o.k}{move}"]
    out += [f"            w{o.k} = P_{o.memory}(m{o.k} + r_ * {TILE_COLUMNS * o.size})" for o in across]
    return out, " " * 12, "width_"


@functools.cache
def _offsets(count: int) -> Any:
    """Where a plane begins in each of ``count`` operands: compiled once, since a kernel takes longer to compile with each statement."""
    from numba import njit

    sizes = 3 * count + 3
    out = ["def offsets(slots, plane):", f"    outer = slots[{count}]"]
    out += [f"    o{k} = 0" for k in range(count)]
    out += ["    for d in range(outer - 1, -1, -1):", f"        size = slots[{sizes} + d]"]
    out += ["        index = plane % size", "        plane = plane // size", f"        at = {sizes} + outer + d"]
    out += [f"        o{k} += index * slots[at + {k} * outer]" for k in range(count)]
    out += [f"    return {''.join(f'o{k}, ' for k in range(count))}"]
    scope: dict[str, Any] = {}
    exec(compile("\n".join(out), "<tapegrad offsets of planes>", "exec"), scope)
    return njit(error_model="numpy", forceinline=True)(scope["offsets"])


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
_copy_into = Fast(1, 1, given=True)


def copy(x: Array) -> Array:
    """A row-major copy."""
    if not (x.__class__ is np.ndarray and x.flags.aligned and x.dtype.isnative):  # as a scalar, which NumPy makes of 0-d arrays
        return np.array(x, order="C")
    out = empty(x.shape, x.dtype)
    if call.recording() or (_copy_into.call(x, out) is None and _copy_into.wide(x, out) is None):
        run(_SAME, (x,), (out,), x.dtype)
        learn(_copy_into, _SAME, (x,), (out,), x.dtype)
    return out
