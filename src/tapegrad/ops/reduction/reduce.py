"""Reductions that add up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...device import backend
from ...plan import ON_ARRAYS
from ...public import composite, named, public
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample, unary
from ...tensor import Tensor
from ..checks import need_floating
from ..elementwise.basic import isnan, where
from ..elementwise.complex_parts import imag, real
from ..shape.copy import to_dtype
from ..shape.reshape import normalize_dim

__all__ = [
    "logsumexp",
    "mean",
    "nanmean",
    "nansum",
    "std",
    "std_mean",
    "sum",
    "var",
    "var_mean",
]

Dims = int | Sequence[int] | None
_ALL_AXES = [tuple(range(ndim)) for ndim in range(65)]  # NumPy's most are 64


def axes_of(dim: Dims, ndim: int, name: str) -> tuple[int, ...]:
    """Reduced axes in ascending order; None (or an empty list) means all.

    Raises:
        TypeError: for what is not integers.
        IndexError: for a dimension out of range.
        RuntimeError: for one given twice.
    """
    if dim is None or (dim.__class__ is tuple and dim == _ALL_AXES[ndim]):
        return _ALL_AXES[ndim]
    if dim.__class__ is int and -ndim <= dim < ndim:  # type: ignore[operator]
        return (dim if dim >= 0 else dim + ndim,)  # type: ignore[operator, return-value]
    dims: list[Any] = list(dim) if isinstance(dim, (list, tuple)) else [dim]
    if not dims:
        return tuple(range(ndim))
    axes = sorted(normalize_dim(d, ndim, name) for d in dims)
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"{name}: dim appears twice in {dims}")
    return tuple(axes) if ndim else ()


def keep_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def restore_axes(K: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    """A reduced gradient with its reduced axes back, as size 1."""
    return g if keepdim else K.reshape(g, shape=keep_shape(shape, axes))


def _spread(K: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    if K is ON_ARRAYS:
        return backend(g).spread(g, shape, axes, keepdim)
    return K.expand(restore_axes(K, g, shape, axes, keepdim), size=shape)


def over_axes(*, apart: bool = False, **params: Any) -> list[Sample]:
    """Samples for ops over ``axes``."""
    cases: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((3, 4), (0, 1)), ((3, 4), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((), ())]
    return [
        Sample((Input(shape, apart=apart),), {"axes": axes, "keepdim": keep, **params}) for shape, axes in cases for keep in (False, True)
    ]


def over_axes_reference(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes, keepdim: function(x, axis=axes, keepdims=keepdim)


def over_dim(*, apart: bool = False, **params: Any) -> list[Sample]:
    """Samples for functions over ``dim``, as users call them."""
    cases: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 4), {}), ((3, 4), {"dim": 1}), ((2, 3, 4), {"dim": (0, -1), "keepdim": True}), ((), {"dim": -1}),
    ]  # fmt: skip
    return [Sample((Input(shape, apart=apart),), {**case, **params}) for shape, case in cases]


def over_dim_reference(function: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, dim: Any = None, keepdim: bool = False, **params: Any) -> Any:
        return function(x, axis=dim if x.ndim else None, keepdims=keepdim, **params)

    return reference


EMPTY = Sample((Input((0, 3)),), {"dim": 0})

# ---------------------------------------------------------------------------------------------------------------- sums

_sum = register(
    Op(
        "sum",
        ("input",),
        lambda B, x, *, axes, keepdim: B.sum(x, axes, keepdim),
        {"input": lambda K, g, input_shape, axes, keepdim: _spread(K, g, input_shape, axes, keepdim)},
        planned="sum",
        batch="reduce",
        samples=[*over_axes(), Sample((Input((0, 3)),), {"axes": (0,), "keepdim": False})],
        reference=over_axes_reference(np.sum),
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).sum(2), IndexError, "sum: dimension 2 is out of range"),
            ErrorInput(lambda tg: tg.ones(2, 3).sum(0.5), TypeError, r"sum\(\): argument 'dim' must be an integer, got 0.5"),
        ],
    )
)


def sum_dtype(d: Any) -> Any:
    return d if d.kind in "fcV" else np.dtype(np.int64)


@public(
    _sum,
    samples=[*over_dim(), EMPTY, Sample((Input((3, 4)),), {"dim": 0, "dtype": dtypes.float64})],
    reference=lambda x, dtype=None, **params: over_dim_reference(np.sum)(x, **params),
)
def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The sum over ``dim`` (one or several; all by default). Integers and bools sum as int64, unless ``dtype`` says otherwise."""
    if dtype is not None:
        return in_dtype(dtype, lambda x: sum(x, dim, keepdim), input)
    ndim = input._array.ndim
    return _sum.call(input, _ALL_AXES[ndim] if dim is None else axes_of(dim, ndim, "sum"), keepdim)  # type: ignore[no-any-return]


