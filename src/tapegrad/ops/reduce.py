"""Reductions and scans."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..registry import Op, apply, public, register
from ..samples import EdgePoint, ErrorInput, Input, Sample, along_dim, unary
from ..tensor import Tensor
from .elementwise import maximum, minimum
from .shape import normalize_dim, numel_of, to_dtype

Dims = int | Sequence[int] | None


def axes_of(dim: Dims, ndim: int, name: str) -> tuple[int, ...]:
    """Reduced axes in ascending order; None (or an empty list) means all.

    Raises:
        IndexError: for a dimension out of range.
        RuntimeError: for one given twice.
    """
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(ndim))
    dims = [dim] if isinstance(dim, int) else list(dim)
    axes = sorted(normalize_dim(d, ndim, name) for d in dims)
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"{name}: dim appears twice in {dims}")
    return tuple(axes) if ndim else ()


def _keep(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _restore(K: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    """A reduced gradient with its reduced axes back, as size 1."""
    return g if keepdim else K.reshape(g, shape=_keep(shape, axes))


def _spread(K: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    return K.expand(_restore(K, g, shape, axes, keepdim), size=shape)


def _over(*, apart: bool = False, **params: Any) -> list[Sample]:
    """Samples for ops over ``axes``."""
    cases: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((3, 4), (0, 1)), ((3, 4), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((), ())]
    return [
        Sample((Input(shape, apart=apart),), {"axes": axes, "keepdim": keep, **params}) for shape, axes in cases for keep in (False, True)
    ]


def _reference(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes, keepdim: function(x, axis=axes, keepdims=keepdim)


# ---------------------------------------------------------------------------------------------------------------- sums

_sum = register(
    Op(
        "sum",
        ("input",),
        lambda B, x, *, axes, keepdim: B.sum(x, axes, keepdim, _sum_dtype(x.dtype)),
        {"input": lambda K, g, input_shape, axes, keepdim: _spread(K, g, input_shape, axes, keepdim)},
        batch="reduce",
        samples=[*_over(), Sample((Input((0, 3)),), {"axes": (0,), "keepdim": False})],
        reference=_reference(np.sum),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).sum(2), IndexError, "sum: dimension 2 is out of range")],
    )
)


def _sum_dtype(d: Any) -> Any:
    return d if d.kind in "fcV" else np.dtype(np.int64)


@public(_sum)
def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The sum over ``dim`` (one or several; all by default). Integers and bools sum as int64."""
    if dtype is not None:
        input = to_dtype(input, dtype)
    return apply(_sum, (input,), {"axes": axes_of(dim, input.ndim, "sum"), "keepdim": keepdim})  # type: ignore[no-any-return]


_mean = register(
    Op(
        "mean",
        ("input",),
        lambda B, x, *, axes, keepdim: B.mean(x, axes, keepdim),
        {"input": lambda K, g, input_shape, axes, keepdim: _mean_backward(K, g, input_shape, axes, keepdim)},
        batch="reduce",
        samples=_over(),
        reference=_reference(np.mean),
        error_inputs=[ErrorInput(lambda tg: tg.arange(3).mean(), RuntimeError, "mean: .*int64.*floating")],
    )
)


