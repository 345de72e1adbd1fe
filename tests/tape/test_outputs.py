"""Ops with several outputs and residuals: edges of their own, versions of their own, nothing kept that is not named."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import grad
from tapegrad.plan import ON_ARRAYS, ON_TENSORS
from tapegrad.registry import REGISTRY, Op, register
from tapegrad.tensor import Tensor
from tapegrad.testing import check_grads


@pytest.fixture
def powers() -> Iterator[Op]:
    """x -> (x^2, x^3), whose derivative uses both results."""

    def backward(K: Any, input: Any, g0: Any, g1: Any, out0: Any, out1: Any) -> Any:
        total = K.mul(input, 0.0)
        if g0 is not None:  # 2 x = 2 x^3 / x^2
            total = K.add(total, K.mul(K.mul(g0, 2.0), K.div(out1, out0)))
        return total if g1 is None else K.add(total, K.mul(K.mul(g1, 3.0), out0))

    yield register(Op("test_powers", ("input",), lambda B, x: (x * x, x * x * x), {"input": backward}, method=False))
    _forget("test_powers")


def _forget(name: str) -> None:
    del REGISTRY[name]
    delattr(ON_ARRAYS, name)
    delattr(ON_TENSORS, name)


def both(op: Op, x: Tensor) -> tuple[Tensor, Tensor]:
    return op.call(x)  # type: ignore[no-any-return]


def test_gradients_of_any_order(powers: Op) -> None:
    x = tg.tensor([1.5, -2.0], dtype=tg.float64, requires_grad=True)
    check_grads(lambda x: both(powers, x), [x], order=3)


def test_one_output_alone_has_the_right_second_derivative(powers: Op) -> None:
    x = tg.tensor([2.0], dtype=tg.float64, requires_grad=True)
    square, cube = both(powers, x)
    del square
    (first,) = grad(cube, x, create_graph=True)
    assert first.item() == 12.0
    assert grad(first, x)[0].item() == 12.0


def test_a_write_to_one_output_is_noticed(powers: Op) -> None:
    x = tg.tensor([2.0], requires_grad=True)
    square, cube = both(powers, x)
    with tg.no_grad():
        cube.mul_(10)
    with pytest.raises(RuntimeError, match=r"test_powers.* modified in place by mul_"):
        square.backward()


def test_hooks_on_outputs_see_what_flows_through_rebuilt_values(powers: Op) -> None:
    x = tg.tensor([2.0], dtype=tg.float64, requires_grad=True)
    square, cube = both(powers, x)
    (first,) = grad(cube, x, create_graph=True)  # 3 x^2, of the saved square
    seen: list[float] = []
    square.register_hook(lambda g: seen.append(g.item()))
    first.backward()
    assert seen == [3.0]


def test_only_outputs_that_the_derivative_names_are_kept() -> None:
    op = register(Op("test_ones", ("input",), lambda B, x: (x + 1, x + 2), {"input": lambda K, g0: g0}, method=False))
    try:
        x = tg.ones(3, requires_grad=True)
        first, second = both(op, x)
        array = weakref.ref(second._array)
        enabled = gc.isenabled()
        gc.disable()
        try:
            del second
            assert array() is None
        finally:
            if enabled:
                gc.enable()
        first.sum().backward()
        assert x.grad is not None and x.grad.tolist() == [1.0, 1.0, 1.0]
    finally:
        _forget("test_ones")


def test_residuals_reach_the_formula_and_nobody_else() -> None:
    op = register(
        Op("test_scaled", ("input",), lambda B, x: (x * 3.0, np.full(x.shape, 3.0, x.dtype)), {"input": lambda K, g, factor: K.mul(g, factor)},
           residuals=("factor",), method=False)
    )  # fmt: skip
    try:
        x = tg.ones(2, requires_grad=True)
        y = op.call(x)
        assert isinstance(y, Tensor) and y.tolist() == [3.0, 3.0]
        assert "8 B" in str(y.tape())
        y.sum().backward()
        assert x.grad is not None and x.grad.tolist() == [3.0, 3.0]
        assert isinstance(ON_ARRAYS.test_scaled(np.ones(2)), np.ndarray)
    finally:
        _forget("test_scaled")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda K, g: K.sum(g, axes=(0,), keepdim=True), r"shape \(1,\)"),
        (lambda K, g: K.to(g, dtype=tg.float64), "dtype float64"),
    ],
)
def test_a_formula_that_returns_the_wrong_shape_or_dtype_is_refused(wrong: Any, message: str) -> None:
    op = register(Op("test_wrong", ("input",), lambda B, x: x * 1, {"input": wrong}, method=False))
    try:
        x = tg.ones(3, requires_grad=True)
        with pytest.raises(RuntimeError, match=rf"test_wrong: the gradient for 'input' has .*{message}.*mistake in the operation's VJP"):
            op.call(x).sum().backward()
        assert x.grad is None
    finally:
        _forget("test_wrong")
