"""The one kernel ABI: a serial ``void k(int64 *slots, int64 start, int64 stop)``, called by address.

A slot is 64 bits: a pointer, an integer, or the bits of a float64. This module holds what such kernels are written with: the
signature, typed pointers made from slots, and calls by address. It imports Numba, so it is imported only when something has
to be compiled; running cached kernels needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from . import words

I64 = types.int64
SLOTS = types.CPointer(types.int64)
KERNEL = types.void(SLOTS, I64, I64)

_WORD = ir.IntType(64)


def inline(function: Any) -> Any:
    """Compile a helper into its callers: for what differs from one kernel to the next."""
    return njit(inline="always", error_model="numpy")(function)


def _pointer_intrinsic(scalar: Any) -> Any:
    """An intrinsic that turns an integer address into a typed pointer, indexable as ``p[i]``."""

    @intrinsic  # type: ignore[untyped-decorator]
    def as_pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(scalar)(I64), generate

    return as_pointer


# Array elements by NumPy dtype character code; bool is one byte, so it is read and written as uint8.
POINTERS: dict[str, Any] = {
    name: _pointer_intrinsic(scalar)
    for name, scalar in {
        "float32": types.float32,
        "float64": types.float64,
        "int8": types.int8,
        "int16": types.int16,
        "int32": types.int32,
        "int64": types.int64,
        "uint8": types.uint8,
        "uint16": types.uint16,
        "uint32": types.uint32,
        "uint64": types.uint64,
        "bool": types.uint8,
        "complex64": types.complex64,
        "complex128": types.complex128,
    }.items()
}


def _bitcast_intrinsic(source: Any, target: Any) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def bitcast(typing_context: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), generate

    return bitcast


float_of_bits = _bitcast_intrinsic(types.int64, types.float64)
float32_of_bits = _bitcast_intrinsic(types.int32, types.float32)
bits_of_float32 = _bitcast_intrinsic(types.float32, types.int32)


def _half_intrinsic(to_float: bool) -> Any:
    """float16 as the 16 bits of a uint16, since Numba's CPU target has no such type; LLVM has."""

    @intrinsic  # type: ignore[untyped-decorator]
    def convert(typing_context: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if to_float:
                return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())
            return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

        return (types.float32(types.uint16) if to_float else types.uint16(types.float32)), generate

    return convert


float16_to_float = _half_intrinsic(True)
float_to_float16 = _half_intrinsic(False)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def stack_bytes(typing_context: Any, count: Any) -> Any:
    """The address of ``count`` (a literal) bytes on the stack, aligned to a cache line, not cleared."""
    room = ir.ArrayType(ir.IntType(8), count.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        with builder.goto_entry_block():
            place = builder.alloca(room)
        place.align = 64
        return builder.ptrtoint(place, _WORD)

    return I64(count), generate


def use_widest_vectors(function: Any) -> None:
    """Let LLVM use all of a vector register in a function (of llvmlite). It prefers half of one on Intel's CPUs with AVX-512."""
    set.add(function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own ``add`` knows no attributes with values


@intrinsic  # type: ignore[untyped-decorator]
def widest_vectors(typing_context: Any) -> Any:
    """Called in a kernel: :func:`use_widest_vectors` there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        use_widest_vectors(builder.function)
        return context.get_dummy_value()

    return types.void(), generate


def repeated(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector of so many lanes with the same LLVM value in each."""
    index = ir.IntType(32)
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, index(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes), [0] * lanes))


def emitted(result: Any, parameters: Sequence[Any], emit: Callable[..., Any]) -> Any:
    """A function for kernels to call, of values of Numba's types, whose instructions ``emit(builder, *arguments)`` writes where it is called."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = emit(builder, *args)
        return context.get_dummy_value() if result == types.void else value

    names = ", ".join(f"a{k}" for k in range(len(parameters)))  # Numba asks the function how many there are
    scope: dict[str, Any] = {"signature": result(*parameters), "generate": generate}
    exec(f"def call(typing_context, {names}): return signature, generate", scope)
    return intrinsic(scope["call"])


# Operations of native code on words (see ``words``), for kernels
get, put = emitted(I64, [I64] * 2, words.get.emit), emitted(types.void, [I64] * 3, words.put.emit)
store, call_kernel = emitted(types.void, [I64] * 2, words.store.emit), emitted(types.void, [I64] * 4, words.call.emit)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def stack_words(typing_context: Any, count: Any) -> Any:
    """The address of ``count`` (a literal) 64-bit words on the stack."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return words.stack_words.emit(builder, _WORD(count.literal_value))

    return I64(types.literal(count.literal_value)), generate
