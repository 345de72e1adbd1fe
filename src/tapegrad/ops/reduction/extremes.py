"""Maxima and minima, their places, and where their gradients go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...public import composite, named, public
from ...registry import Op, register
from ...samples import EdgePoint, ErrorInput, Input, Sample, along_dim
from ...tensor import Tensor
from ..elementwise.basic import maximum, minimum
from ..return_types import ReturnType, return_type
from ..shape.reshape import normalize_dim
from .reduce import Dims, axes_of, keep_shape, need_real, over_axes, over_axes_reference, over_dim, over_dim_reference, restore_axes

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]


def _extreme(name: str, reference: Callable[..., Any]) -> Op:
    return register(
        Op(
            name,
            ("input",),
            (lambda B, x, *, axes, keepdim: B.amax(x, axes, keepdim)) if name == "amax" else (lambda B, x, *, axes, keepdim: B.amin(x, axes, keepdim)),
            {"input": lambda K, g, input, out, input_shape, axes, keepdim: split_among_ties(K, g, input, out, input_shape, axes, keepdim)},
            planned=name,
            batch="reduce",
            samples=over_axes(apart=True),
            kinds="bif",
            smooth=False,
            reference=over_axes_reference(reference),
            error_inputs=[
                ErrorInput(lambda tg: getattr(tg.ones(0, 3), name)(0), IndexError, rf"{name}: no elements .* of shape \(0, 3\)"),
                ErrorInput(lambda tg: getattr(tg.ones(2, 3), name)(2), IndexError, f"{name}: dimension 2 is out of range"),
                ErrorInput(lambda tg: getattr(tg.ones(2, dtype=tg.complex64), name)(), RuntimeError, f"{name}: .*complex numbers have no order"),
            ],
            edge_points=[EdgePoint(([1.0, 1.0, 1.0, 1.0],), ([0.25] * 4,), {"axes": (0,), "keepdim": False})],
        )
    )


def split_among_ties(K: Any, g: Any, x: Any, out: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Any:
    """The gradient of a chosen element, split evenly between those equal to it; NaN is what is chosen wherever there is one."""
    winners = K.is_chosen(x, restore_axes(K, out, shape, axes, keepdim))
    count = K.sum(winners, axes=axes, keepdim=True)
    return K.mul(winners, K.div(restore_axes(K, g, shape, axes, keepdim), count))


_amax, _amin = _extreme("amax", np.max), _extreme("amin", np.min)


def _need_elements(input: Tensor, axes: tuple[int, ...], name: str) -> None:
    need_real(name, input)
    if input._array.size == 0 and any(input._array.shape[a] == 0 for a in axes):
        raise IndexError(f"{name}: no elements to choose from along dimensions {list(axes)} of shape {tuple(input.shape)}")


@public(_amax, samples=over_dim(apart=True), reference=over_dim_reference(np.max), smooth=False, kinds="bif")
def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The maximum over ``dim`` (all by default); ties share the gradient evenly.

    Raises:
        IndexError: over no elements.
    """
    axes = axes_of(dim, input._array.ndim, "amax")
    _need_elements(input, axes, "amax")
    return _amax.call(input, axes, keepdim)  # type: ignore[no-any-return]


