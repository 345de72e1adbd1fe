"""Searching sorted values, counting, membership."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...device import backend
from ...modes import values_leave
from ...public import composite, public
from ...registry import Op, as_tensor_input, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_floating
from ..create import zeros
from .index_select import index_add

__all__ = ["bincount", "bucketize", "histc", "isin", "searchsorted"]

_VALUES = Input((3, 5))


def _ranks(boundaries: Any, values: Any, right: bool) -> Any:
    """Counted one comparison at a time."""
    below = np.less_equal if right else np.less
    return np.sum(below(boundaries[..., None, :], values[..., :, None]), -1)


_searchsorted = register(
    Op(
        "searchsorted",
        ("sorted_sequence", "input"),
        lambda B, boundaries, x, *, right, dtype: B.searchsorted(boundaries, x, right, dtype.numpy),
        dtype="int64",
        method=False,
        samples=[
            Sample((Input((1,)), Input((4,))), {"right": False, "dtype": dtypes.int64}),
            Sample((Input((1,), -1, 2, "int"), Input((4,), -1, 2, "int")), {"right": True, "dtype": dtypes.int64}),
            Sample((Input((3, 1)), Input((3, 4))), {"right": True, "dtype": dtypes.int64}),
        ],
        reference=lambda boundaries, x, right, dtype: _ranks(boundaries, x, right),
        kinds="bif",
        error_inputs=[
            ErrorInput(
                lambda tg: tg.searchsorted(tg.ones(2, 3), tg.ones(3, 4)), RuntimeError, r"searchsorted: .*\(2, 3\) and \(3, 4\) must agree in all but the last"
            ),
            ErrorInput(lambda tg: tg.searchsorted(tg.ones(2), 1.0, side="up"), RuntimeError, "searchsorted: side must be 'left' or 'right', got 'up'"),
            ErrorInput(lambda tg: tg.searchsorted(tg.ones(2), 1.0, right=True, side="left"), RuntimeError, "searchsorted: side 'left' contradicts right"),
            ErrorInput(lambda tg: tg.searchsorted(tg.tensor(1.0), 1.0), RuntimeError, "searchsorted: the boundaries need at least 1 dimension"),
        ],
    )
)


@public(
    _searchsorted,
    samples=[
        Sample((Input((1,)), _VALUES)),
        Sample((Input((3, 1)), _VALUES), {"right": True}),
        Sample((Input((1,), -1, 2, "int"), Input((4,), -1, 2, "int")), {"side": "right", "out_int32": True}),
    ],
    reference=lambda boundaries, x, right=False, side=None, out_int32=False: _ranks(boundaries, x, right or side == "right"),
    differentiable=False,
)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """How many elements of a sorted vector (or of the row of its own) are less than each value: where it would be inserted.

    With ``right`` (or side "right"), less than or equal. ``sorter`` has the indices that sort the sequence, if it is not.

    Raises:
        RuntimeError: when shapes don't fit.
    """
    return _search("searchsorted", sorted_sequence, input, out_int32, right, side, sorter)


def _operand(name: str, argument: str, value: Any, beside: Any) -> Tensor:
    """A tensor operand; a number goes where the other operand is."""
    made = as_tensor_input(value, name, argument)
    return made if isinstance(value, Tensor) or made.ndim or not isinstance(beside, Tensor) else made.to(beside.device)


def _search(name: str, boundaries: Tensor, input: Any, out_int32: bool, right: bool, side: str | None, sorter: Tensor | None) -> Tensor:
    if side not in (None, "left", "right"):
        raise RuntimeError(f"{name}: side must be 'left' or 'right', got {side!r}")
    if side == "left" and right:
        raise RuntimeError(f"{name}: side 'left' contradicts right=True")
    values = _operand(name, "input", input, boundaries)
    if boundaries.ndim == 0:
        raise RuntimeError(f"{name}: the boundaries need at least 1 dimension, they are a 0-d tensor")
    if boundaries.ndim > 1 and tuple(boundaries.shape[:-1]) != tuple(values.shape[:-1]):
        raise RuntimeError(f"{name}: shapes {tuple(boundaries.shape)} and {tuple(values.shape)} must agree in all but the last dimension")
    if sorter is not None:
        if sorter.shape != boundaries.shape:
            raise RuntimeError(f"{name}: the sorter of shape {tuple(sorter.shape)} must have the shape {tuple(boundaries.shape)} of the boundaries")
        boundaries = boundaries.detach().take_along_dim(sorter, -1)
    params = {"right": right or side == "right", "dtype": dtypes.int32 if out_int32 else dtypes.int64}
    return _searchsorted.call(boundaries.detach(), values.detach(), **params)


@composite(
    samples=[Sample((_VALUES, Input((1,)))), Sample((Input((4,), -1, 2, "int"), Input((1,), -1, 2, "int")), {"right": True, "out_int32": True})],
    reference=lambda x, boundaries, right=False, out_int32=False: _ranks(boundaries, x, right),
    differentiable=False,
    method=False,
    error_inputs=[ErrorInput(lambda tg: tg.bucketize(tg.ones(2), tg.ones(2, 2)), RuntimeError, r"bucketize: the boundaries must be a vector, .*\(2, 2\)")],
)
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """In which part each value is that sorted boundaries divide numbers into: see :func:`searchsorted`.

    Raises:
        RuntimeError: unless the boundaries are a vector.
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize: the boundaries must be a vector, they have shape {tuple(boundaries.shape)}")
    return _search("bucketize", boundaries, input, out_int32, right, None, None)


# -------------------------------------------------------------------------------------------------------------- counting

