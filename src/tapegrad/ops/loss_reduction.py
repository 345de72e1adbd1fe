"""What losses do with their elements, and what they accept from old scripts."""

from __future__ import annotations

import warnings

from ..tensor import Tensor

__all__: list[str] = []


def reduced(loss: Tensor, reduction: str, name: str) -> Tensor:
    """Apply ``reduction``: "mean", "sum" or "none".

    Raises:
        ValueError: for another one.
    """
    if reduction == "mean":
        return loss.mean()  # type: ignore[no-any-return]
    if reduction == "sum":
        return loss.sum()  # type: ignore[no-any-return]
    if reduction == "none":
        return loss
    raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str, name: str) -> str:
    """The reduction that PyTorch's deprecated keywords ask for, if they are given, with a warning."""
    if size_average is None and reduce is None:
        return reduction
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(f"{name}: size_average and reduce are deprecated, use reduction={meant!r}", UserWarning, stacklevel=4)
    return meant


def finished(
    loss: Tensor, size_average: bool | None, reduce: bool | None, reduction: str, name: str, weight: Tensor | None = None
) -> Tensor:
    """Elements times ``weight``, reduced.

    Raises:
        ValueError: for an unknown reduction.
    """
    reduction = reduction_of(size_average, reduce, reduction, name)
    return reduced(loss if weight is None else loss * weight, reduction, name)


def warn_of_broadcasting(input: Tensor, target: Tensor, name: str) -> None:
    """Sizes that differ are allowed, but seldom meant."""
    if input._array.shape != target._array.shape:
        warnings.warn(
            f"{name}: target of size {tuple(target.shape)} and input of size {tuple(input.shape)} differ, so they broadcast, which is likely to "
            "give a wrong loss; use equal sizes",
            UserWarning,
            stacklevel=4,
        )


def need_equal_shapes(name: str, **tensors: Tensor) -> None:
    """Raise ValueError when shapes differ."""
    if len({t._array.shape for t in tensors.values()}) > 1:
        raise ValueError(f"{name}: expected equal shapes, got {', '.join(f'{n} {tuple(t.shape)}' for n, t in tensors.items())}")
