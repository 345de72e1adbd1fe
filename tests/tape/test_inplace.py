"""Writing in place: gradients of PyTorch's semantics, errors where a saved value is gone, random programs against a replay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from beside_pytorch import pytorch
from hypothesis import given, strategies as st

import tapegrad as tg
from tapegrad import autograd

D = tg.float64


def leaf(data: Any, dtype: Any = D) -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, requires_grad=True)


# --------------------------------------------------------------------------------------------- cases with literal gradients

X, W = [[1.0, 2.0], [3.0, 4.0]], [2.0, 5.0]
Case = tuple[Callable[[Any, Any], Any], list[Any], "list[Any] | None", "list[Any] | None"]


def library(x: Any) -> Any:
    """The one that a tensor is from: the cases run in PyTorch, too."""
    return tg if isinstance(x, tg.Tensor) else pytorch()


def _mul(x: Any, w: Any) -> Any:
    return (x * 2).mul_(w)


def _row_then_square(x: Any, w: Any) -> Any:
    y = x * 2
    y[0].mul_(w)
    return y * y


def _view_sees_base(x: Any, w: Any) -> Any:
    y = x * 2
    v = y[0]
    y.mul_(w)
    return v * v


def _set_row(x: Any, w: Any) -> Any:
    y = x * 2
    y[0] = w
    return y * y


def _add_to_column(x: Any, w: Any) -> Any:
    y = x * 2
    y[:, 1] += w
    return y * y


def _copy_into_transposed(x: Any, w: Any) -> Any:
    y = x * 2
    y.t()[0].copy_(w * w)
    return y * y


def _set_by_index(x: Any, w: Any) -> Any:
    y = x * 2
    y[library(x).tensor([1])] = w
    return y * y


def _zero_then_add(x: Any, w: Any) -> Any:
    y = x * 2
    y.zero_()
    y.add_(w)
    return y * x


def _self_product(x: Any, w: Any) -> Any:
    y = x * 2
    y *= y
    return y


def _one_view_by_another(x: Any, w: Any) -> Any:
    y = x * 2
    y[0].mul_(y[1])
    return y * y


def _constant_buffer(x: Any, w: Any) -> Any:
    y = x.new_zeros(2, 2)
    y[0].add_(w)
    return y * x


def _view_of_buffer(x: Any, w: Any) -> Any:
    y = x.new_zeros(2, 2)
    v = y[0]
    y.add_(x)
    return v * w


def _relu(x: Any, w: Any) -> Any:
    return (x - 2.5).relu_() * 3


def _sigmoid(x: Any, w: Any) -> Any:
    return (x * 0).sigmoid_() * 3


def _through_views(x: Any, w: Any) -> Any:
    y = x * 2
    y.unsqueeze(0)[0].t().mul_(w)
    return y.permute(1, 0) * w


def _clamp(x: Any, w: Any) -> Any:
    return (x * 2).clamp_(3, 6)


def _masked_fill(x: Any, w: Any) -> Any:
    y = x * 2
    y.masked_fill_(y > 5, 0.5)
    return y * y


def _set_by_mask(x: Any, w: Any) -> Any:
    y = x * 2
    y[y > 3] = w[0]
    return y * y


def _nested_views(x: Any, w: Any) -> Any:
    y = x * 2
    v = y.view(4)
    v[1:3].mul_(3)
    y[0, 0] = 7
    return v * v


def _uniform(x: Any, w: Any) -> Any:
    y = x * 2
    y.uniform_()
    y.zero_()
    return y + x


def _scatter(x: Any, w: Any) -> Any:
    y = x * 2
    y.scatter_add_(0, library(x).tensor([[1, 1]]), w.unsqueeze(0))
    return y * y


def _pow_and_div(x: Any, w: Any) -> Any:
    return (x * 1).pow_(2).div_(w)


def _overlapping(x: Any, w: Any) -> Any:
    y = (x * 1).view(4)
    y[1:].mul_(y[:-1])
    return y


def _shifted(x: Any, w: Any) -> Any:
    y = (x * 1).view(4)
    y[1:] = y[:-1]
    return y


def _fill_with_tensor(x: Any, w: Any) -> Any:
    y = x * 2
    y[1].fill_(w[1])
    return y


def _made_in_no_grad(x: Any, w: Any) -> Any:
    y = x.new_ones(2, 2)
    with library(x).no_grad():
        v = y[0]
    v.mul_(w)
    y.mul_(x)
    return v * 10 + y[0] * 0


CASES: dict[str, Case] = {
    "mul_": (_mul, [[4, 20], [12, 40]], [[4, 10], [4, 10]], [8, 12]),
    "view of it": (_row_then_square, [[16, 400], [36, 64]], [[32, 400], [24, 32]], [16, 160]),
    "base of it": (_view_sees_base, [16, 400], [[32, 400], [0, 0]], [16, 160]),
    "set a row": (_set_row, [[4, 25], [36, 64]], [[0, 0], [24, 32]], [4, 10]),
    "add to a column": (_add_to_column, [[4, 36], [36, 169]], [[8, 24], [24, 52]], [12, 26]),
    "copy into a transposed row": (_copy_into_transposed, [[16, 16], [625, 64]], [[0, 16], [0, 32]], [32, 500]),
    "set by index": (_set_by_index, [[4, 16], [4, 25]], [[8, 16], [0, 0]], [4, 10]),
    "zero and add": (_zero_then_add, [[2, 10], [6, 20]], [[2, 5], [2, 5]], [4, 6]),
    "by itself": (_self_product, [[4, 16], [36, 64]], [[8, 16], [24, 32]], None),
    "view by view": (_one_view_by_another, [[144, 1024], [36, 64]], [[288, 1024], [120, 544]], None),
    "constant buffer": (_constant_buffer, [[2, 10], [0, 0]], [[2, 5], [0, 0]], [1, 2]),
    "view of a constant buffer": (_view_of_buffer, [2, 10], [[2, 5], [0, 0]], [1, 2]),
    "relu_": (_relu, [[0, 0], [1.5, 4.5]], [[0, 0], [3, 3]], None),
    "sigmoid_": (_sigmoid, [[1.5, 1.5], [1.5, 1.5]], [[0, 0], [0, 0]], None),
    "through views": (_through_views, [[8, 150], [16, 200]], [[8, 8], [50, 50]], [24, 140]),
    "clamp_": (_clamp, [[3, 4], [6, 6]], [[0, 2], [2, 0]], None),
    "masked_fill_": (_masked_fill, [[4, 16], [0.25, 0.25]], [[8, 16], [0, 0]], None),
    "set by mask": (_set_by_mask, [[4, 4], [4, 4]], [[8, 0], [0, 0]], [12, 0]),
    "nested views": (_nested_views, [49, 144, 324, 64], [[0, 144], [216, 32]], None),
    "uniform_": (_uniform, X, [[1, 1], [1, 1]], None),
    "scatter_add_": (_scatter, [[4, 16], [64, 169]], [[8, 16], [32, 52]], [16, 26]),
    "pow_ and div_": (_pow_and_div, [[0.5, 0.8], [4.5, 3.2]], [[1, 0.8], [3, 1.6]], [-2.5, -0.8]),
    "overlapping operand": (_overlapping, [1, 2, 6, 12], [[3, 4], [6, 3]], None),
    "overlapping copy": (_shifted, [1, 1, 2, 3], [[2, 1], [1, 0]], None),
    "fill_ with a tensor": (_fill_with_tensor, [[2, 4], [5, 5]], [[2, 2], [0, 0]], [0, 2]),
    "a view made in no_grad": (_made_in_no_grad, [20, 100], [[20, 50], [0, 0]], [10, 20]),
}


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_writes(name: str, create: bool) -> None:
    f, value, gx, gw = CASES[name]
    x, w = leaf(X), leaf(W)
    y = f(x, w)
    np.testing.assert_allclose(y.detach().numpy(), value, rtol=1e-14)
    y.sum().backward(create_graph=create)
    for t, expected in ((x, gx), (w, gw)):
        got = np.zeros(t.shape) if t.grad is None else t.grad.detach().numpy()
        np.testing.assert_allclose(got, np.zeros(t.shape) if expected is None else expected, rtol=1e-14)


REFUSED_BY_PYTORCH = {"by itself", "view by view", "a view made in no_grad", "overlapping operand", "overlapping copy"}


@pytest.mark.compare
@pytest.mark.parametrize("name", sorted(set(CASES) - REFUSED_BY_PYTORCH))
def test_gradients_of_writes_are_pytorchs(name: str, torch: Any) -> None:
    f, value, gx, gw = CASES[name]
    x, w = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (X, W))
    y = f(x, w)
    np.testing.assert_allclose(y.detach().numpy(), value, rtol=1e-14)
    y.sum().backward()
    for t, expected in ((x, gx), (w, gw)):
        got = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
        np.testing.assert_allclose(got, np.zeros(t.shape) if expected is None else expected, rtol=1e-14)


# ------------------------------------------------------------------------------------------------------- saved values, errors


def test_a_saved_result_that_changed_names_both_operations() -> None:
    x = leaf([1.0, 2.0])
    y = x.exp()
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=r"exp saved for backward.*shape \(2,\).*modified in place by add_.*version is now 1.*clone"
    ) as e:
        y.sum().backward()
    assert "out-of-place" in str(e.value)
    assert x.grad is None


@pytest.mark.parametrize("write", [lambda t: t.mul_(2), lambda t: t[0].zero_(), lambda t: t.detach().add_(1), lambda t: t.data.add_(1)])
def test_a_saved_input_that_changed(write: Callable[[tg.Tensor], Any]) -> None:
    x, w = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0], dtype=D)
    y = x * w
    write(w)
    with pytest.raises(RuntimeError, match=r"mul saved for backward.*modified in place by"):
        y.sum().backward()


def test_a_write_under_no_grad_is_noticed_too() -> None:
    x, w = leaf([1.0]), leaf([2.0])
    y = x * w
    with tg.no_grad():
        w.sub_(1)
    with pytest.raises(RuntimeError, match="modified in place by sub_"):
        y.backward()
    (x * w).backward()
    assert (x.grad.item(), w.grad.item()) == (1.0, 1.0)


def test_a_write_through_grad_is_noticed() -> None:
    """Accumulation writes .grad in place; a graph that uses .grad must not read the new value."""
    x, w = leaf([1.0]), leaf([5.0])
    (x * 3).backward()
    y = w * x.grad
    (x * 3).backward()
    with pytest.raises(RuntimeError, match="modified in place by backward"):
        y.backward()


def test_a_write_to_what_is_not_saved_is_fine() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = x + w
    z = y * 2
    y.mul_(100)
    z.sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([2.0, 2.0], [2.0, 2.0])


def test_anomaly_mode_shows_both_lines() -> None:
    x = leaf([1.0, 2.0])
    with autograd.detect_anomaly():
        y = x.exp()  # the line that saved
        y.add_(1)
        with pytest.raises(RuntimeError, match=r"exp \(at .*test_inplace\.py:\d+\)") as e:
            y.sum().backward()
    line = test_anomaly_mode_shows_both_lines.__code__.co_firstlineno + 3
    assert f"test_inplace.py:{line}" in str(e.value)


def test_anomaly_mode_notices_writes_from_outside() -> None:
    x, w = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0], dtype=D)
    with autograd.detect_anomaly():
        y = (x * w).sum()
    w.numpy()[0] = 100.0
    with pytest.raises(RuntimeError, match=r"mul \(at .*\) saved for backward was changed from outside"):
        y.backward()
    assert x.grad is None


def test_anomaly_mode_finds_the_first_nan_and_hints_at_where() -> None:
    x = leaf([0.0, 4.0])
    with autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"SqrtBackward0 \(at .*\) returned nan.*where\(x > 0, sqrt\(where"):
        tg.where(x > 0, x.sqrt(), 0.0).sum().backward()
    assert x.grad is None
    with autograd.detect_anomaly():
        safe = tg.where(x > 0, x, 1.0)
        tg.where(x > 0, safe.sqrt(), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_anomaly_mode_serves_graphs_that_were_made_before_it() -> None:
    x = leaf([0.0, 4.0])
    y = tg.where(x > 0, x.sqrt(), 0.0).sum()
    with autograd.detect_anomaly(), pytest.raises(RuntimeError, match="SqrtBackward0 returned nan"):
        y.backward()


def test_leaves_and_their_views_are_protected() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    for write in (lambda: x.add_(1), lambda: x[0].mul_(2), lambda: x.t().zero_(), lambda: x.__setitem__(0, 5.0)):
        with pytest.raises(RuntimeError, match=r"leaf tensor that requires grad \(shape \(2, 2\)\).*no_grad"):
            write()
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert x._version == 0
    with tg.no_grad():
        x[0].mul_(2)
    assert x.tolist() == [[2.0, 4.0], [3.0, 4.0]]


def test_expanded_memory_is_protected() -> None:
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(RuntimeError, match=r"add_: this tensor of shape \(3, 2\) is expanded.*clone"):
        y.expand(3, 2).add_(1)
    z = tg.ones(1).expand(4)
    with tg.no_grad(), pytest.raises(RuntimeError, match="expanded"):
        z.add_(1)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    "write",
    [lambda i: i.add_(1.5), lambda i: i.mul_(0.5), lambda i: i.div_(2), lambda i: i.add_(tg.ones(2)), lambda i: i.__iadd__(0.5)],
)
def test_floats_are_not_written_into_integers(write: Callable[[tg.Tensor], Any], grad: bool) -> None:
    i = tg.tensor([1, 2])
    with tg.set_grad_enabled(grad):
        for _ in range(3):
            i.add_(1).mul_(1)  # the fast paths know integers now
        with pytest.raises(RuntimeError, match=r"the result has dtype .*float.*int64.*\.to\("):
            write(i)
    assert i.tolist() == [4, 5]


def test_a_failed_write_changes_nothing() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    entry = y.grad_fn
    with pytest.raises(RuntimeError, match=r"add_: the result has shape \(3, 2\)|broadcast"):
        y.add_(tg.ones(3, 2, dtype=D))
    assert y.tolist() == [2.0, 4.0]
    assert y.grad_fn is entry
    assert y._version == 0


def test_overwriting_a_buffer_forgets_its_past() -> None:
    w = leaf([1.0, 2.0])
    buffer = tg.zeros(2, dtype=D)
    for _ in range(50):
        buffer.copy_(w * 2)
    assert len(buffer.sum().tape()) == 3
    buffer.sum().backward()
    assert w.grad.tolist() == [2.0, 2.0]


# --------------------------------------------------------------------------------- random programs against a replay without writes


UNARY = ("tanh", "exp", "sigmoid", "relu")
_index = st.integers(0, 30)
_scalar = st.sampled_from([-1.5, 0.5, 2.0])
STEP = st.one_of(
    st.tuples(st.just("new"), _index, _scalar),
    st.tuples(st.just("buffer"), st.sampled_from([(2, 3), (6,), (3, 2), (1, 3)])),
    st.tuples(st.just("product"), _index, _index),
    st.tuples(st.just("slice"), _index, st.integers(0, 7)),
    st.tuples(st.just("t"), _index),
    st.tuples(st.just("view"), _index, st.integers(0, 3)),
    st.tuples(st.just("reshape"), _index, st.integers(0, 3)),
    st.tuples(st.just("unsqueeze"), _index, st.integers(0, 2)),
    st.tuples(st.just("squeeze"), _index),
    st.tuples(st.just("permute"), _index, st.integers(0, 5)),
    st.tuples(st.just("expand"), _index),
    st.tuples(st.just("mul_"), _index, _index),
    st.tuples(st.just("add_"), _index, _index),
    st.tuples(st.just("copy_"), _index, _index),
    st.tuples(st.just("scale_"), _index, _scalar),
    st.tuples(st.just("zero_"), _index),
    st.tuples(st.just("unary_"), _index, st.sampled_from(UNARY)),
)
_ALL, _REST = slice(None), slice(1, None)
_SLICES: list[Any] = [0, -1, _REST, slice(None, 1), slice(None, None, 2), (_ALL, 0), (_ALL, _REST), (..., -1)]
VIEWS = ("slice", "t", "view", "reshape", "unsqueeze", "squeeze", "permute", "expand")


def _shapes(n: int) -> list[tuple[int, ...]]:
    return [(n,), (1, n), (n // 2, 2) if n % 2 == 0 else (n, 1), (3, n // 3) if n % 3 == 0 else (1, n, 1)]


def _arguments(step: Any, shape: tuple[int, ...]) -> tuple[str, Any] | None:
    """The method (or index) of a view step for a tensor of this shape, or None where it does not apply."""
    kind = step[0]
    n, ndim = math.prod(shape), len(shape)
    if kind == "slice":
        index = _SLICES[step[2]]
        wanted = len(index) if isinstance(index, tuple) else 1
        return None if ndim < wanted or 0 in shape else ("[]", index)
    if kind == "t":
        return ("t", ()) if ndim <= 2 else None
    if kind in ("view", "reshape"):
        return kind, _shapes(n)[step[2]] if n else (0,)
    if kind == "unsqueeze":
        return ("unsqueeze", (min(step[2], ndim),)) if ndim < 4 else None
    if kind == "squeeze":
        return "squeeze", ()
    if kind == "permute":
        order = list(range(ndim))
        return "permute", tuple(order[step[2] % ndim :] + order[: step[2] % ndim]) if ndim else ()
    return ("expand", (2, *shape)) if ndim < 4 else None


class Program:
    """A run of a random program with real writes. ``notes`` says per step what happened, for the replay."""

    def __init__(self, m: Any, memory: Callable[[Any], Any]) -> None:
        self.m, self.memory = m, memory
        values = [np.linspace(a, b, 6).reshape(2, 3) for a, b in ((0.2, 1.4), (-0.9, 0.8))]
        self.leaves = [m.tensor(v, dtype=m.float64, requires_grad=True) for v in values]
        self.pool = list(self.leaves)
        self.notes: list[Any] = []

    def run(self, steps: list[Any]) -> Program:
        for step in steps:
            self.notes.append(self.step(step))
        return self

    def pick(self, i: int) -> Any:
        return self.pool[i % len(self.pool)]

    def step(self, step: Any) -> Any:
        kind, t = step[0], None if step[0] == "buffer" else self.pick(step[1])
        try:
            if kind == "buffer":
                self.pool.append(self.m.zeros(*step[1], dtype=self.m.float64))
            elif kind == "new":
                self.pool.append(t * step[2])
            elif kind == "product":
                other = self.pick(step[2])
                self.pool.append(t * (other if tuple(other.shape) == tuple(t.shape) else 3.0))
            elif kind in VIEWS:
                given = _arguments(step, tuple(t.shape))
                if given is None:
                    return "skip"
                made = t[given[1]] if given[0] == "[]" else getattr(t, given[0])(*given[1])
                self.pool.append(made)
                return "view" if self.memory(made) == self.memory(t) else "copy"
            elif kind in ("mul_", "add_", "copy_"):
                other = self.pick(step[2])
                if tuple(other.shape) != tuple(t.shape):
                    return "skip"
                getattr(t, kind)(other)
            elif kind == "scale_":
                t.mul_(step[2])
            elif kind == "zero_":
                t.zero_()
            else:
                getattr(t, step[2] + "_")()
        except RuntimeError:
            return "skip"
        return "done"

    def loss(self) -> Any:
        total = self.pool[0].sum() * 0
        for i, t in enumerate(self.pool):
            total = total + (t * (0.3 + 0.1 * i)).sum()
        return total


class Replay:
    """The same program without writes: memory is a value per root, a tensor is places in it."""

    def __init__(self, m: Any, program: Program) -> None:
        self.m = m
        self.leaves = [m.tensor(t.detach().numpy().copy(), dtype=m.float64, requires_grad=True) for t in program.leaves]
        self.roots: list[Any] = [t.reshape(-1) for t in self.leaves]
        self.pool: list[tuple[int, Any]] = [(i, np.arange(6).reshape(2, 3)) for i in range(2)]
        self.notes = program.notes

    def read(self, item: tuple[int, Any]) -> Any:
        root, places = item
        return self.roots[root][self.m.tensor(places.ravel())].reshape(places.shape)

    def write(self, item: tuple[int, Any], value: Any) -> None:
        root, places = item
        old = self.roots[root]
        kept = np.ones(old.shape)
        kept[places.ravel()] = 0
        placed = self.m.zeros(*old.shape, dtype=self.m.float64).scatter_add(0, self.m.tensor(places.ravel()), value.reshape(-1))
        self.roots[root] = old * self.m.tensor(kept) + placed

    def new(self, value: Any) -> None:
        self.pool.append((len(self.roots), np.arange(math.prod(value.shape)).reshape(tuple(value.shape))))
        self.roots.append(value.reshape(-1))

    def run(self, steps: list[Any]) -> Replay:
        for step, note in zip(steps, self.notes, strict=True):
            if note != "skip":
                self.step(step, note)
        return self

    def step(self, step: Any, note: str) -> None:
        kind = step[0]
        if kind == "buffer":
            self.new(self.m.zeros(*step[1], dtype=self.m.float64))
            return
        item = self.pool[step[1] % len(self.pool)]
        root, places = item
        other = self.pool[step[2] % len(self.pool)] if kind in ("product", "mul_", "add_", "copy_") else item
        if kind == "new":
            self.new(self.read(item) * step[2])
        elif kind == "product":
            self.new(self.read(item) * (self.read(other) if other[1].shape == places.shape else 3.0))
        elif kind in VIEWS:
            name, arguments = _arguments(step, places.shape)  # type: ignore[misc]
            if name == "[]":
                moved = np.asarray(places[arguments])
            elif name in ("view", "reshape"):
                moved = places.reshape(arguments)
            elif name == "unsqueeze":
                moved = np.expand_dims(places, arguments[0])
            elif name == "expand":
                moved = np.broadcast_to(places, arguments)
            else:
                moved = {"t": lambda: places.T, "squeeze": lambda: places.squeeze(), "permute": lambda: places.transpose(arguments)}[name]()
            if note == "view":
                self.pool.append((root, moved))
            else:
                self.new(self.read((root, moved)))
        elif kind in ("mul_", "add_", "copy_"):
            a, b = self.read(item), self.read(other)
            self.write(item, a * b if kind == "mul_" else a + b if kind == "add_" else b)
        elif kind == "scale_":
            self.write(item, self.read(item) * step[2])
        elif kind == "zero_":
            self.write(item, self.read(item) * 0)
        else:
            self.write(item, getattr(self.read(item), step[2])())

    def loss(self) -> Any:
        total = self.roots[0].sum() * 0
        for i, item in enumerate(self.pool):
            total = total + (self.read(item) * (0.3 + 0.1 * i)).sum()
        return total


def _root_of(t: tg.Tensor) -> int:
    return id(t._storage)


def _derivatives(grad: Callable[..., Any], loss: Any, leaves: list[Any]) -> list[Any] | None:
    """The loss and its first and second derivatives, or None when backward refused."""
    try:
        first = grad(loss, leaves, create_graph=True, allow_unused=True)
        live = [(g * g).sum() for g in first if g is not None and g.requires_grad]
        second = grad(sum(live[1:], live[0]), leaves, allow_unused=True) if live else [None] * len(leaves)
    except RuntimeError as e:
        # PyTorch also refuses to accumulate into expanded memory
        assert any(word in str(e) for word in ("modified", "single memory location")), e  # noqa: PT017
        return None
    return [loss.detach().numpy()] + [np.zeros((2, 3)) if g is None else g.detach().numpy() for g in [*first, *second]]


def _agree(a: list[Any], b: list[Any]) -> None:
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(q).max(initial=0))))


PROGRAM = st.lists(STEP, min_size=2, max_size=14)


@given(PROGRAM)
def test_random_programs_equal_their_replay(steps: list[Any]) -> None:
    with np.errstate(all="ignore"):
        program = Program(tg, _root_of).run(steps)
        got = _derivatives(autograd.grad, program.loss(), program.leaves)
        if got is not None and np.isfinite(got[0]) and all(np.abs(g).max(initial=0) < 1e8 for g in got):
            replay = Replay(tg, program).run(steps)
            expected = _derivatives(autograd.grad, replay.loss(), replay.leaves)
            assert expected is not None
            _agree(got, expected)


@pytest.mark.compare
@given(steps=PROGRAM)
def test_random_programs_equal_pytorch(torch: Any, steps: list[Any]) -> None:
    with np.errstate(all="ignore"):
        ours = Program(tg, _root_of).run(steps)
        got = _derivatives(autograd.grad, ours.loss(), ours.leaves)
        theirs = Program(torch, lambda t: t.untyped_storage().data_ptr()).run(steps)
        expected = _derivatives(torch.autograd.grad, theirs.loss(), theirs.leaves)
        if got is None or not np.isfinite(got[0]) or any(np.abs(g).max(initial=0) > 1e8 for g in got):
            return
        replay = Replay(torch, ours).run(steps)  # an independent engine replays what tapegrad did
        exact = _derivatives(torch.autograd.grad, replay.loss(), replay.leaves)
        assert exact is not None
        _agree(got, exact)
        if expected is not None and theirs.notes == ours.notes:
            _agree(got, expected)


# ------------------------------------------------------------------------------------------ writes that the tape need not see

WRITES: dict[str, Callable[[tg.Tensor], Any]] = {
    "zero_": lambda t: t.zero_(),
    "fill_": lambda t: t.fill_(2.0),
    "fill_ with an integer": lambda t: t.fill_(2),
    "copy_": lambda t: t.copy_(tg.full((2, 2), 2.0, dtype=D)),
    "a row": lambda t: t.__setitem__(0, 2.0),
    "a row by a tensor": lambda t: t.__setitem__((0, ...), tg.full((2,), 2.0, dtype=D)),
    "a column of itself": lambda t: t.__setitem__((slice(None), 0), t[:, 1]),
    "add_": lambda t: t.add_(1.0),
    "add_ of a multiple": lambda t: t.add_(tg.full((2, 2), 2.0, dtype=D), alpha=0.5),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_constant_that_was_saved_is_missed_when_it_is_written(write: Callable[[tg.Tensor], Any]) -> None:
    x, y = leaf(X), tg.tensor(X, dtype=D)
    z = x * y
    write(y)
    assert y._version == 1
    with pytest.raises(RuntimeError, match="modified in place by (copy_|add_|zero_|fill_)"):
        z.sum().backward()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_leaf_is_not_written_while_recording(write: Callable[[tg.Tensor], Any]) -> None:
    x = leaf(X)
    with pytest.raises(RuntimeError, match="leaf tensor that requires grad"):
        write(x)
    with pytest.raises(RuntimeError, match="view of a leaf"):
        write(x.view(2, 2))
    assert x.tolist() == X
    with tg.no_grad():
        write(x)
    assert x._version == 1


def test_a_constant_view_of_what_the_tape_follows_by_now() -> None:
    x, y = leaf(X), tg.ones(2, 2, dtype=D)
    row = y[0]
    y.mul_(x)
    row.fill_(5.0)
    (y * y).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[0.0, 0.0], [6.0, 8.0]]


@pytest.mark.parametrize("value", [True, 1e39, -1e39, math.inf, math.nan, 2**70])
def test_numbers_that_need_a_closer_look(value: Any) -> None:
    x = tg.zeros(2, dtype=tg.float32)
    if value is True or not math.isfinite(value):
        assert np.array_equal(x.fill_(value).numpy(), np.full(2, value, np.float32), equal_nan=True)
    elif abs(value) > 3e38:
        with pytest.raises(RuntimeError, match="overflow"):
            x.fill_(value)
    else:
        assert x.fill_(value).tolist() == [float(np.float32(value))] * 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adding_a_multiple_in_one_pass_rounds_as_in_two(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((33, 33)).astype(dtype) for _ in range(2))
    for other, value in [(tg.tensor(b), b), (tg.tensor(b).t(), b.T), (tg.tensor(b[0]), b[0])]:
        assert np.array_equal(tg.tensor(a).add_(other, alpha=-0.01).numpy(), a + value * dtype(-0.01))
        assert np.array_equal(tg.tensor(a).sub_(other, alpha=0.3).numpy(), a - value * dtype(0.3))
    x = tg.tensor(a)
    assert np.array_equal(x.add_(x, alpha=0.3).numpy(), a + a * dtype(0.3))
    x = tg.tensor(a)
    assert np.array_equal(x.add_(x.t(), alpha=0.3).numpy(), a + a.T * dtype(0.3))
    assert x._version == 1


def test_clamp_to_an_upper_bound_that_is_part_of_the_tensor() -> None:
    """The lower bound is written first, the upper one is as it was before."""
    x = tg.tensor([5.0, -3.0, 1.0])
    assert x.clamp_(tg.tensor(0.0), x[1:2]).tolist() == [-3.0, -3.0, -3.0]
    y = tg.tensor([1.0, -2.0], requires_grad=True)
    z = y * 1
    z.clamp_(tg.tensor([0.0, 0.0]), z[1])
    z.sum().backward()
    assert z.tolist() == [-2.0, -2.0]
    assert y.grad.tolist() == [0.0, 2.0]
