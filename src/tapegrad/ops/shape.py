"""Views: the same memory in another shape."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..public import method, public
from ..registry import Op, apply, register
from ..samples import ErrorInput, Input, Sample
from ..tensor import Tensor

__all__ = [
    "broadcast_to",
    "expand",
    "flatten",
    "narrow",
    "permute",
    "reshape",
    "squeeze",
    "t",
    "transpose",
    "unsqueeze",
]

def normalize_dim(dim: int, ndim: int, name: str) -> int:
    """A dimension counted from the front.

    Raises:
        IndexError: when it is out of range.
    """
    span = max(ndim, 1)
    if not -span <= dim < span:
        raise IndexError(f"{name}: dimension {dim} is out of range for a tensor with {ndim} dimensions (expected {-span} to {span - 1})")
    return dim + span if dim < 0 else dim


def sizes(args: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike.

    Raises:
        TypeError: for sizes that are not integers.
    """
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple(map(operator.index, args))


def numel_of(shape: Sequence[int]) -> int:
    """The product of sizes."""
    n = 1
    for size in shape:
        n *= size
    return n


# ----------------------------------------------------------------------------------------------------------------- views

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
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).reshape(4), RuntimeError, r"reshape: shape \[4\] is invalid for input of shape \(2, 3\)")],
    )
)


