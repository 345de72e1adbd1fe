"""Operations of the user's own: autograd.Function in both styles, and one-expression elementwise functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import E, autograd
from tapegrad.testing import check_grads

D = tg.float64


def leaf(data: Any, dtype: Any = D) -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, requires_grad=True)


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


class SplitCube(autograd.Function):
    @staticmethod
    def forward(x: tg.Tensor) -> tg.Tensor:
        return x * x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


class Exp(autograd.Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
        return g * ctx.saved_tensors[0]


class ExpAndSquare(autograd.Function):
    """Two outputs, both saved."""

    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> Any:
        e, s = x.exp(), x * x
        ctx.save_for_backward(x, e, s)
        return e, s

    @staticmethod
    def backward(ctx: Any, ge: tg.Tensor, gs: tg.Tensor) -> tg.Tensor:
        x, e, _ = ctx.saved_tensors
        return ge * e + gs * 2 * x


@pytest.mark.parametrize("cube", [Cube, SplitCube])
def test_both_styles_to_third_order(cube: Any) -> None:
    x = leaf(2.0)
    y = cube.apply(x)
    assert y.grad_fn.name() == f"{cube.__name__}Backward0"
    values = []
    for _ in range(3):
        (y,) = autograd.grad(y, x, create_graph=True)
        values.append(y.item())
    assert values == [12.0, 12.0, 6.0]
    check_grads(cube.apply, leaf([0.5, -1.5]), order=3)


def test_saved_outputs_are_connected() -> None:
    check_grads(Exp.apply, leaf([0.5, -1.5]), order=3)
    check_grads(lambda x: ExpAndSquare.apply(x)[0] * ExpAndSquare.apply(x)[1], leaf([0.5, -1.5]), order=3)
    x = leaf(0.5)
    e, s = ExpAndSquare.apply(x)
    (g,) = autograd.grad(e * s, x, create_graph=True)
    (by_e,) = autograd.grad(g, e, retain_graph=True)  # g = s e + 2 x e: with respect to e, as product and as saved value
    assert by_e.item() == pytest.approx(0.25 + 1.0)
    (g2,) = autograd.grad(g, x)
    assert g2.item() == pytest.approx((0.25 + 4 * 0.5 + 2) * math.exp(0.5), rel=1e-14)


def test_several_outputs_and_unused_ones() -> None:
    x = leaf([1.0, 2.0])
    _, s = ExpAndSquare.apply(x)
    s.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("materialize", [True, False])
def test_materialize_grads(materialize: bool) -> None:
    seen: list[Any] = []

    class Two(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> Any:
            ctx.set_materialize_grads(materialize)
            return x * 2, 5, None, x * 3

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            seen.extend(grads)
            return grads[0] * 2

    x = leaf([1.0, 2.0])
    a, five, nothing, _ = Two.apply(x)
    assert (five, nothing) == (5, None)
    a.sum().backward()
    assert [None if g is None else g.tolist() for g in seen] == [[1.0, 1.0], None, None, [0.0, 0.0] if materialize else None]
    assert x.grad.tolist() == [2.0, 2.0]


def test_needs_input_grad_and_none_gradients() -> None:
    seen: list[Any] = []

    class Product(autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: tg.Tensor, b: tg.Tensor, factor: float, shift: float) -> tg.Tensor:
            ctx.save_for_backward(a, b)
            ctx.factor = factor
            return a * b * factor + shift

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> Any:
            seen.append(ctx.needs_input_grad)
            a, b = ctx.saved_tensors
            return (g * b * ctx.factor if ctx.needs_input_grad[0] else None, g * a * ctx.factor if ctx.needs_input_grad[1] else None, None, None)

    x, c = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0], dtype=D)
    y = Product.apply(x, c, 10.0, 0.5)
    assert y.tolist() == [30.5, 80.5]
    y.sum().backward()
    assert x.grad.tolist() == [30.0, 40.0]
    assert seen == [(True, False, False, False)]
    with pytest.raises(TypeError, match="'shift'"):  # as in PyTorch: backward could not name its gradient
        Product.apply(x, c, 10.0, shift=0.5)


def test_an_intermediate_may_be_saved() -> None:
    class Sine(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            ctx.save_for_backward(x.cos())
            return x.sin()

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
            return g * ctx.saved_tensors[0]

    x = leaf(0.5)
    Sine.apply(x).backward()
    assert x.grad.item() == pytest.approx(math.cos(0.5), rel=1e-15)


def test_non_differentiable_outputs() -> None:
    class Sorted(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> Any:
            order = tg.tensor(np.argsort(x.detach().numpy()))
            rank = order.to(D)
            ctx.mark_non_differentiable(rank)
            ctx.order = order
            return x[order], order, rank

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor, g_order: tg.Tensor, g_rank: tg.Tensor) -> tg.Tensor:
            assert (g_order.dtype, g_rank.tolist()) == (tg.int64, [0.0, 0.0, 0.0])
            return g[tg.tensor(np.argsort(ctx.order.numpy()))]

    x = leaf([3.0, 1.0, 2.0])
    values, order, rank = Sorted.apply(x)
    assert [t.requires_grad for t in (values, order, rank)] == [True, False, False]
    (values * tg.tensor([1.0, 10.0, 100.0], dtype=D)).sum().backward()
    assert x.grad.tolist() == [100.0, 1.0, 10.0]


class Doubled(autograd.Function):
    """Writes to its argument."""

    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
        return g * 2


def test_mark_dirty() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    z = Doubled.apply(y)
    assert z is y
    assert y.tolist() == [6.0, 12.0]
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_mark_dirty_on_a_view_reaches_its_root_and_other_views() -> None:
    x = leaf([1.0, 2.0])
    y = x * 1
    other = y[:]
    Doubled.apply(y[0])
    (y + other * 10).sum().backward()
    assert x.grad.tolist() == [22.0, 11.0]


def test_mark_dirty_is_checked() -> None:
    with pytest.raises(RuntimeError, match=r"Doubled: a leaf tensor that requires grad"):
        Doubled.apply(leaf([1.0, 2.0]))

    class Forgets(Doubled):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x * 1

    with pytest.raises(RuntimeError, match="mark_dirty is for arguments of forward that it writes to and returns"):
        Forgets.apply(leaf([1.0]) * 1)


def test_a_write_to_what_was_saved_is_noticed() -> None:
    h = leaf([1.0, 2.0]) * 1
    y = Cube.apply(h)
    h.add_(1)
    with pytest.raises(RuntimeError, match=r"Cube saved for backward.*modified in place by add_"):
        y.sum().backward()
    z = Exp.apply(leaf([1.0]))
    z.mul_(2)
    with pytest.raises(RuntimeError, match=r"Exp saved for backward.*mul_"):
        z.backward()


@pytest.mark.parametrize("forward", [lambda ctx, x: x, lambda ctx, x: x.view(-1), lambda ctx, x: x[:]])
def test_an_output_that_shows_the_input_can_be_written_safely(forward: Callable[..., Any]) -> None:
    class Reverse(autograd.Function):
        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
            return -g

    Reverse.forward = staticmethod(forward)  # type: ignore[method-assign]
    x = leaf([1.0, 2.0])
    h = x * 1
    y = Reverse.apply(h)
    assert y is not h
    y.mul_(10)
    h.mul_(3)
    assert (x.tolist(), h.tolist(), y.tolist()) == ([1.0, 2.0], [3.0, 6.0], [10.0, 20.0])
    (y + h).sum().backward()
    assert x.grad.tolist() == [-7.0, -7.0]


def test_without_recording_nothing_is_kept() -> None:
    x = leaf([1.0, 2.0])
    with tg.no_grad():
        assert not Cube.apply(x).requires_grad
    assert not Cube.apply(x.detach()).requires_grad


@pytest.mark.parametrize(
    ("result", "error", "match"),
    [
        (lambda g: (g, g), RuntimeError, r"Bad.backward returned 2 gradients, expected 1"),
        (lambda g: (), RuntimeError, r"Bad.backward returned 0 gradients, expected 1"),
        (lambda g: g.sum(), RuntimeError, r"Bad.backward returned a gradient of shape \(\) for input 0 of shape \(2,\)"),
        (lambda g: tg.ones(3, 2, dtype=D), RuntimeError, r"shape \(3, 2\) for input 0 of shape \(2,\)"),
        (lambda g: 3.0, TypeError, "Bad.backward: gradient 0 must be a Tensor or None, got float"),
    ],
)
def test_wrong_gradients_are_refused(result: Callable[[tg.Tensor], Any], error: type[Exception], match: str) -> None:
    class Bad(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> Any:
            return result(g)

    x = leaf([1.0, 2.0])
    with pytest.raises(error, match=match):
        Bad.apply(x).sum().backward()
    assert x.grad is None


def test_missing_parts_are_named() -> None:
    class Nothing(autograd.Function):
        pass

    class Half(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> Any:
            return x * 2

    class Number(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> Any:
            return 5

    class Saves(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> Any:
            ctx.save_for_backward(5)

    x = leaf(1.0)
    with pytest.raises(NotImplementedError, match="forward"):
        Nothing.apply(x)
    with pytest.raises(NotImplementedError, match="backward"):
        Half.apply(x).backward()
    with pytest.raises(TypeError, match=r"Number.forward must return a Tensor or a tuple of them, got int"):
        Number.apply(x)
    with pytest.raises(TypeError, match="save_for_backward takes tensors or None, got int"):
        Saves.apply(x)


def test_gradients_are_cast_to_the_argument() -> None:
    class Widened(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            return x.to(D) * 2

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
            return g * 2

    x = leaf([1.0], tg.float32)
    Widened.apply(x).backward()
    assert (x.grad.dtype, x.grad.tolist()) == (tg.float32, [2.0])


def test_once_differentiable_refuses_a_second_derivative() -> None:
    class Once(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @autograd.once_differentiable
        def backward(ctx: Any, g: tg.Tensor) -> Any:
            assert not tg.is_grad_enabled()
            return g * 2 * ctx.saved_tensors[0]

    x = leaf(3.0)
    Once.apply(x).backward()
    assert x.grad.item() == 6.0
    (g,) = autograd.grad(Once.apply(x), x, create_graph=True)  # the cotangent is a constant, the saved x is not
    assert g.item() == 6.0
    with pytest.raises(RuntimeError, match="once_differentiable"):
        autograd.grad(g, x)
    (g,) = autograd.grad(Once.apply(x) ** 2, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.backward()


def test_a_function_inside_a_function() -> None:
    class Outer(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            with tg.enable_grad():
                inner = x.detach().requires_grad_()
                y = Cube.apply(inner) + Exp.apply(inner)
            ctx.pair = (inner, y)
            return y.detach()

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
            inner, y = ctx.pair
            return autograd.grad(y, inner, g, retain_graph=True)[0]

    x = leaf([0.5, 1.0])
    Outer.apply(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.array([0.25, 1.0]) + np.exp([0.5, 1.0]), rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------ elementwise


def test_three_line_functions() -> None:
    by_name = tg.elementwise("softsign", lambda x: x / (1 + E.abs(x)))
    by_lambda = tg.elementwise(lambda x: x / (1 + E.abs(x)))

    @tg.elementwise
    def decorated(x: Any) -> Any:
        """The soft sign."""
        return x / (1 + E.abs(x))

    @tg.elementwise("named")
    def other(x: Any) -> Any:
        return x / (1 + E.abs(x))

    x = leaf([-1.5, 0.5, 3.0])
    v = x.detach().numpy()
    for f in (by_name, by_lambda, decorated, other):
        y = f(x)
        np.testing.assert_allclose(y.detach().numpy(), v / (1 + np.abs(v)), rtol=1e-15)
        (g,) = autograd.grad(y.sum(), x)
        np.testing.assert_allclose(g.numpy(), 1 / (1 + np.abs(v)) ** 2, rtol=1e-14)
        check_grads(f, x, order=3)
    assert decorated.__doc__ == "The soft sign."
    assert by_name(x).grad_fn.name() == "SoftsignBackward0"
    assert other(x).grad_fn.name() == "NamedBackward0"


def test_two_inputs_broadcast_and_promote() -> None:
    f = tg.elementwise(lambda x, y: x * E.tanh(y) + E.exp(-y * y))
    x, y = leaf([[0.5], [1.5]]), leaf([-1.0, 0.25, 2.0])
    assert f(x, y).shape == (2, 3)
    check_grads(f, [x, y], order=2)
    assert f(x.to(tg.float32), 2).dtype is tg.float32
    assert f(tg.tensor([1, 2]), 1.0).dtype is tg.float32
    a, b = leaf([1.0, 2.0], tg.float32), leaf([1.0, 2.0])
    f(a, b).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (tg.float32, D)


def test_argument_names_are_free() -> None:
    f = tg.elementwise(lambda g, out, e: g * out + e * e)
    check_grads(f, [leaf([0.5, 1.0]), leaf([2.0, 3.0]), leaf([-1.0, 4.0])], order=3)


def test_conditions_and_truth_values() -> None:
    leaky = tg.elementwise("leaky", lambda x: E.where(x > 0, x, 0.1 * x))
    x = leaf([-2.0, 3.0])
    leaky(x).sum().backward()
    assert x.grad.tolist() == [0.1, 1.0]
    positive = tg.elementwise(lambda x: x > 0)
    assert positive(x).tolist() == [False, True]
    assert not positive(x).requires_grad


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda x: x if x > 0 else -x, TypeError, r"no truth value: use E\.where\(condition, a, b\) instead of if"),
        (lambda x: x > 0 and x, TypeError, "E.where"),
        (lambda x: "text", TypeError, "must return an expression of its arguments, got str"),
        (lambda x: None, TypeError, "must return an expression of its arguments, got NoneType"),
        (lambda x: E.airy(x), AttributeError, "airy"),
        (lambda x: math.sin(x), TypeError, "Expr"),
        (lambda x: np.sin(x), TypeError, "Expr"),
        (lambda x, y: x + z, NameError, "z"),  # type: ignore[name-defined]  # noqa: F821
    ],
)
def test_bad_functions_are_refused_when_defined(function: Callable[..., Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        tg.elementwise(function)


def test_operands_must_be_tensors() -> None:
    f = tg.elementwise("squared", lambda x: x * x)
    with pytest.raises(TypeError, match=r"squared\(\): argument '.*' must be a Tensor, not str"):
        f("text")


def test_variable_is_a_leaf_on_the_tensors_memory():
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    v = tg.autograd.Variable(y, requires_grad=True)
    assert v.is_leaf and v.requires_grad and v.data_ptr() == y.data_ptr() and type(v) is tg.Tensor
    assert isinstance(y, tg.autograd.Variable) and not tg.autograd.Variable(y).requires_grad
    with pytest.raises(TypeError, match="has to be a tensor, but got list"):
        tg.autograd.Variable([1.0])
