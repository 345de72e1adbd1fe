"""What an index names: slices apart, the dimensions that arrays index become one, whose rows a vector of int64 numbers.

An array is seen as (outer, size, inner): ``size`` rows along the dimensions that are indexed, ``inner`` elements in each, ``outer`` times.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import errors, language as L
from ..array import CudaArray, contiguous, empty, to_device
from ..context import blocks_for
from ..elementwise import joined
from ..kernel import family, from_text
from ..language import cuda, int64
from .compact import true_places

_INT64 = np.dtype(np.int64)
_WHOLE = slice(None)


class Along(NamedTuple):
    """The first part of an index (Along(dim), array): ``array[i, j, ...]`` counts along ``dim``, and i, j, ... are the other places."""

    dim: int
    distinct: bool = False  # no place is named twice


class Flat(NamedTuple):
    """The first part of an index (Flat(), array): the array counts in all elements, from the end where negative."""


class Chosen(NamedTuple):
    """A part of an index that means a mask: the row-major numbers of its true elements, and its shape."""

    places: CudaArray
    shape: tuple[int, ...]


def settled(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index with masks replaced by the places of their true elements, so that these are found once, not for each use. Waits for their
    number."""
    return tuple([Chosen(_true_places(p), p.shape) if isinstance(p, np.ndarray) and p.dtype.kind == "b" and p.ndim else p for p in index])


def _true_places(mask: Any) -> CudaArray:
    return true_places(mask) if mask.__class__ is CudaArray else to_device(np.flatnonzero(mask))


