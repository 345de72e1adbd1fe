"""A state machine of views, writes in place and backward, beside a replay without views or writes, and beside PyTorch.

In the replay memory is one flat value per root, and a tensor is the numbers of its elements in it: reading multiplies by a matrix of
zeros and ones, writing replaces the whole root. What views and writes do there is NumPy's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import tapegrad as tg
from tapegrad import autograd

MOST = 14  # tensors
_number = st.integers(0, 60)


class Item:
    """A tensor, its places in a root of the replay, and PyTorch's tensor."""

    def __init__(self, tensor: tg.Tensor, root: int, places: Any, theirs: Any = None, part: bool = False) -> None:
        self.tensor, self.root, self.places, self.theirs = tensor, root, places, theirs
        self.part = part  # one of several views made at once, which PyTorch does not let one write to

    @property
    def distinct(self) -> bool:
        return np.unique(self.places).size == self.places.size


def _matrix(places: Any, size: int) -> Any:
    out = np.zeros((places.size, size))
    out[np.arange(places.size), places.ravel()] = 1
    return tg.tensor(out)


def _dim(x: Any, k: int) -> int:
    return k % x.ndim


def _window(a: Any, dim: int, size: int, step: int) -> Any:
    starts = range(0, a.shape[dim] - size + 1, step)
    return np.stack([np.moveaxis(np.take(a, range(s, s + size), dim), dim, -1) for s in starts], dim)


