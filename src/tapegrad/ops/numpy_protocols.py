"""NumPy's functions called on tensors: recorded on the tape, or done by NumPy on their arrays where no gradient is lost."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from ..inplace import check_writable
from ..registry import REGISTRY, as_tensor_input
from ..tensor import Tensor
from . import aliases, create
from .elementwise import basic as elementwise, bitwise, comparison, division, rounding
from .index import sort
from .linalg import einsum, matmul
from .reduction import counting, difference, extremes, prod, reduce, scan
from .shape import diagonal, expand, flip, join, permute, reshape as shape, tile

_UFUNCS: dict[str, Callable[..., Any]] = {
    "absolute": elementwise.abs,
    "power": elementwise.pow,
    "divide": division.div,
    "rint": rounding.round,
    "positive": rounding.positive,
    "fabs": elementwise.abs,
    "invert": bitwise.bitwise_not,
    "left_shift": bitwise.bitwise_left_shift,
    "right_shift": bitwise.bitwise_right_shift,
    **{name: getattr(aliases, name) for name in ("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh")},
    "subtract": elementwise.sub,
    "multiply": elementwise.mul,
    "add": elementwise.add,
    "negative": elementwise.neg,
    "conjugate": elementwise.conj,
    "less": elementwise.lt,
    "less_equal": elementwise.le,
    "greater": elementwise.gt,
    "greater_equal": elementwise.ge,
    "equal": elementwise.eq,
    "not_equal": elementwise.ne,
    "matmul": matmul.matmul,
}
_reshape = shape.reshape


def _np_reshape(a: Tensor, /, shape: Any, order: str = "C") -> Tensor:
    if order != "C":
        raise TypeError(f"np.reshape with order={order!r} does not work on tapegrad tensors; permute the dimensions")
    return _reshape(a, shape)


def _np_expand_dims(a: Tensor, axis: int | Sequence[int]) -> Tensor:
    if isinstance(axis, int):
        return shape.unsqueeze(a, axis)
    rank = a.ndim + len(axis)
    for d in sorted(shape.normalize_dims(axis, rank, "expand_dims")):
        a = shape.unsqueeze(a, d)
    return a


def _np_prod(a: Tensor, axis: int | None = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
    if axis is None:
        found = prod.prod(a, dtype=dtype)
        return found.reshape([1] * a.ndim) if keepdims else found  # type: ignore[no-any-return]
    return prod.prod(a, axis, keepdims, dtype=dtype)


def _tensor(x: Any) -> Tensor:
    return as_tensor_input(x, "np", "operand")


def _np_dot(a: Any, b: Any) -> Tensor:
    a, b = _tensor(a), _tensor(b)
    if min(a.ndim, b.ndim) == 0:
        return elementwise.mul(a, b)  # type: ignore[no-any-return]
    if b.ndim > 2:
        raise TypeError("np.dot with more than two dimensions does not work on tapegrad tensors; use tensordot or matmul")
    return matmul.matmul(a, b)


_broadcast_to = expand.broadcast_to

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concatenate": lambda arrays, axis=0: join.cat(arrays, axis),
    "stack": lambda arrays, axis=0: join.stack(arrays, axis),
    "transpose": lambda a, axes=None: permute.permute(a, *(axes if axes is not None else reversed(range(a.ndim)))),
    "reshape": _np_reshape,
    "where": elementwise.where,
    "clip": lambda a, a_min=None, a_max=None: elementwise.clamp(a, a_min, a_max),
    "squeeze": lambda a, axis=None: shape.squeeze(a, axis),
    "expand_dims": _np_expand_dims,
    "shape": lambda a: tuple(a.shape),
    "ndim": lambda a: a.ndim,
    "size": lambda a: a.numel(),
    "zeros_like": lambda a: create.zeros_like(a),
    "ones_like": lambda a: create.ones_like(a),
    "flip": lambda m, axis=None: flip.flip(m, *(range(m.ndim) if axis is None else [axis] if isinstance(axis, int) else axis)),
    **{
        name: (lambda f: lambda a, axis=None, dtype=None, *, keepdims=False: f(a, axis, keepdims, dtype=dtype))(function)
        for name, function in (("sum", reduce.sum), ("mean", reduce.mean))
    },
    **{
        name: (lambda f: lambda a, axis=None, *, keepdims=False: f(a, axis, keepdims))(function)
        for name, function in (("amax", extremes.amax), ("max", extremes.amax))
    },
    **{
        name: (lambda f: lambda a, axis=None, *, keepdims=False: f(a, axis, keepdims))(function)
        for name, function in (("amin", extremes.amin), ("min", extremes.amin), ("argmax", extremes.argmax), ("argmin", extremes.argmin))
    },
    "var": lambda a, axis=None, *, ddof=0, keepdims=False: reduce.var(a, axis, keepdim=keepdims, correction=ddof),
    "std": lambda a, axis=None, *, ddof=0, keepdims=False: reduce.std(a, axis, keepdim=keepdims, correction=ddof),
    "cumsum": lambda a, axis=None, dtype=None: scan.cumsum(a.reshape(-1) if axis is None else a, axis or 0, dtype=dtype),
    "cumprod": lambda a, axis=None, dtype=None: scan.cumprod(a.reshape(-1) if axis is None else a, axis or 0, dtype=dtype),
    "prod": _np_prod,
    "nansum": lambda a, axis=None, *, keepdims=False: reduce.nansum(a, axis, keepdims),
    "nanmean": lambda a, axis=None, *, keepdims=False: reduce.nanmean(a, axis, keepdims),
    "any": lambda a, axis=None, *, keepdims=False: counting.any(a, axis, keepdims),
    "all": lambda a, axis=None, *, keepdims=False: counting.all(a, axis, keepdims),
    "count_nonzero": lambda a, axis=None: counting.count_nonzero(a, axis),
    "sort": lambda a, axis=-1: sort.sort(a.reshape(-1) if axis is None else a, -1 if axis is None else axis)[0],
    "argsort": lambda a, axis=-1: sort.argsort(a.reshape(-1) if axis is None else a, -1 if axis is None else axis),
    "dot": _np_dot,
    "inner": lambda a, b: matmul.inner(_tensor(a), _tensor(b)),
    "outer": lambda a, b: matmul.outer(_tensor(a).reshape(-1), _tensor(b).reshape(-1)),
    "tensordot": lambda a, b, axes=2: einsum.tensordot(_tensor(a), _tensor(b), axes),
    "einsum": lambda subscripts, *operands: einsum.einsum(subscripts, *map(_tensor, operands)),
    "trace": lambda a: diagonal.trace(a),
    "diagonal": lambda a, offset=0, axis1=0, axis2=1: diagonal.diagonal(a, offset, axis1, axis2),
    "diag": lambda v, k=0: diagonal.diag(v, k),
    "tril": lambda m, k=0: diagonal.tril(m, k),
    "triu": lambda m, k=0: diagonal.triu(m, k),
    "ravel": lambda a: shape.ravel(a),
    "broadcast_to": lambda array, shape: _broadcast_to(array, shape),
    "swapaxes": lambda a, axis1, axis2: permute.transpose(a, axis1, axis2),
    "moveaxis": lambda a, source, destination: permute.movedim(a, source, destination),
    "roll": lambda a, shift, axis=None: flip.roll(a, shift, axis),
    "tile": lambda A, reps: tile.tile(A, reps if isinstance(reps, (tuple, list)) else (reps,)),
    "repeat": lambda a, repeats, axis=None: tile.repeat_interleave(a, repeats, axis),
    "vstack": lambda tup: join.vstack(tup),
    "hstack": lambda tup: join.hstack(tup),
    "dstack": lambda tup: join.dstack(tup),
    "column_stack": lambda tup: join.column_stack(tup),
    "diff": lambda a, n=1, axis=-1: difference.diff(a, n, axis),
    "copy": lambda a: a.clone(),
    "isclose": lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: comparison.isclose(a, b, rtol, atol, equal_nan),
}


# NumPy's array API functions, whose arguments and axes differ from those of the same name above
_LINALG: dict[str, Callable[..., Any]] = {
    "matmul": lambda a, b: matmul.matmul(_tensor(a), _tensor(b)),
    "outer": _FUNCTIONS["outer"],
    "tensordot": _FUNCTIONS["tensordot"],
    "diagonal": lambda a, offset=0: diagonal.diagonal(a, offset, -2, -1),
    "trace": lambda a, offset=0: reduce.sum(diagonal.diagonal(a, offset, -2, -1), -1),
}
_TABLES = {"numpy": _FUNCTIONS, "numpy.linalg": _LINALG}

# What writes to its first argument.
_WRITES = frozenset({"copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"})

# What NumPy asks us for only because of ``like=``, which wants a tensor.
_LIKE = frozenset(
    ["array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "require", "empty", "zeros", "ones", "full", "arange", "eye",
     "identity", "tri", "fromfunction", "fromfile", "fromiter", "fromstring", "frombuffer", "loadtxt", "genfromtxt"]
)  # fmt: skip


def _tensors(x: Any) -> Iterator[Tensor]:
    """The tensors in an argument."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, (list, tuple)):
        for item in x:
            yield from _tensors(item)


