"""Native code on 64-bit words does what the same Python does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numba import types

from tapegrad.kernels.native import cache, runtime as rt
from tapegrad.kernels.native.words import call, float_bits, get, load32, put, stack_array, stack_words, swap_if

WORDS = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-50, 50)


def native(function: Callable[..., Any]) -> Callable[..., int]:
    parameters = function.__code__.co_argcount
    return ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * parameters)(cache.native_words(function))


def wrapped(value: int) -> int:
    return (int(value) + (1 << 63)) % (1 << 64) - (1 << 63)


def arithmetic(a: int, b: int) -> int:
    return (+a + 3 * b - (a & b) ^ (~a | 5)) * (-b) + (a >> 3) + (b << 2)


def divisions(a: int, b: int) -> int:
    return a // b * 1000 + a % b


def decisions(a: int, b: int) -> int:
    result = 0
    if a < b <= 7 or not (a != 3 and b >= 2):
        result += 1
    elif a == b:
        result += 2
    else:
        result -= a > 10
    return result * 100 + min(a, b, 4) + 2 * max(a, b) + abs(a) + (7 if a and b > 1 else -7 if a else 0)


def loops(a: int, b: int) -> int:
    total = 0
    for i in range(a, b, 3):
        if i == 5:
            continue
        for j in range(4):
            if j > i:
                break
            total += i * j
    for k in range(b, a, -2):
        total ^= k
    while total > 100:
        total, a = total // 2, a + 1
        if total == 77:
            return -1
    for item in (a, b, total):
        if item < 0:
            continue
        total += item
    return total


def early(a: int, b: int) -> int:
    for i in range(a):
        if i * i > b:
            return i
    return -1


def _twice(a: int) -> int:
    return 2 * a


def _both(a: int, b: int) -> int:
    return _twice(a) - _twice(_twice(b))


def calls(a: int, b: int) -> int:
    return _both(b, a) + _both(1, rt.WORDS)


@pytest.mark.parametrize("function", [arithmetic, calls])
@given(a=WORDS, b=WORDS)
def test_numbers_wrap_around(function: Callable[[int, int], int], a: int, b: int) -> None:
    assert native(function)(a, b) == wrapped(function(a, b))


@pytest.mark.parametrize("function", [arithmetic, decisions, loops, early, calls])
@given(a=SMALL, b=SMALL)
def test_as_python(function: Callable[[int, int], int], a: int, b: int) -> None:
    assert native(function)(a, b) == function(a, b)


@given(a=SMALL, b=SMALL.filter(bool))
def test_division_rounds_down(a: int, b: int) -> None:
    assert native(divisions)(a, b) == divisions(a, b)


def guarded(a: int, b: int) -> int:
    return (a // b if b else 7) + (1 if b != 0 and a % b == 0 else 0)


@given(a=SMALL, b=SMALL)
def test_what_is_not_chosen_is_not_computed(a: int, b: int) -> None:
    assert native(guarded)(a, 0) == guarded(a, 0)
    assert native(guarded)(a, b) == guarded(a, b)


def _nothing(a: int) -> None:
    put(a, 0, 1)


def memory(words: int, count: int) -> int:
    room, more = stack_words(4), stack_array(count)
    for i in range(count):
        put(more, i, get(words, i))
    put(room, 3, get(more, count - 1) + load32(words + 4))
    _nothing(words)
    return get(room, 3) + swap_if(words, 1, 9) * 10 + swap_if(words, 1, 8)


def test_memory() -> None:
    words = np.array([-1 << 32, 5, 6], np.int64)
    assert native(memory)(words.ctypes.data, 3) == 6 - 1 + 10
    assert words.tolist() == [9, 5, 6]


def through(function: int, value: int) -> int:
    return call(function, value) + 1


def bits(value: int) -> int:
    return float_bits(value)


def test_calls_by_address_and_floats() -> None:
    labs = ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value
    assert native(through)(labs, -41) == 42
    assert np.array(native(bits)(-3), np.int64).view(np.float64) == -3.0


STEPS = {
    "up": lambda x: x + 1,
    "down": lambda x: x - 1,
}
PAIR = (lambda x: x + 1, lambda x: x - 1)


def lambdas(value: int) -> int:
    return 10 * STEPS["up"](value) + STEPS["down"](value)


def narrowed(value: int) -> int:
    return types.int64(types.int32(value))


def _two_in_a_line(value: int) -> int:
    return PAIR[0](value)


def test_lambdas_and_numbers_of_other_types() -> None:
    assert native(lambdas)(5) == 64
    assert native(narrowed)((7 << 32) + 0xFFFFFFFE) == -2
    with pytest.raises(NotImplementedError, match="several lambdas in a line"):
        cache.native_words(_two_in_a_line)


def _unknown_statement(a: int) -> int:
    with a:  # type: ignore[attr-defined]
        return 1


def _unknown_else(a: int) -> int:
    for _ in range(a):
        a += 1
    else:
        a = 7
    return a


def _unknown_name(a: int) -> int:
    return a + len


def _unknown_operation(a: int) -> float:
    return a / 2


def _unknown_loop(a: int) -> int:
    for _ in [a]:
        return 1
    return 0


@pytest.mark.parametrize(
    ("function", "message"),
    [(_unknown_else, "else of a loop"), (_unknown_statement, "With"), (_unknown_name, "built-in function len"), (_unknown_operation, "Div of int64"), (_unknown_loop, "a loop over")],
)
def test_what_is_not_part_of_the_language(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(NotImplementedError, match=message) as caught:
        cache.native_words(function)
    assert __file__ in caught.value.__notes__[0]
    assert f"line {function.__code__.co_firstlineno + 1}" in caught.value.__notes__[0]


def test_python_cannot_run_it() -> None:
    with pytest.raises(TypeError, match="native code"):
        memory(0, 1)
