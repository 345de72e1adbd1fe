"""The expression language: source, evaluation, derivatives of any order, and what it refuses."""

from __future__ import annotations

import cmath
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import expr
from tapegrad.expr import apply, const, differentiate, emit, inputs_of, trace, var, vjp, without_conj
from tapegrad.primitives import E


def evaluate(e: expr.Expr, **values: Any) -> Any:
    """An independent interpreter: node by node, with Python's and NumPy's functions."""
    known: dict[int, Any] = {}

    def walk(node: expr.Expr) -> Any:
        if id(node) not in known:
            if node.op == "var":
                known[id(node)] = values[node.args[0]]
            elif node.op == "const":
                known[id(node)] = node.args[0]
            else:
                with np.errstate(all="ignore"):
                    known[id(node)] = expr.PRIMITIVES[node.op].numpy(*[walk(a) for a in node.args])
        return known[id(node)]

    return walk(e)


def run(e: expr.Expr, **values: Any) -> Any:
    """The emitted source, run as Python."""
    lines, (result,) = emit([e])
    scope = {n: getattr(math, n) for n in "exp expm1 log log1p sqrt sin cos tanh erf".split()}
    scope |= {"pow": pow, "abs": abs, "maximum": max, "minimum": min, "T": float, "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "conj": lambda z: z.conjugate()}
    scope |= {"sign": lambda x: (x > 0) - (x < 0), "INF": math.inf, "NAN": math.nan, **values}
    exec("\n".join(lines), scope)
    return eval(result, scope)


SMOOTH: dict[str, Callable[[Any], Any]] = {
    "exp": lambda x: E.exp(x), "expm1": lambda x: E.expm1(x), "log": lambda x: E.log(x), "log1p": lambda x: E.log1p(x), "sqrt": lambda x: E.sqrt(x),
    "sin": lambda x: E.sin(x), "cos": lambda x: E.cos(x), "tanh": lambda x: E.tanh(x), "sigmoid": lambda x: E.sigmoid(x), "erf": lambda x: E.erf(x),
    "pow": lambda x: x**2.5, "power of": lambda x: 1.5**x, "both": lambda x: x**x, "div": lambda x: (1.0 - x) / (2.0 + x), "rsub": lambda x: 3 - x,
    "shared": lambda x: (x * x + 1.0) * (x * x + 1.0) / x, "where": lambda x: E.where(x > 1.0, x * x, E.sin(x)), "neg abs": lambda x: -abs(x - 5.0) * x,
    "maximum": lambda x: E.maximum(x * x, 0.3), "minimum": lambda x: E.minimum(x * x, x + 10.0), "gelu": lambda x: 0.5 * x * (1.0 + E.erf(x * math.sqrt(0.5))),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_to_order_three(name: str) -> None:
    """Each order against a central difference of the one before."""
    e: expr.Expr | None = trace(SMOOTH[name], ["x"])
    for _ in range(3):
        assert e is not None
        derivative = differentiate(e, "x")
        for x in (0.35, 0.9, 1.7):
            h = 1e-5
            numeric = (evaluate(e, x=x + h) - evaluate(e, x=x - h)) / (2 * h)
            exact = 0.0 if derivative is None else evaluate(derivative, x=x)
            assert exact == pytest.approx(numeric, rel=1e-6, abs=1e-7)
        if derivative is None:
            break
        e = derivative


@pytest.mark.parametrize("name", SMOOTH)
def test_source_arrays_tensors_and_kernels_agree(name: str) -> None:
    f = SMOOTH[name]
    e = trace(f, ["x"])
    values = np.array([0.35, 0.9, 1.7])
    expected = np.array([float(evaluate(e, x=x)) for x in values])
    np.testing.assert_allclose([run(e, x=x) for x in values], expected, rtol=1e-14)
    np.testing.assert_allclose(f(values), expected, rtol=1e-14)
    t = tg.tensor(values, requires_grad=True)
    kernel = tg.elementwise(f)
    for result in (f(t), kernel(t)):
        np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-14)
        (g,) = tg.autograd.grad(result.sum(), t)
        slope = differentiate(e, "x")
        np.testing.assert_allclose(g.numpy(), [0.0 if slope is None else float(evaluate(slope, x=x)) for x in values], rtol=1e-13)
    y = kernel(t)
    (g,) = tg.autograd.grad(y.sum(), t, create_graph=True)
    if g.requires_grad:
        (h,) = tg.autograd.grad(g.sum(), t, create_graph=True)
        second = differentiate(slope, "x")
        np.testing.assert_allclose(h.detach().numpy(), [0.0 if second is None else float(evaluate(second, x=x)) for x in values], rtol=1e-12, atol=1e-12)


def test_partial_derivatives() -> None:
    e = trace(lambda x, y: E.sin(x * y) + x / y + y, ["x", "y"])
    x, y = 0.7, 1.3
    assert evaluate(differentiate(e, "x"), x=x, y=y) == pytest.approx(y * math.cos(x * y) + 1 / y)
    assert evaluate(differentiate(e, "y"), x=x, y=y) == pytest.approx(x * math.cos(x * y) - x / y**2 + 1)
    assert differentiate(e, "z") is None
    assert inputs_of([e]) == {"x", "y"}
    assert differentiate(trace(lambda x: 3.0, ["x"]), "x") is None
    assert differentiate(trace(lambda x: E.sign(x), ["x"]), "x") is None
    assert differentiate(trace(lambda x: x > 0, ["x"]), "x") is None


def test_shared_subexpressions_are_computed_once() -> None:
    def f(x: Any) -> Any:
        inner = E.exp(x)
        return inner * inner + E.exp(x)

    lines, _ = emit([trace(f, ["x"])])
    assert sum("exp" in line for line in lines) == 1
    assert len(lines) == 3
    lines, names = emit([trace(f, ["x"]), trace(lambda x: E.exp(x), ["x"])])
    assert len(lines) == 3
    assert len(set(names)) == 2
    e = var("x")
    for _ in range(60):
        e = e * e  # 2 ** 60 nodes as a tree
    assert len(emit([e])[0]) == 60
    assert len(emit([differentiate(e, "x")])[0]) < 400


@pytest.mark.parametrize("depth", [200, 20_000])
def test_deep_expressions(depth: int) -> None:
    e = var("x")
    for _ in range(depth):
        e = e * 0.999 + 0.001
    slope = differentiate(e, "x")
    lines, _ = emit([e, slope])
    assert len(lines) >= depth
    assert inputs_of([e]) == {"x"}
    assert without_conj(e) is e
    assert len(emit([expr.substitute(e, {"x": var("y")})])[0]) == 2 * depth


def test_the_branch_not_taken_gives_no_nan() -> None:
    f = tg.elementwise(lambda x: E.where(x > 0.0, E.sqrt(E.where(x > 0.0, x, 1.0)), 0.0 * x))
    g = tg.elementwise(lambda x: E.where(x > 0.0, E.log(x), x))
    x = tg.tensor([-1.0, 0.0, 4.0], requires_grad=True)
    f(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 0.25]
    x.grad = None
    g(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 0.25]
    slope = differentiate(trace(lambda x: E.where(x > 0.0, E.log(x), x), ["x"]), "x")
    assert slope.op == "where"
    assert evaluate(slope, x=-1.0) == 1
    x.grad = None
    (first,) = tg.autograd.grad(g(x).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    assert second.tolist() == [0, 0, -0.0625]


COMPLEX: dict[str, Callable[[Any], Any]] = {
    "conj": lambda z: E.conj(z), "holomorphic": lambda z: E.exp(z * z) / (z + 2.0), "modulus": lambda z: z * E.conj(z), "mixed": lambda z: E.sin(E.conj(z)) * z + E.conj(z * z),
    "twice": lambda z: E.conj(E.conj(z)) * z, "pow": lambda z: z**3.0,
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLEX)
def test_wirtinger_derivatives(name: str) -> None:
    """d/dz = (d/dx - i d/dy) / 2 and d/d(conj z) = (d/dx + i d/dy) / 2, by central differences; VJPs as PyTorch's."""
    f = COMPLEX[name]
    e = trace(f, ["z"])
    z, h = 0.6 - 0.4j, 1e-6
    dx = (f(np.complex128(z + h)) - f(np.complex128(z - h))) / (2 * h)
    dy = (f(np.complex128(z + h * 1j)) - f(np.complex128(z - h * 1j))) / (2 * h)
    straight, crossed = (dx - 1j * dy) / 2, (dx + 1j * dy) / 2
    for conjugate, expected in ((False, straight), (True, crossed)):
        derivative = differentiate(e, "z", conjugate=conjugate)
        value = 0 if derivative is None else evaluate(derivative, z=z)
        assert value == pytest.approx(expected, rel=1e-7, abs=1e-8)
    g = 0.3 + 0.8j
    wanted = g * np.conj(straight) + np.conj(g) * crossed
    assert evaluate(vjp(e, "z", "g", complex_valued=True), z=z, g=g) == pytest.approx(wanted, rel=1e-7)
    t = tg.tensor([z], dtype=tg.complex128, requires_grad=True)
    tg.elementwise(f)(t).backward(tg.tensor([g], dtype=tg.complex128))
    assert t.grad.item() == pytest.approx(wanted, rel=1e-7)
    assert cmath.isfinite(t.grad.item())


def test_reals_do_without_conj() -> None:
    e = trace(lambda x: E.conj(x) * E.conj(x + 1.0), ["x"])
    assert "conj" not in "".join(emit([without_conj(e)])[0])
    assert evaluate(vjp(e, "x", "g", complex_valued=False), x=3.0, g=2.0) == pytest.approx(2 * 7)
    assert E.conj(const(2.0)).op == "conj" or apply("conj", const(2.0)).op == "const"


def test_no_truth_value() -> None:
    for f in (lambda x: x if x > 0 else -x, lambda x: x and 1.0, lambda x: max(x, 0.0), lambda x: 0 < x < 1, lambda x: not x):
        with pytest.raises(TypeError, match=r"E\.where"):
            tg.elementwise(f)


def test_what_is_refused() -> None:
    for f in (lambda x: "text", lambda x: None, lambda x: [x], lambda x: x + "a", lambda x: x * 1j, lambda x: E.exp(x, x) if False else E.where(x > 0, x, "a"), lambda x: np.array([1.0, 2.0])):
        with pytest.raises(TypeError):
            tg.elementwise(f)
    with pytest.raises(TypeError, match="not implemented for complex"):
        tg.elementwise(lambda x: E.erf(x))(tg.tensor([1j]))


@pytest.mark.parametrize("two", [np.float64(2), np.float32(2), np.int64(2), np.sqrt(4.0), np.bool_(True) + 1, 2])
def test_numpy_numbers_are_literals(two: Any) -> None:
    x = tg.tensor([1.5, -0.5])
    for f in (lambda x: x * two, lambda x: two * x, lambda x: E.maximum(x, -100.0) * two, lambda x: x + x * (two - 1)):
        assert tg.elementwise(f)(x).tolist() == [3, -1]
    assert tg.elementwise(lambda x: two / (two + E.exp(x) * 0))(x).tolist() == [1, 1]
    lines, _ = emit([trace(lambda x: two * x, ["x"])])
    assert "np" not in "".join(lines)


def test_literals_carry_no_text_of_the_users() -> None:
    class Evil(float):
        def __repr__(self) -> str:
            return "__import__('os').abort()"

    assert tg.elementwise(lambda x: x + Evil(2.0))(tg.ones(1)).tolist() == [3]
    assert "import" not in "".join(emit([trace(lambda x: x + Evil(2.0), ["x"])])[0])
    scope: dict[str, Any] = {}
    exec("def f(T, INF, exp, p0): return T * exp + INF - p0", scope)  # names that kernels use themselves
    assert tg.elementwise(scope["f"])(*[tg.full((1,), v) for v in (2.0, 3.0, 4.0, 5.0)]).tolist() == [6]


def test_special_literals() -> None:
    x = tg.tensor([-1.0, 1.0])
    assert tg.elementwise(lambda x: E.where(x > 0, math.inf, -math.inf))(x).tolist() == [-math.inf, math.inf]
    assert np.isnan(tg.elementwise(lambda x: x + math.nan)(x).numpy()).all()
    assert tg.elementwise(lambda x: E.where(x > 0, True, False))(x).tolist() == [False, True]
    assert math.copysign(1, tg.elementwise(lambda x: x * 0.0 - 0.0)(x)[0].item()) == -1
    assert tg.elementwise(lambda x: E.where((x > 0) & ~(x > 2) | (x < -5), x, 0.0))(x).tolist() == [0, 1]
    assert tg.elementwise(lambda x: x + 1e-45)(x).dtype is tg.float32


def test_repr() -> None:
    assert repr(trace(lambda x, y: x * (y + 1.0), ["x", "y"])) == "x * (y + 1.0)"
    assert "exp" in repr(trace(lambda x: E.exp(-x), ["x"]))


def test_a_crashing_kernel_does_not_hide() -> None:
    """Everything above ran in this process; a fresh one agrees on a value."""
    code = "import tapegrad as tg; print(tg.elementwise(lambda x: tg.E.exp(x) * x)(tg.tensor([1.0])).item())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) == pytest.approx(math.e, rel=1e-6)
