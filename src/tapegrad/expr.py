"""The scalar expression language: what one element of an elementwise operation computes, and its derivative.

A function such as ``lambda x: x * E.sigmoid(x)`` called with :class:`Expr` arguments builds a directed acyclic graph; the same
function called with NumPy arrays or tensors computes. From the graph come kernel source for every device (:func:`emit`) and
derivatives of any order (:func:`differentiate`). A primitive is declared once, in the table at the end: its derivative, its
value on NumPy arrays, and its spelling in source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import npmath


class Expr:
    """A node: an operation and its operands. ``op`` is "var", "const" or the name of a primitive; ``is_bool`` is its type."""

    __slots__ = ("args", "is_bool", "op")
    __hash__ = object.__hash__
    __array_ufunc__ = None  # so that NumPy's scalars leave operators to this class

    def __init__(self, op: str, args: tuple[Any, ...], is_bool: bool = False) -> None:
        self.op = op
        self.args = args
        self.is_bool = is_bool

    def __repr__(self) -> str:
        if self.op in ("var", "const"):
            return str(self.args[0])
        spelled = _PRIMITIVES[self.op].source
        return spelled.format(*[f"({a!r})" if "{" in spelled and a.args and a.op not in ("var", "const") else repr(a) for a in self.args])


def _operator(name: str, swap: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (Expr, bool, int, float, np.bool_, np.integer, np.floating)):
            return NotImplemented
        return apply(name, other, self) if swap else apply(name, self, other)

    return method


for _symbol, _name in [("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("pow", "pow")]:
    setattr(Expr, f"__{_symbol}__", _operator(_name))
    setattr(Expr, f"__r{_symbol}__", _operator(_name, swap=True))
for _symbol in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Expr, f"__{_symbol}__", _operator(_symbol))
for _symbol, _name in [("and", "logical_and"), ("or", "logical_or")]:
    setattr(Expr, f"__{_symbol}__", _operator(_name))
Expr.__neg__ = lambda self: apply("neg", self)  # type: ignore[operator]
Expr.__invert__ = lambda self: apply("logical_not", self)  # type: ignore[operator]
Expr.__abs__ = lambda self: apply("abs", self)  # type: ignore[attr-defined]


def _no_truth(self: Expr) -> bool:
    raise TypeError("an expression has no truth value: use E.where(condition, a, b) instead of if, and &, |, ~ instead of and, or, not")


Expr.__bool__ = _no_truth  # type: ignore[attr-defined]


def var(name: str, *, is_bool: bool = False) -> Expr:
    """An input of the expression."""
    return Expr("var", (name,), is_bool)


def const(value: bool | int | float) -> Expr:
    """A literal; it takes the dtype of the computation.

    Raises:
        TypeError: when it is not a real number.
    """
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        value = value.item()
    for kind in (bool, int, float):
        if isinstance(value, kind):  # subclasses go: a literal is written into source with its type's own repr
            return Expr("const", (kind(value),), kind is bool)
    raise TypeError(f"an expression takes real numbers, not {type(value).__name__}")


def _as_expr(value: Any) -> Expr:
    return value if isinstance(value, Expr) else const(value)


# Type -> {primitive name: function}; upper layers add their array types (tensors) here.
TABLE: dict[type, Mapping[str, Callable[..., Any]]] = {}


def apply(name: str, *operands: Any) -> Any:
    """A primitive of expressions, of tensors, or of NumPy arrays and numbers, whichever the operands are."""
    for operand in operands:
        if isinstance(operand, Expr):
            if name == "conj" and operand.op == "const":
                return operand
            primitive = _PRIMITIVES[name]
            args = tuple(_as_expr(o) for o in operands)
            is_bool = primitive.boolean if primitive.boolean is not None else all(a.is_bool for a in args[-2:])
            return Expr(name, args, is_bool)
    for operand in operands:
        for kind in type(operand).__mro__[:-1]:
            if kind in TABLE:
                return TABLE[kind][name](*operands)
    with np.errstate(all="ignore"):
        return _PRIMITIVES[name].numpy(*operands)


def trace(function: Callable[..., Any], names: Sequence[str], booleans: Sequence[str] = ()) -> Expr:
    """The expression that ``function`` computes when its arguments are inputs called ``names``.

    Raises:
        TypeError: when the function does not return an expression or number.
    """
    result = function(*[var(n, is_bool=n in booleans) for n in names])
    if not isinstance(result, (Expr, bool, int, float, np.bool_, np.integer, np.floating)):
        raise TypeError(f"an elementwise function must return an expression of its arguments, got {type(result).__name__}")
    return _as_expr(result)


# ---------------------------------------------------------------------------------------------------------- derivatives


def is_const(e: Expr, value: float) -> bool:
    return bool(e.op == "const" and e.args[0] == value)


def _times(a: Expr, b: Expr) -> Expr:
    """a * b without multiplications by a literal one."""
    return b if is_const(a, 1) else a if is_const(b, 1) else apply("mul", a, b)


def _plus(a: Expr | None, b: Expr | None) -> Expr | None:
    return b if a is None else a if b is None else apply("add", a, b)


def differentiate(e: Expr, name: str, *, conjugate: bool = False) -> Expr | None:
    """de/dname, or None where it is identically zero. With ``conjugate``: de/d(conj name), the other Wirtinger derivative.

    Zeros are structural, never multiplied by anything, and a derivative of ``where`` is ``where`` of the derivatives, so
    that a branch not taken contributes no NaN.
    """
    known: dict[tuple[int, bool], Expr | None] = {}

    def below(node: Expr, conj: bool) -> list[tuple[Expr, bool]]:
        """The derivatives that this node's follows from."""
        if node.op in ("var", "const") or node.is_bool:
            return []
        if node.op == "conj":
            return [(node.args[0], not conj)]
        if node.op == "where":
            return [(a, conj) for a in node.args[1:]]
        partials = _PRIMITIVES[node.op].derivative
        if partials is None:
            raise TypeError(f"{node.op} has no derivative")
        return [(a, conj) for a, partial in zip(node.args, partials, strict=True) if partial is not None]

    def derive(node: Expr, conj: bool) -> Expr | None:
        if node.op == "var":
            return const(1.0) if node.args[0] == name and not conj else None
        if node.op == "const" or node.is_bool:
            return None
        if node.op == "where":
            inner = [known[id(a), conj] for a in node.args[1:]]
            if inner[0] is None and inner[1] is None:
                return None
            return apply("where", node.args[0], *[const(0.0) if d is None else d for d in inner])  # type: ignore[no-any-return]
        if node.op == "conj":
            inner_derivative = known[id(node.args[0]), not conj]
            return None if inner_derivative is None else apply("conj", inner_derivative)
        total: Expr | None = None
        for operand, partial in zip(node.args, _PRIMITIVES[node.op].derivative or (), strict=True):
            inner_derivative = None if partial is None else known[id(operand), conj]
            if inner_derivative is not None and partial is not None:
                total = _plus(total, _times(inner_derivative, _as_expr(partial(*node.args, node))))
        return total

    stack = [(e, conjugate)]
    while stack:  # no recursion: user expressions may be deep
        node, conj = stack[-1]
        waiting = [] if (id(node), conj) in known else [(a, c) for a, c in below(node, conj) if (id(a), c) not in known]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        if (id(node), conj) not in known:
            known[id(node), conj] = derive(node, conj)
    return known[id(e), conjugate]


