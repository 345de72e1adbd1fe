"""Operations given by one scalar expression: their specialised calls, fused backward kernels, and derivatives of any order.

``elementwise(name, expression)`` traces the expression and generates, once, a call specialised for its number of inputs. On
contiguous tensors of one dtype that call goes straight to a native kernel (``kernels.cpu.call.Fast``); anything else takes
the general path, which broadcasts, promotes and strides. The derivative is a second expression, run by a fused kernel for all
inputs that need a gradient; under ``create_graph`` it is itself such an operation, so its own derivative follows from it.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import expr, registry
from .computation import NUMBERS, Computation
from .expr import Expr
from .graph import Entry
from .modes import local
from .plan import rebuild
from .public import public
from .registry import Op
from .tensor import TENSOR_TYPES, Storage, Tensor, init, tick

_MAX_WRITTEN_OUT = 4  # inputs: the sets of them that may need a gradient double with each


class ElementwiseOp(Op):
    """An op made of one scalar expression of its inputs.

    Attributes:
        expression: the traced expression.
        formulas: input name -> VJP as an expression of the cotangent, the inputs and ``out``; inputs left out have none.
        booleans: inputs that are truth values.
        cotangent: the name that the cotangent has in formulas.
        check: given the operands (tensors and numbers), raises for those the op is not defined for. Only the general path calls
            it, so it may refuse by dtype, and by the value of a number among integer tensors.
    """

    expression: Expr
    formulas: dict[str, Expr | None]
    booleans: tuple[str, ...]
    cotangent: str
    check: Callable[..., None] | None = None

    def on_arrays(self, *arrays: Any, **params: Any) -> Any:
        """Run on bare arrays and numbers, without a tape."""
        return self.computation(*arrays)

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        return self.call(*inputs)

    call: Callable[..., Any]
    computation: Computation

    @functools.cached_property
    def plans(self) -> dict[tuple[bool, ...], ElementwisePlan]:
        """A plan for every set of inputs that need a gradient, made when it is asked for."""
        return _Plans(self)

    def formula(self, name: str, complex_valued: bool) -> Expr:
        """The VJP with respect to an input: the one given, or derived from the expression."""
        key = (name, complex_valued)
        if key not in self._derived:
            given = self.formulas[name]
            if given is None:
                self._derived[key] = expr.vjp(self.expression, name, self.cotangent, complex_valued=complex_valued)
            else:
                self._derived[key] = given if complex_valued else expr.without_conj(given)
        return self._derived[key]

    def gradient_op(self, name: str, complex_valued: bool) -> ElementwiseOp:
        """The op that computes the VJP with respect to an input, from (cotangent, saved values...)."""
        key = (name, complex_valued)
        if key not in self._gradients:
            formula = self.formula(name, complex_valued)
            used = expr.inputs_of([formula])
            # the cotangent also where a derivative is a constant: it has the shape
            names = [n for n in (self.cotangent, *self.inputs, "out") if n in used or n == self.cotangent]
            # "out" would mean the gradient op's own result
            clean = ["result" if n == "out" else n for n in names]
            renamed = expr.substitute(formula, {"out": expr.var("result")})
            self._gradients[key] = _make(
                f"{self.name}_grad_{name}", tuple(clean), renamed, None, tuple(b for b in self.booleans if b in clean)
            )
            self._gradients[key].saved_names = tuple(names)
        return self._gradients[key]

    _derived: dict[tuple[str, bool], Expr]
    _gradients: dict[tuple[str, bool], ElementwiseOp]
    saved_names: tuple[str, ...]


class _Plans(dict[tuple[bool, ...], "ElementwisePlan"]):
    def __init__(self, op: ElementwiseOp) -> None:
        self._op = op

    def __missing__(self, needs: tuple[bool, ...]) -> ElementwisePlan:
        plan = self[needs] = ElementwisePlan(self._op, needs)
        return plan


def elementwise(
    name: str,
    expression: Callable[..., Any],
    vjp: dict[str, Callable[..., Any]] | None = None,
    *,
    booleans: Sequence[str] = (),
    dtype: str = "promote",
    **record: Any,
) -> Callable[..., Any]:
    """Declare an elementwise op, register it, and return the function that runs it.

    Args:
        name: the op's name.
        expression: ``lambda x, y: ...`` in the language of ``expr``; its argument names become the inputs' names.
        vjp: input name -> ``lambda g, ...`` of the cotangent, inputs and ``out``, by name. None derives all symbolically;
            ``{}`` declares an op without gradient.
        booleans: which inputs are truth values.
        dtype: "promote", "float" (integers become the default float) or "bool" (a truth value).
        record: the other fields of :class:`registry.Op`.
    """
    names = tuple(inspect.signature(expression).parameters)
    traced = expr.trace(expression, names, booleans)
    formulas: dict[str, Expr | None] | None = None
    if vjp is not None:
        formulas = {}
        for target, formula in vjp.items():
            arguments = tuple(inspect.signature(formula).parameters)
            formulas[target] = expr.trace(formula, arguments, booleans)
    elif traced.is_bool:
        formulas = {}
    op = _make(name, names, traced, formulas, tuple(booleans), dtype="bool" if traced.is_bool else dtype, **record)
    registry.register(op)
    return public(op)(op.call) if op.method else op.call


def elementwise_op(name: str) -> ElementwiseOp:
    """The record of a registered elementwise op."""
    op = registry.REGISTRY[name]
    assert isinstance(op, ElementwiseOp)
    return op


def _make(
    name: str,
    names: tuple[str, ...],
    traced: Expr,
    formulas: dict[str, Expr | None] | None,
    booleans: tuple[str, ...],
    dtype: str = "promote",
    **record: Any,
) -> ElementwiseOp:
    op = ElementwiseOp(name, names, _forward, dtype=dtype, batch="elementwise", **record)
    op.expression = traced
    op.booleans = booleans
    op.cotangent = next(c for c in itertools.chain("gh", (f"g{i}" for i in itertools.count())) if c not in names)
    op.formulas = {n: None for n in names if n not in booleans} if formulas is None else formulas
    op._derived, op._gradients = {}, {}
    op.computation = Computation(name, names, ([expr.without_conj(traced)], [traced]), booleans, dtype)
    op.call = _generate_call(op)
    return op


def _forward(B: Any, *arrays: Any) -> Any:
    raise NotImplementedError("an elementwise op runs through its generated call")  # pragma: no cover


# -------------------------------------------------------------------------------------------------------------- forward


def _generate_call(op: ElementwiseOp) -> Callable[..., Any]:
    """The specialised call: arity, the conditions of recording and what each case saves are written out."""
    n = len(op.inputs)
    names = list(op.inputs)
    out = [f"def {op.name}({', '.join(names)}):", "    flags = local.flags"]
    general = f"general(op, ({', '.join(names)},))"
    out += [f"    if flags > 1: return {general}"]
    for i, x in enumerate(names):
        out += [f"    c = {x}.__class__", "    if c in TENSOR_TYPES:", f"        a{i} = {x}._array; e{i} = {x}._entry; s{i} = {x}._storage"]
        if n > 1 and x not in op.booleans:
            out += ["    elif c is float or c is int:", f"        a{i} = {x} if c is float else as_float({x}); e{i} = s{i} = None"]
        out += [f"    else: return {general}"]
    arrays = ", ".join(f"a{i}" for i in range(n))
    out += [f"    r = fast({arrays})", f"    if r is None: return {general}"]
    out += ["    o = new(Tensor); o._array = r; o._grad = None; o._storage = s = Storage(); o._base = None"]
    scope: dict[str, Any] = {
        "__name__": "tapegrad.ops",
        "local": local,
        "op": op,
        "general": general_call,
        "TENSOR_TYPES": TENSOR_TYPES,
        "Tensor": Tensor,
        "Storage": Storage,
        "new": Tensor.__new__,
        "tick": tick,
        "Entry": Entry,
        "fast": op.computation.fast.call,
        "as_float": as_float,
        "record": record_elementwise,
    }
    tracked = [i for i, x in enumerate(names) if x in op.formulas]
    if tracked:
        out += [f"    if flags or ({' and '.join(f'e{i} is None' for i in tracked)}):", "        o._entry = None; return o"]
        if len(tracked) > _MAX_WRITTEN_OUT:
            out += [f"    o._entry = None; record(op, ({', '.join(names)},), ({arrays},), o); return o"]
            choices = []
        else:
            choices = [(False, True) if i in tracked else (False,) for i in range(n)]
    if tracked and choices:
        out += ["    e = o._entry = new(Entry); e.seq = tick(); e.shape = r.shape; e.dtype = r.dtype; e.extra = None"]
        cases = sorted((needs for needs in itertools.product(*choices) if any(needs)), key=sum, reverse=True)
        for k, needs in enumerate(cases):
            plan = op.plans[needs]
            scope[f"plan{k}"] = plan
            test = " and ".join(f"e{i} is not None" for i in range(n) if needs[i])
            head = "else:" if k == len(cases) - 1 and len(tracked) == 1 else f"{'if' if k == 0 else 'elif'} {test}:"
            values = "".join("r, " if v == "out" else f"a{names.index(v)}, " for v in plan.saved)
            cells = "".join("s, " if v == "out" else f"s{names.index(v)}, " for v in plan.saved)
            edges = "".join(f"e{i}, " if needs[i] else "None, " for i in range(n))
            out += [f"    {head} e.op = plan{k}; e.edges = ({edges}); e.saved = ({values}); e.cells = ({cells})"]
        if len(tracked) == 1 and len(cases) == 1:
            out[-1] = out[-1].replace("    else: ", "    ").replace(f"    if {test}: ", "    ")
    elif not tracked:
        out += ["    o._entry = None"]
    out += ["    return o"]
    source = "\n".join(out) + "\n"
    file = f"<tapegrad op {op.name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), scope)
    call: Callable[..., Any] = scope[op.name]
    call.__module__ = "tapegrad"
    call.__doc__ = f"Elementwise ``{op.expression!r}``."
    return call


def as_float(value: float) -> Any:
    """An integer operand for the fast path: exact as a float64, or an object that the fast path refuses."""
    return float(value) if -(2**53) <= value <= 2**53 else value


def general_call(op: ElementwiseOp, operands: tuple[Any, ...]) -> Tensor:
    """The path for everything the fast one refuses: scalars, mixed dtypes, broadcasting, strides, listeners."""
    inputs = _operands(op, operands)
    arrays = tuple(x._array if isinstance(x, Tensor) else x for x in inputs)
    result = op.computation.general(arrays)
    output = init(Tensor.__new__(Tensor), result)
    if local.flags & 1 == 0 and op.formulas:
        record_elementwise(op, inputs, arrays, output)
    if local.flags > 1:
        registry.tell(op, inputs, {}, (output,))
    return output


def _operands(op: ElementwiseOp, operands: Sequence[Any]) -> tuple[Any, ...]:
    inputs: list[Any] = []
    for name, value in zip(op.inputs, operands, strict=True):
        if isinstance(value, np.generic):
            value = value.item()
        if value.__class__ in NUMBERS:
            inputs.append(value)
        elif isinstance(value, NUMBERS):  # an IntEnum, say
            inputs.append(next(kind for kind in NUMBERS if isinstance(value, kind))(value))  # type: ignore[arg-type]
        else:
            if isinstance(value, np.ndarray) and value.__class__ is not np.ndarray:  # a matrix multiplies in its own way
                value = np.asarray(value)
            inputs.append(registry.as_tensor_input(value, op.name, name))
    if not any(isinstance(x, Tensor) for x in inputs):
        raise TypeError(f"{op.name}(): argument {op.inputs[0]!r} must be a Tensor, not {type(operands[0]).__name__}")
    registry.check_devices(op.name, inputs)
    if op.check is not None:
        op.check(*inputs)
    return tuple(inputs)


def record_elementwise(op: ElementwiseOp, inputs: Sequence[Any], arrays: Sequence[Any], output: Tensor) -> None:
    """Record an elementwise op that ran on the general path."""
    edges = [
        x._entry if isinstance(x, Tensor) and name in op.formulas and registry.differentiable(x._array) else None
        for name, x in zip(op.inputs, inputs, strict=True)
    ]
    result = output._array
    if not any(e is not None for e in edges) or not registry.differentiable(result):
        return
    plan = op.plans[tuple(e is not None for e in edges)]
    entry = Entry.__new__(Entry)
    entry.seq = tick()
    entry.op = plan
    entry.edges = tuple(edges)
    at = {name: i for i, name in enumerate(op.inputs)}
    entry.saved = tuple(result if n == "out" else arrays[at[n]] for n in plan.saved)
    entry.cells = tuple(
        output._storage if n == "out" else x._storage if isinstance(x := inputs[at[n]], Tensor) else None for n in plan.saved
    )
    entry.shape, entry.dtype, entry.extra = result.shape, result.dtype, None
    fix = tuple(
        None if e is None or (e.shape == result.shape and e.dtype == result.dtype) else (e.shape, e.dtype) for e in edges
    )
    if any(fix):
        entry.more().fix = fix
    if local.flags > 1:
        registry.annotate(entry)
    output._entry = entry


# ------------------------------------------------------------------------------------------------------------- backward


class ElementwisePlan:
    """The fused backward of an op for one set of inputs that need a gradient."""

    __slots__ = ("_passes", "backward", "computation", "name", "needs", "op", "saved")

    def __init__(self, op: ElementwiseOp, needs: tuple[bool, ...]) -> None:
        self.op = op
        self.name = op.name
        self.needs = needs
        formulas = [op.formula(n, complex_valued=True) for n, need in zip(op.inputs, needs, strict=True) if need]
        used = expr.inputs_of(formulas)
        self.saved = tuple(n for n in (*op.inputs, "out") if n in used)
        # a VJP that is the cotangent itself needs no kernel
        self._passes = tuple(f.op == "var" and f.args[0] == op.cotangent for f in formulas)
        targets = [n for n, need in zip(op.inputs, needs, strict=True) if need]
        computed = [n for n, passes in zip(targets, self._passes, strict=True) if not passes]
        self.computation: Computation | None = None
        if computed:
            outputs = ([op.formula(n, False) for n in computed], [op.formula(n, True) for n in computed])
            self.computation = Computation(f"backward of {op.name}", (op.cotangent, *self.saved), outputs, op.booleans, "promote")
        self.backward = self._generate(len(computed))

    def _generate(self, outputs: int) -> Callable[[Any, Any], Any]:
        """``backward(entry, g)`` -> one gradient (array) per input, None for those not needed."""
        saved = "".join(f"{n}, " for n in self.saved)
        names = ", ".join((self.op.cotangent, *self.saved))
        out = [f"def backward(entry, {self.op.cotangent}):"]
        if saved:
            out += [f"    {saved}= entry.saved"]
        results = iter(["r"] if outputs == 1 else [f"r[{i}]" for i in range(outputs)])
        if outputs:
            out += [f"    r = fast({names})", f"    if r is None: r = general(({names},))"]
        passes = iter(self._passes)
        grads = [("None" if not need else self.op.cotangent if next(passes) else next(results)) for need in self.needs]
        out += [f"    return ({', '.join(grads)},)"]
        scope: dict[str, Any] = {}
        if self.computation is not None:
            scope = {"fast": self.computation.fast.call, "general": self.computation.general}
        exec(compile("\n".join(out), f"<tapegrad backward of {self.name}>", "exec"), scope)
        backward: Callable[[Any, Any], Any] = scope["backward"]
        return backward

    def backward_tensors(self, entry: Any, g: Tensor) -> list[Any]:
        """The same on tensors: each gradient by its own elementwise op, which the tape records."""
        values = dict(zip(self.saved, self.saved_tensors(entry), strict=True))
        values[self.op.cotangent] = g
        grads: list[Any] = []
        passes = iter(self._passes)
        for name, need in zip(self.op.inputs, self.needs, strict=True):
            if not need:
                grads.append(None)
            elif next(passes):
                grads.append(g)
            else:
                gradient = self.op.gradient_op(name, entry.dtype.kind == "c")
                operands = [values[n] for n in gradient.saved_names]
                grads.append(gradient.call(*operands))
        return grads

    def saved_tensors(self, entry: Any) -> list[Any]:
        """The saved values as tensors connected to the graph."""
        return rebuild(self.saved, {n: i for i, n in enumerate(self.op.inputs)}, entry, entry)


def define(function: Callable[..., Any] | str, expression: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Make an elementwise function of your own from one scalar expression; its derivatives follow, to any order.

    ``softsign = tg.elementwise(lambda x: x / (1 + E.abs(x)))``, or as a decorator, or with a name first. The function
    broadcasts, promotes and records as every other.

    >>> import tapegrad as tg
    >>> softsign = define(lambda x: x / (1 + tg.E.abs(x)))
    >>> x = tg.tensor([-1.0, 3.0], requires_grad=True)
    >>> softsign(x).sum().backward()
    >>> x.grad
    tensor([0.2500, 0.0625])

    Raises:
        TypeError: when the function does not return an expression of its arguments.
    """
    if isinstance(function, str):
        name = function
        if expression is None:
            return functools.partial(define, name)
    else:
        expression, name = function, getattr(function, "__name__", "<lambda>")
    name = name if name.isidentifier() else "elementwise"
    names = tuple(inspect.signature(expression).parameters)
    traced = expr.trace(expression, names)
    safe = tuple(f"x{i}" for i in range(len(names)))
    renamed = expr.substitute(traced, {n: expr.var(s) for n, s in zip(names, safe, strict=True)})
    op = _make(name, safe, renamed, {} if traced.is_bool else None, (), dtype="bool" if traced.is_bool else "float")
    op.call.__doc__ = inspect.getdoc(expression) or op.call.__doc__
    return op.call
