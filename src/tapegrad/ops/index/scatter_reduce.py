"""Scattering with a reduction of what meets at one place: sum, mean, product, maximum, minimum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes, inplace
from ...device import backend
from ...public import composite, method
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import index_array, read_values
from ..elementwise.division import floor_divide
from ..shape.copy import to_dtype
from ..shape.reshape import reshape
from .gather import scattering
from .indexing import INDEX_ACCUMULATE, INDEX_PUT

__all__ = ["scatter_reduce"]

_INDEX = (np.array([0, 2, 0, 1]), np.array([1, 1, 1, 0]))

_EXTREME = register(
    Op(
        "index_extreme",
        ("input", "values"),
        lambda B, x, v, *, index, how: B.combine_at(x, index, v, how),
        {("input", "values"): lambda K, g, input, values, out, index, needs: _share(K, g, input, values, out, index, needs)},
        method=False,
        samples=[
            Sample((Input((3, 4), apart=True), Input((4,), apart=True)), {"index": _INDEX, "how": "amax"}),
            Sample((Input((3, 4), apart=True), Input((4,), apart=True)), {"index": _INDEX, "how": "amin"}),
        ],
        reference="index_references.combined",
        kinds="bif",
        smooth=False,
        edge_points=[EdgePoint(([1.0, 3.0], [3.0, 3.0]), ([1.0, 1.0], [0.0, 0.0]), {"index": (np.array([0, 0]),), "how": "amin"})],
    )
)


def _share(K: Any, g: Any, x: Any, v: Any, out: Any, index: Any, needs: tuple[bool, bool]) -> tuple[Any, Any]:
    """The gradient of an extreme, split evenly between ties."""
    dtype = _dtype(g)
    kept, won = K.to(K.eq(x, out), dtype=dtype), K.to(K.eq(v, K.index(out, index=index)), dtype=dtype)
    count = K.index_accumulate(kept, won, index=index)
    share = K.div(g, K.where(K.eq(count, 0.0), 1.0, count))  # no winner where the extreme is NaN
    return K.mul(share, kept) if needs[0] else None, K.mul(K.index(share, index=index), won) if needs[1] else None


def _dtype(g: Any) -> Any:
    return dtypes.FROM_NUMPY[(g._array if isinstance(g, Tensor) else g).dtype]


_PROD = register(
    Op(
        "index_multiply",
        ("input", "values"),
        lambda B, x, v, *, index: B.combine_at(x, index, v, "prod"),
        {("input", "values"): lambda K, g, input, values, index, needs: _without_one(K, g, input, values, index, needs)},
        method=False,
        samples=[Sample((Input((3, 4), 0.5, 2.0), Input((4,), 0.5, 2.0)), {"index": _INDEX})],
        reference="index_references.multiplied",
        kinds="if",
        edge_points=[
            EdgePoint(([2.0, 3.0], [0.0, 5.0]), ([0.0, 1.0], [10.0, 0.0]), {"index": (np.array([0, 0]),)}),
            EdgePoint(([0.0, 3.0], [0.0, 5.0]), ([0.0, 1.0], [0.0, 0.0]), {"index": (np.array([0, 0]),)}),
        ],
    )
)


_SECOND = "the derivative of a product of what meets at one place"


def _without_one(K: Any, g: Any, x: Any, v: Any, index: Any, needs: tuple[bool, bool]) -> tuple[Any, Any]:
    """The cotangent times the product of all other factors, exact where some are 0; its own derivative is refused there."""
    dtype = _dtype(g)
    no_x, no_v = K.eq(x, 0.0), K.eq(v, 0.0)
    some_x, some_v = K.where(no_x, 1.0, x), K.where(no_v, 1.0, v)
    zeros = K.index_accumulate(K.to(no_x, dtype=dtype), K.to(no_v, dtype=dtype), index=index)
    others = K.mul(g, K.index_multiply(some_x, some_v, index=index))

    def of(at_zero: Any, factor: Any, count: Any, scaled: Any) -> Any:
        remaining = K.sub(count, K.to(at_zero, dtype=dtype))
        return K.where(K.eq(remaining, 0.0), K.div(scaled, factor), 0.0)

    into_x = of(no_x, some_x, zeros, others) if needs[0] else None
    into_v = of(no_v, some_v, K.index(zeros, index=index), K.index(others, index=index)) if needs[1] else None
    if isinstance(g, Tensor) and any(read_values(x, _SECOND).any() for x in (no_x, no_v)):
        into_x, into_v = (None if d is None else K.underivable(d) for d in (into_x, into_v))
    return into_x, into_v


def _refused(K: Any, g: Any) -> Any:
    raise RuntimeError("scatter_reduce: the second derivative of a product with zeros is not implemented")


register(Op("underivable", ("input",), lambda B, x: B.copy(x), {"input": _refused}, method=False))


_NAMES = ("input", "index", "src")
_START: dict[str, float] = {"sum": 0, "mean": 0, "prod": 1, "amax": -np.inf, "amin": np.inf}


def _reference(input: Any, index: Any, src: Any, dim: int, reduce: str, include_self: bool = True) -> Any:
    out = input.copy()
    groups: dict[Any, list[Any]] = {}
    for at in np.ndindex(*index.shape):
        to = list(at)
        to[dim] = index[at]
        groups.setdefault(tuple(to), [input[tuple(to)]] if include_self else []).append(src[at])
    combine: dict[str, Any] = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min}
    for to, values in groups.items():
        out[to] = combine[reduce](values)
    return out


@composite(
    samples=[
        Sample((Input((3, 4), 0.5, 2.0), Input((3, 4), 0, 3, "int"), Input((3, 4), 0.5, 2.0)), {"dim": 0, "reduce": how, "include_self": k}, names=_NAMES)
        for how in ("sum", "mean", "prod")
        for k in (True, False)
    ]
    + [
        Sample((Input((2, 3), apart=True), Input((2, 4), 0, 3, "int"), Input((2, 4), apart=True)), {"dim": 1, "reduce": how, "include_self": k}, names=_NAMES)
        for how in ("amax", "amin")
        for k in (True, False)
    ],
    reference=_reference,
    kinds="if",
    smooth=False,
    error_inputs=[
        ErrorInput(
            lambda tg: tg.ones(3).scatter_reduce(0, tg.tensor([3]), tg.ones(1), "sum"), IndexError, "scatter_reduce: index 3 is out of range"
        ),
        ErrorInput(
            lambda tg: tg.ones(3).scatter_reduce(0, tg.tensor([0]), tg.ones(1), "add"), RuntimeError, "scatter_reduce: reduce must be one of sum, .* got 'add'"
        ),
    ],
)
def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """A copy with ``src[i][j]`` reduced into ``[index[i][j]][j]`` for dim 0, and so on.

    ``reduce`` is "sum", "mean", "prod", "amax" or "amin" (of which ties share the gradient evenly); without ``include_self`` the
    input's own value at such a place does not take part.

    Raises:
        RuntimeError, IndexError: as :func:`gather`; nothing is written then.
    """
    return reduced("scatter_reduce", input, dim, index, src, reduce, include_self, False)


@method
def scatter_reduce_(self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """:func:`scatter_reduce` in place; returns the tensor."""
    return reduced("scatter_reduce_", self, dim, index, src, reduce, include_self, True)


def reduced(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool, in_place: bool) -> Tensor:
    """:func:`scatter_reduce`, or in place; a write in place is one whole copy, after everything was checked."""
    if reduce not in _START:
        raise RuntimeError(f"{name}: reduce must be one of {', '.join(_START)}, got {reduce!r}")
    at, src = scattering(name, input, dim, index, src)
    if in_place:
        inplace.check_writable(input, name)
    old = input.clone()  # what is saved for backward outlives a write
    if index.numel() == 0:
        result = old
    elif input.ndim == 0:
        places = index_array(index, f"{name}()", input)
        result = reshape(_reduce(reshape(old, 1), (places.reshape(1),), reshape(src, 1), reduce, include_self))
    else:
        result = _reduce(old, backend(input._array).grid(index_array(index, f"{name}()", input), at), src, reduce, include_self)
    return input.copy_(result) if in_place else result


def _reduce(input: Tensor, places: tuple[Any, ...], src: Tensor, reduce: str, include_self: bool) -> Tensor:
    params: dict[str, Any] = {"index": places}
    if not include_self:
        kind = input._array.dtype
        if kind.kind in "iub" and reduce in ("amax", "amin"):
            least, most = (False, True) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
            start: float = least if reduce == "amax" else most
        else:
            start = _START[reduce]
        input = INDEX_PUT.call(input, wrap(backend(input._array).number(np.array(start).astype(kind), input._array)), **params)
    if reduce in ("amax", "amin"):
        return _EXTREME.call(input, src, **params, how=reduce)
    if reduce == "prod":
        return _PROD.call(input, src, **params)
    total: Tensor = INDEX_ACCUMULATE.call(input, src, **params)
    if reduce == "sum":
        return total
    count = to_dtype(wrap(backend(total._array).count_at(total._array.shape, places, int(include_self))).clamp(min=1), total.dtype)
    return total / count if total.dtype.differentiable else floor_divide(total, count)  # type: ignore[no-any-return]
