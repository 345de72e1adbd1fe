"""The checker catches bugs: every mistake of promise 2, planted into ops, makes check_grads fail; the ops as they are pass."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tapegrad import dtypes, expr, scalarops, sweep
from tapegrad.expr import Expr
from tapegrad.modes import no_grad
from tapegrad.plan import ON_TENSORS
from tapegrad.registry import REGISTRY, Op
from tapegrad.scalarops import ElementwiseOp
from tapegrad.tensor import Tensor, wrap
from tapegrad.testing import GradientError, check_grads

Change = Callable[..., Any]


def values(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Well-conditioned points."""
    rng = np.random.default_rng(11)
    return [wrap(rng.uniform(0.5, 1.5, shape)).requires_grad_() for shape in shapes]


def planted(op: Op, target: str, change: Change) -> Op:
    """A copy of an op with ``change(K, right gradient, the formula's arguments by name)`` as the gradient of one input."""
    right = op.vjp[target]
    signature = inspect.signature(right)
    names = list(signature.parameters)[1:]

    def formula(K: Any, *args: Any) -> Any:
        return change(K, right(K, *args), dict(zip(names, args, strict=True)))

    formula.__signature__ = signature  # type: ignore[attr-defined]  # the tape asks it what to save
    return dataclasses.replace(op, vjp={**op.vjp, target: formula})


def planted_elementwise(op: ElementwiseOp, target: str, change: Callable[[Expr, ElementwiseOp], Expr]) -> ElementwiseOp:
    """The same for an elementwise op, whose gradients are expressions."""
    formulas: dict[str, Expr | None] = {n: op.formula(n, complex_valued=True) for n in op.formulas}
    right = formulas[target]
    assert right is not None
    formulas[target] = change(right, op)
    return scalarops._make(op.name, op.inputs, op.expression, formulas, op.booleans, dtype=op.dtype)


# ------------------------------------------------------------------------------------------------------ elementwise ops

ELEMENTWISE: list[tuple[str, str, list[tuple[int, ...]]]] = [
    ("tanh", "input", [(2, 3)]),
    ("exp", "input", [()]),
    ("log", "input", [(4,)]),
    ("gelu", "input", [(2, 3)]),
    ("mul", "input", [(2, 3), (3,)]),
    ("mul", "other", [(2, 3), (3,)]),
    ("div", "other", [(3,), (3,)]),
    ("pow", "exponent", [(3,), (3,)]),  # what broadcasts is in the rows of mul
    ("maximum", "input", [(3,), (3,)]),
    ("where", "other", [(3,), (3,)]),
]


def ignoring_upstream(e: Expr, op: ElementwiseOp) -> Expr:
    return expr.substitute(e, {op.cotangent: expr.const(1.0)})


ELEMENTWISE_MISTAKES: dict[str, Callable[[Expr, ElementwiseOp], Expr]] = {
    "a millionth too much": lambda e, op: e * (1 + 1e-6),
    "a millionth too little": lambda e, op: e * (1 - 1e-6),
    "upstream gradient ignored": ignoring_upstream,
    "upstream gradient squared": lambda e, op: e * expr.var(op.cotangent),
    "accumulated twice": lambda e, op: e + e,
    "sign": lambda e, op: -e,
    "zero": lambda e, op: e * 0.0,
}


def call_elementwise(op: ElementwiseOp, shapes: list[tuple[int, ...]]) -> tuple[Callable[..., Any], list[Tensor]]:
    if op.booleans:
        condition = wrap(np.array([True, False, False]))
        return lambda *xs: op.call(condition, *xs), values(*shapes)
    return op.call, values(*shapes)


# Each compiles kernels of its own: by day every op with every third mistake, so each mistake in some three ops; by night all.
PLANTED = [
    pytest.param(*row, mistake, id=f"{row[0]}-{row[1]}-{mistake}", marks=[] if (i + j) % 3 == 0 or mistake == "none" else [pytest.mark.nightly])
    for i, row in enumerate(ELEMENTWISE)
    for j, mistake in enumerate(["none", *ELEMENTWISE_MISTAKES])
]


@pytest.mark.parametrize(("name", "target", "shapes", "mistake"), PLANTED)
def test_elementwise(name: str, target: str, shapes: list[tuple[int, ...]], mistake: str) -> None:
    op = REGISTRY[name]
    assert isinstance(op, ElementwiseOp)
    change = ELEMENTWISE_MISTAKES.get(mistake, lambda e, op: e)
    fn, inputs = call_elementwise(planted_elementwise(op, target, change), shapes)
    if mistake == "none":
        check_grads(fn, inputs)
    else:
        with pytest.raises(GradientError, match="wrong"):
            check_grads(fn, inputs, order=1)


