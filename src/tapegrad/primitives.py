"""The functions of the expression language: each one's derivative, value on NumPy arrays, and spelling in source, declared once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import npmath
from .expr import PRIMITIVES, Primitive, apply


def _over_square(x: Any, a: Any, b: Any) -> Any:
    """x / (a^2 + b^2) without overflow, and 0 for 0 / 0."""
    r = E.hypot(a, b)
    return E.where(r == 0.0, 0.0, x / r / r)


PRIMITIVES.update(
    {
        "add": Primitive("{0} + {1}", np.add, (lambda a, b, y: 1.0, lambda a, b, y: 1.0)),
        "sub": Primitive("{0} - {1}", np.subtract, (lambda a, b, y: 1.0, lambda a, b, y: -1.0)),
        "mul": Primitive("{0} * {1}", np.multiply, (lambda a, b, y: b, lambda a, b, y: a)),
        "div": Primitive("{0} / {1}", np.true_divide, (lambda a, b, y: 1.0 / b, lambda a, b, y: -y / b)),
        "neg": Primitive("-{0}", np.negative, (lambda x, y: -1.0,)),
        "pow": Primitive(
            "pow({0}, {1})",
            np.power,
            (
                lambda a, b, y: E.where(b == 0.0, 0.0, b * E.pow(a, b - 1.0)),
                lambda a, b, y: E.where((a == 0.0) & (b >= 0.0), 0.0, y * E.log(a)),
            ),
        ),
        "abs": Primitive("abs({0})", np.abs, (lambda x, y: E.sign(x),)),
        "sign": Primitive("sign({0})", npmath.sign, (None,)),
        "copysign": Primitive(
            "copysign({0}, {1})",
            np.copysign,
            (lambda a, b, y: E.where(a == 0.0, 0.0, E.where(E.signbit(a) == E.signbit(b), 1.0, -1.0)), None),
        ),
        "floor": Primitive("floor({0})", np.floor, (None,)),
        "ceil": Primitive("ceil({0})", np.ceil, (None,)),
        "trunc": Primitive("trunc({0})", np.trunc, (None,)),
        "rint": Primitive("rint({0})", np.rint, (None,)),
        "fmod": Primitive("fmod({0}, {1})", np.fmod, (lambda a, b, y: 1.0, lambda a, b, y: -E.trunc(a / b))),
        "remainder": Primitive("remainder({0}, {1})", np.remainder, (lambda a, b, y: 1.0, lambda a, b, y: -E.floor_divide(a, b))),
        "floor_divide": Primitive("floor_divide({0}, {1})", np.floor_divide, (None, None)),
        "trunc_divide": Primitive("trunc_divide({0}, {1})", npmath.trunc_divide, (None, None)),
        "exp": Primitive("exp({0})", np.exp, (lambda x, y: y,)),
        "exp2": Primitive("exp2({0})", np.exp2, (lambda x, y: math.log(2.0) * y,)),
        "expm1": Primitive("expm1({0})", np.expm1, (lambda x, y: y + 1.0,)),
        "log": Primitive("log({0})", np.log, (lambda x, y: 1.0 / x,)),
        "log1p": Primitive("log1p({0})", np.log1p, (lambda x, y: 1.0 / (x + 1.0),)),
        "log2": Primitive("log2({0})", np.log2, (lambda x, y: 1.0 / (math.log(2.0) * x),)),
        "log10": Primitive("log10({0})", np.log10, (lambda x, y: 1.0 / (math.log(10.0) * x),)),
        "sqrt": Primitive("sqrt({0})", np.sqrt, (lambda x, y: 0.5 / y,)),
        "sin": Primitive("sin({0})", np.sin, (lambda x, y: E.cos(x),)),
        "cos": Primitive("cos({0})", np.cos, (lambda x, y: -E.sin(x),)),
        "tan": Primitive("tan({0})", np.tan, (lambda x, y: 1.0 + y * y,)),
        "asin": Primitive("asin({0})", np.arcsin, (lambda x, y: 1.0 / E.sqrt(1.0 - x * x),)),
        "acos": Primitive("acos({0})", np.arccos, (lambda x, y: -1.0 / E.sqrt(1.0 - x * x),)),
        "atan": Primitive("atan({0})", np.arctan, (lambda x, y: 1.0 / (1.0 + x * x),)),
        "sinh": Primitive("sinh({0})", np.sinh, (lambda x, y: E.cosh(x),)),
        "cosh": Primitive("cosh({0})", np.cosh, (lambda x, y: E.sinh(x),)),
        "tanh": Primitive("tanh({0})", np.tanh, (lambda x, y: 1.0 - y * y,)),
        "asinh": Primitive("asinh({0})", np.arcsinh, (lambda x, y: 1.0 / E.sqrt(x * x + 1.0),)),
        "acosh": Primitive("acosh({0})", np.arccosh, (lambda x, y: 1.0 / (E.sqrt(x - 1.0) * E.sqrt(x + 1.0)),)),
        "atanh": Primitive("atanh({0})", np.arctanh, (lambda x, y: 1.0 / (1.0 - x * x),)),
        "atan2": Primitive("atan2({0}, {1})", np.arctan2, (lambda a, b, y: _over_square(b, a, b), lambda a, b, y: -_over_square(a, a, b))),
        "hypot": Primitive(
            "hypot({0}, {1})",
            np.hypot,
            (lambda a, b, y: E.where(y == 0.0, 0.0, a / y), lambda a, b, y: E.where(y == 0.0, 0.0, b / y)),
        ),
        "sigmoid": Primitive("sigmoid({0})", npmath.sigmoid, (lambda x, y: y * (1.0 - y),)),
        "erf": Primitive("erf({0})", npmath.erf, (lambda x, y: (2.0 / math.sqrt(math.pi)) * E.exp(-x * x),)),
        "erfc": Primitive("erfc({0})", npmath.erfc, (lambda x, y: (-2.0 / math.sqrt(math.pi)) * E.exp(-x * x),)),
        "erfcx": Primitive("erfcx({0})", npmath.erfcx, (lambda x, y: 2.0 * x * y - 2.0 / math.sqrt(math.pi),)),
        "erfinv": Primitive("erfinv({0})", npmath.erfinv, (lambda x, y: 0.5 * math.sqrt(math.pi) * E.exp(y * y),)),
        "ndtr": Primitive("ndtr({0})", npmath.ndtr, (lambda x, y: math.sqrt(0.5 / math.pi) * E.exp(-0.5 * x * x),)),
        "gelu_gate": Primitive("gelu_gate({0})", npmath.gelu_gate, (lambda x, y: math.sqrt(0.5 / math.pi) * E.exp(-x * (0.5 * x)),)),
        "ndtri": Primitive("ndtri({0})", npmath.ndtri, (lambda x, y: math.sqrt(2.0 * math.pi) * E.exp(0.5 * y * y),)),
        "log_ndtr": Primitive("log_ndtr({0})", npmath.log_ndtr, (lambda x, y: E.log_ndtr_slope(x),)),
        "log_ndtr_slope": Primitive("log_ndtr_slope({0})", npmath.log_ndtr_slope, (lambda x, y: -y * (x + y),)),
        "logit": Primitive("logit({0})", npmath.logit, (lambda x, y: 1.0 / (x * (1.0 - x)),)),
        "sinc": Primitive("sinc({0})", npmath.sinc, (lambda x, y: -math.pi * E.spherical_j1(math.pi * x),)),
        "spherical_j1": Primitive(
            "spherical_j1({0})",
            npmath.spherical_j1,
            (lambda x, y: E.where(x == 0.0, 1.0 / 3.0, E.sinc(x * (1.0 / math.pi)) - 2.0 * y / x),),
        ),
        "lgamma": Primitive("lgamma({0})", npmath.lgamma, (lambda x, y: E.digamma(x),)),
        "digamma": Primitive("digamma({0})", npmath.digamma, (lambda x, y: E.polygamma(1.0, x),)),
        "polygamma": Primitive("polygamma({0}, {1})", npmath.polygamma, (None, lambda n, x, y: E.polygamma(n + 1.0, x))),
        "i0": Primitive("i0({0})", npmath.i0, (lambda x, y: E.i1(x),)),
        "i1": Primitive("i1({0})", npmath.i1, (lambda x, y: E.where(x == 0.0, 0.5, E.i0(x) - y / x),)),
        "i0e": Primitive("i0e({0})", npmath.i0e, (lambda x, y: E.i1e(x) - E.sign(x) * y,)),
        "i1e": Primitive("i1e({0})", npmath.i1e, (lambda x, y: E.where(x == 0.0, 0.5, E.i0e(x) - (E.sign(x) + 1.0 / x) * y),)),
        "conj": Primitive("conj({0})", np.conj, None),
        "fmax": Primitive(
            "fmax({0}, {1})",
            np.fmax,
            (lambda a, b, y: E.where((a >= b) | (b != b), 1.0, 0.0), lambda a, b, y: E.where((a >= b) | (b != b), 0.0, 1.0)),
        ),
        "fmin": Primitive(
            "fmin({0}, {1})",
            np.fmin,
            (lambda a, b, y: E.where((a <= b) | (b != b), 1.0, 0.0), lambda a, b, y: E.where((a <= b) | (b != b), 0.0, 1.0)),
        ),
        "maximum": Primitive(
            "maximum({0}, {1})", np.maximum, (lambda a, b, y: E.half_on_tie(a, b), lambda a, b, y: E.half_on_tie(b, a))
        ),
        "minimum": Primitive(
            "minimum({0}, {1})", np.minimum, (lambda a, b, y: E.half_on_tie(b, a), lambda a, b, y: E.half_on_tie(a, b))
        ),
        "where": Primitive("({1} if {0} else {2})", np.where, None, None),
        "lt": Primitive("{0} < {1}", np.less, None, True),
        "le": Primitive("{0} <= {1}", np.less_equal, None, True),
        "gt": Primitive("{0} > {1}", np.greater, None, True),
        "ge": Primitive("{0} >= {1}", np.greater_equal, None, True),
        "eq": Primitive("{0} == {1}", np.equal, None, True),
        "ne": Primitive("{0} != {1}", np.not_equal, None, True),
        "logical_and": Primitive("{0} & {1}", np.logical_and, None, True),
        "logical_or": Primitive("{0} | {1}", np.logical_or, None, True),
        "logical_xor": Primitive("{0} != {1}", np.logical_xor, None, True),
        "logical_not": Primitive("not {0}", np.logical_not, None, True),
        "isinf": Primitive("isinf({0})", np.isinf, None, True),
        "isfinite": Primitive("isfinite({0})", np.isfinite, None, True),
        "signbit": Primitive("signbit({0})", np.signbit, None, True),
        "bitwise_and": Primitive("{0} & {1}", np.bitwise_and, (None, None)),
        "bitwise_or": Primitive("{0} | {1}", np.bitwise_or, (None, None)),
        "bitwise_xor": Primitive("{0} ^ {1}", np.bitwise_xor, (None, None)),
        "bitwise_not": Primitive("bitwise_not({0})", np.bitwise_not, (None,)),
        "left_shift": Primitive("left_shift({0}, {1})", npmath.left_shift, (None, None)),
        "right_shift": Primitive("right_shift({0}, {1})", npmath.right_shift, (None, None)),
    }
)


class E:
    """The functions an expression may use, beside Python's operators: ``E.exp(x)``, ``E.where(x > 0, x, 0)``, ...

    Each accepts expressions, tensors, NumPy arrays and numbers.
    """

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Any:
        """``a`` where the condition holds, else ``b``."""
        return apply("where", condition, a, b)

    @staticmethod
    def half_on_tie(a: Any, b: Any) -> Any:
        """1 where a > b (or one is NaN), 1/2 where they are equal, else 0: the subgradient of maximum with respect to a."""
        return E.where(a == b, 0.5, E.where(a < b, 0.0, 1.0))

    exp: Callable[[Any], Any]
    exp2: Callable[[Any], Any]
    expm1: Callable[[Any], Any]
    log: Callable[[Any], Any]
    log2: Callable[[Any], Any]
    log10: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    sqrt: Callable[[Any], Any]
    sin: Callable[[Any], Any]
    cos: Callable[[Any], Any]
    tan: Callable[[Any], Any]
    asin: Callable[[Any], Any]
    acos: Callable[[Any], Any]
    atan: Callable[[Any], Any]
    sinh: Callable[[Any], Any]
    cosh: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    asinh: Callable[[Any], Any]
    acosh: Callable[[Any], Any]
    atanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    logit: Callable[[Any], Any]
    erf: Callable[[Any], Any]
    erfc: Callable[[Any], Any]
    erfcx: Callable[[Any], Any]
    erfinv: Callable[[Any], Any]
    ndtr: Callable[[Any], Any]
    ndtri: Callable[[Any], Any]
    gelu_gate: Callable[[Any], Any]
    log_ndtr: Callable[[Any], Any]
    log_ndtr_slope: Callable[[Any], Any]
    lgamma: Callable[[Any], Any]
    digamma: Callable[[Any], Any]
    i0: Callable[[Any], Any]
    i0e: Callable[[Any], Any]
    i1: Callable[[Any], Any]
    i1e: Callable[[Any], Any]
    sinc: Callable[[Any], Any]
    spherical_j1: Callable[[Any], Any]
    abs: Callable[[Any], Any]
    sign: Callable[[Any], Any]
    floor: Callable[[Any], Any]
    ceil: Callable[[Any], Any]
    trunc: Callable[[Any], Any]
    rint: Callable[[Any], Any]
    conj: Callable[[Any], Any]
    isinf: Callable[[Any], Any]
    isfinite: Callable[[Any], Any]
    signbit: Callable[[Any], Any]
    bitwise_not: Callable[[Any], Any]
    pow: Callable[[Any, Any], Any]
    maximum: Callable[[Any, Any], Any]
    minimum: Callable[[Any, Any], Any]
    fmax: Callable[[Any, Any], Any]
    fmin: Callable[[Any, Any], Any]
    atan2: Callable[[Any, Any], Any]
    hypot: Callable[[Any, Any], Any]
    copysign: Callable[[Any, Any], Any]
    fmod: Callable[[Any, Any], Any]
    remainder: Callable[[Any, Any], Any]
    floor_divide: Callable[[Any, Any], Any]
    trunc_divide: Callable[[Any, Any], Any]
    polygamma: Callable[[Any, Any], Any]
    bitwise_and: Callable[[Any, Any], Any]
    bitwise_or: Callable[[Any, Any], Any]
    bitwise_xor: Callable[[Any, Any], Any]
    left_shift: Callable[[Any, Any], Any]
    right_shift: Callable[[Any, Any], Any]
    logical_xor: Callable[[Any, Any], Any]


def _function(name: str) -> Any:
    def call(*operands: Any) -> Any:
        return apply(name, *operands)

    call.__name__ = call.__qualname__ = name
    return staticmethod(call)


for _name in E.__annotations__:
    setattr(E, _name, _function(_name))