class Target(NamedTuple):
    """The places of an index.

    Attributes:
        basic: ints, slices and None, which select first; None where there is nothing to select.
        order: how the dimensions are then rearranged, so that indexed ones are neighbours; None where they are.
        outer, size, inner: what is then seen.
        entries: (array of int64, the size that it counts in), whose arrays broadcast to ``index_shape``; the last counts fastest.
        index_shape: as much of the result's shape as indices make.
        before, after: the rest of it.
        clean: no index is negative or out of range.
        unique: no row is named twice.
    """

    basic: tuple[Any, ...] | None
    order: tuple[int, ...] | None
    outer: int
    size: int
    inner: int
    entries: tuple[tuple[Any, int], ...]
    index_shape: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    clean: bool = False
    unique: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the elements that are picked."""
        return self.before + self.index_shape + self.after

    @property
    def named(self) -> int:
        """How many rows are named."""
        return math.prod(self.index_shape)

    def view(self, x: Any) -> Any:
        """The part of an array that the rows count in."""
        part = x if self.basic is None else x[self.basic]
        return part if self.order is None else part.transpose(self.order)


def target_of(shape: tuple[int, ...], index: tuple[Any, ...]) -> Target:
    """What an index names in an array of this shape. Waits for the number of true elements of masks.

    Raises:
        IndexError: for too many indices, a mask of another shape, indices that don't broadcast, or of the host and out of range.
    """
    if index and index[0].__class__ is Along:
        return _along(shape, index[0], index[1])
    if index and index[0].__class__ is Flat:
        n = math.prod(shape)
        return Target(None, None, 1, n, 1, ((as_int64(index[1]), n),), index[1].shape, (), ())
    parts = _complete(shape, index)
    basic: list[Any] = []
    arrays: list[tuple[Any, int, int]] = []  # (array, first dimension of the view, how many)
    at = to = 0
    runs, inside = 0, False  # neighbouring arrays
    for part in parts:
        if isinstance(part, slice):
            basic.append(part)
            at, to, inside = at + 1, to + 1, False
            continue
        if part is None:
            basic.append(part)
            to, inside = to + 1, False
            continue
        runs, inside = runs + (not inside), True
        p: Any = part if part.__class__ is CudaArray or part.__class__ is Chosen else np.asarray(part)
        masks = p.__class__ is Chosen or p.dtype.kind == "b"
        dims = len(p.shape) if masks else 1
        if dims == 0:
            basic.append(None)
            arrays.append((p.reshape(1), to, 1))
            to += 1
            continue
        if masks and p.shape != shape[at : at + dims]:
            axis, n, m = next((at + d, n, m) for d, (n, m) in enumerate(zip(shape[at : at + dims], p.shape, strict=True)) if n != m)
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis}; size of axis is {n} but size of corresponding boolean axis is {m}"
            )
        basic += [_WHOLE] * dims
        arrays.append((p, to, dims))
        at, to = at + dims, to + dims
    plain = all(p is not None and p == _WHOLE for p in basic)
    seen = shape if plain else np.broadcast_to(np.False_, shape)[tuple(basic)].shape
    entries, clean, unique = [], True, False
    for array, first, dims in arrays:
        size = math.prod(seen[first : first + dims])
        if array.__class__ is Chosen or array.dtype.kind == "b":
            unique = len(arrays) == 1
            found = array.places if array.__class__ is Chosen else _true_places(array)
        elif array.__class__ is CudaArray:
            found, clean = as_int64(array), False
        else:
            found = to_device(_checked(array, size, first))
        entries.append((found, size))
    try:
        index_shape = np.broadcast_shapes(*[e.shape for e, _ in entries])
    except ValueError:
        raise IndexError(
            f"shape mismatch: indexing arrays could not be broadcast together with shapes {' '.join(str(e.shape) for e, _ in entries)}"
        ) from None
    indexed = [d for _, first, dims in arrays for d in range(first, first + dims)]
    others = [d for d in range(len(seen)) if d not in indexed]
    first = indexed[0] if runs <= 1 and indexed else 0
    order = None if indexed == list(range(first, first + len(indexed))) else tuple(indexed + others)
    before, after = ([] if order is not None else seen[:first]), ([seen[d] for d in others] if order is not None else seen[first + len(indexed) :])
    size = math.prod(n for _, n in entries)
    return Target(
        None if plain else tuple(basic), order, math.prod(before), size, math.prod(after), tuple(entries), index_shape, tuple(before), tuple(after),
        clean, unique,
    )  # fmt: skip


def _complete(shape: tuple[int, ...], index: tuple[Any, ...]) -> list[Any]:
    """The parts, with full slices for an ellipsis and for what is left out."""
    used = 0
    for p in index:
        if p.__class__ is Chosen or (isinstance(p, np.ndarray) and p.dtype.kind == "b"):
            used += len(p.shape)
        elif p is not None and p is not Ellipsis and not isinstance(p, (bool, np.bool_)):
            used += 1
    if used > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed")
    rest = [_WHOLE] * (len(shape) - used)
    for k, p in enumerate(index):
        if p is Ellipsis:
            return [*index[:k], *rest, *index[k + 1 :]]
    return [*index, *rest]


def _checked(array: Any, size: int, axis: int) -> Any:
    """Indices of the host, counted from the front."""
    wrong = array[(array < -size) | (array >= size)]
    if wrong.size:
        raise IndexError(f"index {int(wrong.flat[0])} is out of bounds for axis {axis} with size {size}")
    return np.where(array < 0, array + size, array).astype(np.int64)


def as_int64(array: Any) -> Any:
    """The array on the device, row-major, as int64."""
    array = array if array.__class__ is CudaArray else to_device(array)
    if array.dtype != _INT64:
        return array.astype(_INT64)
    return contiguous(array)


def _along(shape: tuple[int, ...], along: Along, index: Any) -> Target:
    """All elements as rows, which the index's places in the array are."""
    dim = along.dim
    places = empty(index.shape, _INT64)
    size = math.prod(shape)
    if index.size:
        strides = [math.prod(shape[d + 1 :]) for d in range(len(shape))]
        steps = [0 if d == dim else s for d, s in enumerate(strides)]
        own = [math.prod(index.shape[d + 1 :]) for d in range(len(shape))]
        sizes, joint = joined(index.shape, [steps, own])
        numbers = (index.size, shape[dim], strides[dim], size, *sizes, *joint[0])
        kernel = flat_places(len(sizes))
        code = errors.operation("gather or scatter")
        kernel.launch(blocks_for(index.size, L.BLOCK), L.BLOCK, as_int64(index), places, errors.words(), code, *numbers)
    return Target(None, None, 1, size, 1, ((places, size),), index.shape, (), (), True, along.distinct or index.shape[dim] == 1)