@pytest.mark.parametrize("name", ["sub", "div", "pow", "squared_error"])
def test_elementwise_with_arguments_swapped(name: str) -> None:
    op = REGISTRY[name]
    assert isinstance(op, ElementwiseOp)
    a, b = (op.formula(n, complex_valued=True) for n in op.inputs)
    swapped = scalarops._make(op.name, op.inputs, op.expression, dict(zip(op.inputs, (b, a), strict=True)), ())
    check_grads(op.call, values((3,), (3,)))
    with pytest.raises(GradientError, match="wrong"):
        check_grads(swapped.call, values((3,), (3,)), order=1)


# A slope of a millionth: alone, beside a value of one, beside a slope of one, and beside one in another input.
SMALL: dict[str, Callable[..., Any]] = {
    "alone": lambda fn, x: fn(x) * 1e-6,
    "beside a value": lambda fn, x: fn(x) * 1e-6 + 1.0,
    "beside a slope": lambda fn, x: ON_TENSORS.mul(fn(x), wrap(np.array([1e-6, 1e-6, 1e-6]))) + x * wrap(np.array([1.0, 0.0, 0.0])),
    "beside another input": lambda fn, x, y: fn(x) * 1e-6 + y * y,
}


@pytest.mark.parametrize("place", SMALL)
@pytest.mark.parametrize("name", ["tanh", "exp", "sigmoid", "square", "erf"])
def test_zero_where_the_slope_is_a_millionth(name: str, place: str) -> None:
    op = REGISTRY[name]
    assert isinstance(op, ElementwiseOp)
    zero = planted_elementwise(op, "input", lambda e, op: e * 0.0)
    inputs = values(*[(3,)] * (2 if place == "beside another input" else 1))
    check_grads(lambda *xs: SMALL[place](op.call, *xs), inputs, order=1)
    with pytest.raises(GradientError, match=r"[1-9] wrong"):
        check_grads(lambda *xs: SMALL[place](zero.call, *xs), inputs, order=1, allow_inconclusive=True)


@pytest.mark.parametrize(("name", "target"), [("matmul", "input"), ("matmul", "other"), ("softmax", "input"), ("mean", "input")])
def test_zero_in_an_op_with_a_kernel_of_its_own(name: str, target: str) -> None:
    params, inputs = STRUCTURED_CALLS[name]
    zero = planted(REGISTRY[name], target, lambda K, right, _: K.mul(right, 0.0))
    check_grads(lambda *xs: REGISTRY[name].call(*xs, **params) * 1e-6, inputs(), order=1)
    with pytest.raises(GradientError, match="wrong"):
        check_grads(lambda *xs: zero.call(*xs, **params) * 1e-6, inputs(), order=1)


# ------------------------------------------------------------------------------------------------------- structured ops

# Square where a transposition could hide otherwise.
STRUCTURED_CALLS: dict[str, tuple[dict[str, Any], Callable[[], list[Tensor]]]] = {
    "matmul": ({}, lambda: values((3, 3), (3, 3))),
    "linear": ({}, lambda: values((3, 3), (3, 3), (3,))),
    "sum": ({"axes": (0,), "keepdim": False}, lambda: values((3, 3))),
    "mean": ({"axes": (0, 1), "keepdim": False}, lambda: values((3, 3))),
    "var": ({"axes": (1,), "keepdim": False, "correction": 1}, lambda: values((3, 3))),
    "logsumexp": ({"axes": (0,), "keepdim": True}, lambda: values((3, 3))),
    "amax": ({"axes": (1,), "keepdim": False}, lambda: values((3, 3))),
    "cumsum": ({"dim": 0, "reverse": False}, lambda: values((3, 3))),
    "softmax": ({"dim": 1}, lambda: values((3, 3))),
    "log_softmax": ({"dim": 0}, lambda: values((3, 3))),
    "reshape": ({"shape": (9,)}, lambda: values((3, 3))),
    "permute": ({"dims": (1, 0)}, lambda: values((3, 3))),
    "expand": ({"size": (3, 3)}, lambda: values((3, 1))),
    "flip": ({"dims": (0,)}, lambda: values((3, 3))),
    "index": ({"index": (np.array([0, 2, 0]),)}, lambda: values((3, 3))),
}


