"""Values of native code as it is written: numbers with a type, and what can be done with them. See ``translator``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import from_dtype, types

I64 = types.int64
PYTHON: dict[Any, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_INTEGER = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "ashr",
}  # fmt: skip
_FLOAT = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_COMPARED = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


class Value(NamedTuple):
    """What is known when the kernel runs: a Numba type and LLVM's value. Anything else is a constant."""

    type: Any
    ir: Any


class Place(NamedTuple):
    """A variable: its type, and its memory on the stack, which LLVM makes a register of."""

    type: Any
    ir: Any


class Values:
    """Writes instructions on values with ``builder``; ``context`` is Numba's. What is no :class:`Value` is a constant of Python's."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def as_value(self, x: Any) -> Value:
        """A number that may be a constant."""
        if isinstance(x, Value):
            return x
        if isinstance(x, (bool, np.bool_)):
            return Value(types.boolean, ir.IntType(1)(int(x)))
        if isinstance(x, (int, np.integer)):
            return Value(I64, ir.IntType(64)(int(x)))
        if isinstance(x, (float, np.floating)):
            kind = from_dtype(np.dtype(type(x)))
            return Value(kind, self.context.get_constant(kind, float(x)))
        raise NotImplementedError(f"{x!r}")

    def cast(self, x: Any, to: Any) -> Any:
        """LLVM's value of a number as another type."""
        kind, value = self.as_value(x)
        if kind == to or (to == I64 and kind == types.uint64):
            return value
        if isinstance(to, types.Float):
            target = self.context.get_value_type(to)
            if isinstance(kind, types.Float):
                return self.builder.fpext(value, target) if to.bitwidth > kind.bitwidth else self.builder.fptrunc(value, target)
            return self.builder.sitofp(self.cast(x, I64), target)
        if isinstance(to, types.Integer) and isinstance(kind, (types.Integer, types.Boolean)):
            size = 1 if kind == types.boolean else kind.bitwidth
            if to.bitwidth <= size:
                return self.builder.trunc(value, ir.IntType(to.bitwidth)) if to.bitwidth < size else value
            extend = self.builder.sext if isinstance(kind, types.Integer) and kind.signed else self.builder.zext
            return extend(value, ir.IntType(to.bitwidth))
        raise NotImplementedError(f"{kind} becomes {to}")

    def truth(self, x: Any) -> Any:
        """LLVM's bit for a condition that is no constant."""
        if x.type == types.boolean:
            return x.ir
        return self.builder.icmp_signed("!=", self.cast(x, I64), ir.IntType(64)(0))

    def as_bit(self, x: Any) -> Any:
        """A condition: a constant, or one bit."""
        return Value(types.boolean, self.truth(x)) if isinstance(x, Value) else bool(x)

    def common(self, x: Any, y: Any) -> tuple[Any, Any, Any]:
        """The type of an operation, and its operands."""
        kinds = [self.as_value(v).type for v in (x, y)]
        if types.uint64 in kinds:
            raise NotImplementedError("arithmetic of uint64")
        if any(isinstance(kind, types.Float) for kind in kinds):
            to = types.float32 if kinds == [types.float32] * 2 else types.float64
        else:
            to = I64
        return to, self.cast(x, to), self.cast(y, to)

    def variable(self, kind: Any) -> Place:
        with self.builder.goto_entry_block():
            return Place(kind, self.builder.alloca(self.context.get_value_type(kind)))

    def read(self, place: Place) -> Value:
        return Value(place.type, self.builder.load(place.ir))

    def write(self, place: Place, x: Any) -> None:
        if isinstance(place.type, types.Integer) and not isinstance(self.as_value(x).type, (types.Integer, types.Boolean)):
            raise NotImplementedError("a kernel's variable changes its type")
        self.builder.store(self.cast(x, place.type), place.ir)

    def new(self, x: Any) -> Place:
        """A variable for a number; integers have 64 bits."""
        kind = self.as_value(x).type
        place = self.variable(I64 if isinstance(kind, types.Integer) else kind)
        self.write(place, x)
        return place

    def binary(self, op: Any, x: Any, y: Any) -> Any:
        if not isinstance(x, Value) and not isinstance(y, Value):
            return PYTHON[op](x, y)
        kind, left, right = self.common(x, y)
        if kind == I64 and op in (ast.FloorDiv, ast.Mod):
            return Value(I64, self.divided(op, left, right, y))
        names = _INTEGER if kind == I64 else _FLOAT
        if op not in names:
            raise NotImplementedError(f"{op.__name__} of {kind}")
        return Value(kind, getattr(self.builder, names[op])(left, right))

    def divided(self, op: Any, left: Any, right: Any, divisor: Any) -> Any:
        """The quotient rounded down, or the remainder, which has the sign of the divisor."""
        build, zero = self.builder, ir.IntType(64)(0)
        if not isinstance(divisor, Value) and divisor > 0 and divisor & (divisor - 1) == 0:
            shift = ir.IntType(64)(divisor.bit_length() - 1)
            return build.ashr(left, shift) if op is ast.FloorDiv else build.and_(left, ir.IntType(64)(divisor - 1))
        quotient = build.sdiv(left, right)
        rest = build.sub(left, build.mul(quotient, right))
        beyond = build.and_(build.icmp_signed("!=", rest, zero), build.icmp_signed("<", build.xor(rest, right), zero))
        if op is ast.FloorDiv:
            return build.add(quotient, build.sext(beyond, ir.IntType(64)))
        return build.select(beyond, build.add(rest, right), rest)

    def both(self, x: Any, y: Any) -> Any:
        if not isinstance(x, Value):
            return y if x else x
        return Value(types.boolean, self.builder.and_(self.truth(x), self.truth(y))) if isinstance(y, Value) else x if y else y

    def compared(self, op: Any, x: Any, y: Any) -> Any:
        if not isinstance(x, Value) and not isinstance(y, Value):
            return PYTHON[op](x, y)
        kind, left, right = self.common(x, y)
        if kind == I64:
            return Value(types.boolean, self.builder.icmp_signed(_COMPARED[op], left, right))
        compare = self.builder.fcmp_unordered if op is ast.NotEq else self.builder.fcmp_ordered
        return Value(types.boolean, compare(_COMPARED[op], left, right))

    def selected(self, bit: Any, x: Any, y: Any) -> Value:
        x, y = self.as_value(x), self.as_value(y)
        kind, left, right = (x.type, x.ir, y.ir) if x.type == y.type else self.common(x, y)
        return Value(kind, self.builder.select(bit, left, right))

    def extreme(self, function: Any, x: Any, y: Any) -> Any:
        if not isinstance(x, Value) and not isinstance(y, Value):
            return function(x, y)
        kind, left, right = self.common(x, y)
        if kind != I64:
            raise NotImplementedError("min or max of floats")
        return Value(I64, self.builder.select(self.builder.icmp_signed("<" if function is min else ">", left, right), left, right))
