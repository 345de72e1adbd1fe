"""Every op x sample x dtype x layout: values against an independent reference, gradients against numerical ones."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
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
DIFFERENTIABLE = [c for c in CASES if any(c.gradient) and (c.op is None or c.op.name not in NO_NUMERIC_GRADIENT)]
FLOATS = ("float32", "float64")
KIND = {d.name: "bifc"[d.category] for d in dtypes.ALL}
PAIRS = [(c, d) for c in OPS for d in KIND if d not in FLOATS and KIND[d] in c.kinds]
# Each costs a kernel: the first sample, and one dtype of a kind (two where they differ in how they are computed).
OTHERS = [(c, d) for c, d in PAIRS if c.name.endswith("-0") and d not in ("int8", "int16", "int32", "complex128")]
MORE = [pair for pair in PAIRS if pair not in OTHERS]


def cases(selected: Sequence[Case]) -> Any:
    return pytest.mark.parametrize("case", selected, ids=[c.name for c in selected])


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


def in_layouts(selected: Sequence[Case], layouts: Sequence[str]) -> list[Any]:
    """Ops: every layout of the first sample. What is made of ops: transposed. The rest nightly (each may be a kernel)."""
    pairs = [(c, layout) for c in selected for layout in layouts]

    def now(c: Case, layout: str) -> bool:
        return layout == "contiguous" or (c.name.endswith("-0") and (c.op is not None or layout == "transposed"))

    return [pytest.param(*p, id=f"{p[0].name}-{p[1]}", marks=[] if now(*p) else [pytest.mark.nightly]) for p in pairs]


def daily(case: Case) -> bool:
    """Whether a check that is the same for all samples runs by day: on every sample of an op, on the first one of what is made of ops."""
    return case.op is not None or case.name.endswith("-0") or not case.name.rpartition("-")[2].isdecimal()


VALUES = [
    pytest.param(
        *p.values,
        dtype,
        id=f"{p.id}-{dtype}",
        marks=[pytest.mark.nightly] if dtype == "float32" and not (p.values[1] == "contiguous" and daily(p.values[0])) else p.marks,
    )
    for p in in_layouts([c for c in CASES if "f" in c.kinds], LAYOUTS)
    for dtype in FLOATS
]


@pytest.mark.parametrize(("case", "layout", "dtype"), VALUES)
def test_values(case: Case, dtype: str, layout: str) -> None:
    arrays = case.arrays(dtype, layout=layout)
    results = run(case, arrays, f"{case.name} {dtype} {layout}")
    if case.op is not None:
        assert results[0].dtype is expected_dtype(case, arrays)


@pytest.mark.parametrize(("case", "dtype"), OTHERS, ids=[f"{c.name}-{d}" for c, d in OTHERS])
def test_values_of_other_dtypes(case: Case, dtype: str) -> None:
    check_values(case, dtype)


@pytest.mark.nightly
@pytest.mark.parametrize(("case", "dtype"), MORE, ids=[f"{c.name}-{d}" for c, d in MORE])
def test_values_of_every_dtype(case: Case, dtype: str) -> None:
    check_values(case, dtype)


def check_values(case: Case, dtype: str) -> None:
    assert case.op is not None
    arrays = case.arrays(dtype, layout="transposed")
    results = run(case, arrays, f"{case.name} {dtype}", to_float=case.op.dtype == "float")
    assert results[0].dtype is expected_dtype(case, arrays)


REAL_ONLY = [c for c in OPS if isinstance(c.op, ElementwiseOp) and "c" not in c.kinds and c.name.endswith("-0")]


@cases(REAL_ONLY)
def test_complex_numbers_are_refused_where_they_mean_nothing(case: Case) -> None:
    assert case.op is not None
    with pytest.raises(TypeError, match=f"{case.op.name} is not implemented for .*complex"):
        case.fn(*case.tensors(case.arrays(np.complex64), requires_grad=False))


# ------------------------------------------------------------------------------------------------------------ gradients


@cases(DIFFERENTIABLE)
def test_gradients_of_first_and_second_order(case: Case) -> None:
    """To second order on two samples of every op and on one of what is made of ops; nightly on all."""
    second = daily(case) if case.op is None else case.name.endswith(("-0", "-2")) and case.name != "pow-2"
    check_grads(case.fn, case.tensors(case.arrays()), order=2 if second else 1)


@pytest.mark.parametrize(("case", "layout"), in_layouts(DIFFERENTIABLE, LAYOUTS[1:]))
def test_gradients_in_every_layout(case: Case, layout: str) -> None:
    arrays = case.arrays(layout=layout)
    if layout == "expanded" and not case.smooth:
        assert_no_matter_of_layout(case, arrays, layout)
    else:
        check_grads(case.fn, case.tensors(arrays), order=1)


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


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.name, marks=[] if daily(c) else [pytest.mark.nightly]) for c in DIFFERENTIABLE]
)
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
COMPLEX = [c for c in DIFFERENTIABLE if c.op is not None and "c" in c.kinds and c.op.name != "pow" and c.name.endswith(("-0", "-2"))]


@cases(COMPLEX)
def test_complex_gradients(case: Case) -> None:
    check_grads(case.fn, case.tensors(case.arrays(np.complex128)), order=2 if case.name.endswith("-0") else 1)


# 0-d samples; pow and div, whose third derivatives take long to compile, are among the nightly ones
THIRD = [c for c in OPS if c.op is not None and c.op.name in ("tanh", "exp", "sigmoid", "gelu", "sin", "erf") and c.name.endswith("-2")]


@cases(THIRD)
def test_gradients_of_third_order(case: Case) -> None:
    check_grads(case.fn, case.tensors(case.arrays()), order=3)


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
        out = listed(op(*inputs, **point.params))[0]
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


MISTAKES += [
    ("dropout", ErrorInput(lambda tg: tg.nn.functional.dropout(tg.ones(3), 1.5), ValueError, "dropout: p must be between 0 and 1")),
    ("gelu", ErrorInput(lambda tg: tg.nn.functional.gelu(tg.ones(3), approximate="erf"), ValueError, "gelu: approximate")),
    ("clamp", ErrorInput(lambda tg: tg.ones(3).clamp(), RuntimeError, "clamp: at least one of min and max")),
    ("mse_loss", ErrorInput(lambda tg: tg.nn.functional.mse_loss(tg.ones(3), tg.ones(3), reduction="mode"), ValueError, "mse_loss: reduction")),
]  # fmt: skip


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


def test_exemptions_are_of_ops_that_exist() -> None:
    named = {*NO_SAMPLES, *NO_NUMERIC_GRADIENT, *NO_EDGE_POINTS, *NO_MISTAKES, *(name for name, _ in NO_GRADIENT)}
    assert named <= set(REGISTRY)


def test_values_are_the_same_in_every_run() -> None:
    digests = [zlib.crc32(a.tobytes()) for c in OPS[:3] for a in c.arrays()]
    assert digests == [zlib.crc32(a.tobytes()) for c in OPS[:3] for a in c.arrays()]
    assert len(set(digests)) == len(digests)
