"""Scans: what has been added up, multiplied or seen so far along a dimension."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import dtypes
from ...public import method, named, public
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample, along_dim
from ...tensor import Tensor
from ..checks import need_floating
from ..linalg.matmul import conjugate
from ..return_types import ReturnType, return_type
from ..shape.reshape import normalize_dim
from .reduce import in_dtype, need_real, sum_dtype

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp"]


def along_user_dim(*, apart: bool = False, **params: Any) -> list[Sample]:
    """Samples for functions along ``dim``, as users call them."""
    cases = [((3, 4), -1), ((2, 3, 4), 1), ((), 0), ((0, 3), 0)]
    return [Sample((Input(shape, apart=apart),), {"dim": dim, **params}) for shape, dim in cases]


def _accumulated(ufunc: Any) -> Callable[..., Any]:
    return lambda x, dim, dtype=None: ufunc.accumulate(x, axis=dim) if x.ndim else x


def _no_dimension(name: str) -> list[ErrorInput]:
    return [ErrorInput(lambda tg: getattr(tg.ones(2, 3), name)(2), IndexError, f"{name}: dimension 2 is out of range")]


# ---------------------------------------------------------------------------------------------------------------- sums

_cumsum = register(
    Op(
        "cumsum",
        ("input",),
        lambda B, x, *, dim, reverse=False: B.cumsum(x, dim, sum_dtype(x.dtype), reverse),
        {"input": lambda K, g, dim, reverse: K.cumsum(g, dim=dim, reverse=not reverse)},
        batch="reduce",
        samples=along_dim(keepdims=False, reverse=False),
        reference=lambda x, dim, reverse: np.cumsum(x, axis=dim),
        error_inputs=_no_dimension("cumsum"),
    )
)


@public(_cumsum, samples=[*along_user_dim(), *along_user_dim(dtype=dtypes.float64)[:1]], reference=_accumulated(np.add))
def cumsum(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The running sum along ``dim``. Integers and bools sum as int64, unless ``dtype`` says otherwise."""
    at = normalize_dim(dim, input.ndim, "cumsum")
    return in_dtype(dtype, lambda x: _cumsum.call(x, dim=at, reverse=False), input)


# ------------------------------------------------------------------------------------------------------------- products

register(
    Op(
        "shift",
        ("input",),
        lambda B, x, *, dim, by, fill: B.shift(x, dim, by, fill),
        {"input": lambda K, g, dim, by: K.shift(g, dim=dim, by=-by, fill=0.0)},
        batch="reduce",
        method=False,
        samples=[
            Sample((Input((3, 4)),), {"dim": 1, "by": 1, "fill": 1.0}),
            Sample((Input((2, 3, 4)),), {"dim": 1, "by": -1, "fill": 0.0}),
            Sample((Input(()),), {"dim": 0, "by": 1, "fill": 1.0}),
        ],
        reference=lambda x, dim, by, fill: _shifted(x, dim, by, fill),
    )
)


def _shifted(x: Any, dim: int, by: int, fill: float) -> Any:
    if not x.ndim:
        return np.full((), fill)
    out = np.roll(x, by, axis=dim).astype(np.result_type(x, np.int8))
    np.moveaxis(out, dim, 0)[0 if by > 0 else -1] = fill
    return out


def _recurred(factor: Any, term: Any, dim: int, reverse: bool) -> Any:
    step = -1 if reverse else 1
    out = term.copy()
    a, y = np.moveaxis(factor, dim, 0)[::step], np.moveaxis(out, dim, 0)[::step]
    for i in range(1, len(y)):
        y[i] += a[i] * y[i - 1]
    return out


# out[j] = term[j] + factor[j] * out[j - 1], with j + 1 in place of j - 1 when reverse. Its gradients are recurrences themselves.
_linear_recurrence = register(
    Op(
        "linear_recurrence",
        ("factor", "term"),
        lambda B, factor, term, *, dim, reverse: B.linear_recurrence(factor, term, dim, reverse),
        {("factor", "term"): lambda K, g, factor, out, dim, reverse: _recurrence_backward(K, g, factor, out, dim, reverse)},
        batch="reduce",
        method=False,
        samples=[
            Sample((Input(shape), Input(shape)), {"dim": dim, "reverse": reverse})
            for shape, dim in (((3, 4), 1), ((2, 3, 4), 1), ((5,), 0))
            for reverse in (False, True)
        ],
        reference=_recurred,
        kinds="fc",
    )
)


def _recurrence_backward(K: Any, g: Any, factor: Any, out: Any, dim: int, reverse: bool) -> tuple[Any, Any]:
    step = -1 if reverse else 1
    following = K.shift(factor, dim=dim, by=-step, fill=0.0)
    total = K.linear_recurrence(conjugate(K, following), g, dim=dim, reverse=not reverse)
    return K.mul(total, conjugate(K, K.shift(out, dim=dim, by=step, fill=0.0))), total


_cumprod = register(
    Op(
        "cumprod",
        ("input",),
        lambda B, x, *, dim, reverse: B.cumprod(x, dim, sum_dtype(x.dtype), reverse),
        {"input": lambda K, g, input, out, dim, reverse: _cumprod_backward(K, g, input, out, dim, reverse)},
        batch="reduce",
        samples=along_dim(keepdims=False, reverse=False) + along_dim(keepdims=False, reverse=True),
        reference=lambda x, dim, reverse: np.flip(np.cumprod(np.flip(x, dim), axis=dim), dim) if reverse else np.cumprod(x, axis=dim),
        error_inputs=_no_dimension("cumprod"),
        edge_points=[
            EdgePoint(([2.0, 0.0, 3.0],), ([1.0, 8.0, 0.0],), {"dim": 0, "reverse": False}),
            EdgePoint(([0.0, 0.0, 3.0],), ([1.0, 0.0, 0.0],), {"dim": 0, "reverse": False}),
        ],
    )
)


