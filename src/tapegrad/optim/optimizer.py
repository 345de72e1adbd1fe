"""Optimizer: parameter groups, and the loop over parameters that all optimizers share."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from ..modes import enable_grad, local, no_grad
from ..nn.parameter import zero_gradients
from ..ops.elementwise.complex_parts import view_as_complex, view_as_real
from ..tensor import Tensor
from .hooks import (
    Hooks,
    hooked,
    register_optimizer_step_post_hook as register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook as register_optimizer_step_pre_hook,
)
from .options import numbers_of
from .state_dict import misshapen, pack, unpack


class _Required:
    """The default of an option that every group must set."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer(Hooks):
    """The base of optimizers. A subclass passes its options to ``__init__`` and defines :meth:`update`, or ``step`` itself.

    Args:
        params: tensors, or dicts with "params" and options that differ from the defaults, or (name, tensor) pairs.
        defaults: the options. Some have a meaning for all optimizers: ``maximize`` climbs instead, by turning gradients round;
            ``differentiable`` records the steps, so that a backward pass goes through them to gradients, and to options that are
            tensors which require grad. PyTorch's ``foreach``, ``fused`` and ``capturable`` choose between its kernels and change
            nothing here.

    Attributes:
        param_groups: dicts with "params" and one value per option; options may be changed between steps. Parameters given with
            names have them in "param_names".
        state: per parameter, what the optimizer remembers.
        defaults: the options that a group does not set itself.
        numbers: the names of state that is a 0-d tensor, a number per parameter, in a dtype of its own.
        splits_complex: give ``update()`` the real and imaginary parts of complex parameters.

    Raises:
        TypeError: when the parameters are not tensors, or a single tensor, or a set.
        ValueError: for no parameters, non-leaf tensors, parameters of several groups, and names for some parameters only.
    """

    param_groups: list[dict[str, Any]]
    state: defaultdict[Any, Any]
    numbers: tuple[str, ...] = ("step",)
    splits_complex = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "step" in cls.__dict__:
            cls.step = hooked(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        super().__init__()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a Tensor"
            )
        if not isinstance(params, Iterable):
            hint = "; call it: parameters()" if callable(params) else ""
            hint = "; pass its .parameters()" if hasattr(params, "parameters") else hint
            raise TypeError(f"{type(self).__name__}: params must be an iterable of Tensors or dicts, got {type(params).__name__}{hint}")
        self.defaults = defaults
        self.state = defaultdict(dict)
        self._loaded = 0  # how many times the state was replaced
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters: a dict with "params" and options.

        Raises:
            TypeError, ValueError: as for the optimizer itself.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"param_group needs the key 'params', it has {sorted(param_group)}")
        group = {**param_group, **_parameters(param_group["params"])}
        params = group["params"]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf and not self.defaults.get("differentiable") and not p.retains_grad:
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        if len(set(params)) < len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters, which each step changes more than once", stacklevel=3
            )
        for other in self.param_groups:
            if ("param_names" in group) != ("param_names" in other):
                kind = "with" if "param_names" in group else "without"
                raise ValueError(
                    f"all optimizer param groups should be with/without names. cannot add param group {kind} names to the optimizer"
                )
            if not set(params).isdisjoint(other["params"]):
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    # ------------------------------------------------------------------------------------------------------- stepping

    @hooked
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; returns the loss that ``closure`` computed, if one is given."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if local.tracer is not None:
            local.tracer.guard(self._settings)
        differentiable = bool(self.defaults.get("differentiable", False))
        with enable_grad() if differentiable else no_grad():
            for group in self.param_groups:
                self._update_group(numbers_of(group, differentiable), differentiable)
        return loss

    def _update_group(self, group: dict[str, Any], differentiable: bool) -> None:
        maximize = group.get("maximize")
        for param in group["params"]:
            grad = param._grad if differentiable else param.grad  # reading it of a non-leaf warns
            if grad is not None:
                state = self.state[param]
                if differentiable:  # the last step's values are kept for backward
                    state.update({name: value.clone() for name, value in state.items() if isinstance(value, Tensor)})
                update = self._update_parts if self.splits_complex and param.dtype.is_complex else self.update
                update(param, -grad if maximize else grad, state, group)

    def _update_parts(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Update a complex parameter as twice as many real ones; what is remembered of it is complex, as it is."""
        parts = {k: view_as_real(v) if isinstance(v, Tensor) and v.is_complex() else v for k, v in state.items()}
        self.update(view_as_real(param), view_as_real(grad), parts, group)
        for name, value in parts.items():
            if name not in state:
                like_param = isinstance(value, Tensor) and value.shape == (*param.shape, 2)
                state[name] = view_as_complex(value) if like_param else value

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change one parameter in place; subclasses define it. It runs in ``no_grad()``, under ``differentiable`` in ``enable_grad()``.

        Args:
            param: what to change; of complex ones the real view, with real and imaginary parts in a last dimension of 2.
            grad: its gradient (turned round under ``maximize``), of the same shape; not to be changed.
            state: what is remembered of this parameter, empty at first.
            group: the options, with numbers in the place of tensors.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no update()")

    def _settings(self) -> object:
        """All that ``step()`` depends on besides tensors, to compare."""
        return self._loaded, [(len(group["params"]), repr({**numbers_of(group), "params": None})) for group in self.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or overwrite them with zeros."""
        for group in self.param_groups:
            zero_gradients(group["params"], set_to_none)

    # ----------------------------------------------------------------------------------------------------- state dict

    def state_dict(self) -> dict[str, Any]:
        """State and options, with each parameter replaced by its number; tensors share the optimizer's memory."""
        self._call("state_dict_pre")
        state_dict: dict[str, Any] = self._replaced("state_dict_post", pack(self))
        return state_dict

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over copies of the state and options of another optimizer of this kind. Changes nothing unless all fit.

        Floating-point state is converted to the dtype of its parameter.

        Raises:
            ValueError: naming all problems: another number of groups or parameters, missing options, other shapes.
            TypeError: when it is not a state dict.
        """
        if isinstance(state_dict, dict):
            state_dict = self._replaced("load_state_dict_pre", dict(state_dict))
        self.state, self.param_groups = unpack(self, state_dict)
        self._loaded += 1
        self._call("load_state_dict_post")

    def misfits(self, param: Tensor, state: dict[str, Any]) -> list[str]:
        """What is wrong with a loaded state for ``param``: by default, a tensor of another shape."""
        return list(misshapen(param, state))

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] if i else []
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def _parameters(params: Any) -> dict[str, Any]:
    """The "params" of a group as a list, and "param_names" when they come with names."""
    if isinstance(params, Tensor):
        return {"params": [params]}
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will change "
            "between runs. Please use a list instead."
        )
    params = list(params)
    names = [p[0] for p in params if isinstance(p, tuple)]
    if not names:
        return {"params": params}
    if len(names) < len(params):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    return {"params": [p[1] for p in params], "param_names": names}
