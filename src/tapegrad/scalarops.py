"""Operations given by one scalar expression: their specialised calls, fused backward kernels, and derivatives of any order.

``elementwise(name, expression)`` traces the expression; ``scalarcall`` runs it. The derivative is a second expression, run by a
fused kernel for all inputs that need a gradient; under ``create_graph`` it is itself such an operation, so its own derivative
follows from it.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from . import expr, registry
from .computation import Computation, has_complex_form
from .device import BACKENDS
from .expr import Expr
from .kernels.once import once
from .plan import ON_TENSORS, rebuild
from .primitives import E
from .public import public
from .registry import Op
from .scalarcall import specialised_call
from .tensor import Tensor


class ElementwiseOp(Op):
    """An op made of one scalar expression of its inputs.

    Attributes:
        expression: the traced expression.
        formulas: input name -> VJP as an expression of the cotangent, the inputs and ``out``; inputs left out have none.
        booleans: inputs that are truth values.
        labels: the inputs' names as users see them; ``inputs`` are those in generated code.
        cotangent: the name that the cotangent has in formulas.
        takes_numbers: runs on numbers alone, as in ``add(1, 2)``.
        of_complex: the function of complex numbers, where the expression is for real ones only.
        check: given the operands (tensors and numbers), raises for those the op is not defined for. Only the general path calls
            it, so it may refuse by dtype, and by the value of a number among integer tensors.
    """

    expression: Expr
    formulas: dict[str, Expr | None]
    booleans: tuple[str, ...]
    labels: tuple[str, ...]
    cotangent: str
    check: Callable[..., None] | None = None
    takes_numbers: bool = False
    of_complex: Callable[..., Any] | None = None

    def on_arrays(self, *arrays: Any, **params: Any) -> Any:
        """Run on bare arrays and numbers, without a tape."""
        return self.computation(*arrays)

    call: Callable[..., Any]
    computation: Computation

    @once
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
    offered: bool | None = None,
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
        offered: whether the op's call is a public function as it is; None: where the op is a method.
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
    record.setdefault("kinds", "bif" + "c" * has_complex_form(traced))
    op = _make(name, names, traced, formulas, tuple(booleans), dtype="bool" if traced.is_bool else dtype, **record)
    if "c" not in op.kinds and has_complex_form(traced):
        op.check = functools.partial(_refuse_complex, name)
    registry.register(op)
    op.call.__doc__ = _describe(op)
    return public(op)(op.call) if (op.method if offered is None else offered) else op.call


def _refuse_complex(name: str, *operands: Any) -> None:
    if any(isinstance(x, complex) or (isinstance(x, Tensor) and x.dtype.category == 3) for x in operands):
        raise TypeError(f"{name} is not implemented for complex numbers")


def _describe(op: ElementwiseOp) -> str:
    result = {
        "bool": "bool",
        "float": "of the input's dtype; integers become the default float",
        "promote": "of the promoted dtype" if len(op.inputs) > 1 else "of the input's dtype",
    }[op.dtype]
    lines = [f"``{op.expression!r}`` of each element.", "", f"The result is {result}."]
    if len(op.inputs) > 1:
        lines[2] += " Shapes broadcast; operands may be Python numbers."
    if not op.formulas:
        lines[2] += " It has no gradient."
    for point in op.edge_points:
        at, grads = (", ".join(map(str, values)) for values in (point.inputs, point.grads))
        lines.append(f"The gradient at {at} is {grads}.")
    lines += ["", "Raises:"]
    if "c" not in op.kinds:
        lines.append("    TypeError: for complex numbers.")
    lines.append("    TypeError: when an argument is no tensor or number." if len(op.inputs) > 1 else "    TypeError: when the argument is no tensor.")
    if len(op.inputs) > 1:
        lines.append("    RuntimeError: when shapes can't be broadcast.")
    return "\n".join(lines)


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
    labels: tuple[str, ...] = (),
    **record: Any,
) -> ElementwiseOp:
    op = ElementwiseOp(name, names, _forward, dtype=dtype, batch="elementwise", **record)
    op.labels = labels or names
    op.expression = traced
    op.booleans = booleans
    op.cotangent = next(c for c in itertools.chain("gh", (f"g{i}" for i in itertools.count())) if c not in names)
    op.formulas = {n: None for n in names if n not in booleans} if formulas is None else formulas
    op._derived, op._gradients = {}, {}
    op.computation = Computation(name, names, ([expr.without_conj(traced)], [traced]), booleans, dtype)
    op.call = specialised_call(op)
    return op


def _forward(B: Any, *arrays: Any) -> Any:
    raise NotImplementedError("an elementwise op runs through its generated call")  # pragma: no cover


# ------------------------------------------------------------------------------------------------------------- backward


class ElementwisePlan:
    """The fused backward of an op for one set of inputs that need a gradient."""

    __slots__ = ("_passes", "_summing", "backward", "computation", "name", "needs", "op", "saved")
    part = False

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
        self.backward = self.generate(summing=False)
        self._summing: SummingPlan | None = None

    @property
    def summing(self) -> SummingPlan:
        """The same for operands that were broadcast."""
        if self._summing is None:
            self._summing = SummingPlan(self)
        return self._summing

    def generate(self, summing: bool) -> Callable[[Any, Any], Any]:
        """``backward(entry, g)`` -> one gradient (array) per input, None for those not needed; ``summing``, each of its input's shape."""
        values = [f"v{i}" for i in range(len(self.saved))]  # not the inputs' names, which could clash with those used here
        saved = "".join(f"{v}, " for v in values)
        names = ", ".join(("g", *values))
        out = ["def backward(entry, g):"]
        if saved:
            out += [f"    {saved}= entry.saved"]
        outputs = self._passes.count(False)
        results = iter(["r"] if outputs == 1 else [f"r[{i}]" for i in range(outputs)])
        if outputs:
            out += [f"    r = fast({names})", "    if r is None:", f"        r = wide({names})", f"        if r is None: r = elsewhere({names})"]
            out += [f"        if r is None: r = general(({names},))"]
        passes = iter(self._passes)
        grads = [("None" if not need else "g" if next(passes) else next(results)) for need in self.needs]
        scope: dict[str, Any] = {}
        if self.computation is not None:
            fast = self.computation.fast
            scope = {"fast": fast.call, "wide": fast.wide, "general": self.computation.general}
            self.computation.used_by(scope)
        if summing:
            scope["BACKENDS"] = BACKENDS
            out += ["    sum_to = BACKENDS[g.__class__].sum_to", "    edges = entry.edges"]
            for i, need in enumerate(self.needs):
                if need:
                    out += [f"    d{i} = {grads[i]}; shape = edges[{i}].shape", f"    if d{i}.shape != shape: d{i} = sum_to(d{i}, shape)"]
                    grads[i] = f"d{i}"
        out += [f"    return ({', '.join(grads)},)"]
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
        return rebuild(self.saved, {n: i for i, n in enumerate(self.op.inputs)}, entry)


