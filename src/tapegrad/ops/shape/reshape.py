"""The same elements in another shape: views where memory allows."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtypes, inplace
from ...modes import local
from ...public import composite, method, public
from ...registry import REGISTRY, Op, register
from ...samples import ErrorInput, Input, Sample
from ...shown import Shown
from ...tensor import Tensor, wrap

__all__ = [
    "flatten",
    "numel",
    "ravel",
    "reshape",
    "squeeze",
    "unflatten",
    "unsqueeze",
]


def integer(value: Any, name: str, argument: str = "dim") -> int:
    """An argument that must be an integer.

    Raises:
        TypeError: naming it, when it is not.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}(): argument {argument!r} must be an integer, got {value!r}") from None


def normalize_dim(dim: int, ndim: int, name: str) -> int:
    """A dimension counted from the front.

    Raises:
        IndexError: when it is out of range.
        TypeError: when it is not an integer.
    """
    if dim.__class__ is int and 0 <= dim < ndim:
        return dim
    if not isinstance(dim, int):
        dim = integer(dim, name)
    span = max(ndim, 1)
    if not -span <= dim < span:
        raise IndexError(f"{name}: dimension {dim} is out of range for a tensor with {ndim} dimensions (expected {-span} to {span - 1})")
    return dim + span if dim < 0 else dim


def normalize_dims(dims: int | Sequence[int], ndim: int, name: str) -> tuple[int, ...]:
    """Dimensions counted from the front.

    Raises:
        IndexError: when one is out of range.
        RuntimeError: when one appears twice.
    """
    found = tuple([normalize_dim(d, ndim, name) for d in ([dims] if isinstance(dims, int) else dims)])
    if len(set(found)) != len(found):
        raise RuntimeError(f"{name}: dim appears twice in {list(found)}")
    return found


def sizes(args: tuple[Any, ...], keyword: Sequence[int] | None = None) -> tuple[int, ...]:
    """``f(2, 3)``, ``f((2, 3))`` and ``f(size=(2, 3))`` alike.

    Raises:
        TypeError: for sizes that are not integers.
    """
    if keyword is not None:
        args = (*args, keyword)
    if len(args) == 1 and args[0].__class__ is not int and isinstance(args[0], (tuple, list)):
        args = args[0]  # type: ignore[assignment]
    return tuple(map(operator.index, args))


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


# --------------------------------------------------------------------------------------------------------------- reshape

_reshape = register(
    Op(
        "reshape",
        ("input",),
        lambda B, x, *, shape: x.reshape(shape),
        {"input": lambda K, g, input_shape: K.reshape(g, shape=input_shape)},
        view=True,
        samples=[
            Sample((Input((3, 4)),), {"shape": (2, 6)}),
            Sample((Input((3, 4)),), {"shape": (12,)}),
            Sample((Input((1,)),), {"shape": ()}),
            Sample((Input(()),), {"shape": (1, 1)}),
            Sample((Input((0, 3)),), {"shape": (3, 0)}),
        ],
        reference=lambda x, shape: np.reshape(x, shape),
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).reshape(4), RuntimeError, r"reshape: shape \[4\] is invalid for input of shape \(2, 3\)"),
            ErrorInput(lambda tg: tg.ones(2, 3).reshape(-1, -1), RuntimeError, r"reshape: invalid shape \[-1, -1\]: at most one"),
        ],
    )
)