def _factors(n: int) -> list[tuple[int, ...]]:
    return [(n,), (1, n), (n // 2, 2) if n % 2 == 0 else (n, 1), (3, n // 3) if n % 3 == 0 else (n, 1, 1)]


# name: (least dimensions, on a tensor of either library, on the places); k is any number
View = tuple[int, Callable[[Any, int], Any], Callable[[Any, int], Any]]
VIEWS: dict[str, View] = {
    "select": (1, lambda t, k: t.select(_dim(t, k), -1), lambda a, k: np.take(a, -1, _dim(a, k))),
    "integer": (1, lambda t, k: t[0], lambda a, k: a[0]),
    "slice": (1, lambda t, k: t[k % 2 :: 2], lambda a, k: a[k % 2 :: 2]),
    "ellipsis": (1, lambda t, k: t[..., : 1 + k % 3], lambda a, k: a[..., : 1 + k % 3]),
    "None": (0, lambda t, k: t[None], lambda a, k: a[None]),
    "narrow": (1, lambda t, k: t.narrow(_dim(t, k), t.shape[_dim(t, k)] // 2, (t.shape[_dim(t, k)] + 1) // 2),
               lambda a, k: np.split(a, [a.shape[_dim(a, k)] // 2, a.shape[_dim(a, k)] // 2 + (a.shape[_dim(a, k)] + 1) // 2], _dim(a, k))[1]),
    "transpose": (2, lambda t, k: t.transpose(0, -1), lambda a, k: np.swapaxes(a, 0, -1)),
    "swapaxes": (2, lambda t, k: t.swapaxes(k % 2, 1), lambda a, k: np.swapaxes(a, k % 2, 1)),
    "mT": (2, lambda t, k: t.mT, lambda a, k: np.swapaxes(a, -1, -2)),
    "movedim": (1, lambda t, k: t.movedim(_dim(t, k), 0), lambda a, k: np.moveaxis(a, _dim(a, k), 0)),
    "permute": (1, lambda t, k: t.permute(*reversed(range(t.ndim))), lambda a, k: np.transpose(a)),
    "unsqueeze": (0, lambda t, k: t.unsqueeze(k % (t.ndim + 1)), lambda a, k: np.expand_dims(a, k % (a.ndim + 1))),
    "squeeze": (0, lambda t, k: t.squeeze(), lambda a, k: np.squeeze(a)),
    "diagonal": (2, lambda t, k: t.diagonal(k % 3 - 1, 0, -1), lambda a, k: np.diagonal(a, k % 3 - 1, 0, -1)),
    "unfold": (1, lambda t, k: t.unfold(_dim(t, k), min(2, t.shape[_dim(t, k)]), 1 + k % 2),
               lambda a, k: _window(a, _dim(a, k), min(2, a.shape[_dim(a, k)]), 1 + k % 2)),
    "expand": (0, lambda t, k: t.expand(2, *t.shape), lambda a, k: np.broadcast_to(a, (2, *a.shape))),
    "reshape": (0, lambda t, k: t.reshape(_factors(int(np.prod(t.shape)))[k % 4]), lambda a, k: a.reshape(_factors(a.size)[k % 4])),
    "flatten": (0, lambda t, k: t.flatten(), lambda a, k: a.reshape(-1)),
    "unflatten": (1, lambda t, k: t.unflatten(-1, (1, -1)), lambda a, k: np.expand_dims(a, -2)),
    "split": (1, lambda t, k: t.split(2)[0], lambda a, k: a[:2]),
    "chunk": (1, lambda t, k: t.chunk(2, -1)[-1], lambda a, k: a[..., -(-a.shape[-1] // 2) * (a.shape[-1] > 1) :]),
    "tensor_split": (1, lambda t, k: t.tensor_split(2)[0], lambda a, k: np.array_split(a, 2)[0]),
    "unbind": (1, lambda t, k: t.unbind(-1)[0], lambda a, k: a[..., 0]),
}  # fmt: skip
SEVERAL = ("split", "chunk", "tensor_split", "unbind")
BECOMING: dict[str, View] = {
    "unsqueeze_": (0, lambda t, k: t.unsqueeze_(k % (t.ndim + 1)), VIEWS["unsqueeze"][2]),
    "squeeze_": (0, lambda t, k: t.squeeze_(), VIEWS["squeeze"][2]),
    "transpose_": (2, lambda t, k: t.transpose_(0, -1), VIEWS["transpose"][2]),
}
# name: (in place on a tensor of either library, with a fresh tensor of its shape; out of place on the replay's value)
Write = tuple[Callable[[Any, Any, Any], Any], Callable[[Any, Any], Any]]
WRITES: dict[str, Write] = {
    "mul_": (lambda m, t, v: t.mul_(v), lambda x, v: x * v),
    "add_": (lambda m, t, v: t.add_(v), lambda x, v: x + v),
    "copy_": (lambda m, t, v: t.copy_(v), lambda x, v: v),
    "scalar": (lambda m, t, v: t.mul_(-0.5), lambda x, v: x * -0.5),
    "sin_": (lambda m, t, v: t.sin_(), lambda x, v: x.sin()),
    "zero_": (lambda m, t, v: t.zero_(), lambda x, v: x * 0),
    "fill_": (lambda m, t, v: t.fill_(v.sum()), lambda x, v: x * 0 + v.sum()),
    "masked_fill_": (lambda m, t, v: t.masked_fill_(v.detach() > 0.5, 0.25), lambda x, v: tg.where(v.detach() > 0.5, 0.25, x)),
    "setitem": (lambda m, t, v: t.__setitem__(..., v), lambda x, v: v),
}
# the same for tensors with a first dimension: on its first slice
SLICED: dict[str, Write] = {
    "index_fill_": (lambda m, t, v: t.index_fill_(0, m.tensor([0]), 0.5), lambda x, v: x * 0 + 0.5),
    "index_copy_": (lambda m, t, v: t.index_copy_(0, m.tensor([0]), v[:1]), lambda x, v: v[0]),
    "index_add_": (lambda m, t, v: t.index_add_(0, m.tensor([0, 0]), v[[0, 0]]), lambda x, v: x + 2 * v[0]),
    "index_put_": (lambda m, t, v: t.index_put_((m.tensor([0]),), v[:1]), lambda x, v: v[0]),
    "list": (lambda m, t, v: t.__setitem__([0], v[:1]), lambda x, v: v[0]),
    "scatter_add_": (lambda m, t, v: t.scatter_add_(0, m.zeros(1, *t.shape[1:], dtype=m.int64), v[:1]), lambda x, v: x + v[0]),
}


class Machine(RuleBasedStateMachine):
    """Everything is done three times: by tapegrad with views and writes, by tapegrad without, and by PyTorch."""

    torch: Any = None

    @initialize()
    def start(self) -> None:
        self.items: list[Item] = []
        self.roots: list[tg.Tensor] = []
        self.leaves, self.copies, self.their_leaves = [], [], []
        for low, high in ((0.2, 1.4), (-0.9, 0.8)):
            values = np.linspace(low, high, 6).reshape(2, 3)
            leaf, copy = (tg.tensor(values, requires_grad=True) for _ in range(2))
            theirs = None if self.torch is None else self.torch.tensor(values, requires_grad=True)
            self.leaves.append(leaf)
            self.copies.append(copy)
            self.their_leaves.append(theirs)
            self.add(Item(leaf, self.root(copy), np.arange(6).reshape(2, 3), theirs))
            self.add(Item(leaf * 2, self.root(copy * 2), np.arange(6).reshape(2, 3), None if theirs is None else theirs * 2))

    def add(self, item: Item) -> None:
        assert tuple(item.tensor.shape) == item.places.shape
        self.items.append(item)

    def root(self, value: tg.Tensor) -> int:
        self.roots.append(value.reshape(-1))
        return len(self.roots) - 1

    def read(self, item: Item) -> tg.Tensor:
        root = self.roots[item.root]
        return (_matrix(item.places, root.numel()) @ root).reshape(item.places.shape)

    def write(self, root: int, places: Any, value: tg.Tensor) -> None:
        old = self.roots[root]
        matrix = _matrix(places, old.numel())
        self.roots[root] = old * (1 - matrix.sum(0)) + value.reshape(-1) @ matrix

    def fresh(self, m: Any, leaf: Any, shape: Any) -> Any:
        """A tensor made of a leaf, of any shape, that nobody else sees."""
        n = int(np.prod(shape))
        flat = leaf.reshape(-1) * 0.7
        return m.cat([flat] * (n // 6 + 1))[:n].reshape(tuple(shape))

    def pick(self, k: int) -> Item:
        return self.items[k % len(self.items)]

    # ------------------------------------------------------------------------------------------------------------- rules

    @precondition(lambda self: len(self.items) < MOST)
    @rule(k=_number, how=st.sampled_from(["times", "clone", "buffer"]))
    def make(self, k: int, how: str) -> None:
        item = self.pick(k)
        shape = item.places.shape
        made: Callable[[Any, Any], Any] = {
            "times": lambda m, t: t * 1.5, "clone": lambda m, t: t.clone(), "buffer": lambda m, t: m.zeros(tuple(shape), dtype=m.float64)
        }[how]  # fmt: skip
        value = made(tg, self.read(item))
        theirs = None if item.theirs is None else made(self.torch, item.theirs).contiguous()
        self.add(Item(made(tg, item.tensor).contiguous(), self.root(value), np.arange(value.numel()).reshape(shape), theirs))

    @precondition(lambda self: len(self.items) < MOST)
    @rule(k=_number, n=_number, name=st.sampled_from(sorted(VIEWS)))
    def view(self, k: int, n: int, name: str) -> None:
        item = self.pick(k)
        least, of_tensor, of_places = VIEWS[name]
        places = item.places
        if places.ndim < least or places.ndim > 4 or places.size == 0 or (name == "expand" and places.size > 30):
            return
        expected = np.asarray(of_places(places, n))
        if expected.size == 0:
            return
        made = of_tensor(item.tensor, n)
        theirs = None if item.theirs is None else of_tensor(item.theirs, n)
        if made is item.tensor:  # flatten of one dimension, as in PyTorch; an item needs a tensor of its own
            made, theirs = made[...], None if theirs is None else theirs[...]
        if made._storage is item.tensor._storage:
            assert np.may_share_memory(made._array, item.tensor._array)
            self.add(Item(made, item.root, expected, theirs, item.part or name in SEVERAL))
        else:
            assert name in ("reshape", "flatten")
            assert not np.may_share_memory(made._array, item.tensor._array)
            value = self.read(Item(made, item.root, expected))
            self.add(Item(made, self.root(value), np.arange(expected.size).reshape(expected.shape), theirs))

    @precondition(lambda self: len(self.items) < MOST)
    @rule(k=_number, n=_number)
    def as_strided(self, k: int, n: int) -> None:
        item = self.pick(k)
        if item.tensor._base is not None or item.places.size < 4:
            return
        size, stride, offset = [((2, 2), (1, 2), 0), ((2, 2), (2, 1), 0), ((3, 2), (1, 1), 0), ((1, 2), (7, 2), 1)][n % 4]
        at = offset + np.arange(size[0])[:, None] * stride[0] + np.arange(size[1]) * stride[1]
        theirs = None if item.theirs is None else item.theirs.as_strided(size, stride, offset)
        self.add(Item(item.tensor.as_strided(size, stride, offset), item.root, item.places.reshape(-1)[at], theirs))

    @rule(k=_number, n=_number, name=st.sampled_from(sorted(BECOMING)))
    def become(self, k: int, n: int, name: str) -> None:
        item = self.pick(k)
        least, of_tensor, of_places = BECOMING[name]
        if not least <= item.places.ndim <= 4:
            return
        owns = item.tensor._base is None
        if item.tensor.is_leaf and item.tensor.requires_grad:
            with pytest.raises(RuntimeError, match="leaf tensor that requires grad"):
                of_tensor(item.tensor, n)
        elif owns and any(o is not item and o.tensor._base is not None and o.tensor._base.root is item.tensor for o in self.items):
            with pytest.raises(RuntimeError, match="other tensors are views of this one"):
                of_tensor(item.tensor, n)
        else:
            assert of_tensor(item.tensor, n) is item.tensor
            item.places = np.asarray(of_places(item.places, n))
            if owns:  # its memory may now be in another order, which as_strided would see
                item.tensor = item.tensor[...]
            if self.parts_of(item) or self.roots_leaf(item):
                self.forget_pytorch()  # refuses these
            elif item.theirs is not None:
                item.theirs = of_tensor(item.theirs, n)[...]

    @rule(k=_number, leaf=st.integers(0, 1), name=st.sampled_from(sorted(WRITES) + sorted(SLICED)))
    def change(self, k: int, leaf: int, name: str) -> None:
        item = self.pick(k)
        in_place, value_of = (WRITES | SLICED)[name]
        if name in SLICED and (item.places.ndim == 0 or item.places.size == 0):
            return
        value = self.fresh(tg, self.leaves[leaf], item.places.shape)
        if (item.tensor.is_leaf and item.tensor.requires_grad) or self.roots_leaf(item) or not item.distinct:
            before, version = item.tensor.detach().numpy().copy(), item.tensor._version
            with pytest.raises(RuntimeError, match="leaf tensor that requires grad|share one place in memory"):
                in_place(tg, item.tensor, value)
            assert np.array_equal(item.tensor.detach().numpy(), before)
            assert item.tensor._version == version
            return
        in_place(tg, item.tensor, value)
        written = Item(item.tensor, item.root, item.places[0] if name in SLICED else item.places)
        self.write(item.root, written.places, value_of(self.read(written), self.fresh(tg, self.copies[leaf], item.places.shape)))
        if self.torch is not None and all(i.theirs is not None for i in self.items):
            if self.parts_of(item):
                self.forget_pytorch()  # does not allow any write there
                return
            in_place(self.torch, item.theirs, self.fresh(self.torch, self.their_leaves[leaf], item.places.shape))

    def roots_leaf(self, item: Item) -> bool:
        base = item.tensor._base
        return base is not None and base.root.is_leaf and bool(base.root.requires_grad)

    def parts_of(self, item: Item) -> bool:
        return any(other.part and other.root == item.root for other in self.items)

    def forget_pytorch(self) -> None:
        for item in self.items:
            item.theirs = None

    @rule()
    def backward(self) -> None:
        self.check()

    def teardown(self) -> None:
        if getattr(self, "items", None):
            self.check()

    def check(self) -> None:
        for item in self.items:
            expected = self.read(item).detach().numpy()
            np.testing.assert_allclose(item.tensor.detach().numpy(), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max(initial=1.0))
        got = self.gradients(tg, autograd.grad, [i.tensor for i in self.items], self.leaves)
        expected = self.gradients(tg, autograd.grad, [self.read(i) for i in self.items], self.copies)
        self.agree(got, expected)
        if self.torch is not None and all(i.theirs is not None for i in self.items):
            self.agree(got, self.gradients(self.torch, self.torch.autograd.grad, [i.theirs for i in self.items], self.their_leaves))

    def gradients(self, m: Any, grad: Any, tensors: list[Any], leaves: list[Any]) -> list[Any]:
        """First derivatives, and second ones (of what is left of the squares of the first)."""
        loss = sum(((t * t).sum() * (0.3 + 0.1 * i) for i, t in enumerate(tensors)), leaves[0].sum() * 0)
        first = grad(loss, leaves, create_graph=True)
        second = grad(sum((g * g).sum() for g in first), leaves, allow_unused=True, retain_graph=True)
        return [np.zeros((2, 3)) if g is None else g.detach().numpy() for g in (*first, *second)]

    def agree(self, got: list[Any], expected: list[Any]) -> None:
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(b).max())))


def test_views_and_writes_equal_their_replay() -> None:
    run_state_machine_as_test(Machine, settings=settings(stateful_step_count=24))


@pytest.mark.compare
@pytest.mark.filterwarnings("ignore")
def test_views_and_writes_equal_pytorch(torch: Any) -> None:
    beside = type("MachineBesidePyTorch", (Machine,), {"torch": torch})
    run_state_machine_as_test(beside, settings=settings(stateful_step_count=24))
