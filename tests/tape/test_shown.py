"""Views made by native code are what views made in Python are: memory, layout, tape and messages."""

import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels.native import plans
from tapegrad.modes import local
from tapegrad.ops.shape.reshape import _reshaped

D = tg.float64
VIEWS: dict[str, Callable[[Any], Any]] = {
    "view": lambda x: x.view(-1, 2),
    "reshape": lambda x: x.reshape((2, 6)),
    "squeeze": lambda x: x[:, None].squeeze(1),
    "squeeze all": lambda x: x[None].squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.transpose(0, -1),
    "permute": lambda x: x.permute(1, 0),
    "T": lambda x: x.T,
    "t": lambda x: x.t(),
    "expand": lambda x: x[0].expand(5, -1),
    "integer": lambda x: x[-1],
    "slices": lambda x: x[1:, ::2],
    "mixed": lambda x: x[None, ..., -1],
    "of a view": lambda x: x[:, 1:3].T[0],
}
SOURCES: dict[str, Callable[[], tg.Tensor]] = {
    "plain": lambda: tg.arange(12, dtype=D).view(3, 4) + 0,
    "transposed": lambda: tg.arange(12, dtype=D).view(4, 3).T,
    "backwards": lambda: tg.from_numpy(np.arange(12.0).reshape(3, 4)[::-1, ::-1]),
    "read-only": lambda: tg.from_numpy(np.broadcast_to(np.arange(4.0), (3, 4))),
    "bfloat16": lambda: tg.arange(12, dtype=tg.bfloat16).view(3, 4) + 0,
}


def in_python(function: Callable[[Any], Any], x: tg.Tensor) -> tg.Tensor:
    """The view on the general path, which everything takes while something listens."""
    before = local.flags
    local.flags |= 2
    try:
        return function(x)  # type: ignore[no-any-return]
    finally:
        local.flags = before


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writ")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", VIEWS)
def test_the_second_view_is_like_the_first_and_like_one_made_in_python(name: str, source: str) -> None:
    view, x = VIEWS[name], SOURCES[source]()
    if name == "view" and source != "plain" and source != "bfloat16":
        x = x.clone()
    expected = in_python(view, x)
    for made in (view(x), view(x), view(x)):
        a, b = made._array, expected._array
        assert (a.shape, a.dtype, a.tolist()) == (b.shape, b.dtype, b.tolist())
        assert type(made) is tg.Tensor
        shared = expected._storage is x._storage
        assert (made._storage is x._storage) is shared
        if not shared:
            continue
        assert (a.strides, a.ctypes.data) == (b.strides, b.ctypes.data)
        assert str(a.flags) == str(b.flags)
        assert a.base is b.base or (a.base is x._array)
        mine, theirs = made._base, expected._base
        assert (mine.root, mine.above is None, mine.op, mine.tracked) == (theirs.root, theirs.above is None, theirs.op, theirs.tracked)
        assert [(op, params) for op, params in mine.steps] == [(op, params) for op, params in theirs.steps]
        assert any(v is made for v in x._storage.views())


@pytest.mark.parametrize("name", VIEWS)
def test_gradients_flow_through_them(name: str) -> None:
    view = VIEWS[name]
    expected = None
    for _ in range(3):
        x = tg.arange(12, dtype=D).view(3, 4).clone().requires_grad_()
        y = view(x * 1)
        (y * tg.arange(float(y.numel()), dtype=D).view(*y.shape)).sum().backward()
        assert x.grad is not None
        expected = x.grad.tolist() if expected is None else expected
        assert x.grad.tolist() == expected
        assert y.grad_fn is not None and y.grad_fn.next_functions[0][0] is not None
        z = view(x)
        (g,) = tg.autograd.grad((z * z).sum(), x, create_graph=True)
        g.sum().backward()


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("expand",)])
def test_writes_reach_the_root_and_other_views(name: str) -> None:
    for _ in range(3):
        leaf = tg.arange(12, dtype=D).view(3, 4).clone().requires_grad_()
        root = leaf * 1
        one, other = VIEWS[name](root), root.view(-1)
        one.mul_(3)
        assert root._version == 1
        assert other.grad_fn is not None
        other.sum().backward()
        written = VIEWS[name](tg.arange(12).view(3, 4)).numpy().ravel()
        assert leaf.grad is not None
        assert leaf.grad.view(-1).tolist() == [3.0 if i in written else 1.0 for i in range(12)]


def test_views_of_constants_follow_when_the_root_joins_the_tape() -> None:
    a = tg.tensor([2.0], dtype=D, requires_grad=True)
    for _ in range(3):
        root = tg.ones(3, 2, dtype=D)
        view = root.view(-1)
        assert not view.requires_grad
        root[0] = a
        assert view.requires_grad
        (g,) = tg.autograd.grad(view.sum(), a)
        assert g.tolist() == [2.0]


