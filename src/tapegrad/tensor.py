"""The bare Tensor: an array, its place in the graph, and metadata. Operators and methods are installed by ``ops`` and ``tape``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes
from .device import apart, device, device_of, on_host
from .kernels.native.objects import maker
from .memory_format import contiguous_format
from .modes import local, values_leave
from .storage import Storage

# Types that operations take on their fast path: a set, so that Parameter and subclasses are as fast as Tensor.
TENSOR_TYPES: set[type] = set()
TENSOR_SLOTS = ("_array", "_storage", "_base", "_entry", "_grad")  # that a new tensor has set


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple of ints with ``numel()``."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        n = 1
        for size in self:
            n *= size
        return n

    def __repr__(self) -> str:
        return f"tapegrad.Size({list(self)})"


def array_of(arguments: tuple[Any, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The array that ``Tensor(*arguments)`` holds: of data when there is one argument that is no size, else unset, of a shape."""
    if len(arguments) == 1:
        (data,) = arguments
        if isinstance(data, Tensor):
            return np.array(data._array, dtype)
        if isinstance(data, Size):
            arguments = data
        elif not isinstance(data, (int, np.integer)) or isinstance(data, bool):
            if not isinstance(data, (Sequence, np.ndarray)) or isinstance(data, (str, bytes)):
                raise TypeError(f"Tensor() expects sizes or a sequence of data, got {type(data).__name__}; tensor() takes a number")
            return np.array(data, dtype)
    sizes = [size for size in arguments if isinstance(size, (int, np.integer)) and not isinstance(size, bool)]
    if len(sizes) < len(arguments):
        raise TypeError(f"Tensor() expects data or sizes, which are integers, got {arguments}")
    if any(size < 0 for size in sizes):
        raise RuntimeError(f"Tensor(): sizes must not be negative, got {arguments}")
    return np.empty(sizes, dtype) if arguments else np.empty(0, dtype)


