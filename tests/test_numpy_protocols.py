"""NumPy's functions on tensors: recorded with the right gradient, or refused; never a silent zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

A = np.array([[0.5, 1.5, 2.5], [3.0, 0.25, 1.0]])
B = np.array([[1.25, 0.5, 3.0], [2.0, 4.0, 0.75]])


def gradient(f: Callable[[Any], Any], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Central differences of the sum."""
    out = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        out[i] = (np.sum(f(x + step)) - np.sum(f(x - step))) / 2e-6
    return out


def check(f: Callable[[Any], Any], x: np.ndarray[Any, Any] = A) -> None:
    t = tg.tensor(x, requires_grad=True)
    result = f(t)
    assert isinstance(result, tg.Tensor)
    assert result.requires_grad
    np.testing.assert_allclose(result.detach().numpy(), f(x), rtol=1e-14)
    result.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), gradient(f, x), rtol=1e-6, atol=1e-8)


UNARY = [np.exp, np.log, np.sqrt, np.sin, np.cos, np.tanh, np.negative, np.absolute, np.square, np.reciprocal, np.expm1, np.log1p, np.conjugate]
BINARY = [np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum]


@pytest.mark.parametrize("f", UNARY, ids=lambda f: f.__name__)
def test_functions_of_one_argument(f: Any) -> None:
    check(f)


@pytest.mark.parametrize("f", BINARY, ids=lambda f: f.__name__)
def test_functions_of_two_arguments(f: Any) -> None:
    for other in (B, B[0], 1.75, np.float64(1.75), np.array(1.75), np.float32(1.75), 2):
        check(lambda t, other=other: f(t, other))
        check(lambda t, other=other: f(other, t))
    check(lambda t: f(t, t * 2.0 + 0.1))


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b, "**": lambda a, b: a**b,
}  # fmt: skip


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_with_arrays_and_scalars_on_either_side(symbol: str) -> None:
    f = OPERATORS[symbol]
    for other in (B, B[:, :1], np.array(2.0), np.float64(1.5), np.float32(1.5), np.int64(2), np.bool_(True), 2, 1.5, True):
        if symbol == "-" and isinstance(other, (bool, np.bool_)):
            continue
        check(lambda t, other=other: f(t, np.asarray(other, np.float64) if isinstance(t, np.ndarray) else other))
        check(lambda t, other=other: f(np.asarray(other, np.float64) if isinstance(t, np.ndarray) else other, t))


def test_matrix_products() -> None:
    for f in (lambda t: t @ B.T, lambda t: B.T @ t, lambda t: np.matmul(t, B.T), lambda t: np.matmul(B.T, t)):
        check(f)


def test_comparisons() -> None:
    t = tg.tensor(A, requires_grad=True)
    for f in (np.less, np.greater, np.equal, np.not_equal, np.less_equal, np.greater_equal):
        for result in (f(t, B), f(B, t)):
            assert isinstance(result, tg.Tensor)
            assert result.dtype is tg.bool
        assert np.array_equal(f(t, B).numpy(), f(A, B))
        assert np.array_equal(f(B, t).numpy(), f(B, A))
    assert np.array_equal((t < B).numpy(), B > A)
    assert np.array_equal((t == B).numpy(), B == A)


