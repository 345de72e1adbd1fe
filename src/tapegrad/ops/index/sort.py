"""Sorting and different values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...public import composite
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample, along_dim
from ...tensor import Tensor
from ..checks import read_values
from ..return_types import ReturnType, return_type
from ..shape.reshape import normalize_dim, reshape
from ..shape.split import narrow
from .gather import gather
from .indexing import getitem, picked

__all__ = ["argsort", "msort", "sort", "topk", "unique", "unique_consecutive"]

APART = Input((3, 4), apart=True)


def _sorted(x: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    if x.ndim == 0:
        return x, np.array(0)
    order = np.argsort(-x if descending else x, axis=dim, kind="stable")
    return np.take_along_axis(x, order, dim), order


_sort = register(
    Op(
        "sort_along",
        ("input",),
        lambda B, x, *, dim, descending: B.sort(x, dim, descending),
        {"input": lambda K, g0, out1, input_shape, dim: K.scatter_zeros(g0, out1, dim=dim, size=input_shape, distinct=True)},
        batch="reduce",
        method=False,
        samples=[Sample(s.inputs, {**s.params, "descending": d}) for s in along_dim(apart=True, keepdims=False) for d in (False, True)],
        reference=_sorted,
        kinds="if",
        smooth=False,
    )
)
_Sort, _TopK = return_type("sort"), return_type("topk")


@composite(
    samples=[
        Sample((APART,)),
        Sample((APART,), {"dim": 0, "descending": True}),
        Sample((APART,), {"stable": True, "dim": -1, "descending": True}),
        Sample((Input(()),)),
    ],
    reference=_sorted,
    smooth=False,
    kinds="if",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).sort(2), IndexError, "sort: dimension 2 is out of range"),
        ErrorInput(lambda tg: tg.ones(2, dtype=tg.complex64).sort(), RuntimeError, "sort: complex numbers have no order"),
    ],
)
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> ReturnType:
    """(values, indices) in order along ``dim``; NaN counts as the largest. Equal elements always keep their order.

    Raises:
        RuntimeError: for complex numbers.
    """
    return _Sort(_sort_along("sort", input, dim, descending))


def _sort_along(name: str, input: Tensor, dim: int, descending: bool) -> tuple[Tensor, Tensor]:
    at = normalize_dim(dim, input.ndim, name)
    if input.is_complex():
        raise RuntimeError(f"{name}: complex numbers have no order")
    return _sort.call(input, dim=at, descending=bool(descending))


@composite(
    samples=[Sample((APART,)), Sample((APART,), {"dim": 0, "descending": True}), Sample((APART,), {"dim": 1, "stable": True})],
    reference=lambda x, dim=-1, descending=False, stable=False: _sorted(x, dim, descending)[1],
    differentiable=False,
    kinds="if",
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).argsort(1), IndexError, "argsort: dimension 1 is out of range")],
)
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort along ``dim``; of equal elements, the first is first.

    Raises:
        IndexError: when a dimension is out of range.
        RuntimeError: for complex numbers, which have no order.
    """
    return _sort_along("argsort", input.detach(), dim, descending)[1]


@composite(samples=[Sample((APART,)), Sample((Input((5,), apart=True),))], reference=lambda x: np.sort(x, 0), smooth=False, kinds="if")
def msort(input: Tensor) -> Tensor:
    """The values sorted along the first dimension."""
    return _sort_along("msort", input, 0, False)[0]


def _top(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    if x.ndim == 0:
        return x, np.array(0)
    values, order = _sorted(x, dim, largest)
    return np.take(values, range(k), dim), np.take(order, range(k), dim)


@composite(
    samples=[
        Sample((APART,), {"k": 2}),
        Sample((APART,), {"k": 1, "dim": 0, "largest": False}),
        Sample((APART,), {"k": 3, "dim": 0}),
        Sample((APART,), {"k": 0}),
        Sample((Input(()),), {"k": 1}),
    ],
    reference=_top,
    smooth=False,
    kinds="if",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).topk(4), RuntimeError, r"topk: k must be between 0 and 3, the size of dimension 1, got 4"),
        ErrorInput(lambda tg: tg.ones(2, 3).topk(1, 2), IndexError, "topk: dimension 2 is out of range"),
    ],
)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ReturnType:
    """(values, indices) of the ``k`` largest (or smallest) elements along ``dim``, the best first; of equal ones the first.

    Raises:
        RuntimeError: when there are not as many, or for complex numbers.
    """
    at = normalize_dim(dim, input.ndim, "topk")
    n = int(input._array.shape[at]) if input.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: k must be between 0 and {n}, the size of dimension {at}, got {k}")
    order = _sort_along("topk", input.detach(), at, largest)[1]
    if input.ndim:
        order = narrow(order, at, 0, k).clone()
    return _TopK((gather(input, at, order), order))


