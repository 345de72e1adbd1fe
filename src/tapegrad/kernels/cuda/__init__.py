"""The CUDA backend: what ops may call. Arrays in, arrays out, in the memory of a GPU.

Imported when the first tensor is to live on a GPU; importing it starts no driver. It has the names of ``kernels.cpu``; an operation that
asks for one that is missing here raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from ..body import Body
from .array import CudaArray as CudaArray, empty as empty, to_device as to_device, to_host as to_host, zeros as zeros
from .context import context
from .elementwise import assign, cast as cast, copy as copy, run as elementwise


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotImplementedError(f"{name} has no implementation for CUDA yet; .cpu() moves a tensor to where it has one")


def need_device() -> None:
    """Raise RuntimeError, with what is missing, when no GPU can be used."""
    if context.driver.count() == 0:
        raise RuntimeError(f"device 'cuda' can't be used: {context.driver.missing()}")


def numbered(device: Any) -> Any:
    """The device with its number: of "cuda" the current one's.

    Raises:
        RuntimeError: when there is none of that number.
    """
    if device.index is None:
        return type(device)("cuda", context.device)
    if device.index >= context.driver.count():
        raise RuntimeError(f"device {device} does not exist: this machine has {context.driver.count()} that can be used, from cuda:0 on")
    return device


@contextlib.contextmanager
def on_device(number: int) -> Iterator[None]:
    """Make a device current."""
    before = context.device
    context.use(number)
    try:
        yield
    finally:
        context.use(before)


def learn(fast: Any, body: Body, operands: Any, outputs: Any, compute: Any) -> None:
    """Nothing: plans belong to bodies here."""


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """A view in which dimensions repeat."""
    return np.lib.stride_tricks.as_strided(x, shape, _broadcast_strides(x, shape), subok=True, writeable=False)


def _broadcast_strides(x: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    missing = len(shape) - x.ndim
    strides = [0 if m == 1 and m != n else s for m, n, s in zip(x.shape, shape[missing:], x.strides, strict=True)]
    return (0,) * missing + tuple(strides)


def copy_into(source: Any, target: Any) -> None:
    """Write ``source``, broadcast, to ``target``."""
    assign(target, source)


_ADD = Body(("a", "b"), ("t0 = a + b",), ("t0",))


def accumulate(into: Any, value: Any) -> Any:
    """``into += value`` (broadcast), in the memory of ``into``; returns it."""
    elementwise(_ADD, (into, value), (into,), into.dtype)
    return into


def added(a: Any, b: Any) -> Any:
    """``a + b`` (broadcast to ``a``) in new memory."""
    total = empty(a.shape, a.dtype)
    elementwise(_ADD, (a, b), (total,), a.dtype)
    return total


flip = np.flip


def pad_zeros(x: Any, dim: int, before: int, total: int) -> Any:
    """``x`` within zeros: ``before`` of them ahead of it along ``dim``, ``total`` the size there."""
    out = zeros((*x.shape[:dim], total, *x.shape[dim + 1 :]), x.dtype)
    assign(out[(slice(None),) * dim + (slice(before, before + x.shape[dim]),)], x)
    return out



def place(x: Any, index: Any, size: tuple[int, ...]) -> Any:
    """Zeros of shape ``size`` with ``x`` written at a basic index."""
    out = zeros(size, x.dtype)
    assign(out[index], x)
    return out


def concatenate(arrays: Any, axis: int = 0) -> Any:
    """Arrays of one dtype behind each other along ``axis``."""
    first = arrays[0]
    shape = list(first.shape)
    shape[axis] = sum(a.shape[axis] for a in arrays)
    out = empty(tuple(shape), np.result_type(*[a.dtype for a in arrays]))
    start = 0
    for a in arrays:
        assign(out[(slice(None),) * axis + (slice(start, start + a.shape[axis]),)], a)
        start += a.shape[axis]
    return out
