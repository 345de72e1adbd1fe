"""What ops refuse: dtypes, numbers that don't fit, indices out of range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..device import backend, on_host
from ..modes import check_values, values_leave
from ..opcall import check_devices
from ..scalarops import elementwise_op
from ..tensor import Tensor

_KINDS = ("bool", "integer", "floating-point", "complex")


def accept(kinds: str, *names: str, instead: str = "") -> None:
    """Make elementwise ops refuse operands that promote to a kind other than these: b(ool), i(nteger), f(loat), c(omplex).

    The operands then raise RuntimeError with the advice ``instead``, complex ones TypeError.
    """
    for name in names:
        elementwise_op(name).check = _checker(name, kinds, instead)


def need_fitting(name: str, *positions: int) -> None:
    """Make an elementwise op refuse integers, at these positions, that the integer dtype of its operands can't hold."""
    op = elementwise_op(name)
    first = op.check

    def check(*operands: Any) -> None:
        if first is not None:
            first(*operands)
        numbers = [operands[i] for i in positions if operands[i].__class__ is int]
        if numbers:
            promoted = dtypes.result_type(*[x for x, label in zip(operands, op.inputs, strict=True) if label not in op.booleans])
            for value in numbers:
                need_fit(name, value, promoted.numpy)

    op.check = check
    op.computation.checks_integers = True


def need_fit(name: str, values: Any, dtype: np.dtype[Any]) -> None:
    """Raise RuntimeError for numbers, in an array or a single one, that an integer dtype can't hold once truncated.

    Unsigned dtypes take negative numbers, which wrap. Other dtypes and bools always fit.
    """
    if dtype.kind not in "iu" or values.__class__ is bool:
        return
    info = np.iinfo(dtype)
    low, high = info.min or -info.max, info.max
    if values.__class__ is int:
        wrong = None if low <= values <= high else values
    else:
        array = np.asarray(values)
        if array.dtype.kind == "b":
            return
        if array.dtype.kind == "f":  # high + 1.0 is exact where high is not
            fits = (np.trunc(array) >= low) & (array < high + 1.0)
        else:
            fits = (array >= low) & (array <= high)
        wrong = None if np.all(fits) else array[~fits].flat[0]
    if wrong is not None:
        raise RuntimeError(f"{name}: the value {wrong} can't be converted to {dtype.name} without overflow")


def need_floating(name: str, *, complex: bool = False, **tensors: Tensor) -> None:
    """Raise RuntimeError when a tensor is not of a floating-point dtype (or a complex one, where ``complex`` allows that)."""
    for argument, x in tensors.items():
        if x._array.dtype.kind == "f":
            continue
        if not (x.dtype.differentiable if complex else x.dtype.is_floating_point):
            kinds = "floating-point or complex" if complex else "floating-point"
            raise RuntimeError(f"{name}: {argument} must be {kinds}, got dtype {x.dtype}; convert it with .to(tapegrad.float32)")


def need_ndim(name: str, input: Tensor, least: int = 0, most: int | None = None) -> None:
    """Raise RuntimeError when a tensor has fewer dimensions than ``least``, or more than ``most``."""
    if input.ndim < least or (most is not None and input.ndim > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}" if least else f"at most {most}"
        raise RuntimeError(f"{name}: expected {wanted} dimension{'s' * ((most or least) > 1)}, got shape {tuple(input.shape)}")


def need_same_dtype(name: str, **tensors: Tensor | None) -> None:
    """Raise RuntimeError when tensors (None counts for nothing) differ in dtype."""
    first: Any = None
    for x in tensors.values():  # the usual case at little cost
        if x is not None:
            dtype = x._array.dtype
            if first is None:
                first = dtype
            elif dtype is not first:
                break
    else:
        return
    given = {argument: x.dtype for argument, x in tensors.items() if x is not None}
    if len(set(given.values())) > 1:
        found = ", ".join(f"{argument} {dtype}" for argument, dtype in given.items())
        raise RuntimeError(f"{name}: expected equal dtypes, got {found}; convert one with .to()")


def read_values(tensor: Tensor, what: str) -> Any:
    """The tensor's array, for Python to read outside of an op's forward in ``what``, which a trace refuses: replays run no Python.

    Of a tensor on a GPU it is a copy, for which the host waits: only for what shapes depend on.
    """
    values_leave(what)
    return on_host(tensor._array)


def index_array(index: Tensor, what: str, beside: Tensor | None = None) -> Any:
    """An index tensor's array, where it is, for a parameter of an op on ``beside``; a trace refuses ``what``: replays run no Python.

    Raises:
        RuntimeError: when the two are on different devices.
    """
    values_leave(what)
    if beside is not None and not index._array.__class__ is beside._array.__class__ is np.ndarray:
        check_devices(what, (beside, index))
    return index._array


def need_values(tensor: Tensor, check: Callable[[Any], None], low: float, high: float, what: str, *, nan: bool = False) -> None:
    """Call ``check`` with the array of a tensor (see ``check_values``), to raise for values outside [``low``, ``high``]; of a tensor on a GPU,
    RuntimeError ``what`` is raised when the host looks at its results."""
    if tensor.is_cuda:
        backend(tensor._array).need_between(tensor._array, low, high, what, nan=nan)
    else:
        check_values(tensor, check)


def need_in_range(
    name: str, index: Tensor, size: int, where: str, *, lowest: int = 0, what: str = "index", error: type[Exception] = IndexError
) -> None:
    """Raise ``error`` when an integer tensor holds something outside [``lowest``, ``size``); see ``check_values``."""

    def check(array: Any) -> None:
        if lowest == 0 and array.dtype == np.int64:  # negative numbers are the largest of unsigned ones
            if not array.size or np.maximum.reduce(array.view(np.uint64), None) < size:
                return
        if array.size and (np.minimum.reduce(array, None) < lowest or np.maximum.reduce(array, None) >= size):
            wrong = int(array.min() if array.min() < lowest else array.max())
            raise error(f"{name}: {what} {wrong} is out of range for {where}")

    check_values(index, check)


def _checker(name: str, kinds: str, instead: str) -> Any:
    def check(*operands: Any) -> None:
        found = dtypes.result_type(*operands)
        if "bifc"[found.category] in kinds:
            return
        if found.is_complex:
            raise TypeError(f"{name} is not implemented for complex numbers")
        raise RuntimeError(f"{name}: not defined for {_KINDS[found.category]} tensors, got {found}; {instead}")

    return check
