"""backward() and grad(): every argument, accumulation, memory, dtypes, higher derivatives."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd, plan

D = tg.float64


def leaf(data: Any, dtype: Any = D) -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, requires_grad=True)


def same_bits(a: Any, b: Any) -> bool:
    a, b = a.detach().numpy(), b.detach().numpy()
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ------------------------------------------------------------------------------------------------------------ arguments


def test_scalar_root_needs_no_gradient() -> None:
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_gradient_argument_weights_the_root() -> None:
    x = leaf([1.0, 2.0])
    (x * x).backward(tg.tensor([10.0, 100.0], dtype=D))
    assert x.grad.tolist() == [20.0, 400.0]


def test_one_element_of_any_shape_is_a_root() -> None:
    x = leaf([[3.0]])
    (x * x).backward()
    assert x.grad.tolist() == [[6.0]]


def test_a_leaf_is_its_own_root() -> None:
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_several_roots_add_up() -> None:
    x = leaf([1.0, 2.0])
    a, b = x * 2, (x * x).sum()
    autograd.backward([a, b], [tg.tensor([1.0, 10.0], dtype=D), None])
    assert x.grad.tolist() == [2.0 + 2.0, 20.0 + 4.0]


def test_the_same_root_twice() -> None:
    x = leaf([1.0, 2.0])
    y, seed = x * 3, tg.ones(2, dtype=D)
    autograd.backward([y, y], [seed, seed])
    assert x.grad.tolist() == [6.0, 6.0]
    assert seed.tolist() == [1.0, 1.0]


def test_a_root_that_another_root_uses() -> None:
    x = leaf(2.0)
    y = x * x
    z = y * 3
    autograd.backward([y, z])
    assert x.grad.item() == 4.0 + 12.0


def test_inputs_restricts_accumulation() -> None:
    x, w = leaf(2.0), leaf(3.0)
    (x * w).backward(inputs=[w])
    assert x.grad is None
    assert w.grad.item() == 2.0


@pytest.mark.parametrize("times", [1, 2])
def test_inputs_may_be_non_leaves_and_repeat(times: int) -> None:
    x = leaf([1.0, 2.0])
    h = x * 2
    (h * 3).sum().backward(inputs=[h] * times)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert h.grad.tolist() == [3.0, 3.0]
    assert x.grad is None
    y = leaf([1.0])
    (y * 2).sum().backward(inputs=[y] * times)
    assert y.grad.tolist() == [2.0]


def test_inputs_leaf_and_non_leaf_together() -> None:
    x = leaf(2.0)
    h = x * x
    g_h, g_x = autograd.grad(h * h, [h, x])
    assert (g_h.item(), g_x.item()) == (8.0, 32.0)


def test_grad_of_a_non_leaf_does_not_touch_what_made_it() -> None:
    x = leaf(2.0)
    h = x.exp()  # saves its result
    assert autograd.grad(h * h, h)[0].item() == pytest.approx(2 * np.exp(2))
    (h * 3).backward()  # so what exp saved is still there
    assert x.grad.item() == pytest.approx(3 * np.exp(2))


def test_grad_of_the_root_itself() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    seed = tg.tensor([3.0, 4.0], dtype=D)
    for create in (False, True):
        (g,) = autograd.grad(y, y, grad_outputs=seed, create_graph=create, retain_graph=True)
        assert g.tolist() == [3.0, 4.0]
        assert not np.may_share_memory(g._array, seed._array)


def test_grad_returns_per_input_also_repeated_and_leaves_no_trace() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    gw, gx, gw2 = autograd.grad((x * w).sum(), [w, x, w])
    assert (gw.tolist(), gx.tolist(), gw2.tolist()) == ([1.0, 2.0], [3.0, 4.0], [1.0, 2.0])
    assert x.grad is None
    assert w.grad is None
    assert not np.may_share_memory(gw._array, gw2._array)


def test_grad_outputs_for_several_outputs() -> None:
    x = leaf(2.0)
    (g,) = autograd.grad([x * 2, x * x], x, grad_outputs=[tg.tensor(10.0, dtype=D), None])
    assert g.item() == 24.0


def test_unused_inputs() -> None:
    x, u = leaf(2.0), leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"grad: input 1 \(shape \(2,\)\) was not used.*allow_unused=True"):
        autograd.grad(x * x, [x, u])
    assert autograd.grad(x * x, [x, u], allow_unused=True)[1] is None
    zeros = autograd.grad(x * x, [x, u], materialize_grads=True)[1]
    assert (zeros.tolist(), zeros.dtype) == ([0.0, 0.0], D)
    with pytest.raises(ValueError, match="contradict"):
        autograd.grad(x * x, [x, u], allow_unused=False, materialize_grads=True)
    with pytest.raises(RuntimeError, match="inputs is empty"):
        autograd.grad(x * x, [])
    with pytest.raises(RuntimeError, match="inputs is empty; leave it out"):
        (x * x).backward(inputs=[])


def test_create_graph_keeps_grad_differentiable() -> None:
    x = leaf(3.0)
    (x * x * x).backward(create_graph=True)
    assert x.grad.requires_grad
    (g2,) = autograd.grad(x.grad, x)
    assert (x.grad.item(), g2.item()) == (27.0, 18.0)


def test_complex_root_needs_a_gradient() -> None:
    z = tg.tensor([1 + 2j], requires_grad=True)
    with pytest.raises(RuntimeError, match="only for real tensors"):
        (z * z).sum().backward()
    (z * z).sum().backward(tg.tensor(1 + 0j))
    assert z.grad.tolist() == [2 - 4j]


# ------------------------------------------------------------------------------------------------- second backward, freeing


def test_second_backward_raises_where_values_were_freed() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"backward through mul a second time.*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_second_backward_works_where_nothing_was_saved() -> None:
    x = leaf([1.0, 2.0])
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_retain_graph_allows_any_number() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    for n in range(1, 4):
        y.backward(retain_graph=n < 3)
        assert x.grad.tolist() == [2.0 * n, 4.0 * n]
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_create_graph_retains_unless_told_otherwise() -> None:
    x = leaf(2.0)
    y = x * x
    autograd.grad(y, x, create_graph=True)
    autograd.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        autograd.grad(y, x)


def test_only_the_branch_taken_is_freed() -> None:
    x, w = leaf(2.0), leaf(5.0)
    h, k = x * x, w * w
    autograd.grad(h + k, x)
    with pytest.raises(RuntimeError, match="second time"):
        autograd.grad(h, x)
    assert autograd.grad(k, w)[0].item() == 10.0


# ----------------------------------------------------------------------------------------------- accumulation and memory


def test_grad_accumulates_into_the_same_tensor_and_memory() -> None:
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    g, address = x.grad, x.grad.data_ptr()
    (x * 3).sum().backward()
    assert x.grad is g
    assert x.grad.data_ptr() == address
    assert g.tolist() == [5.0, 7.0]


def test_accumulating_with_create_graph_makes_a_new_tensor() -> None:
    x = leaf(2.0)
    (x * x * x).backward()
    first = x.grad
    (x * x * x).backward(create_graph=True)
    assert first.item() == 12.0
    assert x.grad.item() == 24.0
    assert autograd.grad(x.grad, x)[0].item() == 12.0


def _graphs() -> dict[str, Callable[[tg.Tensor, tg.Tensor], tg.Tensor]]:
    return {
        "pass through": lambda x, w: x + w,
        "both the same": lambda x, w: x + x,
        "clone": lambda x, w: x.clone() + w,
        "views": lambda x, w: x.reshape(4).reshape(2, 2).t() + w,
        "expand": lambda x, w: (x + w).sum().expand(2, 2),
        "product": lambda x, w: x * w,
        "slices": lambda x, w: tg.cat([x[0], x[1], w[0], w[1]]).reshape(4, 2)[:2],
        "diamond": lambda x, w: (x + w) + (x + w) * x,
        "to": lambda x, w: x.to(tg.float32).to(D) + w,
    }


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("name", _graphs())
def test_gradients_alias_nothing(name: str, create: bool) -> None:
    x, w = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    h = x * 1.0
    y = _graphs()[name](h, w)
    seed = tg.tensor([[1.0, -1.0], [2.0, 0.5]], dtype=D)
    grads = autograd.grad(y, [x, h, w, x], grad_outputs=seed, create_graph=create, retain_graph=True, allow_unused=True)
    y.backward(seed, create_graph=create)
    held = [seed, x, w, h, y, x.grad, *([] if w.grad is None else [w.grad]), *(g for g in grads if g is not None)]
    results = held[5:]
    for r, other in itertools.product(results, held):
        assert r is other or not np.may_share_memory(r._array, other._array)
    assert seed.tolist() == [[1.0, -1.0], [2.0, 0.5]]


def test_a_non_contiguous_seed_is_copied() -> None:
    x = leaf(np.arange(6.0).reshape(2, 3))
    seed = tg.tensor(np.arange(6.0).reshape(3, 2)).t()
    x.backward(seed)
    assert x.grad.is_contiguous()
    assert x.grad.tolist() == seed.tolist()
    assert not np.may_share_memory(x.grad._array, seed._array)


def test_a_stale_grad_of_another_shape_is_refused() -> None:
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    x.data = tg.tensor([1.0, 2.0, 3.0], dtype=D)
    with pytest.raises(RuntimeError, match=r"shape \(3,\).*\.grad of shape \(2,\).*set \.grad = None"):
        (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


# ---------------------------------------------------------------------------------------- non-leaves, detach, requires_grad


def test_reading_grad_of_a_non_leaf_warns() -> None:
    x = leaf(2.0)
    y = x * x
    with pytest.warns(UserWarning, match="not a leaf.*retain_grad"):
        assert y.grad is None


def test_retain_grad_keeps_and_accumulates() -> None:
    x = leaf(2.0)
    h = x * x
    h.retain_grad()
    assert h.retains_grad
    assert not x.retains_grad
    y = h * 3
    y.backward(retain_graph=True)
    y.backward()
    assert (h.grad.item(), x.grad.item()) == (6.0, 24.0)
    assert not np.may_share_memory(h.grad._array, x.grad._array)


def test_retain_grad_follows_a_tensor_through_in_place_operations() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    y.retain_grad()
    y.mul_(5.0)
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3.0, 3.0]  # of the new value, as in PyTorch
    assert x.grad.tolist() == [30.0, 30.0]


def test_detach_stops_gradients_and_shares_memory() -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    d = y.detach()
    assert not d.requires_grad
    assert d.data_ptr() == y.data_ptr()
    (x * d).sum().backward()
    assert x.grad.tolist() == [1.0, 4.0]


def test_requires_grad_toggling() -> None:
    x = tg.tensor([1.0, 2.0], dtype=D)
    assert not (x * 2).requires_grad
    x.requires_grad_()
    y = (x * 2).sum()
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad_(False)
    y.backward(retain_graph=True)
    assert x.grad is None  # as in PyTorch: it does not require grad now
    x.requires_grad_(True)
    (y + (x * 3).sum()).backward()
    assert x.grad.tolist() == [5.0, 5.0]  # the old graph and the new one lead to the same leaf


def test_hooks_survive_freezing() -> None:
    x = leaf([1.0])
    x.register_hook(lambda g: g * 10)
    x.requires_grad_(False)
    x.requires_grad_(True)
    x.sum().backward()
    assert x.grad.tolist() == [10.0]


def test_no_grad_records_nothing() -> None:
    x = leaf(2.0)
    with tg.no_grad():
        y = x * x
    assert not y.requires_grad
    with tg.no_grad(), tg.enable_grad():
        assert (x * x).requires_grad


def test_a_leaf_that_died_receives_nothing() -> None:
    x, w = leaf(2.0), leaf(3.0)
    y = x * w
    del x
    y.backward()
    assert w.grad.item() == 2.0


# ------------------------------------------------------------------------------------------------ dtypes and broadcasting


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "pow", "maximum", "where", "cat"])
@pytest.mark.parametrize(("a", "b"), [(tg.float32, D), (D, tg.float32)])
def test_gradients_have_the_dtype_of_their_leaf(op: str, a: Any, b: Any) -> None:
    x, w = leaf([1.0, 2.0], a), leaf([2.0, 0.5], b)
    if op == "where":
        y = tg.where(tg.tensor([True, False]), x, w)
    elif op == "cat":
        y = tg.cat([x, w])
    else:
        y = getattr(tg, op)(x, w)
    assert y.dtype is D
    y.sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (a, b)


@pytest.mark.parametrize("op", ["add_", "mul_", "div_", "pow_", "copy_"])
def test_in_place_mixed_dtypes(op: str) -> None:
    x, w = leaf([1.0, 2.0], tg.float32), leaf([2.0, 0.5], D)
    y = x * 1
    getattr(y, op)(w)
    assert y.dtype is tg.float32
    z = y * y
    z.sum().backward()
    assert w.grad.dtype is D
    if op == "copy_":
        assert w.grad.tolist() == [4.0, 1.0]
    else:
        assert x.grad.dtype is tg.float32
    if op == "mul_":
        assert x.grad.tolist() == [8.0, 1.0]


def test_integer_operands_take_no_part() -> None:
    x, i = leaf([1.0, 2.0], tg.float32), tg.tensor([2, 3])
    (x * i).sum().backward()
    assert (x.grad.tolist(), x.grad.dtype) == ([2.0, 3.0], tg.float32)


def test_a_float_written_into_integers_does_not_make_them_require_grad() -> None:
    w = leaf([1.5, 2.5])
    i = tg.zeros(2, dtype=tg.int64)
    i.copy_(w)
    assert not i.requires_grad
    row = tg.zeros(2, 2, dtype=tg.int64)
    row[0] = w
    assert not row.requires_grad
    assert row.tolist() == [[1, 2], [0, 0]]


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 3), (4, 1)), ((1,), (5,)), ((3, 0), (1,)), ((2, 3), (2, 3))]
)
@pytest.mark.parametrize("create", [False, True])
def test_broadcasting_sums_over_what_was_repeated(a: tuple[int, ...], b: tuple[int, ...], create: bool) -> None:
    rng = np.random.default_rng(0)
    xa, wa = rng.normal(size=a), rng.normal(size=b)
    x, w = leaf(xa), leaf(wa)
    y = x * w
    seed = rng.normal(size=y.shape)
    gx, gw = autograd.grad(y, [x, w], tg.tensor(seed), create_graph=create)

    def reduced(full: Any, shape: tuple[int, ...]) -> Any:
        full = full.sum(axis=tuple(range(full.ndim - len(shape))))
        return full.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)

    np.testing.assert_allclose(gx.detach().numpy(), reduced(seed * wa, a), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gw.detach().numpy(), reduced(seed * xa, b), rtol=1e-12, atol=1e-13)


# -------------------------------------------------------------------------------------------- graphs and higher derivatives


def test_diamonds_and_reuse() -> None:
    x = leaf(1.5)
    a = x * x
    b = a * x + a
    c = b * a + b + a
    c.backward()
    v = 1.5  # c = (x^3 + x^2) x^2 + x^3 + x^2 + x^2
    assert x.grad.item() == pytest.approx(5 * v**4 + 4 * v**3 + 3 * v**2 + 4 * v, rel=1e-14)


def test_doubling_forty_times_is_one_sweep() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(40):
        y = y + y  # 2^40 paths
    y.backward()
    assert x.grad.item() == 2.0**40


def _nth(f: Callable[[tg.Tensor], tg.Tensor], at: float, order: int) -> list[float]:
    x = leaf(at)
    y, values = f(x), []
    for _ in range(order):
        (y,) = autograd.grad(y, x, create_graph=True)
        values.append(y.item())
    return values


CLOSED: dict[str, tuple[Callable[[tg.Tensor], tg.Tensor], Callable[[float], list[float]]]] = {
    "tanh": (
        lambda x: x.tanh(),
        lambda x: [1 - (t := np.tanh(x)) ** 2, -2 * t * (1 - t**2), -2 * (1 - t**2) * (1 - 3 * t**2)],
    ),
    "exp of 2x": (lambda x: (x * 2).exp(), lambda x: [2 * np.exp(2 * x), 4 * np.exp(2 * x), 8 * np.exp(2 * x)]),
    "pow 5": (lambda x: x**5, lambda x: [5 * x**4, 20 * x**3, 60 * x**2]),
    "x exp x": (lambda x: x * x.exp(), lambda x: [(x + k) * np.exp(x) for k in (1, 2, 3)]),
    "exp tanh": (
        lambda x: x.tanh().exp(),
        lambda x: [
            np.exp(t := np.tanh(x)) * (s := 1 - t**2),
            np.exp(t) * (s * s - 2 * t * s),
            np.exp(t) * (s**3 - 6 * t * s * s + s * (4 * t * t - 2 * s)),
        ],
    ),
    "reciprocal": (lambda x: 1 / x, lambda x: [-(x**-2), 2 * x**-3, -6 * x**-4]),
    "log": (lambda x: x.log(), lambda x: [1 / x, -1 / x**2, 2 / x**3]),
    "in place": (lambda x: (x * 1).mul_(x).mul_(x).exp_(), lambda x: [
        np.exp(x**3) * 3 * x**2,
        np.exp(x**3) * (9 * x**4 + 6 * x),
        np.exp(x**3) * (27 * x**6 + 54 * x**3 + 6),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("at", [0.3, 1.25])
def test_third_derivatives(name: str, at: float) -> None:
    f, closed = CLOSED[name]
    np.testing.assert_allclose(_nth(f, at, 3), closed(at), rtol=1e-11)


def test_mixed_second_derivatives() -> None:
    x, y = leaf(1.2), leaf(0.7)
    gx, gy = autograd.grad((x * y).sin() * x, [x, y], create_graph=True)
    (gxy,) = autograd.grad(gx, y, retain_graph=True)
    (gyx,) = autograd.grad(gy, x)
    a, b = 1.2, 0.7
    assert gxy.item() == pytest.approx(2 * a * np.cos(a * b) - a * a * b * np.sin(a * b), rel=1e-12)
    assert gyx.item() == pytest.approx(gxy.item(), rel=1e-12)


NETS: dict[str, Callable[[tg.Tensor, tg.Tensor], tg.Tensor]] = {
    "mlp": lambda x, w: ((x @ w).tanh() @ w).sigmoid(),
    "broadcast": lambda x, w: (x[0] / (w + 3) + x.mean(1, keepdim=True)) ** 2,
    "softmax": lambda x, w: tg.softmax(x * w, 1) * tg.log_softmax(x + w, 0),
    "reuse": lambda x, w: x * w + x * w * x + w,
    "gather": lambda x, w: x[[0, 0, 2]] + w.max(1).values,
    "in place": lambda x, w: (x * 2).mul_(w).add_(x).tanh_() * w,
}


@pytest.mark.parametrize("dtype", [tg.float32, D])
@pytest.mark.parametrize("name", NETS)
def test_create_graph_gives_the_same_bits(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    x, w = leaf(rng.normal(size=(3, 3)), dtype), leaf(rng.normal(size=(3, 3)), dtype)
    plain = autograd.grad(NETS[name](x, w).sum(), [x, w])
    graph = autograd.grad(NETS[name](x, w).sum(), [x, w], create_graph=True)
    again = autograd.grad(NETS[name](x, w).sum(), [x, w])
    for p, g, a in zip(plain, graph, again, strict=True):
        assert same_bits(p, g)
        assert same_bits(p, a)


def test_writing_to_indices_after_use_is_noticed() -> None:
    x = leaf([[1.0, 5.0], [7.0, 2.0]])
    values, indices = x.max(1)
    indices.add_(1 - 2 * indices)
    with pytest.raises(RuntimeError, match="modified in place by add_"):
        values.sum().backward()
    i = tg.tensor([0, 0])
    rows = x[i]
    i.add_(1)
    rows.sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [0.0, 0.0]]  # where they were taken from


def test_an_input_without_derivative_is_refused() -> None:
    x, w = leaf([[1.0, 2.0]]), leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match="cross_entropy: the derivative with respect to 'weight'"):
        tg.nn.functional.cross_entropy(x, tg.tensor([0]), weight=w)


def test_gradients_of_many_parts_are_gathered_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alone would be padded to the shape of the whole: quadratic work for a loop over a sequence."""
    padded = []
    original = plan.ON_ARRAYS.pad_zeros
    monkeypatch.setattr(plan.ON_ARRAYS, "pad_zeros", lambda *args, **params: padded.append(1) or original(*args, **params))
    x = tg.randn(6, 4, dtype=tg.float64, requires_grad=True)
    parts = x.narrow(0, 0, 2), x.narrow(0, 1, 3), x.narrow(1, 2, 2), x.narrow(0, 5, 1)
    sum(((i + 1) * part * part).sum() for i, part in enumerate(parts)).backward()
    factor = np.zeros((6, 4))
    factor[:2] += 1
    factor[1:4] += 2
    factor[:, 2:] += 3
    factor[5:] += 4
    np.testing.assert_allclose(x.grad.numpy(), 2 * factor * x.detach().numpy(), rtol=1e-14)
    assert len(padded) == 1
