"""Calling a module that has hooks: forward hooks, and backward hooks on the gradients of its inputs and outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ...function import Function
from ...hooks import RemovableHandle
from ...modes import is_grad_enabled
from ...tensor import Tensor

if TYPE_CHECKING:
    from .module import Module

Hooks = dict[int, Callable[..., Any]]


class Hook(NamedTuple):
    """A hook on calls, and how to call it."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always: bool = False
    kind: str = ""


# Hooks on the calls of all modules. One table, so that a call without hooks asks one question.
ON_ALL: dict[int, Hook] = {}


def add(hooks: Any, hook: Any, function: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    """Register ``hook``, under the name of ``function`` in the handle."""
    handle = RemovableHandle(hooks, function, prepend)
    hooks[handle.id] = hook
    return handle


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before the forward of every module, as :meth:`Module.register_forward_pre_hook` for one."""
    return add(ON_ALL, Hook(hook, kind="_forward_pre_hooks"), hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after the forward of every module, as :meth:`Module.register_forward_hook` for one."""
    return add(ON_ALL, Hook(hook, with_kwargs, always_call, "_forward_hooks"), hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` for every module, as :meth:`Module.register_full_backward_pre_hook` for one."""
    return add(ON_ALL, Hook(hook, kind="_backward_pre_hooks"), hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` for every module, as :meth:`Module.register_full_backward_hook` for one."""
    return add(ON_ALL, Hook(hook, kind="_backward_hooks"), hook)


def _hooks_of(module: Module, kind: str) -> list[Hook]:
    """The hooks of a kind, those on all modules first."""
    flags = module._hook_flags
    found = [hook for hook in ON_ALL.values() if hook.kind == kind]
    return found + [Hook(function, *flags.get(key, (False, False))) for key, function in getattr(module, kind).items()]


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What calling the module does when there are hooks."""
    after: list[Hook] | None = None  # asked for when they are due: hooks may add and remove others
    called = 0
    try:
        backward = _BackwardHooks(module)
        for hook in _hooks_of(module, "_forward_pre_hooks"):
            args, kwargs = _before(hook, module, args, kwargs)
        args = backward.inputs(args)
        output = module.forward(*args, **kwargs)
        after = _hooks_of(module, "_forward_hooks")
        for hook in after:
            called += 1
            changed = _after(hook, module, args, kwargs, output)
            output = output if changed is None else changed
        return backward.outputs(output)
    except Exception:
        for hook in (_hooks_of(module, "_forward_hooks") if after is None else after)[called:]:
            if hook.always:
                try:
                    _after(hook, module, args, kwargs, None)
                except Exception as error:
                    warnings.warn(
                        f"a forward hook with always_call=True failed, too, after the error that is raised: {error}", stacklevel=3
                    )
        raise


def _before(hook: Hook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not hook.with_kwargs:
        changed = hook.function(module, args)
        return args if changed is None else changed if isinstance(changed, tuple) else (changed,), kwargs
    changed = hook.function(module, args, kwargs)
    if changed is None:
        return args, kwargs
    if isinstance(changed, tuple) and len(changed) == 2:
        return changed
    raise RuntimeError(f"a forward pre-hook with_kwargs must return None or a tuple (args, kwargs), got {changed!r}")


def _after(hook: Hook, module: Module, args: Any, kwargs: Any, output: Any) -> Any:
    return hook.function(module, args, kwargs, output) if hook.with_kwargs else hook.function(module, args, output)


# ------------------------------------------------------------------------------------------------------ backward hooks


class BackwardHookFunction(Function):
    """Passes tensors on; in backward, asks ``told`` what their gradients shall be."""

    @staticmethod
    def forward(ctx: Any, told: Callable[..., Any], fill: bool, *tensors: Tensor) -> Any:
        ctx.told = told
        ctx.set_materialize_grads(fill)
        ctx.mark_non_differentiable(*(t for t in tensors if not t.requires_grad))
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        needed = ctx.needs_input_grad[2:]
        return None, None, *(g if need else None for g, need in zip(ctx.told(grads), needed, strict=True))


class _BackwardHooks:
    """One call of a module with backward hooks: all its outputs pass one node of the tape, all its inputs another."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.pre = _hooks_of(module, "_backward_pre_hooks")
        self.hooks = _hooks_of(module, "_backward_hooks")
        self.grad_output: tuple[Any, ...] | None = None  # once it is known
        self.count = 0  # of arguments
        self.watching = False  # whether gradients of arguments will come
        self.versions: list[tuple[Tensor, int]] = []  # of the copies that forward gets

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of forward; gradients of the tensors among them will pass ``hooks``."""
        self.count = len(args)
        if self.hooks:
            watched = self._watch(self._reached_inputs, True, args)
            self.watching = watched is not args
            if self.watching:
                self.versions = [(t, t._version) for t in watched if isinstance(t, Tensor)]
            return watched
        return args

    def outputs(self, output: Any) -> Any:
        """The output; gradients of the tensors in it will pass ``pre``."""
        if not self.pre and not self.hooks:
            return output
        if any(t._version != version for t, version in self.versions):
            raise RuntimeError(
                f"{type(self.module).__name__} has a backward hook and wrote to its input in place, which the caller would not see; "
                "use inplace=False"
            )
        self.versions = []
        if not isinstance(output, (Tensor, tuple)):
            warnings.warn(
                f"backward hooks of {type(self.module).__name__} are not called: its output should be a Tensor or a tuple of them, "
                f"got {type(output).__name__}",
                stacklevel=4,
            )
            return output
        watched = self._watch(self._reached_outputs, False, output if isinstance(output, tuple) else (output,))
        return watched if isinstance(output, tuple) else watched[0]

    def _watch(self, told: Callable[..., Any], fill: bool, values: tuple[Any, ...]) -> tuple[Any, ...]:
        at = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
        if not is_grad_enabled() or not any(values[i].requires_grad for i in at):
            return values
        count = len(values)  # the tape must not keep the tensors themselves

        def spread(grads: tuple[Any, ...]) -> list[Any]:
            complete: list[Any] = [None] * count
            for i, grad in zip(at, grads, strict=True):
                complete[i] = grad
            changed = told(tuple(complete))
            return [changed[i] for i in at]

        watched = list(values)
        for i, tensor in zip(at, BackwardHookFunction.apply(spread, fill, *(values[i] for i in at)), strict=True):
            watched[i] = tensor
        return type(values)(*watched) if hasattr(values, "_fields") else tuple(watched)

    def _reached_outputs(self, grad_output: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.pre:
            grad_output = _replaced("pre hook", "grad_output", hook.function(self.module, grad_output), grad_output)
        self.grad_output = grad_output
        if self.hooks and not self.watching:
            warnings.warn(
                f"the backward hook of {type(self.module).__name__} runs when the gradients of its outputs are known, since no input "
                "requires grad",
                stacklevel=2,
            )
            if any(g is not None for g in self._reached_inputs((None,) * self.count)):
                raise RuntimeError(
                    "a backward hook of a module of which no input requires grad must return None, or None for all gradients"
                )
        return grad_output

    def _reached_inputs(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks if self.grad_output is not None else ():
            grad_input = _replaced("hook", "grad_input", hook.function(self.module, grad_input, self.grad_output), grad_input)
        return grad_input


def _replaced(kind: str, what: str, result: Any, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    if result is None:
        return grads
    result = result if isinstance(result, tuple) else (result,)
    if len(result) != len(grads):
        raise RuntimeError(f"Backward {kind} returned an invalid number of {what}, got {len(result)}, but expected {len(grads)}")
    return result
