"""Every op x sample x dtype x layout: values against an independent reference, gradients against numerical ones."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from op_composites import composite_cases
from op_matrix import (
    EPS,
    NO_GRADIENT,
    NO_NUMERIC_GRADIENT,
    NO_SAMPLES,
    Case,
    assert_close,
    expected_dtype,
    function_cases,
    is_primitive,
    op_cases,
    widened,
)

import tapegrad as tg
from tapegrad import autograd, dtypes
from tapegrad.expr import Expr
from tapegrad.public import FUNCTIONS
from tapegrad.registry import REGISTRY, Op
from tapegrad.samples import EdgePoint, ErrorInput
from tapegrad.scalarops import ElementwiseOp
from tapegrad.tensor import Tensor, wrap
from tapegrad.testing import check_grads
from tapegrad.testing.layouts import LAYOUTS

OPS, COMPOSITES = op_cases(), composite_cases() + function_cases()
CASES = OPS + COMPOSITES
GRADIENTS = [c for c in CASES if any(c.gradient) and (c.op is None or c.op.name not in NO_NUMERIC_GRADIENT)]
DIFFERENTIABLE = [c for c in GRADIENTS if "f" in c.kinds]
FLOATS = ("float32", "float64")
KIND = {d.name: "bifc"[d.category] for d in dtypes.ALL}

# What runs by day is a choice: with an empty cache a case costs its kernels, 0.1 s each, and many cases differ only in text that
# all kernels share. The nightly tests below run the full product.

# Made of ops, and checked to second order all the same: writes, indexing, several ops on one input, structured losses.
SECOND_ORDER = {
    "setitem basic", "setitem list", "in place on a view", "fill a view", "copy_", "index mixed", "diamond", "normalised",
    "logsumexp large", "mul_", "same operand twice",
}  # fmt: skip
# Complex numbers go to second order through these; the rules that derive the others' formulas are the same.
COMPLEX_SECOND_ORDER = {"mul", "div", "exp", "log", "tanh", "sqrt", "sin", "matmul"}
# Elementwise ops that run in every dtype and with cotangents in every layout; what converts and walks is shared. (Others: one of a kind.)
EVERY_KIND = {"add", "sub", "mul", "div", "neg", "abs", "exp", "tanh", "maximum", "where", "eq", "pow"}


def cases(selected: Sequence[Case], daily: Callable[[Case], bool] = lambda case: True) -> Any:
    """Parametrize by case; those that are not ``daily`` are nightly."""
    made = [pytest.param(c, id=c.name, marks=[] if daily(c) else [pytest.mark.nightly]) for c in selected]
    return pytest.mark.parametrize("case", made)


def in_layouts(selected: Sequence[Case], layouts: Sequence[str], daily: Callable[[Case, str], bool]) -> Any:
    """Parametrize by case and layout."""
    pairs = [(c, layout) for c in selected for layout in layouts]
    made = [pytest.param(*p, id=f"{p[0].name}-{p[1]}", marks=[] if daily(*p) else [pytest.mark.nightly]) for p in pairs]
    return pytest.mark.parametrize(("case", "layout"), made)


def is_first(case: Case) -> bool:
    """The first sample of an op."""
    return case.op is not None and case.number == 0


def is_elementwise(case: Case) -> bool:
    return isinstance(case.op, ElementwiseOp)


def is_composite(case: Case) -> bool:
    """The first sample of a public function that is not one op's, with samples of its own."""
    return case.function is not None and case.function.op is None and case.number == 0


def listed(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]


def run(case: Case, arrays: Sequence[Any], what: str, *, to_float: bool = False) -> list[Tensor]:
    """Run the case on these arrays and compare with its reference; nothing may be modified or aliased."""
    kept = [a.copy() for a in arrays]
    results = listed(case.fn(*case.tensors(arrays, requires_grad=False)))
    for a, k in zip(arrays, kept, strict=True):
        assert a.tobytes() == k.tobytes(), f"{what}: an input was modified"
    with np.errstate(all="ignore"):
        expected = case.reference(*[widened(a, to_float) for a in arrays])
    for y, e in zip(results, expected if isinstance(expected, tuple) else (expected,), strict=True):
        eps = EPS.get(y.dtype.name, 0.0)
        if case.op is None and any(a.dtype == np.float32 for a in arrays):
            eps = EPS["float32"]
        assert_close(y._array, e, eps, what, tight=is_primitive(case))
    for a, y in itertools.product(arrays, results):
        if case.op is not None and not case.op.view:
            assert not np.shares_memory(a, y._array), f"{what}: the result shares memory with an input"
    for y, z in itertools.combinations(results, 2):
        assert not np.shares_memory(y._array, z._array), f"{what}: two results share memory"
    return results