# ------------------------------------------------------------------------------------------------------ different values

_FEW = Input((3, 4), -1, 2, "int")


def _unique_op(name: str, reference: Any) -> Op:
    """An op without gradient: where each different value is first, which one each element is, and how many there are."""
    return register(
        Op(
            f"{name}_places",
            ("input",),
            lambda B, x, *, dim: getattr(B, name)(x, dim),
            dtype="int64",
            method=False,
            samples=[Sample((i,), {"dim": d}) for i in (_FEW, Input((3, 4))) for d in (None, 0, 1)],
            reference=reference,
        )
    )


def _runs(x: Any, dim: int | None) -> Any:
    """Where runs start, which run each is in, how long they are; one at a time."""
    slices = list(x.ravel() if dim is None else np.moveaxis(x, dim, 0))
    first, inverse = [], []
    for i, part in enumerate(slices):
        if i == 0 or not np.array_equal(part, slices[i - 1]):
            first.append(i)
        inverse.append(len(first) - 1)
    counts = [inverse.count(k) for k in range(len(first))]
    return np.array(first, int), np.array(inverse, int).reshape(x.shape if dim is None else -1), np.array(counts, int)


def _unique_reference(x: Any, dim: int | None) -> Any:
    found = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=dim)[1:]
    return found[0], found[1].reshape(x.shape if dim is None else -1), found[2]


_unique, _consecutive = _unique_op("unique", _unique_reference), _unique_op("unique_consecutive", _runs)


def _different(op: Op, input: Tensor, return_inverse: bool, return_counts: bool, dim: int | None) -> Any:
    name = op.name.removesuffix("_places")
    at = None if dim is None else normalize_dim(dim, input.ndim, name)
    if at is not None and input.ndim == 0:
        input = reshape(input, 1)
    first, inverse, counts = op.call(input.detach(), dim=at)
    if at is None:
        values = picked(reshape(input, input.numel()), (read_values(first, f"{name}()"),))
    else:
        values = getitem(input, (slice(None),) * at + (first,))
    results = (values, *([inverse] if return_inverse else []), *([counts] if return_counts else []))
    return results if len(results) > 1 else values


def _chosen(places: Any) -> Any:
    def reference(x: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None, sorted: bool = True) -> Any:
        first, inverse, counts = places(x, dim)
        values = x.ravel()[first] if dim is None else np.take(x, first, dim)
        results = (values, *([inverse] if return_inverse else []), *([counts] if return_counts else []))
        return results if len(results) > 1 else values

    return reference


_UNIQUES = [
    Sample((_FEW,), {"return_inverse": True, "return_counts": True}),
    Sample((APART,)),
    Sample((Input((4, 2), 0, 2, "int"),), {"return_inverse": True, "return_counts": True, "dim": 0}),
    Sample((Input((0,)),), {"return_counts": True}),
]


@composite(
    samples=_UNIQUES,
    reference=_chosen(_unique_reference),
    differentiable=False,
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).unique(dim=1), IndexError, "unique: dimension 1 is out of range")],
)
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The sorted different elements (or slices along ``dim``), which of them each is, and how often it occurs.

    Returns the values, or a tuple with what was asked for. Every NaN is different from all others. The gradient of a value goes
    to the first element that has it.
    """
    return _different(_unique, input, return_inverse, return_counts, dim)


@composite(
    samples=_UNIQUES,
    reference=_chosen(_runs),
    differentiable=False,
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).unique_consecutive(dim=1), IndexError, "unique_consecutive: dimension 1 is out of range")],
)
def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """As :func:`unique`, but of runs of equal elements, in the order in which they stand."""
    return _different(_consecutive, input, return_inverse, return_counts, dim)
