"""Values of LLVM's, scalars or vectors of them, with Python's operators: what the functions of this package are written in.

A function of values runs once for each place in a kernel that calls it and leaves a straight line of instructions there: choices are
``where``, never branches, so that LLVM turns loops of them into vector code. Numba sees one call, and has nothing to infer.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...native.abi import use_widest_vectors

FLOAT, DOUBLE, INT, LONG = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)


class Value:
    """A float, an integer of the same width, or a truth value, or a vector of them; numbers beside it become constants of its type."""

    __slots__ = ("builder", "ir")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.ir = value

    @property
    def type(self) -> Any:
        return self.ir.type

    @property
    def element(self) -> Any:
        """The type of each number."""
        return self.type.element if isinstance(self.type, ir.VectorType) else self.type

    @property
    def single(self) -> bool:
        """Whether it is 32 bits wide."""
        return self.element in (FLOAT, INT)

    @property
    def is_float(self) -> bool:
        return self.element in (FLOAT, DOUBLE)

    def of(self, element: Any) -> Any:
        """The type of as many numbers of another type."""
        return ir.VectorType(element, self.type.count) if isinstance(self.type, ir.VectorType) else element

    def like(self, other: Any) -> Value:
        """``other`` as a value; a number as a constant of this value's type."""
        if isinstance(other, Value):
            return other
        if self.element == FLOAT:
            other = float(np.float32(other))
        return Value(self.builder, ir.Constant(self.type, float(other) if self.is_float else int(other)))

    def _op(self, name: str, other: Any, swap: bool = False) -> Value:
        a, b = self, self.like(other)
        a, b = (b, a) if swap else (a, b)
        return Value(self.builder, getattr(self.builder, name)(a.ir, b.ir))

    def _compare(self, symbol: str, other: Any) -> Value:
        other = self.like(other)
        if not self.is_float:
            return Value(self.builder, self.builder.icmp_signed(symbol, self.ir, other.ir))
        compare = self.builder.fcmp_unordered if symbol == "!=" else self.builder.fcmp_ordered
        return Value(self.builder, compare(symbol, self.ir, other.ir))

    def __add__(self, other: Any) -> Value:
        return self._op("fadd" if self.is_float else "add", other)

    def __sub__(self, other: Any) -> Value:
        return self._op("fsub" if self.is_float else "sub", other)

    def __rsub__(self, other: Any) -> Value:
        return self._op("fsub" if self.is_float else "sub", other, swap=True)

    def __mul__(self, other: Any) -> Value:
        return self._op("fmul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> Value:
        return self._op("fdiv", other)

    def __rtruediv__(self, other: Any) -> Value:
        return self._op("fdiv", other, swap=True)

    def __neg__(self) -> Value:
        return Value(self.builder, self.builder.fneg(self.ir) if self.is_float else self.builder.neg(self.ir))

    def __abs__(self) -> Value:
        return call("fabs", self)

    def __lt__(self, other: Any) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Value:
        return self._compare(">=", other)

    def __eq__(self, other: Any) -> Value:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Any) -> Value:  # type: ignore[override]
        return self._compare("!=", other)

    def __and__(self, other: Any) -> Value:
        return self._op("and_", other)

    def __or__(self, other: Any) -> Value:
        return self._op("or_", other)

    def __xor__(self, other: Any) -> Value:
        return self._op("xor", other)

    def __invert__(self) -> Value:
        return Value(self.builder, self.builder.not_(self.ir))

    def __lshift__(self, bits: int) -> Value:
        return self._op("shl", bits)

    def __rshift__(self, bits: int) -> Value:
        """With copies of the sign."""
        return self._op("ashr", bits)

    def __bool__(self) -> bool:
        raise TypeError("a value is not known yet: use where")


def call(name: str, *args: Value) -> Value:
    """An instruction of LLVM's, called ``llvm.<name>``, whose result has the type of its operands."""
    kind = args[0].type
    return call_named(f"llvm.{name}.{suffix(kind)}", kind, *args)


