"""Parts of a tensor along a dimension: views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...public import composite, named, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_ndim
from ..index.indexing import sliced
from .reshape import normalize_dim

__all__ = [
    "chunk",
    "dsplit",
    "hsplit",
    "narrow",
    "select",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
    "vsplit",
]

_narrow = register(
    Op(
        "narrow",
        ("input",),
        lambda B, x, *, dim, start, length: x[(slice(None),) * dim + (slice(start, start + length),)],
        {"input": lambda K, g, input_shape, dim, start: K.pad_zeros(g, dim=dim, before=start, total=input_shape[dim])},
        view=True,
        part=True,
        samples=[Sample((Input((3, 4)),), {"dim": 1, "start": 1, "length": 2}), Sample((Input((5,)),), {"dim": 0, "start": 0, "length": 0})],
        reference=lambda x, dim, start, length: np.take(x, np.arange(start, start + length), axis=dim),
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).narrow(1, 2, 2), RuntimeError, r"narrow: start 2 with length 2 exceeds dimension 1 of shape \(2, 3\)")
        ],
    )
)

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


@public(
    _narrow,
    samples=[Sample((Input((3, 4)),), {"dim": -1, "start": 1, "length": 2}), Sample((Input((3, 4)),), {"dim": 0, "start": -2, "length": 2})],
    reference=lambda x, dim, start, length: np.take(x, np.arange(start, start + length), axis=dim),
)
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """The view of ``length`` elements from ``start`` along ``dim``.

    Raises:
        RuntimeError: when they are not all there.
    """
    at = normalize_dim(dim, input.ndim, "narrow")
    n = int(input._array.shape[at]) if input.ndim else 0
    if isinstance(start, Tensor) and (start.ndim or start.dtype.category != 1):
        raise RuntimeError(f"narrow: start must be an integer or a 0-d integer tensor, got shape {tuple(start.shape)} of {start.dtype}")
    first = int(start)
    first = first + n if first < 0 else first
    if input.ndim == 0 or first < 0 or length < 0 or first + length > n:
        raise RuntimeError(f"narrow: start {int(start)} with length {length} exceeds dimension {dim} of shape {tuple(input.shape)}")
    return _narrow.call(input, at, first, length)  # type: ignore[no-any-return]


def _need_dim(input: Tensor, dim: int, name: str) -> tuple[int, int]:
    """The dimension counted from the front, and its size."""
    shape = input._array.shape
    if not shape:
        raise IndexError(f"{name}: a 0-d tensor has no dimensions to choose from")
    at = normalize_dim(dim, len(shape), name)
    return at, shape[at]


@composite(
    samples=[Sample((Input((3, 4)),), {"dim": 0, "index": 1}), Sample((Input((2, 3, 4)),), {"dim": -2, "index": -1})],
    reference=lambda x, dim, index: np.take(x, index, axis=dim),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).select(1, 3), IndexError, r"select: index 3 is out of range for dimension 1 of shape \(2, 3\)"),
        ErrorInput(lambda tg: tg.tensor(1.0).select(0, 0), IndexError, "select: a 0-d tensor has no dimensions"),
    ],
)
def select(input: Tensor, dim: int, index: int | Tensor) -> Tensor:
    """The view at one index along ``dim``, which is left out.

    Raises:
        IndexError: when the index or dimension is out of range.
    """
    at, n = _need_dim(input, dim, "select")
    i = int(index)
    if not -n <= i < n:
        raise IndexError(f"select: index {i} is out of range for dimension {at} of shape {tuple(input.shape)}")
    return sliced(input, (slice(None),) * at + (i, ...))  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3, 4)),)), Sample((Input((3, 4)),), {"dim": -1})],
    reference=lambda x, dim=0: tuple(np.moveaxis(x, dim, 0)),
    error_inputs=[ErrorInput(lambda tg: tg.ones(2).unbind(1), IndexError, "unbind: dimension 1 is out of range")],
)
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The views at every index along ``dim``."""
    at, n = _need_dim(input, dim, "unbind")
    before = (slice(None),) * at
    return tuple([sliced(input, (*before, i, ...)) for i in range(n)])


