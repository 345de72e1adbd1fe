"""Reductions: sums with a fixed pairwise tree, extrema, variance, logsumexp, cumulative sums.

Arrays of any strides in, C-contiguous arrays out. Every result has the same bits for any number of threads: where a
lane is cut for several threads, the cut depends on shapes alone and a second launch joins the parts in order. All work
is done by ``launch`` on arrays and numbers, so a recorded sequence can be replayed. Axes are tuples of non-negative
integers.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ...native import cache, runtime as rt
from ...native.call import launcher
from ..planned import fresh, planned
from .layout import FLOAT64, Array, compute_dtype, reduced_shape, walk
from .scan import argmax, argmin, cumsum, max_with_index, min_with_index

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "cumsum",
    "logsumexp",
    "max_with_index",
    "mean",
    "min_with_index",
    "sum",
    "sum_to",
    "var",
    "var_mean",
]

_GRAIN = 131072  # elements of a plain sum or maximum below which one thread is faster
_GRAIN_EXP = 16384
_MAX_PLANS = 4096


class _Step(NamedTuple):
    """One reduction, planned: its output, and one launch, or two with ``parts`` partial results between them."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kernel: int
    units: int
    grain: int
    table: Array
    parts: int
    part_dtype: np.dtype[Any]
    join_kernel: int
    join_units: int
    join_table: Array


@functools.cache
def _kernel(
    by_rows: bool, contiguous: bool, op: str, source: str, compute: str, result: str, before: str, after: str
) -> int:
    key = f"reduce:{by_rows}:{contiguous}:{op}:{source}:{compute}:{result}:{before}:{after}"

    def build() -> Any:
        from .kernels import reduction

        return reduction(by_rows, contiguous, op, source, compute, result, before, after)

    return cache.native(key, build, translated=True)


