"""Learning rates that functions give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, function_state, set_function_state, values_of

Functions = Callable[[int], float] | list[Callable[[int], float]]


class _Functions(LRScheduler):
    """Schedulers with one function of the step for each group.

    Their state dicts hold the attributes of functions that are objects, and nothing of others.
    """

    lr_lambdas: list[Callable[[int], float]]

    def __init__(self, optimizer: Optimizer, lr_lambda: Functions, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        count = len(optimizer.param_groups)
        if isinstance(lr_lambda, (list, tuple)):
            if len(lr_lambda) != count:
                raise ValueError(f"Expected {count} lr_lambdas, but got {len(lr_lambda)}")
            self.lr_lambdas = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * count
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lr_lambdas": [function_state(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for function, state in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            set_function_state(function, state)


class LambdaLR(_Functions):
    """Multiply the initial learning rate by ``lr_lambda(step)``.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        lr_lambda: a function, or a list with one for each group.

    Raises:
        ValueError: for a list of another length.
        TypeError: for what can't be called.
    """

    def _next_lr(self) -> list[Any]:
        return [lr * function(self.last_epoch) for lr, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_Functions):
    """Multiply the learning rate by ``lr_lambda(step)`` in every step but the first.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        lr_lambda: a function, or a list with one for each group.

    Raises:
        ValueError: for a list of another length.
        TypeError: for what can't be called.
    """

    def _next_lr(self) -> list[Any]:
        rates = values_of(self.optimizer, "lr")
        if self._is_initial:
            return rates
        return [lr * function(self.last_epoch) for lr, function in zip(rates, self.lr_lambdas, strict=True)]
