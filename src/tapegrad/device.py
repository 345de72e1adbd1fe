"""Devices, and which kernels serve which kind of array.

Importing tapegrad imports nothing of CUDA. An op reaches kernels only through :func:`backend`, so no op asks for a device.
"""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import numpy as np

from .kernels import cpu


class device:
    """Where a tensor lives: ``device("cpu")``, ``device("cuda")``, ``device("cuda", 1)``, ``device("cuda:1")`` or ``device(1)``.

    Attributes:
        type: "cpu" or "cuda".
        index: the device number, or None.
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        if isinstance(type, int) and type.__class__ is not bool and index is None:
            type, index = "cuda", type
        if not isinstance(type, str):
            raise TypeError(f"device expects a string such as 'cpu' or 'cuda:0', got {type!r}")
        kind, colon, number = type.partition(":")
        if kind not in ("cpu", "cuda") or (colon and not number.isdecimal()):
            raise RuntimeError(f"tapegrad has no device {type!r}; it has 'cpu' and 'cuda' (with an index, 'cuda:0')")
        if colon and index is not None:
            raise RuntimeError(f"device got an index twice: {type!r} and {index}")
        if index is not None and index < 0:
            raise RuntimeError(f"device: the index must not be negative, got {index}")
        self.type = kind
        self.index = int(number) if colon else index

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (")" if self.index is None else f", index={self.index})")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        """Make new tensors here."""
        found = to_device(self)
        _entered().append(_default.device)
        _default.device = found
        return self

    def __exit__(self, *error: object) -> None:
        _default.device = _entered().pop()


CPU = device("cpu")

# Array type -> the module of kernels that serves it; CUDA's comes with the first tensor on a GPU.
BACKENDS: dict[type, ModuleType] = {np.ndarray: cpu}


class _Default(threading.local):
    """Where new tensors go in this thread: None is the CPU. ``with device(...)`` nests."""

    device: device | None = None
    entered: list[Any] | None = None  # devices and None


_default = _Default()


def _entered() -> list[device | None]:
    """What the default was outside of each ``with`` that this thread is in."""
    if _default.entered is None:
        _default.entered = []
    return _default.entered


_cuda_backend: Any = None
_cuda_devices: dict[int, device] = {}
_named: dict[str, device] = {}


def backend(array: Any) -> ModuleType:
    """The kernels for this array."""
    return BACKENDS[array.__class__]


def cuda_backend() -> Any:
    """The CUDA kernels.

    Raises:
        RuntimeError: when no GPU can be used, with what is missing.
    """
    global _cuda_backend
    if _cuda_backend is None:
        from .kernels import cuda

        cuda.need_device()
        BACKENDS[cuda.CudaArray] = _cuda_backend = cuda if cuda_device_count() == 1 else cuda.Following(cuda)
    return _cuda_backend


def cuda_device_count() -> int:
    """How many GPUs can be used."""
    from .kernels.cuda.drivers import driver

    return driver().count()


def cuda_is_available() -> bool:
    """Whether tensors can live on a GPU."""
    return cuda_device_count() > 0


def kernels_of(where: device) -> Any:
    """The kernels of a device."""
    return cpu if where.type == "cpu" else cuda_backend()


def device_of(array: Any) -> device:
    """Where an array's memory is."""
    if BACKENDS.get(array.__class__, cpu) is cpu:
        return CPU
    number = array.device
    found = _cuda_devices.get(number)
    if found is None:
        found = _cuda_devices[number] = device("cuda", number)
    return found


def apart(a: Any, b: Any) -> bool:
    """Whether two arrays are on different devices."""
    return not (a.__class__ is np.ndarray is b.__class__) and device_of(a) != device_of(b)


def to_device(spec: Any) -> device:
    """A usable device from a device, a string or None (the default device); of GPUs with its number.

    Raises:
        RuntimeError: for an unknown device, or one that this machine can't use.
    """
    if spec is None:
        return _default.device or CPU
    found: Any = spec if spec.__class__ is device else _named.get(spec) if spec.__class__ is str else None
    if found is None:
        found = device(spec)
        if spec.__class__ is str:
            _named[spec] = found
    if found.type == "cpu":
        return found  # type: ignore[no-any-return]
    number = cuda_backend().numbered(found)
    return _cuda_devices.get(number) or _cuda_devices.setdefault(number, device("cuda", number))


def placed(array: np.ndarray[Any, Any], where: device, *, blocking: bool = True) -> Any:
    """An array of the host, or a copy of it on a GPU; see the backend's ``to_device``."""
    if where.type == "cpu":
        return array
    with cuda_backend().on_device(where.index):
        return cuda_backend().to_device(array, blocking=blocking)


def made_on(where: device, name: str, *args: Any) -> Any:
    """What a function of the kernels of a device makes there."""
    if where.type == "cpu":
        return getattr(cpu, name)(*args)
    with cuda_backend().on_device(where.index):
        return getattr(cuda_backend(), name)(*args)


def on_host(array: Any, *, blocking: bool = True) -> np.ndarray[Any, Any]:
    """The array, or a copy on the host of one on a GPU; see the backend's ``to_host``."""
    return array if BACKENDS.get(array.__class__, cpu) is cpu else cuda_backend().to_host(array, blocking=blocking)  # type: ignore[no-any-return]


def set_default_device(device: Any) -> None:
    """Make new tensors on this device unless told otherwise; None is the CPU.

    Raises:
        RuntimeError: for one that can't be used.
    """
    _default.device = None if device is None else to_device(device)


def get_default_device() -> device:
    """Where new tensors are made unless told otherwise."""
    return _default.device or CPU