FUNCTIONS: list[Callable[[Any], Any]] = [
    np.sum, np.mean, lambda t: np.sum(t, axis=0), lambda t: np.sum(t, axis=1, keepdims=True), lambda t: np.mean(t, axis=-1), np.max, np.amin,
    lambda t: np.max(t, axis=0), lambda t: np.var(t), lambda t: np.var(t, axis=0, ddof=1), lambda t: np.cumsum(t, axis=1),
    lambda t: np.concatenate([t, B]), lambda t: np.concatenate([B, t * 2.0], axis=1), lambda t: np.stack([t, B], axis=1), np.transpose,
    lambda t: np.transpose(t, (1, 0)), lambda t: np.reshape(t, (3, 2)), lambda t: np.reshape(t, -1), lambda t: np.where(A > 1, t, B),
    lambda t: np.where(A > 1, t, 0.0), lambda t: np.clip(t, 0.3, 2.0), lambda t: np.clip(t, None, 2.0), lambda t: np.squeeze(t[:1]),
    lambda t: np.expand_dims(t, 1), lambda t: np.flip(t), lambda t: np.flip(t, axis=1), lambda t: np.flip(t, (0, 1)), lambda t: np.reshape(t, shape=(6,)),
    np.prod, lambda t: np.prod(t, axis=1), lambda t: np.prod(t, keepdims=True), lambda t: np.std(t), lambda t: np.std(t, axis=0, ddof=1),
    lambda t: np.cumprod(t, axis=0), lambda t: np.cumprod(t), np.sort, lambda t: np.sort(t, axis=0), lambda t: np.sort(t, axis=None),
    lambda t: np.dot(t, B.T), lambda t: np.dot(B.T, t), lambda t: np.inner(t, B), lambda t: np.outer(t, B), lambda t: np.tensordot(t, B, ((0, 1), (0, 1))),
    lambda t: np.tensordot(t, B.T, 1), lambda t: np.einsum("ij,ij->i", t, B), lambda t: np.einsum("ij->j", t), np.trace, np.diagonal,
    lambda t: np.diag(t, 1), lambda t: np.tril(t, -1), np.triu, np.ravel, lambda t: np.broadcast_to(t, (2, 2, 3)), lambda t: np.swapaxes(t, 0, 1),
    lambda t: np.moveaxis(t, 0, -1), lambda t: np.roll(t, 2), lambda t: np.roll(t, 1, axis=1), lambda t: np.tile(t, 2), lambda t: np.tile(t, (2, 1, 2)),
    lambda t: np.repeat(t, 2), lambda t: np.repeat(t, 2, axis=0), lambda t: np.vstack([t, B]), lambda t: np.hstack((B, t)), lambda t: np.dstack([t, B]),
    lambda t: np.column_stack([t, B]), np.diff, lambda t: np.diff(t, axis=0), np.copy, np.nansum, lambda t: np.nanmean(t, axis=1),
]  # fmt: skip


@pytest.mark.parametrize("f", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_functions_of_arrays(f: Any) -> None:
    check(f)


def test_functions_of_arrays_without_gradient() -> None:
    t = tg.tensor(A, requires_grad=True)
    assert np.shape(t) == (2, 3)
    assert np.ndim(t) == 2
    assert np.size(t) == 6
    assert np.argmax(t).item() == np.argmax(A)
    assert np.argmin(t, axis=1).tolist() == np.argmin(A, axis=1).tolist()
    assert np.zeros_like(t).tolist() == np.zeros_like(A).tolist()
    assert np.ones_like(t).dtype is tg.float64
    assert np.argsort(t, axis=0).tolist() == np.argsort(A, axis=0).tolist()
    assert [np.any(t > 2).item(), np.all(t > 2).item(), np.count_nonzero(t).item()] == [True, False, 6]
    assert np.isclose(t, A).all()
    assert np.isnan(t).tolist() == np.isnan(A).tolist()
    assert np.sign(t).tolist() == np.sign(A).tolist()


REFUSED: dict[str, Callable[[Any], Any]] = {
    "reduce": lambda t: np.add.reduce(t),
    "accumulate": lambda t: np.add.accumulate(t),
    "outer": lambda t: np.multiply.outer(t, A),
    "outer reflected": lambda t: np.multiply.outer(A, t),
    "at": lambda t: np.add.at(t, [0], 1.0),
    "at values": lambda t: np.add.at(A.copy(), [0], t),
    "reduceat": lambda t: np.add.reduceat(t, [0, 1]),
    "out array": lambda t: np.exp(t, out=np.empty_like(A)),
    "out tensor": lambda t: np.exp(A, out=t),
    "where": lambda t: np.exp(t, where=A > 1),
    "dtype": lambda t: np.exp(t, dtype=np.float32),
    "casting": lambda t: np.add(t, 1.0, casting="unsafe"),
    "unknown ufunc": lambda t: np.cbrt(t),
    "divmod": lambda t: np.divmod(t, 2.0),
    "modf": lambda t: np.modf(t),
    "nextafter": lambda t: np.nextafter(A, t),
    "sum out": lambda t: np.sum(t, out=np.empty(())),
    "sum where": lambda t: np.sum(t, where=A > 1),
    "sum initial": lambda t: np.sum(t, initial=3.0),
    "sort kind": lambda t: np.sort(t, kind="heapsort"),
    "einsum optimize": lambda t: np.einsum("ij->", t, optimize=True),
    "dot of many dimensions": lambda t: np.dot(t, np.ones((2, 3, 2))),
    "linalg": lambda t: np.linalg.norm(t),
    "reshape order": lambda t: np.reshape(t, (3, 2), order="F"),
    "allclose": lambda t: np.allclose(t, A),
    "median": lambda t: np.median(t),
    "concatenate out": lambda t: np.concatenate([t, t], out=np.empty((4, 3))),
    "concatenate flat": lambda t: np.concatenate([t, t], axis=None),
    "where nonzero": lambda t: np.where(t),
    "apply": lambda t: np.apply_along_axis(np.sum, 0, t),
    "save": lambda t: np.copyto(np.empty_like(A), t),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_tape_would_not_see_is_refused(name: str) -> None:
    t = tg.tensor(A, requires_grad=True)
    with pytest.raises((TypeError, RuntimeError)):
        REFUSED[name](t)
    assert np.array_equal(t.detach().numpy(), A)


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray, np.array, lambda t: np.asarray(t, np.float32), lambda t: np.empty_like(A).__setitem__(slice(None), t), lambda t: np.array([t, t]),
        lambda t: np.array([t[0, 0], t[0, 1]]), lambda t: np.asarray([[t[0, 0]]], np.float64), lambda t: t.numpy(), np.ascontiguousarray,
        lambda t: np.fromiter(t, float), lambda t: A.dot(t), np.vectorize(float),
    ],
)  # fmt: skip
def test_tensors_that_require_grad_do_not_become_arrays(convert: Any) -> None:
    t = tg.tensor(A, requires_grad=True)
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        convert(t)


