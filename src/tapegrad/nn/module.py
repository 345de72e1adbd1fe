"""Module: what every layer and every network is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from .. import dtypes
from ..device import device as Device, to_device
from ..hooks import RemovableHandle
from ..inplace import check_writable
from ..modes import local, no_grad
from ..ops.convert import dtype_and_device
from ..tensor import Tensor
from .tree import Tree

M = TypeVar("M", bound="Module")


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Tree):
    """A network or a part of one: parameters, buffers and other modules, registered by assigning them to attributes.

    Subclasses call ``super().__init__()``, assign their parts, and define ``forward``. Calling the module runs it.

    Attributes:
        training: True after ``train()`` (the default), False after ``eval()``.
    """

    training: bool
    _forward_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _forward_hooks: OrderedDict[int, Callable[..., Any]]

    def __init__(self) -> None:
        super().__init__()
        self.training = True
        self._forward_pre_hooks = OrderedDict()
        self._forward_hooks = OrderedDict()

    # -------------------------------------------------------------------------------------------------------- calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; subclasses define it. Call the module itself, so that hooks run.

        Raises:
            NotImplementedError: when the subclass does not.
        """
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if local.tracer is not None:
            local.tracer.guard(lambda: self.training)
        if not (self._forward_pre_hooks or self._forward_hooks):
            return self.forward(*args, **kwargs)
        for hook in list(self._forward_pre_hooks.values()):
            args, kwargs = hook(self, args, kwargs)
        output = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            changed = hook(self, args, kwargs, output)
            output = output if changed is None else changed
        return output

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, unless None, replaces the arguments.

        With ``with_kwargs`` the hook gets ``(module, args, kwargs)`` and returns None or ``(args, kwargs)``.
        """

        def run(module: Module, args: Any, kwargs: Any) -> Any:
            changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
            if changed is None:
                return args, kwargs
            if not with_kwargs:
                return changed if isinstance(changed, tuple) else (changed,), kwargs
            if isinstance(changed, tuple) and len(changed) == 2:
                return changed
            raise RuntimeError(
                f"a forward pre-hook with_kwargs must return None or a tuple (args, kwargs), got {changed!r}"
            )

        return _added(self._forward_pre_hooks, run, prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, unless None, replaces the output.

        With ``with_kwargs`` the hook gets ``(module, args, kwargs, output)``.
        """

        def run(module: Module, args: Any, kwargs: Any, output: Any) -> Any:
            return hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)

        return _added(self._forward_hooks, run, prepend)

    # ------------------------------------------------------------------------------------------- modes and conversion

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
        for module in self.modules():
            module.training = mode
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
        for param in self.parameters():
            grad = param.grad
            if set_to_none:
                param.grad = None
            elif grad is not None:
                (grad.detach_() if grad.requires_grad else grad).zero_()

    def to(self: M, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False) -> M:
        """Convert parameters and buffers in place: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``...

        Only floating-point and complex ones change their dtype. Parameters stay the same objects. Returns the module.

        Raises:
            TypeError: when the dtype is not floating-point or complex.
            RuntimeError: for a device that can't be used.
        """
        dtype, device = dtype_and_device(args, dtype, device)
        to_device(device)
        wanted = None if dtype is None else dtypes.to_dtype(dtype)
        if wanted is not None and not wanted.differentiable:
            raise TypeError(f"Module.to only accepts floating-point or complex dtypes, got {wanted}")
        return self._convert(lambda t: t.to(wanted) if wanted is not None and t.dtype.differentiable else t)

    def float(self: M) -> M:
        """All floating-point parameters and buffers as float32."""
        return self._to_floating(dtypes.float32)

    def double(self: M) -> M:
        """All floating-point parameters and buffers as float64."""
        return self._to_floating(dtypes.float64)

    def half(self: M) -> M:
        """All floating-point parameters and buffers as float16."""
        return self._to_floating(dtypes.float16)

    def cpu(self: M) -> M:
        """All parameters and buffers on the CPU."""
        return self.to("cpu")

    def cuda(self: M, device: Any = None) -> M:
        """All parameters and buffers on a GPU.

        Raises:
            RuntimeError: since this version has no CUDA backend.
        """
        return self.to("cuda" if device is None else Device("cuda", device) if isinstance(device, int) else device)

    def _to_floating(self: M, dtype: dtypes.dtype) -> M:
        return self._convert(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def _convert(self: M, fn: Callable[[Tensor], Tensor]) -> M:
        with no_grad():
            for param in self.parameters():
                grad = param.grad
                param.data = fn(param.detach())  # type: ignore[attr-defined]
                param.grad = None if grad is None else fn(grad)
            for module in self.modules():
                for name, buffer in module._buffers.items():
                    module._buffers[name] = None if buffer is None else fn(buffer)
        return self

    # ----------------------------------------------------------------------------------------------------- state dict

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by name, sharing the module's memory; detached unless ``keep_vars``."""
        return {name: value if keep_vars else value.detach() for name, value in self._named_state(prefix)}

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> IncompatibleKeys:
        """Copy values into the parameters and persistent buffers. Changes nothing unless all of them fit.

        Returns:
            The names that the state dict lacks and those that the module lacks; with ``strict`` both must be empty.

        Raises:
            RuntimeError: naming all problems: missing and unexpected names, wrong shapes, unfit dtypes.
            TypeError: when ``state_dict`` is not a mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"expected state_dict to be dict-like, got {type(state_dict).__name__}")
        own = dict(self._named_state(""))
        keys = IncompatibleKeys([k for k in own if k not in state_dict], [k for k in state_dict if k not in own])
        problems = []
        if strict and keys.missing_keys:
            problems.append("missing key(s): " + ", ".join(map(repr, keys.missing_keys)))
        if strict and keys.unexpected_keys:
            problems.append("unexpected key(s): " + ", ".join(map(repr, keys.unexpected_keys)))
        given = {name: state_dict[name] for name in own if name in state_dict}
        with no_grad():
            problems += [problem for name, value in given.items() if (problem := _misfit(name, own[name], value))]
            if problems:
                raise RuntimeError(
                    f"error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(problems)
                )
            for name, value in given.items():
                own[name].copy_(value)
        return keys

    def _named_state(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        """What the state dict holds; a tensor that occurs twice has both its names."""
        for path, module in self.named_modules(remove_duplicate=False):
            dot = prefix + (f"{path}." if path else "")
            for name, param in module._parameters.items():
                if param is not None:
                    yield dot + name, param
            for name, buffer in module._buffers.items():
                if buffer is not None and name not in module._transient:
                    yield dot + name, buffer

    # ------------------------------------------------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """What ``repr`` shows between the brackets; subclasses define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {indented(repr(child))}" for name, child in self._modules.items()]
        return bracketed(type(self).__name__, lines, children)


def _added(hooks: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any], prepend: bool) -> RemovableHandle:
    handle = RemovableHandle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _misfit(name: str, own: Tensor, value: Any) -> str | None:
    """Why ``value`` can't be copied into ``own``, or None."""
    if not isinstance(value, Tensor):
        return f"{name!r}: expected a Tensor, got {type(value).__name__}"
    if value.shape != own.shape:
        return f"size mismatch for {name!r}: {tuple(value.shape)} in the state dict, {tuple(own.shape)} in the module"
    if not dtypes.can_cast(value.dtype, own.dtype):
        return f"dtype mismatch for {name!r}: {value.dtype} in the state dict can't become the module's {own.dtype}"
    try:
        check_writable(own, repr(name))
    except RuntimeError as error:
        return str(error)
    return None


def indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def bracketed(name: str, lines: list[str], children: list[str]) -> str:
    """PyTorch's layout: on one line when there is at most one line and no child."""
    if not children and len(lines) <= 1:
        return f"{name}({''.join(lines)})"
    return f"{name}(\n  " + "\n  ".join([*lines, *children]) + "\n)"
