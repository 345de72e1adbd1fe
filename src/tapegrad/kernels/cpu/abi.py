"""The one kernel ABI: a serial ``void k(int64 *slots, int64 start, int64 stop)``, called by address.

A slot is 64 bits: a pointer, an integer, or the bits of a float64. This module holds what such kernels are written with: the
signature, typed pointers made from slots, and calls by address. It imports Numba, so it is imported only when something has
to be compiled; running cached kernels needs none of it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

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
bits_of_float = _bitcast_intrinsic(types.float64, types.int64)
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


@intrinsic  # type: ignore[untyped-decorator]
def load(typing_context: Any, address: Any) -> Any:
    """The 64-bit integer at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _WORD.as_pointer()))

    return I64(I64), generate


@intrinsic  # type: ignore[untyped-decorator]
def load32(typing_context: Any, address: Any) -> Any:
    """The 32-bit integer at an address, sign-extended."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.load(builder.inttoptr(args[0], ir.IntType(32).as_pointer()))
        return builder.sext(word, _WORD)

    return I64(I64), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing_context: Any, address: Any, value: Any) -> Any:
    """Write a 64-bit integer to an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _WORD.as_pointer()))
        return context.get_dummy_value()

    return types.void(I64, I64), generate


@intrinsic  # type: ignore[untyped-decorator]
def get(typing_context: Any, words: Any, index: Any) -> Any:
    """The 64-bit integer at an index of those at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(builder.inttoptr(args[0], _WORD.as_pointer()), [args[1]]))

    return I64(I64, I64), generate


@intrinsic  # type: ignore[untyped-decorator]
def put(typing_context: Any, words: Any, index: Any, value: Any) -> Any:
    """Write the 64-bit integer at an index of those at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(builder.inttoptr(args[0], _WORD.as_pointer()), [args[1]]))
        return context.get_dummy_value()

    return types.void(I64, I64, I64), generate


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def stack_words(typing_context: Any, count: Any) -> Any:
    """The address of ``count`` (a literal) 64-bit words on the stack."""
    words = count.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.ArrayType(_WORD, words)), _WORD)

    return I64(types.literal(words)), generate


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


@intrinsic  # type: ignore[untyped-decorator]
def stack_array(typing_context: Any, count: Any) -> Any:
    """The address of ``count`` 64-bit words on the stack; they last until the function returns, so not for loops."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(builder.alloca(_WORD, args[0]), _WORD)

    return I64(I64), generate


@intrinsic  # type: ignore[untyped-decorator]
def swap_if(typing_context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Atomic compare-and-swap on a 64-bit word; 1 when it was swapped, else 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _WORD.as_pointer())
        pair = builder.cmpxchg(pointer, args[1], args[2], "seq_cst", "seq_cst")
        return builder.zext(builder.extract_value(pair, 1), _WORD)

    return I64(I64, I64, I64), generate


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


def call_intrinsic(parameters: int, returns: bool) -> Any:
    """An intrinsic that calls a C function of 64-bit integers by address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result = _WORD if returns else ir.VoidType()
        function = builder.inttoptr(args[0], ir.FunctionType(result, [_WORD] * parameters).as_pointer())
        value = builder.call(function, args[1:])
        return value if returns else context.get_dummy_value()

    signature = (I64 if returns else types.void)(*[I64] * (parameters + 1))
    names = ", ".join(f"a{i}" for i in range(parameters))
    scope: dict[str, Any] = {"signature": signature, "generate": generate}
    exec(f"def call(typing_context, address{', ' if names else ''}{names}): return signature, generate", scope)
    return intrinsic(scope["call"])


call0, call1, call2, call3, call4 = (call_intrinsic(n, True) for n in range(5))
call7 = call_intrinsic(7, True)
call6 = call_intrinsic(6, True)
call_void1 = call_intrinsic(1, False)
call_kernel = call_intrinsic(3, False)
call_parallel_for = call_intrinsic(8, False)
