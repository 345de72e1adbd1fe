"""Elementwise functions of a user's own: arguments by name, defaults, and what is explained."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import registry, scalarops


def leaky(value: Any, slope: float = 0.5) -> Any:
    """Half as steep below zero."""
    return tg.E.where(value > 0, value, value * slope)


def test_arguments_keep_their_names_and_defaults() -> None:
    f = tg.elementwise(leaky)
    x = tg.tensor([-1.0, 2.0])
    for _ in range(2):  # the first call generates the code of later ones
        assert f(x).tolist() == [-0.5, 2]
        assert f(x, 0.25).tolist() == [-0.25, 2]
        assert f(slope=2.0, value=x).tolist() == [-2, 2]
        assert str(inspect.signature(f)) == "(value, slope=0.5)"
        with pytest.raises(TypeError, match=r"leaky\(\) got an unexpected keyword argument 'steepness'"):
            f(x, steepness=2)
        with pytest.raises(TypeError, match=r"leaky\(\) missing 1 required positional argument: 'value'"):
            f()
        with pytest.raises(TypeError, match=r"leaky\(\): argument 'slope' must be a Tensor, not str"):
            f(x, "a")
        with pytest.raises(TypeError, match=r"leaky\(\): argument 'value' must be a Tensor, not float"):
            f(1.0, 2.0)
    assert (f.__name__, f.__doc__) == ("leaky", "Half as steep below zero.")


def test_gradients_reach_arguments_given_by_name() -> None:
    x, slope = tg.tensor([-1.0, 2.0], requires_grad=True), tg.tensor(0.25, requires_grad=True)
    tg.elementwise(leaky)(slope=slope, value=x).sum().backward()
    assert x.grad is not None
    assert slope.grad is not None
    assert x.grad.tolist() == [0.25, 1]
    assert slope.grad.item() == -1


@pytest.mark.parametrize("names", [("flags", "c"), ("out", "g"), ("a0", "e0"), ("self", "op"), ("r", "o"), ("é", "x1"), ("None_", "local")])
def test_any_name_will_do(names: tuple[str, str]) -> None:
    """No text of a user's gets into generated code, where it could mean something else."""
    first, second = names
    scope: dict[str, Any] = {}
    exec(f"def f({first}, {second}): return {first} - 2 * {second}", scope)
    f = tg.elementwise(scope["f"])
    for _ in range(2):
        x, y = tg.tensor([5.0], requires_grad=True), tg.tensor([1.0], requires_grad=True)
        f(**{second: y, first: x}).backward()
        assert (x.grad.item(), y.grad.item()) == (1, -2)


def test_the_readme_s_example() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text.partition("**Elementwise operations of your own**")[2].partition("**Networks**")[0], re.S)
    scope: dict[str, Any] = {"tg": tg}
    exec(code.strip(), scope)  # code of our own README
    x = tg.tensor([-1.0, 3.0], requires_grad=True)
    y = scope["softsign"](x)
    assert (y.tolist(), y.grad_fn.name()) == ([-0.5, 0.75], "SoftsignBackward0")


def test_a_name_that_is_a_keyword() -> None:
    assert tg.elementwise("class", lambda x: x + 1)(tg.ones(1)).item() == 2


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda: 3.0, TypeError, "needs one or more arguments"),
        (lambda x, *rest: x, TypeError, "one or more arguments, each with a name"),
        (lambda x: 3, TypeError, "must return an expression of its arguments, got the constant 3"),
        (lambda x: None, TypeError, "must return an expression of its arguments, got NoneType"),
        (lambda x: math.sin(x), TypeError, r"use tg\.E\.exp instead of math\.exp, np\.exp or tg\.exp.*tg\.E has abs, .*sin"),
        (lambda x: tg.exp(x), TypeError, r"use tg\.E\.exp instead"),
        (lambda x: np.exp(x), TypeError, r"use tg\.E\.exp instead"),
        (lambda x: tg.E.sine(x), AttributeError, r"tapegrad\.E has no 'sine'; it has abs, .*sin, "),
        (lambda x: x.sine(), AttributeError, "sine"),
        (5, TypeError, r"elementwise\(\) takes a function of scalars, got int"),
    ],
)
def test_mistakes_are_explained(function: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        tg.elementwise(function)


def test_its_public_name() -> None:
    assert tg.elementwise.__name__ == tg.elementwise.__qualname__ == "elementwise"
    assert "define" not in (tg.elementwise.__doc__ or "")


@pytest.mark.parametrize("name", ["c", "e", "flags", "fast", "entry", "r"])
def test_inputs_of_the_library_s_own_operations_may_have_any_name(name: str) -> None:
    """Inputs keep their names there, so the generated calls must not use them for something else."""
    op = scalarops.elementwise(f"named_{name}", eval(f"lambda {name}, other: {name} * {name} * other"), method=False)
    try:
        x = tg.tensor([2.0], requires_grad=True)
        y = op(**{name: x, "other": x})
        y.sum().backward()
        assert (y.tolist(), op(x, 1.0).tolist(), x.grad.tolist()) == ([8.0], [4.0], [12.0])
    finally:
        del registry.REGISTRY[f"named_{name}"]
