"""Arrays in device memory: NumPy's own shape, strides and views around an address that only the device can read.

A view of a ``CudaArray`` is NumPy's view, so transposing, slicing and broadcasting are what they are on the CPU. Whatever would read or
write elements on the host raises, or is done by a kernel.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from ..native import cache, runtime as rt
from ..native.call import builtin
from . import memory, pinned, recording, state
from .address import address_of
from .context import context, on_device
from .launching import filled
from .new_array import array_at, device_of, new

_STAGED = 1 << 16  # bytes that are copied once more rather than waited for


class CudaArray(np.ndarray[Any, Any]):
    """An array in the memory of a GPU, which it owns, or a view, whose ``base`` is the array that does."""

    __slots__ = ()

    # ---------------------------------------------------------------------------------------------------------- where

    @property
    def base(self) -> Any:  # type: ignore[override]
        """The array that this is a view of, or None."""
        found = np.ndarray.base.__get__(self)
        return found if found.__class__ is CudaArray else None

    @property
    def address(self) -> int:
        """Of the first element, on the device."""
        return address_of(self)

    @property
    def owner(self) -> Any:
        """What keeps the memory: a :class:`~.memory.Block`, or what :func:`at` was given."""
        found = np.ndarray.base.__get__(self)
        if found.__class__ is CudaArray:
            return found.owner
        return memory.Block(address_of(self)) if found is None else found

    device: Any  # the number of the device

    # ---------------------------------------------------------------------------------------------------- what it does

    def __getitem__(self, index: Any) -> Any:
        """A view, for a basic index; never a scalar."""
        parts = index if index.__class__ is tuple else (index,)
        for part in parts:
            if part is not None and part is not Ellipsis and not isinstance(part, (int, slice, np.integer)):
                raise TypeError(f"an array on a GPU can't be indexed by {type(part).__name__}")
        return np.ndarray.__getitem__(self, parts if Ellipsis in parts else (*parts, Ellipsis))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._copyto(self[index], value)

    def copy(self, order: Any = "C") -> CudaArray:
        """The same elements in new memory, row-major."""
        from .elementwise import copy

        return copy(self)

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> CudaArray:
        return self.copy()

    def astype(self, dtype: Any, order: Any = "C", casting: str = "unsafe", subok: bool = True, copy: bool = True) -> Any:  # type: ignore[override]
        """The elements as another dtype, in new memory."""
        from .elementwise import cast

        wanted = np.dtype(dtype)
        return self if wanted == self.dtype and not copy else cast(self, wanted)

    def fill(self, value: Any) -> None:
        """Write one value everywhere."""
        from .elementwise import assign

        assign(self, value)

    def reshape(self, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
        """A view where strides allow it, else a copy."""
        try:
            return np.ndarray.reshape(self, *shape, copy=False)
        except ValueError:
            if copy is False:
                raise
            return np.ndarray.reshape(self.copy(), *shape, copy=False)

    def ravel(self, order: Any = "C") -> Any:
        return self.reshape(-1)

    def flatten(self, order: Any = "C") -> Any:
        return self.copy().reshape(-1)

    def item(self, *index: Any) -> Any:
        return to_host(self).item(*index)

    def tolist(self) -> Any:
        return to_host(self).tolist()

    def __bool__(self) -> bool:
        return bool(to_host(self))

    def __repr__(self) -> str:
        return f"CudaArray(shape={self.shape}, dtype={self.dtype}, device={self.device})"

    __str__ = __repr__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> NoReturn:
        raise TypeError(f"NumPy's {ufunc.__name__} does not work on arrays of a GPU; .cpu() copies one to the host")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.copyto:
            return self._copyto(*args, **kwargs)
        if function is np.empty_like:
            return new_empty(self, self.shape, self.dtype)
        if function in _OF_SHAPES:
            return super().__array_function__(function, types, args, kwargs)
        raise TypeError(f"NumPy's {function.__name__} does not work on arrays of a GPU; .cpu() copies one to the host")

    @staticmethod
    def _copyto(target: Any, source: Any, casting: str = "same_kind") -> None:
        from .elementwise import assign

        if target.__class__ is not CudaArray:
            raise TypeError("an array of a GPU can't be written to one of the host by NumPy; .cpu() copies it")
        if source.__class__ is CudaArray and np.may_share_memory(source, target):
            source = source.copy()  # elements are read and written in any order
        assign(target, _fitting(source, target.shape) if isinstance(source, np.ndarray) else source)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the protocol by which CuPy, Numba and PyTorch take arrays of one another."""
        strides = None if self.flags.c_contiguous else self.strides
        typestr = "<V2" if self.dtype.kind == "V" else self.dtype.str  # as PyTorch calls bfloat16
        data = (self.address if self.size else 0, False)
        return {"shape": self.shape, "strides": strides, "typestr": typestr, "data": data, "version": 3, "stream": context.stream_of(self.device) or 1}


# Functions that look at shapes and strides only.
_OF_SHAPES = {
    np.may_share_memory, np.shares_memory, np.transpose, np.moveaxis, np.swapaxes, np.expand_dims, np.squeeze, np.flip, np.ndim, np.shape, np.size,
    np.reshape, np.diagonal, np.rollaxis, np.rot90, np.flipud, np.fliplr, np.array_split, np.split,
    np.broadcast_arrays, np.result_type,
}  # fmt: skip


def _on_host(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *args: Any, **options: Any) -> NoReturn:
        raise TypeError(f"an array on a GPU has no {name}; .cpu() copies it to the host")

    return refuse


