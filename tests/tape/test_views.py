"""Views: what they are, whose memory they show, and gradients through them when one or the other is written."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd

D = tg.float64

VIEWS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "row": (lambda t: t[1], lambda a: a[1]),
    "element": (lambda t: t[1, 2], lambda a: a[1, 2:3].reshape(())),
    "slice": (lambda t: t[:, 1:3], lambda a: a[:, 1:3]),
    "step": (lambda t: t[::2, ::3], lambda a: a[::2, ::3]),
    "new axis": (lambda t: t[:, None, 0], lambda a: a[:, None, 0]),
    "ellipsis": (lambda t: t[..., -1], lambda a: a[..., -1]),
    "t": (lambda t: t.t(), lambda a: a.T),
    "T": (lambda t: t.T, lambda a: a.T),
    "permute": (lambda t: t.permute(1, 0), lambda a: a.T),
    "view": (lambda t: t.view(2, 6), lambda a: a.reshape(2, 6)),
    "reshape": (lambda t: t.reshape(-1), lambda a: a.reshape(-1)),
    "flatten": (lambda t: t.flatten(), lambda a: a.reshape(-1)),
    "unsqueeze": (lambda t: t.unsqueeze(1), lambda a: a[:, None]),
    "squeeze": (lambda t: t[:1].squeeze(0), lambda a: a[0]),
    "narrow": (lambda t: t.narrow(1, 1, 2), lambda a: a[:, 1:3]),
    "chain": (lambda t: t[1:].t()[1:3].unsqueeze(0), lambda a: a[1:].T[1:3][None]),
    "transposed then flat": (lambda t: t[:, :1].t().reshape(-1), lambda a: a[:, 0]),
}


def _start() -> tuple[tg.Tensor, Any]:
    a = np.arange(1.0, 13.0).reshape(3, 4)
    return tg.tensor(a, requires_grad=True), a


def _mask(view: Callable[[Any], Any], shape: tuple[int, ...]) -> Any:
    """True where the view shows its root."""
    places = view(np.arange(float(np.prod(shape))).reshape(shape)).astype(int)
    mask = np.zeros(shape, bool)
    mask.ravel()[places.ravel()] = True
    return mask


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory_and_storage(name: str) -> None:
    x, a = _start()
    v = VIEWS[name][0](x)
    np.testing.assert_array_equal(v.detach().numpy(), VIEWS[name][1](a))
    assert np.may_share_memory(v._array, x._array)
    with tg.no_grad():
        x.mul_(2)
    np.testing.assert_array_equal(v.detach().numpy(), VIEWS[name][1](2 * a))
    assert v._version == x._version == 1


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_gradient_of_a_view(name: str, create: bool) -> None:
    x, a = _start()
    v = VIEWS[name][0](x)
    (v * v).sum().backward(create_graph=create)
    np.testing.assert_array_equal(x.grad.detach().numpy(), np.where(_mask(VIEWS[name][1], a.shape), 2 * a, 0))


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_a_write_to_a_view_is_a_write_to_its_root(name: str, create: bool) -> None:
    x, a = _start()
    y = x * 1
    VIEWS[name][0](y).mul_(3)
    (y * y).sum().backward(create_graph=create)
    factor = np.where(_mask(VIEWS[name][1], a.shape), 3.0, 1.0)
    np.testing.assert_array_equal(y.detach().numpy(), factor * a)
    np.testing.assert_allclose(x.grad.detach().numpy(), 2 * factor**2 * a)


@pytest.mark.parametrize("name", VIEWS)
def test_a_write_to_the_root_is_a_write_to_its_views(name: str) -> None:
    x, a = _start()
    y = x * 1
    v = VIEWS[name][0](y)
    y.mul_(x)
    (v * 5).sum().backward()
    np.testing.assert_array_equal(v.detach().numpy(), VIEWS[name][1](a * a))
    np.testing.assert_allclose(x.grad.numpy(), np.where(_mask(VIEWS[name][1], a.shape), 10 * a, 0))


@pytest.mark.parametrize("name", VIEWS)
def test_a_write_to_one_view_is_seen_by_another(name: str) -> None:
    x, a = _start()
    y = x * 1
    other = y[1:, 1:]
    VIEWS[name][0](y).mul_(3)
    (other * other).sum().backward()
    factor = np.where(_mask(VIEWS[name][1], a.shape), 3.0, 1.0)
    seen = np.zeros(a.shape)
    seen[1:, 1:] = 1
    np.testing.assert_allclose(x.grad.numpy(), 2 * factor**2 * a * seen)


@pytest.mark.parametrize("name", VIEWS)
def test_a_constant_becomes_tracked_by_a_write_to_its_view(name: str) -> None:
    w = tg.tensor(2.0, dtype=D, requires_grad=True)
    y = tg.tensor(np.arange(1.0, 13.0).reshape(3, 4))
    early = y.t()
    VIEWS[name][0](y).mul_(w)
    assert y.requires_grad
    assert early.requires_grad
    early.sum().backward()
    a = np.arange(1.0, 13.0).reshape(3, 4)
    assert w.grad.item() == a[_mask(VIEWS[name][1], a.shape)].sum()


def test_roots_in_other_memory_orders() -> None:
    """A flat view of a column-major root: the gradient's array can't be viewed so."""
    w = tg.tensor(2.0, dtype=D, requires_grad=True)
    y = tg.from_numpy(np.asfortranarray(np.arange(1.0, 7.0).reshape(2, 3)))
    y.mul_(w)
    y.t().reshape(-1)[1:3].mul_(10)
    for create in (False, True):
        (g,) = autograd.grad(y.sum(), w, create_graph=create, retain_graph=True)
        factors = np.array([[1, 10, 1], [10, 1, 1]])
        assert g.item() == (np.arange(1.0, 7.0).reshape(2, 3) * factors).sum()


def test_repeated_writes_to_nested_views() -> None:
    x = tg.tensor([1.0, 2.0, 3.0, 4.0], dtype=D, requires_grad=True)
    y = x * 1
    a, b = y[:3], y[1:]
    c = a[1:]
    a.mul_(2)
    b.mul_(3)
    c.mul_(5)
    y.mul_(7)
    np.testing.assert_array_equal(y.detach().numpy(), [14.0, 420.0, 630.0, 84.0])
    for t in (y, a, b, c):
        factors = autograd.grad(t.sum(), x, retain_graph=True)[0].numpy()
        expected = np.array([14.0, 210.0, 210.0, 21.0])
        mask = np.zeros(4)
        mask[{id(y): slice(0, 4), id(a): slice(0, 3), id(b): slice(1, 4), id(c): slice(1, 3)}[id(t)]] = 1
        np.testing.assert_array_equal(factors, expected * mask)


def test_views_of_expanded_tensors_follow_the_root() -> None:
    x = tg.tensor([1.0, 2.0], dtype=D, requires_grad=True)
    y = x * 1
    e = y.expand(3, 2)
    y.mul_(5)
    e.sum().backward()
    assert x.grad.tolist() == [15.0, 15.0]


def test_a_reshape_that_must_copy_is_no_view() -> None:
    x, a = _start()
    y = x * 1
    c = y.t().reshape(-1)
    assert not np.may_share_memory(c._array, y._array)
    c.mul_(10)
    np.testing.assert_array_equal(y.detach().numpy(), a)
    with pytest.raises(RuntimeError, match=r"view: shape \[12\] needs a copy.*reshape"):
        y.t().view(12)


def test_views_made_without_recording_are_constants() -> None:
    x, a = _start()
    with tg.no_grad():
        v = x[0]
    assert not v.requires_grad
    y = x * 1
    with tg.no_grad():
        u = y[0]
    with pytest.raises(RuntimeError, match=r"made inside no_grad\(\).*outside no_grad\(\)"):
        u.mul_(2)
    y.mul_(2)
    assert not u.requires_grad
    np.testing.assert_array_equal(u.numpy(), 2 * a[0])


def test_a_view_of_a_constant_made_without_recording_is_tracked_once_written() -> None:
    w = tg.tensor([2.0, 5.0], dtype=D, requires_grad=True)
    b = tg.ones(2, dtype=D)
    with tg.no_grad():
        v = b[:]
    v.mul_(w)
    assert v.requires_grad
    b.mul_(w)
    (v * 1).sum().backward()
    assert w.grad.tolist() == [4.0, 10.0]


def test_hooks_and_retained_gradients_on_views() -> None:
    x = tg.tensor([1.0, 2.0], dtype=D, requires_grad=True)
    y = x * 1
    v = y[:1]
    v.retain_grad()
    y.retain_grad()
    y.mul_(3)  # both keep the gradient of their new value
    (v * 10 + y[1:]).sum().backward()
    assert v.grad.tolist() == [10.0]
    assert y.grad.tolist() == [10.0, 1.0]
    assert x.grad.tolist() == [30.0, 3.0]


def test_views_keep_their_root_alive_but_not_the_other_way() -> None:
    x, _ = _start()
    y = x * 1
    v = y[0]
    view, root = weakref.ref(v), weakref.ref(y)
    gc.collect()
    gc.disable()
    try:
        del v
        assert view() is None
        v = y[1]
        del y
        assert root() is not None
        del v
        assert root() is None
    finally:
        gc.enable()


def test_making_views_in_a_loop_is_bounded() -> None:
    x, _ = _start()
    for _ in range(200):
        x[0].sum()
    assert len(x._storage.views()) <= 16


def test_second_derivatives_through_writes_to_views() -> None:
    x = tg.tensor([0.5, 1.5], dtype=D, requires_grad=True)
    y = x * x
    y[0].mul_(y[1])  # x0^2 x1^2
    (g,) = autograd.grad(y[0], x, create_graph=True)
    rows = [autograd.grad(g[i], x, retain_graph=True)[0].tolist() for i in range(2)]
    a, b = 0.5, 1.5
    np.testing.assert_allclose(rows, [[2 * b * b, 4 * a * b], [4 * a * b, 2 * a * a]], rtol=1e-14)


# ------------------------------------------------------------------------------------------------- what memory knows of views


def test_dead_views_are_forgotten_and_living_ones_are_not() -> None:
    x = tg.ones(4, 3, dtype=D, requires_grad=True)
    y = x * 1
    kept = [y[i % 4] for i in range(40)]
    for _ in range(2000):
        y.view(-1)
    refs = y._storage._views
    assert refs is not None and len(refs) < 200
    y.mul_(3)
    sum(v.sum() for v in kept[:4]).backward()
    assert x.grad is not None and x.grad.tolist() == [[3.0] * 3] * 4


def test_views_made_by_several_threads_are_all_known() -> None:
    y = tg.ones(4, 3, dtype=D)
    made: list[list[tg.Tensor]] = [[] for _ in range(4)]

    def work(mine: list[tg.Tensor]) -> None:
        for i in range(500):
            mine.append(y[i % 4])
            y.t()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(v) for v in y._storage.views()} >= {id(v) for mine in made for v in mine}
    y.mul_(tg.full((), 2.0, dtype=D, requires_grad=True))
    assert all(v.requires_grad for mine in made for v in mine)


def test_a_view_without_elements_is_one() -> None:
    x = tg.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="view of a leaf"):
        x[2:2].zero_()