def suffix(kind: Any) -> str:
    """How LLVM names a type of floats or integers in the name of an instruction."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{suffix(kind.element)}"
    return str({FLOAT: "f32", DOUBLE: "f64", INT: "i32", LONG: "i64"}[kind])


def call_named(name: str, result: Any, *args: Value) -> Value:
    builder = args[0].builder
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return Value(builder, builder.call(function, [a.ir for a in args]))


def fma(a: Value, b: Any, c: Any) -> Value:
    """a * b + c, rounded once."""
    return call("fma", a, a.like(b), a.like(c))


def sqrt(x: Value) -> Value:
    return call("sqrt", x)


def rint(x: Value) -> Value:
    """The nearest whole number, of two the even one."""
    return call("rint", x)


def copysign(x: Value, sign: Value) -> Value:
    return call("copysign", x, sign)


def where(condition: Value, a: Any, b: Any) -> Value:
    """``a`` where the condition holds, else ``b``; both are computed."""
    a = a if isinstance(a, Value) else b.like(a)
    return Value(condition.builder, condition.builder.select(condition.ir, a.ir, a.like(b).ir))


def at_most(x: Value, bound: float) -> Value:
    """The smaller of two; NaN stays NaN. One instruction."""
    limit = x.like(bound)
    return where(limit < x, limit, x)


def at_least(x: Value, bound: float) -> Value:
    limit = x.like(bound)
    return where(limit > x, limit, x)


def bits(x: Value) -> Value:
    """The bits of a float as an integer."""
    return Value(x.builder, x.builder.bitcast(x.ir, x.of(INT if x.single else LONG)))


def of_bits(n: Value) -> Value:
    """The float that has these bits."""
    return Value(n.builder, n.builder.bitcast(n.ir, n.of(FLOAT if n.single else DOUBLE)))


def to_float(n: Value, like: Value | None = None) -> Value:
    """An integer as a float of its width, or of another's type."""
    kind = n.of(FLOAT if n.single else DOUBLE) if like is None else like.type
    return Value(n.builder, n.builder.sitofp(n.ir, kind))


def nearest(x: Value) -> Value:
    """x, below 2^31, rounded to a whole number, as an integer of 32 bits. One instruction."""
    return call_named(f"llvm.lrint.{suffix(x.of(INT))}.{suffix(x.type)}", x.of(INT), x)


def whole_exponent(n: Value) -> Value:
    """The exponent of a float64 whose bits less those of 1 are n, as a float64; without what AVX2 lacks for 64 bits."""
    shifted = Value(n.builder, n.builder.lshr((n + (1100 << 52)).ir, n.like(52).ir))
    return of_bits(shifted | 0x4330000000000000) - (2.0**52 + 1100.0)


def widened(x: Value) -> Value:
    """A float32 as a float64."""
    return Value(x.builder, x.builder.fpext(x.ir, x.of(DOUBLE)))


def narrowed(x: Value) -> Value:
    """A float64 rounded to float32."""
    return Value(x.builder, x.builder.fptrunc(x.ir, x.of(FLOAT)))


def polynomial(x: Value, coefficients: Sequence[Value | float]) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ..., by Horner's rule."""
    total = x.like(coefficients[-1])
    for c in coefficients[-2::-1]:
        total = fma(total, x, c)
    return total


def in_two_parts(x: Value, coefficients: Sequence[float]) -> Value:
    """The same, of even and of odd powers at once: sooner done, by a product more."""
    square = x * x
    return fma(x, polynomial(square, coefficients[1::2]), polynomial(square, coefficients[::2]))


@functools.cache
def _scales_vectors() -> bool:
    """Whether the processor multiplies a vector by powers of two in one instruction (AVX-512's vscalef)."""
    return bool(llvm.get_host_cpu_features().get("avx512f", False))


def whole_and_power(x: Value, scale: Value | float, less: int = 0) -> tuple[Value, Value]:
    """n = x * scale rounded to a whole number, as a float, and 2^(n - less), where that is a normal float. Three instructions.

    They are rounded, and the exponent put in its place, by an addend that leaves no bits for fractions.
    """
    mantissa, bias = (23, 127) if x.single else (52, 1023)
    shift = 1.5 * 2.0**mantissa
    shifted = fma(x, scale, shift + (bias - less))
    return shifted - (shift + (bias - less)), of_bits(bits(shifted) << mantissa)


def scaled(x: Value, n: Value) -> Value:
    """x * 2^n, rounded once, for |x| between 1/4 and 4 and an integer n of 32 bits that is not beyond the exponents of x's type."""
    if _scales_vectors():
        return call_named(f"llvm.ldexp.{suffix(x.type)}.{suffix(n.type)}", x.type, x, n)
    half = n >> 1  # a power of two whose exponent is n may not be a normal float
    return x * power_of_two(half, x) * power_of_two(n - half, x)


def power_of_two(n: Value, like: Value) -> Value:
    """2^n in the type of another value, for an integer n of 32 bits for which that is a normal float."""
    if like.single:
        return of_bits((n << 23) + (127 << 23))
    return of_bits((Value(n.builder, n.builder.sext(n.ir, n.of(LONG))) << 52) + (1023 << 52))


def scalar(function: Callable[..., Value]) -> Any:
    """What Numba compiles a call to: a function of values as a function of floats, all of one dtype."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        use_widest_vectors(builder.function)
        return function(*[Value(builder, a) for a in args]).ir

    def typed(x: Any, count: int) -> Any:
        kind = x if x in (types.float32, types.float64) else types.float64
        return kind(*[kind] * count), generate

    operands = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    if len(operands) == 1:
        return intrinsic(lambda typing_context, x: typed(x, 1))
    return intrinsic(lambda typing_context, x, y: typed(x, 2))
