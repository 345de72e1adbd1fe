"""Dimensions in another order: views."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...modes import local
from ...public import alias, composite, method, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...shown import Shown
from ...tensor import Tensor
from ..checks import need_ndim
from ..elementwise.basic import conj
from .reshape import normalize_dim, normalize_dims, replace_with_view, sizes

__all__ = [
    "adjoint",
    "moveaxis",
    "movedim",
    "permute",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
]


@functools.lru_cache(maxsize=1024)
def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))


@functools.lru_cache(maxsize=1024)
def _order(given: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    wanted = tuple([normalize_dim(d, len(shape), "permute") for d in given])
    if sorted(wanted) != list(range(len(shape))):
        raise RuntimeError(f"permute: dims {list(given)} are no permutation of the {len(shape)} dimensions of shape {shape}")
    return wanted


@functools.lru_cache(maxsize=1024)
def _swapped(ndim: int, a: int, b: int) -> tuple[int, ...]:
    order = list(range(ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return tuple(order)


@functools.cache
def _reversed(ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim - 1, -1, -1))


_permute = register(
    Op(
        "permute",
        ("input",),
        lambda B, x, *, dims: x.transpose(dims),
        {"input": lambda K, g, dims: K.permute(g, dims=_inverse(dims))},
        view=True,
        samples=[
            Sample((Input((2, 3, 4)),), {"dims": (2, 0, 1)}),
            Sample((Input((3, 4)),), {"dims": (1, 0)}),
            Sample((Input(()),), {"dims": ()}),
            Sample((Input((0, 3)),), {"dims": (1, 0)}),
        ],
        reference=lambda x, dims: np.transpose(x, dims),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).permute(0, 0), RuntimeError, r"permute: dims \[0, 0\] are no permutation .*\(2, 3\)")],
    )
)


@public(_permute, samples=[Sample((Input((2, 3, 4)),), {"dims": (-1, 0, 1)})], reference=lambda x, dims: np.transpose(x, dims))
def permute(input: Tensor, *args: Any, dims: Sequence[int] | None = None) -> Tensor:
    """A view with dimensions in another order.

    Raises:
        RuntimeError: when ``dims`` is not a permutation of the dimensions.
    """
    made = None if dims is not None else _permuted.quick(input, local.flags, args)
    return _permuted(input, sizes(args, dims)) if made is None else made  # type: ignore[no-any-return]


@Shown
def _permuted(input: Tensor, dims: tuple[int, ...]) -> Tensor:
    return _permute.call(input, _order(dims, input._array.shape))  # type: ignore[no-any-return]


@composite(
    samples=[
        Sample((Input((2, 3, 4)),), {"dim0": 0, "dim1": -1}),
        Sample((Input((3, 4)),), {"dim0": 0, "dim1": 1}),
        Sample((Input(()),), {"dim0": 0, "dim1": -1}),
    ],
    reference=lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1) if x.ndim else x,
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).transpose(0, 2), IndexError, "transpose: dimension 2 is out of range")],
)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions swapped.

    Raises:
        IndexError: when a dimension is out of range.
    """
    made = _transposed.quick(input, local.flags, dim0, dim1)
    return _transposed(input, dim0, dim1) if made is None else made  # type: ignore[no-any-return]


@Shown
def _transposed(input: Tensor, dim0: int, dim1: int) -> Tensor:
    ndim = input._array.ndim
    a, b = normalize_dim(dim0, ndim, "transpose"), normalize_dim(dim1, ndim, "transpose")
    return _permute.call(input, _swapped(ndim, a, b))  # type: ignore[no-any-return]


swapdims = alias("swapdims", transpose)


@composite(samples=[Sample((Input((3, 4)),), {"axis0": 0, "axis1": 1})], reference=lambda x, axis0, axis1: np.swapaxes(x, axis0, axis1))
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """:func:`transpose` by NumPy's name."""
    return transpose(input, axis0, axis1)


@composite(
    samples=[Sample((Input((3, 4)),)), Sample((Input((3,)),)), Sample((Input(()),))],
    reference=np.transpose,
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3, 4).t(), RuntimeError, r"t\(\) expects at most 2 dimensions, got shape \(2, 3, 4\)")],
)
def t(input: Tensor) -> Tensor:
    """The transpose of a tensor with at most two dimensions.

    Raises:
        RuntimeError: for more dimensions.
    """
    ndim = input._array.ndim
    if ndim > 2:
        raise RuntimeError(f"t() expects at most 2 dimensions, got shape {tuple(input.shape)}; use transpose() or .mT")
    return all_transposed(input)


@composite(
    samples=[
        Sample((Input((2, 3, 4)),), {"source": 0, "destination": -1}),
        Sample((Input((2, 3, 4)),), {"source": (0, 1), "destination": (2, 0)}),
    ],
    reference=lambda x, source, destination: np.moveaxis(x, source, destination),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).movedim((0, 1), (0,)), RuntimeError, "movedim: 2 sources, but 1 destinations"),
        ErrorInput(lambda tg: tg.ones(2, 3).movedim((0, 0), (0, 1)), RuntimeError, "movedim: dim appears twice"),
    ],
)
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """A view with dimensions moved to other places; the others keep their order.

    Raises:
        RuntimeError: when there are not as many destinations as sources, or one appears twice.
    """
    there, here = normalize_dims(source, input.ndim, "movedim"), normalize_dims(destination, input.ndim, "movedim")
    if len(there) != len(here):
        raise RuntimeError(f"movedim: {len(there)} sources, but {len(here)} destinations")
    moved = dict(zip(here, there, strict=True))
    rest = iter([d for d in range(input.ndim) if d not in there])
    return permute(input, *[moved[d] if d in moved else next(rest) for d in range(input.ndim)])


moveaxis = alias("moveaxis", movedim)


@composite(
    samples=[Sample((Input((2, 3, 4)),)), Sample((Input((3, 4)),))],
    reference=lambda x: np.conj(np.swapaxes(x, -1, -2)),
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).adjoint(), RuntimeError, r"adjoint: expected at least 2 dimensions, got shape \(3,\)")],
)
def adjoint(input: Tensor) -> Tensor:
    """The conjugate of the matrix transpose; of real numbers, a view."""
    need_ndim("adjoint", input, 2)
    turned = transpose(input, -2, -1)
    return conj(turned) if input.is_complex() else turned


def all_transposed(self: Tensor) -> Tensor:
    """``T``: the view with all dimensions reversed."""
    made = _turned.quick(self, local.flags)
    return _turned(self) if made is None else made  # type: ignore[no-any-return]


@Shown
def _turned(input: Tensor) -> Tensor:
    return _permute.call(input, _reversed(input._array.ndim))  # type: ignore[no-any-return]


def matrix_transposed(self: Tensor) -> Tensor:
    """``mT``: the view with the last two dimensions swapped."""
    need_ndim("mT", self, 2)
    return transpose(self, -2, -1)


def hermitian(self: Tensor) -> Tensor:
    """``H``: the conjugate transpose of a matrix; a scalar's conjugate."""
    if self.ndim not in (0, 2):
        raise RuntimeError(f"H needs 2 dimensions, got shape {tuple(self.shape)}; use .mH")
    return adjoint(self) if self.ndim else conj(self) if self.is_complex() else all_transposed(self)


@method
def t_(self: Tensor) -> Tensor:
    """:func:`t` of the tensor itself; returns it."""
    return replace_with_view(self, t(self), "t_")


@method
def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """:func:`transpose` of the tensor itself; returns it."""
    return replace_with_view(self, transpose(self, dim0, dim1), "transpose_")