def _arrays(x: Any) -> Any:
    """An argument with the memory of each tensor in its place."""
    if isinstance(x, Tensor):
        return x.numpy()
    if isinstance(x, (list, tuple)) and any(True for _ in _tensors(x)):
        items = [_arrays(item) for item in x]
        return items if isinstance(x, list) else tuple(items)
    return x


def _refuse(what: str, why: str = "") -> NoReturn:
    raise TypeError(f"{what} does not work on tapegrad tensors{why}; use tensor.detach().numpy() if no gradient is needed")


def _by_numpy(name: str, what: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any], targets: list[Tensor]) -> Any:
    """Call NumPy's function on the memory of the tensors, none of which may require grad.

    Args:
        name: of the function.
        what: the call, for messages.
        function: called again, on arrays; other kinds of operands among them still have their say.
        args: its arguments.
        kwargs: its arguments by name.
        targets: tensors that it writes to. NumPy returns its ``out=``, and so does this.
    """
    tensors = list(_tensors((*args, *kwargs.values())))
    if not tensors:  # in something else than a list
        _refuse(what)
    if any(t._entry is not None for t in tensors):
        _refuse(what, " that require grad")
    for t in tensors:
        if t.device.type != "cpu":
            raise TypeError(f"{what} does not work on a tapegrad tensor on {t.device}; use tensor.cpu()")
    args, kwargs = [_arrays(x) for x in args], {key: _arrays(x) for key, x in kwargs.items()}
    for target in targets:
        check_writable(target, name)
    try:
        result = function(*args, **kwargs)
    finally:
        for target in targets:
            target._storage.wrote(name)
    written = {id(target.numpy()): target for target in targets}
    if isinstance(result, tuple):
        return tuple([written.get(id(x), x) for x in result]) if written else result
    return written.get(id(result), result)


