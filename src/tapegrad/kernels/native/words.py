"""The vocabulary of native code that is no arithmetic on arrays: what looks at Python's objects, finds kernels, and runs them.

Such code is written as ordinary functions whose every value is one 64-bit word, a number or an address, and whose operations are
those below. ``cache.native_words`` compiles them in milliseconds (see ``direct``), where Numba, which has to infer types, would
take a second. In them ``and``, ``or``, ``not`` and comparisons give 0 or 1, numbers wrap around, and integers and functions of the
modules around may be used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Word:
    """An operation: ``emit(builder, *values)`` writes its LLVM instructions with llvmlite's builder and returns the value, or None."""

    def __init__(self, emit: Callable[..., Any]) -> None:
        self.emit = emit

    def __call__(self, *values: int) -> int:
        raise TypeError("this is an operation of native code; Python cannot run it")


def _pointer(builder: Any, address: Any, bits: int = 64) -> Any:
    from llvmlite import ir

    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


def _element(builder: Any, words: Any, index: Any) -> Any:
    return builder.gep(_pointer(builder, words), [index])


def _call(builder: Any, address: Any, *values: Any) -> Any:
    from llvmlite import ir

    word = ir.IntType(64)
    kind = ir.FunctionType(word, [word] * len(values))
    return builder.call(builder.inttoptr(address, kind.as_pointer()), values)


def _stack_words(builder: Any, count: Any) -> Any:
    from llvmlite import ir

    with builder.goto_entry_block():
        room = builder.alloca(ir.ArrayType(ir.IntType(64), count.constant))
        return builder.ptrtoint(room, ir.IntType(64))


def _stack_array(builder: Any, count: Any) -> Any:
    from llvmlite import ir

    return builder.ptrtoint(builder.alloca(ir.IntType(64), count), ir.IntType(64))


def _swap_if(builder: Any, address: Any, expected: Any, value: Any) -> Any:
    pair = builder.cmpxchg(_pointer(builder, address), expected, value, "seq_cst", "seq_cst")
    return builder.extract_value(pair, 1)


def _float_bits(builder: Any, number: Any) -> Any:
    from llvmlite import ir

    return builder.bitcast(builder.sitofp(number, ir.DoubleType()), ir.IntType(64))


def _float32_bits(builder: Any, bits: Any) -> Any:
    from llvmlite import ir

    word, half = ir.IntType(64), ir.IntType(32)
    return builder.zext(builder.bitcast(builder.fptrunc(builder.bitcast(bits, ir.DoubleType()), ir.FloatType()), half), word)


def _load32(builder: Any, address: Any) -> Any:
    from llvmlite import ir

    return builder.sext(builder.load(_pointer(builder, address, 32)), ir.IntType(64))


load = Word(lambda builder, address: builder.load(_pointer(builder, address)))
"""``load(address)``: the word there."""

load32 = Word(_load32)
"""``load32(address)``: the 32-bit integer there, sign-extended."""

store = Word(lambda builder, address, value: builder.store(value, _pointer(builder, address)))
"""``store(address, value)``: write a word."""

get = Word(lambda builder, words, index: builder.load(_element(builder, words, index)))
"""``get(words, index)``: the word at an index of those at an address."""

put = Word(lambda builder, words, index, value: builder.store(value, _element(builder, words, index)))
"""``put(words, index, value)``: write the word at an index of those at an address."""

call = Word(_call)
"""``call(address, *values)``: call a C function of 64-bit integers; what one without a result returns means nothing."""

stack_words = Word(_stack_words)
"""``stack_words(count)``: the address of so many (a literal) words on the stack, until the function returns."""

stack_array = Word(_stack_array)
"""``stack_array(count)``: the same for any number, and new at each use, so not for loops."""

swap_if = Word(_swap_if)
"""``swap_if(address, expected, value)``: atomic compare-and-swap of a word; 1 when it was swapped, else 0."""

float_bits = Word(_float_bits)
"""``float_bits(number)``: the bits of a number as a float64."""

float32_bits = Word(_float32_bits)
"""``float32_bits(bits)``: the bits of a float64, rounded, as a float32."""
