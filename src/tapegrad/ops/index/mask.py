"""Masks: what holds where, and elements picked and written by it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes
from ...computation import broadcast_shape
from ...device import backend
from ...public import composite, method, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, no_tensor
from ..checks import index_array
from ..elementwise.basic import where
from ..reduction.scan import cumsum
from ..shape.copy import to_dtype
from ..shape.expand import expand
from ..shape.reshape import reshape
from ..shape.split import unbind
from .index_put import constant, take
from .indexing import picked, put as put_at

__all__ = ["argwhere", "masked_fill", "masked_scatter", "masked_select", "nonzero"]

M, MASK = Input((3, 4)), Input((3, 4), kind="bool")
_NAMES = ("input", "mask")


def _need_mask(mask: Tensor, name: str) -> None:
    if not isinstance(mask, Tensor) or mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"{name}: expected a bool mask, got {getattr(mask, 'dtype', type(mask).__name__)}")


def _need_fit(self: Tensor, mask: Tensor, name: str) -> None:
    _need_mask(mask, name)
    if broadcast_shape(name, [tuple(self.shape), tuple(mask.shape)]) != tuple(self.shape):
        raise RuntimeError(f"{name}: the mask of shape {tuple(mask.shape)} can't be broadcast to shape {tuple(self.shape)}")


@composite(
    samples=[
        Sample((M, MASK), {"value": True}),  # a value of every dtype
        Sample((M, MASK), {"value": 0.5}),
        Sample((M, Input((4,), kind="bool"), Input(()))),
        Sample((Input((4,)), MASK), {"value": -1.0}),
    ],
    reference=lambda x, mask, value: np.where(mask, value, x),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2).masked_fill(tg.ones(2), 1), RuntimeError, "masked_fill: expected a bool mask"),
        ErrorInput(lambda tg: tg.ones(2).masked_fill(tg.ones(2) > 0, tg.ones(2)), RuntimeError, r"masked_fill: the value must be a number .*\(2,\)"),
        ErrorInput(lambda tg: tg.arange(2).masked_fill(tg.arange(2) > 0, 1e20), RuntimeError, "masked_fill: the value 1e.20 can't be converted to int64"),
    ],
)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``input`` with ``value`` (a number or 0-d tensor) where the bool ``mask``, broadcast, holds.

    Raises:
        RuntimeError: when the mask is not bool.
    """
    _need_mask(mask, "masked_fill")
    plain = dtypes.surely_fits(value, input._array.dtype)
    return where(mask, value if plain else constant(value, input, "masked_fill"), input)


@method
def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """:func:`masked_fill` in place; returns the tensor."""
    _need_fit(self, mask, "masked_fill_")
    return self.copy_(masked_fill(self, mask, value))


@composite(
    samples=[Sample((M, MASK)), Sample((M, Input((4,), kind="bool"))), Sample((Input(()), MASK))],
    reference=lambda x, mask: np.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape))[np.broadcast_to(mask, np.broadcast_shapes(x.shape, mask.shape))],
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2).masked_select(tg.ones(2)), RuntimeError, "masked_select: expected a bool mask"),
        ErrorInput(lambda tg: tg.ones(2, 3).masked_select(tg.ones(2) > 0), RuntimeError, r"masked_select: shapes \(2, 3\) and \(2,\)"),
    ],
)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """A vector of the elements where the bool ``mask`` holds, both broadcast.

    Raises:
        RuntimeError: when the mask is not bool, or shapes can't be broadcast.
    """
    _need_mask(mask, "masked_select")
    shape = broadcast_shape("masked_select", [tuple(input.shape), tuple(mask.shape)])
    array = index_array(mask, "masked_select()", input)
    places = backend(array).broadcast_to(array, shape).reshape(-1)
    return picked(reshape(expand(input, *shape), -1) if 0 not in shape else reshape(input, 0), (places,))


