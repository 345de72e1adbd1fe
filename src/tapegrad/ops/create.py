"""Making tensors from data and from nothing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..device import cuda_backend, device as Device, device_of, placed, to_device
from ..public import named
from ..registry import usable
from ..tensor import Tensor, no_tensor, wrap
from .checks import need_fit, read_values
from .shape.reshape import sizes

__all__ = [
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "scalar_tensor",
    "tensor",
    "zeros",
    "zeros_like",
]

_MAX_BYTES = 2**46  # more than any machine has: a mistaken shape fails here, before anything is allocated


def checked_shape(shape: tuple[int, ...], itemsize: int, name: str) -> tuple[int, ...]:
    """The shape, if a tensor of it can exist.

    Raises:
        RuntimeError: for a negative size, or more bytes than a machine can have.
    """
    if 0 < math.prod(shape) * itemsize <= _MAX_BYTES and (not shape or min(shape) > 0):
        return shape
    total = itemsize
    for n in shape:
        if n < 0:
            raise RuntimeError(f"{name}: sizes must not be negative, got {list(shape)}")
        total *= n
    if total == 0 and itemsize * math.prod(n or 1 for n in shape) >= 2**63:  # NumPy has no array of such strides
        raise RuntimeError(f"{name}: the sizes {list(shape)} are too large, even for a tensor without elements")
    if total > _MAX_BYTES:
        raise RuntimeError(f"{name}: a tensor of shape {list(shape)} would need {total / 2**40:.0f} TiB")
    return shape


def checked_sizes(size: tuple[Any, ...], name: str) -> tuple[int, ...]:
    """The shape that ``f(2, 3)`` or ``f((2, 3))`` asks for.

    Raises:
        TypeError: for none, and for sizes that are not integers.
    """
    if not size:
        raise TypeError(f"{name}() needs a size: integers or one sequence of them, () for a tensor without dimensions")
    try:
        return sizes(size)
    except TypeError:
        raise TypeError(f"{name}(): sizes must be integers, got {', '.join(map(repr, size))}") from None


def number(value: Any, name: str, argument: str) -> Any:
    """A bound of a range, as a Python number.

    Raises:
        TypeError: when it is none.
    """
    value = value.item() if isinstance(value, (Tensor, np.generic)) else value
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(f"{name}(): argument {argument!r} must be a number, not {type(value).__name__}")
    return value


def finish(array: Any, requires_grad: bool, device: Any = None) -> Tensor:
    made = wrap(placed(array, to_device(device)))
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of ``data``: numbers, nested sequences of numbers or tensors, or a NumPy array.

    Python floats become the default dtype (float32), ints int64, bools bool; arrays keep their dtype.

    Raises:
        ValueError: for nested sequences of unequal lengths.
        TypeError: for data or a dtype that tapegrad has no dtype for.
    """
    if not isinstance(data, _PLAIN) and hasattr(data, "__cuda_array_interface__"):
        made = _from_gpu(data, dtype, device, copy=True)
        return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]
    return finish(_as_array(data, dtype, copy=True), requires_grad, data.device if device is None and isinstance(data, Tensor) else device)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, sharing memory where it can: tensors pass, NumPy arrays and what has ``__cuda_array_interface__`` are not copied."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)  # type: ignore[no-any-return]
    if not isinstance(data, _PLAIN) and hasattr(data, "__cuda_array_interface__"):
        return _from_gpu(data, dtype, device, copy=False)
    return finish(_as_array(data, dtype, copy=False), False, device)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None) -> Tensor:
    """``obj`` as a tensor: as :func:`as_tensor`, but copied if ``copy`` is true, and only shared if it is false.

    Raises:
        ValueError: when ``copy`` is false and memory can't be shared.
    """
    made = as_tensor(obj, dtype, device)
    shared = made is obj or (isinstance(obj, np.ndarray) and np.may_share_memory(made._array, obj))
    if copy is False and not shared:
        raise ValueError(f"asarray: a {type(obj).__name__} can't become a tensor of {made.dtype} without a copy")
    if copy and shared:
        made = made.clone()
    return made if requires_grad in (None, made.requires_grad) else made.detach().requires_grad_(requires_grad)  # type: ignore[no-any-return]


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor of a number, of the default dtype unless given."""
    return full((), s, dtype=dtypes.get_default_dtype() if dtype is None else dtype, device=device, requires_grad=requires_grad)


_PLAIN = (bool, int, float, complex, list, tuple, range, np.ndarray, np.generic, Tensor)


def _from_gpu(data: Any, dtype: Any, device: Any, copy: bool) -> Tensor:
    """A tensor on the memory of another library's array on a GPU, or a copy."""
    made = wrap(cuda_backend().from_interface(data))
    dtypes.to_dtype(made._array.dtype)
    moved = made.to(dtype=dtype, device=device)
    return moved.clone() if copy and moved is made else moved  # type: ignore[no-any-return]