# --------------------------------------------------------------------------------------------------------------- values


FLOATING = [c for c in CASES if "f" in c.kinds]


def value_layouts(case: Case, layout: str) -> bool:
    """Ops: every layout of the first sample. What is made of ops: transposed."""
    return layout == "contiguous" or (case.number == 0 and (case.op is not None or layout == "transposed"))


@in_layouts(FLOATING, LAYOUTS, value_layouts)
def test_values(case: Case, layout: str) -> None:
    check_values(case, "float64", layout)


@in_layouts(FLOATING, LAYOUTS, lambda case, layout: layout == "contiguous" and case.op is not None and case.number < 2)
def test_float32_values(case: Case, layout: str) -> None:
    check_values(case, "float32", layout)


def check_values(case: Case, dtype: str, layout: str) -> None:
    arrays = case.arrays(dtype, layout=layout)
    to_float = case.op is not None and case.op.dtype == "float" and dtype not in FLOATS
    results = run(case, arrays, f"{case.name} {dtype} {layout}", to_float=to_float)
    if case.op is not None:
        assert results[0].dtype is expected_dtype(case, arrays)


def dtype_by_day(case: Case, dtype: str) -> bool:
    """One dtype of a kind, or two where they are computed in different ways; of most elementwise ops one fewer."""
    some = ("bool", "int64", "float16", "complex64")
    both = (*some, "uint8", "bfloat16")
    return is_first(case) and dtype in (some if is_elementwise(case) and case.op is not None and case.op.name not in EVERY_KIND else both)


OTHERS = [(c, d) for c in OPS for d in KIND if d not in FLOATS and KIND[d] in c.kinds]


@pytest.mark.parametrize(
    ("case", "dtype"),
    [pytest.param(c, d, id=f"{c.name}-{d}", marks=[] if dtype_by_day(c, d) else [pytest.mark.nightly]) for c, d in OTHERS],
)
def test_values_of_other_dtypes(case: Case, dtype: str) -> None:
    check_values(case, dtype, "transposed")


REAL_ONLY = [c for c in OPS if isinstance(c.op, ElementwiseOp) and "c" not in c.kinds and c.op.of_complex is None and c.name.endswith("-0")]


@cases(REAL_ONLY)
def test_complex_numbers_are_refused_where_they_mean_nothing(case: Case) -> None:
    assert case.op is not None
    with pytest.raises(TypeError, match=f"{case.op.name} is not implemented for .*complex"):
        case.fn(*case.tensors(case.arrays(np.complex64), requires_grad=False))


# ------------------------------------------------------------------------------------------------------------ gradients


def cotangents(case: Case) -> int:
    """Random cotangents, each in another layout, and so with kernels of its own; those of elementwise ops differ in one line only."""
    if case.op is None or (is_elementwise(case) and not (is_first(case) and case.op.name in EVERY_KIND)):
        return 1
    return 3


@cases(DIFFERENTIABLE)
def test_gradients(case: Case) -> None:
    check_grads(case.fn, case.tensors(case.arrays()), order=1, cotangents=cotangents(case))


@cases(DIFFERENTIABLE, lambda case: is_first(case) or is_composite(case) or case.name in SECOND_ORDER)
def test_gradients_of_second_order(case: Case) -> None:
    check_grads(case.fn, case.tensors(case.arrays()), order=2, cotangents=1)


def gradient_layouts(case: Case, layout: str) -> bool:
    """Of elementwise ops the layouts that have kernels of their own: any stride, and one value repeated."""
    return value_layouts(case, layout) and (not is_elementwise(case) or layout in ("transposed", "expanded"))


@in_layouts(DIFFERENTIABLE, LAYOUTS[1:], gradient_layouts)
def test_gradients_in_every_layout(case: Case, layout: str) -> None:
    arrays = case.arrays(layout=layout)
    if layout == "expanded" and not case.smooth:
        assert_no_matter_of_layout(case, arrays, layout)
    else:
        check_grads(case.fn, case.tensors(arrays), order=1, cotangents=1)