def _plan(
    x: Array,
    axes: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    compute: np.dtype[Any],
    op: str,
    before: str = "",
    after: str = "",
) -> _Step:
    """Plan a reduction of ``x`` over ``axes`` into an array of ``shape``."""
    if not x.dtype.isnative:
        raise TypeError(f"a reduction expects an array in native byte order, got {x.dtype}")
    sizes, source, result, size = x.shape, x.dtype.name, dtype.name, x.itemsize
    if x.dtype.kind == "c":  # two numbers, side by side, are kept apart
        sizes, size = (*sizes, 2), size // 2
        source, result = f"float{8 * size}", f"float{4 * dtype.itemsize}"
    steps = tuple(s // size for s in (*x.strides, size))[: len(sizes)]
    first = walk(sizes, steps, frozenset(axes), compute.itemsize)
    grain = max(1, (_GRAIN_EXP if before == "exp" else _GRAIN) // max(first.unit_elements, 1))
    if first.chunks == 1:
        kernel = _kernel(first.rows, first.contiguous, op, source, compute.name, result, before, after)
        return _Step(shape, dtype, kernel, first.units, grain, first.table, 0, compute, 0, 0, first.table)
    outputs = math.prod(shape) * (2 if x.dtype.kind == "c" else 1)
    join = walk((first.chunks, outputs), (outputs, 1), frozenset({0}), compute.itemsize)
    kernel = _kernel(first.rows, first.contiguous, op, source, compute.name, compute.name, before, "")
    last = _kernel(join.rows, join.contiguous, op, compute.name, compute.name, result, "", after)
    parts = first.chunks * outputs
    return _Step(shape, dtype, kernel, first.units, grain, first.table, parts, compute, last, join.units, join.table)


_plans: dict[Any, Any] = {}


def _remember(key: Any, step: Any) -> Any:
    if len(_plans) >= _MAX_PLANS:
        _plans.clear()
    _plans[key] = step
    return step


def _run(x: Array, step: _Step, centre: Any = 0, scale: float = 0.0) -> Array:
    shape, dtype, kernel, units, grain, table, parts, part_dtype, join_kernel, join_units, join_table = step
    out = fresh(shape, dtype)
    if units:
        launch = launcher()
        if units > grain:
            rt.start_threads()
        if parts:
            partial = fresh(parts, part_dtype)
            launch(kernel, units, grain, x, partial, table, centre, scale)
            launch(join_kernel, join_units, join_units, partial, out, join_table, centre, scale)
        else:
            launch(kernel, units, grain, x, out, table, centre, scale)
    return out


# ---------------------------------------------------------------------------------------------------------------- sums


@planned
def sum(x: Array, axes: tuple[int, ...], keepdims: bool, dtype: np.dtype[Any] | None = None) -> Array:
    """The sum over ``axes``, in ``dtype``: error at most 2 eps ceil(log2 n) sum|x| for floats, wraparound for integers.

    By default that is x's, of integers and bools int64. float16 and bfloat16 are summed in float32. No axes: a converted copy.
    Nothing to add: zeros.
    """
    if not x.flags.aligned:
        x = x.copy()
    key = (x.shape, x.strides, x.dtype, axes, keepdims, dtype)
    step = _plans.get(key)
    if step is None:
        if dtype is None:
            dtype = x.dtype if x.dtype.kind in "fcV" else np.dtype(np.int64)
        if x.dtype.kind == "c" != dtype.kind:
            raise TypeError(f"sum cannot add {x.dtype} values into {dtype}")
        if dtype.kind == "c" != x.dtype.kind:
            return sum(x.astype(dtype), axes, keepdims, dtype)
        shape = reduced_shape(x.shape, axes, keepdims)
        step = _remember(key, _plan(x, axes, shape, dtype, compute_dtype(dtype), "sum"))
    return _run(x, step)


@planned
def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` summed to ``shape``, which broadcasts to ``x.shape``; ``x`` itself when it has that shape."""
    if x.shape == shape:
        return x
    if not x.flags.aligned:
        x = x.copy()
    key = (x.shape, x.strides, x.dtype, shape)
    step = _plans.get(key)
    if step is None:
        leading = x.ndim - len(shape)
        axes = (*range(leading), *(leading + d for d, n in enumerate(shape) if n == 1 and x.shape[leading + d] != 1))
        step = _remember(key, _plan(x, axes, shape, x.dtype, compute_dtype(x.dtype), "sum"))
    return _run(x, step)


@planned
def mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The mean over ``axes`` of a floating array, in its dtype; NaN over nothing."""
    if not x.flags.aligned:
        x = x.copy()
    key = ("mean", x.shape, x.strides, x.dtype, axes, keepdims)
    found = _plans.get(key)
    if found is None:
        shape = reduced_shape(x.shape, axes, keepdims)
        step = _plan(x, axes, shape, x.dtype, compute_dtype(x.dtype), "sum", after="divide")
        found = _remember(key, (step, float(math.prod(x.shape[d] for d in axes))))
    return _run(x, found[0], 0, found[1])


def var_mean(x: Array, axes: tuple[int, ...], keepdims: bool, correction: float) -> tuple[Array, Array]:
    """The variance over ``axes`` and the mean it is about, of float32 or float64: exactly 0 and x for a constant.

    The squared deviations are divided by max(0, n - correction), as in PyTorch.
    """
    if not x.flags.aligned:
        x = x.copy()
    key = ("var", x.shape, x.strides, x.dtype, axes, keepdims)
    steps = _plans.get(key)
    if steps is None:
        shape, compute = reduced_shape(x.shape, axes, keepdims), compute_dtype(x.dtype)
        first = x[(*(slice(0, 1) if d in axes else slice(None) for d in range(x.ndim)), ...)]
        steps = _remember(
            key,
            (
                _plan(first, axes, shape, compute, compute, "sum"),
                _plan(x, axes, shape, compute, compute, "sum", "shift", "shift"),
                _plan(x, axes, shape, x.dtype, compute, "sum", "square", "divide"),
            ),
        )
    n = math.prod(x.shape[d] for d in axes)
    # About the first element, a constant has deviations of exactly 0 and a large mean costs no digits.
    start = _run(x, steps[0])
    centre = _run(x, steps[1], start, float(n))
    return _run(x, steps[2], centre, float(max(0, n - correction))), centre


@planned
def var(x: Array, axes: tuple[int, ...], keepdims: bool, correction: float) -> Array:
    """The variance over ``axes``; see ``var_mean``."""
    return var_mean(x, axes, keepdims, correction)[0]


@planned
def logsumexp(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """log(sum(exp(x))) over ``axes`` of a floating array, in its dtype, without overflow; -inf over nothing."""
    if not x.flags.aligned:
        x = x.copy()
    key = ("logsumexp", x.shape, x.strides, x.dtype, axes, keepdims)
    steps = _plans.get(key)
    if steps is None:
        shape, compute = reduced_shape(x.shape, axes, keepdims), compute_dtype(x.dtype)
        largest = _plan(x, axes, shape, compute, compute, "max")
        steps = _remember(key, (largest, _plan(x, axes, shape, x.dtype, compute, "sum", "exp", "log")))
    return _run(x, steps[1], _run(x, steps[0]))


def euclidean_norm(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The root of the sum of squares over ``axes`` of a float32 array; summed in float64, where no square overflows."""
    return _in_one_step(x, axes, keepdims, FLOAT64, "sum", "norm", "norm")


def _in_one_step(x: Array, axes: tuple[int, ...], keepdims: bool, compute: np.dtype[Any], *what: str) -> Array:
    """What is the operation, then what is done to elements before and to results after, as in ``_plan``."""
    if not x.flags.aligned:
        x = x.copy()
    key = (what, x.shape, x.strides, x.dtype, axes, keepdims)
    step = _plans.get(key)
    if step is None:
        step = _remember(key, _plan(x, axes, reduced_shape(x.shape, axes, keepdims), x.dtype, compute, *what))
    return _run(x, step)


# ------------------------------------------------------------------------------------------------------------- extrema


@planned
def amax(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The maximum over ``axes`` (of at least one element) of a real or bool array; NaN where there is one."""
    return _in_one_step(x, axes, keepdims, compute_dtype(x.dtype), "max")


@planned
def amin(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The minimum over ``axes`` (of at least one element) of a real or bool array; NaN where there is one."""
    return _in_one_step(x, axes, keepdims, compute_dtype(x.dtype), "min")