def without_conj(e: Expr) -> Expr:
    """The same expression on reals, where conj is the identity."""
    return _rewrite(e, lambda node: node.args[0] if node.op == "conj" else node)


def substitute(e: Expr, values: Mapping[str, Expr]) -> Expr:
    """``e`` with inputs replaced by expressions."""
    return _rewrite(e, lambda node: values.get(node.args[0], node) if node.op == "var" else node)


def _rewrite(e: Expr, rule: Callable[[Expr], Expr]) -> Expr:
    known: dict[int, Expr] = {}
    stack = [e]
    while stack:
        node = stack[-1]
        operands = () if node.op in ("var", "const") else node.args
        waiting = [] if id(node) in known else [a for a in operands if id(a) not in known]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        if id(node) not in known:
            args = tuple(known[id(a)] for a in operands)
            same = all(a is b for a, b in zip(args, operands, strict=True))
            known[id(node)] = rule(node if same else Expr(node.op, args, node.is_bool))
    return known[id(e)]


def inputs_of(outputs: Sequence[Expr]) -> set[str]:
    """The names of the inputs that the expressions use."""
    found: set[str] = set()
    stack, seen = list(outputs), set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.op == "var":
            found.add(node.args[0])
        elif node.op != "const":
            stack.extend(node.args)
    return found


