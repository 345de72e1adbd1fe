"""Joining tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ... import dtypes
from ...opcall import check_devices
from ...public import alias, composite, named
from ...registry import Op, as_tensor_input
from ...samples import ErrorInput, Input, Sample
from ...tensor import TENSOR_TYPES, Tensor
from ..checks import need_ndim
from ..create import zeros
from .copy import clone, to_dtype
from .reshape import normalize_dim, reshape

__all__ = [
    "block_diag",
    "cat",
    "column_stack",
    "concat",
    "concatenate",
    "dstack",
    "hstack",
    "row_stack",
    "stack",
    "vstack",
]


def _cat_op(count: int) -> Op:
    """``cat`` of a number of tensors: an op has fixed inputs, so there is one per count."""
    if count not in _cat_ops:
        names = tuple(f"tensor{i}" for i in range(count))

        def backward(K: Any, g: Any, dim: int, starts: tuple[int, ...], skipped: tuple[int, ...], needs: tuple[bool, ...]) -> Any:
            grads = [
                K.narrow(g, dim=dim, start=starts[i], length=starts[i + 1] - starts[i]) if need else None for i, need in enumerate(needs)
            ]
            for i in skipped:
                grads[i] = K.reshape(grads[i], shape=(0,)) if needs[i] else None
            return tuple(grads) if count > 1 else grads[0]

        _cat_ops[count] = Op("cat", names, _cat_forward, {names: backward}, method=False)
    return _cat_ops[count]


def _stack_op(count: int) -> Op:
    """``stack`` of a number of tensors of one shape."""
    if count not in _stack_ops:
        names = tuple(f"tensor{i}" for i in range(count))

        def backward(K: Any, g: Any, dim: int, needs: tuple[bool, ...]) -> Any:
            before = (slice(None),) * dim
            grads = [K.slice(g, index=(*before, i, ...)) if need else None for i, need in enumerate(needs)]
            return tuple(grads) if count > 1 else grads[0]

        _stack_ops[count] = Op("stack", names, _stack_forward, {names: backward}, method=False)
    return _stack_ops[count]


def _stack_forward(B: Any, *arrays: Any, dim: int) -> Any:
    shape = arrays[0].shape
    raised = (*shape[:dim], 1, *shape[dim:])
    return B.concatenate([a.reshape(raised) for a in arrays], dim)


def _cat_forward(B: Any, *arrays: Any, dim: int, starts: tuple[int, ...], skipped: tuple[int, ...]) -> Any:
    return B.concatenate([a for i, a in enumerate(arrays) if i not in skipped] if skipped else arrays, dim)


_cat_ops: dict[int, Op] = {}
_stack_ops: dict[int, Op] = {}


def _alike(tensors: Any) -> tuple[int, ...] | None:
    """The shape of tensors that have one, and one dtype; None where they don't, or some are no tensors, or there are none."""
    if tensors.__class__ not in (list, tuple) or not tensors:
        return None
    shape: tuple[int, ...] | None = None
    for x in tensors:
        kind = x.__class__
        if kind not in TENSOR_TYPES:
            return None
        array = x._array
        if shape is None:
            shape, dtype = array.shape, array.dtype
        elif array.shape != shape or array.dtype is not dtype:
            return None
    return shape


def joined(parts: Sequence[Any], dim: int) -> Any:
    """Arrays or tensors of one dtype joined along ``dim``: ``cat`` for VJP formulas."""
    op = _cat_op(len(parts))
    starts = tuple(accumulate((int(x.shape[dim]) for x in parts), initial=0))
    run = op.call if isinstance(parts[0], Tensor) else op.on_arrays
    return run(*parts, dim=dim, starts=starts, skipped=())
M, V = Input((3, 4)), Input((4,))


def _packed(*inputs: Input, **params: Any) -> Sample:
    return Sample(inputs, params, packed=True)


def _listed(tensors: Sequence[Tensor], name: str) -> list[Tensor]:
    given = [as_tensor_input(x, name, "tensors") for x in tensors]
    if not given:
        raise RuntimeError(f"{name}: expected a non-empty list of tensors")
    check_devices(name, given)
    return given


