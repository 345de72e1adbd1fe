"""Indexing: ``t[i]`` and ``t[i] = v``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes, inplace
from ...device import backend
from ...modes import local
from ...opcall import check_devices
from ...registry import Op, as_tensor_input, register
from ...samples import Input, Sample
from ...shown import Shown
from ...tensor import Tensor, wrap
from ..checks import index_array, need_same_dtype, read_values
from ..create import converted

_BASIC = (int, slice, type(None), type(Ellipsis))
_BOUNDS = (int, type(None))  # of a slice that needs no conversion


def basic_index(index: Any) -> tuple[Any, ...] | None:
    """An index of ints, slices of ints, ... and None as NumPy takes it; None for any other."""
    parts = index if index.__class__ is tuple else (index,)
    whole = True
    for part in parts:
        kind = part.__class__
        if kind is slice:
            if part.start.__class__ not in _BOUNDS or part.stop.__class__ not in _BOUNDS or part.step.__class__ not in _BOUNDS:
                return None
        elif part is Ellipsis:
            whole = False
        elif kind is not int and part is not None:
            return None
    return (*parts, Ellipsis) if whole else parts  # with which NumPy returns a 0-d view, not a number


def parsed_index(index: Any, input: Tensor) -> tuple[tuple[Any, ...], bool]:
    """An index of ``input`` as NumPy takes it, but for arrays that stay on a GPU; and whether it is basic (gives a view)."""
    parts = index if isinstance(index, tuple) else (index,)
    out: list[Any] = []
    basic = True
    for part in parts:
        if isinstance(part, Tensor):
            if part.dtype is dtypes.uint8:
                raise IndexError("a uint8 tensor as an index is a mask in PyTorch and positions in NumPy: use .bool() or .long()")
            own = part._array.__class__ is np.ndarray  # those of the host may index any device
            part = index_array(part, "a tensor as an index", None if own else input)
        if isinstance(part, (list, range, tuple)):
            part = np.asarray([read_values(p, "a tensor as an index") if isinstance(p, Tensor) else p for p in part])
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


_slice = register(
    Op(
        "slice",
        ("input",),
        lambda B, x, *, index: x[index],
        {"input": lambda K, g, input_shape, index: K.slice_backward(g, index=index, size=input_shape)},
        view=True,
        part=True,
        method=False,
        samples=[
            Sample((Input((3, 4)),), {"index": i})
            for i in [(1, Ellipsis), (slice(None), slice(1, 3)), (None, Ellipsis, 0), (slice(None, None, 2), -1), (slice(2, 2), Ellipsis)]
        ],
        reference=lambda x, index: x[index],
    )
)

sliced = _slice.call  # (input, index): the view at a basic index

register(
    Op(
        "slice_backward",
        ("input",),
        lambda B, g, *, index, size: B.place(g, index, size),
        {"input": lambda K, g, index: K.slice(g, index=index)},
        method=False,
        samples=[Sample((Input((2, 2)),), {"index": (slice(0, 2), slice(1, 3)), "size": (3, 4)})],
        reference="index_references.placed",
    )
)


_ADVANCED = [(np.array([0, 2, 0]),), (np.array([True, False, True]),), (slice(None), np.array([[1, 0], [3, 3]])), (np.array([0, 1]), np.array([2, 2]))]

_index = register(
    Op(
        "index",
        ("input",),
        lambda B, x, *, index: B.pick(x, index),
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
        lambda B, g, *, index, size: B.scatter_at(g, index, size),
        {"input": lambda K, g, index: K.index(g, index=index)},
        method=False,
        samples=[Sample((Input((3, 4)),), {"index": (np.array([0, 2, 0]),), "size": (3, 4)})],
        reference="index_references.placed",
    )
)


def _written(x: Any, v: Any, index: Any) -> Any:
    out = x.copy()
    out[index] = v
    return out


def _added(x: Any, v: Any, index: Any) -> Any:
    out = x.copy()
    np.add.at(out, index, v)
    return out


INDEX_PUT = register(
    Op(
        "index_put",
        ("input", "values"),
        lambda B, x, v, *, index: B.put(x, index, v),
        {
            "input": lambda K, g, index: K.index_clear(g, index=index),
            "values": lambda K, g, values_shape, values_dtype, index: _to_values(K, _surviving(K, g, index), values_shape, values_dtype),
        },
        method=False,
        samples=[
            Sample((Input((3, 4)), Input((2, 4))), {"index": (np.array([0, 2]),)}),
            Sample((Input((3, 4)), Input(())), {"index": (np.array([True, False, True]),)}),
            Sample((Input((3, 4)), Input((2, 3))), {"index": (np.array([[0], [2]]), np.array([1, 1, 0]))}),
        ],
        reference=_written,
    )
)

register(
    Op(
        "index_clear",
        ("input",),
        lambda B, x, *, index: B.put(x, index, 0),
        {"input": lambda K, g, index: K.index_clear(g, index=index)},
        method=False,
        samples=[Sample((Input((3, 4)),), {"index": (np.array([0, 2]),)})],
        reference=lambda x, index: _written(x, 0, index),
    )
)

INDEX_ACCUMULATE = register(
    Op(
        "index_accumulate",
        ("input", "values"),
        lambda B, x, v, *, index: B.add_at(x, index, v),
        {
            "input": lambda K, g: g,
            "values": lambda K, g, values_shape, values_dtype, index: _to_values(K, K.index(g, index=index), values_shape, values_dtype),
        },
        method=False,
        samples=[
            Sample((Input((3, 4)), Input((3, 4))), {"index": (np.array([0, 2, 0]),)}),
            Sample((Input((3, 4)), Input(())), {"index": (np.array([True, False, True]),)}),
            Sample((Input((3, 4)), Input((2, 3))), {"index": (np.array([[0], [2]]), np.array([1, 1, 0]))}),
        ],
        reference=_added,
        kinds="ifc",
    )
)


def _to_values(K: Any, g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    return K.to(K.sum_to_size(g, size=shape), dtype=dtypes.FROM_NUMPY[dtype])


def _surviving(K: Any, g: Any, index: tuple[Any, ...]) -> Any:
    """The gradient at the places written to, but 0 for values that a later one of the same place overwrote."""
    picked = K.index(g, index=index)
    if all(p.dtype.kind == "b" for p in index if isinstance(p, np.ndarray)):
        return picked  # a mask names no place twice
    array = g._array if isinstance(g, Tensor) else g
    last = backend(array).last_written(array, index)
    if last is None:
        return picked
    return K.where(wrap(last) if isinstance(g, Tensor) else last, picked, 0.0)


def getitem(self: Tensor, index: Any) -> Tensor:
    """``tensor[index]``: a view for integers, slices, ``...`` and None; a copy for lists and integer or bool tensors.

    Raises:
        IndexError: when an index is out of range or there are too many.
    """
    made = _indexed.quick(self, local.flags, index)
    return _indexed(self, index) if made is None else made  # type: ignore[no-any-return]


@Shown
def _indexed(self: Tensor, index: Any) -> Tensor:
    simple = basic_index(index)
    parsed, basic = parsed_index(index, self) if simple is None else (simple, True)
    try:
        if basic:
            return sliced(self, parsed)  # type: ignore[no-any-return]
        steps = _selected_first(parsed)
        if steps is None:
            return picked(self, parsed)
        return picked(sliced(self, steps[0]), steps[1])
    except IndexError as error:
        raise IndexError(f"indexing: {error}; the tensor has shape {tuple(self.shape)}") from None


def picked(input: Tensor, index: tuple[Any, ...]) -> Tensor:
    """A copy of the elements at an index of arrays."""
    return _index.call(input, backend(input._array).settled(index))  # type: ignore[no-any-return]


def put(name: str, input: Tensor, values: Tensor, index: tuple[Any, ...], *, accumulate: bool = False, in_place: bool = False) -> Tensor:
    """``input`` with ``values`` (broadcast) written at, or added to, an index of arrays. Nothing is written when it is wrong.

    Raises:
        IndexError: when the index is out of range.
        RuntimeError: when the values' dtype is another, or their shape can't be broadcast.
    """
    need_same_dtype(name, input=input, values=values)
    op = INDEX_ACCUMULATE if accumulate else INDEX_PUT
    index = _settled(input, index, values)
    try:
        if in_place:
            check_devices(name, (input, values))
            return inplace.write(op, input, (values,), {"index": index})
        return op.call(input, values, index=index)  # type: ignore[no-any-return]
    except IndexError as error:
        raise IndexError(f"{name}: {error}; the input has shape {tuple(input.shape)}") from None
    except ValueError as error:
        raise RuntimeError(f"{name}: values of shape {tuple(values.shape)} don't fit there: {error}") from None


def _settled(input: Tensor, index: tuple[Any, ...], values: Tensor) -> tuple[Any, ...]:
    """The index for use in forward and backward; as it is where a single value goes to wherever a mask says."""
    return index if values._array.ndim == 0 else backend(input._array).settled(index)  # type: ignore[no-any-return]


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """``tensor[index] = value``: writes in place, broadcasting and casting the value to the tensor's dtype.

    Raises:
        IndexError: as :func:`getitem`.
        RuntimeError: when the value's shape can't be broadcast, or as other writes in place.
    """
    simple = basic_index(index)
    if simple is not None and _set_quickly(self, simple, value):
        return
    parsed, basic = parsed_index(index, self)
    number = isinstance(value, (bool, int, float, complex, np.generic))
    source = wrap(backend(self._array).number(converted("setitem", np.array(value), self._array.dtype), self._array)) if number else value
    source = as_tensor_input(source, "setitem", "value")
    if basic:
        _drop_leading_ones(getitem(self, index), source)
        return
    steps = _selected_first(parsed)
    if steps is not None:
        self, parsed = getitem(self, steps[0]), steps[1]
    check_devices("setitem", (self, source), numbers=True)
    try:
        inplace.write(INDEX_PUT, self, (source,), {"index": _settled(self, parsed, source)}, cast=True)
    except (ValueError, TypeError) as error:
        if source.ndim and source._array.shape[0] == 1:  # PyTorch drops leading ones, NumPy not before a mask
            setitem(self, parsed, source.squeeze(0))
        else:
            raise RuntimeError(f"setitem: a value of shape {tuple(source.shape)} can't be written there: {error}") from None


def _set_quickly(self: Tensor, index: tuple[Any, ...], value: Any) -> bool:
    """Write where the tape has nothing to see and nothing must be converted; False, and nothing written, where that is not so."""
    memory = inplace.untaped_memory(self, value)
    if memory is None:
        return False
    source = value if dtypes.surely_fits(value, memory.dtype) else inplace.plain_array(memory, value)
    if source is None:
        return False
    try:
        memory[index] = source
    except (IndexError, ValueError):
        return False
    self._storage.wrote("copy_")
    return True


def _drop_leading_ones(place: Tensor, source: Tensor) -> None:
    while source.ndim > place.ndim and source._array.shape[0] == 1:
        source = source.squeeze(0)
    place.copy_(source)