for _name in (
    "__float__ __int__ __complex__ __index__ __iter__ __contains__ __reduce__ __reduce_ex__ all any argmax argmin argpartition argsort byteswap "
    "choose clip compress conj conjugate cumprod cumsum dot dump dumps max mean min nonzero partition prod ptp put repeat resize round "
    "searchsorted setfield sort std sum take tobytes tofile trace var __dlpack__"
).split():
    setattr(CudaArray, _name, _on_host(_name))


# ------------------------------------------------------------------------------------------------------------- making


def _empty(shape: Any, dtype: Any) -> CudaArray:
    """``empty`` for arguments of any kind, and where arrays are noted."""
    sizes = tuple([operator.index(n) for n in shape]) if isinstance(shape, Iterable) else (operator.index(shape),)
    dtype = np.dtype(dtype)
    if min(sizes, default=0) < 0:
        raise ValueError(f"an array can't have the shape {sizes}")
    made: CudaArray = _array_at(memory.pool().allocate(math.prod(sizes) * dtype.itemsize), dtype, sizes, None, None)
    recording.made(made)
    return made


def _fitting(source: Any, shape: tuple[int, ...]) -> Any:
    """What is written to an array of this shape, without the leading dimensions of size 1 that NumPy does not mind there.

    Raises:
        ValueError: when it can't be broadcast to the shape.
    """
    extra = source.ndim - len(shape)
    if extra > 0 and source.shape[:extra] == (1,) * extra:
        source = source.reshape(source.shape[extra:])
    if source.shape != shape and np.broadcast_shapes(source.shape, shape) != shape:
        raise ValueError(f"an array of shape {source.shape} can't be written to one of shape {shape}")
    return source


def _device(array: CudaArray) -> int:
    return int(array.owner.device)


def _zeros(shape: Any, dtype: Any) -> CudaArray:
    made = _empty(shape, dtype)
    fill_bytes(made, 0)
    return made


def fill_bytes(array: CudaArray, byte: int) -> None:
    """Write one byte everywhere in a contiguous array."""
    state.start()
    if recording.recorders and array.size:
        recording.filled(array, byte)
    filled(array, byte)


def new_empty(like: CudaArray, shape: Any, dtype: np.dtype[Any]) -> CudaArray:
    """An array with arbitrary contents on the device of another one, row-major."""
    with on_device(like.device):
        return empty(shape, dtype)


state.set_object(state.CLASS, CudaArray)
rt.block[rt.DEVICE_ARRAY] = id(CudaArray)
state.set_object(state.ACTIVATE, lambda device: context.driver.activate(device))
cache.keep_until_exit(_empty, _zeros, _device)
CudaArray.device = property(builtin(device_of, np.array([state.address, id(_device)], np.int64)))
_array_at: Callable[..., CudaArray] = builtin(array_at, np.array([state.address], np.int64))

empty: Callable[[Any, np.dtype[Any]], CudaArray] = builtin(new, np.array([state.address, 0, id(_empty)], np.int64))
"""``empty(shape, dtype)``: an array with arbitrary contents on the current device, row-major."""

zeros: Callable[[Any, np.dtype[Any]], CudaArray] = builtin(new, np.array([state.address, 1, id(_zeros)], np.int64))
"""``zeros(shape, dtype)``: an array of zeros on the current device."""


def at(address: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...] | None, owner: Any) -> CudaArray:
    """An array on memory that ``owner`` keeps: another array, or what has a ``device``."""
    return _array_at(address, dtype, tuple(shape), strides, owner)


def strided(x: CudaArray, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool) -> CudaArray:
    """A view of the elements from the first of ``x`` on, with these strides in bytes."""
    array = _array_at(address_of(x), x.dtype, tuple(shape), tuple(strides), x)
    if not writeable:
        array.flags.writeable = False
    return array


def contiguous(x: CudaArray) -> CudaArray:
    """The array itself where it is row-major, else a copy that is."""
    return x if x.flags.c_contiguous else x.copy()


def to_device(array: np.ndarray[Any, Any], *, blocking: bool = True) -> CudaArray:
    """A copy of an array of the host on the current device, row-major. The host's memory may be written again at once, unless it is
    pinned and the copy not ``blocking``. Small ones go by way of pinned memory, so that the host need not wait for the device."""
    source = np.ascontiguousarray(array).reshape(array.shape)
    if blocking and source.nbytes <= _STAGED:
        source, blocking = pinned.copied(source), False
    made = empty(source.shape, source.dtype)
    context.driver.copy(context.device, context.stream, made.address, source.ctypes.data, source.nbytes, "to device")
    memory = None if blocking else pinned.memory_of(source)
    if memory is None:
        context.driver.synchronize(context.device, context.stream)
    else:
        memory.used_on(context.device, context.stream)
    return made


def to_host(array: CudaArray, *, out: np.ndarray[Any, Any] | None = None, blocking: bool = True) -> np.ndarray[Any, Any]:
    """A copy on the host, row-major, or in ``out``, a row-major array. It is complete when this returns, unless not ``blocking``: then it
    is in pinned memory, and complete when the current stream is."""
    source = contiguous(array)
    made: Any = out if out is not None else np.empty(array.shape, array.dtype) if blocking else pinned.empty(array.shape, array.dtype)
    device, stream = array.device, context.stream_of(array.device)
    context.driver.copy(device, stream, made.ctypes.data, source.address, source.nbytes, "to host")
    memory = None if blocking else pinned.memory_of(made)
    if memory is not None:
        memory.used_on(device, stream)
    else:
        context.driver.synchronize(device, stream)
        from .errors import check

        check(device, stream)
    return made  # type: ignore[no-any-return]
