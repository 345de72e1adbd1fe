"""Gathering and scattering along a dimension, every element by an index of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...device import backend
from ...public import composite, method, public
from ...registry import Op, as_tensor_input, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, no_tensor, wrap
from ..checks import index_array, need_in_range, need_same_dtype
from ..shape.expand import expand
from ..shape.reshape import normalize_dim, reshape
from .index_put import constant
from .indexing import put as put_at

__all__ = ["gather", "scatter", "scatter_add", "take_along_dim"]


_gather = register(
    Op(
        "gather",
        ("input", "index"),
        lambda B, x, i, *, dim: B.gather(x, i, dim),
        {"input": lambda K, g, index, input_shape, dim: K.scatter_zeros(g, index, dim=dim, size=input_shape)},
        samples=[
            Sample((Input((3, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0}),
            Sample((Input((3, 4)), Input((3, 5), 0, 4, "int")), {"dim": 1}),
        ],
        reference=lambda x, i, dim: np.take_along_axis(x[tuple(slice(0, n) if d != dim else slice(None) for d, n in enumerate(i.shape))], i, dim),
        error_inputs=[ErrorInput(lambda tg: tg.ones(3).gather(0, tg.tensor([3])), IndexError, "gather: index 3 is out of range")],
    )
)

_scatter_zeros = register(
    Op(
        "scatter_zeros",
        ("input", "index"),
        lambda B, g, i, *, dim, size, distinct=False: B.scatter_at(g, B.grid(i, dim, distinct), size) if size else g.copy(),
        {"input": lambda K, g, index, dim: K.gather(g, index, dim=dim)},
        method=False,
        samples=[Sample((Input((2, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0, "size": (3, 4)})],
        reference="index_references.scatter_zeros",
    )
)


def _check_index(name: str, input: Tensor, dim: int, index: Tensor) -> tuple[int, Tensor]:
    at = normalize_dim(dim, input.ndim, name)
    i = index._array
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected an integer index, got dtype {index.dtype}")
    if i.ndim != input.ndim or any(a > b for d, (a, b) in enumerate(zip(i.shape, input._array.shape, strict=True)) if d != at):
        raise RuntimeError(
            f"{name}: index of shape {tuple(i.shape)} must have as many dimensions as the input of shape {tuple(input.shape)} and be no "
            f"larger outside dimension {at}"
        )
    n = input._array.shape[at] if input.ndim else 1
    need_in_range(name, index, n, f"dimension {at} of size {n}")
    return at, index


@public(
    _gather,
    samples=[
        Sample((Input((3, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0}, names=("input", "index")),
        Sample((Input((3, 4)), Input((3, 5), 0, 4, "int")), {"dim": -1}, names=("input", "index")),
        Sample((Input(()), Input((), 0, 1, "int")), {"dim": 0}, names=("input", "index")),
    ],
    reference=lambda input, index, dim: (
        np.take_along_axis(input[tuple(slice(0, n) if d != dim % input.ndim else slice(None) for d, n in enumerate(index.shape))], index, dim)
        if input.ndim
        else input
    ),
)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: elements picked along ``dim``.

    Raises:
        RuntimeError: when shapes don't fit or the index is not integer.
        IndexError: when an index is out of range (negative ones are).
    """
    at, index = _check_index("gather", input, dim, index)
    return _gather.call(input, index, dim=at)  # type: ignore[no-any-return]