def _scattered(input: Any, mask: Any, source: Any) -> Any:
    shape = np.broadcast_shapes(input.shape, mask.shape)
    out, where_ = np.broadcast_to(input, shape).copy(), np.broadcast_to(mask, shape)
    out[where_] = source.ravel()[: where_.sum()]
    return out


@composite(
    samples=[Sample((M, MASK, Input((4, 4)))), Sample((M, Input((4,), kind="bool"), Input((12,)))), Sample((Input((4,)), MASK, Input((12,))))],
    reference=_scattered,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2).masked_scatter(tg.ones(2), tg.ones(2)), RuntimeError, "masked_scatter: expected a bool mask"),
        ErrorInput(lambda tg: tg.ones(2).masked_scatter(tg.ones(2) > 0, tg.ones(1)), RuntimeError, "masked_scatter: the mask has 2 places, but source only 1 elements"),
    ],
)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with the first elements of ``source``, in order, where the bool ``mask`` holds; input and mask are broadcast.

    Raises:
        RuntimeError: when the mask is not bool, shapes can't be broadcast, or the source has too few elements.
    """
    shape = broadcast_shape("masked_scatter", [tuple(input.shape), tuple(mask.shape)])
    return _scatter("masked_scatter", expand(input, *shape), mask, source, False)


@method
def masked_scatter_(self: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """:func:`masked_scatter` in place; returns the tensor."""
    _need_fit(self, mask, "masked_scatter_")
    return _scatter("masked_scatter_", self, mask, source, True)


def _scatter(name: str, input: Tensor, mask: Tensor, source: Tensor, in_place: bool) -> Tensor:
    _need_mask(mask, name)
    array = index_array(mask, f"{name}()", input)
    if input.is_cuda and source.numel():
        return _scatter_late(input, mask, source, in_place)
    places = backend(array).broadcast_to(array, tuple(input.shape))
    count = backend(array).true_count(places)
    if source.numel() < count:
        raise RuntimeError(f"{name}: the mask has {count} places, but source only {source.numel()} elements")
    return put_at(name, input, reshape(source, source.numel())[:count], (places,), in_place=in_place)


def _scatter_late(input: Tensor, mask: Tensor, source: Tensor, in_place: bool) -> Tensor:
    """Without waiting for the number of places: too many of them are noticed as an index of ``source`` out of range."""
    given = expand(mask, *input.shape)
    rank = cumsum(reshape(given, -1), 0).reshape(input.shape) - 1
    chosen = take(to_dtype(source, input.dtype), where(given, rank, 0))
    return input.copy_(where(given, chosen, input)) if in_place else where(given, chosen, input)  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------------------------------------- nonzero

_SOME = Input((3, 4), -1, 2, "int")

_nonzero = register(
    Op(
        "nonzero",
        ("input",),
        lambda B, x: B.nonzero(x),
        dtype="int64",
        samples=[Sample((M,)), Sample((_SOME,)), Sample((Input((4,), kind="bool"),)), Sample((Input(()),)), Sample((Input((0, 3)),))],
        reference="index_references.argwhere",
        error_inputs=[ErrorInput(lambda tg: tg.nonzero([1.0]), TypeError, r"nonzero\(\): argument 'input' must be a Tensor, not list")],
    )
)


@public(_nonzero, samples=[Sample((M,)), Sample((_SOME,)), Sample((_SOME,), {"as_tuple": True})], differentiable=False,
        reference="index_references.nonzero")  # fmt: skip
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The places of elements that are not zero, in row-major order: int64 (n, ndim), or a tuple of one vector per dimension."""
    if not isinstance(input, Tensor):
        raise TypeError(f"nonzero(): argument 'input' must be a Tensor, not {no_tensor(input)}")
    if as_tuple and input.ndim == 0:
        input = reshape(input, 1)
    places = _nonzero.call(input)
    return unbind(places, 1) if as_tuple else places


@composite(samples=[Sample((_SOME,)), Sample((M,))], reference="index_references.argwhere", differentiable=False)
def argwhere(input: Tensor) -> Tensor:
    """The places of elements that are not zero, one row each: int64 (n, ndim)."""
    return _nonzero.call(input)
