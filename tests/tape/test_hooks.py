"""Hooks on gradients and on saved values."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd
from tapegrad.autograd import saved_tensors_hooks

D = tg.float64


def leaf(data: Any, dtype: Any = D) -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------------------------------------------------- register_hook


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("where", ["leaf", "middle", "root"])
def test_hooks_run_in_order_and_replace(where: str, create: bool) -> None:
    x = leaf([1.0, 2.0])
    h = x * 2
    y = h * 3
    seen: list[Any] = []
    t = {"leaf": x, "middle": h, "root": y}[where]
    t.register_hook(lambda g: seen.append(("a", g.tolist())))
    t.register_hook(lambda g: g * 10)
    t.register_hook(lambda g: seen.append(("b", g.tolist())))
    y.backward(tg.ones(2, dtype=D), create_graph=create)
    factor = {"leaf": 6.0, "middle": 3.0, "root": 1.0}[where]
    assert seen == [("a", [factor] * 2), ("b", [10 * factor] * 2)]
    assert x.grad.tolist() == [60.0, 60.0]


def test_a_hook_sees_the_whole_gradient_once() -> None:
    x = leaf(2.0)
    h = x * x
    seen: list[float] = []
    h.register_hook(lambda g: seen.append(g.item()))
    (h * 3 + h * h).backward()
    assert seen == [3.0 + 2 * 4.0]


def test_hooks_can_be_removed() -> None:
    x = leaf(2.0)
    handle = x.register_hook(lambda g: g * 100)
    handle.remove()
    handle.remove()
    with x.register_hook(lambda g: g * 10):
        (x * 1).backward()
    (x * 1).backward()
    assert x.grad.item() == 11.0


def test_removing_a_hook_while_hooks_run() -> None:
    x = leaf(2.0)
    calls: list[int] = []

    def first(g: tg.Tensor) -> None:
        calls.append(1)
        second.remove()

    x.register_hook(first)
    second = x.register_hook(lambda g: calls.append(2))
    for _ in range(2):
        (x * 1).backward()
    assert calls == [1, 2, 1]


@pytest.mark.parametrize(
    ("replacement", "error", "match"),
    [
        (lambda g: g.sum(), RuntimeError, r"changed the gradient's shape or dtype from \(2,\).*to \(\)"),
        (lambda g: g.to(tg.float32), RuntimeError, "float32"),
        (lambda g: 3.0, TypeError, "must return a Tensor or None, got float"),
    ],
)
def test_a_replacement_must_fit(replacement: Any, error: type[Exception], match: str) -> None:
    x = leaf([1.0, 2.0])
    h = x * 2
    h.register_hook(replacement)
    with pytest.raises(error, match=match):
        h.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("create", [False, True])
def test_a_hook_may_write_to_what_it_is_shown_and_harms_nobody(create: bool) -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    h, k = x * 1, w * 1
    seed = tg.ones(2, dtype=D)

    def write(g: tg.Tensor) -> None:
        g.mul_(10)

    h.register_hook(write)  # add gives both the same array, the seed itself
    (h + k).backward(seed, create_graph=create)
    assert seed.tolist() == [1.0, 1.0]
    assert w.grad.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [10.0, 10.0]


def test_a_kept_gradient_is_not_written_later() -> None:
    x = leaf([1.0, 2.0])
    h = x * 1
    kept: list[tg.Tensor] = []
    h.register_hook(kept.append)
    x.register_hook(kept.append)
    (h * 2).sum().backward()
    (x * 5).sum().backward()
    assert [k.tolist() for k in kept] == [[2.0, 2.0], [2.0, 2.0], [5.0, 5.0]]
    assert all(not np.may_share_memory(k._array, x.grad._array) for k in kept)


def test_hooks_are_differentiable_with_create_graph() -> None:
    x = leaf(3.0)
    h = x * x
    handle = h.register_hook(lambda g: g * g)
    (g,) = autograd.grad(h * h, x, create_graph=True)  # (2 h)^2 * 2 x = 8 x^5
    handle.remove()
    assert g.item() == 8 * 3.0**5
    assert autograd.grad(g, x)[0].item() == 40 * 3.0**4


def test_hooks_without_create_graph_are_not_recorded() -> None:
    x = leaf(3.0)
    modes: list[bool] = []
    x.register_hook(lambda g: modes.append(tg.is_grad_enabled()))
    (x * x).backward()
    (x * x).backward(create_graph=True)
    assert modes == [False, True]


def test_a_hook_on_a_value_written_in_place_sees_the_gradient_of_the_old_value() -> None:
    x = leaf([1.0])
    y = x * 2
    old, new = [], []
    y.register_hook(lambda g: old.append(g.item()))
    y.mul_(5.0)
    y.register_hook(lambda g: new.append(g.item()))
    (y * 3).sum().backward()
    assert (old, new) == ([15.0], [3.0])


def test_hooks_on_each_of_several_outputs() -> None:
    x = leaf([[1.0, 5.0], [7.0, 2.0]])
    values = x.max(1).values
    values.register_hook(lambda g: g * 10)
    values.sum().backward()
    assert x.grad.tolist() == [[0.0, 10.0], [10.0, 0.0]]


def test_hooks_need_a_tensor_that_requires_grad() -> None:
    with pytest.raises(RuntimeError, match=r"register_hook.*does not require grad"):
        tg.ones(2).register_hook(lambda g: None)
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="only leaf tensors"):
        (x * 2).register_post_accumulate_grad_hook(lambda t: None)


def test_retained_gradient_is_the_replaced_one() -> None:
    x = leaf(2.0)
    h = x * x
    h.retain_grad()
    h.register_hook(lambda g: g * 10)
    (h * 3).backward()
    assert h.grad.item() == 30.0


# ------------------------------------------------------------------------------------------------- after the accumulation


def test_post_accumulate_hooks_run_after_every_grad_is_committed() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seen: list[Any] = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, x.grad.tolist(), w.grad.tolist())))
    handle = w.register_post_accumulate_grad_hook(lambda t: seen.append((t is w, x.grad.tolist(), w.grad.tolist())))
    (x * w).sum().backward()
    assert seen == [(True, [3.0, 4.0], [1.0, 2.0])] * 2
    handle.remove()
    (x * w).sum().backward()
    assert len(seen) == 3


def test_a_post_accumulate_hook_may_clear_the_grad_and_step() -> None:
    x = leaf([1.0, 2.0])

    def step(t: tg.Tensor) -> None:
        with tg.no_grad():
            t.sub_(t.grad)
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 1).sum().backward()
    assert x.grad is None
    assert x.tolist() == [0.0, 1.0]


def test_a_post_accumulate_hook_that_raises_leaves_all_committed() -> None:
    x, w = leaf(2.0), leaf(3.0)

    def fail(t: tg.Tensor) -> None:
        raise ValueError("later")

    x.register_post_accumulate_grad_hook(fail)
    with pytest.raises(ValueError, match="later"):
        (x * w).backward()
    assert (x.grad.item(), w.grad.item()) == (3.0, 2.0)


# ------------------------------------------------------------------------------------------------------------ saved values


def _net(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return (((x @ w).tanh() * 2 + w).exp() * x.max(1).values).softmax(1).sum(0)[0] + (x**2 / w).mean()


def _inputs() -> tuple[tg.Tensor, tg.Tensor]:
    rng = np.random.default_rng(0)
    return leaf(rng.normal(size=(3, 3))), leaf(rng.uniform(1, 2, size=(3, 3)))


@pytest.mark.parametrize("create", [False, True])
def test_packing_to_disk_and_back(tmp_path: Path, create: bool) -> None:
    x, w = _inputs()
    plain = autograd.grad(_net(x, w), [x, w])

    def pack(t: tg.Tensor) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(path, t.numpy())
        return path

    with saved_tensors_hooks(pack, lambda path: tg.tensor(np.load(path))):
        y = _net(x, w)
    written = len(list(tmp_path.iterdir()))
    assert written >= 8
    grads = autograd.grad(y, [x, w], create_graph=create)
    for a, b in zip(plain, grads, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.detach().numpy())
    assert grads[0].requires_grad is create


def test_second_derivatives_through_packed_values() -> None:
    x = leaf(0.7)
    with saved_tensors_hooks(lambda t: t.numpy().copy(), lambda a: tg.tensor(a)):
        y = (x * x).exp()
        (g,) = autograd.grad(y, x, create_graph=True)
        (g2,) = autograd.grad(g, x)
    assert g2.item() == pytest.approx((2 + 4 * 0.49) * np.exp(0.49), rel=1e-12)


def test_quantizing_changes_the_gradient_as_expected() -> None:
    x = leaf([1.0, 1.0 + 2.0**-30])
    with saved_tensors_hooks(lambda t: t.to(tg.float32), lambda t: t.to(D)):
        y = x * x
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_hooks_nest_and_the_innermost_serves() -> None:
    x = leaf(2.0)
    log: list[str] = []

    def hooks(name: str) -> saved_tensors_hooks:
        return saved_tensors_hooks(lambda t: (log.append(f"pack {name}"), t)[1], lambda t: (log.append(f"unpack {name}"), t)[1])

    with hooks("outer"):
        a = x.exp()
        with hooks("inner"):
            b = a.exp()
        c = b.exp()
    d = c.exp()
    assert log == ["pack outer", "pack inner", "pack outer"]
    d.backward()
    assert log[3:] == ["unpack outer", "unpack inner", "unpack outer"]


def test_numbers_and_indices_are_not_packed() -> None:
    x = leaf([[1.0, 2.0], [4.0, 3.0]])
    seen: list[type] = []
    with saved_tensors_hooks(lambda t: (seen.append(type(t)), t)[1], lambda t: t):
        y = (x * 2.0 + 1) ** 2
        z = y.max(1).values
    z.sum().backward()
    assert set(seen) == {tg.Tensor}
    assert x.grad.tolist() == [[0.0, 20.0], [36.0, 0.0]]


@pytest.mark.parametrize(
    ("unpack", "error", "match"),
    [
        (lambda t: t.numpy(), TypeError, "unpack hook must return a Tensor, got ndarray"),
        (lambda t: t[:1], RuntimeError, r"exp: the unpack hook.*\(2,\).*\(1,\)"),
        (lambda t: t.to(tg.float32), RuntimeError, "float64.*float32"),
    ],
)
def test_unpack_must_return_what_was_packed(unpack: Any, error: type[Exception], match: str) -> None:
    x = leaf([1.0, 2.0])
    with saved_tensors_hooks(lambda t: t, unpack):
        y = x.exp()
    with pytest.raises(error, match=match):
        y.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("pack", [lambda t: t, lambda t: t.numpy()])
def test_a_write_to_memory_that_was_packed_by_reference_is_noticed(pack: Any) -> None:
    x = leaf([1.0, 2.0])
    with saved_tensors_hooks(pack, lambda t: t if isinstance(t, tg.Tensor) else tg.tensor(t)):
        y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"exp.*modified in place by add_"):
        y.sum().backward()


def test_a_write_after_packing_a_copy_is_harmless() -> None:
    x = leaf([0.0, 0.0])
    with saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        y = x.exp()
    y.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_packing_an_output_makes_no_cycle() -> None:
    x = leaf([1.0, 2.0])

    def step() -> None:
        with saved_tensors_hooks(lambda t: t, lambda t: t):
            y = x.exp().tanh()
        y.sum().backward()
        x.sigmoid()

    step()  # kernels are compiled now, which leaves cycles of Numba's
    step()
    gc.collect()
    gc.disable()
    try:
        step()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_function_values_are_packed_too() -> None:
    class Square(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            ctx.save_for_backward(x, None)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
            x, nothing = ctx.saved_tensors
            assert nothing is None
            return g * 2 * x

    x = leaf(3.0)
    packed: list[float] = []
    with saved_tensors_hooks(lambda t: (packed.append(t.item()), t * 1)[1], lambda t: t):
        y = Square.apply(x)
    (g,) = autograd.grad(y, x, create_graph=True)
    assert packed == [3.0]
    assert autograd.grad(g, x)[0].item() == 2.0