class Tensor:
    """An n-dimensional array that operations on the tape can differentiate.

    Make one with :func:`tapegrad.tensor`, ``zeros``, ``randn``, ``from_numpy`` and so on. ``Tensor(data)`` makes one of the default
    floating dtype, ``Tensor(2, 3)`` one of that shape whose elements are whatever the memory held, as ``torch.Tensor`` does.

    Raises:
        TypeError: when the arguments are neither sizes nor data.
        RuntimeError: for a negative size.
    """

    # _array: NumPy (or CUDA) array; _entry: the entry or leaf that a gradient flows to, None when none does;
    # _grad: accumulated gradient; _storage: see Storage; _base: for views, what they view (see views.View);
    # _leaf: the leaf of a tensor whose requires_grad was switched off.
    __slots__ = ("__dict__", "__weakref__", "_array", "_base", "_entry", "_grad", "_leaf", "_storage")
    __array_priority__ = 1000

    _array: Any
    _entry: Any
    _grad: Tensor | None
    _leaf: Any
    _storage: Storage
    _base: Any

    if TYPE_CHECKING:  # installed by ops and tape

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        TENSOR_TYPES.add(cls)

    def __init__(self, *data: Any) -> None:
        init(self, array_of(data, dtypes.get_default_dtype().numpy))

    # ------------------------------------------------------------------------------------------------------- metadata

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions: a tuple of ints with ``numel()``."""
        return Size(self._array.shape)

    def size(self, dim: int | None = None) -> Size | int:
        """The shape, or one of its sizes."""
        return self.shape if dim is None else int(self._array.shape[dim])

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self._array.ndim)

    def dim(self) -> int:
        """The number of dimensions."""
        return int(self._array.ndim)

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return int(self._array.size)

    nelement = numel

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements, such as ``tapegrad.float32``."""
        return dtypes.FROM_NUMPY[self._array.dtype]

    @property
    def device(self) -> device:
        """Where the memory is, such as ``device('cpu')``."""
        return device_of(self._array)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return int(self._array.itemsize)

    def element_size(self) -> int:
        """Bytes per element."""
        return int(self._array.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements together."""
        return int(self._array.nbytes)

    def stride(self, dim: int | None = None) -> tuple[int, ...] | int:
        """Steps between elements along each dimension (or one), in elements."""
        strides = tuple(s // self._array.itemsize for s in self._array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether elements lie without gaps in row-major order, or in that of ``memory_format`` (channels last)."""
        order: Any = contiguous_format if memory_format is None else memory_format
        return bool(order.describes(self._array))

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self._array.ctypes.data)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a real floating-point type."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self.dtype.is_complex

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is on a GPU."""
        return self.device.type == "cuda"

    def get_device(self) -> int:
        """The number of the GPU that the memory is on; -1 on the CPU."""
        index = self.device.index
        return -1 if index is None else index

    @property
    def _version(self) -> int:
        return self._storage.version

    # ------------------------------------------------------------------------------------------ leaving the library

    def numpy(self) -> np.ndarray[Any, Any]:
        """The NumPy array that shares this tensor's memory.

        Raises:
            RuntimeError: when the tensor requires grad, since NumPy code would not be recorded; use ``.detach().numpy()``.
            TypeError: when it is on a GPU.
        """
        if self._entry is not None:
            raise RuntimeError(
                "can't call numpy() on a tensor that requires grad, because the tape would not see what NumPy does; "
                "use tensor.detach().numpy()"
            )
        values_leave("numpy()")
        array: np.ndarray[Any, Any] = self._array
        if array.__class__ is not np.ndarray and self.is_cuda:
            raise TypeError(f"can't convert a tensor on {self.device} to NumPy; use tensor.cpu() to copy it to the host first")
        return array

    def item(self) -> bool | int | float | complex:
        """The value of a tensor with one element, as a Python number.

        Raises:
            RuntimeError: when there is not exactly one element.
        """
        if self._array.size != 1:
            raise RuntimeError(
                f"item() needs a tensor with one element, this one has shape {tuple(self._array.shape)}; use tolist() or index it"
            )
        values_leave("item()")
        value: bool | int | float | complex = self._array.item()
        return value

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers (a number for a 0-d tensor)."""
        values_leave("tolist()")
        return self._array.tolist()

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return int(self._array.shape[0])

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise RuntimeError(
                f"the truth value of a tensor of shape {tuple(self._array.shape)} is ambiguous; use .any() or .all()"
            )
        values_leave("bool() (as in if, while, and, or)")
        return bool(self._array.item())

    def __float__(self) -> float:
        return float(self.item())  # type: ignore[arg-type]

    def __int__(self) -> int:
        return int(self.item())  # type: ignore[arg-type]

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.category > 1 or self._array.size != 1:
            raise TypeError("only an integer tensor with one element can be used as an index")
        values_leave("using it as an index")
        return int(self._array.item())

    def __iter__(self) -> Iterator[Tensor]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self._array.shape[0]))

    def __hash__(self) -> int:
        return id(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"a tensor of dtype {self.dtype} can't become a NumPy array of {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        from .printing import tensor_repr

        entry = self._entry
        leaf = entry is None or entry.is_leaf
        return tensor_repr(
            on_host(self._array),
            dtype_name=self.dtype.name,
            default_dtype_name=dtypes.get_default_dtype().name,
            requires_grad=entry is not None and leaf,
            grad_fn=None if leaf else entry.name(),
            device=str(self.device),
        )

    def __format__(self, spec: str) -> str:
        from .printing import format_scalar

        if not spec and self._array.ndim:
            return repr(self)
        return format_scalar(on_host(self._array), spec)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_Tensor")]

    # ------------------------------------------------------------------------------------------------------ gradient

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self._entry is None or bool(self._entry.is_leaf)

    @property
    def grad_fn(self) -> Any:
        """The tape entry that made this tensor, or None for a leaf."""
        return None if self.is_leaf else self._entry

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None. Only leaves, and tensors after ``retain_grad()``, have one."""
        if local.tracer is not None:
            local.tracer.gradient(self, assigned=False)
        if self._grad is None and self._entry is not None and not self._entry.is_leaf and not self.retains_grad:
            warnings.warn(
                "reading .grad of a tensor that is not a leaf: backward() does not keep it; call .retain_grad() on it first",
                UserWarning,
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad must be a Tensor or None, got {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign a tensor as its own grad")
            if value._array.shape != self._array.shape or value._array.dtype != self._array.dtype:
                raise RuntimeError(
                    f"assigned grad has shape {tuple(value.shape)} and dtype {value.dtype}, "
                    f"the tensor has shape {tuple(self.shape)} and dtype {self.dtype}; they must be equal"
                )
            if apart(value._array, self._array):
                raise RuntimeError(
                    f"assigned grad of shape {tuple(value.shape)} is on {value.device}, the tensor of shape {tuple(self.shape)} on "
                    f"{self.device}; move it with .to({str(self.device)!r})"
                )
        if local.tracer is not None:
            local.tracer.gradient(self, assigned=True)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None


TENSOR_TYPES.add(Tensor)
make_tensor: Callable[..., Tensor] = maker(Tensor, *TENSOR_SLOTS)
"""``make_tensor(array, storage, base=None, entry=None)``: a Tensor, as fast as they get."""


def init(tensor: Tensor, array: Any, entry: Any = None, storage: Storage | None = None, base: Any = None) -> Tensor:
    """Fill the slots of a new tensor."""
    tensor._array = array
    tensor._entry = entry
    tensor._grad = None
    tensor._storage = Storage() if storage is None else storage
    tensor._base = base
    return tensor


def no_tensor(value: Any) -> str:
    """What a message calls a value that should have been a tensor, and how to make one of it."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    return f"{name}; tapegrad.tensor(...) makes one of it" if isinstance(value, (list, tuple)) or hasattr(value, "__array__") else name


def wrap(array: Any, entry: Any = None, storage: Storage | None = None, base: Any = None) -> Tensor:
    """A Tensor that holds ``array`` itself."""
    return make_tensor(array, Storage() if storage is None else storage, base, entry)