def assert_no_matter_of_layout(case: Case, arrays: Sequence[Any], layout: str) -> None:
    """At ties the gradient is a convention, but not one of layouts."""
    gradients = [vjp(case, [order(a) for a in arrays]) for order in (np.asarray, np.copy)]
    for a, b in zip(*gradients, strict=True):
        assert_close(a, b, EPS["float64"], f"{case.name} {layout}")


def vjp(case: Case, arrays: Sequence[Any], *, create_graph: bool = False) -> list[Any]:
    """The gradients for fixed random cotangents, in float64 precision or the arrays' own."""
    inputs = case.tensors(arrays)
    outputs = [y for y in listed(case.fn(*inputs)) if y.requires_grad]
    rng = np.random.default_rng(5)
    seeds = [wrap(np.asarray(rng.uniform(0.5, 1.5, y._array.shape).astype(np.float32), y._array.dtype)) for y in outputs]
    found = autograd.grad(outputs, [x for x in inputs if x.requires_grad], seeds, create_graph=create_graph, allow_unused=True)
    return [None if g is None else g._array for g in found]


@cases(DIFFERENTIABLE, is_first)
def test_float32_gradients_against_float64(case: Case) -> None:
    arrays = case.arrays(np.float32)
    wide = vjp(case, [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays])
    for narrow, exact, i in zip(vjp(case, arrays), wide, itertools.count()):
        assert narrow.dtype == np.float32
        scale = np.max(np.abs(exact), initial=0.0)
        wrong = np.abs(narrow - exact) > 1e-5 * np.abs(exact) + 1e-6 * scale
        assert narrow.shape == exact.shape
        assert not wrong.any(), f"{case.name}: gradient {i}: {narrow[wrong]} should be {exact[wrong]}"


# pow's derivative for the exponent compares it with 0, which complex numbers can't be.
COMPLEX = [c for c in GRADIENTS if c.op is not None and "c" in c.kinds and c.op.name != "pow"]


@cases(COMPLEX, is_first)
def test_complex_gradients(case: Case) -> None:
    second = case.op is not None and case.op.name in COMPLEX_SECOND_ORDER
    check_grads(case.fn, case.tensors(case.arrays(np.complex128)), order=2 if second else 1, cotangents=1)


@pytest.mark.nightly
@cases(COMPLEX)
def test_complex_gradients_of_second_order(case: Case) -> None:
    check_grads(case.fn, case.tensors(case.arrays(np.complex128)), order=2)


# On single numbers. Derivatives of pow and div, which take long to compile, are among the nightly ones.
THIRD_ORDER = {"tanh", "exp", "sigmoid", "gelu", "sin", "erf"}
THIRD = [c for c in OPS if c.op is not None and c.op.name in THIRD_ORDER and c.inputs[0].shape == ()]


@cases(THIRD)
def test_gradients_of_third_order(case: Case) -> None:
    check_grads(case.fn, case.tensors(case.arrays()), order=3, cotangents=1)


@pytest.mark.nightly
@pytest.mark.parametrize("layout", LAYOUTS)
@cases(DIFFERENTIABLE)
def test_second_order_in_every_layout(case: Case, layout: str) -> None:
    for seed in range(1, 5):
        arrays = case.arrays(layout=layout, seed=seed)
        if layout == "expanded" and not case.smooth:
            assert_no_matter_of_layout(case, arrays, layout)
        else:
            check_grads(case.fn, case.tensors(arrays), order=2, seed=seed)


@pytest.mark.nightly
@cases([c for c in OPS if isinstance(c.op, ElementwiseOp) and any(c.gradient)])
def test_third_order_of_every_elementwise_op(case: Case) -> None:
    check_grads(case.fn, case.tensors(case.arrays()), order=3)


# ----------------------------------------------------------------------------------------------- conventions and mistakes

POINTS = [(op, k) for op in REGISTRY.values() for k in range(len(op.edge_points))]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("op", "k"), POINTS, ids=[f"{op.name}-{k}" for op, k in POINTS])
def test_published_gradient_at_edge_points(op: Op, k: int, dtype: str) -> None:
    point: EdgePoint = op.edge_points[k]
    for create_graph in (False, True):
        inputs = [tg.tensor(x, dtype=dtypes.to_dtype(dtype), requires_grad=True) for x in point.inputs]
        out = listed(op.call(*inputs, **point.params))[0]
        found = autograd.grad(out, inputs, tg.ones_like(out), create_graph=create_graph)
        for g, expected in zip(found, point.grads, strict=True):
            assert g is not None
            np.testing.assert_array_equal(g.detach().numpy(), np.asarray(expected, dtype))


