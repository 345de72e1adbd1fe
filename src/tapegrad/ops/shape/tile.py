"""Elements repeated: copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...device import placed
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_values, read_values
from ..index.index_select import index_select
from ..index.indexing import getitem
from ..index.search import searchsorted
from ..ranges import arange
from ..reduction.scan import cumsum
from .copy import clone
from .expand import expand
from .reshape import normalize_dim, reshape, sizes

__all__ = ["repeat_interleave", "tile"]

_REPEATS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((3, 4), (2, 1)), ((4,), (3, 2)), ((2, 3), (1, 1)), ((2,), (0,)), ((), (2, 2))]


@composite(
    samples=[Sample((Input(shape),), {"repeats": repeats}) for shape, repeats in _REPEATS],
    reference=lambda x, repeats: np.tile(x, repeats),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).repeat(2), RuntimeError, r"repeat: 1 repeats are fewer than the dimensions of shape \(2, 3\)"),
        ErrorInput(lambda tg: tg.ones(2).repeat(-1), RuntimeError, r"repeat: repeats \[-1\] must not be negative"),
    ],
)
def repeat(self: Tensor, *args: Any, repeats: Sequence[int] | None = None) -> Tensor:
    """A copy with the tensor side by side ``repeats`` times along each dimension; more repeats add leading dimensions.

    Raises:
        RuntimeError: for fewer repeats than dimensions.
    """
    times = sizes(args, repeats)
    if len(times) < self.ndim:
        raise RuntimeError(f"repeat: {len(times)} repeats are fewer than the dimensions of shape {tuple(self.shape)}; use tile()")
    return _tiled(self, times, "repeat")


def _tiled(input: Tensor, times: tuple[int, ...], name: str) -> Tensor:
    if any(n < 0 for n in times):
        raise RuntimeError(f"{name}: repeats {list(times)} must not be negative")
    shape = (1,) * (len(times) - input.ndim) + tuple(input.shape)
    if all(n == 1 for n in times):
        return clone(reshape(input, *shape))
    apart = reshape(input, *[n for size in shape for n in (1, size)])
    spread = expand(apart, *[n for pair in zip(times, shape, strict=True) for n in pair])
    joined = reshape(spread, *[n * size for n, size in zip(times, shape, strict=True)])
    return clone(joined) if joined._base is not None else joined


@composite(
    samples=[Sample((Input((3, 4)),), {"dims": (2,)}), Sample((Input((3,)),), {"dims": (2, 2)}), Sample((Input((2, 3)),), {"dims": ()})],
    reference=lambda x, dims: np.tile(x, dims),
    error_inputs=[ErrorInput(lambda tg: tg.ones(2).tile(-1), RuntimeError, r"tile: repeats \[-1\] must not be negative")],
)
def tile(input: Tensor, *args: Any, dims: Sequence[int] | None = None) -> Tensor:
    """A copy with the tensor side by side ``dims`` times along each of its last dimensions."""
    times = sizes(args, dims)
    return _tiled(input, (1,) * (input.ndim - len(times)) + times, "tile")


def _repeated(repeats: Tensor, output_size: int | None) -> Tensor:
    """Each index as often as its number of repeats on a GPU says; the host waits for their sum unless it is given."""
    need_values(repeats, lambda array: None, 0, np.inf, "repeat_interleave: repeats must not be negative")
    ends = cumsum(repeats, 0)
    if output_size is None:
        output_size = int(read_values(ends[-1:], "repeat_interleave()")[0]) if repeats.numel() else 0
    found: Tensor = searchsorted(ends, arange(output_size, device=repeats.device), right=True)
    return found



@composite(
    samples=[
        Sample((Input((3, 4)),), {"repeats": 2}),
        Sample((Input((3, 4)),), {"repeats": 2, "dim": -1}),
        Sample((Input((3, 2)), Input((3,), 0, 4, "int")), {"dim": 0}),
        Sample((Input((3,)), Input((1,), 2, 4, "int"))),
    ],
    reference=lambda x, repeats, dim=None: np.repeat(x, repeats, dim),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).repeat_interleave(tg.tensor([1, 2])), RuntimeError, r"repeat_interleave: 2 repeats for .* size 3"),
        ErrorInput(lambda tg: tg.ones(3).repeat_interleave(-1), RuntimeError, "repeat_interleave: repeats must not be negative"),
        ErrorInput(lambda tg: tg.ones(3).repeat_interleave(tg.ones(3)), RuntimeError, "repeat_interleave: .*integers, got dtype .*float32"),
        ErrorInput(lambda tg: tg.ones(3).repeat_interleave(2, output_size=5), RuntimeError, "repeat_interleave: .*6 elements .*not output_size=5"),
    ],
)
def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """A copy with every element (or slice along ``dim``) repeated where it is; ``repeats`` is a number or one per slice.

    Of one tensor only, the indices that its numbers of repeats give.

    Raises:
        RuntimeError: when the numbers of repeats don't fit.
    """
    name = "repeat_interleave"
    if repeats is None:
        input, repeats, dim, only_indices = input, input, 0, True
    else:
        only_indices = False
    if dim is None:
        input, dim = reshape(input, input.numel()), 0
    if input.ndim == 0:
        input = reshape(input, 1)
    at = normalize_dim(dim, input.ndim, name)
    n = int(input._array.shape[at])
    if isinstance(repeats, Tensor) and repeats.is_cuda and input.is_cuda and repeats.dtype.category == 1 and tuple(repeats.shape) == (n,):
        found = _repeated(repeats, output_size)
        return found if only_indices else index_select(input, at, found)
    counts = read_values(repeats, "repeat_interleave()") if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: repeats must be integers, got dtype {getattr(repeats, 'dtype', type(repeats).__name__)}")
    if counts.ndim > 1 or counts.size not in (1, n):
        raise RuntimeError(f"{name}: {counts.size} repeats for dimension {at} of size {n}")
    if (counts < 0).any():
        raise RuntimeError(f"{name}: repeats must not be negative")
    places = np.repeat(np.arange(n), counts)
    if output_size is not None and places.size != output_size:
        raise RuntimeError(f"{name}: the result has {places.size} elements along dimension {at}, not output_size={output_size}")
    if only_indices:
        return wrap(placed(places, input.device))
    return getitem(input, (slice(None),) * at + (wrap(places),))
