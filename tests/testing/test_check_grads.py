"""check_grads on functions of every kind: what passes, what fails, and what the failures say."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import testing
from tapegrad.function import Function
from tapegrad.registry import REGISTRY
from tapegrad.tensor import Tensor, wrap
from tapegrad.testing import GradientError, check_grads, grads


def tensor(*shape: int, seed: int = 0, dtype: Any = np.float64, requires_grad: bool = True) -> Tensor:
    values = np.random.default_rng(seed).uniform(0.5, 1.5, shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * np.random.default_rng(seed + 1).uniform(0.5, 1.5, shape)
    made = wrap(np.asarray(values, dtype))
    return made.requires_grad_() if requires_grad else made


def a_function(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A custom function that saves its inputs; ``backward(g, *inputs)``."""

    class Made(Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(ctx: Any, *g: Any) -> Any:
            return backward(*g, *ctx.saved_tensors)

    return Made.apply


RIGHT: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "one input": (lambda x: x.exp().sum(), [tensor(3)]),
    "no dimensions": (lambda x: x.sin(), [tensor()]),
    "no elements": (lambda x: x.sin(), [tensor(0, 3)]),
    "several outputs": (lambda x, y: (x * y, x.sum(), y.exp()), [tensor(3), tensor(3, seed=1)]),
    "a list of outputs": (lambda x: [x * 2, x * x], [tensor(2)]),
    "an integer output": (lambda x: (x * x, x.argmax()), [tensor(3)]),
    "an output that is constant": (lambda x: (x * x, tg.ones(2, dtype=tg.float64)), [tensor(3)]),
    "a view": (lambda x: x.T, [tensor(2, 3)]),
    "the input itself": (lambda x: x, [tensor(2)]),
    "two views of one": (lambda x: (x[0], x[1]), [tensor(2, 3)]),
    "another argument": (lambda x, k, s: x * k + s, [tensor(3), 2.5, tensor(3, seed=4, requires_grad=False)]),
    "an index": (lambda x, i: x.gather(0, i), [tensor(3), wrap(np.array([0, 2, 2]))]),
    "linear": (lambda x: x * 3.0 - 1.0, [tensor(3)]),
    "softmax": (lambda x: x.softmax(1), [tensor(2, 3)]),
    "complex": (lambda z, w: z * w.conj() + (z * z).exp(), [tensor(2, dtype=np.complex128), tensor(2, seed=3, dtype=np.complex128)]),
    "real to complex": (lambda x, z: x * z, [tensor(2), tensor(2, dtype=np.complex128)]),
    "non-leaf": (lambda x: x.exp(), [tensor(3) * 2.0]),
    "a gradient penalty": (lambda x: penalty(x), [tensor(3)]),
}


def penalty(x: Tensor) -> Tensor:
    """A function that differentiates."""
    (g,) = tg.autograd.grad((x * x * x).sum(), x, create_graph=True)
    return (g * g).sum()