def test_the_padding_row_of_an_embedding_gets_no_gradient() -> None:
    weight = tg.ones(5, 3, requires_grad=True)
    tg.nn.functional.embedding(tg.tensor([1, 2, 2, 1]), weight, padding_idx=2).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0.0] * 3, [2.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3]


def test_double_where_at_the_edge() -> None:
    def unguarded(x: Tensor) -> Tensor:
        return tg.where(x > 0, x.sqrt(), 0.0)

    def guarded(x: Tensor) -> Tensor:
        return tg.where(x > 0, tg.where(x > 0, x, 1.0).sqrt(), 0.0)

    for fn, expected in ((unguarded, [np.nan, 0.25]), (guarded, [0.0, 0.25])):
        x = tg.tensor([0.0, 4.0], requires_grad=True)
        np.testing.assert_array_equal(autograd.grad(fn(x).sum(), x)[0].numpy(), np.float32(expected))
    x = tg.tensor([0.0], requires_grad=True)
    with autograd.set_detect_anomaly(True), pytest.raises(RuntimeError, match="guard the argument too: where"):
        unguarded(x).sum().backward()


# Composites at points where the gradient is a convention.
EDGES: dict[str, tuple[Any, list[float], list[float]]] = {
    "std of a constant": (lambda x: x.std(), [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    "max of ties": (lambda x: x.max(), [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
    "min of ties": (lambda x: x.min(), [1.0, 3.0, 1.0], [0.5, 0.0, 0.5]),
    "max of ties along a dimension": (lambda x: x.max(0).values, [1.0, 3.0, 3.0], [0.0, 1.0, 0.0]),
    "min of ties along a dimension": (lambda x: x.min(0).values, [1.0, 3.0, 1.0], [1.0, 0.0, 0.0]),
    "clamp at both bounds": (lambda x: x.clamp(-1.0, 1.0).sum(), [-1.0, 0.0, 1.0], [1.0, 1.0, 1.0]),
    "x ** 2 at 0": (lambda x: (x**2).sum(), [0.0, -1.0], [0.0, -2.0]),
    "x ** 0 at 0": (lambda x: (x**0).sum(), [0.0, 2.0], [0.0, 0.0]),
    "norm of zeros": (lambda x: x.norm(), [0.0, 0.0], [0.0, 0.0]),
    "std of a constant along a dimension": (lambda x: x.std(0), [2.0, 2.0], [0.0, 0.0]),
    "prod of all, one zero": (lambda x: x.prod(), [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
    "distance 0": (lambda x: tg.cdist(x.reshape(1, 2), tg.zeros(1, 2)).sum(), [0.0, 0.0], [0.0, 0.0]),
    "median of ties": (lambda x: x.median(), [1.0, 3.0, 1.0, 0.0], [0.5, 0.0, 0.5, 0.0]),
    "median of ties along a dimension": (lambda x: x.median(0).values, [1.0, 3.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]),
    "nansum of a NaN": (lambda x: x.nansum(), [1.0, np.nan], [1.0, 0.0]),
    "nanmean of a NaN": (lambda x: x.nanmean(), [1.0, np.nan, 2.0], [0.5, 0.0, 0.5]),
    "cummax of ties": (lambda x: x.cummax(0).values.sum(), [1.0, 1.0, 0.0], [1.0, 2.0, 0.0]),
    "softmax of infinities": (lambda x: x.softmax(0)[0], [0.0, -np.inf], [0.0, 0.0]),
}


@pytest.mark.parametrize("name", EDGES)
def test_published_gradient_of_composites(name: str) -> None:
    fn, point, expected = EDGES[name]
    for create_graph in (False, True):
        x = tg.tensor(point, requires_grad=True)
        np.testing.assert_array_equal(autograd.grad(fn(x), x, create_graph=create_graph)[0].detach().numpy(), np.float32(expected))


MISTAKES = [(op.name, e) for op in REGISTRY.values() for e in op.error_inputs]
MISTAKES += [(f.name, e) for f in FUNCTIONS.values() for e in f.error_inputs]


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=[f"{n}-{e.match}" for n, e in MISTAKES])
def test_mistakes_raise(name: str, mistake: ErrorInput) -> None:
    with pytest.raises(mistake.error, match=mistake.match):
        mistake.make(tg)


ELEMENTWISE = [op for op in REGISTRY.values() if isinstance(op, ElementwiseOp)]


@pytest.mark.parametrize("op", ELEMENTWISE, ids=[op.name for op in ELEMENTWISE])
def test_elementwise_mistakes_raise(op: ElementwiseOp) -> None:
    kind = np.float32 if "f" in op.kinds else np.int64
    good = [wrap(np.ones((2, 3), np.bool_ if n in op.booleans else kind)) for n in op.inputs]
    for i, name in enumerate(op.inputs):
        with pytest.raises(TypeError, match=rf"{op.name}\(\): argument '{name}' must be a Tensor, not str"):
            op.call(*good[:i], "text", *good[i + 1 :])
    if len(op.inputs) > 1:
        bad = [*good[:-1], wrap(np.ones((4, 5), kind))]
        with pytest.raises(RuntimeError, match=rf"{op.name}: shapes .*\(2, 3\).* and \(4, 5\) can't be broadcast"):
            op.call(*bad)


# ------------------------------------------------------------------------------------------------------ nothing is missing


def has_kink(op: ElementwiseOp) -> bool:
    """Whether the expression or a given derivative is made with functions that have kinks or branches."""
    stack: list[Any] = [op.expression, *(f for f in op.formulas.values() if f is not None)]
    kinds = set()
    while stack:
        node: Expr = stack.pop()
        kinds.add(node.op)
        stack += [a for a in node.args if isinstance(a, Expr)]
    return bool(kinds & {"where", "abs", "maximum", "minimum", "sign"})


# Kinks without an edge point: there is no point at which the gradient is a convention.
NO_EDGE_POINTS = {"where": "its branches are chosen by a bool input, not by a value"}
# Ops with a public function that takes nothing which could be wrong.
NO_MISTAKES = {"clone": "takes one tensor and nothing else"}


@pytest.mark.parametrize("name", list(REGISTRY))
def test_the_declaration_is_complete(name: str) -> None:
    op = REGISTRY[name]
    assert op.batch in ("elementwise", "leading", "reduce", "loop"), f"{name}: {op.batch!r} is no batching rule"
    if name in NO_SAMPLES:
        assert not op.samples, f"{name} is exempt, but has samples"
        return
    assert op.samples, f"{name} has no samples"
    assert op.reference is not None, f"{name} has no reference"
    assert any(int(np.prod(i.shape)) > 1 for s in op.samples for i in s.inputs), f"{name} has only trivial samples"
    differentiable = op.formulas if isinstance(op, ElementwiseOp) else op.vjp
    if isinstance(op, ElementwiseOp) and differentiable and has_kink(op):
        assert op.edge_points or name in NO_EDGE_POINTS, f"{name} has a kink, but no edge points"
    if op.function is not None and not isinstance(op, ElementwiseOp):  # elementwise mistakes are the same for all
        assert any(name == n for n, _ in MISTAKES) or name in NO_MISTAKES, f"{name} has a public function, but no error inputs"
    if differentiable:
        targets = {t for key in differentiable for t in (key if isinstance(key, tuple) else (key,))}
        for n, i in zip(op.inputs, op.samples[0].inputs, strict=False):
            assert n in targets or i.kind != "real" or i.constant or (name, n) in NO_GRADIENT, f"{name} has no VJP for {n}"


def test_what_is_named_exists() -> None:
    named = {*NO_SAMPLES, *NO_NUMERIC_GRADIENT, *NO_EDGE_POINTS, *NO_MISTAKES, *(name for name, _ in NO_GRADIENT)}
    assert named | COMPLEX_SECOND_ORDER | EVERY_KIND <= set(REGISTRY)
    assert {c.name for c in DIFFERENTIABLE} >= SECOND_ORDER
    assert {c.op.name for c in THIRD if c.op is not None} == THIRD_ORDER
    assert {c.op.name for c in COMPLEX if c.op is not None} >= COMPLEX_SECOND_ORDER


def test_values_are_the_same_in_every_run() -> None:
    matrix = next(c for c in OPS if c.name == "exp-0")
    assert zlib.crc32(matrix.arrays()[0].tobytes()) == 1487459136