def _parts(input: Tensor, at: int, ends: Sequence[int]) -> tuple[Tensor, ...]:
    """Views between consecutive places along a dimension."""
    made, start = [], 0
    for end in ends:
        made.append(_narrow.call(input, at, start, end - start))
        start = end
    return tuple(made)


def _sections(x: Any, lengths: Sequence[int], dim: int) -> tuple[Any, ...]:
    return tuple(np.split(x, np.cumsum(lengths)[:-1], dim))


def _split_reference(x: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    if isinstance(split_size_or_sections, int):
        return tuple(np.split(x, range(split_size_or_sections, x.shape[dim], split_size_or_sections), dim))
    return _sections(x, split_size_or_sections, dim)


@composite(
    samples=[
        Sample((Input((5, 4)),), {"split_size_or_sections": 2}),
        Sample((Input((3, 4)),), {"split_size_or_sections": 2, "dim": -1}),
        Sample((Input((3, 4)),), {"split_size_or_sections": [1, 3], "dim": 1}),
        Sample((Input((3, 4)),), {"split_size_or_sections": [0, 3]}),
    ],
    reference=_split_reference,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).split(0), RuntimeError, "split: the size of parts must be positive, got 0"),
        ErrorInput(lambda tg: tg.ones(3).split([1, 1]), RuntimeError, r"split_with_sizes: sizes \[1, 1\] must add up to 3"),
    ],
)
def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts along ``dim``: of one size (the last may be smaller), or of the given sizes.

    Raises:
        RuntimeError: when the sizes don't add up to the dimension's, or aren't positive.
    """
    if not isinstance(split_size_or_sections, int):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    at, n = _need_dim(tensor, dim, "split")
    size = split_size_or_sections
    if size <= 0 and not (size == 0 and n == 0):
        raise RuntimeError(f"split: the size of parts must be positive, got {size}")
    return _parts(tensor, at, [*range(size, n, size), n] if n else [0])


@composite(
    samples=[Sample((Input((3, 4)),), {"split_sizes": [1, 2]}), Sample((Input((3, 4)),), {"split_sizes": (3, 1), "dim": -1})],
    reference=lambda x, split_sizes, dim=0: _sections(x, split_sizes, dim),
)
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts of the given sizes along ``dim``.

    Raises:
        RuntimeError: when they don't add up to the dimension's.
    """
    at, n = _need_dim(input, dim, "split_with_sizes")
    lengths = [int(s) for s in split_sizes]
    if sum(lengths) != n or any(s < 0 for s in lengths):
        raise RuntimeError(f"split_with_sizes: sizes {lengths} must add up to {n}, dimension {at} of shape {tuple(input.shape)}")
    return _parts(input, at, [sum(lengths[: k + 1]) for k in range(len(lengths))])