@composite(
    samples=[
        Sample((Input((3, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0}),
        Sample((Input((3, 4)), Input((1, 2), 0, 4, "int")), {"dim": -1}),
        Sample((Input((3, 1)), Input((2, 4), 0, 3, "int")), {"dim": 0}),
        Sample((Input((3, 4)), Input((2, 3), 0, 12, "int"))),
    ],
    reference=lambda x, indices, dim=None: np.take(x, indices.ravel()) if dim is None else np.take_along_axis(x, indices, dim),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).take_along_dim(tg.tensor([0]), 0), RuntimeError, r"take_along_dim: .*\(2, 3\) and \(1,\)"),
        ErrorInput(lambda tg: tg.ones(3).take_along_dim(tg.tensor([3]), 0), IndexError, "take_along_dim: index 3 is out of range"),
    ],
)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """:func:`gather` of a tensor and indices that are broadcast in all other dimensions; of both flattened without ``dim``.

    Raises:
        RuntimeError: when shapes don't fit or the indices are not integers.
        IndexError: when an index is out of range; negative ones count from the end.
    """
    if dim is None:
        input, indices, dim = reshape(input, input.numel()), reshape(indices, indices.numel()), 0
    at = normalize_dim(dim, input.ndim, "take_along_dim")
    if input.ndim != indices.ndim:
        raise RuntimeError(f"take_along_dim: input and indices must have as many dimensions, got shapes {tuple(input.shape)} and {tuple(indices.shape)}")
    shape = list(broadcast_shape("take_along_dim", [tuple(1 if d == at else n for d, n in enumerate(x.shape)) for x in (input, indices)]))
    spread = []
    for x in (input, indices):
        if x.ndim:
            shape[at] = int(x.shape[at])
        spread.append(x if tuple(x.shape) == tuple(shape) else expand(x, *shape))
    if spread[1].dtype.category == 1 and spread[1].dtype.is_signed:
        places = index_array(spread[1], "take_along_dim()", input)
        counted = backend(places).from_start(places, spread[0]._array.shape[at] if input.ndim else 1)
        if counted is not places:
            spread[1] = wrap(counted)
    _check_index("take_along_dim", spread[0], at, spread[1])
    return _gather.call(*spread, dim=at)  # type: ignore[no-any-return]


# --------------------------------------------------------------------------------------------------------------- scatter


def scattering(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor) -> tuple[int, Tensor]:
    """The dimension and the part of ``src`` that the index covers, checked."""
    at, index = _check_index(name, input, dim, index)
    if src._array.ndim != index._array.ndim or any(a > b for a, b in zip(index._array.shape, src._array.shape, strict=True)):
        raise RuntimeError(f"{name}: src of shape {tuple(src.shape)} is smaller than the index of shape {tuple(index.shape)}")
    need_same_dtype(name, input=input, src=src)
    if src._array.shape == index._array.shape:
        return at, src
    return at, src[tuple(slice(0, n) for n in index._array.shape)]


def _need_tensor(src: Any, name: str) -> Tensor:
    if isinstance(src, (bool, int, float, complex)):
        raise TypeError(f"{name}(): argument 'src' must be a Tensor, not {no_tensor(src)}")
    return as_tensor_input(src, name, "src")


def _write(name: str, input: Tensor, dim: int, index: Tensor, src: Any, *, accumulate: bool = False, in_place: bool = False) -> Tensor:
    if isinstance(src, Tensor):
        at, src = scattering(name, input, dim, index, src)
    else:
        at, _ = _check_index(name, input, dim, index)
        src = constant(src, input, name)
    if index.numel() == 0:
        return input if in_place else input.clone()
    places = index_array(index, f"{name}()", input)
    if input.ndim == 0:
        made = put_at(name, reshape(input, 1), src, (places.reshape(1),), accumulate=accumulate, in_place=in_place)
        return input if in_place else reshape(made)
    return put_at(name, input, src, backend(input._array).grid(places, at), accumulate=accumulate, in_place=in_place)


def _loop(input: Any, index: Any, src: Any, dim: int, combine: Any) -> Any:
    out = input.copy()
    for at in np.ndindex(*index.shape):
        to = list(at)
        if to:
            to[dim] = index[at]
        out[tuple(to)] = combine(out[tuple(to)], src[at] if np.ndim(src) else src)
    return out


_NAMES = ("input", "index", "src")


