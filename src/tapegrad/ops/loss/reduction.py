"""What losses do with their elements, and what they accept from old scripts."""

from __future__ import annotations

import warnings

from ...observing import level_outside
from ...tensor import Tensor

__all__: list[str] = []


def need_reduction(name: str, reduction: str, *further: str) -> None:
    """Raise ValueError for a reduction that is none, nor a ``further`` one of this loss."""
    if reduction not in ("mean", "sum", "none", *further):
        raise ValueError(f"{name}: reduction must be {', '.join(map(repr, ('mean', 'sum', *further)))} or 'none', got {reduction!r}")


def reduced(loss: Tensor, reduction: str, name: str) -> Tensor:
    """Apply ``reduction``: "mean", "sum" or "none".

    Raises:
        ValueError: for another one.
    """
    need_reduction(name, reduction)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()  # type: ignore[no-any-return]


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str, name: str, *further: str) -> str:
    """The reduction, checked; or what PyTorch's deprecated keywords ask for, if they are given, with a warning.

    Raises:
        ValueError: for an unknown one.
        TypeError: for tensors in place of the keywords, as in ``MSELoss(input, target)``.
    """
    if size_average is None and reduce is None:
        need_reduction(name, reduction, *further)
        return reduction
    if isinstance(size_average, Tensor) or isinstance(reduce, Tensor):
        raise TypeError(f"{name}: size_average and reduce are flags, got a Tensor; make the loss first, then call it: {name}()(input, target)")
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(f"{name}: size_average and reduce are deprecated, use reduction={meant!r}", UserWarning, stacklevel=level_outside())
    return meant


def reduce_loss(
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
            stacklevel=level_outside(),
        )


def need_equal_shapes(name: str, **tensors: Tensor) -> None:
    """Raise ValueError when shapes differ."""
    if len({t._array.shape for t in tensors.values()}) > 1:
        raise ValueError(f"{name}: expected equal shapes, got {', '.join(f'{n} {tuple(t.shape)}' for n, t in tensors.items())}")