class SummingPlan:
    """The backward of an op on operands of several shapes: each gradient is summed to the shape of its input."""

    __slots__ = ("backward", "name", "op", "plan", "saved")
    part = False

    def __init__(self, plan: ElementwisePlan) -> None:
        self.plan = plan
        self.op, self.name, self.saved = plan.op, plan.name, plan.saved
        self.backward = plan.generate(summing=True)

    def backward_tensors(self, entry: Any, g: Tensor) -> list[Any]:
        """The same on tensors, which the tape records."""
        grads = self.plan.backward_tensors(entry, g)
        return [
            v if e is None or v._array.shape == e.shape else ON_TENSORS.sum_to_size(v, size=e.shape)
            for v, e in zip(grads, entry.edges, strict=True)
        ]

    def saved_tensors(self, entry: Any) -> list[Any]:
        """The saved values as tensors connected to the graph."""
        return self.plan.saved_tensors(entry)


def define(function: Callable[..., Any] | str, expression: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Make an elementwise function of your own from one scalar expression; its derivatives follow, to any order.

    ``softsign = tg.elementwise(lambda x: x / (1 + tg.E.abs(x)))``, or as a decorator, or with a name first. The function
    broadcasts, promotes and records as every other, and has its own arguments' names and defaults.

    >>> import tapegrad as tg
    >>> softsign = tg.elementwise(lambda x: x / (1 + tg.E.abs(x)))
    >>> x = tg.tensor([-1.0, 3.0], requires_grad=True)
    >>> softsign(x).sum().backward()
    >>> x.grad
    tensor([0.2500, 0.0625])

    Raises:
        TypeError: when the function does not return an expression of its arguments, or calls a function that is not in ``tg.E``.
        AttributeError: for a function that ``tg.E`` does not have.
    """
    if isinstance(function, str):
        name = function
        if expression is None:
            return functools.partial(define, name)
    else:
        expression, name = function, getattr(function, "__name__", "<lambda>")
    if not callable(expression):
        raise TypeError(f"elementwise() takes a function of scalars, got {type(expression).__name__}")
    name = name if name.isidentifier() else "elementwise"
    parameters = inspect.signature(expression).parameters.values()
    if not parameters or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise TypeError(f"{name}: an elementwise function needs one or more arguments, each with a name")
    labels = tuple(p.name for p in parameters)
    traced = _traced(name, expression, labels)
    safe = tuple(f"x{i}" for i in range(len(labels)))
    renamed = expr.substitute(traced, {n: expr.var(s) for n, s in zip(labels, safe, strict=True)})
    dtype = "bool" if traced.is_bool else "float"
    op = _make(name, safe, renamed, {} if traced.is_bool else None, (), dtype=dtype, labels=labels)
    op.call.__doc__ = inspect.getdoc(expression) or op.call.__doc__
    op.call.__defaults__ = tuple(p.default for p in parameters if p.default is not p.empty)
    return op.call


define.__name__ = define.__qualname__ = "elementwise"  # its public name


def _traced(name: str, expression: Callable[..., Any], labels: tuple[str, ...]) -> Expr:
    """The user's function as an expression; what can't be one is explained."""
    try:
        traced = expr.trace(expression, labels)
    except AttributeError as error:
        if error.obj is not E:
            raise
        raise AttributeError(f"{name}: tapegrad.E has no {error.name!r}; it has {_functions()}") from None
    except TypeError as error:
        if "Expr" not in str(error):
            raise
        raise TypeError(
            f"{name}: {error}; inside an elementwise function use tg.E.exp instead of math.exp, np.exp or tg.exp, and so on: tg.E has {_functions()}"
        ) from error
    if not expr.inputs_of([traced]):
        raise TypeError(f"{name}: an elementwise function must return an expression of its arguments, got the constant {traced!r}")
    return traced


def _functions() -> str:
    return ", ".join(sorted(n for n in vars(E) if not n.startswith("_")))
