"""Order statistics: medians, quantiles, the k-th smallest and the most frequent element."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...device import device_of, placed
from ...modes import check_values
from ...public import composite, named
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample, along_dim
from ...tensor import Tensor, wrap
from ..checks import need_same_dtype
from ..elementwise.basic import isnan, where
from ..index.sort import sort
from ..return_types import ReturnType, return_type
from ..shape.reshape import integer, normalize_dim
from .extremes import scatter_to_index, split_among_ties
from .reduce import need_real, sum as sum_

__all__ = ["kthvalue", "median", "mode", "nanmedian", "nanquantile", "quantile"]


def _along(name: str, kernel: Callable[..., Any], reference: Callable[..., Any], **params: Any) -> Op:
    """An op that chooses an element of each lane: values and indices; the gradient goes to the chosen."""
    return register(
        Op(
            name,
            ("input",),
            kernel,
            {"input": lambda K, g0, out1, input_shape, dim, keepdim: scatter_to_index(K, g0, out1, input_shape, dim, keepdim)},
            batch="reduce",
            method=False,
            samples=along_dim(apart=True, **params),
            kinds="if",
            smooth=False,
            reference=reference,
        )
    )


def _kth(x: Any, dim: int, keepdim: bool, k: int) -> Any:
    values, at = np.sort(x, axis=dim), np.argsort(x, axis=dim, kind="stable")
    found = [np.take(a, [k - 1], axis=dim) for a in (values, at)]
    return tuple(a if keepdim else a.squeeze(dim) for a in found)


def _frequent(x: Any, dim: int, keepdim: bool) -> Any:
    def one(lane: Any) -> Any:
        values, counts = np.unique(lane, return_counts=True)
        best = values[np.argmax(counts)]
        return np.array([best, np.flatnonzero(lane == best)[-1]])

    found = np.apply_along_axis(one, dim, x)
    pair = [np.take(found, [i], axis=dim) for i in (0, 1)]
    return tuple((a if keepdim else a.squeeze(dim)).astype(d) for a, d in zip(pair, (x.dtype, np.int64), strict=True))


_kthvalue = _along("kth_along", lambda B, x, *, dim, keepdim, k: B.kth_value(x, dim, keepdim, k), _kth, k=2)
_median_along = _along(
    "median_along",
    lambda B, x, *, dim, keepdim, ignore_nan: B.median(x, dim, keepdim, ignore_nan),
    lambda x, dim, keepdim, ignore_nan: _kth(x, dim, keepdim, (x.shape[dim] + 1) // 2),
    ignore_nan=False,
)
_mode_along = _along("mode_along", lambda B, x, *, dim, keepdim: B.mode(x, dim, keepdim), _frequent)
_median_of_all = register(
    Op(
        "median_of_all",
        ("input",),
        lambda B, x, *, ignore_nan: B.median(x.reshape(-1), 0, False, ignore_nan)[0],
        {"input": lambda K, g, input, out, input_shape: split_among_ties(K, g, input, out, input_shape, tuple(range(len(input_shape))), False)},
        method=False,
        samples=[Sample((Input(shape, apart=True),), {"ignore_nan": False}) for shape in ((3, 4), (5,), ())],
        reference=lambda x, ignore_nan: np.sort(x, axis=None)[(x.size - 1) // 2],
        edge_points=[EdgePoint(([1.0, 3.0, 1.0, 0.0],), ([0.5, 0.0, 0.5, 0.0],), {"ignore_nan": False})],
        kinds="if",
        smooth=False,
    )
)


def _need_lane(name: str, input: Tensor, dim: int) -> int:
    at = normalize_dim(dim, input.ndim, name)
    need_real(name, input)
    if input.ndim and input._array.shape[at] == 0:
        raise IndexError(f"{name}: no elements to choose from along dimension {dim} of shape {tuple(input.shape)}")
    return at


def _no_elements(name: str, *args: Any) -> ErrorInput:
    return ErrorInput(lambda tg: getattr(tg.ones(2, 0), name)(*args, dim=1), IndexError, rf"{name}: no elements .* of shape \(2, 0\)")


def _user_samples(**params: Any) -> list[Sample]:
    cases: list[tuple[tuple[int, ...], dict[str, Any]]] = [((3, 4), {}), ((3, 4), {"dim": 0, "keepdim": True}), ((2, 3, 4), {"dim": 1}), ((), {})]
    return [Sample((Input(shape, apart=True),), {**params, **case}) for shape, case in cases]


def _at_dim(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference along ``dim`` also of 0-d arrays."""

    def reference(x: Any, dim: int = -1, keepdim: bool = False, **params: Any) -> Any:
        if x.ndim:
            return function(x, dim % x.ndim, keepdim, **params)
        return tuple(np.asarray(a) for a in function(x.reshape(1), 0, False, **params))

    return reference