@composite(
    method=False,
    samples=[
        _packed(M, Input((2, 4)), M),
        _packed(M),
        _packed(M, Input((3, 0)), dim=-1),
        _packed(Input((2, 3, 4)), Input((2, 1, 4)), dim=1),
        _packed(Input((0,)), M),
    ],
    reference=lambda tensors, dim=0: np.concatenate([x for x in tensors if x.shape != (0,)], dim),
    error_inputs=[
        ErrorInput(lambda tg: tg.cat([tg.ones(2, 3), tg.ones(2, 4)]), RuntimeError, r"cat: .*\(2, 3\) and \(2, 4\)"),
        ErrorInput(lambda tg: tg.cat([]), RuntimeError, "cat: expected a non-empty list"),
        ErrorInput(lambda tg: tg.cat([tg.tensor(1.0)]), RuntimeError, "cat: 0-d tensors"),
    ],
)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along an existing dimension. Their dtypes are promoted; 1-d tensors without elements are skipped.

    Raises:
        RuntimeError: for no tensors, or shapes that differ in another dimension.
    """
    shape = _alike(tensors)
    if shape and shape != (0,):
        at = normalize_dim(dim, len(shape), "cat")
        n, count = shape[at], len(tensors)
        return _cat_op(count).call(*tensors, at, tuple(range(0, n * count + 1, n)) if n else (0,) * (count + 1), ())  # type: ignore[no-any-return]
    given = _listed(tensors, "cat")
    parts = [x for x in given if x._array.shape != (0,)] or given
    first = parts[0]
    if first.ndim == 0:
        raise RuntimeError("cat: 0-d tensors can't be joined; use stack()")
    at = normalize_dim(dim, first.ndim, "cat")
    for i, x in enumerate(parts):
        if x.ndim != first.ndim or any(a != b for d, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)) if d != at):
            raise RuntimeError(
                f"cat: shapes {tuple(first.shape)} and {tuple(x.shape)} (tensor {i}) must agree in every dimension but {at}"
            )
    wanted = dtypes.result_type(*[x.dtype for x in given])
    skipped = () if len(parts) == len(given) else tuple([i for i, x in enumerate(given) if x._array.shape == (0,)])
    starts = [0]
    for i, x in enumerate(given):
        starts.append(starts[-1] + (0 if i in skipped else int(x._array.shape[at])))
    params = {"dim": at, "starts": tuple(starts), "skipped": skipped}
    return _cat_op(len(given)).call(*[to_dtype(x, wanted) for x in given], **params)  # type: ignore[no-any-return]


concat, concatenate = alias("concat", cat), alias("concatenate", cat)


@composite(
    method=False,
    samples=[_packed(M, M, dim=1), _packed(V, V), _packed(Input(()), Input(()), dim=-1)],
    reference=lambda tensors, dim=0: np.stack(tensors, dim),
    error_inputs=[
        ErrorInput(lambda tg: tg.stack([tg.ones(2), tg.ones(3)]), RuntimeError, r"stack: .*\(2,\) and \(3,\)"),
        ErrorInput(lambda tg: tg.stack([]), RuntimeError, "stack: expected a non-empty list"),
    ],
)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension.

    Raises:
        RuntimeError: for no tensors, or shapes that differ.
    """
    if _alike(tensors) is None:
        given = _listed(tensors, "stack")
        for i, x in enumerate(given):
            if x.shape != given[0].shape:
                raise RuntimeError(f"stack: all shapes must be equal, got {tuple(given[0].shape)} and {tuple(x.shape)} (tensor {i})")
        wanted = dtypes.result_type(*[x.dtype for x in given])
        tensors = [to_dtype(x, wanted) for x in given]
    at = normalize_dim(dim, tensors[0]._array.ndim + 1, "stack")
    return _stack_op(len(tensors)).call(*tensors, at)  # type: ignore[no-any-return]


