"""Scalar functions as plain Python, which every backend compiles with its own decorator and its own ``floor``, ``fmod``, ...

They take and return the dtype of the computation, raise nothing and call nothing but the words below.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from math import copysign, floor, fmod, trunc
from types import FunctionType, ModuleType
from typing import Any

import numpy as np


def bound(module: ModuleType, decorate: Callable[[Any], Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """The functions of a module, decorated: each sees the decorated others, and ``words`` in place of what the module imported."""
    scope: dict[str, Any] = {**vars(module), **words}
    own = {n: f for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__ and n not in words}
    scope |= {name: decorate(FunctionType(f.__code__, scope, name)) for name, f in own.items()}
    return {name: scope[name] for name in own}


def of_integers(own: Mapping[str, Any], compute: str, decorate: Callable[[Any], Any]) -> dict[str, Any]:
    """What kernels that compute in an integer dtype, or bool, call by the names ``expr`` gives: of ``own``, the functions here as
    :func:`bound` made them, and of shifts, which ``decorate`` compiles for the dtype."""
    scope: dict[str, Any] = dict.fromkeys(("floor", "ceil", "trunc", "rint"), own["identity"])
    scope |= {"fmax": own["maximum"], "fmin": own["minimum"], "isfinite": own["always"], "isinf": own["never"], "signbit": own["is_negative"]}
    scope |= {name: own[f"{name}_integer"] for name in ("pow", "fmod", "remainder", "floor_divide", "trunc_divide")}
    scope["bitwise_not"] = own["not_bool" if compute == "bool" else "not_integer"]
    if compute != "bool":
        integer = np.dtype(compute)
        scope["left_shift"], scope["right_shift"] = map(decorate, shifts(integer.itemsize * 8, integer.kind == "i"))
    return scope


# mypy: disable-error-code="no-untyped-def, no-untyped-call"


def identity(x):
    return x


def maximum(a, b):
    # not (a < b) keeps a NaN in a; b != b takes one in b
    return b if (a < b) | (b != b) else a


def minimum(a, b):
    return b if (a > b) | (b != b) else a


def sign(x):
    # of NaN 0, as in PyTorch
    return type(x)(1) if x > 0 else (type(x)(-1) if x < 0 else type(x)(0))


def fmax(a, b):
    return a if (a >= b) | (b != b) else b


def fmin(a, b):
    return a if (a <= b) | (b != b) else b


def isfinite(x):
    return x - x == 0


def isinf(x):
    return (x == x) & (x - x != 0)


def always(x):
    return True


def never(x):
    return False


def signbit(x):
    return copysign(type(x)(1), x) < 0


def is_negative(x):
    return x < 0


def not_integer(x):
    return ~x


def not_bool(x):
    return not x


def power(a, b):
    return a**b


def pow_integer(a, b):
    # 1 / a ** -b truncated, and 0 for 1 / 0, as in PyTorch
    return power(a, b) if b >= 0 else (1 if a == 1 else 0) if a != -1 else (-1 if b & 1 else 1)


# Division. Of integers, a divisor of 0 gives 0 (operations refuse it before a kernel runs), and -1 is a case of its own, since a
# processor faults where the quotient overflows.


def fmod_float(a, b):
    return fmod(a, b)


def remainder(a, b):
    rest = fmod(a, b)
    return rest + b if (rest != 0) & ((b < 0) != (rest < 0)) else rest


def floor_divide(a, b):
    # the quotient of what is left without the remainder is whole but for its rounding
    if b == 0:
        return a / b
    rest = fmod(a, b)
    quotient = (a - rest) / b
    if (rest != 0) & ((b < 0) != (rest < 0)):
        quotient -= type(a)(1)
    if quotient == 0:
        return copysign(type(a)(0), a / b)
    whole = floor(quotient)
    return whole + type(a)(1) if quotient - whole > type(a)(0.5) else whole


def trunc_divide(a, b):
    return trunc(a / b)


def floor_divide_integer(a, b):
    if b == 0:
        return a - a
    return -a if b == -1 else a // b


def trunc_divide_integer(a, b):
    if b == 0:
        return a - a
    if b == -1:
        return -a
    quotient = a // b
    return quotient + 1 if (quotient < 0) & (quotient * b != a) else quotient


def remainder_integer(a, b):
    return a - a if (b == 0) | (b == -1) else a % b


def fmod_integer(a, b):
    if (b == 0) | (b == -1):
        return a - a
    rest = a % b
    return rest - b if (rest != 0) & ((a < 0) != (b < 0)) else rest


def shifts(bits: int, signed: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """To the left and to the right. By a count outside of [0, bits), where a processor would take it modulo 64: 0, but to the right of
    signed integers copies of the sign, as in PyTorch."""

    def left(a, b):
        return a << b if (b >= 0) & (b < bits) else a - a

    def right(a, b):
        return a >> b if (b >= 0) & (b < bits) else a - a

    def right_signed(a, b):
        return a >> (b if (b >= 0) & (b < bits) else bits - 1)

    return left, right_signed if signed else right


# Of complex numbers.


def conj_complex(x):
    return x.conjugate()


def pow_complex(a, b):
    # exp(b log 0) is 0 where the real part of b is positive; the logarithm alone would make it NaN
    return a * 0 if (a == 0) & (b.real > 0) else a**b


def div_complex(a, b):
    # R. L. Smith, CACM 1962. Numba's own division raises for a zero, whatever the error model, which would end the kernel
    if abs(b.real) >= abs(b.imag):
        if (b.real == 0) & (b.imag == 0):
            return complex(a.real / abs(b.real), a.imag / abs(b.real))
        ratio = b.imag / b.real
        scale = b.real + b.imag * ratio
        return complex((a.real + a.imag * ratio) / scale, (a.imag - a.real * ratio) / scale)
    ratio = b.real / b.imag
    scale = b.imag + b.real * ratio
    return complex((a.real * ratio + a.imag) / scale, (a.imag * ratio - a.real) / scale)