def without_upstream(op: Op, target: str) -> Change:
    """The gradient for a cotangent of ones."""

    def change(K: Any, right: Any, named: dict[str, Any]) -> Any:
        ones = K.add(K.mul(named["g"], 0.0), 1.0)
        return op.vjp[target](K, *[ones if n == "g" else v for n, v in named.items()])

    return change


def transposed(K: Any, x: Any) -> Any:
    return K.permute(x, dims=tuple(reversed(range(len(x.shape)))))


STRUCTURED_MISTAKES: dict[str, Callable[[Op, str], Change]] = {
    "a millionth too much": lambda op, target: lambda K, right, _: K.mul(right, 1 + 1e-6),
    "upstream gradient ignored": without_upstream,
    "accumulated twice": lambda op, target: lambda K, right, _: K.add(right, right),
    "result transposed": lambda op, target: lambda K, right, _: transposed(K, right),
    "one entry": lambda op, target: lambda K, right, _: K.mul(right, one_off(right)),
}


def one_off(x: Any) -> Any:
    """Ones, but for the last element."""
    factors = np.ones(tuple(x.shape))
    factors.flat[-1] += 1e-6
    return wrap(factors) if isinstance(x, Tensor) else factors


def invisible(name: str, mistake: str, target: str) -> bool:
    """Whether the mistake leaves the gradient what it is."""
    if mistake == "result transposed":  # the gradient of a mean over everything is symmetric, a vector's is itself
        return name == "mean" or target == "bias"
    return False


# The checker sees wrong values; the tape itself refuses wrong shapes.
CAUGHT = (GradientError, RuntimeError)


@pytest.mark.parametrize("mistake", ["none", *STRUCTURED_MISTAKES])
@pytest.mark.parametrize("name", STRUCTURED_CALLS)
def test_structured(name: str, mistake: str) -> None:
    op = REGISTRY[name]
    params, inputs = STRUCTURED_CALLS[name]
    if mistake == "none":
        check_grads(lambda *xs: op.call(*xs, **params), inputs())
        return
    for target in op.vjp:
        wrong = planted(op, target, STRUCTURED_MISTAKES[mistake](op, target))
        if invisible(name, mistake, target):
            check_grads(lambda *xs, wrong=wrong: wrong.call(*xs, **params), inputs(), order=1)
        else:
            with pytest.raises(CAUGHT):
                check_grads(lambda *xs, wrong=wrong: wrong.call(*xs, **params), inputs(), order=1)


def mT(K: Any, x: Any) -> Any:
    return K.permute(x, dims=(1, 0))


def along(K: Any, g: Any, axis: int) -> Any:
    """A gradient of (3,) spread over (3, 3) along this axis."""
    return K.expand(K.reshape(g, shape=(1, 3) if axis == 0 else (3, 1)), size=(3, 3))


# name of the op -> how it is wrong -> the VJPs that are.
WRONG: dict[str, dict[str, dict[str, Change]]] = {
    "matmul": {
        "arguments swapped": {
            "input": lambda K, g, input: K.matmul(mT(K, input), g),
            "other": lambda K, g, other: K.matmul(g, mT(K, other)),
        },
        "operands swapped": {
            "input": lambda K, g, other: K.matmul(mT(K, other), g),
            "other": lambda K, g, input: K.matmul(mT(K, input), g),
        },
        "not transposed inside": {
            "input": lambda K, g, other: K.matmul(g, other),
            "other": lambda K, g, input: K.matmul(mT(K, input), g),
        },
    },
    "sum": {"wrong axis": {"input": lambda K, g: along(K, g, 1)}},
    "amax": {"wrong axis": {"input": lambda K, g, input, out: K.mul(along(K, g, 0), K.to(K.eq(input, along(K, out, 1)), dtype=dtypes.float64))}},
    "softmax": {
        "wrong axis": {"input": lambda K, g, out: K.softmax_backward(g, out, dim=0)},
        "without the sum": {"input": lambda K, g, out: K.mul(g, out)},
    },
    "log_softmax": {"wrong axis": {"input": lambda K, g, out: K.log_softmax_backward(g, out, dim=1)}},
    "cumsum": {
        "wrong axis": {"input": lambda K, g: K.cumsum(g, dim=1, reverse=True)},
        "wrong direction": {"input": lambda K, g: K.cumsum(g, dim=0, reverse=False)},
    },
    "flip": {"wrong axis": {"input": lambda K, g: K.flip(g, dims=(1,))}},
    "permute": {"not undone": {"input": lambda K, g: g}},
    "expand": {"wrong axis": {"input": lambda K, g: K.reshape(K.sum(g, axes=(0,), keepdim=False), shape=(3, 1))},
               "reduction forgotten": {"input": lambda K, g: g},
               "one row instead of the sum": {"input": lambda K, g: K.narrow(g, dim=1, start=0, length=1)}},
    "index": {"repeated places overwritten": {"input": lambda K, g: K.index_put(K.mul(g, 0.0), g, index=(np.array([0, 2, 0]),))}},
}  # fmt: skip


