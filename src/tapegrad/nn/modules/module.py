"""Module: what every layer and every network is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

from ... import dtypes
from ...device import device as Device, to_device
from ...hooks import RemovableHandle
from ...modes import local, no_grad
from ...ops.convert import dtype_and_device
from ...ops.create import empty
from ...tensor import Tensor
from ..parameter import is_lazy, zero_gradients
from .arrangement import watch
from .hooks import (
    ON_ALL,
    Hooks,
    add,
    call_with_hooks,
    register_module_forward_hook as register_module_forward_hook,
    register_module_forward_pre_hook as register_module_forward_pre_hook,
    register_module_full_backward_hook as register_module_full_backward_hook,
    register_module_full_backward_pre_hook as register_module_full_backward_pre_hook,
)
from .state import State
from .tree import (
    register_module_buffer_registration_hook as register_module_buffer_registration_hook,
    register_module_module_registration_hook as register_module_module_registration_hook,
    register_module_parameter_registration_hook as register_module_parameter_registration_hook,
)

__all__ = ["Module"]

M = TypeVar("M", bound="Module")


class Module(State):
    """A network or a part of one: parameters, buffers and other modules, registered by assigning them to attributes.

    Subclasses call ``super().__init__()``, assign their parts, and define ``forward``. Calling the module runs it.

    >>> import tapegrad as tg
    >>> class Net(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = tg.nn.Linear(3, 2)
    ...
    ...     def forward(self, x):
    ...         return self.fc(x).relu()
    >>> Net()(tg.ones(5, 3)).shape
    tapegrad.Size([5, 2])

    Attributes:
        training: True after ``train()`` (the default), False after ``eval()``.
    """

    training: bool
    call_super_init: ClassVar[bool] = False  # for multiple inheritance: whether __init__ passes its arguments on
    _forward_pre_hooks: Hooks
    _forward_hooks: Hooks
    _backward_pre_hooks: Hooks
    _backward_hooks: Hooks
    _hook_flags: dict[int, tuple[bool, bool]]  # with_kwargs, always_call

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if (args or kwargs) and not self.call_super_init:
            many = f"takes 1 positional argument but {len(args) + 1} were given"
            raise TypeError(
                f"{type(self).__name__}.__init__() " + (f"got an unexpected keyword argument '{next(iter(kwargs))}'" if kwargs else many)
            )
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _non_persistent_buffers_set=set(),
            _modules={},
            _forward_pre_hooks={},
            _forward_hooks={},
            _backward_pre_hooks={},
            _backward_hooks={},
            _hook_flags={},
            _state_dict_pre_hooks={},
            _state_dict_hooks={},
            _load_state_dict_pre_hooks={},
            _load_state_dict_post_hooks={},
        )
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # -------------------------------------------------------------------------------------------------------- calling

    def forward(self, *input: Any) -> Any:
        """Compute the output; subclasses define it. Call the module itself, so that hooks run.

        Raises:
            NotImplementedError: when the subclass does not.
        """
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if local.tracer is not None:
            watch(local.tracer, self)
        if self._forward_pre_hooks or self._forward_hooks or self._backward_pre_hooks or self._backward_hooks or ON_ALL:
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, unless None, replaces the arguments.

        With ``with_kwargs`` the hook gets ``(module, args, kwargs)`` and returns None or ``(args, kwargs)``. With ``prepend``
        it is called before the other hooks of the module.
        """
        return self._flagged(add(self._forward_pre_hooks, hook, hook, prepend), with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, unless None, replaces the output.

        With ``with_kwargs`` the hook gets ``(module, args, kwargs, output)``. With ``always_call`` it is called also when forward
        or another hook raises, with None as the output.
        """
        return self._flagged(add(self._forward_hooks, hook, hook, prepend), with_kwargs, always_call)

    def _flagged(self, handle: RemovableHandle, with_kwargs: bool, always: bool = False) -> RemovableHandle:
        if with_kwargs or always:
            self._hook_flags[handle.id] = (with_kwargs, always)
        return handle

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are known; what it returns replaces them.

        ``grad_output`` is a tuple with one tensor per output, None where no gradient came.
        """
        return add(self._backward_pre_hooks, hook, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known; what it returns replaces them.

        ``grad_input`` is a tuple with one entry per positional argument of the call, None for what is no tensor. When no argument
        requires grad, the hook runs with Nones, as soon as ``grad_output`` is known, and can't replace anything.
        """
        return add(self._backward_hooks, hook, hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """PyTorch's deprecated name; here the same as :meth:`register_full_backward_hook`."""
        return self.register_full_backward_hook(hook)

    # ------------------------------------------------------------------------------------------------------- modes

    def apply(self: M, fn: Callable[[Module], object]) -> M:
        """Call ``fn`` with every module, children first; returns the module. Typical use: initialisation."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Switch dropout and the like on or off, here and below; returns the module.

        Raises:
            ValueError: when ``mode`` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: M) -> M:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Have the tape follow the parameters, or freeze them; returns the module."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or overwrite them with zeros."""
        zero_gradients(self.parameters(), set_to_none)

    # -------------------------------------------------------------------------------------------------- conversion

    def to(
        self: M, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, memory_format: Any = None
    ) -> M:
        """Convert parameters and buffers in place: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(tensor)``.

        Only floating-point and complex ones change their dtype. Parameters stay the same objects. Returns the module.

        Raises:
            TypeError: when the dtype is not floating-point or complex.
            RuntimeError: for a device that can't be used.
        """
        dtype, device = dtype_and_device(args, dtype, device)
        where = None if device is None else to_device(device)
        wanted = None if dtype is None else dtypes.to_dtype(dtype)
        if wanted is not None and not wanted.differentiable:
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={wanted}")
        return self._apply(lambda t: t.to(dtype=wanted if t.dtype.differentiable else None, device=where, non_blocking=non_blocking))

    def float(self: M) -> M:
        """All floating-point parameters and buffers as float32; returns the module."""
        return self._to_floating(dtypes.float32)

    def double(self: M) -> M:
        """All floating-point parameters and buffers as float64; returns the module."""
        return self._to_floating(dtypes.float64)

    def half(self: M) -> M:
        """All floating-point parameters and buffers as float16; returns the module."""
        return self._to_floating(dtypes.float16)

    def bfloat16(self: M) -> M:
        """All floating-point parameters and buffers as bfloat16; returns the module.

        Raises:
            RuntimeError: without the package ml_dtypes.
        """
        return self._to_floating(dtypes.need_bfloat16("Module.bfloat16"))

    def type(self: M, dst_type: Any) -> M:
        """All parameters and buffers in one dtype; returns the module.

        Raises:
            RuntimeError: when a parameter requires grad and the dtype is not floating-point or complex.
        """
        wanted = dtypes.to_dtype(dst_type)
        return self._apply(lambda t: t.to(wanted))

    def _to_floating(self: M, dtype: dtypes.dtype) -> M:
        return self._apply(lambda t: t.to(dtype) if t.dtype.is_floating_point else t)

    def cpu(self: M) -> M:
        """All parameters and buffers on the CPU; returns the module."""
        return self.to("cpu")

    def cuda(self: M, device: Any = None) -> M:
        """All parameters and buffers on a GPU; returns the module.

        Raises:
            RuntimeError: when no GPU can be used, with what is missing.
        """
        return self.to("cuda" if device is None else Device("cuda", device) if isinstance(device, int) else device)

    def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
        """Give all parameters and buffers new memory on a device, with arbitrary values; returns the module."""
        to_device(device)
        return self._apply(lambda t: t if is_lazy(t) else empty(t.shape, dtype=t.dtype, device=device), recurse=recurse)

    def _apply(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Replace the memory of parameters, of their gradients and of buffers by ``fn`` of them; subclasses may convert more."""
        with no_grad():
            for child in self.children() if recurse else ():
                child._apply(fn)
            for param in self._parameters.values():
                if param is not None:
                    grad, param.grad = param.grad, None
                    cast(Any, param).data = fn(param.detach())
                    param.grad = None if grad is None else fn(grad)
            for name, buffer in self._buffers.items():
                self._buffers[name] = None if buffer is None else fn(buffer)
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the attributes of a copy; subclasses that mend old ones call it."""
        self.__dict__.update(state)

    # ------------------------------------------------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """What ``repr`` shows between the brackets; subclasses define it."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {indented(repr(child))}" for name, child in self._modules.items()]
        return bracketed(self._get_name(), lines, children)


def indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def bracketed(name: str, lines: list[str], children: list[str]) -> str:
    """PyTorch's layout: on one line when there is at most one line and no child."""
    if not children and len(lines) <= 1:
        return f"{name}({''.join(lines)})"
    return f"{name}(\n  " + "\n  ".join([*lines, *children]) + "\n)"