# -------------------------------------------------------------------------------------------------- chosen elements of lanes

_KthValue, _Mode = return_type("kthvalue"), return_type("mode")


@composite(
    samples=[Sample((Input((2, 3), -100.0, 120.0, apart=True),), {"k": 1}), *_user_samples(k=1)],  # distinct integers, too
    reference=_at_dim(_kth),
    smooth=False,
    kinds="if",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).kthvalue(4), RuntimeError, "kthvalue: k must be between 1 and 3, got 4"),
        ErrorInput(lambda tg: tg.ones(3).kthvalue(1, 1), IndexError, "kthvalue: dimension 1 is out of range"),
        _no_elements("kthvalue", 1),
    ],
)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ReturnType:
    """(values, indices) of the ``k``-th smallest element along ``dim``, counted from 1; NaNs are the largest, equals in order.

    Raises:
        RuntimeError: when there is no k-th element.
    """
    at, k = _need_lane("kthvalue", input, dim), integer(k, "kthvalue", "k")
    n = input._array.shape[at] if input.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue: k must be between 1 and {n}, got {k}")
    return _KthValue(_kthvalue.call(input, dim=at, keepdim=keepdim, k=k))


@composite(
    samples=[Sample((Input((5, 4), 0, 3),), {}), *_user_samples()],
    reference=_at_dim(_frequent),
    smooth=False,
    kinds="if",
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).mode(1), IndexError, "mode: dimension 1 is out of range"), _no_elements("mode")],
)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> ReturnType:
    """(values, indices) of the most frequent element along ``dim``, the smallest of several; its last place.

    Raises:
        IndexError: when a dimension is out of range, or has no elements.
        RuntimeError: for complex numbers, which have no order.
    """
    return _Mode(_mode_along.call(input, dim=_need_lane("mode", input, dim), keepdim=keepdim))