@pytest.mark.parametrize(("name", "mistake"), [(n, m) for n, mistakes in WRONG.items() for m in mistakes])
def test_formula(name: str, mistake: str) -> None:
    params, inputs = STRUCTURED_CALLS[name]
    wrong = dataclasses.replace(REGISTRY[name], vjp=WRONG[name][mistake])
    with pytest.raises(CAUGHT):
        check_grads(lambda *xs: wrong.call(*xs, **params), inputs(), order=1)


@pytest.mark.parametrize(("name", "target", "shapes"), [("matmul", "other", [(2, 3, 3), (3, 3)]), ("matmul", "input", [(3, 3), (2, 3, 3)])])
def test_reduction_over_batch_dimensions_forgotten(name: str, target: str, shapes: list[tuple[int, ...]]) -> None:
    vjp: dict[str, Change] = {
        "input": lambda K, g, other: K.matmul(g, K.permute(other, dims=(*range(len(other.shape) - 2), -1, -2))),
        "other": lambda K, g, input: K.matmul(K.permute(input, dims=(*range(len(input.shape) - 2), -1, -2)), g),
    }
    op = REGISTRY[name]
    check_grads(op.call, values(*shapes))
    with pytest.raises(RuntimeError, match=r"has shape \(2, 3, 3\).*mistake in the operation's VJP"):
        check_grads(dataclasses.replace(op, vjp={**op.vjp, target: vjp[target]}).call, values(*shapes), order=1)


# --------------------------------------------------------------------------------------------------------- in the engine


@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum"])
def test_reduction_over_broadcast_axes_forgotten_by_the_engine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    op = REGISTRY[name]
    check_grads(op.call, values((2, 3), (3,)))
    monkeypatch.setattr(scalarops.ElementwisePlan, "summing", property(lambda plan: plan))
    with pytest.raises(GradientError, match=r"has shape \(2, 3\)"):
        check_grads(op.call, values((2, 3), (3,)), order=1)


@pytest.mark.parametrize("mistake", ["twice", "overwritten"])
def test_accumulation_in_the_engine(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = sweep._Sweep.add

    def add(self: Any, edge: Any, value: Any) -> None:
        if edge not in self.pending:
            right(self, edge, value)
        elif mistake == "twice":
            right(self, edge, value)
            right(self, edge, value)
        else:
            self.pending[edge] = value

    check_grads(lambda x: x.exp() * x.sin(), values((3,)))
    monkeypatch.setattr(sweep._Sweep, "add", add)
    with pytest.raises(GradientError, match="wrong"):
        check_grads(lambda x: x.exp() * x.sin(), values((3,)), order=1)


# --------------------------------------------------------------------------------------------------- at second order only


def test_a_gradient_that_forgets_what_it_depends_on_is_wrong_at_second_order() -> None:
    def detached(K: Any, g: Any, out: Any) -> Any:
        with no_grad():
            slope = K.sub(1.0, K.mul(out, out)) if not isinstance(out, Tensor) else wrap(1.0 - out._array**2)
        return K.mul(g, slope)

    forgetful = dataclasses.replace(
        REGISTRY["clone"], name="tanh", forward=lambda B, x: np.tanh(x), vjp={"input": detached}, reference=None
    )
    check_grads(forgetful.call, values((3,)), order=1)
    with pytest.raises(GradientError, match="order 2"):
        check_grads(forgetful.call, values((3,)), order=2)


def test_a_gradient_that_is_constant_in_the_cotangent_is_wrong_at_second_order() -> None:
    def detached(K: Any, g: Any, input: Any) -> Any:
        return K.mul(K.mul(input, 2.0), wrap(g._array) if isinstance(g, Tensor) else g)

    forgetful = dataclasses.replace(
        REGISTRY["clone"], name="square", forward=lambda B, x: x * x, vjp={"input": detached}, reference=None
    )
    check_grads(forgetful.call, values((3,)), order=1)
    with pytest.raises(GradientError, match=r"order 2, gradient 0 with respect to cotangent 0"):
        check_grads(forgetful.call, values((3,)), order=2)