def _bound(func: Any, args: Any, kwargs: dict[str, Any]) -> dict[Any, Any]:
    """The arguments by name; by place where NumPy, before 2.4, does not say how functions written in C call theirs."""
    try:
        return inspect.signature(func).bind(*args, **kwargs).arguments
    except ValueError:
        return {**dict(enumerate(args)), **kwargs}


def _targets(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that a function writes to."""
    given = _bound(func, args, kwargs)
    written: Any = given.get("out")
    if func.__name__ in _WRITES or given.get("overwrite_input") or (func.__name__ == "nan_to_num" and not given.get("copy", True)):
        written = (written, next(iter(given.values())))
    return list(_tensors(written))


@functools.lru_cache(256)
def _ufunc_name(ufunc: Any) -> str:
    """``np.exp``, ``scipy.special.expit``, or the plain name of a ufunc from elsewhere."""
    name = str(ufunc.__name__)
    for module, shown in (("numpy", "np"), ("scipy.special", "scipy.special")):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            return f"{shown}.{name}"
    return name


def _function_name(func: Any) -> str:
    """``np.linalg.norm``."""
    module = str(getattr(func, "__module__", None) or "")
    module = "np" + module.removeprefix("numpy") if module.split(".")[0] == "numpy" else module
    return f"{module}.{func.__name__}".lstrip(".")


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's functions of elements, on tensors: recorded on the tape, or done by NumPy where no tensor requires grad."""
    shown = _ufunc_name(ufunc)
    if method == "__call__" and not kwargs and "." in shown:
        name = ufunc.__name__
        function = _UFUNCS.get(name) or (REGISTRY[name].function if name in REGISTRY else None)
        if function is not None:
            return function(*inputs)
    name = shown if method == "__call__" else f"{shown}.{method}"
    what = name + (f" with {', '.join(f'{key}=' for key in kwargs)}" if kwargs else "")
    targets = list(_tensors((kwargs.get("out"), inputs[0] if method == "at" else None)))
    return _by_numpy(name, what, getattr(ufunc, method), inputs, kwargs, targets)


def array_function(self: Tensor, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """NumPy's other functions, on tensors: recorded on the tape, or done by NumPy where no tensor requires grad."""
    function = _TABLES.get(func.__module__, {}).get(func.__name__)
    name = _function_name(func)
    if function is None:
        if func.__module__ == "numpy" and func.__name__ in _LIKE:
            _refuse(f"{name} with like=")
        return _by_numpy(name, name, func, args, kwargs, _targets(func, args, kwargs))
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        if _bound(func, args, kwargs).get("out") is not None:
            return _by_numpy(name, f"{name} with out=", func, args, kwargs, _targets(func, args, kwargs))
        raise TypeError(f"{name} does not work on tapegrad tensors with these arguments: {error}") from None
    return function(*args, **kwargs)