_histc = register(
    Op(
        "histc",
        ("input",),
        lambda B, x, *, bins, min, max: B.histc(x, bins, min, max),
        samples=[Sample((_VALUES,), {"bins": 4, "min": -1.9, "max": 1.7}), Sample((Input((0, 3)),), {"bins": 2, "min": -1.0, "max": 1.0})],
        reference=lambda x, bins, min, max: np.histogram(x, bins, (min, max))[0],
        kinds="f",
        error_inputs=[
            ErrorInput(lambda tg: tg.arange(3).histc(), RuntimeError, "histc: input must be floating-point, got dtype .*int64"),
            ErrorInput(lambda tg: tg.ones(3).histc(0), RuntimeError, "histc: bins must be positive, got 0"),
            ErrorInput(lambda tg: tg.ones(3).histc(2, 1, 0), RuntimeError, "histc: max 0 is less than min 1"),
            ErrorInput(lambda tg: tg.tensor([math.inf]).histc(2), RuntimeError, "histc: the range from inf to inf is not finite"),
        ],
    )
)


@public(
    _histc,
    samples=[Sample((_VALUES,), {"bins": 4, "min": -2, "max": 2}), Sample((_VALUES,), {"bins": 5})],
    reference=lambda x, bins=100, min=0, max=0: np.histogram(x, bins, None if min == max else (min, max))[0],
    differentiable=False,
)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements are in each of ``bins`` equal parts of [min, max], in the input's dtype; others are not counted.

    Equal bounds stand for the smallest and largest element.

    Raises:
        RuntimeError: for integers, and a range that is empty or not finite.
    """
    need_floating("histc", input=input)
    if bins <= 0:
        raise RuntimeError(f"histc: bins must be positive, got {bins}")
    if max < min:
        raise RuntimeError(f"histc: max {max} is less than min {min}")
    low, high = float(min), float(max)
    if low == high and input.numel():
        low, high = float(input.min()), float(input.max())
    if low == high and math.isfinite(low):
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"histc: the range from {low} to {high} is not finite")
    return _histc.call(input.detach(), bins=bins, min=low, max=high)


_bincount = register(
    Op(
        "bincount",
        ("input",),
        lambda B, x, *, minlength: B.bincount(x, minlength),
        dtype="int64",
        samples=[Sample((Input((6,), 0, 4, "int"),), {"minlength": n}) for n in (0, 7)],
        reference="index_references.bincount",
        error_inputs=[
            ErrorInput(lambda tg: tg.tensor([1, -1]).bincount(), RuntimeError, "bincount: expected a vector of non-negative integers, got one with -1"),
            ErrorInput(lambda tg: tg.ones(2).bincount(), RuntimeError, "bincount: expected a vector of non-negative integers, got dtype .*float32"),
            ErrorInput(lambda tg: tg.tensor([1]).bincount(tg.ones(2)), RuntimeError, r"bincount: weights of shape \(2,\) for an input of shape \(1,\)"),
            ErrorInput(lambda tg: tg.tensor([1]).bincount(minlength=-1), RuntimeError, "bincount: minlength must not be negative, got -1"),
        ],
    )
)


@public(
    _bincount,
    samples=[
        Sample((Input((6,), 0, 4, "int"),)),
        Sample((Input((6,), 0, 4, "int"), Input((6,))), {"minlength": 6}),
        Sample((Input((0,), 0, 4, "int"),), {"minlength": 2}),
    ],
    reference="index_references.bincount",
    differentiable=False,
)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 occurs in a vector, at least ``minlength`` of them; with weights, the sums of these.

    Counts are int64; sums are float32 for float32 weights, else float64, and the weights get a gradient.

    Raises:
        RuntimeError: unless the input is a vector of non-negative integers, and weights as many.
    """
    x = input._array
    if x.dtype.kind not in "iu" or x.ndim != 1:
        raise RuntimeError(f"bincount: expected a vector of non-negative integers, got dtype {input.dtype} and shape {tuple(input.shape)}")
    values_leave("bincount()")
    low, high = backend(x).span(x) if x.size else (0, -1)
    if low < 0:
        raise RuntimeError(f"bincount: expected a vector of non-negative integers, got one with {low}")
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength must not be negative, got {minlength}")
    if weights is None:
        return _bincount.call(input, minlength=minlength)
    if weights.shape != input.shape:
        raise RuntimeError(f"bincount: weights of shape {tuple(weights.shape)} for an input of shape {tuple(input.shape)}")
    wide = weights if weights.dtype is dtypes.float32 else weights.to(dtypes.float64)
    return index_add(zeros(max(minlength, high + 1), dtype=wide.dtype, device=wide.device), 0, input, wide)


_isin = register(
    Op(
        "isin",
        ("elements", "test_elements"),
        lambda B, x, among, *, invert: B.isin(x, among, invert),
        dtype="bool",
        method=False,
        samples=[Sample((Input((3, 4), -3, 4, "int"), Input((2,), -3, 4, "int")), {"invert": k}) for k in (False, True)],
        reference="index_references.isin",
        error_inputs=[ErrorInput(lambda tg: tg.isin(1, 2), TypeError, r"isin\(\): one of elements and test_elements must be a Tensor")],
    )
)


@public(
    _isin,
    samples=[
        Sample((_VALUES, Input((2,)))),
        Sample((Input((3, 4), -3, 4, "int"), Input((2,), -3, 4, "int")), {"invert": True}),
    ],
    reference="index_references.isin",
    differentiable=False,
)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among some others (``invert``: is not); bool. Either may be a number."""
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): one of elements and test_elements must be a Tensor")
    first, second = _operand("isin", "elements", elements, test_elements), _operand("isin", "test_elements", test_elements, elements)
    return _isin.call(first.detach(), second.detach(), invert=invert)
