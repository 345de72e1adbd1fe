"""Differences and areas of samples of a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes
from ...public import alias, composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..elementwise.basic import mul, ne, sub
from ..shape.join import cat
from ..shape.reshape import integer, normalize_dim
from .reduce import sum as sum_

__all__ = ["diff", "trapezoid", "trapz"]


def _ends(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """All but the last, and all but the first along a dimension."""
    ahead = (slice(None),) * dim
    return x[(*ahead, slice(None, -1))], x[(*ahead, slice(1, None))]


def _np_diff(x: Any, prepend: Any = None, append: Any = None, n: int = 1, dim: int = -1) -> Any:
    given = {"prepend": prepend, "append": append}
    return np.diff(x, n, axis=dim, **{k: v for k, v in given.items() if v is not None})


@composite(
    samples=[
        Sample((Input((3, 4)),)),
        Sample((Input((3, 4)),), {"n": 2, "dim": 0}),
        Sample((Input((2, 3, 4)),), {"n": 5}),
        Sample((Input((3, 4)), Input((3, 2)), Input((3, 1))), names=("input", "prepend", "append")),
        Sample((Input((3,)), Input((2,))), {"n": 2}, names=("input", "append")),
        Sample((Input((3,)),), {"n": 0}),
    ],
    reference=lambda *args, input=None, **params: _np_diff(*([input] if input is not None else args), **params),
    kinds="bif",
    error_inputs=[
        ErrorInput(lambda tg: tg.tensor(1.0).diff(), RuntimeError, "diff: .*0-d"),
        ErrorInput(lambda tg: tg.ones(3).diff(-1), RuntimeError, "diff: n must not be negative, got -1"),
        ErrorInput(lambda tg: tg.ones(3).diff(dim=1), IndexError, "diff: dimension 1 is out of range"),
        ErrorInput(lambda tg: tg.ones(2, 3).diff(prepend=tg.ones(3, 1)), RuntimeError, r"cat: .*\(3, 1\) and \(2, 3\)"),
    ],
)
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """The ``n``-th differences of neighbours along ``dim``, after joining ``prepend`` and ``append`` to the input; bools by exclusive or.

    The 0-th differences are the input itself, without the two.

    Raises:
        RuntimeError: for a 0-d input, a negative ``n``, or shapes that can't be joined.
    """
    if input.ndim == 0:
        raise RuntimeError("diff: a 0-d tensor has no neighbours; give it a dimension with .reshape(1)")
    at = normalize_dim(dim, input.ndim, "diff")
    n = integer(n, "diff", "n")
    if n < 0:
        raise RuntimeError(f"diff: n must not be negative, got {n}")
    if n == 0:
        return input.clone()  # type: ignore[no-any-return]
    joined = cat([x for x in (prepend, input, append) if x is not None], at) if prepend is not None or append is not None else input
    for _ in range(min(n, joined._array.shape[at])):
        before, after = _ends(joined, at)
        joined = ne(after, before) if joined.dtype is dtypes.bool_ else sub(after, before)
    return joined.clone() if joined is input else joined  # type: ignore[no-any-return]


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)),)),
        Sample((Input((3, 4)),), {"dx": 0.5, "dim": 0}),
        Sample((Input((2, 3)), Input((3,)))),
        Sample((Input((2, 3)), Input((2, 3))), {"dim": 1}),
    ],
    reference=lambda y, x=None, dx=1.0, dim=-1: np.trapezoid(y, x, dx, axis=dim),
    error_inputs=[
        ErrorInput(lambda tg: tg.trapezoid(tg.tensor(1.0)), IndexError, "trapezoid: .*0-d"),
        ErrorInput(lambda tg: tg.trapezoid(tg.ones(3), tg.ones(3), dx=2), RuntimeError, "trapezoid: give x or dx, not both"),
        ErrorInput(lambda tg: tg.trapezoid(tg.ones(3), tg.ones(2)), RuntimeError, r"trapezoid: x of shape \(2,\) .* y of shape \(3,\)"),
    ],
)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """The area under samples ``y`` along ``dim`` by the trapezoidal rule, at places ``x`` (1-d, or of y's shape) or ``dx`` (1) apart.

    Raises:
        IndexError: for a 0-d y.
        RuntimeError: when both x and dx are given, or x does not fit y.
    """
    if y.ndim == 0:
        raise IndexError("trapezoid: a 0-d tensor has no dimension to integrate along")
    if x is not None and dx is not None:
        raise RuntimeError("trapezoid: give x or dx, not both")
    at = normalize_dim(dim, y.ndim, "trapezoid")
    before, after = _ends(y, at)
    area = before + after
    if x is not None:
        if x.ndim == 0 or x.shape[0 if x.ndim == 1 else at - y.ndim] != y.shape[at]:
            raise RuntimeError(f"trapezoid: x of shape {tuple(x.shape)} does not have a place for each sample of y of shape {tuple(y.shape)}")
        width = diff(x, dim=0 if x.ndim == 1 else at - y.ndim)
        area = mul(area, width.reshape(-1, *[1] * (y.ndim - at - 1)) if x.ndim == 1 else width)
    result: Tensor = sum_(area, at) * ((1.0 if dx is None else dx) / 2.0)
    return result


trapz = alias("trapz", trapezoid, method=False)