def _resolve_shape(x: Tensor, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    n = x._array.size
    given = tuple(x._array.shape)
    if shape.count(-1) > 1 or any(s < -1 for s in shape):
        raise RuntimeError(f"{name}: invalid shape {list(shape)}: at most one size may be -1, no other may be negative")
    known = math.prod([s for s in shape if s != -1])
    if -1 in shape:
        if known == 0 or n % known:
            raise RuntimeError(f"{name}: shape {list(shape)} is invalid for input of shape {given} ({n} elements)")
        return tuple(n // known if s == -1 else s for s in shape)
    if known != n:
        raise RuntimeError(f"{name}: shape {list(shape)} is invalid for input of shape {given} ({n} elements)")
    return shape


@Shown
def _reshaped(input: Tensor, shape: tuple[Any, ...], *, name: str) -> Tensor:
    """The tensor in another shape, given as :func:`sizes` takes it."""
    return _reshape.call(input, _resolve_shape(input, sizes(shape), name))  # type: ignore[no-any-return]


_RESHAPES = [Sample((Input((3, 4)),), {"shape": (2, 6)}), Sample((Input((3, 4)),), {"shape": (-1, 2)}), Sample((Input(()),), {"shape": (1, 1)})]


@public(_reshape, samples=_RESHAPES, reference=lambda x, shape: np.reshape(x, shape))
def reshape(input: Tensor, *args: Any, shape: Sequence[int] | None = None) -> Tensor:
    """The same elements in another shape: a view where memory allows, else a copy. One size may be -1.

    Raises:
        RuntimeError: when the number of elements differs.
    """
    if shape is not None:
        args = (*args, shape)
    if len(args) == 1 and args[0].__class__ is tuple:
        (args,) = args
    made = _reshaped.quick(input, local.flags, args)
    return _reshaped(input, args, name="reshape") if made is None else made  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3, 4)),), {"size": (3, 1, 4)}), *(Sample(s.inputs, {"size": s.params["shape"]}) for s in _RESHAPES)],
    reference=lambda x, size: np.reshape(x, size),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).T.view(6), RuntimeError, r"view: shape \[6\] needs a copy"),
        ErrorInput(lambda tg: tg.ones(2, 3).view(tg.float64), RuntimeError, r"view: .*\(2, 3\) of float32 can't be shown as float64"),
        ErrorInput(lambda tg: tg.ones(3, requires_grad=True).view(tg.float16), RuntimeError, "view: no gradient flows through the bits"),
    ],
)
def view(self: Tensor, *args: Any, size: Sequence[int] | None = None, dtype: Any = None) -> Tensor:
    """The same memory in another shape, or, given a dtype, the same bits as that dtype.

    Raises:
        RuntimeError: when the strides don't allow it (use reshape()); for another floating dtype of a tensor that requires grad.
    """
    if size is None and dtype is None:
        if len(args) == 1 and args[0].__class__ is tuple:
            (args,) = args
        made = _reshaped.quick(self, local.flags, args)
        if made is not None:
            return made  # type: ignore[no-any-return]
    if args and isinstance(args[0], (dtypes.dtype, type)):
        dtype = args[0]
    if dtype is not None:
        return _view_bits(self, dtypes.to_dtype(dtype))
    result = _reshaped(self, args if size is None else (*args, size), name="view")
    if result._storage is not self._storage and result.numel():
        raise RuntimeError(
            f"view: shape {list(result.shape)} needs a copy of this tensor of shape {tuple(self.shape)} and strides {self.stride()}; use .reshape()"
        )
    return result


def _view_bits(self: Tensor, dtype: dtypes.dtype) -> Tensor:
    """The bits as another dtype; sizes of elements may differ where the last dimension is contiguous, and then changes."""
    if dtype is self.dtype:
        return view(self, *self.shape)
    if self._entry is not None and dtype.differentiable:
        raise RuntimeError(f"view: no gradient flows through the bits of {self.dtype} seen as {dtype}; .detach() it, or convert with .to()")
    try:
        array = self._array.view(dtype.numpy)
    except ValueError as error:
        raise RuntimeError(f"view: a tensor of shape {tuple(self.shape)} of {self.dtype.name} can't be shown as {dtype.name}: {error}") from None
    return wrap(array, storage=self._storage)


@composite(
    samples=[Sample((Input((3, 4)), Input((1, 3, 4), kind="bool"))), Sample((Input((3, 4)), Input((2, 6), kind="bool")))],
    reference=lambda x, other: np.reshape(x, other.shape),
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).view_as(tg.ones(4)), RuntimeError, r"view: shape \[4\] is invalid")],
)
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """:func:`view` in the shape of another tensor."""
    return view(self, *other.shape)


@composite(
    samples=[Sample((Input((3, 4)), Input((2, 6), kind="bool")))],
    reference=lambda x, other: np.reshape(x, other.shape),
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).reshape_as(tg.ones(4)), RuntimeError, r"reshape: shape \[4\] is invalid")],
)
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """:func:`reshape` to the shape of another tensor."""
    return reshape(self, *other.shape)


@composite(
    samples=[
        Sample((Input((1, 3, 1)),)),
        Sample((Input((1, 3, 1)),), {"dim": 0}),
        Sample((Input((1, 3, 1)),), {"dim": (0, -1)}),
        Sample((Input(()),), {"dim": 0}),
    ],
    reference=lambda x, dim=None: np.squeeze(x, dim) if x.ndim else x,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).squeeze(2), IndexError, "squeeze: dimension 2 is out of range"),
        ErrorInput(lambda tg: tg.ones(1, 3).squeeze((0, -2)), RuntimeError, "squeeze: dim appears twice"),
    ],
)
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """A view without dimensions of size 1: all of them, or only ``dim`` (one or several) where their size is 1.

    Raises:
        IndexError: when a dimension is out of range.
        RuntimeError: when one of several is named twice.
    """
    made = _squeezed.quick(input, local.flags, dim)
    return _squeezed(input, dim) if made is None else made  # type: ignore[no-any-return]


