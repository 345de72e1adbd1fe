"""Indexing, gathering and scattering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes, inplace
from ..registry import Op, apply, as_tensor_input, public, register
from ..samples import ErrorInput, Input, Sample
from ..tensor import Tensor, wrap
from .create import converted
from .elementwise import where_op
from .shape import normalize_dim, to_dtype

_BASIC = (int, slice, type(None), type(Ellipsis))


def _parsed(index: Any) -> tuple[tuple[Any, ...], bool]:
    """An index as NumPy takes it, and whether it is basic (gives a view)."""
    parts = index if isinstance(index, tuple) else (index,)
    out: list[Any] = []
    basic = True
    for part in parts:
        if isinstance(part, Tensor):
            if part.dtype is dtypes.uint8:
                raise IndexError("a uint8 tensor as an index is a mask in PyTorch and positions in NumPy: use .bool() or .long()")
            part = part._array
        if isinstance(part, (list, range, tuple)):
            part = np.asarray([p._array if isinstance(p, Tensor) else p for p in part])
            part = part.astype(np.int64) if part.size == 0 else part
        if isinstance(part, np.generic) or (isinstance(part, np.ndarray) and part.ndim == 0 and part.dtype.kind in "iu"):
            part = part.item()
        if isinstance(part, slice):
            part = slice(*(None if p is None else p.__index__() for p in (part.start, part.stop, part.step)))
        if isinstance(part, np.ndarray):
            if part.dtype.kind not in "biu":
                raise IndexError(f"tensors used as indices must be of an integer or bool dtype, got {part.dtype}")
            basic = False
        elif isinstance(part, bool):
            basic = False
        elif not isinstance(part, _BASIC) and hasattr(part, "__index__"):
            part = part.__index__()
        elif not isinstance(part, _BASIC):
            raise TypeError(f"only integers, slices, ..., None, lists and integer or bool tensors can index a tensor, got {type(part).__name__}")
        out.append(part)
    if basic and Ellipsis not in out:
        out.append(Ellipsis)  # NumPy then returns a 0-d view, not a number
    return tuple(out), basic


def _selected_first(parsed: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """Integers beside arrays: the basic index and then the index of arrays alone that together do what PyTorch does.

    PyTorch selects by integers first; NumPy broadcasts them with the arrays, which moves dimensions to the front. None where
    the two agree because there are no integers.
    """
    if not any(type(p) is int for p in parsed):
        return None
    basic: list[Any] = []
    arrays: list[Any] = []
    for p in parsed:
        if isinstance(p, np.ndarray):
            basic += [slice(None)] * (p.ndim if p.dtype.kind == "b" else 1)
            arrays.append(p)
        elif isinstance(p, bool):
            arrays.append(p)
        elif p is Ellipsis:
            basic.append(p)
            arrays.append(p)
        else:
            basic.append(p)
            if not isinstance(p, int):
                arrays.append(slice(None))
    if not any(p is Ellipsis for p in basic):
        basic.append(Ellipsis)
    return tuple(basic), tuple(arrays)


def _kept(parsed: tuple[Any, ...]) -> tuple[Any, ...]:
    """An index for the tape to keep: its arrays are copied, since their owner may change them before backward."""
    return tuple(p.copy() if isinstance(p, np.ndarray) else p for p in parsed)


_slice = register(
    Op(
        "slice",
        ("input",),
        lambda B, x, *, index: x[index],
        {"input": lambda K, g, input_shape, index: K.slice_backward(g, index=index, size=input_shape)},
        view=True,
        method=False,
        samples=[
            Sample((Input((3, 4)),), {"index": i})
            for i in [(1, Ellipsis), (slice(None), slice(1, 3)), (None, Ellipsis, 0), (slice(None, None, 2), -1), (slice(2, 2), Ellipsis)]
        ],
        reference=lambda x, index: x[index],
    )
)

register(
    Op(
        "slice_backward",
        ("input",),
        lambda B, g, *, index, size: B.place(g, index, size),
        {"input": lambda K, g, index: K.slice(g, index=index)},
        method=False,
        samples=[Sample((Input((2, 2)),), {"index": (slice(0, 2), slice(1, 3)), "size": (3, 4)})],
        reference=lambda g, index, size: _placed(g, index, size),
    )
)


def _placed(g: Any, index: Any, size: tuple[int, ...]) -> Any:
    out = np.zeros(size, g.dtype)
    np.add.at(out, index, g)
    return out


_ADVANCED = [(np.array([0, 2, 0]),), (np.array([True, False, True]),), (slice(None), np.array([[1, 0], [3, 3]])), (np.array([0, 1]), np.array([2, 2]))]

_index = register(
    Op(
        "index",
        ("input",),
        lambda B, x, *, index: np.asarray(x[index]),
        {"input": lambda K, g, input_shape, index: K.index_backward(g, index=index, size=input_shape)},
        method=False,
        samples=[Sample((Input((3, 4)),), {"index": i}) for i in _ADVANCED],
        reference=lambda x, index: x[index],
    )
)

register(
    Op(
        "index_backward",
        ("input",),
        lambda B, g, *, index, size: _scattered(B, g, index, size),
        {"input": lambda K, g, index: K.index(g, index=index)},
        method=False,
        samples=[Sample((Input((3, 4)),), {"index": (np.array([0, 2, 0]),), "size": (3, 4)})],
        reference=lambda g, index, size: _placed(g, index, size),
    )
)

_index_put = register(
    Op(
        "index_put",
        ("input", "values"),
        lambda B, x, v, *, index: _put(x, v, index),
        {
            "input": lambda K, g, index: K.index_clear(g, index=index),
            "values": lambda K, g, values_shape, values_dtype, index: K.to(
                K.sum_to_size(_surviving(K, g, index), size=values_shape), dtype=dtypes.FROM_NUMPY[values_dtype]
            ),
        },
        method=False,
        samples=[
            Sample((Input((3, 4)), Input((2, 4))), {"index": (np.array([0, 2]),)}),
            Sample((Input((3, 4)), Input(())), {"index": (np.array([True, False, True]),)}),
        ],
        reference=lambda x, v, index: _put(x, v, index),
    )
)

register(
    Op(
        "index_clear",
        ("input",),
        lambda B, x, *, index: _put(x, 0, index),
        {"input": lambda K, g, index: K.index_clear(g, index=index)},
        method=False,
        samples=[Sample((Input((3, 4)),), {"index": (np.array([0, 2]),)})],
        reference=lambda x, index: _put(x, 0, index),
    )
)


def _put(x: Any, v: Any, index: Any) -> Any:
    out = x.copy()
    out[index] = v
    return out


def _surviving(K: Any, g: Any, index: tuple[Any, ...]) -> Any:
    """The gradient at the places written to, but 0 for values that a later one of the same place overwrote."""
    picked = K.index(g, index=index)
    if all(p.dtype.kind == "b" for p in index if isinstance(p, np.ndarray)):
        return picked  # a mask names no place twice
    array = g._array if isinstance(g, Tensor) else g
    writer = np.zeros(array.shape, np.int64)
    number = np.arange(writer[index].size).reshape(writer[index].shape)
    writer[index] = number
    last = writer[index] == number
    if last.all():
        return picked
    return K.where(wrap(last) if isinstance(g, Tensor) else last, picked, 0.0)


def _widened(x: Any, function: Callable[[Any], Any]) -> Any:
    """``function`` of an array; in float32 when it is of a 16-bit float, so that sums are not rounded at every step."""
    if x.dtype.itemsize == 2 and dtypes.FROM_NUMPY[x.dtype].is_floating_point:
        return function(x.astype(np.float32)).astype(x.dtype)
    return function(x)


def _scattered(B: Any, g: Any, index: tuple[Any, ...], size: tuple[int, ...]) -> Any:
    return _widened(g, lambda x: B.scatter_at(x, index, size))


def getitem(self: Tensor, index: Any) -> Tensor:
    """``tensor[index]``: a view for integers, slices, ``...`` and None; a copy for lists and integer or bool tensors.

    Raises:
        IndexError: when an index is out of range or there are too many.
    """
    parsed, basic = _parsed(index)
    if basic:
        return apply(_slice, (self,), {"index": parsed})  # type: ignore[no-any-return]
    steps = _selected_first(parsed)
    if steps is not None:
        self, parsed = apply(_slice, (self,), {"index": steps[0]}), steps[1]
    if self._entry is not None:
        parsed = _kept(parsed)
    return apply(_index, (self,), {"index": parsed})  # type: ignore[no-any-return]


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """``tensor[index] = value``: writes in place, broadcasting and casting the value to the tensor's dtype.

    Raises:
        IndexError: as :func:`getitem`.
        RuntimeError: when the value's shape can't be broadcast, or as other writes in place.
    """
    parsed, basic = _parsed(index)
    number = isinstance(value, (bool, int, float, complex, np.generic))
    source = wrap(converted(np.array(value), self._array.dtype)) if number else value
    source = as_tensor_input(source, "setitem", "value")
    if basic:
        _drop_leading_ones(getitem(self, index), source)
        return
    steps = _selected_first(parsed)
    if steps is not None:
        self, parsed = getitem(self, steps[0]), steps[1]
    if self._entry is not None or source._entry is not None:
        parsed = _kept(parsed)
    try:
        inplace.write(_index_put, self, (source,), {"index": parsed}, cast=True)
    except (ValueError, TypeError) as error:
        if source.ndim and source._array.shape[0] == 1:  # PyTorch drops leading ones, NumPy not before a mask
            setitem(self, parsed, source.squeeze(0))
        else:
            raise RuntimeError(f"setitem: a value of shape {tuple(source.shape)} can't be written there: {error}") from None


def _drop_leading_ones(place: Tensor, source: Tensor) -> None:
    while source.ndim > place.ndim and source._array.shape[0] == 1:
        source = source.squeeze(0)
    place.copy_(source)


# --------------------------------------------------------------------------------------------------- gather and scatter


def _grid(index: Any, dim: int) -> tuple[Any, ...]:
    grids = list(np.ix_(*[np.arange(n) for n in index.shape]))
    grids[dim] = index
    return tuple(grids)


_gather = register(
    Op(
        "gather",
        ("input", "index"),
        lambda B, x, i, *, dim: np.asarray(x[_grid(i, dim)]) if x.ndim else x.copy(),
        {"input": lambda K, g, index, input_shape, dim: K.scatter_zeros(g, index, dim=dim, size=input_shape)},
        samples=[
            Sample((Input((3, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0}),
            Sample((Input((3, 4)), Input((3, 5), 0, 4, "int")), {"dim": 1}),
        ],
        reference=lambda x, i, dim: np.take_along_axis(x[tuple(slice(0, n) if d != dim else slice(None) for d, n in enumerate(i.shape))], i, dim),
        error_inputs=[ErrorInput(lambda tg: tg.ones(3).gather(0, tg.tensor([3])), IndexError, "gather: index 3 is out of range")],
    )
)

_scatter_zeros = register(
    Op(
        "scatter_zeros",
        ("input", "index"),
        lambda B, g, i, *, dim, size: _scattered(B, g, _grid(i, dim), size) if size else g.copy(),
        {"input": lambda K, g, index, dim: K.gather(g, index, dim=dim)},
        method=False,
        samples=[Sample((Input((2, 4)), Input((2, 4), 0, 3, "int")), {"dim": 0, "size": (3, 4)})],
        reference=lambda g, i, dim, size: _placed(g, _grid(i, dim), size),
    )
)


def _check_index(name: str, input: Tensor, dim: int, index: Tensor) -> tuple[int, Tensor]:
    at = normalize_dim(dim, input.ndim, name)
    i = index._array
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected an integer index, got dtype {index.dtype}")
    if i.ndim != input.ndim or any(a > b for d, (a, b) in enumerate(zip(i.shape, input._array.shape, strict=True)) if d != at):
        raise RuntimeError(
            f"{name}: index of shape {tuple(i.shape)} must have as many dimensions as the input of shape {tuple(input.shape)} and be no "
            f"larger outside dimension {at}"
        )
    n = input._array.shape[at] if input.ndim else 1
    if i.size and (i.min() < 0 or i.max() >= n):
        wrong = int(i.min()) if i.min() < 0 else int(i.max())
        raise IndexError(f"{name}: index {wrong} is out of range for dimension {at} of size {n}")
    return at, index


@public(_gather)
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, and so on: elements picked along ``dim``.

    Raises:
        RuntimeError: when shapes don't fit or the index is not integer.
        IndexError: when an index is out of range (negative ones are).
    """
    at, index = _check_index("gather", input, dim, index)
    return apply(_gather, (input, index), {"dim": at})  # type: ignore[no-any-return]


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src[i][j]`` added at ``[index[i][j]][j]`` for dim 0, and so on. Repeated indices add up, in order.

    Raises:
        RuntimeError, IndexError: as :func:`gather`.
    """
    at, index, used = _scattering("scatter_add", input, dim, index, src)
    return input + apply(_scatter_zeros, (used, index), {"dim": at, "size": tuple(input._array.shape)})  # type: ignore[no-any-return]


def _scattering(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor) -> tuple[int, Tensor, Tensor]:
    """The arguments of a scatter, checked, and the part of ``src`` that the index covers."""
    at, index = _check_index(name, input, dim, index)
    if src._array.ndim != index._array.ndim or any(a > b for a, b in zip(index._array.shape, src._array.shape, strict=True)):
        raise RuntimeError(f"{name}: src of shape {tuple(src.shape)} is smaller than the index of shape {tuple(index.shape)}")
    if src.dtype is not input.dtype:
        raise RuntimeError(f"{name}: src has dtype {src.dtype}, the input {input.dtype}; convert one with .to()")
    return at, index, src[tuple(slice(0, n) for n in index._array.shape)]


def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """:func:`scatter_add` in place; returns the tensor."""
    at, index, used = _scattering("scatter_add_", self, dim, index, src)
    return self.add_(apply(_scatter_zeros, (used, index), {"dim": at, "size": tuple(self._array.shape)}))  # type: ignore[no-any-return]


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``input`` with ``value`` (a number or 0-d tensor) where the bool ``mask``, broadcast, holds.

    Raises:
        RuntimeError: when the mask is not bool.
    """
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"masked_fill: expected a bool mask, got {mask.dtype}")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"masked_fill: the value must be a number or a 0-d tensor, it has shape {tuple(value.shape)}; use where()")
        value = to_dtype(value, input.dtype)
    elif input.dtype.category < dtypes.of_scalar(value).category:
        raise RuntimeError(f"masked_fill: the value {value!r} can't be written into dtype {input.dtype}")
    result: Tensor = where_op.call(mask, value, input)
    return to_dtype(result, input.dtype)


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """:func:`masked_fill` in place; returns the tensor."""
    return self.copy_(masked_fill(self, mask, value))  # type: ignore[no-any-return]