@composite(
    samples=[Sample((Input((5, 2)),), {"chunks": 2}), Sample((Input((3, 6)),), {"chunks": 4, "dim": 1})],
    reference=lambda x, chunks, dim=0: _split_reference(x, -(-x.shape[dim] // chunks), dim),
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).chunk(0), RuntimeError, "chunk: the number of chunks must be positive, got 0")],
)
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of at most ``chunks`` parts of one size along ``dim``; the last may be smaller.

    Raises:
        RuntimeError: unless ``chunks`` is positive.
    """
    at, n = _need_dim(input, dim, "chunk")
    if chunks <= 0:
        raise RuntimeError(f"chunk: the number of chunks must be positive, got {chunks}")
    if n == 0:
        return _parts(input, at, [0] * chunks)
    return split(input, -(-n // chunks), at)


@composite(
    samples=[
        Sample((Input((7, 2)),), {"sections": 3}),
        Sample((Input((3, 4)),), {"indices": (1, 3), "dim": 1}),
        Sample((Input((3, 4)),), {"indices": (-1, 9), "dim": -1}),
    ],
    reference=lambda x, sections=None, indices=None, dim=0: tuple(np.array_split(x, sections or indices, dim)),
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(3).tensor_split(0), RuntimeError, "tensor_split: the number of sections must be positive, got 0"),
        ErrorInput(lambda tg: tg.ones(3).tensor_split(tg.ones(2)), RuntimeError, "tensor_split: .*int64 tensor of at most 1 dimension, got .*float32"),
    ],
)
def tensor_split(
    input: Tensor,
    indices_or_sections: int | Sequence[int] | Tensor | None = None,
    dim: int = 0,
    *,
    indices: Sequence[int] | None = None,
    sections: int | None = None,
) -> tuple[Tensor, ...]:
    """Views of parts along ``dim``: so many ``sections`` of nearly equal sizes (larger ones first), or between ``indices``.

    Raises:
        RuntimeError: for no sections.
    """
    indices_or_sections = _one_of("tensor_split", indices_or_sections, indices, sections)
    at, n = _need_dim(input, dim, "tensor_split")
    if isinstance(indices_or_sections, Tensor):
        array = indices_or_sections._array
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise RuntimeError(
                f"tensor_split: expected an int64 tensor of at most 1 dimension, got {indices_or_sections.dtype} of shape {array.shape}"
            )
        indices_or_sections = indices_or_sections.tolist()
    elif isinstance(indices_or_sections, str):
        raise TypeError(f"tensor_split(): argument 'indices_or_sections' must be an integer or integers, got {indices_or_sections!r}")
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        if parts <= 0:
            raise RuntimeError(f"tensor_split: the number of sections must be positive, got {parts}")
        size, larger = divmod(n, parts)
        return _parts(input, at, [size * (k + 1) + min(k + 1, larger) for k in range(parts)])
    made, start = [], 0
    for place in [*indices_or_sections, n]:
        end = min(max(int(place) + n if place < 0 else int(place), 0), n)
        made.append(_narrow.call(input, at, min(start, end), max(end - start, 0)))
        start = end
    return tuple(made)


def _one_of(name: str, *given: Any) -> Any:
    found = [x for x in given if x is not None]
    if len(found) != 1:
        raise TypeError(f"{name}(): give the number of sections or the indices between them")
    return found[0]


def _along(name: str, needed: int, dim: int, reference: Any, *shapes: tuple[int, ...]) -> Any:
    """A function like NumPy's hsplit: equal parts (or at places) along one dimension, for tensors of enough dimensions."""

    def function(
        input: Tensor,
        indices_or_sections: int | Sequence[int] | None = None,
        *,
        indices: Sequence[int] | None = None,
        sections: int | None = None,
    ) -> tuple[Tensor, ...]:
        indices_or_sections = _one_of(name, indices_or_sections, indices, sections)
        at = dim if input.ndim > dim else 0
        need_ndim(name, input, needed)
        n = input._array.shape[at]
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or n % indices_or_sections):
            raise RuntimeError(f"{name}: {indices_or_sections} parts don't divide dimension {at} of shape {tuple(input.shape)}")
        return tensor_split(input, indices_or_sections, at)

    named(
        function,
        name,
        f"Views of equal parts, or of parts between the given places, along dimension {dim}.\n\n    Raises:\n"
        f"        RuntimeError: for fewer than {needed} dimensions, or parts that are not equal.\n",
    )
    samples = [Sample((Input(s),), k) for s in shapes for k in ({"sections": 2}, {"indices": (1, 3)})]
    return composite(
        samples=samples,
        reference=lambda x, sections=None, indices=None: tuple(reference(x, sections or indices)),
        error_inputs=[
            ErrorInput(lambda tg: function(tg.ones(3, 3, 3), 2), RuntimeError, f"{name}: 2 parts don't divide dimension {dim}"),
            ErrorInput(lambda tg: function(tg.tensor(1.0), 1), RuntimeError, f"{name}: expected at least {needed} dimension"),
        ],
    )(function)


hsplit = _along("hsplit", 1, 1, np.hsplit, (2, 4, 3), (4,))
vsplit = _along("vsplit", 2, 0, np.vsplit, (4, 3))
dsplit = _along("dsplit", 3, 2, np.dsplit, (2, 1, 4, 3), (2, 3, 4))
