"""Tensors that a module owns: parameters, which an optimizer trains, buffers, and both before their shape is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from .. import dtypes
from ..device import device as Device, to_device
from ..ops.convert import dtype_and_device
from ..ops.create import empty
from ..storage import Storage
from ..tensor import Tensor, init

U = TypeVar("U", bound="UninitializedTensor")


def _share(tensor: Tensor, data: Tensor | None, kind: str) -> None:
    """Fill the slots of a new tensor with the memory of ``data``."""
    if data is None:
        data = empty(0)
    elif not isinstance(data, Tensor):
        raise TypeError(f"{kind} expects a Tensor, got {type(data).__name__}; wrap the data in tapegrad.tensor(...)")
    init(tensor, data._array, storage=data._storage)


class Parameter(Tensor):
    """A tensor that a :class:`Module` registers as its parameter when it is assigned to an attribute.

    It shares the memory of ``data`` (a tensor; an empty one by default) and requires grad unless told otherwise, also
    when it is made inside ``no_grad()``.

    Raises:
        TypeError: when ``data`` is not a tensor.
        RuntimeError: when it should require grad and its dtype is not floating-point or complex.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        _share(self, data, "Parameter")
        if requires_grad:
            self.requires_grad_()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        # A field-by-field copy would keep the original's place in the graph, and its gradients would flow there.
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        copied: Parameter = memo[id(self)]
        return copied

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that a :class:`Module` registers as its buffer when it is assigned to an attribute.

    It shares the memory of ``data`` (a tensor; an empty one by default).

    Attributes:
        persistent: whether the buffer is part of the module's state dict.

    Raises:
        TypeError: when ``data`` is not a tensor.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        _share(self, data, "Buffer")
        self.persistent = persistent


# ----------------------------------------------------------------------------------------------- without a shape, yet


class UninitializedTensor(Tensor):
    """What lazy modules hold until they see their first input: a dtype and a device."""

    __slots__ = ()
    _becomes: type[Tensor] = Tensor
    _kind = "parameter"

    def __init__(self, requires_grad: bool, device: Any, dtype: Any) -> None:
        self._where = to_device(device)
        self._dtype = dtypes.get_default_dtype() if dtype is None else dtypes.to_dtype(dtype)
        self._needs_grad = requires_grad
        # The slot of this name is hidden by the property below, which raises.
        Tensor._array.__set__(self, empty(0, dtype=self._dtype)._array)
        self._entry = self._grad = self._base = None
        self._storage = Storage()

    @property
    def _array(self) -> NoReturn:  # type: ignore[override]
        raise ValueError(
            f"this {self._kind} of a lazy module has no shape and no values yet; call the module with an input once, "
            "or load a state dict, before using it"
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give it a shape: from now on it is an ordinary parameter (or buffer) with arbitrary values.

        Args:
            shape: the sizes.
            device: where it lives; by default where it was meant to.
            dtype: by default the one it was made with.
        """
        value = empty(shape, device=self._where if device is None else device, dtype=self._dtype if dtype is None else dtype)
        needs_grad = self._needs_grad
        self.__class__ = self._becomes  # type: ignore[assignment]
        init(self, value._array)
        del self._dtype, self._needs_grad, self._where
        if needs_grad:
            self.requires_grad_()

    @property
    def shape(self) -> NoReturn:
        """Raises RuntimeError: there is none yet."""
        raise RuntimeError(
            f"can't access the shape of an uninitialized {self._kind}; call the lazy module with an input first, "
            "so that it knows its sizes"
        )

    @property
    def dtype(self) -> dtypes.dtype:
        """The type its elements will have."""
        return self._dtype

    @property
    def requires_grad(self) -> bool:
        """Whether the tape will follow it."""
        return self._needs_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._needs_grad = bool(value)

    def requires_grad_(self: U, requires_grad: bool = True) -> U:
        """Set :attr:`requires_grad`; returns the tensor."""
        self._needs_grad = requires_grad
        return self

    @property
    def data(self: U) -> U:
        """Itself: there are no values."""
        return self

    @data.setter
    def data(self, value: Tensor) -> None:
        self._dtype, self._where = value.dtype, value.device

    def detach(self: U) -> U:
        """Itself: it has no history."""
        return self

    def to(self: U, *args: Any, dtype: Any = None, device: Any = None, **_: Any) -> U:
        """One that will have another dtype, or live elsewhere."""
        dtype, device = dtype_and_device(args, dtype, device)
        return type(self)(self._needs_grad, self._where if device is None else device, self._dtype if dtype is None else dtype)

    def type(self: U, dtype: Any = None) -> Any:
        """One that will have another dtype; without one, the name of its dtype."""
        return repr(self._dtype) if dtype is None else self.to(dtype)

    def __deepcopy__(self: U, memo: dict[int, Any]) -> U:
        if id(self) not in memo:
            memo[id(self)] = self.to()
        copied: U = memo[id(self)]
        return copied

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def device(self) -> Device:
        """Where it will live."""
        return self._where


class UninitializedParameter(UninitializedTensor, Parameter):
    """A :class:`Parameter` whose shape is not known yet; :meth:`materialize` makes it one, keeping its identity."""

    __slots__ = ()
    _becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        UninitializedTensor.__init__(self, requires_grad, device, dtype)


class UninitializedBuffer(UninitializedTensor):
    """A buffer whose shape is not known yet; :meth:`materialize` makes it an ordinary tensor, keeping its identity."""

    __slots__ = ()
    _becomes = Tensor
    _kind = "buffer"

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> None:
        UninitializedTensor.__init__(self, requires_grad, device, dtype)
        self.persistent = persistent


def zero_gradients(params: Iterable[Tensor], set_to_none: bool) -> None:
    """Drop gradients, or overwrite them with zeros: what ``zero_grad()`` of modules and of optimizers does."""
    for param in params:
        grad = param.grad
        if set_to_none:
            param.grad = None
        elif grad is not None:
            (grad.detach_() if grad.requires_grad else grad).zero_()


def is_lazy(tensor: Any) -> bool:
    """Whether a tensor has no shape yet."""
    return isinstance(tensor, UninitializedTensor)