def _cumprod_backward(K: Any, g: Any, x: Any, out: Any, dim: int, reverse: bool) -> Any:
    """What comes before an element, times the sum of what comes after it, which is a recurrence: exact where elements are zero."""
    step = -1 if reverse else 1
    before = K.shift(out, dim=dim, by=step, fill=1.0)
    following = K.shift(x, dim=dim, by=-step, fill=0.0)
    after = K.linear_recurrence(conjugate(K, following), g, dim=dim, reverse=not reverse)
    return K.mul(conjugate(K, before), after)


@public(_cumprod, samples=[*along_user_dim(), *along_user_dim(dtype=dtypes.float64)[:1]], reference=_accumulated(np.multiply))
def cumprod(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The running product along ``dim``. Integers and bools multiply as int64, unless ``dtype`` says otherwise.

    The gradient is exact where elements are zero.
    """
    at = normalize_dim(dim, input.ndim, "cumprod")
    return in_dtype(dtype, lambda x: _cumprod.call(x, dim=at, reverse=False), input)


@method
def cumsum_(self: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """:func:`cumsum` in place; returns the tensor."""
    return self.copy_(cumsum(self, dim, dtype=self.dtype if dtype is None else dtype))  # type: ignore[no-any-return]


@method
def cumprod_(self: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """:func:`cumprod` in place; returns the tensor."""
    return self.copy_(cumprod(self, dim, dtype=self.dtype if dtype is None else dtype))  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------------- log of sums of exp

_logcumsumexp = register(
    Op(
        "logcumsumexp",
        ("input",),
        lambda B, x, *, dim: B.logcumsumexp(x, dim),
        {"input": lambda K, g, input, out, dim: _logcumsumexp_backward(K, g, input, out, dim)},
        batch="reduce",
        samples=along_dim(keepdims=False),
        reference=lambda x, dim: np.log(np.cumsum(np.exp(x), axis=dim)),
        error_inputs=[
            *_no_dimension("logcumsumexp"),
            ErrorInput(lambda tg: tg.arange(3).logcumsumexp(0), RuntimeError, "logcumsumexp: input must be floating-point.*int64"),
        ],
        edge_points=[EdgePoint(([-math.inf, -math.inf, 0.0],), ([0.0, 0.0, 1.0],), {"dim": 0})],
        kinds="f",
    )
)


def _logcumsumexp_backward(K: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    """The sum over i >= j of g[i] exp(x[j] - out[i]) as a recurrence whose factors exp(out[j] - out[j + 1]) are at most 1."""
    known = K.ne(out, -math.inf)  # elsewhere all so far is -inf, and gets nothing
    after = K.shift(out, dim=dim, by=-1, fill=math.inf)

    def ratio(above: Any, below: Any) -> Any:
        exponent = K.sub(K.where(known, above, 0.0), K.where(known, below, 0.0))
        return K.where(known, K.exp(exponent), 0.0)

    return K.mul(K.linear_recurrence(ratio(out, after), g, dim=dim, reverse=True), ratio(x, out))


@public(
    _logcumsumexp,
    samples=along_user_dim(),
    reference=lambda x, dim: np.log(np.cumsum(np.exp(x), axis=dim if x.ndim else None)).reshape(x.shape),
)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log(cumsum(exp(input))) along ``dim``, without overflow; the gradient of leading -inf is 0.

    Raises:
        RuntimeError: for an integer or bool tensor.
    """
    at = normalize_dim(dim, input.ndim, "logcumsumexp")
    need_floating("logcumsumexp", input=input)
    return _logcumsumexp.call(input, dim=at)  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------------------------------- running extremes


def _running(name: str, accumulate: Any) -> Callable[..., Any]:
    def reference(x: Any, dim: int) -> Any:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        values = accumulate(x, axis=dim)
        places = np.arange(x.shape[dim]).reshape([-1 if d == dim % x.ndim else 1 for d in range(x.ndim)])
        return values, np.maximum.accumulate(np.where(x == values, places, 0), axis=dim)

    op = register(
        Op(
            name,
            ("input",),
            lambda B, x, *, dim: getattr(B, name)(x, dim),
            {"input": lambda K, g0, out1, input_shape, dim: K.scatter_zeros(g0, out1, dim=dim, size=input_shape)},
            batch="reduce",
            samples=along_dim(apart=True, keepdims=False),
            reference=reference,
            error_inputs=_no_dimension(name),
            kinds="bif",
            smooth=False,
        )
    )
    result = return_type(name)

    def function(input: Tensor, dim: int) -> ReturnType:
        need_real(name, input)
        return result(op.call(input, dim=normalize_dim(dim, input.ndim, name)))

    named(
        function,
        name,
        f"(values, indices): the {name[3:]}imum of the elements up to each one along ``dim``, and where it is last.\n\n"
        "    The gradient goes to the elements at ``indices``.\n",
    )
    return public(op, samples=along_user_dim(apart=True), reference=reference, smooth=False, kinds="bif")(function)


cummax = _running("cummax", np.maximum.accumulate)
cummin = _running("cummin", np.minimum.accumulate)
