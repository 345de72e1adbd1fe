"""Joining tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import dtypes
from ..registry import Op, apply, as_tensor_input, check_devices
from ..tensor import Tensor
from .copy import to_dtype
from .shape import normalize_dim, unsqueeze

__all__ = ["cat", "stack"]


def _cat_op(count: int) -> Op:
    """``cat`` of a number of tensors: an op has fixed inputs, so there is one per count."""
    if count not in _cat_ops:
        names = tuple(f"tensor{i}" for i in range(count))

        def backward(K: Any, g: Any, dim: int, starts: tuple[int, ...], needs: tuple[bool, ...]) -> Any:
            grads = [
                K.narrow(g, dim=dim, start=starts[i], length=starts[i + 1] - starts[i]) if need else None for i, need in enumerate(needs)
            ]
            return tuple(grads) if count > 1 else grads[0]

        _cat_ops[count] = Op("cat", names, lambda B, *xs, dim, starts: B.concatenate(xs, dim), {names: backward}, method=False)
    return _cat_ops[count]


_cat_ops: dict[int, Op] = {}


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along an existing dimension. Their dtypes are promoted; 1-d tensors without elements are skipped.

    Raises:
        RuntimeError: for no tensors, or shapes that differ in another dimension.
    """
    given = [as_tensor_input(x, "cat", "tensors") for x in tensors]
    if not given:
        raise RuntimeError("cat: expected a non-empty list of tensors")
    check_devices("cat", given)
    parts = [x for x in given if x._array.shape != (0,)] or given[:1]
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
    parts = [to_dtype(x, wanted) for x in parts]
    starts = [0]
    for x in parts:
        starts.append(starts[-1] + int(x._array.shape[at]))
    return apply(_cat_op(len(parts)), tuple(parts), {"dim": at, "starts": tuple(starts)})  # type: ignore[no-any-return]


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension.

    Raises:
        RuntimeError: for no tensors, or shapes that differ.
    """
    given = [as_tensor_input(x, "stack", "tensors") for x in tensors]
    if not given:
        raise RuntimeError("stack: expected a non-empty list of tensors")
    for i, x in enumerate(given):
        if x.shape != given[0].shape:
            raise RuntimeError(f"stack: all shapes must be equal, got {tuple(given[0].shape)} and {tuple(x.shape)} (tensor {i})")
    at = normalize_dim(dim, given[0].ndim + 1, "stack")
    return cat([unsqueeze(x, at) for x in given], at)
