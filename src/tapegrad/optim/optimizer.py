"""Optimizer: parameter groups, state, and the loop over parameters that all optimizers share."""

from __future__ import annotations

import copy
import numbers
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..modes import enable_grad, local, no_grad
from ..tensor import Tensor


class Optimizer:
    """The base of optimizers. A subclass passes its options to ``__init__`` and defines :meth:`update`.

    Args:
        params: tensors, or dicts with "params" and options that differ from the defaults, or (name, tensor) pairs.
        defaults: the options.

    Attributes:
        param_groups: dicts with "params" and one value per option; options may be changed between steps.
        state: per parameter, what the optimizer remembers.
        defaults: the options that a group does not set itself.

    Raises:
        TypeError: when the parameters are not tensors, or a single tensor.
        ValueError: for no parameters, non-leaf tensors, and parameters given twice.
    """

    param_groups: list[dict[str, Any]]
    state: defaultdict[Tensor, dict[str, Any]]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a Tensor"
            )
        if not isinstance(params, Iterable):
            hint = "; pass its .parameters()" if hasattr(params, "parameters") else ""
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
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        params = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in params]
        known = {p for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if p in known:
                raise ValueError("some parameters appear in more than one parameter group, or twice in one")
            known.add(p)
        self.param_groups.append({**self.defaults, **param_group, "params": params})

    # ------------------------------------------------------------------------------------------------------- stepping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; returns the loss that ``closure`` computed, if one is given."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if local.tracer is not None:
            local.tracer.guard(self._settings)
        with no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        self.update(param, param.grad, self.state[param], group)
        return loss

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change one parameter in place, inside ``no_grad()``; subclasses define it.

        Args:
            param: what to change.
            grad: its gradient, of the same shape; not to be changed.
            state: what is remembered of this parameter, empty at first.
            group: the options.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no update()")

    def _settings(self) -> str:
        """All that ``step()`` depends on besides tensors, to compare."""
        options = [{**group, "params": len(group["params"])} for group in self.param_groups]
        return f"{self._loaded} {options}"

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or overwrite them with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                grad = param.grad
                if set_to_none:
                    param.grad = None
                elif grad is not None:
                    (grad.detach_() if grad.requires_grad else grad).zero_()

    # ----------------------------------------------------------------------------------------------------- state dict

    def state_dict(self) -> dict[str, Any]:
        """State and options, with each parameter replaced by its number; tensors share the optimizer's memory."""
        number = {p: i for i, p in enumerate(self._all_params())}
        return {
            "state": {number[p]: dict(state) for p, state in self.state.items() if state},
            "param_groups": [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over copies of the state and options of another optimizer of this kind. Changes nothing unless all fit.

        Floating-point state is converted to the dtype of its parameter.

        Raises:
            ValueError: naming all problems: another number of groups or parameters, missing options, other shapes.
            TypeError: when it is not a state dict.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"{type(self).__name__}.load_state_dict expects what state_dict() returned, got {type(state_dict).__name__}")
        lacking = [repr(key) for key in ("state", "param_groups") if key not in state_dict]
        if lacking:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict expects what state_dict() returned: it lacks {' and '.join(lacking)}, "
                f"having the keys {list(state_dict)}"
            )
        groups, saved_groups, saved_state = self.param_groups, state_dict["param_groups"], state_dict["state"]
        if len(groups) != len(saved_groups):
            raise ValueError(
                f"loaded state dict has {len(saved_groups)} parameter groups, this optimizer {len(groups)}"
            )
        problems = []
        owner: dict[int, Tensor] = {}
        for i, (group, saved) in enumerate(zip(groups, saved_groups, strict=True)):
            if len(group["params"]) != len(saved["params"]):
                problems.append(
                    f"group {i} has {len(saved['params'])} parameters in the state dict, {len(group['params'])} here"
                )
            missing = [name for name in self.defaults if name not in saved]
            if missing:
                problems.append(f"group {i} lacks {', '.join(missing)}")
            owner.update(zip(saved["params"], group["params"], strict=False))
        for key, values in saved_state.items():
            if key in owner:
                problems += [f"parameter {key}: {text}" for text in self.misfits(owner[key], values)]
        if problems:
            raise ValueError("loaded state dict doesn't fit this optimizer:\n\t" + "\n\t".join(problems))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        with no_grad():
            for key, values in saved_state.items():
                if key in owner:
                    state[owner[key]] = {name: _adopted(owner[key], value) for name, value in values.items()}
        options = [{k: copy.deepcopy(v) for k, v in saved.items() if k != "params"} for saved in saved_groups]
        self.state = state
        self._loaded += 1
        self.param_groups = [{**group, **new} for group, new in zip(groups, options, strict=True)]

    def misfits(self, param: Tensor, state: dict[str, Any]) -> list[str]:
        """What is wrong with a loaded state for ``param``: by default, a tensor of another shape."""
        return [
            f"{name} has shape {tuple(value.shape)}, the parameter {tuple(param.shape)}"
            for name, value in state.items()
            if isinstance(value, Tensor) and value.ndim and value.shape != param.shape
        ]

    def _all_params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def _adopted(param: Tensor, value: Any) -> Any:
    """A copy of a state value, in the parameter's dtype if it is a floating-point tensor."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    copied: Tensor = value.detach().to(param.dtype if value.is_floating_point() else value.dtype, copy=True)
    return copied


def check_at_least_zero(options: dict[str, float]) -> None:
    """Raise when an option is no number, negative or NaN.

    Raises:
        TypeError, ValueError: naming it.
    """
    for name, value in options.items():
        if not isinstance(value, numbers.Real):
            hint = "; pass value.item()" if isinstance(value, Tensor) else ""
            raise TypeError(f"Invalid {name}: expected a number, got {type(value).__name__}{hint}")
        if not value >= 0.0:
            raise ValueError(f"Invalid {name}: {value}")
