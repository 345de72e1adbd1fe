"""Memory shared with other libraries, by DLPack (PyTorch, JAX, CuPy, NumPy) or the CUDA array interface (CuPy, Numba).

NumPy makes and takes the capsules, and frees what they keep. Of what it has no name for, the memory of GPUs and bfloat16, only the header in the
capsule is another one.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .. import dtypes
from ..device import cuda_backend, device as Device, to_device
from ..modes import values_leave
from ..tensor import Tensor, wrap

__all__ = ["from_dlpack", "to_dlpack"]

_CPU, _CUDA, _CUDA_HOST, _CUDA_MANAGED = 1, 2, 3, 13
_UNSIGNED, _BFLOAT = 1, 4


class _Header(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p), ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


_IN_VERSIONED = 32  # bytes before the header: version, context, deleter, flags
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes, _is_valid.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_int
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_void_p


def _header(capsule: Any) -> _Header:
    """The header in a capsule, to read and to write.

    Raises:
        ValueError: when it holds none, or was used before.
    """
    for name, before in ((b"dltensor_versioned", _IN_VERSIONED), (b"dltensor", 0)):
        if _is_valid(capsule, name):
            return _Header.from_address(_pointer(capsule, name) + before)
    raise ValueError(f"{capsule!r} is no DLPack capsule, or was used before")


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """What DLPack calls the tensor's device: (1, 0) is the CPU, (2, n) a GPU."""
    where = self.device
    return (_CPU, 0) if where.type == "cpu" else (_CUDA, where.index or 0)


def dlpack(
    self: Tensor, *, stream: int | None = None, max_version: tuple[int, int] | None = None, dl_device: tuple[int, int] | None = None, copy: bool | None = None
) -> Any:
    """A DLPack capsule on the tensor's memory, for ``from_dlpack`` of any library.

    Raises:
        BufferError: when it requires grad, since what others do with it is not recorded, or can't be had as asked for.
    """
    if self._entry is not None:
        raise BufferError("a tensor that requires grad can't be handed to another library; use tensor.detach()")
    values_leave("__dlpack__()")
    kind, number = self.__dlpack_device__()
    if dl_device is not None and tuple(dl_device) != (kind, number):
        if tuple(dl_device) != (_CPU, 0) or copy is False:
            raise BufferError(f"a tensor on {self.device} can't be handed over as memory of DLPack's device {tuple(dl_device)} without a copy")
        return self.cpu().__dlpack__(max_version=max_version)
    array = (self.clone() if copy else self)._array
    narrow = array.dtype.kind == "V"  # bfloat16
    shown = array.view(np.uint16) if narrow else array
    capsule = _capsule(shown, max_version)
    header = _header(capsule)
    if narrow:
        header.code = _BFLOAT
    if kind == _CUDA:
        header.device_type, header.device_id = kind, number
        cuda_backend().ready_for(array, stream)
    return capsule


def cuda_array_interface(self: Tensor) -> dict[str, Any]:
    """Version 3 of the protocol by which CuPy and Numba take the memory of GPUs.

    Raises:
        AttributeError: for a tensor on the CPU.
        RuntimeError: when it requires grad, since what others do with it is not recorded.
    """
    if not self.is_cuda:
        raise AttributeError("a tensor on the CPU has no __cuda_array_interface__; .cuda() copies it to a GPU")
    if self._entry is not None:
        raise RuntimeError("a tensor that requires grad has no __cuda_array_interface__; use tensor.detach()")
    values_leave("__cuda_array_interface__")
    return self._array.__cuda_array_interface__  # type: ignore[no-any-return]


def _capsule(array: Any, max_version: tuple[int, int] | None) -> Any:
    if max_version is not None and max_version[0] >= 1:
        try:
            return np.ndarray.__dlpack__(array, max_version=max_version)  # type: ignore[call-arg]
        except TypeError:  # before NumPy 2.1
            pass
    return np.ndarray.__dlpack__(array)


class _Given:
    """A capsule as NumPy takes one."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU, 0

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule


class _Writeable:
    """An array's memory to be written to: NumPy takes what a capsule without a version holds for read-only, whatever it is."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.__array_interface__["data"][0], False)}


def _asked(x: Any) -> Any:
    """The capsule of an object that has ``__dlpack__``, or the capsule itself."""
    if not hasattr(x, "__dlpack__"):
        return x
    options: dict[str, Any] = {}
    kind, number = x.__dlpack_device__()
    if kind in (_CUDA, _CUDA_MANAGED):
        options["stream"] = cuda_backend().context.stream_of(number) or 1
    try:
        return x.__dlpack__(max_version=(1, 0), **options)
    except TypeError:  # it knows no versions
        return x.__dlpack__(**options)


def from_dlpack(x: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's array or tensor, on the CPU or a GPU, or of a DLPack capsule.

    Raises:
        BufferError: for memory that tapegrad has no kernels for.
        TypeError: for a dtype that it lacks, or an object without ``__dlpack__``.
        ValueError: when ``copy`` is false and the device another one, or for a capsule that was used before.
    """
    if not hasattr(x, "__dlpack__") and type(x).__name__ != "PyCapsule":
        raise TypeError(f"from_dlpack expects an object with __dlpack__, got {type(x).__name__}")
    capsule = _asked(x)
    header = _header(capsule)
    kind, number, narrow, versioned = header.device_type, header.device_id, header.code == _BFLOAT, _is_valid(capsule, b"dltensor_versioned")
    if kind not in (_CPU, _CUDA, _CUDA_HOST, _CUDA_MANAGED):
        raise BufferError(f"from_dlpack: tapegrad has no kernels for memory of DLPack's device {kind}")
    if header.lanes != 1 or (narrow and (header.bits != 16 or dtypes.bfloat16 is None)):
        raise TypeError(f"from_dlpack: tapegrad has no dtype of DLPack's code {header.code} with {header.bits} bits, {header.lanes} lanes")
    header.device_type, header.device_id = _CPU, 0
    if narrow:
        header.code = _UNSIGNED
    try:
        array: Any = np.from_dlpack(_Given(capsule))
    except (BufferError, RuntimeError) as error:
        raise TypeError(f"from_dlpack: tapegrad has no such dtype ({error})") from None
    if not versioned and not array.flags.writeable:
        array = np.asarray(_Writeable(array))
    if narrow:
        assert dtypes.bfloat16 is not None
        array = array.view(dtypes.bfloat16.numpy)
    dtypes.to_dtype(array.dtype)
    if kind in (_CUDA, _CUDA_MANAGED):
        array = _on_gpu(array, number)
    made = wrap(array)
    where: Device = made.device if device is None else to_device(device)
    if where != made.device:
        if copy is False:
            raise ValueError(f"from_dlpack: memory of {made.device} can't be shared with {where}")
        return made.to(where)  # type: ignore[no-any-return]
    return made.clone() if copy else made  # type: ignore[no-any-return]


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule on the tensor's memory, as ``tensor.__dlpack__()``: for libraries that ask for one."""
    return dlpack(tensor)


def _on_gpu(array: np.ndarray[Any, Any], number: int) -> Any:
    """The memory that NumPy was told is the host's as what it is."""
    address = array.__array_interface__["data"][0]
    made = cuda_backend().borrowed(address, array.shape, array.dtype, array.strides, number, array)
    if not array.flags.writeable:
        made.flags.writeable = False
    return made
