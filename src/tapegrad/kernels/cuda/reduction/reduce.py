"""Reductions over axes.

Arrays of any strides in, row-major arrays out. Sums of 16-bit floats and of float32 are made in float32, by many threads whose partial sums
are combined in a tree; what is cut for several blocks is joined by a second launch. Axes are tuples of non-negative integers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import language as L
from ..array import CudaArray, empty
from ..context import blocks_for
from ..elementwise import assign
from ..planned import planned
from . import kernels
from .kernels import index_type, part_of
from .layout import Axes, Layout, join_threads, layout, reduced_shape
from .operations import operation

_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)
_OF_NOTHING = {
    "sum": 0, "mean": math.nan, "variance": math.nan, "logsumexp": -math.inf, "euclidean": 0, "magnitudes": 0, "powers": 0, "product": 1, "any": 0,
    "all": 1, "count": 0, "largest": 0, "least": math.inf,
}  # fmt: skip
_MOST_PLANS = 4096
_AT_A_TIME = 32  # blocks of a multiprocessor, at most
_plans: dict[Any, Any] = {}


def floating(dtype: str) -> str:
    """What sums of a dtype are made in, of complex numbers each part."""
    return {"float16": "float32", "bfloat16": "float32", "bool": "int64"}.get(dtype, part_of(dtype) if "int" not in dtype else "int64")


def ordered(dtype: str) -> str:
    """What elements are compared in."""
    return {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64", "int64": "int64"}.get(dtype, "int32")


def reduce(
    name: str,
    x: CudaArray,
    axes: Axes,
    shape: tuple[int, ...],
    dtypes: tuple[np.dtype[Any], ...],
    compute: str,
    scale: float = 0.0,
    given: CudaArray | None = None,
) -> tuple[CudaArray, ...]:
    """Combine the elements over ``axes`` by the operation ``name``: arrays of ``shape`` and ``dtypes``, the results."""
    out = tuple([empty(shape, d) for d in dtypes])
    if out[0].size == 0:
        return out
    if x.size == 0:
        assign(out[0], _OF_NOTHING[name])
        return out
    key = (name, axes, x.shape, x.strides, x.dtype.num, x.address % 16, dtypes, compute)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        plan = _plans[key] = _plan(name, x, axes, tuple(d.name for d in dtypes), compute)
    way, kernel, join, G, state = plan
    number: Any = np.float64(scale) if compute == "float64" else np.float32(scale) if compute == "float32" else int(scale)
    block = (way.threads, way.beside, 1) if not way.by_rows else L.BLOCK
    if join is None:
        kernel.launch(blocks_for(way.units, 1, _AT_A_TIME), block, x, given, *out, number, *way.numbers)
        return out
    lanes = out[0].size
    parts = [empty((way.chunks * lanes,), d) for d in state]
    kernel.launch(blocks_for(way.units, 1, _AT_A_TIME), block, x, given, *parts, number, *way.numbers)
    join.launch(blocks_for(lanes * G, L.BLOCK, _AT_A_TIME), L.BLOCK, *parts, given, *out, number, lanes, way.chunks)
    return out


def _plan(name: str, x: CudaArray, axes: Axes, results: tuple[str, ...], compute: str) -> tuple[Layout, Any, Any, int, list[np.dtype[Any]]]:
    way, source = layout(x, axes), x.dtype.name
    stage = "parts" if way.chunks > 1 else "whole"
    if way.by_rows:
        kernel = kernels.rows(name, source, compute, results, stage, way.threads, way.width, way.kept, way.reduced, way.wide)
    else:
        kernel = kernels.columns(name, source, compute, results, stage, way.width, way.kept, way.reduced, way.wide)
    if stage == "whole":
        return way, kernel, None, 0, []
    lanes = x.size // math.prod(x.shape[d] for d in axes)
    G = join_threads(lanes, way.chunks)
    state = [np.dtype(s) for s in operation(name, compute, source, index_type(way.wide)).state]
    return way, kernel, kernels.join(name, source, compute, results, G, way.wide), G, state


def _simply(name: str, x: CudaArray, axes: Axes, keepdims: bool, dtype: np.dtype[Any], compute: str, scale: float = 0.0) -> CudaArray:
    return reduce(name, x, axes, reduced_shape(x.shape, axes, keepdims), (dtype,), compute, scale)[0]


# ---------------------------------------------------------------------------------------------------------------- sums


@planned
def sum(x: CudaArray, axes: Axes, keepdims: bool, dtype: np.dtype[Any] | None = None) -> CudaArray:
    """The sum over ``axes``, in ``dtype``: by default x's, of integers and bools int64, which wrap around. Nothing to add: zeros."""
    if dtype is None:
        dtype = x.dtype if x.dtype.kind in "fcV" else _INT64
    if x.dtype.kind == "c" != dtype.kind:
        raise TypeError(f"sum cannot add {x.dtype} values into {dtype}")
    if dtype.kind == "c" != x.dtype.kind:
        x = x.astype(dtype)
    return _simply("sum", x, axes, keepdims, dtype, floating(dtype.name))


@planned
def sum_to(x: CudaArray, shape: tuple[int, ...]) -> CudaArray:
    """``x`` summed to ``shape``, which broadcasts to ``x.shape``; ``x`` itself when it has that shape."""
    if x.shape == shape:
        return x
    leading = x.ndim - len(shape)
    axes = (*range(leading), *(leading + d for d, n in enumerate(shape) if n == 1 and x.shape[leading + d] != 1))
    return reduce("sum", x, axes, shape, (x.dtype,), floating(x.dtype.name))[0]


@planned
def mean(x: CudaArray, axes: Axes, keepdims: bool) -> CudaArray:
    """The mean over ``axes`` of a floating array, in its dtype; NaN over nothing."""
    return _simply("mean", x, axes, keepdims, x.dtype, floating(x.dtype.name), math.prod(x.shape[d] for d in axes))