@family(threads=L.BLOCK, rank=(0, 1, 2, 3))
def flat_places(rank: int) -> Any:
    """places[i]: that of index[i], which counts along one dimension of ``n``, ``stride`` elements apart; ``size`` where it is out of range."""
    report = errors.report
    names = [f"m{d}" for d in range(rank)] + [f"t{d}" for d in range(rank)]
    lines = [f"def kernel({', '.join(['index', 'places', 'words', 'code', 'count', 'n', 'stride', 'size', *names])}):"]
    lines += ["    i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x", "    while i < count:", "        k = index[i]"]
    lines += ["        if 0 <= k < n:", "            rest = i", "            place = k * stride"]
    for d in range(rank - 1, 0, -1):
        lines += [f"            next{d} = rest // m{d}", f"            place += (rest - next{d} * m{d}) * t{d}", f"            rest = next{d}"]
    lines += ["            places[i] = place + rest * t0" if rank else "            places[i] = place", "        else:", "            places[i] = size"]
    lines += ["            report(words, code, k, n)", "        i += int64(cuda.gridDim.x) * cuda.blockDim.x"]
    scope = {"cuda": cuda, "int64": int64, "report": report}
    return from_text("\n".join(lines), scope, "places"), "int64* int64* int64* int64 int64 int64 int64 int64" + " int64" * (2 * rank)


@family(threads=L.BLOCK, arrays=(1, 2, 3))
def combined_rows(arrays: int) -> Any:
    """rows[i]: the number of the row that the arrays' i-th elements name; how many rows there are where one is out of range."""
    report = errors.report
    names = [f"p{k}" for k in range(arrays)]
    lines = [f"def kernel({', '.join([*names, 'rows', 'words', 'code', 'count', 'size', *[f'n{k}' for k in range(arrays)]])}):"]
    lines += ["    i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x", "    while i < count:", "        row = int64(0)"]
    lines += ["        good = True"]
    for k in range(arrays):
        lines += [f"        k{k} = p{k}[i]", f"        at{k} = k{k} + n{k} if k{k} < 0 else k{k}", f"        row = row * n{k} + at{k}"]
        lines += [f"        if at{k} < 0 or at{k} >= n{k}:", "            good = False", f"            report(words, code, k{k}, n{k})"]
    lines += ["        rows[i] = row if good else size", "        i += int64(cuda.gridDim.x) * cuda.blockDim.x"]
    scope = {"cuda": cuda, "int64": int64, "report": report}
    return from_text("\n".join(lines), scope, "rows"), "int64* " * arrays + "int64* int64* int64 int64 int64" + " int64" * arrays


def rows_of(target: Target, operation: str) -> CudaArray:
    """The rows, none negative; ``target.size`` for indices out of range, which are noted."""
    if len(target.entries) == 1 and target.clean:
        return target.entries[0][0]  # type: ignore[no-any-return]
    rows = empty((target.named,), _INT64)
    if rows.size:
        arrays = [_spread(e, target.index_shape) for e, _ in target.entries]
        sizes = [n for _, n in target.entries]
        code = errors.operation(operation)
        kernel = combined_rows(len(arrays))
        kernel.launch(blocks_for(rows.size, L.BLOCK), L.BLOCK, *arrays, rows, errors.words(), code, rows.size, target.size, *sizes)
    return rows


def _spread(array: Any, shape: tuple[int, ...]) -> Any:
    from .shape import broadcast_to

    return array if array.shape == shape else broadcast_to(array, shape).copy()
