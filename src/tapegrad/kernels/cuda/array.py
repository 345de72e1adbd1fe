"""Arrays in device memory: NumPy's own shape, strides and views around an address that only the device can read.

A view of a ``CudaArray`` is NumPy's view, so transposing, slicing and broadcasting are what they are on the CPU. Whatever would read or
write elements on the host raises, or is done by a kernel.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from . import memory, pinned
from .address import address_of
from .context import context, on_device

# All addresses as one buffer, which an array of NumPy's can be made in without an object for each; NumPy takes 0 for no buffer.
_FIRST = 4096
_EVERYWHERE = (ctypes.c_char * (2**63 - 1 - _FIRST)).from_address(_FIRST)
_STAGED = 1 << 16  # bytes that are copied once more rather than waited for
_new: Callable[..., Any] = np.ndarray.__new__
_base: Callable[..., Any] = np.ndarray.base.__get__  # type: ignore[attr-defined]


class CudaArray(np.ndarray[Any, Any]):
    """An array in the memory of a GPU.

    Attributes:
        block: the memory, of an array that is no view, or of one that :func:`strided` made, the array that it is a view of; other views
            refer to that array as their ``base``.
    """

    __slots__ = ("block",)
    block: Any

    # ---------------------------------------------------------------------------------------------------------- where

    @property
    def base(self) -> Any:  # type: ignore[override]
        """The array that this is a view of, or None."""
        found = np.ndarray.base.__get__(self)
        block = (found if found.__class__ is CudaArray else self).block
        if block.__class__ is CudaArray:
            return block
        return found if found.__class__ is CudaArray else None

    @property
    def address(self) -> int:
        """Of the first element, on the device."""
        return address_of(self)

    @property
    def owner(self) -> Any:
        """The memory's :class:`~.memory.Block`, or what else keeps it."""
        base = self.base
        return self.block if base is None else base.block

    @property
    def device(self) -> int:  # type: ignore[override]
        """The number of the device."""
        found = _base(self)
        block = (found if found.__class__ is CudaArray else self).block
        return block.device  # type: ignore[no-any-return]

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
        if source.__class__ is CudaArray and source.owner is target.owner and np.may_share_memory(source, target):
            source = source.copy()  # elements are read and written in any order
        assign(target, source)

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


def empty(shape: Any, dtype: np.dtype[Any]) -> CudaArray:
    """An array with arbitrary contents on the current device, row-major."""
    size = math.prod(shape) * dtype.itemsize if shape.__class__ is tuple else int(shape) * dtype.itemsize
    block = memory.pool().allocate(size)
    array: CudaArray = _new(CudaArray, shape, dtype, _EVERYWHERE, block.address - _FIRST)
    array.block = block
    return array


def new_empty(like: CudaArray, shape: Any, dtype: np.dtype[Any]) -> CudaArray:
    """An array with arbitrary contents on the device of another one, row-major."""
    with on_device(like.device):
        return empty(shape, dtype)


def zeros(shape: Any, dtype: np.dtype[Any]) -> CudaArray:
    """An array of zeros on the current device."""
    array = empty(shape, dtype)
    context.driver.fill(context.device, context.stream, array.address, 0, array.nbytes)
    return array


def at(address: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...] | None, owner: Any) -> CudaArray:
    """An array on memory that ``owner`` keeps, which has a ``device``."""
    array: CudaArray = _new(CudaArray, shape, dtype, _EVERYWHERE, address - _FIRST, strides)
    array.block = owner
    return array


def strided(x: CudaArray, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool) -> CudaArray:
    """A view of the elements from the first of ``x`` on, with these strides in bytes."""
    array: CudaArray = _new(CudaArray, shape, x.dtype, _EVERYWHERE, x.address - _FIRST, strides)
    base = x.base
    array.block = x if base is None else base
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