def _median(name: str, ignore_nan: bool) -> Callable[..., Any]:
    result = return_type(name)

    def function(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            need_real(name, input)
            if input.numel() == 0:
                raise RuntimeError(f"{name}: no elements to choose from in shape {tuple(input.shape)}")
            return _median_of_all.call(input, ignore_nan=ignore_nan)
        at = _need_lane(name, input, dim)
        return result(_median_along.call(input, dim=at, keepdim=keepdim, ignore_nan=ignore_nan))

    def reference(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return np.sort(x, axis=None)[(x.size - 1) // 2]
        return _at_dim(lambda x, dim, keepdim: _kth(x, dim, keepdim, (x.shape[dim] + 1) // 2))(x, dim, keepdim)

    named(
        function,
        name,
        f"The lower median of all elements{' that are not NaN' if ignore_nan else '; NaN if there is one'} (equal ones share the gradient);\n"
        "    with ``dim``, (values, indices) along it.\n\n    Raises:\n        RuntimeError, IndexError: over no elements.\n",
    )
    return composite(
        samples=_user_samples(),
        reference=reference,
        smooth=False,
        kinds="if",
        error_inputs=[
            _no_elements(name),
            ErrorInput(lambda tg: getattr(tg.ones(0), name)(), RuntimeError, f"{name}: no elements"),
            ErrorInput(lambda tg: getattr(tg.ones(3), name)(1), IndexError, f"{name}: dimension 1 is out of range"),
        ],
    )(function)


median, nanmedian = _median("median", False), _median("nanmedian", True)

# -------------------------------------------------------------------------------------------------------------- quantiles

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _need_fractions(name: str, q: Any) -> None:
    if not ((q >= 0) & (q <= 1)).all():
        raise RuntimeError(f"{name}: q must be in [0, 1], got {q.tolist()}")


def _quantile(name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, ignore_nan: bool) -> Tensor:
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}: interpolation must be one of {', '.join(_INTERPOLATIONS)}, got {interpolation!r}")
    if input.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"{name}: the input must be float32 or float64, got {input.dtype}; convert it with .to()")
    if isinstance(q, Tensor):
        need_same_dtype(name, input=input, q=q)
    if not isinstance(q, (Tensor, int, float)):
        raise TypeError(f"{name}(): argument 'q' must be a number or a Tensor, not {type(q).__name__}")
    if not isinstance(q, Tensor):
        fraction = np.asarray(q, input.dtype.numpy)
        _need_fractions(name, fraction)
        q = wrap(placed(fraction, device_of(input._array)))
    if q.ndim > 1:
        raise RuntimeError(f"{name}: q must be a number or 1-d, got shape {tuple(q.shape)}")
    check_values(q, functools.partial(_need_fractions, name))
    if input.numel() == 0:
        raise RuntimeError(f"{name}: no elements to choose from in shape {tuple(input.shape)}")
    at = 0 if dim is None else normalize_dim(dim, input.ndim, name)
    kept = [1] * input.ndim if dim is None else [1 if d == at else n for d, n in enumerate(input.shape)]
    lanes = input.reshape(-1, 1) if dim is None or input.ndim == 0 else input.movedim(at, 0).reshape(input.shape[at], -1)

    n = lanes.shape[0]
    lost = isnan(lanes)
    known = sum_(lost == 0, 0)  # the number of elements to choose from, per lane
    ordered = sort(lanes, 0).values
    last = (known - 1).clamp(0) if ignore_nan else (known * 0 + (n - 1))
    rank = q.reshape(-1, 1) * last.to(q.dtype)  # (quantiles, lanes)
    below, above = rank.detach().floor(), rank.detach().ceil()
    if interpolation == "lower":
        rank = above = below
    elif interpolation == "higher":
        rank = below = above
    elif interpolation == "nearest":
        rank = below = above = rank.detach().round()
    elif interpolation == "midpoint":
        rank = (below + above) / 2
    low, high = (ordered.gather(0, r.long()) for r in (below, above))
    value = low + (rank - below) * (high - low)
    value = where((low == high) & (low.abs() == math.inf), low, value)  # between equal infinities
    if not ignore_nan:
        value = where(known < n, math.nan, value)
    shape = kept if keepdim else [] if dim is None else [s for d, s in enumerate(kept) if d != at]
    return value.reshape(*q.shape, *shape)


def _quantile_samples() -> list[Sample]:
    x = Input((3, 4), apart=True)
    return [
        Sample((x,), {"q": 0.3}),
        Sample((x,), {"q": 0.5, "dim": 1, "keepdim": True}),
        Sample((Input((2, 3, 4), apart=True),), {"q": 1.0, "dim": 1}),
        *(Sample((x,), {"q": 0.4, "dim": 0, "interpolation": i}) for i in _INTERPOLATIONS),
        Sample((x, Input((2,), 0.4, 0.45)), {"dim": -1}, names=("input", "q")),
        Sample((Input(()),), {"q": 0.25}),
    ]


def _np_quantile(function: Callable[..., Any]) -> Callable[..., Any]:
    def reference(*args: Any, input: Any = None, q: Any = None, dim: Any = None, keepdim: bool = False, interpolation: str = "linear") -> Any:
        x = args[0] if args else input
        return function(x, q, axis=dim, keepdims=keepdim, method=interpolation)

    return reference


def _quantile_mistakes(name: str) -> list[ErrorInput]:
    return [
        ErrorInput(lambda tg: getattr(tg.ones(3), name)(1.5), RuntimeError, rf"{name}: q must be in \[0, 1\], got 1.5"),
        ErrorInput(lambda tg: getattr(tg.ones(3), name)(0.5, interpolation="cubic"), RuntimeError, f"{name}: interpolation must be one of"),
        ErrorInput(lambda tg: getattr(tg.arange(3), name)(0.5), RuntimeError, f"{name}: the input must be float32 or float64, got tapegrad.int64"),
        ErrorInput(lambda tg: getattr(tg.ones(3), name)(tg.ones(2, 2)), RuntimeError, rf"{name}: q must be a number or 1-d, got shape \(2, 2\)"),
        ErrorInput(lambda tg: getattr(tg.ones(0), name)(0.5), RuntimeError, f"{name}: no elements"),
    ]


@composite(samples=_quantile_samples(), reference=_np_quantile(np.quantile), smooth=False, error_inputs=_quantile_mistakes("quantile"))
def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """The ``q``-th quantiles (a number or 1-d tensor in [0, 1], whose dimension comes first) of all elements or along ``dim``.

    Between the two elements whose ranks surround q (n - 1), ``interpolation`` is "linear", "lower", "higher", "midpoint" or "nearest".
    A lane with a NaN gives NaN.

    Raises:
        RuntimeError: for dtypes other than float32 and float64, q out of range, or no elements.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@composite(samples=_quantile_samples(), reference=_np_quantile(np.nanquantile), smooth=False, error_inputs=_quantile_mistakes("nanquantile"))
def nanquantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """:func:`quantile` of the elements that are not NaN; NaN where there are none."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
