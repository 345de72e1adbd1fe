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
    lambda t: np.linalg.diagonal(np.stack([t, t * 2.0])), lambda t: np.linalg.diagonal(t, offset=1), lambda t: np.linalg.trace(np.stack([t, t * 2.0])),
    lambda t: np.linalg.matmul(t, B.T), lambda t: np.linalg.outer(t[0], B[1]), lambda t: np.linalg.tensordot(B, t, axes=((0, 1), (0, 1))),
    lambda t: np.sum(t, 0, np.float64),
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
    "copyto": lambda t: np.copyto(np.empty_like(A), t),
    "copyto tensor": lambda t: np.copyto(t, A),
    "fill_diagonal": lambda t: np.fill_diagonal(t, 0.0),
    "max out by position": lambda t: np.max(t, 0, np.empty(3)),
    "nested": lambda t: np.block([[A], [t]]),
    "may_share_memory": lambda t: np.may_share_memory(t, A),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_tape_would_not_see_is_refused(name: str) -> None:
    t = tg.tensor(A, requires_grad=True)
    with pytest.raises((TypeError, RuntimeError)):
        REFUSED[name](t)
    assert np.array_equal(t.detach().numpy(), A)


BY_NUMPY: dict[str, Callable[[Any], Any]] = {
    "allclose": lambda t: np.allclose(t, A),
    "array_equal": lambda t: np.array_equal(A, t),
    "histogram": lambda t: np.histogram(t, bins=3),
    "median": lambda t: np.median(t, axis=0),
    "percentile": lambda t: np.percentile(t, [25, 50]),
    "unique": lambda t: np.unique(t, return_counts=True),
    "interp": lambda t: np.interp(t, [0.0, 4.0], [1.0, 3.0]),
    "broadcast_arrays": lambda t: np.broadcast_arrays(t, B[0])[0],
    "atleast_3d": np.atleast_3d,
    "round": lambda t: np.round(t, 1),
    "empty_like": lambda t: np.empty_like(t).shape,
    "full_like": lambda t: np.full_like(t, 3.0),
    "norm": np.linalg.norm,
    "svd": lambda t: tuple(np.linalg.svd(t)),
    "lstsq": lambda t: np.linalg.lstsq(t, B, rcond=None)[0],
    "multi_dot of a list": lambda t: np.linalg.multi_dot([t, B.T, t]),
    "fft": np.fft.fft,
    "rfft2": lambda t: np.fft.rfft2(a=t),
    "block of nested lists": lambda t: np.block([[t, B], [B, t]]),
    "select": lambda t: np.select([A > 2, A > 1], [t, B], default=0.0),
    "apply": lambda t: np.apply_along_axis(np.sum, 0, t),
    "sliding": lambda t: np.lib.stride_tricks.sliding_window_view(t, 2, axis=1),
    "cbrt": np.cbrt,
    "divmod": lambda t: np.divmod(t, 2.0),
    "modf": np.modf,
    "nextafter": lambda t: np.nextafter(B, t),
    "spacing": np.spacing,
    "dtype": lambda t: np.exp(t, dtype=np.float32, casting="same_kind"),
    "where": lambda t: np.exp(t, where=A > 1, out=np.zeros_like(A)),
    "out": lambda t: np.multiply(t, B, out=np.empty_like(A)),
    "sum out": lambda t: np.sum(t, axis=0, out=np.empty(3)),
    "max out by position": lambda t: np.max(t, 0, np.empty(3)),
    "concatenate out": lambda t: np.concatenate([t, B], out=np.empty((4, 3))),
    "reduce": lambda t: np.add.reduce(t, axis=1),
    "accumulate": np.multiply.accumulate,
    "reduceat": lambda t: np.add.reduceat(t, [0, 1], axis=1),
    "outer": lambda t: np.subtract.outer(B, t),
    "iadd": lambda t: B.copy().__iadd__(t),
    "frompyfunc": lambda t: np.frompyfunc(lambda v: v + 1, 1, 1)(t).astype(float),
}


def same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, tuple):
        assert len(found) == len(wanted)
        for f, w in zip(found, wanted, strict=True):
            same(f, w)
    else:
        assert not isinstance(found, np.ndarray) or found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", BY_NUMPY)
