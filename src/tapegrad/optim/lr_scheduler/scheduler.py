"""LRScheduler: what changes an optimizer's learning rates from epoch to epoch."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ...tensor import Tensor
from ..optimizer import Optimizer

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible; call `scheduler.step()`. "
    "With an epoch, learning rates come from the closed form where there is one."
)
_NEVER_SEEN = object()


class LRScheduler:
    """The base of schedulers, for steps that are counted from 0. A subclass overrides :meth:`get_lr`, as PyTorch's do; the
    ones here define ``_next_lr()`` instead, which ``get_lr`` calls after its warning.

    Making a scheduler sets the learning rates of step 0, and notes the ones before in the groups' "initial_lr". Call ``step()`` after
    the optimizer's. A learning rate that is a tensor stays the same tensor and gets new values.

    Args:
        optimizer: whose groups' "lr" it sets.
        last_epoch: the step to go on after; -1 begins. Others need "initial_lr" in the groups, from a loaded state dict.

    Attributes:
        base_lrs: the learning rate of each group that schedules are relative to.
        last_epoch: how often it was stepped.

    Raises:
        TypeError: when it is not an optimizer.
        KeyError: when it should go on and a group has no "initial_lr".
    """

    optimizer: Optimizer
    base_lrs: list[Any]
    last_epoch: int
    _last_lr: list[Any]
    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with last_epoch >= 0; load the "
                    "optimizer's state dict first, or begin with last_epoch=-1"
                )
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not hasattr(optimizer, "_step_at_schedule"):
            optimizer._step_at_schedule = optimizer.__dict__.get("step")  # type: ignore[attr-defined]
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        with self._while("_is_initial"):
            self.step()

    @contextmanager
    def _while(self, flag: str) -> Iterator[None]:
        setattr(self, flag, True)
        try:
            yield
        finally:
            setattr(self, flag, False)

    def get_last_lr(self) -> list[Any]:
        """The learning rates of the groups that the last step set; tensors are copies."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The learning rates of the groups at ``last_epoch``, from those before it; for ``step()`` to call.

        Warns when someone else does: :meth:`get_last_lr` says what they are.
        """
        if not self._get_lr_called_within_step:
            warnings.warn("To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", stacklevel=2)
        return self._next_lr()

    def _next_lr(self) -> list[Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step, or to the step ``epoch`` (which is deprecated)."""
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, stacklevel=2)
        self._update_lr(epoch)

    def _check_order(self) -> None:
        advice = "; see https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
        at_start = getattr(self.optimizer, "_step_at_schedule", _NEVER_SEEN)
        if self.optimizer.__dict__.get("step") is not at_start:
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. Please, make sure to "
                f"call `optimizer.step()` before `lr_scheduler.step()`{advice}",
                stacklevel=3,
            )
        elif not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite order; otherwise the first "
                f"value of the learning rate schedule is never used{advice}",
                stacklevel=3,
            )

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._while("_get_lr_called_within_step"):
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
            values = self.get_lr() if closed is None else closed()
        self._set(values)

    def _set(self, values: Iterable[Any]) -> None:
        """Give the groups these learning rates."""
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            assign(group, "lr", value)
        self._last_lr = values_of(self.optimizer, "lr")

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer; save the optimizer's state dict beside it."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self.__dict__.update(state_dict)


class _LRScheduler(LRScheduler):
    """The older name of :class:`LRScheduler`."""


class Chainable(LRScheduler):
    """A schedule whose every step multiplies the present learning rates, so that others may change them, too."""

    def _factor(self) -> float:
        """What the learning rates are multiplied by on the way to ``last_epoch``."""
        raise NotImplementedError

    def _closed_factor(self) -> float:
        """What ``base_lrs`` are multiplied by at ``last_epoch``."""
        raise NotImplementedError

    def _next_lr(self) -> list[Any]:
        factor = self._factor()
        return [lr * factor for lr in values_of(self.optimizer, "lr")]

    def _get_closed_form_lr(self) -> list[Any]:
        factor = self._closed_factor()
        return [lr * factor for lr in self.base_lrs]


# ------------------------------------------------------------------------------------------------------------- helpers


def checked_optimizer(optimizer: Any) -> Optimizer:
    """Raise TypeError unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def copied(value: Any) -> Any:
    """A clone of a tensor; other values as they are."""
    return value.clone() if isinstance(value, Tensor) else value


def values_of(optimizer: Optimizer, option: str) -> list[Any]:
    """An option of every group, without aliasing tensors.

    Raises:
        KeyError: when a group lacks it.
    """
    return [copied(group[option]) for group in optimizer.param_groups]


def assign(group: dict[str, Any], option: str, value: Any) -> None:
    """Set an option of a group; one that is a tensor stays that tensor."""
    if isinstance(group[option], Tensor):
        group[option].fill_(value.item() if isinstance(value, Tensor) else value)
    else:
        group[option] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """An argument that is one value, or a list with one for each group.

    Raises:
        ValueError: for a list of another length.
    """
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [copied(value) for _ in range(count)]
    if len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, param_groups has {count}."
        )
    return [copied(v) for v in value]


def positive(name: str, value: int) -> int:
    """An argument that must be a positive integer.

    Raises:
        ValueError: for another.
    """
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return value


def check_anneal_strategy(anneal_strategy: Any) -> None:
    """Raise ValueError for one that is neither "cos" nor "linear"."""
    if anneal_strategy not in ("cos", "linear"):
        raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")


def function_state(function: Callable[..., Any] | None) -> dict[str, Any] | None:
    """What a state dict keeps of a function: the attributes of an object that can be called, nothing of a function."""
    if function is None or isinstance(function, types.FunctionType):
        return None
    return dict(vars(function)) if hasattr(function, "__dict__") else None


def set_function_state(function: Any, state: dict[str, Any] | None) -> None:
    """Give an object that can be called the attributes that a state dict kept."""
    if state is not None:
        vars(function).update(state)