def in_dtype(dtype: Any, function: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    """``function`` of the input as ``dtype`` (unless None), and its result as that, too: of small integers, what fits into them."""
    if dtype is None:
        return function(input)
    wanted = dtypes.to_dtype(dtype)
    return to_dtype(function(to_dtype(input, wanted)), wanted)




_mean = register(
    Op(
        "mean",
        ("input",),
        lambda B, x, *, axes, keepdim: B.mean(x, axes, keepdim),
        {"input": lambda K, g, input_shape, axes, keepdim: _mean_backward(K, g, input_shape, axes, keepdim)},
        planned="mean",
        batch="reduce",
        samples=over_axes(),
        reference=over_axes_reference(np.mean),
        error_inputs=[ErrorInput(lambda tg: tg.arange(3).mean(), RuntimeError, "mean: input must be floating-point.*int64")],
        kinds="fc",
    )
)


def _mean_backward(K: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    count = math.prod([shape[a] for a in axes])
    return _spread(K, K.mul(g, 1.0 / count if count else math.nan), shape, axes, keepdim)


def need_real(name: str, input: Tensor, why: str = "complex numbers have no order") -> None:
    """Raise RuntimeError for a complex tensor."""
    if input._array.dtype.kind == "c":
        raise RuntimeError(f"{name}: the input has dtype {input.dtype}: {why}")


_NOT_YET = "it is not implemented for complex numbers"


@public(_mean, samples=over_dim(), reference=over_dim_reference(np.mean))
def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The mean over ``dim`` (all by default); NaN over no elements.

    Raises:
        RuntimeError: for an integer or bool tensor.
    """
    if dtype is not None:
        input = to_dtype(input, dtypes.to_dtype(dtype))
    if input._array.dtype.kind != "f":
        need_floating("mean", complex=True, input=input)
    return _mean.call(input, axes_of(dim, input._array.ndim, "mean"), keepdim)  # type: ignore[no-any-return]


_var = register(
    Op(
        "var",
        ("input",),
        lambda B, x, *, axes, keepdim, correction: B.var(x, axes, keepdim, correction),
        {"input": lambda K, g, input, input_shape, axes, keepdim, correction: _var_backward(K, g, input, input_shape, axes, keepdim, correction)},
        planned="var",
        batch="reduce",
        samples=[
            Sample((Input(shape),), {"axes": axes, "keepdim": keep, "correction": c})
            for shape, axes in (((3, 4), (0, 1)), ((3, 4), (0,)), ((2, 3, 4), (0, 2)))
            for keep in (False, True)
            for c in (0, 1)
        ],
        reference=lambda x, axes, keepdim, correction: np.var(x, axis=axes, keepdims=keepdim, ddof=correction),
        error_inputs=[
            ErrorInput(lambda tg: tg.arange(3).var(), RuntimeError, "var: input must be floating-point.*int64"),
            ErrorInput(lambda tg: tg.ones(2, 3).var((0, -2)), RuntimeError, "var: dim appears twice"),
            ErrorInput(lambda tg: tg.ones(3).var(0, unbiased=True, correction=1), RuntimeError, "var: give unbiased or correction"),
        ],
        edge_points=[EdgePoint(([2.0, 2.0, 2.0],), ([0.0, 0.0, 0.0],), {"axes": (0,), "keepdim": False, "correction": 1})],
        kinds="f",
    )
)


def _var_backward(
    K: Any, g: Any, x: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool, correction: float
) -> Any:
    freedom = math.prod([shape[a] for a in axes]) - correction
    scaled = K.mul(restore_axes(K, g, shape, axes, keepdim), 2.0 / freedom if freedom > 0 else math.nan)
    return K.scaled_deviation(scaled, x, K.mean(x, axes=axes, keepdim=True))


def _freedom(function: Callable[..., Any]) -> dict[str, Any]:
    """Samples and reference of a function of deviations; ``function(x, axis, ddof, keepdims)`` in NumPy."""
    def reference(x: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, correction: Any = None) -> Any:
        ddof = correction if correction is not None else int(unbiased is not False)
        return function(x, axis=dim, ddof=ddof, keepdims=keepdim)

    cases: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 4), {}),
        ((3, 4), {"dim": 1, "keepdim": True}),
        ((2, 3, 4), {"dim": (0, 2), "unbiased": False}),
        ((2, 3, 4), {"dim": (0, -1), "correction": 2}),
        ((3, 4), {"dim": None, "correction": 0}),
    ]
    return {"samples": [Sample((Input(shape),), case) for shape, case in cases], "reference": reference}


@public(_var, **_freedom(np.var))
def var(
    input: Tensor, dim: Dims = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance over ``dim`` (all by default), in two passes; the divisor is n - correction (1 by default).

    Raises:
        RuntimeError: for an integer tensor, or when both ``unbiased`` and ``correction`` are given.
    """
    if isinstance(dim, bool):  # var(unbiased), PyTorch's oldest form
        dim, unbiased = None, dim
    if input._array.dtype.kind != "f":
        need_floating("var", complex=True, input=input)
        if input.dtype.is_complex:  # the mean squared distance from the mean
            parts = [var(part, dim, unbiased, keepdim, correction=correction) for part in (real(input), imag(input))]
            return parts[0] + parts[1]  # type: ignore[no-any-return]
    if unbiased is not None and correction is not None:
        raise RuntimeError("var: give unbiased or correction, not both")
    ddof = correction if correction is not None else int(unbiased is not False)
    return _var.call(input, axes=axes_of(dim, input._array.ndim, "var"), keepdim=keepdim, correction=ddof)  # type: ignore[no-any-return]


@composite(
    **_freedom(np.std),
    smooth=False,
    error_inputs=[ErrorInput(lambda tg: tg.arange(3).std(), RuntimeError, "std: input must be floating-point.*int64")],
)
def std(
    input: Tensor, dim: Dims = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The standard deviation: the root of :func:`var`, with gradient 0 where that is 0."""
    need_floating("std", complex=True, input=input)
    return _root.call(var(input, dim, unbiased, keepdim, correction=correction))  # type: ignore[no-any-return]


def _with_mean(deviation: Callable[..., Tensor], name: str) -> Callable[..., tuple[Tensor, Tensor]]:
    def function(
        input: Tensor, dim: Dims = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
    ) -> tuple[Tensor, Tensor]:
        need_floating(function.__name__, complex=True, input=input)
        found = deviation(input, dim, unbiased, keepdim, correction=correction)
        return found, mean(input, None if isinstance(dim, bool) else dim, keepdim)

    return named(function, f"{name}_mean", f"(:func:`{name}`, :func:`mean`) over ``dim``.\n\n    Raises:\n        RuntimeError: for an integer or bool tensor.\n")


def _and_mean(function: Callable[..., Any]) -> dict[str, Any]:
    return _freedom(lambda x, ddof, **over: (function(x, ddof=ddof, **over), np.mean(x, **over)))


std_mean = composite(
    **_and_mean(np.std),
    smooth=False,
    method=False,
    error_inputs=[ErrorInput(lambda tg: tg.std_mean(tg.arange(3)), RuntimeError, "std_mean: input must be floating-point.*int64")],
)(_with_mean(std, "std"))
var_mean = composite(
    **_and_mean(np.var),
    method=False,
    error_inputs=[ErrorInput(lambda tg: tg.var_mean(tg.arange(3)), RuntimeError, "var_mean: input must be floating-point.*int64")],
)(_with_mean(var, "var"))


_root = register(
    Op(
        "safe_sqrt",
        ("input",),
        lambda B, x: ON_ARRAYS.sqrt(x),
        # where the root is 0, so is the gradient
        {"input": lambda K, g, out: K.where(K.eq(out, 0.0), 0.0, K.div(g, K.conj(K.mul(out, 2.0))))},
        method=False,
        samples=unary(0.5, 2.0),
        reference=np.sqrt,
        edge_points=[EdgePoint((0.0,), (0.0,))],
        kinds="fc",
    )
)


_logsumexp = register(
    Op(
        "logsumexp",
        ("input",),
        lambda B, x, *, axes, keepdim: B.logsumexp(x, axes, keepdim),
        {"input": lambda K, g, input, out, input_shape, axes, keepdim: _logsumexp_backward(K, g, input, out, input_shape, axes, keepdim)},
        planned="logsumexp",
        batch="reduce",
        samples=over_axes(),
        reference=lambda x, axes, keepdim: np.log(np.sum(np.exp(x), axis=axes, keepdims=keepdim)),
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).logsumexp(2), IndexError, "logsumexp: dimension 2 is out of range"),
            ErrorInput(lambda tg: tg.ones(3, dtype=tg.complex64).logsumexp(0), RuntimeError, "logsumexp: .*complex64: it is not implemented for"),
        ],
        edge_points=[EdgePoint(([-math.inf, -math.inf],), ([0.0, 0.0],), {"axes": (0,), "keepdim": False})],
        kinds="f",
    )
)


def _logsumexp_backward(K: Any, g: Any, x: Any, out: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    return K.exponential_share(restore_axes(K, g, shape, axes, keepdim), x, restore_axes(K, out, shape, axes, keepdim))


@public(_logsumexp, samples=[*over_dim(dim=(0,))[:1], *over_dim()[1:]], reference=over_dim_reference(lambda x, **over: np.log(np.sum(np.exp(x), **over))))
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over ``dim``, without overflow; the gradient of all -inf is 0."""
    if input._array.dtype.kind != "f":
        need_real("logsumexp", input, _NOT_YET)
        if not input.dtype.is_floating_point:
            input = to_dtype(input, dtypes.get_default_dtype())
    return _logsumexp.call(input, axes=axes_of(dim, input._array.ndim, "logsumexp"), keepdim=keepdim)  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------------------------------- without NaNs


@composite(
    samples=over_dim(),
    reference=over_dim_reference(np.nansum),
    kinds="bif",
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).nansum(2), IndexError, "nansum: dimension 2 is out of range")],
)
def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The :func:`sum` over ``dim`` with NaNs as zeros; they get no gradient."""
    axes_of(dim, input.ndim, "nansum")
    known = where(isnan(input), 0.0, input) if input.dtype.differentiable else input
    return sum(known, dim, keepdim, dtype=dtype)


@composite(
    samples=over_dim(),
    reference=over_dim_reference(np.nanmean),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).nanmean(2), IndexError, "nanmean: dimension 2 is out of range"),
        ErrorInput(lambda tg: tg.arange(3).nanmean(), RuntimeError, "nanmean: input must be floating-point.*int64"),
    ],
)
def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The mean over ``dim`` of the elements that are not NaN; NaN where there are none.

    Raises:
        RuntimeError: for an integer or bool tensor.
    """
    axes_of(dim, input.ndim, "nanmean")
    if dtype is not None:
        input = to_dtype(input, dtypes.to_dtype(dtype))
    need_floating("nanmean", complex=True, input=input)
    return nansum(input, dim, keepdim) / sum(isnan(input) == 0, dim, keepdim)  # type: ignore[no-any-return]
