"""The scalar expression language: what one element of an elementwise operation computes, and its derivative.

A function such as ``lambda x: x * E.sigmoid(x)`` called with :class:`Expr` arguments builds a directed acyclic graph; the same
function called with NumPy arrays or tensors computes. From the graph come kernel source for every device (:func:`emit`) and
derivatives of any order (:func:`differentiate`). A primitive is declared once, in ``primitives``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Partial = Callable[..., Any]  # (*operands, result) -> the partial derivative


class Primitive(NamedTuple):
    """One function of the field. ``derivative`` has one partial per operand (None: identically zero), or is None as a whole
    when the function has no derivative; ``boolean`` None means: as its last operands."""

    source: str
    numpy: Callable[..., Any]
    derivative: tuple[Partial | None, ...] | None
    boolean: bool | None = False


# Filled by ``primitives``.
PRIMITIVES: dict[str, Primitive] = {}


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
        spelled = PRIMITIVES[self.op].source
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
            primitive = PRIMITIVES[name]
            args = tuple(_as_expr(o) for o in operands)
            is_bool = primitive.boolean if primitive.boolean is not None else all(a.is_bool for a in args[-2:])
            return Expr(name, args, is_bool)
    for operand in operands:
        for kind in type(operand).__mro__[:-1]:
            if kind in TABLE:
                return TABLE[kind][name](*operands)
    with np.errstate(all="ignore"):
        return PRIMITIVES[name].numpy(*operands)


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
        partials = PRIMITIVES[node.op].derivative
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
        for operand, partial in zip(node.args, PRIMITIVES[node.op].derivative or (), strict=True):
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
            lines.append(f"{names[key]} = {PRIMITIVES[node.op].source.format(*args)}")
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