def test_numpy_does_what_no_gradient_flows_through(name: str) -> None:
    t = tg.tensor(A)
    same(BY_NUMPY[name](t), BY_NUMPY[name](A))
    assert t.tolist() == A.tolist()
    assert t._version == 0
    with pytest.raises(TypeError, match=r"that require grad; use tensor.detach\(\).numpy\(\)"):
        BY_NUMPY[name](tg.tensor(A, requires_grad=True))
    with pytest.raises(TypeError), tg.no_grad():
        BY_NUMPY[name](tg.nn.Parameter(tg.tensor(A)))


def test_one_operand_that_requires_grad_is_enough() -> None:
    t, x = tg.tensor(A), tg.tensor(B, requires_grad=True)
    for f in (lambda: np.allclose(t, x), lambda: np.block([[t], [x]]), lambda: np.add(t, x, out=np.empty_like(A)), lambda: np.add.outer(t, x * 2.0)):
        with pytest.raises(TypeError, match="that require grad"):
            f()
    assert np.allclose(t, x.detach()) is False
    assert np.block([[t], [x.detach()]]).tolist() == [*A.tolist(), *B.tolist()]


def test_messages_name_the_function() -> None:
    special = pytest.importorskip("scipy.special")
    x = tg.tensor(A, requires_grad=True)
    for name, f in {
        "np.linalg.norm": np.linalg.norm, "np.fft.fft": np.fft.fft, "np.median": np.median, "np.cbrt": np.cbrt, "np.add.reduce": np.add.reduce,
        "np.exp with where=, out=": lambda x: np.exp(x, where=A > 1, out=A), "np.sum with out=": lambda x: np.sum(x, out=np.empty(())),
        "scipy.special.expit": special.expit, "np.fromiter with like=": lambda x: np.fromiter([1], float, like=x),
        "mine (vectorized)": np.frompyfunc(type("Mine", (), {"__name__": "mine", "__call__": lambda self, v: v})(), 1, 1),
    }.items():  # fmt: skip
        with pytest.raises(TypeError) as error:
            f(x)
        assert str(error.value).startswith(f"{name} does not work on tapegrad tensors")
    same(special.expit(x.detach()), special.expit(A))
    assert special.erf(x).requires_grad


def test_what_numpy_returns_shares_the_memory() -> None:
    t = tg.tensor(A)
    np.atleast_2d(t)[0, 0] = 7.0
    assert t[0, 0].item() == 7.0
    assert np.shares_memory(t, t[0].numpy())
    assert not np.shares_memory(t, t.clone())


def test_files_of_numpy(tmp_path: Any) -> None:
    t = tg.tensor(A)
    np.save(tmp_path / "a.npy", t)
    np.savez(tmp_path / "b.npz", t, other=t * 2.0)
    np.savetxt(tmp_path / "c.txt", t)
    same(np.load(tmp_path / "a.npy"), A)
    with np.load(tmp_path / "b.npz") as file:
        same(file["arr_0"], A)
        same(file["other"], A * 2.0)
    same(np.loadtxt(tmp_path / "c.txt"), A)
    with pytest.raises(TypeError, match="np.save does not work"):
        np.save(tmp_path / "d.npy", tg.tensor(A, requires_grad=True))
    assert not (tmp_path / "d.npy").exists()


