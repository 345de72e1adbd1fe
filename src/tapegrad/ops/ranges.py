"""Tensors of evenly spaced numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..device import made_on, to_device
from ..tensor import Tensor, wrap
from .checks import need_fit
from .create import checked_shape, checked_sizes, converted, finish, number, resolve

__all__ = ["arange", "linspace", "logspace"]


def _made(device: Any, requires_grad: bool, name: str, *args: Any) -> Tensor:
    made = wrap(made_on(to_device(device), name, *args))
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def arange(start: Any = None, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers from ``start`` (0) up to, not including, ``end``. int64 when all are integers, else the default dtype.

    Raises:
        RuntimeError: for a step of 0 or one that leads away from the end.
    """
    if end is None:
        start, end = 0, start
    elif start is None:
        start = 0
    start, end, step = (number(x, "arange", name) for x, name in ((start, "start"), (end, "end"), (step, "step")))
    if any(isinstance(x, complex) for x in (start, end, step)):
        raise RuntimeError(f"arange: complex numbers have no order, got start {start}, end {end}, step {step}")
    if dtype is not None and dtypes.to_dtype(dtype) is dtypes.int64:  # first of all, as in PyTorch
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise RuntimeError("arange: step must not be 0")
    if (end - start) * step < 0:
        raise RuntimeError(f"arange: step {step} leads away from {end} when starting at {start}")
    count = (end - start) / step
    if not math.isfinite(count):
        raise RuntimeError(f"arange: from {start} to {end} in steps of {step} is no finite range")
    checked_shape((math.ceil(count),), 8, "arange")
    integral = all(isinstance(x, (int, np.integer)) for x in (start, end, step))
    d = (np.dtype(np.int64) if integral else dtypes.get_default_dtype().numpy) if dtype is None else dtypes.to_dtype(dtype).numpy
    return _made(device, requires_grad, "arange", start, end, step, d)


def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``, both included.

    Raises:
        RuntimeError: for a negative number of steps.
    """
    checked_shape(checked_sizes((steps,), "linspace"), 8, "linspace")
    start, end = (number(x, "linspace", name) for x, name in ((start, "start"), (end, "end")))
    if dtype is None and (isinstance(start, complex) or isinstance(end, complex)):
        dtype = dtypes.default_complex()
    if dtype is not None and dtypes.to_dtype(dtype).category == 1:
        start, end = int(start), int(end)
    d = resolve(dtype)
    if isinstance(start, complex) or isinstance(end, complex):
        return finish(converted("linspace", np.linspace(start, end, steps), d), requires_grad, device)
    need_fit("linspace", np.array([start, end][:steps]), d)
    return _made(device, requires_grad, "linspace", start, end, steps, d)


def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``base`` to the power of ``steps`` evenly spaced numbers from ``start`` to ``end``, both included.

    Raises:
        RuntimeError: for a negative number of steps.
    """
    checked_shape(checked_sizes((steps,), "logspace"), 8, "logspace")
    start, end = (number(x, "logspace", name) for x, name in ((start, "start"), (end, "end")))
    with np.errstate(all="ignore"):
        return finish(converted("logspace", np.logspace(start, end, steps, base=base), resolve(dtype)), requires_grad, device)