_embedding = register(
    Op(
        "embedding",
        ("weight", "input"),
        lambda B, w, i, *, padding_idx: w[i],
        {"weight": lambda K, g, input, weight_shape, padding_idx: K.embedding_backward(g, input, size=weight_shape, padding_idx=padding_idx)},
        method=False,
        samples=[
            Sample((Input((5, 3)), Input((2, 4), 0, 5, "int")), {"padding_idx": None}),
            Sample((Input((5, 3)), Input((4,), 0, 2, "int")), {"padding_idx": 2}),  # unused: its gradient is a convention
        ],
        reference=lambda w, i, padding_idx: w[i],
        error_inputs=[ErrorInput(lambda tg: tg.nn.functional.embedding(tg.tensor([5]), tg.ones(5, 2)), IndexError, "embedding: index 5 is out of range")],
    )
)

register(
    Op(
        "embedding_backward",
        ("input", "index"),
        lambda B, g, i, *, size, padding_idx: _widened(g, lambda x: B.scatter_rows(x, i, size, padding_idx)),
        {"input": lambda K, g, index, size, padding_idx: K.embedding(_clear_row(K, g, padding_idx), index, padding_idx=None)},
        method=False,
        samples=[Sample((Input((4, 3)), Input((4,), 0, 5, "int")), {"size": (5, 3), "padding_idx": p}) for p in (None, 2)],
        reference=lambda g, i, size, padding_idx: _placed(np.where((i == padding_idx)[..., None], 0, g), (i,), size),
    )
)


def _clear_row(K: Any, g: Any, row: int | None) -> Any:
    return g if row is None else K.index_clear(g, index=(row,))


@public(_embedding)
def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of ``weight`` (n, d) picked by the integer tensor ``input`` (...): shape (..., d). Row ``padding_idx`` gets no gradient.

    Raises:
        IndexError: when an index is out of range.
        RuntimeError: when the input is not an integer tensor.
    """
    i, n = input._array, weight._array.shape[0]
    if i.dtype.kind not in "iu":
        raise RuntimeError(f"embedding: expected an integer input, got dtype {input.dtype}")
    if i.size and (i.min() < 0 or i.max() >= n):
        raise IndexError(f"embedding: index {int(i.min() if i.min() < 0 else i.max())} is out of range for {n} rows")
    if padding_idx is not None:
        padding_idx = normalize_dim(padding_idx, n, "embedding padding_idx")
    return apply(_embedding, (weight, input), {"padding_idx": padding_idx})  # type: ignore[no-any-return]