def test_modes_decide_who_records() -> None:
    x = tg.ones(4, requires_grad=True)
    y = x * 1
    for _ in range(3):
        with tg.no_grad():
            assert y.view(2, 2).grad_fn is None
            assert not y.view(2, 2)._base.tracked
            inner = y.view(2, 2)
        assert not inner.T._base.tracked  # a view of what was not followed
        assert y.view(2, 2).grad_fn is not None
        assert y.view(2, 2)._base.tracked
        with pytest.raises(RuntimeError, match="view of a leaf tensor that requires grad"):
            x.view(2, 2).add_(1)
        with tg.record() as tape:
            y.view(2, 2)
        assert [row.op for row in tape] == ["reshape"]


def test_parameters_and_other_subclasses_may_be_viewed() -> None:
    class Mine(tg.Tensor):
        pass

    weight = tg.nn.Parameter(tg.ones(2, 3))
    mine = Mine([[1.0, 2.0]])
    for _ in range(3):
        assert type(weight.T) is tg.Tensor
        assert weight.T._base.root is weight
        assert mine.T.tolist() == [[1.0], [2.0]]
        assert mine.T._base.root is mine


def test_mistakes_raise_each_time() -> None:
    x = tg.ones(2, 3)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="view: shape"):
            x.view(4)
        with pytest.raises(RuntimeError, match="reshape: shape"):
            x.reshape(4)
        with pytest.raises(RuntimeError, match="at most one"):
            x.reshape(-2, 3)
        with pytest.raises(RuntimeError, match="needs a copy"):
            x.T.view(6)
        with pytest.raises(IndexError, match="out of range"):
            x.squeeze(2)
        with pytest.raises(IndexError):
            x[2]
        with pytest.raises(TypeError, match="argument 'input' must be a Tensor"):
            tg.squeeze(3, 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            x.view(2.0, 3)
        assert x.T.reshape(6)._storage is not x._storage
        assert x.view(tg.int32).dtype is tg.int32


def test_empty_and_scalar_tensors() -> None:
    for _ in range(3):
        assert tg.ones(0, 3).view(3, 0).shape == (3, 0)
        assert tg.ones(0, 3).T.shape == (3, 0)
        assert tg.tensor(2.0).view(1, 1).tolist() == [[2.0]]
        assert tg.tensor(2.0).T.item() == 2.0
        assert tg.ones(1, 1).squeeze().shape == ()
        assert tg.tensor([[5.0]])[0, 0].item() == 5.0
        assert tg.ones(3)[1:1].shape == (0,)


def test_memory_lives_as_long_as_its_last_view_and_no_longer() -> None:
    x = tg.arange(6)
    view = x.view(2, 3)
    array = x._array
    count = sys.getrefcount(array)
    last = view.T[1]
    del x, view
    gc.collect()
    assert last.tolist() == [1, 4]
    assert last._base.root._array is array
    del last
    assert sys.getrefcount(array) < count


def test_nothing_is_leaked() -> None:
    x = tg.ones(3, 4, dtype=D, requires_grad=True)
    y = x * 1

    def work() -> None:
        for _ in range(300):
            for view in VIEWS.values():
                view(y), view(x)
            (x * 1).view(-1)[2:4]

    work()
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        work()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 100_000  # 9000 views of 500 bytes
    constants = [None, (), 0, True, D.numpy]
    counts = [sys.getrefcount(c) for c in constants]
    work()
    assert all(abs(sys.getrefcount(c) - n) < 500 for c, n in zip(constants, counts, strict=True))


def test_so_many_kinds_of_views_are_still_right() -> None:
    x = tg.arange(3000)
    for i in range(0, 3000, 2):
        assert x[i].item() == i
        assert x[i : i + 2].tolist() == [i, i + 1]
    assert len(_reshaped._plans._known) <= plans._CAPACITY


def test_threads_may_view_the_same_tensor() -> None:
    y = tg.ones(4, 3, dtype=D) * 1
    made: list[list[tg.Tensor]] = [[] for _ in range(4)]

    def work(mine: list[tg.Tensor]) -> None:
        for i in range(400):
            mine.append(y[i % 4])
            y.view(-1), y.T

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = {id(v) for v in y._storage.views()}
    assert all(id(view) in known for mine in made for view in mine)


def test_a_finalizer_may_replace_the_source_while_it_is_viewed() -> None:
    """Collecting garbage runs anything, here in the midst of making a view."""
    t = tg.zeros(8)

    class Replaces:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            t.data = tg.full((8,), 7.0)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            Replaces()
            assert t[3].item() in (0.0, 7.0)
            assert t.view(2, 4).tolist()[1][0] in (0.0, 7.0)
    finally:
        gc.set_threshold(*before)