def _resolve_shape(x: Tensor, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    n = x.numel()
    if shape.count(-1) > 1 or any(s < -1 for s in shape):
        raise RuntimeError(f"{name}: invalid shape {list(shape)}: at most one size may be -1, no other may be negative")
    known = numel_of([s for s in shape if s != -1])
    if -1 in shape:
        if known == 0 or n % known:
            raise RuntimeError(f"{name}: shape {list(shape)} is invalid for input of shape {tuple(x.shape)} ({n} elements)")
        return tuple(n // known if s == -1 else s for s in shape)
    if known != n:
        raise RuntimeError(f"{name}: shape {list(shape)} is invalid for input of shape {tuple(x.shape)} ({n} elements)")
    return shape


@public(_reshape)
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape: a view where memory allows, else a copy. One size may be -1.

    Raises:
        RuntimeError: when the number of elements differs.
    """
    return apply(_reshape, (input,), {"shape": _resolve_shape(input, sizes(shape), "reshape")})  # type: ignore[no-any-return]


@method
def view(self: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape, or, given a dtype, the same bits as that dtype.

    Raises:
        RuntimeError: when the strides don't allow it; use reshape().
    """
    wanted = _resolve_shape(self, sizes(shape), "view")
    result = reshape(self, wanted)
    if result.numel() and not np.may_share_memory(result._array, self._array):
        raise RuntimeError(
            f"view: shape {list(wanted)} needs a copy of this tensor of shape {tuple(self.shape)} and strides {self.stride()}; use .reshape()"
        )
    return result


_permute = register(
    Op(
        "permute",
        ("input",),
        lambda B, x, *, dims: x.transpose(dims),
        {"input": lambda K, g, dims: K.permute(g, dims=tuple(int(i) for i in np.argsort(dims)))},
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


@public(_permute)
def permute(input: Tensor, *dims: Any) -> Tensor:
    """A view with dimensions in another order.

    Raises:
        RuntimeError: when ``dims`` is not a permutation of the dimensions.
    """
    wanted = tuple(normalize_dim(d, input.ndim, "permute") for d in sizes(dims))
    if sorted(wanted) != list(range(input.ndim)):
        raise RuntimeError(f"permute: dims {list(sizes(dims))} are no permutation of the {input.ndim} dimensions of shape {tuple(input.shape)}")
    return apply(_permute, (input,), {"dims": wanted})  # type: ignore[no-any-return]


@method
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions swapped."""
    order = list(range(input.ndim))
    if order:
        a, b = normalize_dim(dim0, input.ndim, "transpose"), normalize_dim(dim1, input.ndim, "transpose")
        order[a], order[b] = order[b], order[a]
    return apply(_permute, (input,), {"dims": tuple(order)})  # type: ignore[no-any-return]


@method
def t(input: Tensor) -> Tensor:
    """The transpose of a tensor with at most two dimensions.

    Raises:
        RuntimeError: for more dimensions.
    """
    if input.ndim > 2:
        raise RuntimeError(f"t() expects at most 2 dimensions, got shape {tuple(input.shape)}; use transpose() or .mT")
    return transpose(input, 0, 1) if input.ndim == 2 else input


_expand = register(
    Op(
        "expand",
        ("input",),
        lambda B, x, *, size: B.broadcast_to(x, size),
        {"input": lambda K, g, input_shape: K.sum_to_size(g, size=input_shape)},
        view=True,
        samples=[
            Sample((Input((3, 1)),), {"size": (3, 4)}),
            Sample((Input((4,)),), {"size": (2, 3, 4)}),
            Sample((Input(()),), {"size": (2,)}),
            Sample((Input((1, 3)),), {"size": (0, 3)}),
        ],
        reference=lambda x, size: np.broadcast_to(x, size),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).expand(4, 3), RuntimeError, r"expand: shape \(2, 3\) can't be expanded to \[4, 3\]")],
    )
)


@public(_expand)
def expand(input: Tensor, *size: Any) -> Tensor:
    """A view in which dimensions of size 1 are repeated without copying; -1 keeps a size.

    Raises:
        RuntimeError: when a size that is not 1 would change.
    """
    wanted = sizes(size)
    missing = len(wanted) - input.ndim
    shape = (1,) * missing + tuple(input.shape)
    full = tuple(n if w == -1 and i >= missing else w for i, (w, n) in enumerate(zip(wanted, shape, strict=False)))
    if missing < 0 or any(w < 0 or n not in (1, w) for w, n in zip(full, shape, strict=True)):
        raise RuntimeError(f"expand: shape {tuple(input.shape)} can't be expanded to {list(wanted)}; only sizes of 1 can grow")
    return apply(_expand, (input,), {"size": full})  # type: ignore[no-any-return]


@method
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Expand to the shape of another tensor."""
    return expand(input, *other.shape)


@method
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Expand to ``size``."""
    return expand(input, *size)


@method
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """A view without dimensions of size 1: all of them, or only ``dim`` (one or several) where their size is 1."""
    if dim is None:
        drop = {i for i, n in enumerate(input.shape) if n == 1}
    else:
        dims = [dim] if isinstance(dim, int) else list(dim)
        drop = {d for d in (normalize_dim(d, input.ndim, "squeeze") for d in dims) if input.ndim and input.shape[d] == 1}
    return apply(_reshape, (input,), {"shape": tuple(n for i, n in enumerate(input.shape) if i not in drop)})  # type: ignore[no-any-return]


@method
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a dimension of size 1 inserted at ``dim``."""
    at = normalize_dim(dim, input.ndim + 1, "unsqueeze")
    shape = list(input.shape)
    shape.insert(at, 1)
    return apply(_reshape, (input,), {"shape": tuple(shape)})  # type: ignore[no-any-return]


@method
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the dimensions from ``start_dim`` to ``end_dim`` into one."""
    if input.ndim == 0:
        return reshape(input, 1)
    a, b = normalize_dim(start_dim, input.ndim, "flatten"), normalize_dim(end_dim, input.ndim, "flatten")
    if a > b:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return reshape(input, *input.shape[:a], numel_of(input.shape[a : b + 1]), *input.shape[b + 1 :])


_narrow = register(
    Op(
        "narrow",
        ("input",),
        lambda B, x, *, dim, start, length: x[(slice(None),) * dim + (slice(start, start + length),)],
        {"input": lambda K, g, input_shape, dim, start: K.pad_zeros(g, dim=dim, before=start, total=input_shape[dim])},
        view=True,
        samples=[Sample((Input((3, 4)),), {"dim": 1, "start": 1, "length": 2}), Sample((Input((5,)),), {"dim": 0, "start": 0, "length": 0})],
        reference=lambda x, dim, start, length: np.take(x, np.arange(start, start + length), axis=dim),
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).narrow(1, 2, 2), RuntimeError, r"narrow: start 2 with length 2 exceeds dimension 1 of shape \(2, 3\)")
        ],
    )
)


@public(_narrow)
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The view of ``length`` elements from ``start`` along ``dim``.

    Raises:
        RuntimeError: when they are not all there.
    """
    at = normalize_dim(dim, input.ndim, "narrow")
    n = int(input._array.shape[at]) if input.ndim else 0
    start = start + n if start < 0 else start
    if input.ndim == 0 or start < 0 or length < 0 or start + length > n:
        raise RuntimeError(f"narrow: start {start} with length {length} exceeds dimension {dim} of shape {tuple(input.shape)}")
    return apply(_narrow, (input,), {"dim": at, "start": start, "length": length})  # type: ignore[no-any-return]


register(
    Op(
        "pad_zeros",
        ("input",),
        lambda B, x, *, dim, before, total: B.pad_zeros(x, dim, before, total),
        {"input": lambda K, g, input_shape, dim, before: K.narrow(g, dim=dim, start=before, length=input_shape[dim])},
        method=False,
        samples=[Sample((Input((3, 2)),), {"dim": 1, "before": 1, "total": 4})],
        reference=lambda x, dim, before, total: np.pad(
            x, [(before, total - before - x.shape[dim]) if d == dim else (0, 0) for d in range(x.ndim)]
        ),
    )
)
