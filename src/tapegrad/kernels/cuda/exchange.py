"""Arrays from elsewhere: of other GPUs, and of other libraries on the same one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import CudaArray, at, contiguous, empty
from .context import context

_NOWHERE = 4096  # where an array without elements lies


def from_device(x: CudaArray, device: int) -> CudaArray:
    """A copy of another device's array on ``device``, row-major. Both current streams see it in their order."""
    home, driver = x.device, context.driver
    current = context.device
    try:
        context.use(home)
        source = contiguous(x)
        context.use(device)
        made = empty(source.shape, source.dtype)
    finally:
        context.use(current)
    there, here = context.stream_of(home), context.stream_of(device)
    after(here, device, there, home)  # the new memory's last use is over
    driver.copy(home, there, made.address, source.address, source.nbytes, "between")
    after(there, home, here, device)
    return made


def after(first: int, first_device: int, second: int, second_device: int) -> None:
    """Let a stream wait for what another one was given so far."""
    driver = context.driver
    event = driver.new_event(first_device, False)
    driver.record(first_device, event, first)
    driver.wait(second_device, event, second)
    driver.release_event(first_device, event)


class Foreign:
    """Memory of another library's, kept by what that gave."""

    __slots__ = ("address", "device", "keeper", "stream")

    def __init__(self, address: int, device: int, keeper: Any) -> None:
        self.address, self.device, self.keeper = address, device, keeper
        self.stream = 0
        context.used(device)

    def used_on(self, stream: int) -> None:
        """Nothing: who gave the memory says when it may be used again."""


def borrowed(
    address: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...] | None, device: int, keeper: Any
) -> CudaArray:
    """An array on memory that ``keeper`` keeps, another library's object; strides in bytes."""
    return at(address or _NOWHERE, shape, dtype, strides, Foreign(address, device, keeper))


def from_interface(source: Any) -> CudaArray:
    """An array on the memory of an object with ``__cuda_array_interface__``; the current stream waits for the one that this names.

    Raises:
        TypeError: for elements or a mask that no tensor has.
    """
    given = source.__cuda_array_interface__
    if given.get("mask") is not None:
        raise TypeError("an array with a mask can't become a tensor")
    address, read_only = given["data"]
    dtype = np.dtype(given["typestr"])
    if dtype.kind == "V" and dtype.itemsize == 2:
        import ml_dtypes

        dtype = np.dtype(ml_dtypes.bfloat16)
    shape = tuple(given["shape"])
    device = context.driver.holder(address) if address else context.device
    stream = given.get("stream")
    if stream is not None and _handle(stream) != context.stream_of(device):
        after(_handle(stream), device, context.stream_of(device), device)
    made = borrowed(address, shape, dtype, given.get("strides"), device, source)
    if read_only:
        made.flags.writeable = False
    return made


def _handle(stream: int) -> int:
    """A stream as the driver knows it, from the protocols' numbers: 1 is the default stream."""
    return 0 if stream == 1 else stream


def ready_for(array: CudaArray, stream: int | None) -> None:
    """Let a consumer's stream, as DLPack numbers them, wait for what was given so far; None is the default stream, -1 no stream."""
    if stream != -1:
        mine, theirs = context.stream_of(array.device), _handle(1 if stream is None else stream)
        if mine != theirs:
            after(mine, array.device, theirs, array.device)