def at_least(input: Tensor, ndim: int) -> Tensor:
    """The tensor with at least 1, 2 or 3 dimensions, where NumPy's ``atleast_*`` put them."""
    shape = tuple(input.shape)
    if len(shape) >= ndim:
        return input
    padded = {1: (1,), 2: (1, *(shape or (1,))), 3: (*((1, *(shape or (1,)))[-2:] if len(shape) < 2 else shape), 1)}[ndim]
    return reshape(input, *padded)


def _stacking(name: str, ndim: int, dim_of: Callable[[Tensor], int], reference: Any, *samples: Sample) -> Any:
    def function(tensors: Sequence[Tensor]) -> Tensor:
        parts = [at_least(x, ndim) for x in _listed(tensors, name)]
        return cat(parts, dim_of(parts[0]))

    named(
        function,
        name,
        f"Join tensors as ``numpy.{name}`` does: each of at least {ndim} dimension(s), along a dimension of those.\n\n    Raises:\n"
        "        RuntimeError: for no tensors, or shapes that differ in another dimension.\n",
    )
    mistake = ErrorInput(lambda tg: function([]), RuntimeError, f"{name}: expected a non-empty list")
    return composite(method=False, samples=samples, reference=lambda tensors: reference(tensors), error_inputs=[mistake])(function)


hstack = _stacking("hstack", 1, lambda x: 0 if x.ndim == 1 else 1, np.hstack, _packed(M, Input((3, 2))), _packed(V, Input((2,)), Input(())))
vstack = _stacking("vstack", 2, lambda x: 0, np.vstack, _packed(M, Input((2, 4))), _packed(V, M), _packed(Input(()), Input(())))
row_stack = alias("row_stack", vstack)
dstack = _stacking("dstack", 3, lambda x: 2, np.dstack, _packed(M, M), _packed(V, V), _packed(Input(()), Input((1, 1, 2))))


@composite(
    method=False,
    samples=[_packed(V, Input((4, 2)), V), _packed(Input(()), Input((1,)))],
    reference=np.column_stack,
    error_inputs=[ErrorInput(lambda tg: tg.column_stack([]), RuntimeError, "column_stack: expected a non-empty list")],
)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors side by side; vectors are columns.

    Raises:
        RuntimeError: for no tensors, or numbers of rows that differ.
    """
    return hstack([reshape(x, x.numel(), 1) if x.ndim < 2 else x for x in _listed(tensors, "column_stack")])


def _blocks(*tensors: Any) -> Any:
    parts = [np.atleast_2d(x) for x in tensors]
    out = np.zeros(np.sum([x.shape for x in parts], axis=0), np.result_type(*parts))
    row = column = 0
    for x in parts:
        out[row : row + x.shape[0], column : column + x.shape[1]] = x
        row, column = row + x.shape[0], column + x.shape[1]
    return out


@composite(
    method=False,
    samples=[Sample((Input((2, 3)), Input((3,)), Input(()))), Sample((Input((2, 2)),)), Sample((Input((0, 2)), Input((1, 1))))],
    reference=_blocks,
    error_inputs=[ErrorInput(lambda tg: tg.block_diag(tg.ones(2, 2, 2)), RuntimeError, r"block_diag: .*at most 2 dimensions, .*\(2, 2, 2\)")],
)
def block_diag(*tensors: Tensor) -> Tensor:
    """The matrix with these matrices (vectors are rows, numbers 1 x 1) along its diagonal and zeros elsewhere.

    Raises:
        RuntimeError: for more than two dimensions.
    """
    parts = [at_least(as_tensor_input(x, "block_diag", "tensors"), 2) for x in tensors]
    if not parts:
        return zeros(1, 0)
    check_devices("block_diag", parts)
    for x in parts:
        need_ndim("block_diag", x, most=2)
    if len(parts) == 1:
        return clone(parts[0])
    wanted = dtypes.result_type(*[x.dtype for x in parts])
    width = sum(int(x.shape[1]) for x in parts)
    rows, before = [], 0
    for x in parts:
        n, m = x.shape
        sides = [zeros(n, k, dtype=wanted, device=x.device) for k in (before, width - before - m)]
        rows.append(cat([sides[0], x, sides[1]], 1))
        before += m
    return cat(rows, 0)