def _mean_backward(K: Any, g: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    count = numel_of([shape[a] for a in axes])
    return _spread(K, K.mul(g, 1.0 / count if count else math.nan), shape, axes, keepdim)


def _need_floating(input: Tensor, name: str) -> None:
    if not input.dtype.differentiable:
        raise RuntimeError(f"{name}: the input has dtype {input.dtype}, expected a floating-point or complex one; use .to(tapegrad.float32)")


@public(_mean)
def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The mean over ``dim`` (all by default); NaN over no elements.

    Raises:
        RuntimeError: for an integer or bool tensor.
    """
    if dtype is not None:
        input = to_dtype(input, dtype)
    _need_floating(input, "mean")
    return apply(_mean, (input,), {"axes": axes_of(dim, input.ndim, "mean"), "keepdim": keepdim})  # type: ignore[no-any-return]


_var = register(
    Op(
        "var",
        ("input",),
        lambda B, x, *, axes, keepdim, correction: B.var(x, axes, keepdim, correction),
        {"input": lambda K, g, input, input_shape, axes, keepdim, correction: _var_backward(K, g, input, input_shape, axes, keepdim, correction)},
        batch="reduce",
        samples=[
            Sample((Input(shape),), {"axes": axes, "keepdim": keep, "correction": c})
            for shape, axes in (((3, 4), (0, 1)), ((3, 4), (0,)), ((2, 3, 4), (0, 2)))
            for keep in (False, True)
            for c in (0, 1)
        ],
        reference=lambda x, axes, keepdim, correction: np.var(x, axis=axes, keepdims=keepdim, ddof=correction),
        error_inputs=[
            ErrorInput(lambda tg: tg.arange(3).var(), RuntimeError, "var: .*int64.*floating"),
            ErrorInput(lambda tg: tg.ones(2, 3).var((0, -2)), RuntimeError, "var: dim appears twice"),
            ErrorInput(lambda tg: tg.ones(3).var(0, unbiased=True, correction=1), RuntimeError, "var: give unbiased or correction"),
        ],
        edge_points=[EdgePoint(([2.0, 2.0, 2.0],), ([0.0, 0.0, 0.0],), {"axes": (0,), "keepdim": False, "correction": 1})],
    )
)


def _var_backward(
    K: Any, g: Any, x: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool, correction: float
) -> Any:
    freedom = numel_of([shape[a] for a in axes]) - correction
    scaled = K.mul(_restore(K, g, shape, axes, keepdim), 2.0 / freedom if freedom > 0 else math.nan)
    return K.mul(scaled, K.sub(x, K.mean(x, axes=axes, keepdim=True)))


@public(_var)
def var(
    input: Tensor, dim: Dims = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance over ``dim`` (all by default), in two passes; the divisor is n - correction (1 by default).

    Raises:
        RuntimeError: for an integer tensor, or when both ``unbiased`` and ``correction`` are given.
    """
    if isinstance(dim, bool):  # var(unbiased), PyTorch's oldest form
        dim, unbiased = None, dim
    _need_floating(input, "var")
    if unbiased is not None and correction is not None:
        raise RuntimeError("var: give unbiased or correction, not both")
    ddof = correction if correction is not None else int(unbiased is not False)
    params = {"axes": axes_of(dim, input.ndim, "var"), "keepdim": keepdim, "correction": ddof}
    return apply(_var, (input,), params)  # type: ignore[no-any-return]


def std(
    input: Tensor, dim: Dims = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The standard deviation: the root of :func:`var`, with gradient 0 where that is 0."""
    return apply(_root, (var(input, dim, unbiased, keepdim, correction=correction),), {})  # type: ignore[no-any-return]


_root = register(
    Op(
        "safe_sqrt",
        ("input",),
        lambda B, x: _on_arrays().sqrt(x),
        # where the root is 0, so is the gradient
        {"input": lambda K, g, out: K.where(K.eq(out, 0.0), 0.0, K.div(g, K.conj(K.mul(out, 2.0))))},
        method=False,
        samples=unary(0.5, 2.0),
        reference=np.sqrt,
        edge_points=[EdgePoint((0.0,), (0.0,))],
    )
)


def _on_arrays() -> Any:
    from ..registry import ON_ARRAYS

    return ON_ARRAYS


_logsumexp = register(
    Op(
        "logsumexp",
        ("input",),
        lambda B, x, *, axes, keepdim: B.logsumexp(x, axes, keepdim),
        {"input": lambda K, g, input, out, input_shape, axes, keepdim: _logsumexp_backward(K, g, input, out, input_shape, axes, keepdim)},
        batch="reduce",
        samples=_over(),
        reference=lambda x, axes, keepdim: np.log(np.sum(np.exp(x), axis=axes, keepdims=keepdim)),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).logsumexp(2), IndexError, "logsumexp: dimension 2 is out of range")],
        edge_points=[EdgePoint(([-math.inf, -math.inf],), ([0.0, 0.0],), {"axes": (0,), "keepdim": False})],
    )
)


def _logsumexp_backward(K: Any, g: Any, x: Any, out: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    out = _restore(K, out, shape, axes, keepdim)
    # where all are -inf, so is the result, and x - out would be NaN
    shares = K.where(K.eq(out, -math.inf), 0.0, K.exp(K.sub(x, K.where(K.eq(out, -math.inf), 0.0, out))))
    return K.mul(_restore(K, g, shape, axes, keepdim), shares)


@public(_logsumexp)
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over ``dim``, without overflow; the gradient of all -inf is 0."""
    if not input.dtype.differentiable:
        input = to_dtype(input, dtypes.get_default_dtype())
    return apply(_logsumexp, (input,), {"axes": axes_of(dim, input.ndim, "logsumexp"), "keepdim": keepdim})  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------------------- extremes


def _extreme(name: str, reference: Callable[..., Any]) -> Op:
    return register(
        Op(
            name,
            ("input",),
            lambda B, x, *, axes, keepdim: getattr(B, name)(x, axes, keepdim),
            {"input": lambda K, g, input, out, input_shape, axes, keepdim: _share(K, g, input, out, input_shape, axes, keepdim)},
            batch="reduce",
            samples=_over(apart=True),
            reference=_reference(reference),
            error_inputs=[
                ErrorInput(lambda tg: getattr(tg.ones(0, 3), name)(0), IndexError, rf"{name}: no elements .* of shape \(0, 3\)"),
                ErrorInput(lambda tg: getattr(tg.ones(2, 3), name)(2), IndexError, f"{name}: dimension 2 is out of range"),
            ],
            edge_points=[EdgePoint(([1.0, 1.0, 1.0, 1.0],), ([0.25] * 4,), {"axes": (0,), "keepdim": False})],
        )
    )


def _share(K: Any, g: Any, x: Any, out: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    """The gradient of an extreme, split evenly between ties."""
    winners = K.to(K.eq(x, _restore(K, out, shape, axes, keepdim)), dtype=dtypes.to_dtype(x.dtype))
    count = K.sum(winners, axes=axes, keepdim=True)
    return K.mul(winners, K.div(_restore(K, g, shape, axes, keepdim), count))


_amax, _amin = _extreme("amax", np.max), _extreme("amin", np.min)


def _need_elements(input: Tensor, axes: tuple[int, ...], name: str) -> None:
    if any(input._array.shape[a] == 0 for a in axes):
        raise IndexError(f"{name}: no elements to choose from along dimensions {list(axes)} of shape {tuple(input.shape)}")


@public(_amax)
def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The maximum over ``dim`` (all by default); ties share the gradient evenly.

    Raises:
        IndexError: over no elements.
    """
    axes = axes_of(dim, input.ndim, "amax")
    _need_elements(input, axes, "amax")
    return apply(_amax, (input,), {"axes": axes, "keepdim": keepdim})  # type: ignore[no-any-return]


@public(_amin)
def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The minimum over ``dim`` (all by default); ties share the gradient evenly.

    Raises:
        IndexError: over no elements.
    """
    axes = axes_of(dim, input.ndim, "amin")
    _need_elements(input, axes, "amin")
    return apply(_amin, (input,), {"axes": axes, "keepdim": keepdim})  # type: ignore[no-any-return]


class _ValuesIndices(tuple[Tensor, ...]):
    """The (values, indices) that max and min over a dimension return, also as attributes."""

    __slots__ = ()
    name = "max"

    @property
    def values(self) -> Tensor:
        return self[0]

    @property
    def indices(self) -> Tensor:
        return self[1]

    def __repr__(self) -> str:
        return f"tapegrad.return_types.{self.name}(\nvalues={self[0]!r},\nindices={self[1]!r})"


class _MinValuesIndices(_ValuesIndices):
    __slots__ = ()
    name = "min"


def _extreme_along(name: str, reference: Callable[..., Any]) -> Op:
    return register(
        Op(
            f"{name}_along",
            ("input",),
            lambda B, x, *, dim, keepdim: getattr(B, f"{name}_with_index")(x, dim, keepdim),
            {"input": lambda K, g, out, input_shape, dim, keepdim: _to_chosen(K, g[0], out[1], input_shape, dim, keepdim)},
            batch="reduce",
            method=False,
            samples=along_dim(apart=True),
            reference=lambda x, dim, keepdim: (
                reference(x, axis=dim, keepdims=keepdim),
                getattr(np, f"arg{name}")(x, axis=dim, keepdims=keepdim),
            ),
        )
    )


def _to_chosen(K: Any, g: Any, index: Any, shape: tuple[int, ...], dim: int, keepdim: bool) -> Any:
    if not keepdim:
        axes = (dim,) if shape else ()
        g, index = K.reshape(g, shape=_keep(shape, axes)), K.reshape(index, shape=_keep(shape, axes))
    return K.scatter_zeros(g, index, dim=dim, size=shape)


_max_along, _min_along = _extreme_along("max", np.max), _extreme_along("min", np.min)


def _max_or_min(name: str, full: Any, along: Op, pairwise: Any, result: type[_ValuesIndices]) -> Callable[..., Any]:
    def function(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if isinstance(dim, Tensor):
            return pairwise.call(input, dim)
        if other is not None:
            return pairwise.call(input, other)
        if dim is None:
            if input.numel() == 0:
                raise RuntimeError(f"{name}: no elements to choose from in shape {tuple(input.shape)}; give a dim")
            return full(input)
        at = normalize_dim(dim, input.ndim, name)
        _need_elements(input, (at,) if input.ndim else (), name)
        return result(apply(along, (input,), {"dim": at, "keepdim": keepdim}))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The {name}imum of all elements (ties share the gradient evenly); with ``dim``, (values, indices) along it; with a\n"
        f"    tensor, the elementwise {name}imum.\n\n    Raises:\n        RuntimeError, IndexError: over no elements.\n"
    )
    return function


max = _max_or_min("max", amax, _max_along, maximum, _ValuesIndices)
min = _max_or_min("min", amin, _min_along, minimum, _MinValuesIndices)


def _arg_extreme(name: str) -> Op:
    return register(
        Op(
            name,
            ("input",),
            lambda B, x, *, dim, keepdim: getattr(B, name)(x, dim, keepdim),
            batch="reduce",
            dtype="int64",
            samples=along_dim(apart=True),
            reference=lambda x, dim, keepdim: getattr(np, name)(x, axis=dim, keepdims=keepdim),
            error_inputs=[ErrorInput(lambda tg: getattr(tg.ones(0, 3), name)(0), IndexError, rf"{name}: no elements .* of shape \(0, 3\)")],
        )
    )


_argmax, _argmin = _arg_extreme("argmax"), _arg_extreme("argmin")


def _arg(op: Op, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if dim is None:
        if input.numel() == 0:
            raise IndexError(f"{op.name}: no elements to choose from in shape {tuple(input.shape)}; give a dim")
        flat = apply(op, (input.reshape(-1),), {"dim": 0, "keepdim": False})
        return flat.reshape((1,) * input.ndim) if keepdim else flat  # type: ignore[no-any-return]
    at = normalize_dim(dim, input.ndim, op.name)
    _need_elements(input, (at,) if input.ndim else (), op.name)
    return apply(op, (input,), {"dim": at, "keepdim": keepdim})  # type: ignore[no-any-return]


@public(_argmax)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first maximum along ``dim``, or in the flattened tensor; int64.

    Raises:
        IndexError: over no elements.
    """
    return _arg(_argmax, input, dim, keepdim)


@public(_argmin)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first minimum along ``dim``, or in the flattened tensor; int64.

    Raises:
        IndexError: over no elements.
    """
    return _arg(_argmin, input, dim, keepdim)


# ---------------------------------------------------------------------------------------------------------------- scans

_cumsum = register(
    Op(
        "cumsum",
        ("input",),
        lambda B, x, *, dim, reverse=False: B.cumsum(x, dim, _sum_dtype(x.dtype), reverse),
        {"input": lambda K, g, dim, reverse: K.cumsum(g, dim=dim, reverse=not reverse)},
        batch="reduce",
        samples=along_dim(keepdims=False, reverse=False),
        reference=lambda x, dim, reverse: np.cumsum(x, axis=dim),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).cumsum(2), IndexError, "cumsum: dimension 2 is out of range")],
    )
)


@public(_cumsum)
def cumsum(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The running sum along ``dim``. Integers and bools sum as int64."""
    if dtype is not None:
        input = to_dtype(input, dtype)
    at = normalize_dim(dim, input.ndim, "cumsum")
    return apply(_cumsum, (input,), {"dim": at, "reverse": False})  # type: ignore[no-any-return]