def _as_array(data: Any, dtype: Any, copy: bool) -> Any:
    wanted = None if dtype is None else dtypes.to_dtype(dtype).numpy
    if isinstance(data, Tensor):
        data = read_values(data, "a copy that tensor() makes of a tensor")
    if isinstance(data, (bool, int, float, complex, list, tuple, range)) and not isinstance(data, np.generic):
        return _from_python(list(data) if isinstance(data, range) else data, wanted)
    array = _plain_array(data)
    if wanted is None or array.dtype.kind not in "iufc":
        found = dtypes.to_dtype(array.dtype).numpy
        wanted = found if wanted is None else wanted
    with np.errstate(all="ignore"):
        return np.array(array, wanted, order="C") if copy or not usable(array) else np.asarray(array, wanted)


def _plain_array(data: Any) -> Any:
    """As an array of NumPy's own class: a matrix or a masked array would not behave as a tensor does, a memory map shares."""
    if getattr(data, "mask", None) is not None:
        raise TypeError("a masked array can't become a tensor; use .filled(value) first")
    return np.asarray(data)


def _from_python(data: Any, wanted: Any) -> Any:
    """An array of nested sequences, of numbers and of tensors and arrays; a dtype that is not given follows from all of them."""
    kinds: set[Any] = set()
    data = _plain(data, kinds)
    try:
        found = np.array(data)
    except ValueError as error:
        raise ValueError(f"tensor: nested sequences must have equal lengths ({error})") from None
    if wanted is None:
        wanted = functools.reduce(dtypes.promote_types, kinds or {dtypes.get_default_dtype()}).numpy
    if found.dtype.kind == "O" and not all(isinstance(x, int) for x in found.flat):
        strange = next(x for x in found.flat if not isinstance(x, (bool, int, float, complex)))
        raise TypeError(f"tensor: expected numbers, nested sequences of numbers, or arrays, got {type(strange).__name__}")
    if found.dtype.kind not in "Obiufc":
        dtypes.to_dtype(found.dtype)
    if wanted.kind in "iu" and found.dtype.kind == "f" and found.size and not any(d.category >= 2 for d in kinds):
        raise RuntimeError("tensor: an integer does not fit into int64")  # beside a negative number NumPy makes it a float
    return converted("tensor", found, wanted)


def converted(name: str, values: Any, dtype: np.dtype[Any]) -> Any:
    """An array of Python numbers as another dtype.

    Raises:
        RuntimeError: for numbers that the dtype can't hold: for integers those out of range (negative ones wrap in uint8) and
            NaN, for real numbers complex ones.
    """
    if values.dtype.kind == "c" and dtype.kind not in "cb":
        raise RuntimeError(f"{name}: a complex number can't be converted to {dtype.name}; take its real part first")
    need_fit(name, values, dtype)
    with np.errstate(all="ignore"):
        return values.astype(dtype)