@pytest.mark.parametrize("method", ["richardson", "central"])
@pytest.mark.parametrize("mode", ["auto", "vjp", "directional"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name: str, mode: Any, method: Any) -> None:
    fn, inputs = RIGHT[name]
    order = 1 if method == "central" else 2
    check_grads(fn, inputs, order, mode=mode, method=method, allow_inconclusive=method == "central" or mode == "directional")


def test_right_gradients_of_third_order_pass() -> None:
    check_grads(lambda x, y: (x * y).sin(), [tensor(2), tensor(2, seed=1)], order=3)


@pytest.mark.parametrize("mode", ["jacobian", "vjp", "directional"])
@pytest.mark.parametrize("size", [3, 40])
def test_wrong_gradients_are_found_in_every_mode(mode: Any, size: int) -> None:
    right = a_function(lambda x, y: x.sin() * y, lambda g, x, y: (g * x.cos() * y, g * x.sin()))
    wrong = a_function(lambda x, y: x.sin() * y, lambda g, x, y: (g * x.cos() * y, g * x.sin() * (1 + 1e-6)))
    inputs = [tensor(size), tensor(size, seed=1)]
    check_grads(right, inputs, order=1, mode=mode)
    with pytest.raises(GradientError, match=r"with respect to input 1(.|\n)*wrong: of"):
        check_grads(wrong, inputs, order=1, mode=mode)


def test_auto_grows_with_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    for name in ("numerical_jacobian", "numerical_vjp", "numerical_directional"):
        original = getattr(grads, name)
        monkeypatch.setattr(grads, name, lambda *a, original=original, name=name, **k: used.append(name) or original(*a, **k))
    for size, outputs in ((8, 8), (300, 300), (600, 10)):
        check_grads(lambda x, outputs=outputs: x[:outputs] * x.mean(), tensor(size), order=1)
        assert set(used) == {{8: "numerical_jacobian", 300: "numerical_vjp", 600: "numerical_directional"}[size]}
        used.clear()


def test_the_message_shows_the_worst_entry() -> None:
    wrong = a_function(lambda x, y: x * y, lambda g, x, y: (g * y, g * x * wrap(np.array([1.0, 1.0, 1.5]))))
    x, y = tg.tensor([1.0, 2.0, 4.0], dtype=tg.float64, requires_grad=True), tensor(3)
    with pytest.raises(GradientError) as caught:
        check_grads(wrong, [x, y])
    text = str(caught.value)
    for part in (
        "apply: order 1, output 0 with respect to input 1",
        "wrong: of 9 entries 1 wrong, 0 inconclusive",
        "worst at input index (2,), output index (2,)",
        "analytic   6  (1.5 times the numeric value)",
        "numeric    4",
        "error estimate",
        "step",
    ):
        assert part in text


BROKEN: dict[str, tuple[Callable[..., Any], str]] = {
    "random": (lambda x: x * tg.rand(3, dtype=tg.float64), "output 0 differs in a second call"),
    "wrong shape": (a_function(lambda x: x.exp(), lambda g, x: (g * x.exp()).sum()), "shape"),
    "modifies its input": (lambda x: modified(x), "modified argument 0"),
    "aliases its input": (dataclasses.replace(REGISTRY["clone"], forward=lambda B, x: x).call, "shares memory with argument 0 but is not recorded"),
    "aliases its outputs": (lambda x: aliased(x), "output 1 shares memory with output 0"),
    "detached": (lambda x: x.detach() * x, "output 0 with respect to input 0\n  wrong"),
    "other bits with create_graph": (
        a_function(lambda x: x * x * x, lambda g, x: g * x * x * 3.0 if tg.is_grad_enabled() else g * (x * 3.0) * x),
        "has other bits when computed with create_graph",
    ),
    "forgets its gradient": (a_function(lambda x: x.exp(), lambda g, x: g * x.exp().detach()), "order 2, gradient 0 with respect to input 0"),
    "a kink": (lambda x: (x - 0.75).abs(), "inconclusive: of 9 entries"),
    "a step": (lambda x: x * (x > 0.75), "order 1"),
}  # fmt: skip


def modified(x: Tensor) -> Tensor:
    y = x * 2.0
    x._array[0] += 1e-3
    return y * 0.0 + x


def aliased(x: Tensor) -> tuple[Tensor, Tensor]:
    y = x * 2.0
    return y, wrap(y._array[::-1])


@pytest.mark.parametrize("name", BROKEN)
def test_broken_functions_are_found(name: str) -> None:
    fn, message = BROKEN[name]
    with pytest.raises((GradientError, RuntimeError)) as caught:
        check_grads(fn, tg.tensor([0.75, 1.0, 1.25], dtype=tg.float64, requires_grad=True))
    assert message in str(caught.value)


def test_a_kink_may_be_allowed_where_other_entries_decide() -> None:
    x = tg.tensor([0.75, 1.0, 1.25], dtype=tg.float64, requires_grad=True)
    check_grads(lambda x: (x - 0.75).abs(), x, order=1, allow_inconclusive=True)
    with pytest.raises(GradientError, match="inconclusive: of 1 entries"):
        check_grads(lambda x: (x[0] - 0.75).abs(), x[:1].detach().requires_grad_(), order=1, allow_inconclusive=True)


def test_tolerances_may_be_given() -> None:
    wrong = a_function(lambda x: x.exp(), lambda g, x: g * x.exp() * (1 + 1e-5))
    with pytest.raises(GradientError):
        check_grads(wrong, tensor(3), order=1)
    check_grads(wrong, tensor(3), order=1, rtol=1e-4)
    check_grads(wrong, tensor(3), order=1, atol=1e-4)


def test_a_step_may_be_given_where_the_usual_one_is_too_large() -> None:
    x = tg.tensor([2e-4], dtype=tg.float64, requires_grad=True)
    check_grads(lambda x: x.log(), x, order=1, step=1e-6)


def test_inputs_keep_their_layout_and_grad() -> None:
    seen = []
    x = wrap(np.arange(1.0, 7.0).reshape(2, 3).T).requires_grad_()
    x.grad = tg.ones(3, 2, dtype=tg.float64)
    check_grads(lambda x: seen.append(x._array.strides) or x * x, x, order=1)
    assert seen[0] == (8, 24)
    assert x.grad.tolist() == [[1.0, 1.0]] * 3
    assert x.requires_grad
    assert x.is_leaf


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_grads(tg.exp, tensor(3, requires_grad=False)), ValueError, "no input requires grad"),
        (lambda: check_grads(tg.exp, tensor(3, dtype=np.float32)), TypeError, "input 0 has dtype tapegrad.float32"),
        (lambda: check_grads(lambda x: x.float(), tensor(3)), TypeError, "output 0 has dtype tapegrad.float32"),
        (lambda: check_grads(lambda x: x > 1, tensor(3)), ValueError, "returned nothing to differentiate"),
        (lambda: check_grads(lambda x: 1.0, tensor(3)), ValueError, "returned nothing to differentiate"),
        (lambda: check_grads(lambda x: [x, 1.0], tensor(3)), TypeError, "must return a Tensor or a sequence"),
        (lambda: check_grads(tg.exp, tensor(3), order=0), ValueError, "order 0"),
        (lambda: check_grads(tg.exp, tensor(3), cotangents=0), ValueError, "cotangents 0"),
        (lambda: check_grads(tg.mul, tensor(3), tensor(3)), TypeError, r"several inputs go in a tuple: check_grads\(fn, \(a, b\)\)"),  # type: ignore[arg-type]
        (lambda: check_grads(tg.exp, tensor(3), mode="fast"), ValueError, "mode 'fast'"),  # type: ignore[arg-type]
        (lambda: check_grads(tg.exp, tensor(3), method="fast"), ValueError, "method must be"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_in_the_call(call: Callable[[], None], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_an_input_that_is_not_used_is_found() -> None:
    model = tensor(3)
    with pytest.raises(GradientError, match="input 1 does not reach any output"):
        check_grads(lambda x, w: x * model, [tensor(3), model])


def test_the_documentation_is_true() -> None:
    found = doctest.testmod(grads, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert found.attempted >= 4
    assert found.failed == 0


def test_hypothesis_is_needed_by_the_strategies_only() -> None:
    folder = Path(testing.__file__).parent
    for path in folder.glob("*.py"):
        imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, (ast.Import, ast.ImportFrom))]
        names = {a.name for n in imports if isinstance(n, ast.Import) for a in n.names} | {n.module or "" for n in imports if isinstance(n, ast.ImportFrom)}
        assert any(name.startswith("hypothesis") for name in names) == (path.name == "strategies.py"), path.name
    code = "import sys; sys.modules['hypothesis'] = None; import tapegrad.testing as t; t.check_grads"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