@Shown
def _squeezed(input: Tensor, dim: int | Sequence[int] | None) -> Tensor:
    shape: tuple[int, ...] = input._array.shape
    if dim is None:
        return _reshape.call(input, tuple([n for n in shape if n != 1]))  # type: ignore[no-any-return]
    dims = normalize_dims(dim, len(shape), "squeeze") if shape or isinstance(dim, int) else ()
    return _reshape.call(input, tuple([n for i, n in enumerate(shape) if n != 1 or i not in dims]))  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3, 4)),), {"dim": 1}), Sample((Input((3, 4)),), {"dim": -1}), Sample((Input(()),), {"dim": 0})],
    reference=lambda x, dim: np.expand_dims(x, dim),
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).unsqueeze(3), IndexError, "unsqueeze: dimension 3 is out of range")],
)
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a dimension of size 1 inserted at ``dim``.

    Raises:
        IndexError: when ``dim`` is out of range, which is [-ndim - 1, ndim].
    """
    made = _unsqueezed.quick(input, local.flags, dim)
    return _unsqueezed(input, dim) if made is None else made  # type: ignore[no-any-return]


@Shown
def _unsqueezed(input: Tensor, dim: int) -> Tensor:
    shape: tuple[int, ...] = input._array.shape
    at = normalize_dim(dim, len(shape) + 1, "unsqueeze")
    return _reshape.call(input, (*shape[:at], 1, *shape[at:]))  # type: ignore[no-any-return]


def _flattened(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    last = end_dim % x.ndim
    return x.reshape(*x.shape[:start_dim], -1, *x.shape[last + 1 :])


@composite(
    samples=[
        Sample((Input((2, 3, 4)),)),
        Sample((Input((2, 3, 4)),), {"start_dim": 1}),
        Sample((Input((2, 3, 4)),), {"start_dim": 0, "end_dim": 1}),
    ],
    reference=_flattened,
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).flatten(1, 0), RuntimeError, "flatten: start_dim 1 comes after end_dim 0")],
)
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the dimensions from ``start_dim`` to ``end_dim`` into one.

    Raises:
        IndexError: when a dimension is out of range.
        RuntimeError: when ``start_dim`` comes after ``end_dim``.
    """
    made = _flattened_dims.quick(input, local.flags, start_dim, end_dim)
    return _flattened_dims(input, start_dim, end_dim) if made is None else made  # type: ignore[no-any-return]


@Shown
def _flattened_dims(input: Tensor, start_dim: int, end_dim: int) -> Tensor:
    shape: tuple[int, ...] = input._array.shape
    rank = max(len(shape), 1)
    a, b = normalize_dim(start_dim, rank, "flatten"), normalize_dim(end_dim, rank, "flatten")
    if not shape:
        return reshape(input, 1)
    if a > b:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    if a == b:
        return input
    return _reshape.call(input, (*shape[:a], math.prod(shape[a : b + 1]), *shape[b + 1 :]))  # type: ignore[no-any-return]


@composite(samples=[Sample((Input((3, 4)),)), Sample((Input(()),))], reference=np.ravel)
def ravel(input: Tensor) -> Tensor:
    """One dimension, in row-major order: a view of a contiguous tensor, else a copy."""
    return reshape(input if input.is_contiguous() else REGISTRY["clone"].call(input), input.numel())


@composite(
    samples=[
        Sample((Input((3, 4)),), {"dim": 1, "sizes": (2, 2)}),
        Sample((Input((6, 2)),), {"dim": -2, "sizes": (-1, 3)}),
        Sample((Input((0, 2)),), {"dim": 0, "sizes": (0, 3)}),
    ],
    reference=lambda x, dim, sizes: np.reshape(x, (*x.shape[: dim % x.ndim], *sizes, *x.shape[dim % x.ndim + 1 :])),
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).unflatten(1, (2, 2)), RuntimeError, r"unflatten: sizes \[2, 2\] .* dimension 1 of shape \(2, 3\)")],
)
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split dimension ``dim`` into several; one of ``sizes`` may be -1.

    Raises:
        RuntimeError: when their product is not the size of that dimension.
    """
    at = normalize_dim(dim, input.ndim, "unflatten")
    n, known = input._array.shape[at] if input.ndim else 1, math.prod([s for s in sizes if s != -1])
    parts = [n // known if s == -1 and known else s for s in sizes]
    if list(sizes).count(-1) > 1 or math.prod(parts) != n or any(s < 0 for s in parts):
        raise RuntimeError(f"unflatten: sizes {list(sizes)} don't multiply to dimension {dim} of shape {tuple(input.shape)}")
    return reshape(input, *input.shape[:at], *parts, *input.shape[at + 1 :])


# ------------------------------------------------------------------------------------------------------ in-place view forms


def replace_with_view(self: Tensor, made: Tensor, name: str) -> Tensor:
    """Make a tensor the view ``made`` of it. Other views of its memory keep theirs.

    Raises:
        RuntimeError: for a leaf that requires grad, and for a tensor that others are views of.
    """
    if self._entry is not None and self._entry.is_leaf:
        raise RuntimeError(f"{name}: the shape of a leaf tensor that requires grad can't change; use {name[:-1]}()")
    if made is self:
        return self
    if self._base is None:
        if any(view is not made and view._base.root is self for view in self._storage.views()):
            raise RuntimeError(f"{name}: other tensors are views of this one, its shape can't change; use {name[:-1]}()")
    else:
        self._base = made._base
    self._array = made._array
    inplace._point(self, made._entry)
    return self


@method
def squeeze_(self: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """:func:`squeeze` of the tensor itself; returns it."""
    return replace_with_view(self, squeeze(self, dim), "squeeze_")


@method
def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """:func:`unsqueeze` of the tensor itself; returns it."""
    return replace_with_view(self, unsqueeze(self, dim), "unsqueeze_")