@planned
def var(x: CudaArray, axes: Axes, keepdims: bool, correction: float) -> CudaArray:
    """The variance over ``axes`` of a floating array, exactly 0 for a constant.

    The squared deviations are divided by max(0, n - correction), as in PyTorch.
    """
    freedom = max(0.0, math.prod(x.shape[d] for d in axes) - correction)
    return _simply("variance", x, axes, keepdims, x.dtype, floating(x.dtype.name), freedom)


@planned
def logsumexp(x: CudaArray, axes: Axes, keepdims: bool) -> CudaArray:
    """log(sum(exp(x))) over ``axes`` of a floating array, in its dtype, without overflow; -inf over nothing."""
    return _simply("logsumexp", x, axes, keepdims, x.dtype, floating(x.dtype.name))


@planned
def prod(x: CudaArray, axes: Axes, keepdims: bool, dtype: np.dtype[Any]) -> CudaArray:
    """The product over ``axes`` in ``dtype``, of floats made in float64; 1 over nothing."""
    if dtype.kind == "c" != x.dtype.kind:
        x = x.astype(dtype)
    return _simply("product", x, axes, keepdims, dtype, "int64" if dtype.kind in "bui" else "float64")


# ------------------------------------------------------------------------------------------------------------- extremes


@planned
def amax(x: CudaArray, axes: Axes, keepdims: bool) -> CudaArray:
    """The maximum over ``axes`` (of at least one element) of a real or bool array; NaN where there is one."""
    return _simply("max", x, axes, keepdims, x.dtype, ordered(x.dtype.name))


@planned
def amin(x: CudaArray, axes: Axes, keepdims: bool) -> CudaArray:
    """The minimum over ``axes`` (of at least one element) of a real or bool array; NaN where there is one."""
    return _simply("min", x, axes, keepdims, x.dtype, ordered(x.dtype.name))


def _along(name: str, x: CudaArray, axis: int, keepdims: bool, dtypes: tuple[np.dtype[Any], ...]) -> tuple[CudaArray, ...]:
    axes = (axis,) if x.ndim else ()
    return reduce(name, x, axes, reduced_shape(x.shape, axes, keepdims), dtypes, ordered(x.dtype.name))


@planned
def max_with_index(x: CudaArray, axis: int, keepdims: bool) -> tuple[CudaArray, ...]:
    """The maximum along an axis (not empty) and the int64 index where it is first; a NaN counts as the maximum."""
    return _along("max_with_index", x, axis, keepdims, (x.dtype, _INT64))


@planned
def min_with_index(x: CudaArray, axis: int, keepdims: bool) -> tuple[CudaArray, ...]:
    """The minimum along an axis (not empty) and the int64 index where it is first; a NaN counts as the minimum."""
    return _along("min_with_index", x, axis, keepdims, (x.dtype, _INT64))


def _index(name: str, x: CudaArray, axis: int | None, keepdims: bool) -> CudaArray:
    if axis is not None and x.ndim:
        return _along(name, x, axis, keepdims, (_INT64,))[0]
    index = _along(name, x.reshape(-1), 0, False, (_INT64,))[0]
    return index.reshape((1,) * x.ndim) if keepdims else index  # type: ignore[no-any-return]


@planned
def argmax(x: CudaArray, axis: int | None, keepdims: bool) -> CudaArray:
    """The first index (int64) of the maximum along an axis, or in C order without one; a NaN counts as the maximum."""
    return _index("argmax", x, axis, keepdims)


@planned
def argmin(x: CudaArray, axis: int | None, keepdims: bool) -> CudaArray:
    """The first index (int64) of the minimum along an axis, or in C order without one; a NaN counts as the minimum."""
    return _index("argmin", x, axis, keepdims)


# --------------------------------------------------------------------------------------------------------- truth values


@planned
def any_nonzero(x: CudaArray, axes: Axes, keepdims: bool) -> CudaArray:
    """Whether any element over ``axes`` is not 0 (NaN is not); False over nothing."""
    return _simply("any", x, axes, keepdims, _BOOL, "int32")


@planned
def all_nonzero(x: CudaArray, axes: Axes, keepdims: bool) -> CudaArray:
    """Whether all elements over ``axes`` are not 0 (NaN is not); True over nothing."""
    return _simply("all", x, axes, keepdims, _BOOL, "int32")


@planned
def count_nonzero(x: CudaArray, axes: Axes) -> CudaArray:
    """How many elements over ``axes`` are not 0, as int64."""
    return _simply("count", x, axes, False, _INT64, "int64")


# ---------------------------------------------------------------------------------------------------------------- norms


@planned
def vector_norm(x: CudaArray, axes: Axes, keepdims: bool, p: float) -> CudaArray:
    """``sum(abs(x) ** p) ** (1 / p)`` over ``axes``; the largest or smallest magnitude for inf and -inf, a count for 0.

    Squares and powers are of magnitudes that are scaled where those would overflow or vanish.
    """
    compute = floating(x.dtype.name)
    if p == 0:
        return _simply("count", x, axes, keepdims, x.dtype, "int64")
    if p in (1, 2):
        return _simply("magnitudes" if p == 1 else "euclidean", x, axes, keepdims, x.dtype, compute)
    bound = "largest" if p > 0 else "least"
    if math.isinf(p):
        return _simply(bound, x, axes, keepdims, x.dtype, compute)
    shape = reduced_shape(x.shape, axes, keepdims)
    centre = reduce(bound, x, axes, shape, (np.dtype(compute),), compute)[0]
    return reduce("powers", x, axes, shape, (x.dtype,), compute, p, centre)[0]