def scalar(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """A number as a 0-d array.

    Raises:
        RuntimeError: as :func:`converted`, and for a finite number that becomes infinite.
    """
    made = converted(name, np.array(value), dtype)
    if dtypes.FROM_NUMPY[dtype].category >= 2 and np.isfinite(value) and not np.isfinite(made):
        raise RuntimeError(f"{name}: the value {value} can't be converted to {dtype.name} without overflow")
    return made


def _plain(data: Any, kinds: set[Any]) -> Any:
    """Nested sequences with tensors replaced by arrays; adds the dtypes of what they hold to ``kinds``."""
    if isinstance(data, (list, tuple)):
        types = set(map(type, data))
        if types <= _NUMBERS:  # the usual case, at the speed of C
            kinds.update(map(dtypes.of_type, types))
            return data
        return [_plain(x, kinds) for x in data]
    if isinstance(data, Tensor):
        data = read_values(data, "a copy that tensor() makes of a tensor")
    if isinstance(data, (np.ndarray, np.generic)):
        kinds.add(dtypes.to_dtype(data.dtype))
    elif isinstance(data, (bool, int, float, complex)):
        kinds.add(dtypes.of_scalar(data))
    return data


_NUMBERS = {bool, int, float, complex}


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the array's memory. Writes through either are seen by both, but only the tensor's by the tape.

    Raises:
        TypeError: when it is not an array or of a dtype that tapegrad lacks.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy expects a NumPy array, got {type(array).__name__}")
    array = _plain_array(array)
    dtypes.to_dtype(array.dtype)
    if not usable(array):
        raise ValueError("from_numpy: the array's byte order, alignment or strides can't be shared with a tensor; use tensor(), which copies")
    return wrap(array)


def resolve(dtype: Any) -> Any:
    return (dtypes.get_default_dtype() if dtype is None else dtypes.to_dtype(dtype)).numpy


def _full(shape: tuple[int, ...], value: Any, dtype: np.dtype[Any]) -> Any:
    out = np.empty(shape, dtype)
    out.fill(value)
    return out


def _constant(make: Callable[..., Any], shape: tuple[int, ...], dtype: np.dtype[Any], where: Device) -> Any:
    """An array that a NumPy constructor makes, or one on a GPU that is filled there."""
    if where.type == "cpu":
        return make(shape, dtype)
    B = cuda_backend()
    with B.on_device(where.index):
        made = (B.zeros if make is np.zeros else B.empty)(shape, dtype)
        if make is not np.empty and make is not np.zeros:
            made.fill(make((), dtype).item())
    return made


def _filled(name: str, make: Callable[..., Any], text: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """``zeros`` and ``zeros_like`` from a NumPy constructor."""

    def function(*args: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        where, d = to_device(device), resolve(dtype)
        shape = checked_shape(checked_sizes(args if size is None else (size,), name), d.itemsize, name)
        made = wrap(_constant(make, shape, d, where))
        return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]

    def like(
        input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
    ) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}_like(): argument 'input' must be a Tensor, not {no_tensor(input)}")
        where = device_of(input._array) if device is None else to_device(device)
        made = wrap(_constant(make, input._array.shape, input._array.dtype if dtype is None else resolve(dtype), where))
        return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]

    named(function, name, f"A tensor of shape ``size`` (ints or one sequence) {text}; of the default dtype unless given.")
    named(like, f"{name}_like", f"A tensor of the input's shape and dtype {text}.")
    return function, like


zeros, zeros_like = _filled("zeros", np.zeros, "filled with 0")
ones, ones_like = _filled("ones", lambda shape, d: _full(shape, 1, d), "filled with 1")
empty, empty_like = _filled("empty", np.empty, "with arbitrary contents")


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of shape ``size`` filled with a number; its dtype follows the number unless given."""
    where = to_device(device)
    if isinstance(fill_value, Tensor) and fill_value.ndim:
        raise TypeError(f"full(): the value must be a number, it has shape {tuple(fill_value.shape)}")
    value = fill_value.item() if isinstance(fill_value, (Tensor, np.generic)) else fill_value
    d = (dtypes.of_scalar(value) if dtype is None else dtypes.to_dtype(dtype)).numpy
    shape = checked_shape(checked_sizes((size,), "full"), d.itemsize, "full")
    fitting = value if dtypes.surely_fits(value, d) else scalar("full", value, d)
    made = wrap(_constant(lambda shape, d: _full(shape, fitting, d), shape, d, where))
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
) -> Tensor:
    """A tensor of the input's shape and dtype filled with a number."""
    where = input.device if device is None else device
    return full(input.shape, fill_value, dtype=input.dtype if dtype is None else dtype, device=where, requires_grad=requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """An n x m matrix (n x n by default) with ones on the diagonal."""
    d = resolve(dtype)
    rows, columns = checked_shape(checked_sizes((n, n if m is None else m), "eye"), d.itemsize, "eye")
    where = to_device(device)
    if where.type == "cpu":
        return finish(np.eye(rows, columns, dtype=d), requires_grad, where)
    made = _constant(np.zeros, (rows, columns), d, where)
    made.diagonal().fill(1)
    return wrap(made).requires_grad_() if requires_grad else wrap(made)  # type: ignore[no-any-return]
