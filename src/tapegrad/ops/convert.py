"""Other dtypes, other devices, and tensors cut off from their history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..device import BACKENDS, cuda_backend, device as Device, to_device
from ..public import METHODS, method
from ..tensor import Tensor, wrap
from .checks import read_values
from .create import empty, full, ones, tensor, zeros
from .shape.copy import clone, to_dtype
from .shape.move import MOVE


@method
def detach(self: Tensor) -> Tensor:
    """A tensor on the same memory that no gradient flows through."""
    return wrap(self._array, storage=self._storage)


@method
def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off from the operations that made it; returns it.

    Raises:
        RuntimeError: for a view; use detach().
    """
    if self._base is not None:
        raise RuntimeError("detach_: a view can't be detached in place; use detach()")
    self._entry = None
    return self


def set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"data must be a Tensor, got {type(value).__name__}")
    if self._entry is not None and not value.dtype.differentiable:
        raise RuntimeError(f"data: this tensor requires grad, so its data needs a floating-point or complex dtype, got {value.dtype}")
    self._array, self._storage = value._array, value._storage
    if self._entry is not None and self._entry.is_leaf:
        self._entry.shape, self._entry.dtype = value._array.shape, value._array.dtype


_DEVICES = ("cpu", "cuda", "gpu", "mps", "xpu", "meta")  # so that those not here are named as devices


def dtype_and_device(args: tuple[Any, ...], dtype: Any, device: Any) -> tuple[Any, Any]:
    """What the positional arguments of ``to`` ask for, over what its keywords do: a dtype, a device, or another tensor's."""
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, Device) or (isinstance(arg, str) and arg.partition(":")[0] in _DEVICES):
            device = arg
        elif arg.__class__ is int:
            device = Device("cuda", arg)
        elif not isinstance(arg, bool):
            dtype = arg
    return dtype, device


@method
def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    copy: bool = False,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """The tensor with another dtype or on another device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``.

    Itself when nothing changes, unless ``copy``. With ``non_blocking`` the host does not wait for a copy from pinned memory to a GPU, whose
    source must not be written before it is done, nor for one to the host: that has its values when the GPU's stream is synchronized.
    """
    dtype, device = dtype_and_device(args, dtype, device)
    moved = to_dtype(self, self.dtype if dtype is None else dtype)
    if device is not None:
        where = to_device(device)
        if where != moved.device:
            moved = MOVE.call(moved, where, moved.device, not non_blocking)
    return clone(self) if copy and moved is self else moved


def _converter(d: dtypes.dtype) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return to_dtype(self, d)

    method.__doc__ = f"The tensor as {d}."
    return method


@method
def type(self: Tensor, dtype: Any = None) -> Any:
    """The tensor in another dtype; without one, the name of its dtype."""
    return repr(self.dtype) if dtype is None else to_dtype(self, dtypes.to_dtype(dtype))


@method
def type_as(self: Tensor, tensor: Tensor) -> Tensor:
    """The tensor in another one's dtype."""
    return to_dtype(self, tensor.dtype)


@method
def cpu(self: Tensor) -> Tensor:
    """The tensor on the CPU; itself when it is there."""
    return to(self, "cpu") if self.is_cuda else self


@method
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor on a GPU, the current one unless given (a number or a device); itself when it is there.

    Raises:
        RuntimeError: when no GPU can be used, with what is missing.
    """
    where = Device("cuda", device) if device is None or isinstance(device, int) else Device(device)
    if where.type != "cuda":
        raise RuntimeError(f"cuda() expects a GPU, got {where}")
    return to(self, where, non_blocking=non_blocking)


@method
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """A copy in pinned memory, from which copies to a GPU need not wait (see :meth:`to`); itself when it is there.

    Raises:
        RuntimeError: for a tensor on a GPU, and when no GPU can be used, with what is missing.
    """
    if self.is_cuda:
        raise RuntimeError(f"pin_memory: only the host's memory can be pinned, this tensor is on {self.device}")
    if is_pinned(self):
        return self
    made = cuda_backend().pinned.empty(self._array.shape, self._array.dtype)
    made[...] = read_values(self, "pin_memory()")
    return wrap(made)


@method
def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether it lies in pinned memory."""
    if self.is_cuda or len(BACKENDS) == 1:  # no GPU was used
        return False
    return cuda_backend().pinned.memory_of(self._array) is not None  # type: ignore[no-any-return]


@method
def record_stream(self: Tensor, stream: Any) -> None:
    """Keep the memory, when no tensor has it any more, until a stream has done what it was given by then.

    For tensors that are used in another stream than the one they were made in.

    Raises:
        RuntimeError: for a tensor on the CPU.
    """
    if not self.is_cuda:
        raise RuntimeError("record_stream: only memory of a GPU is used in streams, this tensor is on the CPU")
    self._array.owner.used_on(stream.cuda_stream)


@method
def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor of ``data``, with this tensor's dtype unless given."""
    return tensor(data, dtype=self.dtype if dtype is None else dtype, device=self.device if device is None else device, requires_grad=requires_grad)


@method
def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor of shape ``size`` filled with a number, with this tensor's dtype unless given."""
    where = self.device if device is None else device
    return full(size, fill_value, dtype=self.dtype if dtype is None else dtype, device=where, requires_grad=requires_grad)


def _new(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        where = self.device if device is None else device
        return make(*size, dtype=self.dtype if dtype is None else dtype, device=where, requires_grad=requires_grad)

    method.__doc__ = f"``{make.__name__}(*size)`` with this tensor's dtype."
    return method


METHODS.update(
    {
        "bool": _converter(dtypes.bool_),
        "int": _converter(dtypes.int32),
        "long": _converter(dtypes.int64),
        "short": _converter(dtypes.int16),
        "float": _converter(dtypes.float32),
        "double": _converter(dtypes.float64),
        "half": _converter(dtypes.float16),
        "byte": _converter(dtypes.uint8),
        "char": _converter(dtypes.int8),
        "cfloat": _converter(dtypes.complex64),
        "cdouble": _converter(dtypes.complex128),
        "new_zeros": _new(zeros),
        "new_ones": _new(ones),
        "new_empty": _new(empty),
    }
)
if dtypes.bfloat16 is not None:
    METHODS["bfloat16"] = _converter(dtypes.bfloat16)