def test_tensors_without_grad_become_arrays() -> None:
    t = tg.tensor(A)
    assert np.asarray(t) is t.numpy()
    assert np.array(t) is not t.numpy()
    assert np.asarray(t, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.array(t, np.float32, copy=False)
    assert np.array_equal(np.asarray(tg.tensor(A, requires_grad=True).detach()), A)


def test_in_place_on_arrays() -> None:
    t = tg.tensor(A, requires_grad=True)
    for f in (lambda a: a.__iadd__(t), lambda a: a.__imul__(t), lambda a: a.__isub__(t)):
        a = B.copy()
        with pytest.raises(TypeError, match="out="):
            f(a)
        assert np.array_equal(a, B)
    with pytest.raises(TypeError):
        np.add(A, A, out=(t,))


def test_subclasses_of_arrays() -> None:
    class Sub(np.ndarray[Any, Any]):
        pass

    x = tg.tensor(A, requires_grad=True)
    result = x * B.view(Sub) + B.view(np.matrix)
    assert type(result._array) is np.ndarray
    result.sum().backward()
    assert np.array_equal(x.grad.numpy(), B)
    for function in (tg.tensor, tg.as_tensor, tg.from_numpy):
        made = function(B.view(np.matrix))
        assert type(made._array) is np.ndarray
        assert (made * made).tolist() == (B * B).tolist()


def test_foreign_byte_orders_and_strides_compute() -> None:
    x = tg.tensor(A, requires_grad=True)
    swapped = B.astype(">f8")
    packed = np.zeros(2, np.dtype([("a", "i1"), ("b", "f8", 3)]))  # misaligned
    packed["b"] = B
    for other in (swapped, packed["b"], B[::-1][::-1], np.broadcast_to(B, (1, 2, 3))):
        np.testing.assert_array_equal((x * other).detach().numpy(), A * np.asarray(other, np.float64))
    for wrong in (np.array(["a"]), np.array([object()]), np.array([1], np.uint16), np.array([1], np.longdouble)):
        with pytest.raises(TypeError):
            x * wrong


def test_other_operands_are_refused() -> None:
    x = tg.ones(3)
    for f in (lambda: x + [1, 2, 3], lambda: [1, 2, 3] + x, lambda: x * "a", lambda: None * x, lambda: x - (1,), lambda: x / None, lambda: np.add(x, [1])):
        with pytest.raises(TypeError):
            f()
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True

    class Other:
        def __rmul__(self, other: Any) -> str:
            return "mine"

        def __lt__(self, other: Any) -> str:
            return "less"

    assert (x > Other()) == "less"