@composite(
    samples=[
        Sample((Input((3, 4)), Input((1, 4), 0, 3, "int"), Input((1, 4))), {"dim": 0}, names=_NAMES),
        Sample((Input((3, 4)), Input((2, 1), 0, 4, "int")), {"dim": -1, "value": 0.5}, names=("input", "index")),
        Sample((Input(()), Input((), 0, 1, "int"), Input(())), {"dim": 0}, names=_NAMES),
    ],
    reference=lambda input, index, dim, src=None, value=None: _loop(input, index, value if src is None else src, dim, lambda old, new: new),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).scatter(0, tg.tensor([3]), tg.ones(1)), IndexError, "scatter: index 3 is out of range"),
        ErrorInput(lambda tg: tg.ones(3).scatter(0, tg.tensor([0, 1]), tg.ones(1)), RuntimeError, r"scatter: src of shape \(1,\) is smaller"),
        ErrorInput(lambda tg: tg.ones(3).scatter(0, tg.tensor([0]), tg.tensor([1])), RuntimeError, "scatter: expected equal dtypes, .*src .*int64"),
        ErrorInput(lambda tg: tg.ones(3).scatter(0, tg.tensor([0]), 1.0, reduce="mean"), ValueError, "scatter: reduce must be 'add' or 'multiply'"),
        ErrorInput(lambda tg: tg.ones(3).scatter(0, tg.tensor([0])), TypeError, r"scatter\(\): give src or value"),
    ],
)
def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
    """A copy with ``src[i][j]`` (or a number) at ``[index[i][j]][j]`` for dim 0, and so on.

    Of values for one place the last in row-major order wins, and gets the gradient. ``reduce`` "add" or "multiply" combines
    them with what is there.

    Raises:
        RuntimeError, IndexError: as :func:`gather`; nothing is written then.
        ValueError: for another ``reduce``.
    """
    return _scatter("scatter", input, dim, index, src, value, reduce, False)


@method
def scatter_(self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
    """:func:`scatter` in place; returns the tensor."""
    return _scatter("scatter_", self, dim, index, src, value, reduce, True)


def _scatter(name: str, input: Tensor, dim: int, index: Tensor, src: Any, value: Any, reduce: str | None, in_place: bool) -> Tensor:
    if (src is None) == (value is None):
        raise TypeError(f"{name}(): give src or value")
    given = value if src is None else src
    if reduce == "multiply":
        from .scatter_reduce import reduced

        if not isinstance(given, Tensor):
            given = expand(constant(given, input, name), *index.shape)
        return reduced(name, input, dim, index, given, "prod", True, in_place)
    if reduce not in (None, "add"):
        raise ValueError(f"{name}: reduce must be 'add' or 'multiply', got {reduce!r}")
    return _write(name, input, dim, index, given, accumulate=reduce == "add", in_place=in_place)


@composite(
    samples=[
        Sample((Input((3, 4)), Input((2, 4), 0, 3, "int"), Input((2, 4))), {"dim": 0}, names=_NAMES),
        Sample((Input((3, 4)), Input((2, 4), 0, 4, "int"), Input((2, 4))), {"dim": -1}, names=_NAMES),
        Sample((Input(()), Input((), 0, 1, "int"), Input(())), {"dim": 0}, names=_NAMES),
    ],
    reference=lambda input, index, src, dim: _loop(input, index, src, dim, lambda old, new: old + new),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2).scatter_add(0, tg.tensor([2]), tg.ones(1)), IndexError, "scatter_add: index 2 is out of range"),
        ErrorInput(lambda tg: tg.ones(2).scatter_add(0, tg.tensor([1]), tg.ones(1, 1)), RuntimeError, r"scatter_add: src of shape \(1, 1\)"),
    ],
)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src[i][j]`` added at ``[index[i][j]][j]`` for dim 0, and so on. Repeated indices add up, in order.

    Raises:
        RuntimeError, IndexError: as :func:`gather`; nothing is written then.
    """
    return _write("scatter_add", input, dim, index, _need_tensor(src, "scatter_add"), accumulate=True)


@method
def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """:func:`scatter_add` in place; returns the tensor."""
    return _write("scatter_add_", self, dim, index, _need_tensor(src, "scatter_add_"), accumulate=True, in_place=True)