def vjp(e: Expr, name: str, cotangent: str, *, complex_valued: bool) -> Expr:
    """The vector-Jacobian product of ``e`` with an input called ``cotangent``, in PyTorch's convention for complex numbers.

    On reals ``g * de/dx``; on complex numbers ``g * conj(de/dx) + conj(g) * de/d(conj x)``
    (https://docs.pytorch.org/docs/stable/notes/autograd.html, complex numbers).
    """
    g = var(cotangent)
    if not complex_valued:
        partial = differentiate(without_conj(e), name)
        return const(0.0) if partial is None else _times(g, partial)
    straight, crossed = differentiate(e, name), differentiate(e, name, conjugate=True)
    first = None if straight is None else _times(g, apply("conj", straight))
    second = None if crossed is None else _times(apply("conj", g), crossed)
    total = _plus(first, second)
    return const(0.0) if total is None else total


# -------------------------------------------------------------------------------------------------------------- source


def emit(outputs: Sequence[Expr]) -> tuple[list[str], list[str]]:
    """Source statements that compute the outputs from variables named as the inputs: (lines, result names).

    Shared subexpressions are computed once. Literals are written ``T(...)``, the constructor of the dtype of the computation;
    primitives are written as calls of their names or as Python operators, the same for every device.
    """
    names: dict[tuple[Any, ...], str] = {}
    by_id: dict[int, str] = {}
    lines: list[str] = []

    def name_of(node: Expr) -> str:
        if node.op == "var":
            return str(node.args[0])
        if node.op == "const":
            value = node.args[0]
            if node.is_bool:
                return repr(value)
            return f"T({value!r})" if isinstance(value, int) or math.isfinite(value) else f"T({_special(value)})"
        args = [by_id[id(a)] for a in node.args]
        key = (node.op, *args)
        if key not in names:
            names[key] = f"t{len(names)}"
            lines.append(f"{names[key]} = {_PRIMITIVES[node.op].source.format(*args)}")
        return names[key]

    stack = list(reversed(outputs))
    while stack:  # no recursion: user expressions may be deep
        node = stack[-1]
        if id(node) in by_id:
            stack.pop()
            continue
        waiting = [] if node.op in ("var", "const") else [a for a in node.args if id(a) not in by_id]
        if waiting:
            stack.extend(reversed(waiting))
        else:
            by_id[id(node)] = name_of(node)
            stack.pop()
    return lines, [by_id[id(o)] for o in outputs]


def _special(value: float) -> str:
    return "NAN" if value != value else "INF" if value > 0 else "-INF"


# ---------------------------------------------------------------------------------------------------------- primitives

Partial = Callable[..., Any]  # (*operands, result) -> the partial derivative


class Primitive(NamedTuple):
    """One function of the field. ``derivative`` has one partial per operand (None: identically zero), or is None as a whole
    when the function has no derivative; ``boolean`` None means: as its last operands."""

    source: str
    numpy: Callable[..., Any]
    derivative: tuple[Partial | None, ...] | None
    boolean: bool | None = False


def _over_square(x: Any, a: Any, b: Any) -> Any:
    """x / (a^2 + b^2) without overflow, and 0 for 0 / 0."""
    r = E.hypot(a, b)
    return E.where(r == 0.0, 0.0, x / r / r)


_PRIMITIVES: dict[str, Primitive] = {
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
    "sign": Primitive("sign({0})", np.sign, (None,)),
    "copysign": Primitive("copysign({0}, {1})", np.copysign, (lambda a, b, y: E.where(a == 0.0, 0.0, E.where(E.signbit(a) == E.signbit(b), 1.0, -1.0)), None)),
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