@public(_amin, samples=over_dim(apart=True), reference=over_dim_reference(np.min), smooth=False, kinds="bif")
def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The minimum over ``dim`` (all by default); ties share the gradient evenly.

    Raises:
        IndexError: over no elements.
    """
    axes = axes_of(dim, input._array.ndim, "amin")
    _need_elements(input, axes, "amin")
    return _amin.call(input, axes, keepdim)  # type: ignore[no-any-return]


_MinMax = return_type("aminmax", "min", "max")


@composite(
    samples=[
        Sample((Input((3, 4), apart=True),)),
        Sample((Input((3, 4), apart=True),), {"dim": 1}),
        Sample((Input((2, 3, 4), apart=True),), {"dim": -2, "keepdim": True}),
    ],
    reference=lambda x, dim=None, keepdim=False: (np.min(x, dim, keepdims=keepdim), np.max(x, dim, keepdims=keepdim)),
    smooth=False,
    kinds="bif",
    error_inputs=[ErrorInput(lambda tg: tg.ones(0).aminmax(), IndexError, "aminmax: no elements .* of shape")],
)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> ReturnType:
    """(min, max) of all elements, or along ``dim``; ties share the gradient evenly.

    Raises:
        IndexError: over no elements.
    """
    _need_elements(input, axes_of(dim, input.ndim, "aminmax"), "aminmax")
    return _MinMax((amin(input, dim, keepdim), amax(input, dim, keepdim)))


def _extreme_along(name: str, reference: Callable[..., Any]) -> Op:
    return register(
        Op(
            f"{name}_along",
            ("input",),
            lambda B, x, *, dim, keepdim: getattr(B, f"{name}_with_index")(x, dim, keepdim),
            {"input": lambda K, g0, out1, input_shape, dim, keepdim: scatter_to_index(K, g0, out1, input_shape, dim, keepdim)},
            planned=f"{name}_with_index",
            batch="reduce",
            method=False,
            samples=along_dim(apart=True),
            kinds="bif",
            smooth=False,
            reference=lambda x, dim, keepdim: (
                reference(x, axis=dim, keepdims=keepdim),
                getattr(np, f"arg{name}")(x, axis=dim, keepdims=keepdim),
            ),
        )
    )


def scatter_to_index(K: Any, g: Any, index: Any, shape: tuple[int, ...], dim: int, keepdim: bool) -> Any:
    """The gradient of elements chosen along a dimension, at their places."""
    if not keepdim:
        axes = (dim,) if shape else ()
        g, index = K.reshape(g, shape=keep_shape(shape, axes)), K.reshape(index, shape=keep_shape(shape, axes))
    return K.scatter_zeros(g, index, dim=dim, size=shape)


_max_along, _min_along = _extreme_along("max", np.max), _extreme_along("min", np.min)


def _max_or_min(name: str, full: Any, along: Op, pairwise: Any) -> Callable[..., Any]:
    result = return_type(name)

    def function(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if isinstance(dim, Tensor):
            return pairwise(input, dim)
        if other is not None:
            return pairwise(input, other)
        need_real(name, input)
        if dim is None:
            if input.numel() == 0:
                raise RuntimeError(f"{name}: no elements to choose from in shape {tuple(input.shape)}; give a dim")
            return full(input)
        at = normalize_dim(dim, input.ndim, name)
        _need_elements(input, (at,) if input.ndim else (), name)
        return result(along.call(input, dim=at, keepdim=keepdim))

    def reference(x: Any, other: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
        if other is not None:
            return getattr(np, f"{name}imum")(x, other)
        chosen = getattr(np, name)(x, axis=dim, keepdims=keepdim)
        return chosen if dim is None else (chosen, getattr(np, f"arg{name}")(x, axis=dim, keepdims=keepdim))

    named(
        function,
        name,
        f"The {name}imum of all elements (ties share the gradient evenly); with ``dim``, (values, indices) along it; with a\n"
        f"    tensor, the elementwise {name}imum.\n\n    Raises:\n        RuntimeError, IndexError: over no elements.\n",
    )
    apart = Input((3, 4), apart=True)
    return composite(
        samples=[
            Sample((apart,), {"dim": -1}),
            Sample((apart,), {"dim": 0, "keepdim": True}),
            Sample((apart,)),
            Sample((apart, Input((4,), apart=True))),
        ],
        reference=reference,
        smooth=False,
        kinds="bif",
        error_inputs=[
            ErrorInput(lambda tg: getattr(tg.ones(0), name)(), RuntimeError, f"{name}: no elements"),
            ErrorInput(lambda tg: getattr(tg.ones(2, 0), name)(1), IndexError, rf"{name}: no elements .* of shape \(2, 0\)"),
            ErrorInput(lambda tg: getattr(tg.ones(2), name)(1), IndexError, f"{name}: dimension 1 is out of range"),
        ],
    )(function)


max = _max_or_min("max", amax, _max_along, maximum)
min = _max_or_min("min", amin, _min_along, minimum)


def _arg_extreme(name: str) -> Op:
    return register(
        Op(
            name,
            ("input",),
            (lambda B, x, *, dim, keepdim: B.argmax(x, dim, keepdim)) if name == "argmax" else (lambda B, x, *, dim, keepdim: B.argmin(x, dim, keepdim)),
            planned=name,
            batch="reduce",
            dtype="int64",
            samples=along_dim(apart=True),
            kinds="bif",
            reference=lambda x, dim, keepdim: getattr(np, name)(x, axis=dim, keepdims=keepdim),
            error_inputs=[ErrorInput(lambda tg: getattr(tg.ones(0, 3), name)(0), IndexError, rf"{name}: no elements .* of shape \(0, 3\)")],
        )
    )


_argmax, _argmin = _arg_extreme("argmax"), _arg_extreme("argmin")


_PLACES = [
    Sample((Input((3, 4), apart=True),), {"dim": 1, "keepdim": True}),
    Sample((Input((2, 3, 4), apart=True),), {"dim": -2}),
    Sample((Input((3, 4), apart=True),)),
    Sample((Input((3, 4), apart=True),), {"keepdim": True}),
]


def _arg(op: Op, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    need_real(op.name, input)
    if dim is None:
        if input.numel() == 0:
            raise IndexError(f"{op.name}: no elements to choose from in shape {tuple(input.shape)}; give a dim")
        if input._array.ndim == 1:
            return op.call(input, dim=0, keepdim=keepdim)  # type: ignore[no-any-return]
        flat = op.call(input.reshape(-1), dim=0, keepdim=False)
        return flat.reshape((1,) * input.ndim) if keepdim else flat  # type: ignore[no-any-return]
    at = normalize_dim(dim, input._array.ndim, op.name)
    _need_elements(input, (at,) if input._array.ndim else (), op.name)
    return op.call(input, dim=at, keepdim=keepdim)  # type: ignore[no-any-return]


@public(_argmax, samples=_PLACES, reference=over_dim_reference(np.argmax), kinds="bif", differentiable=False)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first maximum along ``dim``, or in the flattened tensor; int64.

    Raises:
        IndexError: over no elements.
    """
    return _arg(_argmax, input, dim, keepdim)


@public(_argmin, samples=_PLACES, reference=over_dim_reference(np.argmin), kinds="bif", differentiable=False)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first minimum along ``dim``, or in the flattened tensor; int64.

    Raises:
        IndexError: over no elements.
    """
    return _arg(_argmin, input, dim, keepdim)