WRITES: dict[str, Callable[[Any], Any]] = {
    "ufunc out": lambda t: np.add(A, 1.0, out=t),
    "cbrt out": lambda t: np.cbrt(t, out=t),
    "second of two": lambda t: np.modf(A, out=(None, t)),
    "reduce out": lambda t: np.add.reduce(np.stack([A, B]), axis=0, out=t),
    "at": lambda t: np.add.at(t, ([0, 0], [1, 1]), 2.0),
    "sum out": lambda t: np.sum(np.stack([A, B]), axis=0, out=t),
    "out by position": lambda t: np.max(np.stack([A, B]), 0, t),
    "median out": lambda t: np.median(np.stack([A, B]), axis=0, out=t),
    "copyto": lambda t: np.copyto(t, B),
    "copyto by name": lambda t: np.copyto(src=B, dst=t),
    "put": lambda t: np.put(t, [0, 4], [9.0, 8.0]),
    "place": lambda t: np.place(t, A > 1, [5.0]),
    "putmask": lambda t: np.putmask(t, A > 1, 0.0),
    "fill_diagonal": lambda t: np.fill_diagonal(t, 6.0),
    "put_along_axis": lambda t: np.put_along_axis(t, np.array([[0], [1]]), 4.0, axis=1),
    "nan_to_num": lambda t: np.nan_to_num(t, copy=False),
    "overwrite_input": lambda t: np.median(t, overwrite_input=True),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_of_numpy_are_writes_in_place(name: str) -> None:
    f = WRITES[name]
    t, expected = tg.tensor(A), A.copy()
    w = tg.tensor(B, requires_grad=True)
    product = w * t
    result, wanted = f(t), f(expected)
    same(t.numpy(), expected)
    assert t._version == 1
    assert (result is t) == (wanted is expected)
    with pytest.raises(RuntimeError, match="in place|overwritten|modified"):
        product.sum().backward()  # it saved what is no longer there
    with pytest.raises((RuntimeError, ValueError), match="several elements share"):
        f(tg.tensor(A[:1]).expand(2, 3))
    leaf = tg.tensor(A, requires_grad=True)
    for x in (leaf, leaf * 1.0):
        with pytest.raises(TypeError, match="that require grad"):
            f(x)
        assert x.tolist() == A.tolist()
        assert x._version == 0


def test_a_failed_write_is_noted_too() -> None:
    t = tg.tensor(A)
    with pytest.raises(IndexError):
        np.add.at(t, ([0, 9], [0, 0]), 1.0)
    assert t._version == 1


def test_traces_refuse_what_numpy_does() -> None:
    def by_function(x: Any) -> Any:
        return x + float(np.median(x))

    def by_ufunc(x: Any) -> Any:
        return x + tg.from_numpy(np.cbrt(x))

    def by_writing(x: Any) -> Any:
        y = x * 2.0
        np.copyto(y, B)
        return y

    for f in (by_function, by_ufunc, by_writing):
        with pytest.raises(tg.CompileError, match="gives Python a tensor's value"):
            tg.compile(f)(tg.tensor(A))
        assert f(tg.tensor(A)).shape == (2, 3)


def test_other_dtypes_and_kinds_go_to_numpy() -> None:
    for dtype in (tg.bfloat16, tg.float16, tg.float32, tg.int8, tg.uint8, tg.bool, tg.complex64):
        t = tg.ones(3, dtype=dtype)
        assert np.array_equal(t, t) is True
        assert np.unique(t).dtype == t.numpy().dtype
        assert np.linalg.norm(t) == pytest.approx(3**0.5, rel=1e-3)

    class Mine(tg.Tensor):
        pass

    mine = Mine(A)
    assert type(mine) is Mine
    assert np.median(mine) == np.median(A.astype(mine.numpy().dtype))
    assert np.median(tg.nn.Parameter(tg.tensor(A), requires_grad=False)) == np.median(A)

    class Other:
        def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
            return [type(x) for x in args]

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            return [type(x) for x in inputs]

    t: Any = tg.tensor(A)
    other: Any = Other()
    for seen in (np.allclose(t, other), np.nextafter(t, other)):
        assert sorted(kind.__name__ for kind in seen) == ["Other", "ndarray"]


def test_what_numpy_can_not_give_stays_refused() -> None:
    t = tg.tensor(A)
    for f in (
        lambda: np.zeros(3, like=t), lambda: np.asarray(t, like=t), lambda: np.full(3, t[0, 0], like=t), lambda: np.sum(t, where=A > 1),
        lambda: np.reshape(t, (3, 2), order="F"), lambda: np.sort(t, kind="heapsort"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="does not work on tapegrad tensors"):
            f()


def test_plots_and_estimators_take_tensors() -> None:
    x = tg.tensor(np.concatenate([A, B, -A]))
    preprocessing, cluster = pytest.importorskip("sklearn.preprocessing"), pytest.importorskip("sklearn.cluster")
    scaled = preprocessing.StandardScaler().fit_transform(x)
    same(scaled, preprocessing.StandardScaler().fit_transform(x.numpy()))
    found = cluster.KMeans(2, n_init=1, random_state=0).fit(x)
    same(found.labels_, cluster.KMeans(2, n_init=1, random_state=0).fit(x.numpy()).labels_)
    same(found.predict(x), found.labels_)
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    bars = axes.bar(x[:, 0], x[:, 1])
    assert [bar.get_height() for bar in bars] == x[:, 1].tolist()
    assert axes.plot(x[:, 0], x[:, 1])[0].get_ydata().tolist() == x[:, 1].tolist()
    axes.hist(x[:, 0])
    axes.scatter(x[:, 0], x[:, 1], c=x[:, 2], s=x[:, 2].abs())
    axes.errorbar(x[:, 0], x[:, 1], yerr=x[:, 2].abs())
    axes.fill_between(x[:, 0], x[:, 1], x[:, 2], where=x[:, 1] > x[:, 2])
    axes.imshow(x)
    axes.figure.canvas.draw()


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
