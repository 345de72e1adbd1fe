"""An optimizer's state dict: parameters become their numbers, and back. Keys and layout are PyTorch's."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..modes import no_grad
from ..ops.create import tensor
from ..tensor import Tensor
from .step import counter_dtype

if TYPE_CHECKING:
    from .optimizer import Optimizer

# Options that state dicts of other PyTorch versions may lack; the rest must be there.
_LATER = {
    "amsgrad": False,
    "capturable": False,
    "centered": False,
    "decoupled_weight_decay": False,
    "differentiable": False,
    "foreach": None,
    "fused": None,
    "maximize": False,
    "momentum": 0,
    "nesterov": False,
}


def pack(optimizer: Optimizer) -> dict[str, Any]:
    """State and options, with each parameter replaced by its number."""
    number: dict[Any, int] = {}
    groups = []
    start = 0
    for group in optimizer.param_groups:
        for i, p in enumerate(group["params"], start):
            number.setdefault(p, i)
        start += len(group["params"])
        options = {name: value for name, value in group.items() if name != "params"}
        groups.append({**options, "params": [number[p] for p in group["params"]]})
    state = {
        number[p] if isinstance(p, Tensor) else p: dict(values) if isinstance(values, dict) else values
        for p, values in optimizer.state.items()
        if values != {}
    }
    return {"state": state, "param_groups": groups}


def unpack(optimizer: Optimizer, state_dict: Any) -> tuple[defaultdict[Any, Any], list[dict[str, Any]]]:
    """The state and the groups that a state dict holds, as copies that belong to the optimizer's parameters.

    Raises:
        ValueError: naming all problems: another number of groups or parameters, missing options, other shapes.
        TypeError: when it is not a state dict.
    """
    name = f"{type(optimizer).__name__}.load_state_dict"
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{name} expects what state_dict() returned, got {type(state_dict).__name__}")
    lacking = [repr(key) for key in ("state", "param_groups") if key not in state_dict]
    if lacking:
        raise ValueError(
            f"{name} expects what state_dict() returned: it lacks {' and '.join(lacking)}, having the keys {list(state_dict)}"
        )
    groups, saved_groups, saved_state = optimizer.param_groups, state_dict["param_groups"], state_dict["state"]
    if len(groups) != len(saved_groups):
        raise ValueError(
            f"loaded state dict has a different number of parameter groups: {len(saved_groups)}, this optimizer has {len(groups)}"
        )
    owner, problems = _owners(optimizer, saved_groups)
    for key, values in saved_state.items():
        if key in owner:
            problems += [f"parameter {key}: {text}" for text in optimizer.misfits(owner[key], values)]
    if problems:
        raise ValueError("loaded state dict doesn't fit this optimizer:\n\t" + "\n\t".join(problems))
    state: defaultdict[Any, Any] = defaultdict(dict)
    with no_grad():
        for key, values in saved_state.items():
            if key in owner:
                state[owner[key]] = {k: _adopted(optimizer, owner[key], k, v) for k, v in values.items()}
            else:
                state[key] = values
    loaded = []
    for group, saved in zip(groups, saved_groups, strict=True):
        kept = {"param_names": group["param_names"]} if "param_names" in group else {}
        later = {k: v for k, v in _LATER.items() if k in optimizer.defaults}
        loaded.append({**kept, **later, **copy.deepcopy(dict(saved)), "params": group["params"]})
    return state, loaded


def _owners(optimizer: Optimizer, saved_groups: Any) -> tuple[dict[Any, Tensor], list[str]]:
    """Which parameter each number of a state dict stands for, and what is wrong with its groups."""
    owner: dict[Any, Tensor] = {}
    problems = []
    for i, (group, saved) in enumerate(zip(optimizer.param_groups, saved_groups, strict=True)):
        params = saved.get("params", ())
        if len(group["params"]) != len(params):
            problems.append(f"group {i} has {len(params)} parameters in the state dict, {len(group['params'])} here")
        missing = [name for name in optimizer.defaults if name not in saved and name not in _LATER]
        if missing:
            problems.append(f"group {i} lacks {', '.join(missing)}")
        owner.update(zip(params, group["params"], strict=False))
    return owner, problems


def _adopted(optimizer: Optimizer, param: Tensor, name: str, value: Any) -> Any:
    """A copy of a state value; tensors on the parameter's device, floating-point ones in its dtype, but for its numbers, which are on the CPU."""
    if name in optimizer.numbers:
        return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else tensor(float(value), dtype=counter_dtype(), device="cpu")
    if isinstance(value, Tensor):
        converts = value.is_floating_point() and param.is_floating_point()
        return value.detach().to(param.device, param.dtype if converts else value.dtype, copy=True)
    if isinstance(value, (list, tuple)):
        return type(value)(_adopted(optimizer, param, "", v) for v in value)
    return copy.deepcopy(value)


def misshapen(param: Tensor, state: dict[str, Any]) -> Iterable[str]:
    """What is wrong with a state of tensors that all should have the parameter's shape."""
    for name, value in state.items():
        if isinstance(value, Tensor) and value.ndim and value.shape != param.shape:
            yield f"{name} has shape {tuple(value.shape)}, the parameter {tuple(param.shape)}"
