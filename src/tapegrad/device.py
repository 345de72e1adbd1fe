"""Devices, and which kernels serve which kind of array.

Importing tapegrad imports nothing of CUDA. An op reaches kernels only through :func:`backend`, so no op asks for a device.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .kernels import cpu


class device:
    """Where a tensor lives: ``device("cpu")``, ``device("cuda")``, ``device("cuda", 1)`` or ``device("cuda:1")``.

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
        if not isinstance(type, str):
            raise TypeError(f"device expects a string such as 'cpu' or 'cuda:0', got {type!r}")
        kind, colon, number = type.partition(":")
        if kind not in ("cpu", "cuda") or (colon and not number.isdecimal()):
            raise RuntimeError(f"tapegrad has no device {type!r}; it has 'cpu' and 'cuda' (with an index, 'cuda:0')")
        if colon and index is not None:
            raise RuntimeError(f"device got an index twice: {type!r} and {index}")
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


CPU = device("cpu")

# Array type -> the module of kernels that serves it.
BACKENDS: dict[type, ModuleType] = {np.ndarray: cpu}


def backend(array: Any) -> ModuleType:
    """The kernels for this array."""
    return BACKENDS[array.__class__]


def to_device(spec: Any) -> device:
    """A usable device from a device, a string or None (the CPU).

    Raises:
        RuntimeError: for an unknown device, or one that this machine or this version can't use.
    """
    found = CPU if spec is None else device(spec)
    if found.type == "cuda":
        raise RuntimeError("this version of tapegrad has no CUDA backend yet; use device='cpu'")
    return found


def set_default_device(device: Any) -> None:
    """Make new tensors on this device unless told otherwise: on the CPU, which is all there is.

    Raises:
        RuntimeError: for another one.
    """
    to_device(device)


def get_default_device() -> device:
    """Where new tensors are made unless told otherwise."""
    return CPU
